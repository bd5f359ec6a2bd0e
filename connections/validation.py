"""What is wrong with a configuration, in words that say what to do. Nothing here writes."""

from collections.abc import Mapping, Sequence

from connections import conditions as language
from connections.fieldtypes import InvalidValue, clean, compatibility, value_map_problems
from connections.models import Account, Action, Condition, Connection, FieldMapping, Rule
from connections.models.connection import SIDES, SideName, other
from connections.tokens import pair_problems
from syncer.connectors.base import Account as Login
from syncer.connectors.base import Field, FieldType, Misconfigured
from syncer.connectors.registry import CONNECTORS, connect, connector_class

Fields = Mapping[SideName, Sequence[Field]]
# The names in syncer/engine/guard.py, which stands above us; a test holds the two together.
LIMITS = ("clears", "overwrites", "trash_tags", "creates", "same_value", "changed_share")


def setting_problems(app: str, settings: Mapping[str, str], credentials: Mapping[str, str]) -> dict[str, str]:
    """By input: what is missing, unknown or not of its form."""
    if app not in CONNECTORS:
        return {"app": f"There is no app called {app}. Choose one of: {', '.join(CONNECTORS)}."}
    found = connector_class(app)
    problems: dict[str, str] = {}
    for inputs, given in ((found.app.settings, settings), (found.app.credentials, credentials)):
        names = {one.name for one in inputs}
        problems |= {name: "This app has no such input." for name in given if name not in names}
        for one in inputs:
            value = given.get(one.name, "")
            if one.required and value.strip() == "":
                problems[one.name] = f"{one.label} is missing. {one.help}".strip()
    problems = problems or pair_problems(found.app, credentials)
    return problems or form_problems(app, settings, credentials)


def form_problems(app: str, settings: Mapping[str, str], credentials: Mapping[str, str]) -> dict[str, str]:
    """What the app's own connector says of the settings when it is made, without asking the app."""
    about = connector_class(app).app
    cleaned = {one.name: str(settings.get(one.name, "")).strip() for one in about.settings}
    given = [one for one in about.credentials if credentials.get(one.name)]
    inputs = about.settings or given[:1]
    try:
        connect(Login(app, cleaned, credentials))
    except Misconfigured as error:
        return {inputs[0].name if len(inputs) == 1 else "settings": str(error)}
    return {}


def mapping_problems(mapping: FieldMapping, fields: Fields) -> dict[str, list[str]]:
    """By form field, as ValidationError takes it."""
    by_name = {side: {field.name: field for field in fields[side]} for side in SIDES}
    left, right = by_name["left"].get(mapping.left_field), by_name["right"].get(mapping.right_field)
    problems: dict[str, list[str]] = {}
    if left is None:
        problems["left_field"] = [f"The left book has no field {mapping.left_field}."]
    if right is None:
        problems["right_field"] = [f"The right book has no field {mapping.right_field}."]
    if left is None or right is None:
        return problems
    problems |= used_twice(mapping)
    problems |= map_problems(mapping, left, right)
    if "value_map" not in problems:
        problems |= direction_problems(mapping, left, right)
    problems |= fallback_problems(mapping, by_name)
    return problems


def used_twice(mapping: FieldMapping) -> dict[str, list[str]]:
    if not mapping.enabled:
        return {}
    others = FieldMapping.objects.filter(connection=mapping.connection, enabled=True).exclude(pk=mapping.pk)
    found = {}
    for name in ("left_field", "right_field"):
        if others.filter(**{name: getattr(mapping, name)}).exists():
            found[name] = ["This field is mapped already. Switch the other line off first."]
    return found


def map_problems(mapping: FieldMapping, left: Field, right: Field) -> dict[str, list[str]]:
    table = mapping.value_map
    if table is None:
        return {}
    if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
        return {"value_map": ['A value map looks like {"left value": "right value"}.']}
    found = value_map_problems(left, right, table)
    return {"value_map": found} if found else {}


