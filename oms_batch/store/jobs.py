"""Receipts and jobs: what came, what became of it, what still waits.

A job is one file on one hop: sender, receiver, stage, payer, period and bytes. The same bytes on the
same hop are one job for ever; a delivery is told apart by its claim, so every step may be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from oms_batch import clock
from oms_batch.errors import Fault, WrongState
from oms_batch.model import NamedFile, Reply
from oms_batch.store import audit
from oms_batch.store.engine import Ledger
from oms_batch.store.schema import files, jobs, outbox, receipts

Verdict = Literal["NEW", "DUP", "NAME_REUSED", "AGAIN"]
OPEN = ("new", "working", "parked")
DONE = ("answered", "refused", "quarantined", "failed", "rejected")
MAY_COME_AGAIN = ("refused", "quarantined", "rejected")  # a corrected file under the name of such a one is new


@dataclass(frozen=True, slots=True)
class Delivery:
    """One file that came (or that we make): the claim names the delivery, not the file."""

    claim_id: str
    name: str
    sha256: str
    size: int
    sender: str
    receiver: str
    partner: str = ""
    named: NamedFile | None = None
    kind: str = ""
    original: str = ""
    late: bool = False
    received_at: str = ""
    direction: str = "in"


@dataclass(frozen=True, slots=True)
class Received:
    """What the ledger says to a delivery.

    NEW: judge it. AGAIN: this very delivery is known already, go on with its job. DUP: these bytes were
    received on this hop before (``first_receipt_id``). NAME_REUSED: the register, stage and payer were
    received before with other bytes (``first_receipt_id``); the new job is only there to be refused.
    """

    verdict: Verdict
    job_id: int
    receipt_id: int
    first_receipt_id: int | None
    state: str


@dataclass(frozen=True, slots=True)
class Boxed:
    """A reply and where it lies in the box; stage and payer when it is a register that later stages look for."""

    reply: Reply
    path: str
    stage: str = ""
    payer: str = ""


def printable(name: str) -> str:
    """A file name fit for ledger, log and screen: odd bytes and control signs as escapes, one line."""
    text = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def hop_key(what: Delivery) -> str:
    """Sender, receiver, stage and payer, period, bytes; a name that says nothing stands for itself.

    What was never read has no bytes to be known by: each such delivery is its own.
    """
    content = what.sha256 or what.claim_id
    if what.named is None:
        return "|".join((what.sender, what.receiver, "?", printable(what.name), content))
    return "|".join((what.sender, what.receiver, what.named.suffix, what.named.period, content))


def receive(ledger: Ledger, what: Delivery) -> Received:
    """TX1: write the receipt and, for new bytes, the job. Doing it twice for one claim changes nothing."""
    with ledger.write() as con:
        known = con.execute(sa.select(receipts).where(receipts.c.claim_id == what.claim_id)).mappings().first()
        if known is not None:
            verdict: Verdict = "NAME_REUSED" if known["code"] == "NAME_REUSED" else "AGAIN"
            verdict = "DUP" if known["verdict"] == "DUP" else verdict
            state = con.execute(sa.select(jobs.c.state).where(jobs.c.id == known["job_id"])).scalar_one()
            return Received(verdict, known["job_id"], known["id"], known["first_receipt_id"], state)
        key = hop_key(what)
        same = con.execute(sa.select(jobs.c.id, jobs.c.state).where(jobs.c.hop_key == key)).first()
        if same is not None:
            first = _first_receipt(con, same.id)
            number = _receipt(con, what, same.id, "DUP", "", first)
            return Received("DUP", same.id, number, first, same.state)
        other = _same_name(con, what)
        job = _new_job(con, what, key)
        if other is not None:
            first = _first_receipt(con, other)
            number = _receipt(con, what, job, "", "NAME_REUSED", first)
            return Received("NAME_REUSED", job, number, first, "new")
        return Received("NEW", job, _receipt(con, what, job, "", "", None), None, "new")


def _same_name(con: sa.Connection, what: Delivery) -> int | None:
    if what.named is None:
        return None
    query = (
        sa.select(jobs.c.id)
        .where(jobs.c.sender == what.sender, jobs.c.receiver == what.receiver)
        .where(jobs.c.register == what.named.register, jobs.c.stage == what.named.stage)
        .where(jobs.c.payer == what.named.payer, jobs.c.state.not_in(MAY_COME_AGAIN))
        .order_by(jobs.c.id)
    )
    return con.execute(query).scalar()


def _first_receipt(con: sa.Connection, job: int) -> int | None:
    return con.execute(sa.select(sa.func.min(receipts.c.id)).where(receipts.c.job_id == job)).scalar()


def _named(what: Delivery) -> dict[str, str]:
    named = what.named
    if named is None:
        return {}
    return {"register": named.register, "period": named.period, "stage": named.stage, "payer": named.payer}


def _new_job(con: sa.Connection, what: Delivery, key: str) -> int:
    row = {
        "hop_key": key,
        "kind": what.kind,
        "sender": what.sender,
        "receiver": what.receiver,
        "partner": what.partner,
        "name": printable(what.name),
        "canonical": what.named.canonical if what.named else "",
        "sha256": what.sha256,
        "size": what.size,
        "state": "new",
        "received_at": what.received_at or clock.now().isoformat(),
        "late": int(what.late),
        "original": what.original,
        **_named(what),
    }
    return _id(con.execute(sa.insert(jobs).values(**row)))


def _receipt(con: sa.Connection, what: Delivery, job: int, verdict: str, code: str, first: int | None) -> int:
    row = {
        "claim_id": what.claim_id,
        "name": printable(what.name),
        "name_hex": what.name.encode("utf-8", "surrogateescape").hex() if printable(what.name) != what.name else "",
        "partner": what.partner,
        "direction": what.direction,
        "sha256": what.sha256,
        "size": what.size,
        "received_at": what.received_at or clock.now().isoformat(),
        "verdict": verdict,
        "code": code,
        "job_id": job,
        "first_receipt_id": first,
        **_named(what),
    }
    number = _id(con.execute(sa.insert(receipts).values(**row)))
    data = {"receipt": number, "sha256": what.sha256, "size": what.size, "verdict": verdict or code or "NEW"}
    audit.append(con, what.sender or "operator", "receive", f"job:{job}", data)
    return number


def _id(result: sa.CursorResult[Any]) -> int:
    key = result.inserted_primary_key
    if key is None:
        raise Fault("ledger: no key of a new row")
    return int(key[0])


def job_row(con: sa.Connection, job: int) -> sa.RowMapping:
    """The row of a job inside a transaction; ``Fault`` when there is none."""
    row = con.execute(sa.select(jobs).where(jobs.c.id == job)).mappings().first()
    if row is None:
        raise Fault(f"ledger: no job {job}")
    return row


def get(ledger: Ledger, job: int) -> dict[str, Any]:
    """A job as a dict of its columns."""
    with ledger.read() as con:
        return dict(job_row(con, job))


def _open_job(con: sa.Connection, job: int) -> sa.RowMapping:
    row = job_row(con, job)
    if row["state"] not in OPEN:
        raise WrongState("JOB_CLOSED", f"{job} {row['state']}")
    return row


def start(ledger: Ledger, job: int) -> int:
    """The job is being worked on; gives the number of this attempt, from 1."""
    with ledger.write() as con:
        attempts = int(_open_job(con, job)["attempts"]) + 1
        con.execute(sa.update(jobs).where(jobs.c.id == job).values(state="working", attempts=attempts))
        return attempts


def describe(ledger: Ledger, job: int, **columns: str | int) -> None:
    """Set facts of an open job found later: ``kind``, ``late``, ``original``, ``deadline``, ``partner``."""
    allowed = {"kind", "late", "original", "deadline", "partner"}
    if unknown := set(columns) - allowed:
        raise Fault(f"ledger: describe {sorted(unknown)}")
    with ledger.write() as con:
        con.execute(sa.update(jobs).where(jobs.c.id == job).values(**columns))


def park(ledger: Ledger, job: int, reason: str, waits_for: str, deadline: str) -> None:
    """The job waits for another file; it goes on by itself when that has come.

    Waiting for the same again (it was tried meanwhile) keeps the first deadline and is not said twice.
    """
    with ledger.write() as con:
        row = _open_job(con, job)
        same = (row["reason"], row["waits_for"]) == (reason, waits_for)
        if same and row["state"] == "parked":
            return
        values = {"state": "parked", "reason": reason, "waits_for": waits_for, "attempts": 0}
        values["deadline"] = row["deadline"] if same and row["deadline"] else deadline
        con.execute(sa.update(jobs).where(jobs.c.id == job).values(**values))
        if not same:
            audit.append(con, "system", "park", f"job:{job}", {"reason": reason, "waits_for": waits_for})


def refuse(ledger: Ledger, job: int, codes: Sequence[str], replies: Sequence[Boxed] = ()) -> None:
    """The whole file is refused: its protocol goes out, no account is touched. ``replies`` lie in the box."""
    _close(ledger, job, "refused", "REF", codes, replies)


def quarantine(ledger: Ledger, job: int, code: str, replies: Sequence[Boxed] = ()) -> None:
    """Set aside for the operator; normally nothing is echoed to the partner."""
    _close(ledger, job, "quarantined", "QUA", [code], replies)


def fail(ledger: Ledger, job: int, reason: str) -> None:
    """Our own fault stopped it: kept for ``retry``, nothing leaves. ``reason``: exception type and place only."""
    _close(ledger, job, "failed", "FAIL", [reason], ())


def _close(ledger: Ledger, job: int, state: str, verdict: str, codes: Sequence[str], replies: Sequence[Boxed]) -> None:
    with ledger.write() as con:
        if job_row(con, job)["state"] == state:
            return
        _open_job(con, job)
        reason = ",".join(dict.fromkeys(codes))
        values = {"state": state, "reason": reason, "waits_for": "", "answered_at": clock.now().isoformat()}
        con.execute(sa.update(jobs).where(jobs.c.id == job).values(**values))
        add_replies(con, job, replies)
        settle_receipts(con, job, verdict, reason)
        audit.append(con, "system", state, f"job:{job}", {"codes": reason, "replies": names(replies)})


def settle_receipts(con: sa.Connection, job: int, verdict: str, code: str = "") -> None:
    """Give the job's receipts that have none yet their verdict."""
    mine = sa.update(receipts).where(receipts.c.job_id == job, receipts.c.verdict == "")
    con.execute(mine.values(verdict=verdict))
    if code:
        con.execute(sa.update(receipts).where(receipts.c.job_id == job, receipts.c.code == "").values(code=code[:200]))


