"""The fund judges the main register and splits it by payer: 13X in, one 1<s> per payer out.

What happens, in order: read · identify · judge · one answer per payer · report · receipt · effects.
"""

from __future__ import annotations

from typing import Any

from oms_batch.errors import Fault
from oms_batch.exchange import Payer
from oms_batch.model import WorkOrder
from oms_batch.stages import judging, telling
from oms_batch.stages.workbench import Bench, hop_of, last_day, workbench


def work(data: dict[str, Any]) -> dict[str, Any]:
    """Answer the main register of the order; raises ``Refusal`` when it is refused as a whole."""
    order = WorkOrder.from_json(data)
    with workbench(order) as bench:
        line = hop_of(order, bench.profile)
        judged = judging.judge(bench, line)
        with bench.timed("answer"):
            told = 0
            for payer in _payers(bench):
                name = telling.reply_name(bench, line.emits[0], payer.code)
                told += telling.answer(bench, judged, name, f"v.payer = '{payer.code}'", payer.ogrn).accounts
            if told != bench.totals().accounts:
                raise Fault("the answers do not hold every account of the register")
        with bench.timed("report"):
            telling.report(bench, judged)
            telling.receipt(bench, judged, line)
        return judging.result(bench, line, judged).as_json()


def _payers(bench: Bench) -> list[Payer]:
    """The payers to answer: those of the accounts; of a zero register all that the profile names."""
    profile = bench.profile
    day = last_day(bench.named.period)
    first = day.replace(day=1)
    letters = [row[0] for row in bench.con.execute("SELECT DISTINCT payer FROM verdicts ORDER BY 1").fetchall()]
    if letters:
        found = {letter: profile.payer_in(letter, first, day) for letter in letters}
        # an account of an earlier month may belong to a payer who has closed since
        closed = {one.code: one for one in profile.payers}
        return [found[letter] or closed[letter] for letter in letters]
    kind = profile.data["zero"]["answer_to"]
    return sorted((one for one in profile.payers if one.kind == kind and one.open_on(day)), key=lambda one: one.code)
