"""A shared rule in the words of a layout that keeps the same element elsewhere: ``sl.profil`` is ``z_sl.profil`` there.

The mapping is ``[same]`` of the profile: ``sl = "z_sl"`` for a table, ``"sl.date_1" = "z_sl.date_z_1"`` for a column
that has another name too. What the layout has itself keeps its name. SQL that selects from a mapped table, but to ask
whether there are rows below (``FROM child WHERE child.up_n = parent.n``), is left alone, and so is a question about
rows that are not right below here: the rule is then skipped, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from oms_batch.judge.rule import Example, Rule
from oms_batch.judge.tables import Tables

_NAME = re.compile(r"('(?:[^']|'')*')|(?<![\w.\"])([a-z][a-z0-9_]*)\s*\.\s*([a-z][a-z0-9_]*)(?![\w(])", re.ASCII)
_BELOW = re.compile(r"\b([a-z][a-z0-9_]*)\.up_n = ([a-z][a-z0-9_]*)\.n\b", re.ASCII)
_GROUP = re.compile(r"\bFROM ([a-z][a-z0-9_]*) WHERE \1\.up_n = ", re.ASCII)
Rows = dict[str, Any]


def translated(rule: Rule, tables: Tables) -> Rule:
    """The rule with tables and columns that ``tables.same`` maps, unless the layout has them itself."""
    same = {name: here for name, here in tables.same.items() if not _has(tables, name)}
    spoken = {rule.on, *(_names(rule.parts().columns)), *(name for one in _examples(rule) for name in _shown(one))}
    if rule.select or not spoken & set(same) or not _rows_alike(rule, tables, same):
        return rule
    examples = [_example(one, same) for one in _examples(rule)]
    if any(one is None for one in examples):
        return rule
    found = [one for one in examples if one is not None]

    def text(sql: str) -> str:
        return _sql(sql, same)

    lookups = [
        one.model_copy(update={"on": {key: text(value) for key, value in one.on.items()}, "date": text(one.date)})
        for one in rule.lookup
    ]
    return rule.model_copy(
        update={
            "on": same.get(rule.on, rule.on),
            "element": _column(rule.element, same),
            "fails_when": text(rule.fails_when),
            "value": text(rule.value),
            "lookup": tuple(lookups),
            "passes": tuple(found[: len(rule.passes)]),
            "fails": tuple(found[len(rule.passes) :]),
        }
    )


def _examples(rule: Rule) -> tuple[Example, ...]:
    return (*rule.passes, *rule.fails)


def _names(columns: Iterable[tuple[str, str]]) -> set[str]:
    """Tables and ``table.column``."""
    return {name for table, column in columns for name in (table, f"{table}.{column}")}


def _shown(example: Example) -> set[str]:
    listed = ((table, one if isinstance(one, list) else [one]) for table, one in example.rows.items())
    return set(example.rows) | _names((table, column) for table, rows in listed for row in rows for column in row)


def _has(tables: Tables, name: str) -> bool:
    table, _, column = name.partition(".")
    return column in tables.columns.get(table, {}) if column else table in tables.columns


def _rows_alike(rule: Rule, tables: Tables, same: Mapping[str, str]) -> bool:
    """Whether what the rule selects from stands here under the same parent, or is not mapped at all."""
    for child, above in _BELOW.findall(rule.fails_when):
        if tables.parents.get(same.get(child, child)) != same.get(above, above):
            return False
    asked = _GROUP.findall(rule.fails_when)
    mapped = rule.parts().tables & set(same)
    return all(len(re.findall(rf"\bFROM {name}\b", rule.fails_when)) == asked.count(name) for name in mapped)


def _column(name: str, same: Mapping[str, str]) -> str:
    table, _, column = name.partition(".")
    return same.get(name) or f"{same.get(table, table)}.{column}"


def _sql(text: str, same: Mapping[str, str]) -> str:
    plain = _NAME.sub(lambda match: match[1] or _column(f"{match[2]}.{match[3]}", same), text)
    return re.sub(r"\bFROM ([a-z][a-z0-9_]*)\b", lambda match: f"FROM {same.get(match[1], match[1])}", plain)


def _example(example: Example, same: Mapping[str, str]) -> Example | None:
    """The example with its rows under their names here; ``None`` when it has more rows than can be one."""
    rows: Rows = {}
    for table, stated in example.rows.items():
        here = same.get(table, table)
        if here == table and not any(name.startswith(f"{table}.") for name in same):
            listed, target = stated, table
        else:
            if isinstance(stated, list) and len(stated) != 1:
                if (
                    stated or list(same.values()).count(here) > 1
                ):  # several rows, or none of what is part of another row
                    return None
                rows[here] = []
                continue
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