def add_replies(con: sa.Connection, job: int, replies: Sequence[Boxed]) -> None:
    """Outbox rows of a job, inside the transaction that closes it."""
    for boxed in replies:
        reply, path = boxed.reply, boxed.path
        row = {"name": reply.name, "partner": reply.partner, "kind": reply.kind, "sha256": reply.sha256}
        more = {"job_id": job, "ord": reply.order, "size": reply.size, "box_path": path, "state": "box"}
        con.execute(sa.insert(outbox).values(**row, **more))


def names(replies: Sequence[Boxed]) -> list[list[str]]:
    """Name and hash of each reply, for the audit."""
    return [[boxed.reply.name, boxed.reply.sha256] for boxed in replies]


def retry(ledger: Ledger, job: int, who: str) -> None:
    """An operator lets a failed or quarantined job run again."""
    with ledger.write() as con:
        state = job_row(con, job)["state"]
        if state not in ("failed", "quarantined"):
            raise WrongState("JOB_CLOSED" if state in DONE else "JOB_OPEN", f"{job} {state}")
        con.execute(sa.update(jobs).where(jobs.c.id == job).values(state="new", attempts=0, reason="", answered_at=""))
        con.execute(
            sa.update(receipts).where(receipts.c.job_id == job).where(receipts.c.verdict != "DUP").values(verdict="")
        )
        audit.append(con, who, "retry", f"job:{job}", {"was": state})


