"""The proof that nothing is lost or doubled: ``ledger verify``, and what every test ends with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from oms_batch.store import audit, fsio
from oms_batch.store.effects import seal
from oms_batch.store.engine import Ledger
from oms_batch.store.jobs import DONE
from oms_batch.store.queries import BUCKETS, WITHDRAWN, account_sums, split
from oms_batch.store.schema import accounts, jobs, moves, outbox, receipts
from oms_batch.store.schema import audit as audit_rows


def verify(
    ledger: Ledger,
    buckets: Mapping[str, str],
    from_anchor: audit.Anchor | None = None,
    files: bool = True,
    seals: bool = True,
) -> dict[str, Any]:
    """Is everything accounted for?

    ``{"balanced": bool, "accounts": {sent, refused_1, refused_6, accepted_5, refused_2, waiting}, "sums": the same
    in kopecks, "problems": ["CODE place", …]}``. Accounts of files that the receiver refused as a whole are not
    among the sent; where there are any, they are told as ``withdrawn``. ``files``: also look whether unpublished
    answers lie in the box; ``seals``: also compare every move with the hash in the audit row of its answer.
    """
    counts = {"sent": 0, **dict.fromkeys(BUCKETS, 0)}
    sums = dict(counts)
    problems: list[str] = []
    with ledger.read() as con:
        for row in con.execute(sa.select(accounts.c.state, *account_sums()).group_by(accounts.c.state)).mappings():
            bucket = buckets.get(row["state"], "")
            if bucket == WITHDRAWN:
                counts[bucket] = counts.get(bucket, 0) + row["n"]
                sums[bucket] = sums.get(bucket, 0) + int(row["kopecks"])
                continue
            counts["sent"] += row["n"]
            sums["sent"] += int(row["kopecks"])
            if not bucket:
                problems.append(f"STATE_UNKNOWN {row['state']}")
                continue
            for bucket, count, kopecks in split(row, buckets):
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
    closed = jobs.c.state.in_(DONE)
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
