"""Judging an archived register once more, without effect: the verdict of every account as a table."""

from __future__ import annotations

from typing import Any

from oms_batch.errors import Refusal
from oms_batch.model import WorkOrder
from oms_batch.stages import judging
from oms_batch.stages.workbench import hop_of, key_of, workbench

VERDICTS, FLAGGED = "verdicts.parquet", "flagged.parquet"


def work(data: dict[str, Any]) -> dict[str, Any]:
    """Verdicts (``xkey nth sumv refused withheld rule osn``; ``nth``: of its key) and rejecting findings (``xkey
    rule``) as tables in the box.

    Gives ``register``, ``period``, ``rulebook``, ``titles`` of the rules that found something (Russian, English) and
    ``whole``: the code that refuses the register as such, else blank.
    ``Refusal`` when the file cannot be read.
    """
    order = WorkOrder.from_json(data)
    with workbench(order) as bench:
        whole = fingerprint = ""
        titles: dict[str, tuple[str, str]] = {}
        everyone = bench.profile.data["name"]["all_payers"]
        payer = "" if order.named.payer == everyone else order.named.payer
        try:
            judged = judging.judge(bench, hop_of(order, bench.profile), payer)
            fingerprint = judged.book.fingerprint
            titles = {rule.code: (rule.title, rule.title_en) for rule in judged.book.rules}
        except Refusal as refusal:
            whole = refusal.problems[0].code
        for name, query in ((VERDICTS, _verdicts(whole)), (FLAGGED, _FLAGGED)):
            target = f"{order.scratch}/{name}".replace("'", "''")
            bench.con.execute(f"COPY ({query} ORDER BY ALL) TO '{target}' (FORMAT parquet)")
        rules = {row[0] for row in bench.con.execute("SELECT DISTINCT rule FROM findings").fetchall()}
        return {
            "register": bench.named.register,
            "period": bench.named.period,
            "rulebook": fingerprint,
            "whole": whole,
            "titles": {code: both for code, both in titles.items() if code in rules},
        }


# an account that stands twice in a register is two accounts
_KEY = f"{key_of('z')} AS xkey, row_number() OVER (PARTITION BY {key_of('z')} ORDER BY z.n) AS nth"


def _verdicts(whole: str) -> str:
    if whole:
        return f"""SELECT {_KEY}, z.sumv, TRUE AS refused, z.sumv AS withheld, '{whole}' AS rule,
            '' AS osn FROM z_sl z"""
    return f"""SELECT {_KEY}, z.sumv, v.refused, v.withheld, COALESCE(v.rule, '') AS rule,
        COALESCE(v.osn, '') AS osn FROM z_sl z JOIN verdicts v ON v.z_sl_n = z.n"""


_FLAGGED = f"""SELECT {key_of("z")} AS xkey, f.rule FROM findings f JOIN z_sl z ON z.n = f.z_sl_n
    WHERE f.severity = 'reject' UNION SELECT {key_of("z")}, f.rule FROM findings f JOIN z_sl z ON z.pers_n = f.pers_n
    WHERE f.severity = 'reject' AND f.z_sl_n IS NULL"""
