"""What an entry says that was changed, field by field, for people."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from syncer.audit import format as form
from syncer.audit.walk import MIRRORS, Row


class Changed(NamedTuple):
    """One field with its values as text, empty where there is none. `why` is a code."""

    field: str
    before: str
    after: str
    why: str


class Told(NamedTuple):
    """An entry for people. `more` is what else its payload says, as JSON. `state`: erased, left out or unreadable."""

    seq: Any
    mirrors: Mapping[str, str]
    fields: list[Changed]
    why: str
    more: str
    state: str


def told(row: Row, values: bool) -> Told:
    """Never fails: what was tampered with is shown as far as it can be read."""
    mirrors = {name: text_of(value) for name, value in zip(MIRRORS, row.mirrors, strict=True)}
    header, payload = _object(row.header), _object(row.payload)
    state = "erased" if row.redacted_by is not None else ""
    if not values and row.payload is not None:
        payload, state = {}, "left out"
    elif payload is None:
        state = state or ("unreadable" if row.payload is not None else "")
    payload = payload or {}
    reasons = payload.get("reasons", (header or {}).get("reasons"))
    fields = fields_of(payload, reasons)
    rest = {name: item for name, item in payload.items() if name not in ("before", "after", "reasons")}
    why = ", ".join(dict.fromkeys(_whys(reasons, None)))
    return Told(row.seq, mirrors, fields, why, form.canonical(rest) if rest else "", state)


def fields_of(payload: Mapping[str, Any], reasons: Any) -> list[Changed]:
    before, after = (_unfolded(payload.get(name)) for name in ("before", "after"))
    if isinstance(payload.get("after"), str):
        return [Changed(*one, "") for one in settings_of(payload)]
    before, after = (part if isinstance(part, dict) else {} for part in (before, after))
    return [
        Changed(name, text_of(before.get(name)), text_of(after.get(name)), ", ".join(_whys(reasons, name)))
        for name in dict.fromkeys([*before, *after])
    ]


def settings_of(payload: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What a new version of a configuration changed: the setting's path, before and after, empty where it was not."""
    before, after = (flat(_unfolded(payload.get(name)) or {}) for name in ("before", "after"))
    names = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    return [(name, before.get(name, ""), after.get(name, "")) for name in names]


def _unfolded(value: Any) -> Any:
    """As `unfolded` of the model, and never fails."""
    found = _object(value) if isinstance(value, str) and value.startswith("{") else None
    return value if found is None else found


def flat(value: Any, path: str = "") -> dict[str, str]:
    """{"rules": [{"code": "x", "name": "y"}]} as {"rules x name": "y"}: parts of a list by their code where they have
    one, so that a part added in front changes none of the others."""
    if isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, list) and all(isinstance(one, dict) for one in value):
        parts = [(str(one.get("code", number))[:8], one) for number, one in enumerate(value, start=1)]
    else:
        return {path: json.dumps(value, ensure_ascii=False)}
    found: dict[str, str] = {}
    for name, part in parts:
        found |= flat(part, f"{path} {name}".strip())
    return found


def text_of(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)


def _whys(reasons: Any, field: str | None) -> list[str]:
    """The codes of the reasons for one field, or of all."""
    known = [one for one in reasons if isinstance(one, dict)] if isinstance(reasons, list) else []
    return [text_of(one.get("why")) for one in known if field is None or one.get("field") == field]


def _object(text: Any) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
