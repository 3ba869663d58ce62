"""TX2, the one point at which a register is answered: before it nothing has happened, after it everything will.

The effects of a job come as a Parquet file with one row per account. They are counted against the totals of
the result, moved along the life of an account, and written with the outbox and the audit in one transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from oms_batch import clock
from oms_batch.errors import Fault
from oms_batch.model import Totals, WorkResult
from oms_batch.store import audit, fsio
from oms_batch.store.engine import Ledger, bulk
from oms_batch.store.jobs import OPEN, Boxed, add_replies, job_row, names, settle_receipts
from oms_batch.store.schema import accounts, decisions, files, jobs, moves, receipts, registers, resubmissions

TEXTS = [
    "xkey",
    "x_key2",
    "idcase",
    "usl_ok",
    "vidpom",
    "pr_nov",
    "date_z_1",
    "date_z_2",
    "payer",
    "state",
    "stage",
    "defect",
    "kod",
    "rule",
    "digest",
]
EFFECT_COLUMNS = [
    "xkey",
    "x_key2",
    "idcase",
    "usl_ok",
    "vidpom",
    "pr_nov",
    "date_z_1",
    "date_z_2",
    "sumv",
    "payer",
    "state",
    "stage",
    "withheld",
    "defect",
    "kod",
    "rule",
    "digest",
]
_KEPT = [name for name in EFFECT_COLUMNS if name not in ("xkey", "state", "stage", "withheld", "defect", "kod", "rule")]

_effect = sa.Table(
    "effect",
    sa.MetaData(),
    sa.Column("n", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("nth", sa.Integer),
    *(sa.Column(name, sa.Text if name in TEXTS else sa.BigInteger) for name in EFFECT_COLUMNS),
    sa.Column("account_id", sa.BigInteger),
    sa.Column("was", sa.Text),
    sa.Column("held", sa.BigInteger),
    sa.Column("last", sa.Integer),
    prefixes=["TEMPORARY"],
)


@dataclass(frozen=True, slots=True)
class Life:
    """The life of an account as the profile tells it."""

    follows: Mapping[str, Sequence[str]]
    buckets: Mapping[str, str]

    def refused(self) -> list[str]:
        """States in which an account is refused."""
        return [state for state, bucket in self.buckets.items() if bucket.startswith("refused")]


def answer(
    ledger: Ledger,
    job: int,
    result: WorkResult,
    effects: str,
    life: Mapping[str, Sequence[str]],
    buckets: Mapping[str, str],
    replies: Sequence[Boxed],
    *,
    opens: bool | None = None,
    companions: Sequence[int] = (),
    used_decisions: Sequence[int] = (),
) -> bool:
    """Commit the answer of a job; ``False`` when it was answered before (nothing changes then).

    ``effects`` is the path of a Parquet file with ``EFFECT_COLUMNS`` (``""``: no account is touched).
    ``opens`` says whether accounts may be new to this ledger; by itself: only when it has none of that register.
    ``companions`` are jobs answered by the same act (the 6 that belongs to a 5) and without effects of their own;
    ``used_decisions`` are rows of experts' decisions that this answer carries out.
    ``Fault``: accounts or kopecks do not add up, an account is unknown, or a move is not in ``life``.
    """
    rules = Life(life, buckets)
    with ledger.write() as con:
        row = job_row(con, job)
        if row["state"] == "answered":
            return False
        if row["state"] not in OPEN:
            raise Fault(f"job {job}: answer after {row['state']}")
        sealed = _apply(con, row, result, effects, rules, opens) if effects else _nothing(result)
        add_replies(con, job, replies)
        _files(con, row, replies)
        _close(con, row, result)
        for other in companions:
            _companion(con, other, job)
        if used_decisions:
            con.execute(sa.update(decisions).where(decisions.c.id.in_(used_decisions)).values(used_job=job))
        data = {
            "sent": _pair(result.sent),
            "refused": _pair(result.refused),
            "effects": sealed,
            "rulebook": result.rulebook,
        }
        audit.append(
            con, "system", "answer", f"job:{job}", {**data, "replies": names(replies), "with": list(companions)}
        )
    return True


def _pair(totals: Totals) -> list[int]:
    return [totals.accounts, totals.kopecks]


def _nothing(result: WorkResult) -> str:
    if result.sent != Totals() or result.refused != Totals():
        raise Fault("effects: none, but the result counts accounts")
    return ""


# ---- accounts --------------------------------------------------------------------------------------


def _apply(
    con: sa.Connection, job: sa.RowMapping, result: WorkResult, path: str, life: Life, opens: bool | None
) -> str:
    register = _register(con, job)
    _effect.create(con, checkfirst=False)  # goes with the transaction when that fails
    _load(con, path)
    _conserved(con, result, life)
    _find(con, register)
    if opens is None:
        opens = not con.execute(sa.select(accounts.c.id).where(accounts.c.register_id == register).limit(1)).first()
    _insert(con, register, opens)
    _succeed_by_key(con, register, life)
    _allowed(con, life)
    _move(con, job["id"])
    _effect.drop(con, checkfirst=False)
    return seal(con, job["id"])


def _register(con: sa.Connection, job: sa.RowMapping) -> int:
    name = job["register"]
    if not name:
        raise Fault(f"job {job['id']}: effects without a register")
    found = con.execute(sa.select(registers.c.id).where(registers.c.name == name)).scalar()
    if found is not None:
        return int(found)
    mo = name.rsplit("-", 2)[0]
    new = con.execute(sa.insert(registers).values(name=name, period=job["period"], sender_mo=mo))
    return int(new.inserted_primary_key[0]) if new.inserted_primary_key else 0


def _load(con: sa.Connection, path: str) -> None:
    """The Parquet file into the temporary table, in the order of the file."""
    n = 0
    columns = ["n", "nth", *EFFECT_COLUMNS]
    for batch in _batches(path):
        rows = [(number, 1, *values) for number, values in enumerate(batch, n + 1)]
        n += len(rows)
        bulk(con, _effect, columns, rows)
    e = _effect.c
    for (xkey,) in con.execute(sa.select(e.xkey).group_by(e.xkey).having(sa.func.count() > 1)).all():
        same = con.execute(sa.select(e.n).where(e.xkey == xkey).order_by(e.n)).scalars().all()
        for nth, number in enumerate(same, 1):
            con.execute(sa.update(_effect).where(e.n == number).values(nth=nth))


def _batches(path: str) -> Iterator[Iterable[tuple[Any, ...]]]:
    with fsio.open_read(path) as stream:
        source = pq.ParquetFile(stream)
        if missing := set(EFFECT_COLUMNS) - set(source.schema_arrow.names):
            raise Fault(f"effects: no column {', '.join(sorted(missing))}")
        for batch in source.iter_batches(16384, columns=EFFECT_COLUMNS, use_threads=False):
            yield zip(*(_plain(batch.column(name), name) for name in EFFECT_COLUMNS), strict=True)


def _plain(values: pa.Array, name: str) -> list[Any]:
    """Dates and missing values as text; sums must be whole numbers."""
    if name in TEXTS:
        plain: list[Any] = values.cast(pa.string()).fill_null("").to_pylist()
        return plain
    if not pa.types.is_integer(values.type) or values.null_count:
        raise Fault(f"effects: {name} is not a whole number everywhere")
    whole: list[Any] = values.to_pylist()
    return whole


def seal(con: sa.Connection, job: int) -> str:
    """SHA-256 over the moves of a job: it stands in the audit row of the answer, so later changes show."""
    m = moves.c
    told = (m.account_id, m.seq, m.stage, m.from_state, m.to_state, m.withheld, m.defect, m.kod, m.rule)
    query = sa.select(*told, accounts.c.xkey, accounts.c.sumv).join(accounts, accounts.c.id == m.account_id)
    digest = hashlib.sha256()
    for row in con.execute(query.where(m.job_id == job).order_by(m.account_id, m.seq)).yield_per(10_000):
        digest.update(repr(tuple(row)).encode())
    return digest.hexdigest()


def _conserved(con: sa.Connection, result: WorkResult, life: Life) -> None:
    """Accounts and kopecks of the effects are those of the result; nothing more is withheld than was claimed."""
    e = _effect.c
    total = sa.func.coalesce(sa.func.sum(e.sumv), 0), sa.func.coalesce(sa.func.sum(e.withheld), 0)
    refuses = e.state.in_(life.refused())
    count = sa.func.coalesce(sa.func.sum(sa.case((refuses, 1), else_=0)), 0)
    sent, kopecks, withheld, refused = con.execute(sa.select(sa.func.count(), *total, count).select_from(_effect)).one()
    if Totals(sent, int(kopecks)) != result.sent:
        raise Fault(f"effects: {sent} accounts, {kopecks} kopecks; the result has {result.sent}")
    if Totals(int(refused), int(withheld)) != result.refused:
        raise Fault(f"effects: {refused} refused, {withheld} kopecks withheld; the result has {result.refused}")
    # a sum below zero is a fault of the sender: such an account is refused with all of it, and still counted
    part = sa.or_(e.withheld < 0, e.withheld > e.sumv)
    bad = sa.or_(sa.and_(e.withheld != e.sumv, part), e.xkey == "", e.state.not_in(list(life.buckets)))
    whole = [state for state, bucket in life.buckets.items() if bucket in ("refused_1", "refused_6")]
    bad = sa.or_(bad, sa.and_(e.state.in_(whole), e.withheld != e.sumv))
    bad = sa.or_(bad, sa.and_(e.state.not_in(life.refused()), e.sumv < 0, e.withheld != 0))
    if wrong := con.execute(sa.select(sa.func.count()).where(bad)).scalar_one():
        raise Fault(f"effects: {wrong} rows with an impossible sum, state or no key")


def _find(con: sa.Connection, register: int) -> None:
    """Which account of the ledger each row is about, its state and how many moves it has made."""
    same = sa.and_(
        accounts.c.register_id == register, accounts.c.xkey == _effect.c.xkey, accounts.c.nth == _effect.c.nth
    )
    con.execute(
        sa.update(_effect).values(account_id=accounts.c.id, was=accounts.c.state, held=accounts.c.withheld).where(same)
    )
    steps = sa.select(sa.func.max(moves.c.seq)).where(moves.c.account_id == _effect.c.account_id).scalar_subquery()
    con.execute(sa.update(_effect).values(last=steps).where(_effect.c.account_id.is_not(None)))


def _insert(con: sa.Connection, register: int, opens: bool) -> None:
    unknown = _effect.c.account_id.is_(None)
    count = con.execute(sa.select(sa.func.count()).where(unknown)).scalar_one()
    if count and not opens:
        raise Fault(f"effects: {count} accounts are not known to the ledger")
    if not count:
        return
    columns = ["register_id", "xkey", "nth", *_KEPT, "state", "withheld"]
    e = _effect.c
    source = sa.select(sa.literal(register), e.xkey, e.nth, *(e[name] for name in _KEPT), e.state, e.withheld)
    con.execute(sa.insert(accounts).from_select(columns, source.where(unknown).order_by(e.n)))
    same = sa.and_(accounts.c.register_id == register, accounts.c.xkey == e.xkey, accounts.c.nth == e.nth)
    con.execute(sa.update(_effect).values(account_id=accounts.c.id, was="", last=0).where(same, unknown))
    _succeed(con, register)


def _succeed(con: sa.Connection, register: int) -> None:
    """Refused accounts that entered this register learn their successor."""
    name = sa.select(registers.c.name).where(registers.c.id == register).scalar_subquery()
    waiting = sa.select(resubmissions.c.account_id, resubmissions.c.new_xkey).where(
        resubmissions.c.new_register == name
    )
    for old, xkey in con.execute(waiting).all():
        new = sa.select(accounts.c.id).where(
            accounts.c.register_id == register, accounts.c.xkey == xkey, accounts.c.nth == 1
        )
        con.execute(sa.update(accounts).where(accounts.c.id == old).values(successor_id=new.scalar_subquery()))


def _succeed_by_key(con: sa.Connection, register: int, life: Life) -> None:
    """The same where the register itself names its predecessors: those refused accounts of that sender.

    They are billed again by that: the desk does not offer them any more.
    """
    old, new, mine, theirs = accounts, accounts.alias("new"), registers.alias("mine"), registers.alias("theirs")
    named = sa.select(_effect.c.x_key2).where(_effect.c.x_key2 != "", _effect.c.was == "")
    sender = sa.select(mine.c.sender_mo).where(mine.c.id == register).scalar_subquery()
    same = sa.select(theirs.c.id).where(theirs.c.sender_mo == sender, theirs.c.id != register)
    first = sa.select(sa.func.min(new.c.id)).where(new.c.register_id == register, new.c.x_key2 == old.c.xkey)
    con.execute(
        sa.update(old)
        .where(old.c.successor_id.is_(None), old.c.state.in_(life.refused()), old.c.xkey.in_(named))
        .where(old.c.register_id.in_(same))
        .values(successor_id=first.scalar_subquery(), desk="resubmitted")
    )


def _allowed(con: sa.Connection, life: Life) -> None:
    """Every move is a line of the life; staying as it is is right too (a later stage confirms it)."""
    e = _effect.c
    for was, state, count in con.execute(
        sa.select(e.was, e.state, sa.func.count()).where(e.was != "").group_by(e.was, e.state)
    ).all():
        if was != state and state not in life.follows.get(was, ()):
            raise Fault(f"effects: {count} accounts would go from {was} to {state}")
    changed = sa.and_(e.account_id == accounts.c.id, e.was != "", e.sumv != accounts.c.sumv)
    if wrong := con.execute(sa.select(sa.func.count()).where(changed)).scalar_one():
        raise Fault(f"effects: {wrong} accounts come with another sum than they were billed with")


def _move(con: sa.Connection, job: int) -> None:
    e = _effect.c
    moved = sa.and_(e.account_id == accounts.c.id, e.was != "")
    payer = sa.case((e.payer != "", e.payer), else_=accounts.c.payer)
    con.execute(
        sa.update(accounts).values(state=e.state, withheld=e.withheld, payer=payer, digest=e.digest).where(moved)
    )
    columns = [
        "account_id",
        "seq",
        "job_id",
        "stage",
        "from_state",
        "to_state",
        "withheld",
        "defect",
        "kod",
        "rule",
        "at",
    ]
    at = clock.now().isoformat()
    step = (e.account_id, e.last + 1, sa.literal(job), e.stage, e.was, e.state, e.withheld, e.defect, e.kod, e.rule)
    con.execute(sa.insert(moves).from_select(columns, sa.select(*step, sa.literal(at)).order_by(e.account_id)))


# ---- job, files -------------------------------------------------------------------------------------


def _close(con: sa.Connection, job: sa.RowMapping, result: WorkResult) -> None:
    values = {
        "state": "answered",
        "reason": "",
        "waits_for": "",
        "answered_at": clock.now().isoformat(),
        "rulebook": result.rulebook,
        "books": audit.canonical(result.books),
        "accounts": result.sent.accounts,
        "kopecks": result.sent.kopecks,
        "refused_accounts": result.refused.accounts,
        "refused_kopecks": result.refused.kopecks,
    }
    con.execute(sa.update(jobs).where(jobs.c.id == job["id"]).values(**values))
    settle_receipts(con, job["id"], "ANS")


def _companion(con: sa.Connection, other: int, job: int) -> None:
    row = job_row(con, other)
    if row["state"] not in OPEN:
        raise Fault(f"job {job}: its companion {other} is {row['state']}")
    values = {"state": "answered", "reason": f"job:{job}", "waits_for": "", "answered_at": clock.now().isoformat()}
    con.execute(sa.update(jobs).where(jobs.c.id == other).values(**values))
    settle_receipts(con, other, "ANS")
    _files(con, row, ())


def _files(con: sa.Connection, job: sa.RowMapping, replies: Sequence[Boxed]) -> None:
    """Remember the file received and the registers sent, for stages that look for them later."""
    about = {"register": job["register"], "job_id": job["id"]}
    direction = sa.select(receipts.c.direction).where(receipts.c.job_id == job["id"]).order_by(receipts.c.id).limit(1)
    if job["register"] and con.execute(direction).scalar() == "in":
        file = {"stage": job["stage"], "payer": job["payer"], "direction": "in", "name": job["name"]}
        con.execute(sa.insert(files).values(**about, **file, sha256=job["sha256"], path=job["original"]))
    for boxed in replies:
        if boxed.stage:
            file = {"stage": boxed.stage, "payer": boxed.payer, "direction": "out", "name": boxed.reply.name}
            con.execute(sa.insert(files).values(**about, **file, sha256=boxed.reply.sha256, path=boxed.path))