def direction_problems(mapping: FieldMapping, left: Field, right: Field) -> dict[str, list[str]]:
    answer = compatibility(left, right, mapping.value_map)
    if mapping.direction not in answer.directions:
        reason = answer.reasons.get(mapping.direction, "These fields are not compatible.")
        offered = sorted(answer.directions)
        hint = f" Possible: {', '.join(offered)}." if offered else ""
        return {"direction": [reason + hint]}
    if mapping.direction in answer.lossy and not mapping.accept_lossy:
        return {
            "accept_lossy": [
                "This conversion may lose something or fail for some values. Accept that, or choose another field."
            ]
        }
    return {}


def fallback_problems(mapping: FieldMapping, by_name: Mapping[SideName, Mapping[str, Field]]) -> dict[str, list[str]]:
    fallback = mapping.fallback
    if fallback is None:
        return {}
    if not isinstance(fallback, dict) or len(fallback) != 1 or not set(fallback) <= {"constant", "field"}:
        return {"fallback": ['A fallback looks like {"constant": "..."} or {"field": "name of a field"}.']}
    name, value = next(iter(fallback.items()))
    if not isinstance(value, str) or value.strip() == "":
        return {"fallback": ["A fallback must be text."]}
    if name == "field" and not any(value in by_name[side] for side in SIDES):
        return {"fallback": [f"Neither book has a field {value}."]}
    return {}


def rule_problems(
    rule: Rule, conditions: Sequence[Condition], actions: Sequence[Action], fields: Sequence[Field]
) -> list[str]:
    side: SideName = "left" if rule.source == "left" else "right"
    capabilities = connector_class(rule.connection.account(side).app).app.capabilities
    known = {field.name: field for field in fields}
    found = []
    for row in conditions:
        condition = language.Condition(row.kind, row.field, row.operator, row.value)
        found += language.problems(condition, known, capabilities)
    return found + [problem for action in actions for problem in action_problems(action)]


def action_problems(action: Action) -> list[str]:
    if action.kind in ("add_tag", "remove_tag") and (not isinstance(action.value, str) or not action.value.strip()):
        return ["A tag action needs the name of a tag."]
    if action.kind == "set_owner" and (not isinstance(action.value, str) or not action.value.strip()):
        return ["Setting an owner needs the owner."]
    if action.kind == "set_field" and action.field == "":
        return ["Setting a field needs the field."]
    return []


def target_problems(rule: Rule, actions: Sequence[Action], targets: Sequence[Field]) -> list[str]:
    """Why the other side cannot take these actions. `targets` are its fields."""
    side: SideName = "right" if rule.source == "left" else "left"
    connection = rule.connection
    app = connector_class(connection.account(side).app).app
    known = {field.name: field for field in targets}
    mapped = set(connection.mappings.filter(enabled=True).values_list(f"{side}_field", flat=True))
    found = []
    for action in actions:
        if action.kind in ("add_tag", "remove_tag") and not app.capabilities.tags:
            found.append(f"{app.label} has no tags, so a rule cannot set them.")
        elif action.kind == "set_owner" and not app.capabilities.owners:
            found.append(f"{app.label} has no owners, so a rule cannot set one.")
        elif action.kind == "set_field":
            found += set_field_problems(action, known.get(action.field), action.field in mapped, app.label)
    return found


def set_field_problems(action: Action, field: Field | None, mapped: bool, label: str) -> list[str]:
    if field is None:
        return [f"{label} has no field {action.field}. Choose another field."]
    if not field.writable:
        return [f"{field.label} of {label} can only be read. Choose another field."]
    if mapped:
        return [f"{field.label} is mapped already, and a mapping and a rule would fight over it. Choose another field."]
    try:
        value = clean(field.type, action.value)
    except InvalidValue as error:
        return [f"The value for {field.label} {error}."]
    choices = dict(field.choices)
    listed = field.type in (FieldType.CHOICE, FieldType.MULTI_CHOICE) and value is not None
    return [
        f"{item} is not one of the choices of {field.label}."
        for item in (value if isinstance(value, list) else [value])
        if listed and item not in choices
    ]


def limit_problems(limits: object) -> list[str]:
    """What is wrong with the limits that staff set; each is a number of contacts or values for one plan and side."""
    if not isinstance(limits, dict):
        return ['Limits look like {"clears": 10}.']
    unknown = [str(name) for name in limits if name not in LIMITS]
    if unknown:
        return [f"There is no limit called {', '.join(unknown)}. There are: {', '.join(LIMITS)}."]
    wrong = [name for name, value in limits.items() if type(value) is not int or value < 0]
    return [f"The limit {', '.join(wrong)} must be a whole number, 0 or more."] if wrong else []


