"""A shared rule in the words of a layout that keeps the same element elsewhere: ``sl.profil`` is ``z_sl.profil`` there.

The mapping is ``[same]`` of the profile: ``sl = "z_sl"`` for a table, ``"sl.date_1" = "z_sl.date_z_1"`` for a column
that has another name too. SQL that selects from a mapped table is left alone: the rule is then
skipped, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from oms_batch.judge.rule import Example, Rule
from oms_batch.judge.tables import Tables

_NAME = re.compile(r"('(?:[^']|'')*')|(?<![\w.\"])([a-z][a-z0-9_]*)\s*\.\s*([a-z][a-z0-9_]*)(?![\w(])", re.ASCII)
Rows = dict[str, Any]


def translated(rule: Rule, tables: Tables) -> Rule:
    """The rule with tables and columns that ``tables.same`` maps, unless the layout has them itself."""
    away = {one.split(".")[0] for one in tables.same} - set(tables.columns)
    spoken = {rule.on} | {table for table, _ in rule.parts().columns}
    if not spoken & away or rule.select or rule.parts().tables & away:
        return rule
    examples = [_example(one, tables.same) for one in (*rule.passes, *rule.fails)]
    if any(one is None for one in examples):
        return rule
    found = [one for one in examples if one is not None]

    def text(sql: str) -> str:
        return _sql(sql, tables.same)

    lookups = [
        one.model_copy(update={"on": {key: text(value) for key, value in one.on.items()}, "date": text(one.date)})
        for one in rule.lookup
    ]
    return rule.model_copy(
        update={
            "on": tables.same.get(rule.on, rule.on),
            "element": _column(rule.element, tables.same),
            "fails_when": text(rule.fails_when),
            "value": text(rule.value),
            "lookup": tuple(lookups),
            "passes": tuple(found[: len(rule.passes)]),
            "fails": tuple(found[len(rule.passes) :]),
        }
    )


def _column(name: str, same: Mapping[str, str]) -> str:
    table, _, column = name.partition(".")
    return same.get(name) or f"{same.get(table, table)}.{column}"


def _sql(text: str, same: Mapping[str, str]) -> str:
    return _NAME.sub(lambda match: match[1] or _column(f"{match[2]}.{match[3]}", same), text)


def _example(example: Example, same: Mapping[str, str]) -> Example | None:
    """The example with its rows under their names here; ``None`` when it has more rows than can be one."""
    rows: Rows = {}
    for table, stated in example.rows.items():
        here = same.get(table, table)
        if here == table and not any(name.startswith(f"{table}.") for name in same):
            listed, target = stated, table
        else:
            if isinstance(stated, list) and len(stated) != 1:
                return None
            cells = stated[0] if isinstance(stated, list) else stated
            moved = {_column(f"{table}.{name}", same): value for name, value in cells.items()}
            if len({name.split(".")[0] for name in moved}) > 1:
                return None
            target = next((name.split(".")[0] for name in moved), here)
            listed = {name.split(".")[1]: value for name, value in moved.items()}
        if target not in rows:
            rows[target] = listed
        elif isinstance(rows[target], dict) and isinstance(listed, dict):
            rows[target] = {**rows[target], **listed}
        else:
            return None
    plain = {"why": example.why, "base": example.base, "expect": example.expect}
    empty = tuple(_column(name, same) for name in example.empty)
    return Example.model_validate({**plain, "empty": empty, **rows})
