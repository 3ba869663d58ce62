"""What the ledger can tell: states, the life of an account, and the proof that nothing is lost or doubled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from oms_batch.store import audit, fsio
from oms_batch.store.effects import seal
from oms_batch.store.engine import Ledger
from oms_batch.store.schema import (
    accounts,
    corrections,
    decisions,
    invoices,
    jobs,
    moves,
    outbox,
    receipts,
    registers,
    resubmissions,
)
from oms_batch.store.schema import (
    audit as audit_rows,
)

KNOWN_COLUMNS = ("xkey", "nth", "digest", "sumv", "state", "payer", "withheld")
BUCKETS = ("refused_1", "refused_6", "accepted_5", "refused_2", "waiting")


def export_known(ledger: Ledger, register: str, payer: str, path: str) -> int:
    """Write what is known of a register's accounts to a new Parquet file (``KNOWN_COLUMNS``); gives their number.

    ``payer=""``: of all payers. The judging child reads it; it sees nothing else of the ledger.
    """
    schema = pa.schema(
        [(name, pa.int64() if name in ("nth", "sumv", "withheld") else pa.string()) for name in KNOWN_COLUMNS]
    )
    query = sa.select(*(accounts.c[name] for name in KNOWN_COLUMNS)).join(registers).where(registers.c.name == register)
    if payer:
        query = query.where(accounts.c.payer == payer)
    total = 0
    with ledger.read() as con, fsio.create(path) as out, pq.ParquetWriter(out, schema) as writer:
        for part in con.execute(query.order_by(accounts.c.id)).yield_per(50_000).partitions():
            columns = zip(*part, strict=True)
            writer.write_table(pa.table(dict(zip(KNOWN_COLUMNS, map(list, columns), strict=True)), schema))
            total += len(part)
    return total


def status(ledger: Ledger, buckets: Mapping[str, str], period: str = "") -> list[dict[str, Any]]:
    """One row per register: ``register period accounts kopecks``, a Totals pair per bucket and its open jobs."""
    c = accounts.c
    query = sa.select(registers.c.name, registers.c.period, c.payer, c.state, *_sums()).join(registers)
    if period:
        query = query.where(registers.c.period == period)
    rows: dict[str, dict[str, Any]] = {}
    with ledger.read() as con:
        found = con.execute(query.group_by(registers.c.name, registers.c.period, c.payer, c.state)).mappings().all()
        jobs_now = con.execute(sa.select(jobs).where(jobs.c.register != "").order_by(jobs.c.id)).mappings().all()
    for row in found:
        one = rows.setdefault(row["name"], _empty(row["name"], row["period"]))
        _add(one, row, buckets)
    for job in jobs_now:
        if period and job["period"] != period:
            continue
        one = rows.setdefault(job["register"], _empty(job["register"], job["period"]))
        one["jobs"].append(_job_line(job))
    return [rows[name] for name in sorted(rows)]


def _sums() -> tuple[sa.ColumnElement[Any], ...]:
    c = accounts.c
    return (
        sa.func.count().label("n"),
        sa.func.coalesce(sa.func.sum(c.sumv), 0).label("kopecks"),
        sa.func.coalesce(sa.func.sum(c.withheld), 0).label("withheld"),
    )


def _empty(name: str, period: str) -> dict[str, Any]:
    zero: dict[str, Any] = {bucket: {"accounts": 0, "kopecks": 0} for bucket in BUCKETS}
    return {"register": name, "period": period, "accounts": 0, "kopecks": 0, **zero, "payers": {}, "jobs": []}


def _add(one: dict[str, Any], row: sa.RowMapping, buckets: Mapping[str, str]) -> None:
    one["accounts"] += row["n"]
    one["kopecks"] += int(row["kopecks"])
    payer = one["payers"].setdefault(row["payer"], {"accounts": 0, "kopecks": 0})
    payer["accounts"] += row["n"]
    payer["kopecks"] += int(row["kopecks"])
    for bucket, count, kopecks in _split(row, buckets):
        one[bucket]["accounts"] += count
        one[bucket]["kopecks"] += kopecks


def _split(row: sa.RowMapping, buckets: Mapping[str, str]) -> Iterator[tuple[str, int, int]]:
    """(bucket, accounts, kopecks): what a final decision leaves of an accepted account stays accepted."""
    bucket, kopecks, withheld = buckets[row["state"]], int(row["kopecks"]), int(row["withheld"])
    if bucket in ("refused_2", "accepted_5"):
        yield "accepted_5", row["n"] if bucket == "accepted_5" else 0, kopecks - withheld
        yield "refused_2", row["n"] if bucket == "refused_2" else 0, withheld
    else:
        yield bucket, row["n"], kopecks


def _job_line(job: sa.RowMapping) -> dict[str, Any]:
    kept = [
        "id",
        "name",
        "stage",
        "payer",
        "sender",
        "receiver",
        "state",
        "reason",
        "waits_for",
        "deadline",
        "late",
        "received_at",
        "answered_at",
    ]
    counts = ["accounts", "kopecks", "refused_accounts", "refused_kopecks"]
    return {key: job[key] for key in (*kept, *counts)}


def job_rows(ledger: Ledger, states: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Jobs of these states (all by default), also those without a register, oldest first."""
    query = sa.select(jobs).order_by(jobs.c.id)
    if states:
        query = query.where(jobs.c.state.in_(states))
    with ledger.read() as con:
        return [_job_line(row) for row in con.execute(query).mappings()]


