"""A file of ours that its receiver refused as a whole: what it had done to the books is taken back, and kept visible.

Its job becomes ``rejected``. Accounts go to the state that the profile gives; where that state counts as
withdrawn, they go into a register of their own (``<register>#<job>``), so that a corrected file of the same name
starts anew while the old accounts can still be looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from oms_batch import clock
from oms_batch.errors import Fault
from oms_batch.model import Totals
from oms_batch.store import audit
from oms_batch.store.effects import seal
from oms_batch.store.engine import Ledger
from oms_batch.store.jobs import MAY_COME_AGAIN, job_row, settle_receipts
from oms_batch.store.schema import accounts, files, jobs, moves, outbox, receipts, registers, resubmissions


def refused_before(ledger: Ledger, job: int) -> bool:
    """Whether an earlier job of this partner and register, stage and payer was refused too."""
    with ledger.read() as con:
        row = job_row(con, job)
        same = (jobs.c[name] == row[name] for name in ("partner", "register", "stage", "payer"))
        earlier = sa.select(jobs.c.id).where(jobs.c.id < job, jobs.c.state.in_(("refused", "quarantined")), *same)
        return con.execute(earlier.limit(1)).first() is not None


def same_name_before(ledger: Ledger, job: int) -> list[dict[str, Any]]:
    """Earlier jobs of the same hop, register, stage and payer that are not closed without effect, oldest first."""
    with ledger.read() as con:
        mine = job_row(con, job)
        same = (jobs.c[name] == mine[name] for name in ("sender", "receiver", "register", "stage", "payer"))
        query = sa.select(jobs).where(
            *same, jobs.c.id < job, jobs.c.register != "", jobs.c.state.not_in(MAY_COME_AGAIN)
        )
        return [dict(row) for row in con.execute(query.order_by(jobs.c.id)).mappings()]


def refuse_half(ledger: Ledger, main: int, half: int) -> None:
    """Close the parked half of a pair that was refused as a whole; the bytes of both may come again.

    Either may be the faulty one, and a corrected half comes with the other as it was.
    """
    with ledger.write() as con:
        for number, values in ((main, {}), (half, {"state": "refused", "reason": f"job:{main}", "waits_for": ""})):
            row = job_row(con, number)
            if values and row["state"] != "parked":
                raise Fault(f"job {number}: half of a pair, but {row['state']}")
            free = {"hop_key": f"{row['hop_key']}|refused:{number}"}
            con.execute(sa.update(jobs).where(jobs.c.id == number).values(**values, **free))
        con.execute(sa.update(jobs).where(jobs.c.id == half).values(answered_at=clock.now().isoformat()))
        settle_receipts(con, half, "REF", f"job:{main}")
        audit.append(con, "system", "refused", f"job:{half}", {"codes": f"job:{main}", "replies": []})


def sent_job(ledger: Ledger, register: str, stage: str, payer: str, partner: str, sha256: str) -> int | None:
    """Our answered job whose file this partner got; ``sha256`` (where known) must be that of the file sent."""
    c = jobs.c
    query = sa.select(c.id).where(c.sender == "self", c.state == "answered")
    query = query.where(c.register == register, c.stage == stage, c.payer == payer)
    if partner:
        query = query.where(c.receiver == partner)
    if sha256:
        mine = sa.exists().where(outbox.c.job_id == c.id, outbox.c.sha256 == sha256)
        query = query.where(mine)
    with ledger.read() as con:
        return con.execute(query.order_by(c.id.desc())).scalar()


def reject(
    ledger: Ledger, job: int, who: str, codes: Sequence[str], passed: str, back_to: str, withdraws: bool
) -> Totals | None:
    """Take back a file that was refused as a whole; gives its accounts and kopecks.

    ``passed``: the state in which sending left the accounts; ``back_to``: where they go. ``None``: it was rejected
    before, or some of its accounts have been answered since, so that the protocol speaks of something else.
    """
    with ledger.write() as con:
        row = job_row(con, job)
        last = sa.select(sa.func.max(moves.c.seq)).where(moves.c.account_id == accounts.c.id).scalar_subquery()
        mine = sa.select(accounts.c.id, accounts.c.sumv, accounts.c.state, accounts.c.register_id, last.label("last"))
        mine = mine.where(accounts.c.id.in_(sa.select(moves.c.account_id).where(moves.c.job_id == job)))
        found = con.execute(mine.order_by(accounts.c.id)).all()
        if row["state"] != "answered" or any(one.state != passed for one in found):
            return None
        _take_back(con, row, [(one.id, one.last + 1) for one in found], passed, back_to)
        if withdraws and found:
            _set_apart(con, row, found[0].register_id, [one.id for one in found])
        _reopen(con, row, codes)
        totals = Totals(len(found), sum(int(one.sumv) for one in found))
        data = {"codes": ",".join(codes), "accounts": totals.accounts, "kopecks": totals.kopecks}
        audit.append(con, who, "reject", f"job:{job}", {**data, "effects": seal(con, job)})
        return totals


def _take_back(con: sa.Connection, job: sa.RowMapping, steps: list[tuple[int, int]], was: str, state: str) -> None:
    at = clock.now().isoformat()
    about = {"job_id": job["id"], "stage": job["stage"], "from_state": was, "to_state": state, "at": at}
    if steps:
        con.execute(sa.insert(moves), [{"account_id": account, "seq": seq, **about} for account, seq in steps])
    mine = accounts.c.id.in_(sa.select(moves.c.account_id).where(moves.c.job_id == job["id"]))
    con.execute(sa.update(accounts).where(mine).values(state=state, withheld=0))


def _set_apart(con: sa.Connection, job: sa.RowMapping, register: int, numbers: list[int]) -> None:
    old = con.execute(sa.select(registers).where(registers.c.id == register)).mappings().one()
    apart = {"name": f"{old['name']}#{job['id']}", "period": old["period"], "sender_mo": old["sender_mo"]}
    new = con.execute(sa.insert(registers).values(**apart).returning(registers.c.id)).scalar_one()
    for start in range(0, len(numbers), 500):
        part = accounts.c.id.in_(numbers[start : start + 500])
        con.execute(sa.update(accounts).where(part).values(register_id=new))
        _bring_back(con, numbers[start : start + 500])


def _bring_back(con: sa.Connection, numbers: list[int]) -> None:
    """Refused accounts that these had replaced wait again, unless they stand on the list for that register."""
    replaced = accounts.c.successor_id.in_(numbers)
    listed = accounts.c.id.in_(sa.select(resubmissions.c.account_id))
    con.execute(sa.update(accounts).where(replaced, ~listed).values(desk=""))
    con.execute(sa.update(accounts).where(replaced).values(successor_id=None))


def _reopen(con: sa.Connection, job: sa.RowMapping, codes: Sequence[str]) -> None:
    """Name and bytes are free again: neither stages nor deliveries that look for this file find it."""
    number, mark = job["id"], f"|rejected:{job['id']}"
    state = {"state": "rejected", "reason": ",".join(codes), "hop_key": job["hop_key"] + mark}
    con.execute(sa.update(jobs).where(jobs.c.id == number).values(**state))
    con.execute(
        sa.update(receipts)
        .where(receipts.c.job_id == number)
        .values(claim_id=receipts.c.claim_id + mark, code=",".join(codes)[:200])
    )
    con.execute(sa.update(files).where(files.c.job_id == number).values(register=f"{job['register']}#{number}"))
