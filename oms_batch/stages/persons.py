"""Before billing: who is asked about, and who is insured where. Nothing here changes a ledger.

``ask`` makes one request out of registers that are not sent yet; ``tell`` looks the persons of a request up.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO

from oms_batch.errors import SetupError
from oms_batch.exchange import load_profile
from oms_batch.formats import container
from oms_batch.i18n import _
from oms_batch.intake import names
from oms_batch.judge import books, identify
from oms_batch.model import WorkOrder
from oms_batch.reply import dbf_request
from oms_batch.ruledata import RuleData
from oms_batch.stages.workbench import Bench, workbench
from oms_batch.store import fsio

TOLD = (
    "idcase", "found", "ambiguous", "in_force", "payer", "smo", "vpolis", "spolis", "npolis", "step", "differs",
    "cancelled",
)  # fmt: skip


def ask(data: dict[str, Any]) -> dict[str, Any]:
    """Write the request ``order.named`` about the persons of ``options["files"]`` (name and path); gives its path."""
    order = WorkOrder.from_json(data)
    profile = load_profile(order.profile, RuleData(order.options.get("overlay", "")))
    made: list[tuple[str, str]] = []

    @contextmanager
    def open_out(member: str) -> Iterator[BinaryIO]:
        made.append((member, f"{order.scratch}/request-{len(made)}"))
        with fsio.create(made[-1][1]) as out:
            yield out

    with ExitStack() as stack:
        benches = [
            stack.enter_context(workbench(order, path, f"register-{at}", names.identify(name, profile)))
            for at, (name, path) in enumerate(order.options["files"])
        ]
        day = benches[0].received_at.date()
        count = dbf_request.write([one.con for one in benches], profile, order.named, open_out, day)
        path = f"{order.box}/{order.named.canonical}"
        members = [(member, stack.enter_context(fsio.open_read(plain))) for member, plain in made]
        out = stack.enter_context(fsio.create(path))
        kind = profile.data["containers"][order.named.extension]
        container.pack_members(kind, members, out, benches[0].received_at)
        fsio.fsync_file(out)
    return {"path": path, "persons": count}


def insured_of(order: WorkOrder) -> str:
    """The database of the insured; ``SetupError`` where nobody is known to be insured."""
    insured = str(order.options.get("insured") or "")
    if not insured:
        raise SetupError(_("there is no register of the insured; bring it in: oms-batch insured import FILE"))
    return insured


def look_up(bench: Bench, insured: str) -> None:
    """Make ``ident`` for a register that is only asked about, not judged."""
    books.load_books(bench.con, bench.profile.rules, bench.profile.id, ["payers"])
    identify.identify(bench.con, insured, bench.profile, bench.order.options.get("decided", ""))


def tell(data: dict[str, Any]) -> dict[str, Any]:
    """Look up the persons of the request of the order; gives the path of a ``;`` table (``TOLD``) and counts."""
    order = WorkOrder.from_json(data)
    insured = insured_of(order)
    with workbench(order) as bench:
        look_up(bench, insured)
        rows = bench.con.execute(
            """SELECT z.idcase, i.found, i.ambiguous, i.in_force, i.payer, i.smo, i.vpolis_right, i.spolis_right,
                i.npolis_right, i.step, i.differs, i.cancelled
            FROM z_sl z JOIN ident i ON i.z_sl_n = z.n ORDER BY z.n"""
        ).fetchall()
    path = f"{order.box}/{order.named.stem}.persons.csv"
    with fsio.create(path) as out:
        text = io.TextIOWrapper(out, encoding="utf-8", newline="")
        table = csv.writer(text, delimiter=";", lineterminator="\n")
        table.writerow(TOLD)
        table.writerows([int(value) if isinstance(value, bool) else value for value in row] for row in rows)
        text.flush()
        text.detach()
        fsio.fsync_file(out)
    found = sum(bool(row[1]) for row in rows)
    return {"path": path, "persons": len(rows), "found": found, "ambiguous": sum(bool(row[2]) for row in rows)}
