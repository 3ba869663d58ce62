"""The payer's last stage: its own 5, the experts' decisions and the final rules make the 2.

What happens, in order: read our 5 (or what we judged: then only what passed) · final rules · decisions · one answer ·
report · receipt · effects.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from oms_batch.control import Controls
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
    """Decisions of experts over the verdicts: several on one account count together, never above its sum.

    ``[final] combine``: ``sum`` or ``largest``; ``per_control = "one"``: of each kind of control (MEK, MEE, EKMP) only
    the largest takes money. A decision that takes nothing (a fine only) changes no verdict.
    """
    con, final = bench.con, bench.profile.data["final"]
    con.execute(
        """CREATE OR REPLACE TABLE decision (xkey VARCHAR, kod VARCHAR, defect VARCHAR, withheld BIGINT, act VARCHAR,
        act_day VARCHAR, expert VARCHAR, kind VARCHAR, control VARCHAR, counted BIGINT)"""
    )
    if decisions:
        rows = [_row(bench, one) for one in decisions]
        con.executemany("INSERT INTO decision VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)", rows)
    one_of_each = "control" if final.get("per_control") == "one" else "control, kod, act"
    con.execute(
        f"""UPDATE decision SET counted = c.counted FROM (
            SELECT rowid AS row, CASE WHEN withheld = 0 OR row_number() OVER (
                PARTITION BY xkey, {one_of_each} ORDER BY withheld DESC, kod, act
            ) > 1 THEN 0 ELSE withheld END AS counted
            FROM decision) c WHERE c.row = decision.rowid"""
    )
    combine = {"sum": "sum", "largest": "max"}[final["combine"]]
    con.execute(
        f"""UPDATE verdicts SET
            withheld = least(d.withheld, COALESCE(sumv, 0)),
            refused = d.withheld >= COALESCE(sumv, 0),
            defect = d.defect, kod = d.kod, rule = COALESCE(rule, '')
        FROM (SELECT xkey, CAST({combine}(counted) AS BIGINT) AS withheld,
                arg_max(defect, counted) AS defect, arg_max(kod, counted) AS kod
            FROM decision GROUP BY xkey) d
        WHERE verdicts.xkey = d.xkey AND d.withheld > 0 AND NOT COALESCE(verdicts.refused, FALSE)"""
    )


def _row(bench: Bench, one: dict[str, Any]) -> list[Any]:
    """A decision as a row; a kind of control that it does not say is that of its ground on the day of the act."""
    controls = Controls.of(bench.profile.rules)
    day = date.fromisoformat(one["act_date"]) if one.get("act_date") else bench.received_at.date()
    kind = one.get("kind") or controls.kind(one["defect"].rstrip("."), day)
    said = [one[name] for name in ("xkey", "kod", "defect")]
    act = [one.get(name, "") for name in ("act_no", "act_date", "expert")]
    return [*said, int(one["withheld"]), *act, kind, controls.group(kind)]
