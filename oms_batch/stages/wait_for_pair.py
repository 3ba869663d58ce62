"""The second half of a pair that arrives apart: it waits for the first, which is then read together with it.

What happens, in order: nothing but waiting.
"""

from __future__ import annotations

from typing import Any

from oms_batch.errors import WrongState
from oms_batch.exchange import load_profile
from oms_batch.model import WorkOrder
from oms_batch.ruledata import RuleData
from oms_batch.stages.workbench import hop_of


def work(data: dict[str, Any]) -> dict[str, Any]:
    """Always ``WrongState`` PAIR with the stage of the other half: that one's job takes this file in."""
    order = WorkOrder.from_json(data)
    profile = load_profile(order.profile, RuleData(order.options.get("overlay", "")))
    raise WrongState("PAIR", hop_of(order, profile).pair)
