"""The outbox: answers that are committed and must still reach their folder, in order, once."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from oms_batch import clock
from oms_batch.store import audit
from oms_batch.store.engine import Ledger
from oms_batch.store.schema import outbox


@dataclass(frozen=True, slots=True)
class OutRow:
    """One file of the outbox."""

    id: int
    job_id: int
    order: int
    name: str
    partner: str
    kind: str
    sha256: str
    size: int
    box_path: str
    state: str


def unpublished(ledger: Ledger) -> list[OutRow]:
    """Files that must still go out, in the order in which they must appear."""
    return _outbox(ledger, outbox.c.state != "published")


def outbox_of(ledger: Ledger, job: int) -> list[OutRow]:
    """All files of one job's answer."""
    return _outbox(ledger, outbox.c.job_id == job)


def _outbox(ledger: Ledger, where: sa.ColumnElement[bool]) -> list[OutRow]:
    c = outbox.c
    columns = (c.id, c.job_id, c.ord, c.name, c.partner, c.kind, c.sha256, c.size, c.box_path, c.state)
    with ledger.read() as con:
        rows = con.execute(sa.select(*columns).where(where).order_by(c.job_id, c.ord, c.id)).all()
    return [OutRow(*tuple(row)) for row in rows]


def published(ledger: Ledger, outbox_id: int) -> None:
    """TX3: this file lies in the partner's folder."""
    _mark(ledger, outbox_id, "published")


def blocked(ledger: Ledger, outbox_id: int) -> None:
    """The name is taken by other content: said once in the audit, tried again at each sweep."""
    _mark(ledger, outbox_id, "blocked")


def _mark(ledger: Ledger, outbox_id: int, state: str) -> None:
    with ledger.write() as con:
        row = con.execute(sa.select(outbox).where(outbox.c.id == outbox_id)).mappings().one()
        if row["state"] == state:
            return
        at = clock.now().isoformat() if state == "published" else ""
        con.execute(sa.update(outbox).where(outbox.c.id == outbox_id).values(state=state, published_at=at))
        audit.append(con, "system", state, f"job:{row['job_id']}", {"name": row["name"], "sha256": row["sha256"]})


def republish(ledger: Ledger, job: int) -> None:
    """Put a job's answer out again (a duplicate came): publishing finds what still lies there."""
    with ledger.write() as con:
        con.execute(sa.update(outbox).where(outbox.c.job_id == job).values(state="box"))


def is_ours(ledger: Ledger, sha256: str) -> bool:
    """Whether we ourselves sent these bytes: such a file in our inbox is a loop."""
    with ledger.read() as con:
        return con.execute(sa.select(outbox.c.id).where(outbox.c.sha256 == sha256).limit(1)).first() is not None
