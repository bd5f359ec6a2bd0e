"""Who may do what: one table, as data. The admin asks it, docs/operations.md shows it, and a test compares the two.

A membership gives a person a role for one client. Nothing else gives a right: no permission and no group of Django's.
An administrator (Django's superuser) may do everything of the agency.
"""

from dataclasses import dataclass
from enum import IntEnum

from connections.models import Membership

MANAGER, APPROVER, AUDITOR = Membership.Role.MANAGER, Membership.Role.APPROVER, Membership.Role.AUDITOR
ROLES: tuple[str, ...] = (MANAGER, APPROVER, AUDITOR)


class Right(IntEnum):
    """Each includes those before it: who decides looks too."""

    NOTHING = 0
    LOOK = 1
    DECIDE = 2
    SET_UP = 3


WORDS = {Right.NOTHING: "-", Right.LOOK: "looks", Right.DECIDE: "decides", Right.SET_UP: "sets up"}


@dataclass(frozen=True)
class Part:
    """Some of the pages, by their models' labels, and what each role may do there for its client."""

    name: str
    models: tuple[str, ...]
    manager: Right = Right.NOTHING
    approver: Right = Right.NOTHING
    auditor: Right = Right.NOTHING

    def of(self, role: str) -> Right:
        found: Right = getattr(self, role)
        return found


PARTS = (
    Part("The client and its members", ("connections.client",), Right.LOOK, Right.LOOK, Right.LOOK),
    Part("Accounts; authorise, check again", ("connections.account",), Right.SET_UP, Right.LOOK, Right.LOOK),
    Part(
        "Connections, mappings, rules; activate, pause, resume, sync, plan",
        ("connections.connection", "connections.fieldmapping", "connections.rule"),
        Right.SET_UP,
        Right.LOOK,
        Right.LOOK,
    ),
    Part("Runs and plans; approve, reject", ("syncer.syncrun",), Right.LOOK, Right.DECIDE, Right.LOOK),
    Part("Holds; resolve", ("syncer.hold",), Right.LOOK, Right.DECIDE, Right.LOOK),
    Part(
        "Books, records, contacts, history",
        ("syncer.book", "syncer.record", "syncer.link", "syncer.synclog"),
        Right.LOOK,
        Right.LOOK,
        Right.LOOK,
    ),
    Part("People and their roles; API keys", ("portal.person", "connections.apikey")),
    Part(
        "The machine room",
        (
            "axes.accessattempt",
            "django_q.failure",
            "django_q.ormq",
            "django_q.schedule",
            "django_q.success",
            "syncer.accountlease",
            "syncer.apiusage",
            "syncer.heartbeat",
            "syncer.logchain",
            "syncer.logcheckpoint",
        ),
    ),
)
_PART_OF = {model: part for part in PARTS for model in part.models}


def roles_with(model: str, right: Right) -> tuple[str, ...]:
    """The roles that give this right, or more, on the pages of a model; none for a model that the table lacks."""
    part = _PART_OF.get(model)
    return tuple(role for role in ROLES if part is not None and part.of(role) >= right)


def table() -> str:
    """As it stands in docs/operations.md."""
    lines = ["| | manager | approver | auditor | administrator |", "|---|---|---|---|---|"]
    for part in PARTS:
        rights = [WORDS[part.of(role)] for role in ROLES]
        lines.append(f"| {part.name} | {' | '.join(rights)} | everything |")
    return "\n".join(lines)
