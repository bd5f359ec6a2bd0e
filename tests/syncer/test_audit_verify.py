"""Whatever is done to a chain of fifty entries by somebody who owns the database, verify names the entry."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, models, transaction

from syncer.audit import triggers
from syncer.audit.chain import JSON, PORTAL, Entry
from syncer.audit.format import canonical, entry_hash, parse
from syncer.audit.verify import BEGINNING, Break, Row, Walk, orphans, pages, verify
from syncer.models.log import Kind, LogChain, SyncLog
from tests.syncer.trail import CHAIN, CONNECTION, LAST, NOON, REDACT, REDACTED, diary, erase, intent, write

pytestmark = pytest.mark.django_db

FIELDS = [field.attname for field in SyncLog._meta.local_concrete_fields if field.attname not in ("id", "chain_id")]
EVERYWHERE = range(1, LAST + 1)


@pytest.fixture
def tampering() -> Iterator[None]:
    """Fifty entries, and no triggers in the way."""
    diary()
    with triggers.suspended():
        yield


def entries() -> models.QuerySet[SyncLog]:
    """The rows of the chain, past the model's own refusals."""
    return models.QuerySet(SyncLog).filter(chain__name=CHAIN)


def head() -> models.QuerySet[LogChain]:
    return LogChain.objects.filter(name=CHAIN)


def broken_at() -> int | None:
    report = verify(CHAIN)
    assert report.ok is (report.seq is None)
    return report.seq


def after(act: Callable[[], object]) -> int | str | None:
    """Where verify finds the break once the act is done, or that the database itself refused it; then it is undone."""
    found: int | str | None = "refused"
    try:
        with transaction.atomic():
            act()
            found = broken_at()
            transaction.set_rollback(True)
    except IntegrityError:
        pass
    return found


def changed(value: Any) -> list[Any]:
    """The value with each of its bytes changed, one at a time; and gone."""
    if value is None:
        return ["x", 1, UUID(int=1), ""]
    if isinstance(value, str):
        return [None, f"{value} ", *(value[:i] + chr(ord(c) ^ 1) + value[i + 1 :] for i, c in enumerate(value))]
    if isinstance(value, UUID):
        return [None, *(UUID(int=value.int ^ (1 << (8 * byte))) for byte in range(16))]
    if isinstance(value, datetime):
        return [None, *(value + sign * timedelta(microseconds=10**power) for power in range(12) for sign in (1, -1))]
    return [None, *(value ^ (1 << bit) for bit in range(16))]


def test_an_untouched_chain_is_in_order() -> None:
    diary()
    report = verify(CHAIN)
    assert (report.ok, report.entries, report.seq, report.reason) == (True, LAST, None, "")


def test_an_empty_chain_is_in_order() -> None:
    write([Entry(Kind.AUTH_LOGGED_IN, "user:anna")], PORTAL)
    with pytest.raises(LogChain.DoesNotExist):
        verify(CHAIN)
    assert verify(PORTAL).entries == 1


@pytest.mark.proves("I31")
def test_every_changed_byte_of_every_entry_is_found_at_its_number() -> None:
    """In memory, where tens of thousands of changes take seconds; the next test changes the database."""
    diary()
    chain = head().get()
    walk, tried = Walk(chain.pk, CHAIN, LAST), 0
    for row in (row for page in pages(chain.pk, BEGINNING, LAST) for row in page):
        for bad in altered(row):
            with pytest.raises(Break) as found:
                walk.step(bad)
            assert found.value.seq == row.seq, bad
            tried += 1
        walk.step(row)
    walk.end()
    assert tried > LAST * 500


def altered(row: Row) -> Iterator[Row]:
    """The row with one change, in every way; the id, which the log gives no meaning but order, is tried elsewhere."""
    for name in Row._fields:
        if name not in ("id", "mirrors"):
            yield from (row._replace(**{name: value}) for value in changed(getattr(row, name)))
    for place, mirror in enumerate(row.mirrors):
        for value in changed(mirror):
            yield row._replace(mirrors=(*row.mirrors[:place], value, *row.mirrors[place + 1 :]))


@pytest.mark.proves("I31")
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.usefixtures("tampering")
def test_every_changed_column_in_the_database_is_found_at_its_number(field: str) -> None:
    for seq in EVERYWHERE:
        row = entries().get(seq=seq)
        value = another(field, getattr(row, field))
        due = {seq, "refused"} if field in ("seq", "payload", "salt", "redacted_by") else {seq}
        assert after(partial(entries().filter(pk=row.pk).update, **{field: value})) in due


def another(field: str, value: Any) -> Any:
    if value is None:
        return (
            uuid4() if field in ("connection", "run", "link", "record") else 1 if field == "redacted_by" else "0a" * 16
        )
    last = changed(value)[-1]
    return value + 1000 if field == "seq" else last


@pytest.mark.proves("I31")
@pytest.mark.usefixtures("tampering")
def test_every_lost_entry_is_found_at_its_number() -> None:
    for seq in EVERYWHERE:
        assert after(entries().filter(seq=seq).delete) == seq


