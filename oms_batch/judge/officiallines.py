"""Lines of the official checks (books Q015, Q016): one line of a CSV of ``rules/common/official`` is one rule.

They say more than lines of ``fields.csv``: the types of file they are for (``files``), the condition in plain words
(``because``), how an example is set up (``given``) and under what the bad value would be fine (``free``). Texts are
built from ``words.toml``, the name of the element (``elements.csv``) and the condition; the basis from the
grounds of the defect. A column ``cons()`` is the group of elements itself: rows of the table below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from oms_batch.errors import SetupError
from oms_batch.judge.fieldlines import condition_of, typed
from oms_batch.judge.rule import Rule, read_rule
from oms_batch.ruledata import RuleData

WORDS, ELEMENTS = "words.toml", "elements.csv"
# Tables beside the lines that hold no rules.
BESIDE = frozenset({ELEMENTS, "structure.csv", "absent.csv", "ids.csv"})
NOTHING, SOMETHING, GROUP = "-", "+", "()"
_MARKS = {"form": "flk", "sense": "an_mes"}
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
Types = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Wording:
    """What the texts of lines are built from; ``grounds`` by defect: that of order 230 and that of order 231н."""

    words: Mapping[str, Mapping[str, str]]
    elements: Mapping[tuple[str, str], Mapping[str, str]]
    grounds: Mapping[str, list[str]]

    def name(self, table: str, column: str) -> tuple[str, str, str]:
        """Element, its name in Russian and in English."""
        row = self.elements.get((table, column), {})
        element = row.get("element") or column.removesuffix(GROUP).upper()
        return element, row.get("name") or element, row.get("name_en") or element


def is_official(rules: RuleData, set_name: str) -> bool:
    """Whether the tables of this set are lines of this form."""
    return rules.exists(f"{set_name}/{WORDS}")


def official_rules(rules: RuleData, set_name: str, types: Types, parents: Mapping[str, str]) -> Iterator[Rule]:
    """The rules of all lines of a set; ``types`` gives the SQL type of a column, ``parents`` the table above another.

    ``SetupError`` names the file and the code.
    """
    wording = _wording(rules, set_name)
    for file in rules.list(set_name, ".csv"):
        if file.rsplit("/", 1)[-1] in BESIDE:
            continue
        for number, row in enumerate(rules.table(file), 1):
            place = f"{file}:{row.get('code') or number}"
            try:
                data = _as_rule(row, wording, types, parents, place)
            except KeyError as error:
                raise SetupError(f"{place}: no {error}") from None
            yield read_rule(data, place, set_name)


def _wording(rules: RuleData, set_name: str) -> Wording:
    elements = {(row["table"], row["column"]): row for row in rules.table(f"{set_name}/{ELEMENTS}")}
    grounds: dict[str, list[str]] = {}
    for row in sorted(rules.table("common/books/defects.csv"), key=lambda one: one["valid_from"]):
        grounds.setdefault(row["key"], []).append(row["osn"])
    return Wording(rules.toml(f"{set_name}/{WORDS}"), elements, grounds)


def _as_rule(
    row: dict[str, str], wording: Wording, types: Types, parents: Mapping[str, str], place: str
) -> dict[str, Any]:
    table, column = row["table"], row["column"]
    plain = column.removesuffix(GROUP)
    name = f"{table}.{plain}"
    lookup: list[dict[str, Any]] = []
    if column.endswith(GROUP):
        condition, value = _group_condition(row, table, plain, place), "NULL"
    else:
        condition, lookup = condition_of(row, name, place)
        value = f"CAST({name} AS VARCHAR)"
    if row["when"]:
        if not row["free"]:
            raise SetupError(f"{place}: free: what makes the bad value fine, since there is a condition")
        condition = f"COALESCE(({row['when']}), FALSE) AND {condition}"
    official = [part.strip() for part in row["official"].split("|") if part.strip()]
    data: dict[str, Any] = {
        "code": row["code"],
        **_texts(row, wording),
        "official": official,
        "files": row["files"].split(),
        "severity": "reject",
        "defect": row["defect"],
        "basis": _basis(row["defect"], official, wording, place),
        "run_pass": row["run_pass"] or "form",
        "on": table,
        "refuses": _refuses(table, parents),
        "element": name,
        "mark": _MARKS[row["run_pass"] or "form"],
        "fails_when": condition,
        "value": value,
        "lookup": lookup,
        "pass": list(_passes(row, types, place)),
        "fail": [_example(row, text, row["given"], types, place, 1) for text in _listed(row["bad"])],
    }
    for key in ("valid_from", "valid_to"):
        if row[key]:
            data[key] = _day(row[key], place)
    return data


def _refuses(table: str, parents: Mapping[str, str]) -> str:
    """What a fault in this table refuses; of a table that is not in the layout, the account."""
    if table == "register":
        return "register"
    at = table
    while at and at not in ("z_sl", "pers"):
        at = parents.get(at, "")
    return "person" if at == "pers" else "account"


def _group_condition(row: Mapping[str, str], table: str, child: str, place: str) -> str:
    found = f"EXISTS (SELECT 1 FROM {child} WHERE {child}.up_n = {table}.n)"
    try:
        return {"present": f"NOT {found}", "absent": found}[row["must"]]
    except KeyError:
        raise SetupError(f"{place}: must: a group is present or absent") from None


def _texts(row: Mapping[str, str], wording: Wording) -> dict[str, str]:
    """Title and advice in both languages: the line's own, else built."""
    words = wording.words[row["must"]]
    element, name, name_en = wording.name(row["table"], row["column"])
    book = row["arg"].split(".")[0]
    more = {"element": element, "book": wording.words["books"].get(book, book.upper())}
    more["listed"] = row["arg"].replace("|", ", ")
    found = {}
    for key, shown, because in (
        ("title", name, row["because"]),
        ("advice", name, row["because"]),
        ("title_en", name_en, row["because_en"]),
        ("advice_en", name_en, row["because_en"]),
    ):
        text = row[key] or words[key].format(name=shown, **more)
        tail = "because_en" if key.endswith("_en") else "because"
        if because and not row[key] and key.startswith("title"):
            text += wording.words["tail"][tail].format(because=because)
        found[key] = text
    return found


