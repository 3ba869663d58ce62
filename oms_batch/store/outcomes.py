"""What became of the accounts of a register, for those who compare it with what they expected."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from oms_batch.store.engine import Ledger
from oms_batch.store.schema import accounts, moves, registers


@dataclass(frozen=True)
class Outcome:
    """An account now: its state, and the number of the defect and the rule of the last answer that named one."""

    xkey: str
    state: str
    sumv: int
    defect: str
    rule: str


def outcomes(ledger: Ledger, register: str) -> list[Outcome]:
    """Every account of a register, in the order in which it was billed."""
    c = accounts.c
    query = sa.select(c.id, c.xkey, c.state, c.sumv).join(registers).where(registers.c.name == register).order_by(c.id)
    told = (
        sa.select(moves.c.account_id, moves.c.defect, moves.c.rule)
        .join(accounts, accounts.c.id == moves.c.account_id)
        .join(registers, registers.c.id == accounts.c.register_id)
        .where(registers.c.name == register, moves.c.defect != "")
        .order_by(moves.c.account_id, moves.c.seq)
    )
    with ledger.read() as con:
        last = {row.account_id: (row.defect, row.rule) for row in con.execute(told)}
        rows = con.execute(query).all()
    return [Outcome(row.xkey, row.state, row.sumv, *last.get(row.id, ("", ""))) for row in rows]
