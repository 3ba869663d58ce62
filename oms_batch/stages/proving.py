"""Is what the MO sends on what the fund let through, and nothing else."""

from __future__ import annotations

from contextlib import ExitStack

from oms_batch.errors import Problem, Refusal
from oms_batch.exchange import Hop
from oms_batch.formats import container
from oms_batch.reply import verify
from oms_batch.reply.marks import Codes
from oms_batch.stages.workbench import Bench
from oms_batch.store import fsio

LISTED = 1000


def nothing_flagged(bench: Bench, line: Hop) -> None:
    """An account that the one before flagged must have been left out; asked only where the profile has it proved."""
    if not line.proved_by:
        return
    refused = Codes.of(bench.profile.data).refused
    rows = bench.con.execute("SELECT idcase, line FROM z_sl WHERE pay = ? ORDER BY n", [refused]).fetchall()
    if rows:
        problems = [
            Problem("SET_NOT_SUBSET", f"personal_account n_pp={number}, line {at}") for number, at in rows[:LISTED]
        ]
        raise Refusal(problems, len(rows))


def proved(bench: Bench) -> None:
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
