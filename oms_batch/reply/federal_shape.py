"""What an answer of the federal form may hold and where: the profile's layouts and ``answers.toml``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oms_batch.control import Controls
from oms_batch.errors import SetupError
from oms_batch.formats.elements import Element, Layout
from oms_batch.ruledata import RuleData

ANSWERS = "answers.toml"


def load_answers(rules: RuleData, profile: str) -> dict[str, Any]:
    """What the profile says of its answers; of kinds of control what all say, unless it says otherwise."""
    data = rules.toml(f"{profile}/{ANSWERS}")
    known = Controls.of(rules)
    kinds: dict[str, Any] = {
        "decision": known.decisions,
        "sums": {name: one["kinds"] for name, one in known.groups.items()},
        "needs_expert": known.needs_expert,
    }
    return {**data, "control": {**kinds, **data.get("control", {})}}


def place(layout: Layout, paths: Sequence[str]) -> Element:
    """The first of these elements that the layout has."""
    for path in paths:
        if path in layout.elements:
            return layout.elements[path]
    raise SetupError(f"layout {layout.id} has none of {', '.join(paths)}")


def order(one: Element) -> tuple[str, ...]:
    """Names of the elements below this one, in the sequence of the layout."""
    return tuple(one.kids)


def size(one: Element) -> int:
    """The longest text that an element may hold; 0: not limited."""
    return max(one.facets.longest, 0) if one.facets is not None and not one.facets.number else 0


def rows_above(layout: Layout, table: str) -> list[str]:
    """The tables whose rows this table's rows lie in, nearest first; none where the layout has no such table."""
    found: list[str] = []
    if any(one.starts_row and one.table == table for one in layout.elements.values()):
        while table := layout.row_above(table):
            found.append(table)
    return found