# ---- what waits, what lies where --------------------------------------------------------------


def unfinished(ledger: Ledger) -> list[dict[str, Any]]:
    """Jobs that a crash may have left: new and working ones, oldest first."""
    return _jobs(ledger, jobs.c.state.in_(("new", "working")))


def parked(ledger: Ledger) -> list[dict[str, Any]]:
    """Jobs that wait for another file, oldest first."""
    return _jobs(ledger, jobs.c.state == "parked")


def unarchived(ledger: Ledger) -> list[dict[str, Any]]:
    """Closed jobs whose files still lie in the spool, oldest first; failed ones stay there."""
    pending = sa.exists().where(outbox.c.job_id == jobs.c.id, outbox.c.state != "published")
    done = jobs.c.state.in_(("answered", "refused", "quarantined", "rejected"))
    return _jobs(ledger, sa.and_(done, jobs.c.archived_at == "", ~pending))


def _jobs(ledger: Ledger, where: sa.ColumnElement[bool]) -> list[dict[str, Any]]:
    with ledger.read() as con:
        return [dict(row) for row in con.execute(sa.select(jobs).where(where).order_by(jobs.c.id)).mappings()]


def archived(ledger: Ledger, job: int, original: str, replies: Iterable[tuple[str, str]] = ()) -> None:
    """Where the bytes lie for good: ``original`` and (name, path) of each reply."""
    with ledger.write() as con:
        values = {"original": original, "archived_at": clock.now().isoformat()}
        con.execute(sa.update(jobs).where(jobs.c.id == job).values(**values))
        mine = sa.update(files).where(files.c.job_id == job)
        con.execute(mine.where(files.c.direction == "in").values(path=original))
        for name, path in replies:
            con.execute(mine.where(files.c.direction == "out", files.c.name == name).values(path=path))
            con.execute(sa.update(outbox).where(outbox.c.job_id == job, outbox.c.name == name).values(box_path=path))


