"""The work queue of identification: who fits an insured person partly, what a person decided, by whom and why.

A question is a pair of a person of a register and one of the insured, known by one hash. It is asked once, for good:
what was decided holds for every later search. Moves are only added, each with its row in the audit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from oms_batch import clock
from oms_batch.errors import WrongState
from oms_batch.store import audit, fsio
from oms_batch.store.engine import Ledger, bulk
from oms_batch.store.schema import doubt_moves, doubts

OPEN, DECIDED, APPEALED = "open", "decided", "appealed"
ACCEPTED, REJECTED, AGREED = "accepted", "rejected", "agreed"
_ABOUT = ("register", "xkey", "period", "mo", "payer", "step", "differs", "due", "agree_by")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question after ``ask``: its number, and whether it is new."""

    id: int
    new: bool


def ask(ledger: Ledger, questions: Sequence[Mapping[str, str]], author: str = "program") -> list[Asked]:
    """Put pairs into the queue (``pair`` and the columns of ``_ABOUT``); a pair that was ever asked keeps its question.

    All of them or none; in the order given. One row of the audit tells of all that are new.
    """
    with ledger.write() as con:
        at, pairs = clock.now().isoformat(), [one["pair"] for one in questions]
        before = _numbers(con, pairs)
        new = {one["pair"]: one for one in questions if one["pair"] not in before}
        given = {"state": OPEN, "asked_at": at}
        columns = [one.name for one in doubts.c if one.name in ("pair", *given, *_ABOUT)]  # in the table's own order
        rows = [tuple({**one, **given}.get(name, "") for name in columns) for one in new.values()]
        bulk(con, doubts, columns, rows)
        known = _numbers(con, pairs)
        moves = [(known[pair], "asked", author, at, one.get("due", "")) for pair, one in new.items()]
        bulk(con, doubt_moves, ["doubt_id", "action", "author", "at", "due"], moves)
        if new:
            numbers = sorted(known[pair] for pair in new)
            told = {"count": len(new), "pairs": hashlib.sha256("".join(sorted(new)).encode()).hexdigest()}
            audit.append(con, author, "doubts_asked", f"doubt:{numbers[0]}-{numbers[-1]}", told)
    waiting = set(new)
    found = []
    for pair in pairs:
        found.append(Asked(known[pair], pair in waiting))
        waiting.discard(pair)
    return found


def _numbers(con: sa.Connection, pairs: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for start in range(0, len(pairs), 500):
        query = sa.select(doubts.c.pair, doubts.c.id).where(doubts.c.pair.in_(pairs[start : start + 500]))
        found |= {row.pair: int(row.id) for row in con.execute(query)}
    return found


def decide(ledger: Ledger, number: int, verdict: str, author: str, reason: str) -> None:
    """Record what a person decided (``accepted``: the two are one, ``rejected``: they are not), on an appeal too.

    The payer is told again when an appeal has turned what he was told.
    ``WrongState`` DOUBT_REASON without author or reason, DOUBT_UNKNOWN, DOUBT_STATE when it is decided already.
    """
    with ledger.write() as con:
        row = _row(con, number, author, reason)
        if row["state"] not in (OPEN, APPEALED):
            raise WrongState("DOUBT_STATE", row["state"])
        told = row["agreed_at"] if row["verdict"] == verdict else ""
        made = {"state": DECIDED, "verdict": verdict, "due": "", "agreed_at": told}
        con.execute(sa.update(doubts).where(doubts.c.id == number).values(**made))
        _move(con, number, verdict, author, reason, clock.now().isoformat(), "")


def appeal(ledger: Ledger, number: int, author: str, reason: str, due: str) -> None:
    """Record an appeal against a decision; until it is heard (by ``due``) the decision holds. One appeal only."""
    with ledger.write() as con:
        row = _row(con, number, author, reason)
        before = sa.select(doubt_moves.c.id).where(doubt_moves.c.doubt_id == number, doubt_moves.c.action == APPEALED)
        if row["state"] != DECIDED or con.execute(before.limit(1)).first():
            raise WrongState("DOUBT_STATE", row["state"])
        con.execute(sa.update(doubts).where(doubts.c.id == number).values(state=APPEALED, due=due))
        _move(con, number, APPEALED, author, reason, clock.now().isoformat(), due)


def agree(ledger: Ledger, numbers: Iterable[int], author: str) -> None:
    """Record that decisions were handed to the payer."""
    with ledger.write() as con:
        at = clock.now().isoformat()
        for number in numbers:
            con.execute(sa.update(doubts).where(doubts.c.id == number).values(agreed_at=at))
            _move(con, number, AGREED, author, "", at, "")


def _row(con: sa.Connection, number: int, author: str, reason: str) -> sa.RowMapping:
    if not author.strip() or not reason.strip():
        raise WrongState("DOUBT_REASON")
    row = con.execute(sa.select(doubts).where(doubts.c.id == number)).mappings().first()
    if row is None:
        raise WrongState("DOUBT_UNKNOWN", str(number))
    return row


def _move(con: sa.Connection, number: int, action: str, author: str, reason: str, at: str, due: str) -> None:
    """One move and its row in the audit; of the reason the audit keeps the hash, so that nobody changes it unseen."""
    values = {"doubt_id": number, "action": action, "author": author, "reason": reason, "at": at, "due": due}
    con.execute(sa.insert(doubt_moves).values(**values))
    data = {"due": due, "reason": hashlib.sha256(reason.encode()).hexdigest() if reason else ""}
    audit.append(con, author, f"doubt_{action}", f"doubt:{number}", data)


def listed(ledger: Ledger, states: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Questions in the order in which they were asked; only those of ``states`` when some are named."""
    query = sa.select(doubts).order_by(doubts.c.id)
    if states:
        query = query.where(doubts.c.state.in_(states))
    with ledger.read() as con:
        return [dict(row) for row in con.execute(query).mappings()]


def get(ledger: Ledger, number: int) -> dict[str, Any]:
    """One question with its ``moves``; ``WrongState`` DOUBT_UNKNOWN."""
    moves = sa.select(doubt_moves).where(doubt_moves.c.doubt_id == number).order_by(doubt_moves.c.id)
    with ledger.read() as con:
        row = con.execute(sa.select(doubts).where(doubts.c.id == number)).mappings().first()
        if row is None:
            raise WrongState("DOUBT_UNKNOWN", str(number))
        return {**row, "moves": [dict(one) for one in con.execute(moves).mappings()]}


def to_agree(ledger: Ledger) -> list[dict[str, Any]]:
    """Decisions that the payer has not been told yet."""
    query = sa.select(doubts).where(doubts.c.verdict != "", doubts.c.agreed_at == "").order_by(doubts.c.id)
    with ledger.read() as con:
        return [dict(row) for row in con.execute(query).mappings()]


def export_decided(ledger: Ledger, path: str) -> str:
    """What was decided as Parquet (``pair``, ``yes``) for a search; gives the path, empty when nothing was."""
    query = sa.select(doubts.c.pair, doubts.c.verdict).where(doubts.c.verdict != "").order_by(doubts.c.id)
    with ledger.read() as con:
        rows = con.execute(query).all()
    if not rows:
        return ""
    table = pa.table({"pair": [row.pair for row in rows], "yes": [row.verdict == ACCEPTED for row in rows]})
    with fsio.create(path) as out:
        pq.write_table(table, out)
    return path
