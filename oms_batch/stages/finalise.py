"""The payer's last stage: its own 5, the experts' decisions and the final rules make the 2.

What happens, in order: read our 5 (or what we judged: then only what passed) · final rules · decisions · one answer ·
report · receipt · effects.
"""

from __future__ import annotations

from typing import Any

from oms_batch.exchange import Hop
from oms_batch.model import WorkOrder
from oms_batch.stages import judging, telling
from oms_batch.stages.workbench import Bench, hop_of, key_of, workbench
from oms_batch.store import tables


def work(data: dict[str, Any]) -> dict[str, Any]:
    """Make the final answer of the register; an account may lose a part of its sum or all of it."""
    order = WorkOrder.from_json(data)
    with workbench(order) as bench:
        line = hop_of(order, bench.profile)
        _still_passed(bench, line)
        judged = judging.judge(bench, line, payer=bench.named.payer)
        _leave_out(bench, judged)
        _apply(bench, order.options.get("decisions", []))
        with bench.timed("answer"):
            telling.answer(bench, judged, order.named, order.partner, "v.z_sl_n IS NOT NULL")
        with bench.timed("report"):
            telling.report(bench, judged)
            telling.receipt(bench, judged, line)
        return judging.result(bench, line, judged).as_json()


def _leave_out(bench: Bench, judged: judging.Judged) -> None:
    """What our first answer refused whole is closed already: the final one is silent about it."""
    bench.con.execute(
        "DELETE FROM verdicts WHERE z_sl_n IN (SELECT n FROM z_sl WHERE COALESCE(pay, '') = ?)", [judged.codes.refused]
    )
    bench.only = "n IN (SELECT z_sl_n FROM verdicts)"


def _still_passed(bench: Bench, line: Hop) -> None:
    """Where the answer is made from the register itself: accounts refused before have no part in it."""
    if line.source_is != "in":
        return
    tables.load_parquet(bench.con, "known", bench.order.known)
    bench.con.execute(
        f"DELETE FROM z_sl WHERE {key_of('z_sl')} NOT IN (SELECT xkey FROM known WHERE state = ?)", [line.passed]
    )


def _apply(bench: Bench, decisions: list[dict[str, Any]]) -> None:
    """Decisions of experts over the verdicts: several on one account count together, never above its sum."""
    con = bench.con
    con.execute(
        """CREATE OR REPLACE TABLE decision (xkey VARCHAR, kod VARCHAR, defect VARCHAR, withheld BIGINT, act VARCHAR,
        act_day VARCHAR, expert VARCHAR)"""
    )
    if decisions:
        act = ("act_no", "act_date", "expert")
        rows = [
            [row["xkey"], row["kod"], row["defect"], int(row["withheld"]), *(row.get(name, "") for name in act)]
            for row in decisions
        ]
        con.executemany("INSERT INTO decision VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    combine = {"sum": "sum", "largest": "max"}[bench.profile.data["final"]["combine"]]
    con.execute(
        f"""UPDATE verdicts SET
            withheld = least(d.withheld, COALESCE(sumv, 0)),
            refused = d.withheld >= COALESCE(sumv, 0),
            defect = d.defect, kod = d.kod, rule = COALESCE(rule, '')
        FROM (SELECT xkey, CAST({combine}(withheld) AS BIGINT) AS withheld,
                arg_max(defect, withheld) AS defect, arg_max(kod, withheld) AS kod
            FROM decision GROUP BY xkey) d
        WHERE verdicts.xkey = d.xkey AND NOT COALESCE(verdicts.refused, FALSE)"""
    )