# ---- one account ------------------------------------------------------------------------------------


def life(ledger: Ledger, xkey: str) -> list[dict[str, Any]]:
    """All accounts with this key (or this number in its file) and their moves, corrections and way back.

    Each: its columns, ``register``, ``moves`` (in order, with the job's file name), ``corrections``,
    ``resubmission`` or ``None``, ``successor`` and ``predecessor`` as (register, xkey) or ``None``, ``decisions``.
    """
    with ledger.read() as con:
        found = _accounts(con, accounts.c.xkey == xkey) or _accounts(con, accounts.c.idcase == xkey)
        return [_whole(con, row) for row in found]


def _accounts(con: sa.Connection, where: sa.ColumnElement[bool]) -> list[dict[str, Any]]:
    query = sa.select(accounts, registers.c.name.label("register"), registers.c.period).join(registers).where(where)
    return [dict(row) for row in con.execute(query.order_by(accounts.c.id).limit(1000)).mappings()]


def _whole(con: sa.Connection, row: dict[str, Any]) -> dict[str, Any]:
    number = row["id"]
    steps = sa.select(moves, jobs.c.name.label("file"), jobs.c.sender).join(jobs).where(moves.c.account_id == number)
    row["moves"] = [dict(step) for step in con.execute(steps.order_by(moves.c.seq)).mappings()]
    fixes = sa.select(corrections).where(corrections.c.account_id == number).order_by(corrections.c.id)
    row["corrections"] = [dict(fix) for fix in con.execute(fixes).mappings()]
    back = con.execute(sa.select(resubmissions).where(resubmissions.c.account_id == number)).mappings().first()
    row["resubmission"] = dict(back) if back else None
    row["successor"] = _place(con, accounts.c.id == row["successor_id"]) if row["successor_id"] else None
    row["predecessor"] = _place(con, accounts.c.successor_id == number)
    experts = sa.select(decisions).where(decisions.c.register == row["register"], decisions.c.xkey == row["xkey"])
    row["decisions"] = [dict(one) for one in con.execute(experts.order_by(decisions.c.id)).mappings()]
    return row


def _place(con: sa.Connection, where: sa.ColumnElement[bool]) -> tuple[str, str] | None:
    found = con.execute(sa.select(registers.c.name, accounts.c.xkey).join(registers).where(where)).first()
    return (found[0], found[1]) if found else None


# ---- the proof --------------------------------------------------------------------------------------


def verify(
    ledger: Ledger,
    buckets: Mapping[str, str],
    from_anchor: audit.Anchor | None = None,
    files: bool = True,
    seals: bool = True,
) -> dict[str, Any]:
    """Is everything accounted for?

    ``{"balanced": bool, "accounts": {sent, refused_1, refused_6, accepted_5, refused_2, waiting}, "sums": the same
    in kopecks, "problems": ["CODE place", …]}``. ``files``: also look whether unpublished answers lie in the box;
    ``seals``: also compare every move with the hash that the audit row of its answer carries.
    """
    counts = {"sent": 0, **dict.fromkeys(BUCKETS, 0)}
    sums = dict(counts)
    problems: list[str] = []
    with ledger.read() as con:
        for row in con.execute(sa.select(accounts.c.state, *_sums()).group_by(accounts.c.state)).mappings():
            counts["sent"] += row["n"]
            sums["sent"] += int(row["kopecks"])
            if row["state"] not in buckets:
                problems.append(f"STATE_UNKNOWN {row['state']}")
                continue
            for bucket, count, kopecks in _split(row, buckets):
                counts[bucket] += count
                sums[bucket] += kopecks
        for check in (_receipts, _jobs_idle, _job_totals, _last_moves, _twice):
            problems.extend(check(con, buckets))
        problems.extend(_box(con) if files else ())
        problems.extend(_seals(con) if seals else ())
        problems.extend(audit.check(con, from_anchor))
    whole = all(one["sent"] == sum(one[bucket] for bucket in BUCKETS) for one in (counts, sums))
    return {"balanced": whole and not problems, "accounts": counts, "sums": sums, "problems": problems}