def _basis(defect: str, official: list[str], wording: Wording, place: str) -> str:
    grounds = wording.grounds.get(defect)
    if not grounds:
        raise SetupError(f"{place}: defect: the book of defects has no such key")
    first = "Q016" if all(one.startswith(("001K", "002K", "003K")) for one in official) else "Q015"
    parts = {"old": grounds[0], "new": grounds[-1], "book": first, "ids": ", ".join(official)}
    return wording.words["basis"]["text"].format(**parts)


def _passes(row: Mapping[str, str], types: Types, place: str) -> Iterator[dict[str, Any]]:
    for text in _listed(row["ok"]):
        yield _example(row, text, row["given"], types, place, 0)
    if row["free"]:
        text = _listed(row["bad"])[0]
        given = " & ".join(filter(None, [row["given"], row["free"]]))
        yield {**_example(row, text, given, types, place, 0), "why": f"{row['free']}: {row['column']}: {text}"}


def _listed(text: str) -> list[str]:
    return [part for part in text.split("|") if part]


def _example(row: Mapping[str, str], text: str, given: str, types: Types, place: str, expect: int) -> dict[str, Any]:
    """A base document with what is given and, last, the value of the line's own column."""
    stated: dict[str, str] = {}
    for part in given.split(" & ") if given else []:
        target, mark, value = part.strip().partition("=")
        if not mark or ("." not in target and not target.endswith(GROUP)):
            raise SetupError(f"{place}: given, free: written table.column=value, & between")
        stated[target] = value
    group = row["column"].endswith(GROUP)
    stated[row["column"] if group else f"{row['table']}.{row['column']}"] = text
    data: dict[str, Any] = {"why": f"{row['column']}: {text}", "expect": expect, "base": row["base"], "empty": []}
    # groups first: what is given of their columns goes into their row
    for target, value in sorted(stated.items(), key=lambda one: not one[0].endswith(GROUP)):
        table, _, column = target.removesuffix(GROUP).partition(".")
        if not column:
            data[table] = [] if value == NOTHING else [{}]
        elif value == NOTHING:
            data["empty"].append(target)
            data.setdefault(table, {})
        else:
            cell = {column: typed(value, _kind(types, table, column, value), place)}
            rows = data.setdefault(table, {})
            if isinstance(rows, dict):
                rows.update(cell)
            else:
                data[table] = [{**(rows[0] if rows else {}), **cell}]
    data["empty"] = [name for name in data["empty"] if data.get(name.split(".")[0]) != []]
    return data


def _kind(types: Types, table: str, column: str, value: str) -> str:
    """The type of a column; one that this layout keeps elsewhere is a day when its value is written as one."""
    return types.get(table, {}).get(column) or ("DATE" if _DAY.fullmatch(value) else "VARCHAR")


def _day(text: str, place: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise SetupError(f"{place}: a date is written YYYY-MM-DD") from None
