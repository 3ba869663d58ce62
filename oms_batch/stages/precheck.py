"""Judging without effect: the same reading and the same rules that the receiver will run, told as plain values."""

from __future__ import annotations

from typing import Any

from oms_batch.i18n import pick
from oms_batch.model import WorkOrder, roubles
from oms_batch.stages import judging
from oms_batch.stages.workbench import Bench, hop_of, workbench


def work(data: dict[str, Any]) -> dict[str, Any]:
    """The document of ``check --json`` for one readable register; ``Refusal`` when it cannot be read."""
    order = WorkOrder.from_json(data)
    with workbench(order) as bench:
        line = hop_of(order, bench.profile)
        everyone = bench.profile.data["name"]["all_payers"]
        judged = judging.judge(bench, line, payer="" if order.named.payer == everyone else order.named.payer)
        refused = judging.refused_totals(bench)
        sent = bench.totals()
        return {
            "file": order.named.canonical,
            "profile": bench.profile.id,
            "stage": order.named.stage,
            "status": judging.status_of(sent, refused),
            "accounts": sent.accounts,
            "sum": roubles(sent.kopecks),
            "refused_accounts": refused.accounts,
            "refused_sum": roubles(refused.kopecks),
            "findings": findings(bench, judged),
            "plan": [{"code": row.code, "outcome": row.outcome, "found": row.found} for row in judged.plan],
            "rulebook": judged.book.fingerprint,
        }


def findings(bench: Bench, judged: judging.Judged) -> list[dict[str, Any]]:
    """All findings in document order; a person's finding names his first account."""
    rows = bench.con.execute(
        """SELECT f.rule, f.severity, COALESCE(z.xkey, p.xkey, ''), COALESCE(f.element, ''), COALESCE(f.value, ''),
            COALESCE(f.line, 0), COALESCE(z.date_z_2, p.date_z_2)
        FROM findings f LEFT JOIN z_sl z ON z.n = f.z_sl_n
        LEFT JOIN (SELECT up_n, arg_min(xkey, n) AS xkey, max(date_z_2) AS date_z_2 FROM z_sl GROUP BY up_n) p
            ON f.z_sl_n IS NULL AND p.up_n = f.pers_n
        ORDER BY f.line, f.rule, f.n, f.element"""
    ).fetchall()
    found = []
    for code, severity, account, element, value, at, day in rows:
        rule, text = judged.book.get(code), judged.texts.rule(code)
        found.append(
            {
                "code": code,
                "official": list(rule.official) if rule else [],
                "defect": judged.texts.defect(text.defect, day)[0],
                "severity": severity,
                "account": account,
                "element": element,
                "value": value,
                "line": at,
                "message": pick(text.title, text.title_en),
            }
        )
    return found