def _receipts(con: sa.Connection, _buckets: Mapping[str, str]) -> Iterator[str]:
    """Every receipt of a closed job has a verdict."""
    closed = jobs.c.state.in_(("answered", "refused", "quarantined", "failed"))
    query = sa.select(receipts.c.id).join(jobs, jobs.c.id == receipts.c.job_id).where(receipts.c.verdict == "", closed)
    for (number,) in con.execute(query):
        yield f"RECEIPT_NO_VERDICT {number}"


def _jobs_idle(con: sa.Connection, _buckets: Mapping[str, str]) -> Iterator[str]:
    """A parked job says what it waits for and until when."""
    lost = sa.or_(jobs.c.waits_for == "", jobs.c.deadline == "")
    for (number,) in con.execute(sa.select(jobs.c.id).where(jobs.c.state == "parked", lost)):
        yield f"JOB_WAITS_FOR_NOTHING {number}"
    for (number,) in con.execute(sa.select(jobs.c.id).where(jobs.c.state == "failed")):
        yield f"JOB_FAILED {number}"


def _job_totals(con: sa.Connection, buckets: Mapping[str, str]) -> Iterator[str]:
    """What a job said it sent and refused is what its moves say."""
    refused = [state for state, bucket in buckets.items() if bucket.startswith("refused")]
    no = sa.func.coalesce(sa.func.sum(sa.case((moves.c.to_state.in_(refused), 1), else_=0)), 0)
    said = (jobs.c.accounts, jobs.c.kopecks, jobs.c.refused_accounts, jobs.c.refused_kopecks)
    count = sa.func.count(moves.c.account_id)
    claimed, withheld = (
        sa.func.coalesce(sa.func.sum(accounts.c.sumv), 0),
        sa.func.coalesce(sa.func.sum(moves.c.withheld), 0),
    )
    query = (
        sa.select(jobs.c.id, *said, count, claimed, no, withheld)
        .join(moves, moves.c.job_id == jobs.c.id, isouter=True)
        .join(accounts, accounts.c.id == moves.c.account_id, isouter=True)
        .where(jobs.c.state == "answered")
        .group_by(jobs.c.id, *said)
    )
    for number, *numbers in con.execute(query):
        if [int(value) for value in numbers[:4]] != [int(numbers[i]) for i in (4, 5, 6, 7)]:
            yield f"JOB_TOTALS {number}"


def _last_moves(con: sa.Connection, _buckets: Mapping[str, str]) -> Iterator[str]:
    """The state of an account is where its last move led, and its moves make one unbroken line."""
    last = sa.select(moves.c.account_id, sa.func.max(moves.c.seq).label("seq")).group_by(moves.c.account_id).subquery()
    query = (
        sa.select(accounts.c.id)
        .join(last, last.c.account_id == accounts.c.id, isouter=True)
        .join(moves, sa.and_(moves.c.account_id == accounts.c.id, moves.c.seq == last.c.seq), isouter=True)
        .where(
            sa.or_(moves.c.seq.is_(None), moves.c.to_state != accounts.c.state, moves.c.withheld != accounts.c.withheld)
        )
    )
    for (number,) in con.execute(query.limit(1000)):
        yield f"ACCOUNT_MOVES {number}"
    before = moves.alias()
    broken = (
        sa.select(moves.c.account_id)
        .join(before, sa.and_(before.c.account_id == moves.c.account_id, before.c.seq == moves.c.seq - 1), isouter=True)
        .where(moves.c.seq > 1, sa.or_(before.c.seq.is_(None), before.c.to_state != moves.c.from_state))
    )
    for (number,) in con.execute(broken.limit(1000)):
        yield f"ACCOUNT_LINE {number}"


def _twice(con: sa.Connection, buckets: Mapping[str, str]) -> Iterator[str]:
    """No account is accepted twice: under one key in two registers, or with its successor."""
    paid = [state for state, bucket in buckets.items() if bucket == "accepted_5"]
    accepted = accounts.c.state.in_(paid)
    same = sa.select(accounts.c.xkey).where(accepted).group_by(accounts.c.xkey).having(sa.func.count() > 1).limit(1000)
    for (xkey,) in con.execute(same):
        yield f"ACCEPTED_TWICE {xkey}"
    new = accounts.alias()
    both = (
        sa.select(accounts.c.xkey).join(new, new.c.id == accounts.c.successor_id).where(accepted, new.c.state.in_(paid))
    )
    for (xkey,) in con.execute(both.limit(1000)):
        yield f"ACCEPTED_TWICE {xkey}"


