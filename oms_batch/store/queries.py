"""What the ledger can tell: states, the life of an account, and the proof that nothing is lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from oms_batch.store import fsio
from oms_batch.store.engine import Ledger
from oms_batch.store.schema import (
    accounts,
    corrections,
    decisions,
    invoices,
    jobs,
    moves,
    registers,
    resubmissions,
)

KNOWN_COLUMNS = ("xkey", "nth", "digest", "sumv", "state", "payer", "withheld")
WITHDRAWN = "withdrawn"  # a bucket beside the others: accounts of files that their receiver refused as a whole
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
    query = sa.select(registers.c.name, registers.c.period, c.payer, c.state, *account_sums()).join(registers)
    if period:
        query = query.where(registers.c.period == period)
    rows: dict[str, dict[str, Any]] = {}
    with ledger.read() as con:
        found = con.execute(query.group_by(registers.c.name, registers.c.period, c.payer, c.state)).mappings().all()
        jobs_now = con.execute(sa.select(jobs).where(jobs.c.register != "").order_by(jobs.c.id)).mappings().all()
    for row in found:
        name = row["name"].partition("#")[0]
        one = rows.setdefault(name, _empty(name, row["period"]))
        _add(one, row, buckets)
    for job in jobs_now:
        if period and job["period"] != period:
            continue
        one = rows.setdefault(job["register"], _empty(job["register"], job["period"]))
        one["jobs"].append(_job_line(job))
    return [rows[name] for name in sorted(rows)]


def account_sums() -> tuple[sa.ColumnElement[Any], ...]:
    c = accounts.c
    return (
        sa.func.count().label("n"),
        sa.func.coalesce(sa.func.sum(c.sumv), 0).label("kopecks"),
        sa.func.coalesce(sa.func.sum(c.withheld), 0).label("withheld"),
    )


def _empty(name: str, period: str) -> dict[str, Any]:
    zero: dict[str, Any] = {bucket: {"accounts": 0, "kopecks": 0} for bucket in (*BUCKETS, WITHDRAWN)}
    return {"register": name, "period": period, "accounts": 0, "kopecks": 0, **zero, "payers": {}, "jobs": []}


def _add(one: dict[str, Any], row: sa.RowMapping, buckets: Mapping[str, str]) -> None:
    if buckets[row["state"]] == WITHDRAWN:
        one[WITHDRAWN]["accounts"] += row["n"]
        one[WITHDRAWN]["kopecks"] += int(row["kopecks"])
        return
    one["accounts"] += row["n"]
    one["kopecks"] += int(row["kopecks"])
    payer = one["payers"].setdefault(row["payer"], {"accounts": 0, "kopecks": 0})
    payer["accounts"] += row["n"]
    payer["kopecks"] += int(row["kopecks"])
    for bucket, count, kopecks in split(row, buckets):
        one[bucket]["accounts"] += count
        one[bucket]["kopecks"] += kopecks


def split(row: sa.RowMapping, buckets: Mapping[str, str]) -> Iterator[tuple[str, int, int]]:
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
    query = sa.select(accounts.c.state, *account_sums()).join(registers).where(registers.c.name == register)
    if payer:
        query = query.where(accounts.c.payer == payer)
    found = {bucket: {"accounts": 0, "kopecks": 0} for bucket in BUCKETS}
    with ledger.read() as con:
        for row in con.execute(query.group_by(accounts.c.state)).mappings():
            for bucket, count, kopecks in split(row, buckets):
                found[bucket]["accounts"] += count
                found[bucket]["kopecks"] += kopecks
    return found


def accounts_in(ledger: Ledger, state: str, register: str = "") -> list[dict[str, Any]]:
    """Accounts in a state: ``register xkey idcase payer sumv``, in the order in which they came."""
    c = accounts.c
    query = sa.select(registers.c.name.label("register"), c.xkey, c.idcase, c.payer, c.sumv).join(registers)
    query = query.where(c.state == state, *([registers.c.name == register] if register else []))
    with ledger.read() as con:
        return [dict(row) for row in con.execute(query.order_by(c.id)).mappings()]


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
