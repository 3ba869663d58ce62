"""Who the persons of a register are and who pays for each account; nothing is judged and no ledger changes."""

from __future__ import annotations

import csv
import io
from typing import Any

from oms_batch.model import WorkOrder
from oms_batch.stages import doubts, persons
from oms_batch.stages.workbench import key_of, workbench
from oms_batch.store import fsio

# What is told of an account: codes, days and names of fields, nothing of the person.
TOLD = (
    "account", "found", "step", "differs", "vector", "payer", "smo", "paid_on", "in_force", "ambiguous", "doubt",
    "cancelled", "cancelled_on", "listed",
)  # fmt: skip
POLICY = ("vpolis", "spolis", "npolis", "begin", "end")


def look(data: dict[str, Any]) -> dict[str, Any]:
    """Identify the register of the order: path of a ``;`` table (``TOLD`` and ``POLICY``) and counts.

    ``SetupError`` where nobody is known to be insured.
    """
    order = WorkOrder.from_json(data)
    insured = persons.insured_of(order)
    with workbench(order) as bench:
        persons.look_up(bench, insured)
        questions = doubts.write(bench)
        listed = ", ".join(f"i.{name}" for name in TOLD[1:])
        right = ", ".join(f"i.{name}_right" for name in POLICY)
        rows = bench.con.execute(
            f"SELECT {key_of('z')}, {listed}, {right} FROM z_sl z JOIN ident i ON i.z_sl_n = z.n ORDER BY z.n"
        )
        path = f"{order.box}/identified.csv"
        with fsio.create(path) as out:
            text = io.TextIOWrapper(out, encoding="utf-8", newline="")
            table = csv.writer(text, delimiter=";", lineterminator="\n")
            table.writerow([*TOLD, *POLICY])
            while part := rows.fetchmany(4096):
                table.writerows([int(cell) if isinstance(cell, bool) else cell for cell in row] for row in part)
            text.flush()
            text.detach()
            fsio.fsync_file(out)
        count = bench.con.execute(
            "SELECT count(*), count(*) FILTER (found), count(*) FILTER (doubt), count(*) FILTER (cancelled) FROM ident"
        ).fetchone()
    names = ("accounts", "found", "doubts", "cancelled")
    return {"path": path, "questions": questions, **dict(zip(names, count or (0, 0, 0, 0), strict=True))}