def _box(con: sa.Connection) -> Iterator[str]:
    """An answer that is not published yet lies in the box with its bytes."""
    query = sa.select(outbox.c.id, outbox.c.box_path, outbox.c.sha256, outbox.c.state).where(
        outbox.c.state != "published"
    )
    for number, path, sha256, state in con.execute(query):
        if state == "blocked":
            yield f"PUBLISH_BLOCKED {number}"
        if not Path(path).is_absolute() or not fsio.exists(path) or fsio.hash_file(path)[0] != sha256:
            yield f"OUTBOX_LOST {number}"


def _seals(con: sa.Connection) -> Iterator[str]:
    """The moves of each answered job are those that were committed with its answer."""
    told = sa.select(audit_rows.c.object, audit_rows.c.data).where(audit_rows.c.action == "answer")
    said = {target: _sealed(data) for target, data in con.execute(told)}
    by_itself = sa.and_(jobs.c.state == "answered", ~jobs.c.reason.like("job:%"))
    for job in con.execute(sa.select(jobs.c.id).where(by_itself)).scalars().all():
        sealed = said.get(f"job:{job}")
        if sealed is None or (sealed and seal(con, job) != sealed):
            yield f"JOB_SEAL {job}"


def _sealed(data: str) -> str | None:
    try:
        return str(json.loads(data)["effects"])
    except (ValueError, KeyError, TypeError):
        return None


# ---- lists for the desk -----------------------------------------------------------------------------


def refused(ledger: Ledger, states: Sequence[str], **only: Any) -> list[dict[str, Any]]:
    """Accounts in these refused states with the move that refused them.

    ``only``: ``register period payer state defect kod rule idcase xkey usl_ok desk min_kopecks open`` (``open=True``:
    not yet put into a next register) and ``limit``. Rows: the account's columns, ``register period stage defect
    kod rule at job_id``.
    """
    c, m = accounts.c, moves.c
    last = sa.select(sa.func.max(m.seq)).where(m.account_id == c.id).correlate(accounts).scalar_subquery()
    shown = (registers.c.name.label("register"), registers.c.period, m.stage, m.defect, m.kod, m.rule, m.at, m.job_id)
    query = sa.select(accounts, *shown).select_from(
        accounts.join(registers, registers.c.id == c.register_id).join(
            moves, sa.and_(m.account_id == c.id, m.seq == last)
        )
    )
    query = query.where(c.state.in_(states)).order_by(c.id)
    columns: dict[str, Any] = {name: c[name] for name in ["payer", "state", "idcase", "xkey", "usl_ok", "desk"]}
    columns |= {name: m[name] for name in ["defect", "kod", "rule"]}
    columns |= {"register": registers.c.name, "period": registers.c.period}
    for name, value in only.items():
        if name == "limit":
            query = query.limit(value)
        elif name == "open":
            query = query.where(c.desk != "resubmitted") if value else query
        elif name == "min_kopecks":
            query = query.where(c.withheld >= value)
        elif value:
            query = query.where(columns[name] == value)
    with ledger.read() as con:
        return [dict(row) for row in con.execute(query).mappings()]


def register_sums(ledger: Ledger, register: str, payer: str, buckets: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Accounts and kopecks per bucket of one register and payer (``""`` = all), for invoices and totals."""
    query = sa.select(accounts.c.state, *_sums()).join(registers).where(registers.c.name == register)
    if payer:
        query = query.where(accounts.c.payer == payer)
    found = {bucket: {"accounts": 0, "kopecks": 0} for bucket in BUCKETS}
    with ledger.read() as con:
        for row in con.execute(query.group_by(accounts.c.state)).mappings():
            for bucket, count, kopecks in _split(row, buckets):
                found[bucket]["accounts"] += count
                found[bucket]["kopecks"] += kopecks
    return found


def sums_by_care(ledger: Ledger, register: str, payer: str, states: Sequence[str]) -> list[dict[str, Any]]:
    """Accounts in these states of one register and payer by ``usl_ok``: ``usl_ok accounts kopecks`` (as billed)."""
    c = accounts.c
    found = sa.select(c.usl_ok, sa.func.count().label("accounts"), sa.func.sum(c.sumv).label("kopecks"))
    where = (registers.c.name == register, c.payer == payer, c.state.in_(states))
    with ledger.read() as con:
        rows = con.execute(found.join(registers).where(*where).group_by(c.usl_ok).order_by(c.usl_ok)).mappings()
        return [{**row, "kopecks": int(row["kopecks"])} for row in rows]


def invoice_rows(ledger: Ledger, register: str = "") -> list[dict[str, Any]]:
    """Invoices made, of one register or of all."""
    query = sa.select(invoices).order_by(invoices.c.id)
    with ledger.read() as con:
        return [
            dict(row)
            for row in con.execute(query.where(invoices.c.register == register) if register else query).mappings()
        ]
