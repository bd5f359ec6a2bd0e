"""What there is to try once all is in sync: commands that can be copied as they stand."""

from collections.abc import Iterator
from itertools import islice

from connections.models import Connection
from portal.management.demo.standins import GOOGLE_USER, StandIns
from syncer.models import Change, Link

CARD_TITLE, CRM_TITLE, GOOGLE_NOTE = OURS = ("Lighthouse keeper", "Ship chandler", "Sails to Bergen in May.")
MOST = 60


def things_to_try(book: Connection, google: Connection, mail: Connection, apps: StandIns, env: str) -> list[str]:
    """An edit in each of three apps, a deletion on either side of `google`, and an unsubscribe in `mail`, each of
    another contact; none where there are too few. `env` is the path of the demo's settings."""
    cards, people = list(islice(editable(book, "title"), 2)), list(islice(editable(google, "biographies"), 5))
    seen = {right for _, right in cards}
    people = [pair for pair in people if pair[1] not in seen]
    if len(cards) < 2 or len(people) < 3:
        return []
    sync = f"  ENV_FILE={env} .venv/bin/python manage.py sync"
    return [
        "Change a contact in any app and watch it travel. Each connection looks once a minute, but has to wait while",
        "the other is at work in Salesmate: mostly a minute or two for each app. At once by the two last lines:",
        *card_lines(apps, cards[0][0]),
        f"""  curl -X PATCH {crm(apps, cards[1][1])} -d '{{"designation": "{CRM_TITLE}"}}'""",
        f"  curl -X PATCH {apps.google.contact(GOOGLE_USER, people[0][0])} "
        f"""-d '{{"biographies": [{{"value": "{GOOGLE_NOTE}"}}]}}'""",
        f"{sync} '{book}'",
        f"{sync} '{google}'",
        "Delete one in Google: it gets the tag PieSync Trash in Salesmate. Delete one in Salesmate: it gets the label",
        "PieSync Trash in Google. Salesmate reports no deletions: only a full reading finds them, daily or by --full.",
        f"  curl -X DELETE {apps.google.contact(GOOGLE_USER, people[1][0])}",
        f"  curl -X DELETE {crm(apps, people[2][1])} && {sync.strip()} --full '{google}'",
        *unsubscribe_lines(mail, apps, sync),
    ]


def unsubscribe_lines(mail: Connection, apps: StandIns, sync: str) -> list[str]:
    links = Link.objects.filter(connection=mail, state=Link.State.IN_SYNC).select_related("left").order_by("pk")
    reader = next((link.left for link in links if link.left and link.left.values.get("status") == "subscribed"), None)
    if reader is None:
        return []
    return [
        "Unsubscribe somebody in Mailchimp, which calls the portal (a webhook): once Salesmate is free, the contact",
        "there gets the tag PieSync Unsubscribes, mostly in seconds; at once by the last line. Take the tag away in",
        "Salesmate, and it stays away; nothing that is done there ever subscribes anybody.",
        f"  curl -X POST {apps.mailchimp.member(str(reader.values['email_address']))}/unsubscribe",
        f"{sync} '{mail}'",
    ]


def card_lines(apps: StandIns, path: str) -> list[str]:
    login, card = f"curl -s -u {apps.dav.user}:{apps.dav.password}", apps.dav.at(path)
    return [
        f"  {login} {card} | sed 's/^TITLE:.*/TITLE:{CARD_TITLE}/' |",
        f"    {login} -X PUT -H 'Content-Type: text/vcard' --data-binary @- {card}",
    ]


def crm(apps: StandIns, number: str) -> str:
    return f"{apps.salesmate.url}/_sandbox/contacts/{number}"


def editable(connection: Connection, field: str) -> Iterator[tuple[str, str]]:
    """(left, right) ids of pairs whose left was there from the beginning and has, in this field, a short text that
    stands on one line and is not one of ours."""
    made = Change.objects.filter(operation=Change.Operation.CREATE, side="left", link__connection=connection)
    links = Link.objects.filter(connection=connection, state=Link.State.IN_SYNC).exclude(pk__in=made.values("link"))
    for link in links.select_related("left", "right").order_by("pk").iterator():
        if link.left is None or link.right is None:
            continue
        text = link.left.values.get(field)
        if isinstance(text, str) and "\n" not in text and len(text) < MOST and text not in OURS:
            yield link.left.remote_id, link.right.remote_id
