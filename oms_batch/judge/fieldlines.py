"""Bulk form checks: one line of ``fields.csv`` is one rule, compiled to the same ``Rule``.

Columns: ``code;table;column;must;arg;when;severity;defect;title;title_en;advice;advice_en;basis;official;
valid_from;valid_to;ok;bad``. ``ok`` and ``bad`` are the example values, several divided by ``|``; an empty
value is written ``-`` (the attribute is absent).

must: in_list (arg: a book, or book.column) · in_set (a|b|c) · present · absent · mask (a regular
expression for the whole value) · relates (an SQL condition that must hold).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from oms_batch.errors import SetupError
from oms_batch.judge.rule import Rule, read_rule
from oms_batch.ruledata import RuleData

_DAY = {"z_sl": "z_sl.date_z_2"}
NOTHING = "-"


def field_rules(rules: RuleData, file: str, set_name: str, types: Mapping[str, Mapping[str, str]]) -> list[Rule]:
    """The rules of one ``fields.csv``; ``types`` gives the SQL type of a column, for its example values."""
    found = []
    for number, row in enumerate(rules.table(file), 1):
        place = f"{file}:{row['code'] or number}"
        found.append(read_rule(_as_rule(row, place, types), place, set_name))
    return found


def _as_rule(row: dict[str, str], place: str, types: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    table, column = row["table"], row["column"]
    name = f"{table}.{column}"
    kind = types.get(table, {}).get(column, "VARCHAR")
    condition, lookup = condition_of(row, name, place)
    if row["when"]:
        condition = f"COALESCE(({row['when']}), FALSE) AND {condition}"
    data: dict[str, Any] = {
        "code": row["code"],
        "title": row["title"],
        "title_en": row["title_en"],
        "advice": row["advice"],
        "advice_en": row["advice_en"],
        "official": [part.strip() for part in row["official"].split("|") if part.strip()],
        "severity": row["severity"],
        "defect": row["defect"],
        "basis": row["basis"],
        "checked_on": _day(row.get("checked_on", ""), place),
        "run_pass": "form",
        "on": table,
        "refuses": _refuses(table),
        "element": name,
        "mark": "flk",
        "fails_when": condition,
        "value": f"CAST({name} AS VARCHAR)",
        "lookup": lookup,
        "pass": [_example(table, column, text, kind, place, 0) for text in row["ok"].split("|") if text],
        "fail": [_example(table, column, text, kind, place, 1) for text in row["bad"].split("|") if text],
    }
    if (day := _day(row["valid_from"], place)) is not None:
        data["valid_from"] = day
    if (day := _day(row["valid_to"], place)) is not None:
        data["valid_to"] = day
    return data


def _refuses(table: str) -> str:
    return {"register": "register", "pers": "person", "address": "person"}.get(table, "account")


def condition_of(row: Mapping[str, str], name: str, place: str) -> tuple[str, list[dict[str, Any]]]:
    """The fault of a line over the column ``name`` as SQL, and the lookup that it needs."""
    arg = row["arg"]
    match row["must"]:
        case "present":
            return f"{name} IS NULL", []
        case "absent":
            return f"{name} IS NOT NULL", []
        case "in_set":
            listed = ", ".join("'" + part.strip().replace("'", "''") + "'" for part in arg.split("|"))
            return f"({name} IS NOT NULL AND CAST({name} AS VARCHAR) NOT IN ({listed}))", []
        case "mask":
            try:
                re.compile(arg)
            except re.error:
                raise SetupError(f"{place}: arg: not a regular expression") from None
            pattern = arg.replace("'", "''")
            return f"({name} IS NOT NULL AND NOT regexp_full_match(CAST({name} AS VARCHAR), '{pattern}'))", []
        case "relates":
            return f"({name} IS NOT NULL AND NOT ({arg}))", []
        case "in_list":
            book, _, key = arg.partition(".")
            key = key or "code"
            day = "" if row["table"] in ("register", "pers", "address") else _DAY.get(row["table"], "z_sl.date_z_2")
            return f"({name} IS NOT NULL AND listed.{key} IS NULL)", [
                {"name": "listed", "book": book, "on": {key: name}, "date": day}
            ]
    raise SetupError(f"{place}: must: not one of in_list in_set present absent mask relates")


def _example(table: str, column: str, text: str, kind: str, place: str, expect: int) -> dict[str, Any]:
    """An example that differs from the base in one value; a value of the wrong type is our own mistake."""
    if text == NOTHING:
        return {"why": f"{column}: -", "expect": expect, "empty": [f"{table}.{column}"], table: {}}
    return {"why": f"{column}: {text}", "expect": expect, table: {column: typed(text, kind, place)}}


def typed(text: str, kind: str, place: str) -> Any:
    """An example value as its column holds it; ``SetupError`` when it is none."""
    try:
        if kind == "DATE":
            return date.fromisoformat(text)
        return int(text) if kind in ("BIGINT", "INTEGER") else text
    except ValueError:
        raise SetupError(f"{place}: an example value has not the type of its column") from None


def _day(text: str, place: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise SetupError(f"{place}: a date is written YYYY-MM-DD") from None
