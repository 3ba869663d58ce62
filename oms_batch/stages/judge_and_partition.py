"""The payer's first stage: the register of one MO in, the refused (6) and the passed (5) out, 6 first.

What happens, in order: read · is it what the fund let through · judge · two answers · report · receipt · effects.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from oms_batch.errors import Problem, Refusal
from oms_batch.exchange import Hop
from oms_batch.formats import container
from oms_batch.model import WorkOrder
from oms_batch.reply import verify
from oms_batch.reply.marks import Codes
from oms_batch.stages import judging, telling
from oms_batch.stages.workbench import Bench, hop_of, workbench
from oms_batch.store import fsio

LISTED = 1000


def work(data: dict[str, Any]) -> dict[str, Any]:
    """Answer the register of the order in two files; raises ``Refusal`` SET_NOT_SUBSET, SET_CHANGED and others."""
    order = WorkOrder.from_json(data)
    with workbench(order) as bench:
        line = hop_of(order, bench.profile)
        _nothing_flagged(bench)
        _proved(bench)
        judged = judging.judge(bench, line, payer=bench.named.payer)
        with bench.timed("answer"):
            for stage in line.emits:
                name = telling.reply_name(bench, stage, bench.named.payer)
                telling.answer(bench, judged, name, _kept(bench, line, stage))
        with bench.timed("report"):
            telling.report(bench, judged)
            telling.receipt(bench, judged, line)
        return judging.result(bench, line, judged).as_json()


def _kept(bench: Bench, line: Hop, stage: str) -> str:
    """Which accounts a file of this stage holds, as the profile tells: the refused, the passed, or both."""
    told = bench.profile.hop(stage, line.receiver, line.sender)
    if told is None or bool(told.passed) == bool(told.refused):
        return "TRUE"
    return "NOT v.refused" if told.passed else "v.refused"


def _proved(bench: Bench) -> None:
    """Where the fund sent us its file too: the MO's must be that file minus the flagged accounts, byte for byte."""
    copy = bench.order.related.get("proved_by")
    if not copy:
        return
    with ExitStack() as stack:
        packed = stack.enter_context(fsio.open_read(copy))
        target = stack.enter_context(fsio.create(f"{bench.order.scratch}/fund.xml"))
        size, member = fsio.stat_open(packed).size, bench.profile.data["member"]
        fund = stack.enter_context(container.open_register(packed, size, member, scratch=target))
        new = stack.enter_context(bench.source())
        found = verify.verify(fund.stream, new, Codes.of(bench.profile.data).refused)
    if found["problems"]:
        raise Refusal(found["problems"], found["problems_total"])


def _nothing_flagged(bench: Bench) -> None:
    """An account that the fund flagged must have been left out."""
    refused = Codes.of(bench.profile.data).refused
    rows = bench.con.execute("SELECT idcase, line FROM z_sl WHERE pay = ? ORDER BY n", [refused]).fetchall()
    if rows:
        problems = [
            Problem("SET_NOT_SUBSET", f"personal_account n_pp={number}, line {at}") for number, at in rows[:LISTED]
        ]
        raise Refusal(problems, len(rows))