def find_file(ledger: Ledger, register: str, stage: str, payer: str, direction: str) -> dict[str, Any] | None:
    """The newest file of this register, stage and payer that we received (``in``) or sent (``out``).

    Gives ``job_id name sha256 path``; ``None`` when there is none among answered jobs.
    """
    where = (
        files.c.register == register,
        files.c.stage == stage,
        files.c.payer == payer,
        files.c.direction == direction,
    )
    query = sa.select(files.c.job_id, files.c.name, files.c.sha256, files.c.path).where(*where)
    with ledger.read() as con:
        row = con.execute(query.order_by(files.c.id.desc()).limit(1)).mappings().first()
    return dict(row) if row else None


def find_job(
    ledger: Ledger, register: str, stage: str, payer: str, states: Sequence[str] = ()
) -> dict[str, Any] | None:
    """The newest job of this register, stage and payer, e.g. the parked sibling of an answer in two files."""
    query = sa.select(jobs).where(jobs.c.register == register, jobs.c.stage == stage, jobs.c.payer == payer)
    if states:
        query = query.where(jobs.c.state.in_(states))
    with ledger.read() as con:
        row = con.execute(query.order_by(jobs.c.id.desc()).limit(1)).mappings().first()
    return dict(row) if row else None


def files_of(ledger: Ledger, stage: str, direction: str) -> list[dict[str, Any]]:
    """Every file of a stage that we received (``in``) or sent (``out``), oldest first.

    Gives ``register payer name sha256 path`` of answered jobs.
    """
    c = files.c
    query = sa.select(c.register, c.payer, c.name, c.sha256, c.path).where(c.stage == stage, c.direction == direction)
    with ledger.read() as con:
        return [dict(row) for row in con.execute(query.order_by(c.id)).mappings()]


def originals_in_work(ledger: Ledger) -> list[str]:
    """Paths of received bytes that are not archived yet: those that the spool must keep."""
    query = sa.select(jobs.c.original).where(jobs.c.archived_at == "", jobs.c.original != "")
    with ledger.read() as con:
        return list(con.execute(query).scalars())


def find_from(ledger: Ledger, register: str, stage: str, payer: str, sender: str) -> dict[str, Any] | None:
    """The newest answered job of this register, stage and payer that this sender delivered."""
    where = (jobs.c.register == register, jobs.c.stage == stage, jobs.c.payer == payer, jobs.c.sender == sender)
    query = sa.select(jobs).where(*where, jobs.c.state == "answered")
    with ledger.read() as con:
        row = con.execute(query.order_by(jobs.c.id.desc()).limit(1)).mappings().first()
    return dict(row) if row else None
