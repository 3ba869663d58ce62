"""What an answer of the federal form may hold and where: the profile's layouts and ``answers.toml``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from oms_batch.errors import Refusal, SetupError
from oms_batch.formats import elements
from oms_batch.formats.elements import Element, Layout
from oms_batch.ruledata import RuleData

ANSWERS = "answers.toml"


def load_answers(rules: RuleData, profile: str) -> dict[str, Any]:
    """What the profile says of its answers."""
    return rules.toml(f"{profile}/{ANSWERS}")


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


def choose(rules: RuleData, profile: str, kind: str, direction: str, version: str, period: str) -> Layout:
    """The layout of a type and direction for a version and a period ``YYYY-MM``.

    Where the version has none in this direction, that of the nearest version before it is taken: who reads a newer
    register answers in the form that is known. ``SetupError`` when the direction has no layout of the type.
    """
    rows = [row for row in elements.index(rules, profile) if (row["type"], row["direction"]) == (kind, direction)]
    if not rows:
        raise SetupError(f"{profile}/layouts/index.csv: nothing for {kind} {direction}")
    known = sorted({row["version"] for row in rows}, key=_number)
    older = [one for one in known if _number(one) <= _number(version)]
    for one in (*reversed(older), known[0]):
        try:
            return elements.load(rules, profile, elements.choose(rules, profile, kind, direction, one, period))
        except Refusal:
            continue
    raise SetupError(f"{profile}/layouts/index.csv: nothing for {kind} {direction} in {period}")


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