@pytest.mark.usefixtures("tampering")
def test_a_lost_beginning_and_a_lost_end_are_found() -> None:
    assert after(entries().filter(seq__lte=20).delete) == 1
    assert after(entries().filter(seq__gt=20).delete) == 21
    assert after(entries().delete) == 1


@pytest.mark.proves("I31")
@pytest.mark.usefixtures("tampering")
def test_swapped_entries_are_found_at_the_first() -> None:
    def swap(one: int, other: int) -> None:
        entries().filter(seq=one).update(seq=LAST + 1)
        entries().filter(seq=other).update(seq=one)
        entries().filter(seq=LAST + 1).update(seq=other)

    for one in EVERYWHERE[:-1]:
        assert after(partial(swap, one, one + 1)) == one


@pytest.mark.usefixtures("tampering")
def test_an_id_out_of_order_is_found() -> None:
    """Histories are listed by id."""
    ids = dict(entries().values_list("seq", "id"))
    assert after(lambda: entries().filter(seq=20).update(id=ids[LAST] + 1)) == 21
    assert after(lambda: entries().filter(seq=20).update(id=-1)) == 20


@pytest.mark.usefixtures("tampering")
def test_an_entry_moved_to_another_chain_is_missed_here_and_found_there() -> None:
    write([Entry(Kind.AUTH_LOGGED_IN, "user:anna")], PORTAL)
    portal = LogChain.objects.get(name=PORTAL)

    def move() -> None:
        entries().filter(seq=2).update(chain=portal)
        LogChain.objects.filter(pk=portal.pk).update(head_seq=2)
        assert verify(PORTAL).seq == 2

    assert after(move) == 2


@pytest.mark.proves("I31")
@pytest.mark.usefixtures("tampering")
def test_a_changed_head_is_found() -> None:
    assert after(lambda: head().update(head_seq=LAST + 1)) == LAST + 1
    assert after(lambda: head().update(head_seq=LAST - 1)) == LAST
    assert after(lambda: head().update(head_seq=0)) == 1
    assert after(lambda: head().update(last_at=NOON)) == LAST
    assert after(lambda: head().update(last_at=None)) == LAST
    for value in changed(head().get().head_hash)[2:]:
        assert after(partial(head().update, head_hash=value)) == LAST


@pytest.mark.usefixtures("tampering")
def test_a_renamed_chain_is_found() -> None:
    def rename() -> None:
        head().update(name=PORTAL)
        assert verify(PORTAL).seq == 1
        raise IntegrityError

    assert after(rename) == "refused"


@pytest.mark.usefixtures("tampering")
def test_an_entry_rewritten_with_a_fitting_hash_is_found_at_the_next() -> None:
    """The best a forger can do without writing all that follows, and the head, and what a checkpoint says elsewhere."""

    def forge(seq: int) -> None:
        row = entries().get(seq=seq)
        header = canonical({**parse(row.header), "version": 1000})
        forged = entry_hash(row.previous_hash, header, row.payload_commit)
        entries().filter(pk=row.pk).update(header=header, entry_hash=forged)

    for seq in EVERYWHERE:
        assert after(partial(forge, seq)) == min(seq + 1, LAST)


def rewrite(seq: int, columns: dict[str, Any], items: dict[str, JSON]) -> None:
    """Change an entry's header and write all hashes that follow anew, the head's too."""
    entries().filter(seq=seq).update(**columns)
    previous = ""
    for row in entries().filter(seq__gte=seq).order_by("seq"):
        header = canonical({**parse(row.header), **items}) if row.seq == seq else row.header
        previous = row.previous_hash if row.seq == seq else previous
        made = entry_hash(previous, header, row.payload_commit)
        entries().filter(pk=row.pk).update(header=header, previous_hash=previous, entry_hash=made)
        previous = made
    head().update(head_hash=previous)


@pytest.mark.parametrize(
    ("columns", "items"),
    [
        ({}, {"seq": 21}),
        ({}, {"chain": PORTAL}),
        ({}, {"v": 2}),
        ({"at": NOON - timedelta(days=1)}, {"at": "2026-11-23T12:00:00.000000Z"}),
        ({}, {"at": "2026-11-24T12:00:00Z"}),
        ({}, {"actor": "user:mallory"}),
    ],
)
@pytest.mark.usefixtures("tampering")
def test_an_unfit_header_is_found_even_where_all_hashes_were_written_anew(
    columns: dict[str, Any], items: dict[str, JSON]
) -> None:
    assert after(partial(rewrite, 20, columns, items)) == 20


@pytest.mark.usefixtures("tampering")
def test_what_only_a_checkpoint_elsewhere_can_show() -> None:
    """Who owns the database and writes everything anew gets past the walk, but not with the head that others hold."""
    before = head().get().head_hash
    rewrite(20, {"actor": "user:mallory"}, {"actor": "user:mallory"})
    assert broken_at() is None
    assert head().get().head_hash != before


@pytest.mark.usefixtures("tampering")
def test_an_entry_put_in_or_after_the_end_is_found() -> None:
    def insert(seq: int) -> None:
        row = entries().get(seq=LAST)
        row.pk, row.seq, row._state.adding = None, seq, True
        row.save()

    assert after(lambda: insert(LAST + 1)) == LAST + 1
    assert after(lambda: insert(20)) == "refused"


