"""The heads of a checkpoint against the chains of this database."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import connection

from syncer.audit import format as form
from syncer.audit.statement import Head
from syncer.models.log import LogChain, SyncLog

_AT_ONCE = 500


@dataclass(frozen=True)
class Differing:
    """A chain that is not as a checkpoint says. `found` is how many entries it has here, None where it is missing."""

    chain: str
    said: int
    found: int | None

    def __str__(self) -> str:
        if self.found is None:
            return f"the log {self.chain} is missing"
        if self.found < self.said:
            return f"the log {self.chain} has {self.found} of its {self.said} entries"
        return f"entry {self.said} of the log {self.chain} is another"


def differences(heads: Mapping[str, Head]) -> list[Differing]:
    """The chains that lack what these heads say, by name."""
    names = sorted(heads)
    found: list[Differing] = []
    for start in range(0, len(names), _AT_ONCE):
        part = {name: heads[name] for name in names[start : start + _AT_ONCE]}
        for name, head_seq, entry_hash in entries_at(part):
            seq, head_hash, _ = part[name]
            made = entry_hash if seq > 0 else form.genesis(name)
            if head_seq is None or head_seq < seq or made != head_hash:
                found.append(Differing(name, seq, head_seq))
    return sorted(found, key=lambda one: one.chain)


def entries_at(heads: Mapping[str, Head]) -> list[tuple[str, int | None, str | None]]:
    """(chain, its head_seq here, the hash of its entry where the head says it stood), by one query."""
    marks = ", ".join(["(%s, %s)"] * len(heads))
    log_table, chain_table = SyncLog._meta.db_table, LogChain._meta.db_table
    query = f"""WITH said(name, seq) AS (VALUES {marks})
        SELECT said.name, chain.head_seq, entry.entry_hash FROM said
        LEFT JOIN "{chain_table}" chain ON chain.name = said.name
        LEFT JOIN "{log_table}" entry ON entry.chain_id = chain.id AND entry.seq = said.seq"""  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(query, [part for name, (seq, _, _) in heads.items() for part in (name, seq)])
        return list(cursor.fetchall())