def activation_problems(connection: Connection, fields: Fields) -> list[str]:
    """Why a connection cannot start yet."""
    found = []
    for side in SIDES:
        account = connection.account(side)
        if account.status != Account.Status.CONNECTED:
            found.append(f"{account} is not connected yet: check it first. {account.status_text}".strip())
    lines = list(connection.mappings.filter(enabled=True))
    if not lines:
        found.append("No field is mapped. Switch on at least one line.")
    for side in SIDES:
        if connection.writes_to(side):
            found += required_problems(connection, side, fields[side], lines)
        found += status_problems(connection, side)
    return found + unsupported(connection)


def unsubscribe_problem(connection: Connection) -> str:
    """Why unsubscribes cannot travel this way; empty where they can, or need not."""
    if connection.sync_unsubscribes == "off":
        return ""
    source: SideName = "left" if connection.sync_unsubscribes == "to_right" else "right"
    told, tagged = (connector_class(connection.account(side).app).app for side in (source, other(source)))
    if not told.capabilities.unsubscribes:
        return f"{told.label} does not tell who has unsubscribed. Choose the other way, or switch that option off."
    return "" if tagged.capabilities.tags else f"{tagged.label} has no tags to set. Switch that option off."


def read_only_problems(connection: Connection) -> dict[str, str]:
    """By setting: what would write to an app that can only be read."""
    problems: dict[str, str] = {}
    for side in SIDES:
        slug = connection.account(side).app
        if slug not in CONNECTORS or not connector_class(slug).app.capabilities.read_only:
            continue
        label, away = connector_class(slug).app.label, f"to_{other(side)}"
        if connection.direction != away:
            problems["direction"] = (
                f"{label} can only be read. Let the connection go from it one way, to the {other(side)}."
            )
        if connection.sync_deletions not in ("off", away):
            problems["sync_deletions"] = f"{label} can only be read: no tag can be set there. Choose {away} or off."
        if connection.sync_unsubscribes not in ("off", away):
            problems["sync_unsubscribes"] = (
                f"{label} can only be read: no tag can be set there. Switch that option off."
            )
    return problems


def status_problems(connection: Connection, side: SideName) -> list[str]:
    """The status of new members is a person's choice: nothing is assumed of people who never asked for anything."""
    app = connector_class(connection.account(side).app).app
    if not app.statuses or not connection.writes_to(side):
        return []
    chosen, known = connection.default_for(side, "consent"), dict(app.statuses)
    if chosen in known:
        return []
    if chosen not in (None, ""):
        return [f"{app.label} has no status {chosen} for new contacts. Choose one of: {', '.join(known)}."]
    return [f"Choose the status that new contacts get in {app.label} (on the {side}): {', '.join(known)}."]


def required_problems(
    connection: Connection, side: SideName, fields: Sequence[Field], lines: Sequence[FieldMapping]
) -> list[str]:
    """Required fields that nothing fills when a contact is created."""
    mapped = {getattr(line, f"{side}_field") for line in lines}
    label = connector_class(connection.account(side).app).app.label
    found = []
    for field in fields:
        if not field.required or field.name in mapped:
            continue
        if field.type == FieldType.OWNER:
            if connection.default_for(side, "owner") in (None, ""):
                found.append(f"{label} requires an owner. Choose a default owner for new contacts on the {side}.")
        else:
            found.append(f"{label} requires {field.label}. Map a field of the {other(side)} to it.")
    return found


def unsupported(connection: Connection) -> list[str]:
    """What can be set up but is not carried out yet: said here, so that nobody relies on it."""
    found = []
    if Action.objects.filter(rule__connection=connection, rule__enabled=True).exists():
        found.append("This version does not carry out the actions of rules yet. Remove them, or switch the rule off.")
    if Condition.objects.filter(rule__connection=connection, rule__enabled=True, kind="is_deleted").exists():
        found.append("This version does not act on the condition 'gets deleted' yet. Use the option for deletions.")
    return found
