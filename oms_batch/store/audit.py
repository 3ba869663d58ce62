"""The audit trail: each row carries the hash of the one before, written inside the effect's own transaction.

``h = SHA-256("oms-audit-v1" ‖ prev ‖ canonical JSON of the row)``. The chain shows change, deletion and
reordering; rows cut off at the end show only against an anchor kept elsewhere (each answer manifest carries one).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from oms_batch import clock
from oms_batch.store.engine import Ledger
from oms_batch.store.schema import audit

_SALT = b"oms-audit-v1"
_COLUMNS = ("seq", "t_wall", "actor", "action", "object", "data")


@dataclass(frozen=True, slots=True)
class Anchor:
    """A witness of the trail up to one row; as text ``seq:hash``."""

    seq: int
    h: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.h}"

    @staticmethod
    def parse(text: str) -> Anchor:
        """From ``seq:hash``; ``ValueError`` when it is not one."""
        seq, _, h = text.partition(":")
        if len(h) != 64:
            raise ValueError("anchor")
        return Anchor(int(seq), h)


def canonical(data: dict[str, Any]) -> str:
    """JSON with sorted keys and no spaces: the same data is the same text."""
    return json.dumps(data, ensure_ascii=True, sort_keys=True, separators=(",", ":"))


def append(con: sa.Connection, actor: str, action: str, target: str, data: dict[str, Any]) -> Anchor:
    """Add one row inside the caller's transaction. ``data`` holds codes, counts and hashes only."""
    last = _last(con)
    row = dict(
        zip(_COLUMNS, (last.seq + 1, clock.now().isoformat(), actor, action, target, canonical(data)), strict=True)
    )
    h = _hash(last.h, row)
    con.execute(sa.insert(audit).values(**row, prev=last.h, h=h))
    return Anchor(last.seq + 1, h)


def _last(con: sa.Connection) -> Anchor:
    row = con.execute(sa.select(audit.c.seq, audit.c.h).order_by(audit.c.seq.desc()).limit(1)).first()
    return Anchor(row.seq, row.h) if row else Anchor(0, "")


def _hash(prev: str, row: dict[str, Any]) -> str:
    return hashlib.sha256(_SALT + prev.encode() + canonical(row).encode()).hexdigest()


def anchor(ledger: Ledger) -> Anchor:
    """The newest row, to be printed into manifests and kept elsewhere."""
    with ledger.read() as con:
        return _last(con)


def rows(ledger: Ledger, after: int = 0, target: str = "") -> list[dict[str, Any]]:
    """Rows in order, ``data`` as an object; ``target`` keeps those about one object."""
    query = sa.select(audit).where(audit.c.seq > after).order_by(audit.c.seq)
    if target:
        query = query.where(audit.c.object == target)
    with ledger.read() as con:
        return [{**row, "data": json.loads(row["data"])} for row in con.execute(query).mappings()]


def verify(ledger: Ledger, from_anchor: Anchor | None = None) -> list[str]:
    """What is wrong: ``AUDIT_CHANGED seq``, ``AUDIT_GAP seq``, ``AUDIT_CUT seq``; empty when all is well."""
    with ledger.read() as con:
        return list(check(con, from_anchor))


def check(con: sa.Connection, from_anchor: Anchor | None = None) -> Iterator[str]:
    """The same inside a transaction of the caller."""
    prev, expected = "", 1
    seen_anchor = from_anchor is None or from_anchor.seq == 0
    for row in con.execute(sa.select(audit).order_by(audit.c.seq)).yield_per(5000).mappings():
        seq, h = int(row["seq"]), str(row["h"])
        if seq != expected:
            yield f"AUDIT_GAP {expected}"
        if row["prev"] != prev or h != _hash(prev, {name: row[name] for name in _COLUMNS}):
            yield f"AUDIT_CHANGED {seq}"
        if from_anchor is not None and seq == from_anchor.seq:
            seen_anchor = True
            if h != from_anchor.h:
                yield f"AUDIT_CHANGED {seq}"
        prev, expected = h, seq + 1
    if from_anchor is not None and not seen_anchor:
        yield f"AUDIT_CUT {from_anchor.seq}"
