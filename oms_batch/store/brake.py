"""The brake of automatic work: what was refused of a sender before, and which jobs a person has let go."""

from __future__ import annotations

import sqlalchemy as sa

from oms_batch.errors import WrongState
from oms_batch.store import audit
from oms_batch.store.deskbook import note
from oms_batch.store.engine import Ledger
from oms_batch.store.schema import accounts, jobs, moves, notes, registers

REASON = "BRAKE"


def judged_before(ledger: Ledger, register: str, stage: str, refused: str, last: int) -> tuple[int, int]:
    """Accounts judged at this stage in the ``last`` registers of who sent ``register``, and how many were refused."""
    sender = register.rsplit("-", 2)[0]
    recent = (
        sa.select(registers.c.id)
        .where(registers.c.sender_mo == sender, registers.c.name != register)
        .order_by(registers.c.id.desc())
        .limit(last)
    )
    query = (
        sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(sa.case((moves.c.to_state == refused, 1), else_=0)), 0))
        .select_from(moves.join(accounts, accounts.c.id == moves.c.account_id))
        .where(moves.c.stage == stage, accounts.c.register_id.in_(recent))
    )
    with ledger.read() as con:
        judged, lost = con.execute(query).one()
    return int(judged), int(lost)


def hold(ledger: Ledger, job: int, share: str) -> None:
    """Remember that this job is held, and the jump for which; told by ``held``."""
    with ledger.write() as con:
        if con.execute(sa.update(notes).where(notes.c.name == f"brake:{job}").values(value=share)).rowcount == 0:
            con.execute(sa.insert(notes).values(name=f"brake:{job}", value=share))


def held(ledger: Ledger, job: int) -> str:
    """For which jump a job is held; empty when it is not, or when a person has let it go."""
    return "" if released(ledger, job) else note(ledger, f"brake:{job}")


def released(ledger: Ledger, job: int) -> bool:
    """Whether a person has let this job go."""
    return bool(note(ledger, f"brake:{job}:by"))


def release(ledger: Ledger, job: int, who: str) -> None:
    """A person lets a held job go; said in the audit. ``WrongState`` NOT_HELD when it is not held."""
    with ledger.write() as con:
        row = con.execute(sa.select(jobs.c.state, jobs.c.reason).where(jobs.c.id == job)).first()
        if row is None or (row.state, row.reason) != ("parked", REASON):
            raise WrongState("NOT_HELD", str(job))
        let_go = f"brake:{job}:by"
        if con.execute(sa.select(notes.c.value).where(notes.c.name == let_go)).first():
            raise WrongState("NOT_HELD", str(job))  # it waits for the next sweep only
        con.execute(sa.insert(notes).values(name=let_go, value=who))
        audit.append(con, who, "release", f"job:{job}", {"reason": REASON})
