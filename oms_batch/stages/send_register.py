"""The MO sends its main register: it is read as the fund will read it, noted account by account, and goes out as it is.

What happens, in order: read · the form rules, for the operator to see · copy · effects.
"""

from __future__ import annotations

from typing import Any

from oms_batch.model import Totals, WorkOrder, WorkResult
from oms_batch.stages import judging, telling
from oms_batch.stages.reformulate import forward
from oms_batch.stages.workbench import effects_path, hop_of, save, workbench


def work(data: dict[str, Any]) -> dict[str, Any]:
    """Take our own register on its way to the fund. What it would be refused for is told, not stopped.

    Raises ``Refusal`` when the fund could not read it at all.
    """
    order = WorkOrder.from_json(data)
    with workbench(order) as bench:
        line, named = hop_of(order, bench.profile), order.named
        judged = judging.judge(bench, line, payer=named.payer)
        found = judging.refused_totals(bench)
        forward(bench)
        if found.accounts:
            telling.report(bench, judged, partner="")
        with bench.timed("effects"):
            # who pays is told by the name where the register goes to one payer, else by the answer
            everyone = named.payer == bench.profile.data["name"]["all_payers"]
            bench.con.execute(
                "UPDATE verdicts SET refused = FALSE, withheld = 0, defect = '', kod = '', rule = '', payer = ?",
                ["" if everyone else named.payer],
            )
            save(effects_path(order), [(bench.con, judging.effects_sql(line))])
        return WorkResult(
            "partly" if found.accounts else "accepted",
            bench.totals(),
            Totals(),
            bench.replies,
            effects=effects_path(order),
            rulebook=judged.book.fingerprint,
            books=judged.editions,
            plan=judged.plan,
            seconds=bench.seconds,
            notes={"would_be_refused": {"accounts": found.accounts, "kopecks": found.kopecks}},
        ).as_json()
