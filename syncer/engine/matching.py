"""Which contact is the same person (ENGINE.md 4): pure, over what the replicas hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    PAIR = "pair"
    CREATE = "create"
    EXCLUDED = "excluded"
    DUPLICATE = "duplicate"
    WAIT = "wait"


@dataclass(frozen=True)
class Candidate:
    """A live record that could be the same person. `free`: in no live pair of this connection, or the survivor of one
    whose opposite was deleted. `settled`: neither suspect nor in need of a read."""

    record: int
    free: bool
    settled: bool = True


@dataclass(frozen=True)
class Verdict:
    kind: Kind
    reason: str = ""
    candidate: int | None = None
    candidates: tuple[int, ...] = ()


@dataclass(frozen=True)
class Question:
    """All that the verdict on one unpaired record depends on.

    `candidates` are the live records of the other book with its key, `twins` other live records of its own book with
    that key. `kin` are the live records of the other book that are of its origin: copies of it, or it of them,
    whichever connection made them; `kin_gone` says that the other book held one that was deleted. `creating` says that
    a create that could turn out to be this very record, or its copy, is not settled yet. `creates` is whether the
    connection may create it on the other side, and `why_not` the reason where it may not.
    """

    record: int
    match_key: str
    candidates: Sequence[Candidate]
    twins: Sequence[Candidate]
    ready: bool
    creating: bool
    avoid_duplicates: bool
    creates: bool
    why_not: str = ""
    kin: Sequence[Candidate] = ()
    kin_gone: bool = False


def judge(question: Question) -> Verdict:
    if not question.ready:
        return Verdict(Kind.WAIT, "waiting until both books were read completely")
    if question.creating:
        return Verdict(Kind.WAIT, "waiting for a create whose outcome is not known yet")
    if question.kin:
        return of_one_origin(question)
    if question.match_key == "":
        return without_key(question)
    if not all(one.settled for one in (*question.candidates, *question.twins)):
        return Verdict(Kind.WAIT, "waiting for a contact that decides it")
    ids = tuple(one.record for one in question.candidates)
    if question.twins and question.candidates:
        return Verdict(Kind.DUPLICATE, "several contacts of this book have the same e-mail address", candidates=ids)
    if question.twins:
        return Verdict(Kind.DUPLICATE, "several contacts of this book have the same e-mail address")
    if len(question.candidates) > 1:
        return Verdict(Kind.DUPLICATE, "several contacts of the other book have this e-mail address", candidates=ids)
    if not question.candidates:
        return created(question)
    if not question.candidates[0].free:
        return Verdict(Kind.DUPLICATE, "the contact with this e-mail address is linked to another", candidates=ids)
    return Verdict(Kind.PAIR, "the same e-mail address", candidate=ids[0])


def of_one_origin(question: Question) -> Verdict:
    """Its copy is there already: it is that one, whatever the addresses say by now, and never created again."""
    if not all(one.settled for one in question.kin):
        return Verdict(Kind.WAIT, "waiting for a contact that decides it")
    ids = tuple(one.record for one in question.kin)
    if len(ids) > 1:
        return Verdict(Kind.DUPLICATE, "several contacts of the other book are of the same origin", candidates=ids)
    if not question.kin[0].free:
        return Verdict(Kind.DUPLICATE, "the contact of the same origin is linked to another", candidates=ids)
    return Verdict(Kind.PAIR, "of the same origin", candidate=ids[0])


def without_key(question: Question) -> Verdict:
    if question.avoid_duplicates:
        return Verdict(Kind.EXCLUDED, "no e-mail address, and duplicates are to be avoided")
    return created(question)


def created(question: Question) -> Verdict:
    if question.kin_gone:
        return Verdict(Kind.EXCLUDED, "its copy in the other book was deleted, and is not made again")
    if not question.creates:
        return Verdict(Kind.EXCLUDED, question.why_not)
    return Verdict(Kind.CREATE, "not in the other book")
