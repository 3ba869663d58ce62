"""A copy that a third party sends us for proof: it is read, so that it can be relied on, and kept. Nothing follows.

What happens, in order: read · nothing else.
"""

from __future__ import annotations

from typing import Any

from oms_batch.model import Totals, WorkOrder, WorkResult
from oms_batch.stages.workbench import workbench


def work(data: dict[str, Any]) -> dict[str, Any]:
    """Accept a readable copy; raises ``Refusal`` when it cannot be read."""
    order = WorkOrder.from_json(data)
    with workbench(order) as bench:
        kept = bench.totals()
        seconds = bench.seconds
    return WorkResult("accepted", Totals(), Totals(), [], seconds=seconds, notes={"kept": kept.accounts}).as_json()
