"""Accounts that a register left out because of the caps: put aside, waiting, placed in a later register.

An account is in one of two states here: it waits (no new register, or one that its receiver refused as a whole), or it
is placed. Its bytes lie in the archive; the ledger knows where, and no personal data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from oms_batch import clock
from oms_batch.store import audit
from oms_batch.store.engine import Ledger
from oms_batch.store.schema import accounts, registers, sequestered

ASIDE_COLUMNS = ("xkey", "register", "period", "line", "what", "usl_ok", "date_z_2", "sumv", "path")


def put_aside(
    ledger: Ledger, rows: Iterable[Mapping[str, Any]], placed: Sequence[str], register: str, who: str
) -> tuple[int, int]:
    """One transaction: accounts that a register leaves out (``ASIDE_COLUMNS``), and the keys of those that it takes in.

    The same register built again puts its accounts aside once more, which changes nothing. Gives (left out, taken in).
    """
    left = 0
    with ledger.write() as con:
        for source in rows:
            row = {name: source[name] for name in ASIDE_COLUMNS}
            row |= {"at": clock.now().isoformat(), "who": who, "new_register": ""}
            mine = sequestered.c.xkey == row["xkey"]
            if con.execute(sa.update(sequestered).where(mine).values(**row)).rowcount == 0:
                con.execute(sa.insert(sequestered).values(**row))
            left += 1
        done = _place(con, placed, register)
        if left or done:
            audit.append(con, who, "sequester", f"register:{register}", {"left_out": left, "taken_in": done})
    return left, done


def place_aside(ledger: Ledger, keys: Sequence[str], register: str, who: str) -> int:
    """Note that these accounts stand in a register that was built; gives how many of them had been put aside."""
    return put_aside(ledger, (), keys, register, who)[1]


def _place(con: sa.Connection, keys: Sequence[str], register: str) -> int:
    done = 0
    for key in keys:
        mine = sa.update(sequestered).where(sequestered.c.xkey == key).values(new_register=register)
        done += con.execute(mine).rowcount
    return done


def waiting_aside(ledger: Ledger, withdrawn: Sequence[str], register: str = "") -> list[dict[str, Any]]:
    """Accounts that wait, in the order in which care ended: the columns of ``sequestered``.

    ``withdrawn``: states of accounts whose register was refused as a whole, so that they wait again. ``register``:
    those count too that this register has taken in already, because it is being built once more.
    """
    c = sequestered.c
    gone = sa.select(accounts.c.xkey).where(accounts.c.state.in_(withdrawn))
    sent = sa.select(accounts.c.xkey).where(accounts.c.state.not_in(withdrawn))
    waits = sa.or_(c.new_register == "", sa.and_(c.xkey.in_(gone), c.xkey.not_in(sent)))
    if register:
        waits = sa.or_(waits, sa.and_(c.new_register == register, c.xkey.not_in(sent)))
    with ledger.read() as con:
        found = con.execute(sa.select(sequestered).where(waits).order_by(c.date_z_2, c.xkey)).mappings()
        return [dict(row) for row in found]


def standing(ledger: Ledger, period: str, lost: Sequence[str], register: str) -> dict[str, dict[str, int]]:
    """What we billed in a month and nobody refused: register -> key -> kopecks withheld of it.

    ``lost``: states that do not count; ``register`` is left out: it is the one that is being built.
    """
    query = (
        sa.select(registers.c.name, accounts.c.xkey, accounts.c.withheld)
        .join(registers, registers.c.id == accounts.c.register_id)
        .where(registers.c.period == period, registers.c.name != register, accounts.c.state.not_in(lost))
        .order_by(accounts.c.id)
    )
    found: dict[str, dict[str, int]] = {}
    with ledger.read() as con:
        for name, xkey, withheld in con.execute(query):
            found.setdefault(name, {})[xkey] = int(withheld)
    return found