def silence(seq: int, by: int | None) -> Callable[[], object]:
    return lambda: entries().filter(seq=seq).update(payload=None, salt=None, redacted_by=by)


@pytest.mark.proves("I32")
@pytest.mark.usefixtures("tampering")
def test_erasing_without_an_entry_that_names_it_is_found() -> None:
    for by in (None, 1, REDACT, LAST + 1):
        assert after(silence(11, by)) == 11


@pytest.mark.usefixtures("tampering")
def test_an_erased_entry_must_keep_pointing_to_its_erasure() -> None:
    for seq in REDACTED:
        for by in (None, seq, REDACT - 1, REDACT + 1):
            assert after(silence(seq, by)) == seq


@pytest.mark.usefixtures("tampering")
def test_an_erasure_that_was_promised_and_not_done_is_found() -> None:
    """Somebody put the payload back from a backup."""

    def restore() -> None:
        entries().filter(seq=3).update(payload="{}", salt="00" * 16, redacted_by=None)

    assert after(restore) == 3
    write([Entry(Kind.REDACT, "user:anna", {"redacts": [11]})])
    assert broken_at() == LAST + 1


@pytest.mark.usefixtures("tampering")
def test_an_entry_that_never_had_a_payload_cannot_be_erased() -> None:
    write([Entry(Kind.REDACT, "user:anna", {"redacts": [5]})])
    assert broken_at() is None
    assert after(silence(5, LAST + 1)) == 5


@pytest.mark.parametrize("redacts", [[], [LAST + 1], [LAST + 5], ["a"], [True]])
def test_a_redact_entry_must_name_earlier_entries(redacts: list[Any]) -> None:
    diary()
    write([Entry(Kind.REDACT, "user:anna", {"redacts": redacts})])
    assert broken_at() == LAST + 1


@pytest.mark.proves("I32")
def test_erasing_all_but_the_headers_keeps_the_chain_in_order() -> None:
    diary()
    assert erase(*range(1, LAST + 1)) == LAST - LAST // 5 - len(REDACTED)
    assert broken_at() is None


@pytest.mark.usefixtures("tampering")
def test_bytes_that_are_no_text_are_found_too() -> None:
    """SQLite takes them in a column of text; PostgreSQL refuses them itself."""
    if connection.vendor == "postgresql":
        return
    for column in ("header", "payload", "salt", "entry_hash", "previous_hash", "payload_commit", "actor", "at", "link"):

        def spoil(column: str = column) -> None:
            with connection.cursor() as cursor:
                cursor.execute(f"UPDATE syncer_synclog SET {column} = CAST(x'fffe' AS TEXT) WHERE seq = 22")

        assert after(spoil) == 22


def test_what_is_written_during_a_walk_is_left_to_the_next() -> None:
    write([intent()] * 600)
    read: list[int] = []

    def meanwhile(count: int) -> None:
        if not read:
            write([intent({"name": "Bob"})])
            erase(601)
        read.append(count)

    report = verify(CHAIN, meanwhile)
    assert (report.ok, report.entries, read) == (True, 600, [500, 100])
    assert verify(CHAIN).entries == 602


def shown(*args: str) -> str:
    out = StringIO()
    call_command("verify_log", *args, stdout=out)
    return out.getvalue()


def test_the_command_names_each_log() -> None:
    diary()
    write([Entry(Kind.AUTH_LOGGED_IN, "user:anna")], PORTAL)
    assert shown() == f"ok     {CHAIN}: 50 entries\nok     portal: 1 entries\n51 entries of 2 logs are in order\n"
    assert shown("--chain", PORTAL) == "ok     portal: 1 entries\n1 entries of 1 logs are in order\n"
    assert shown("--connection", str(CONNECTION)).startswith(f"ok     {CHAIN}: 50 entries\n")


@pytest.mark.usefixtures("tampering")
def test_the_command_fails_with_the_first_break_named() -> None:
    entries().filter(seq=17).update(actor="user:mallory")
    out = StringIO()
    with pytest.raises(CommandError, match="1 of 1 logs are broken") as failed:
        call_command("verify_log", stdout=out)
    assert failed.value.returncode == 1
    assert out.getvalue() == f"BROKEN {CHAIN}: entry 17: its columns do not say what its header says\n"


def test_the_command_says_what_to_do_about_an_unknown_log() -> None:
    with pytest.raises(CommandError, match="all logs are checked and named"):
        shown("--connection", str(uuid4()))


@pytest.mark.django_db(transaction=True)
def test_entries_of_a_chain_that_vanished_are_found() -> None:
    """Both databases refuse to lose a chain with entries while they watch foreign keys; SQLite can be told not to."""
    diary()
    assert orphans() == 0
    if connection.vendor == "postgresql":
        return
    with triggers.suspended(), connection.constraint_checks_disabled(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM syncer_logchain")
        out = StringIO()
        with pytest.raises(CommandError):
            call_command("verify_log", stdout=out)
        assert out.getvalue() == "BROKEN 50 entries belong to no log\n"
