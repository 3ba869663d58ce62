"""What a rule's SQL may touch: one SELECT over known tables, with nothing outside the register.

The text is taken apart by DuckDB's own parser, so what is checked is what will run. Files,
other databases, table functions, the clock and chance are refused when the rule is loaded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import duckdb

from oms_batch.errors import SetupError

_TABLE_FUNCTIONS = {"unnest", "range", "generate_series"}
_FORBIDDEN = {
    "now", "today", "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp",
    "get_current_time", "get_current_timestamp", "transaction_timestamp", "random", "rand", "uuid", "uuidv4", "uuidv7",
    "gen_random_uuid", "setseed", "nextval", "currval", "current_setting", "getvariable", "txid_current", "version",
    "getenv", "sleep_ms", "error", "write_log", "current_user", "current_query",
}  # fmt: skip
_SERIALIZED = "json_serialize_sql(t, skip_empty := true, skip_null := true)"
_NAME = re.compile(r"[a-z_][a-z0-9_]*", re.ASCII)


_ahead: dict[str, str] = {}  # parsed, not yet asked for
_asked: set[str] = set()  # what has been: its parts are remembered


@dataclass(frozen=True)
class Parts:
    """What a text refers to: tables it selects from, ``table.column`` pairs, bare columns outside subqueries.

    ``names`` are all column names wherever they stand; ``star`` says that all columns may be meant.
    """

    tables: frozenset[str]
    columns: frozenset[tuple[str, str]]
    bare: frozenset[str]
    names: frozenset[str]
    subquery: bool
    star: bool


def expression_parts(text: str) -> Parts:
    """Parts of a boolean or value expression; ``SetupError`` (no text of the rule) when it isn't one."""
    return _parts(_as_select(text), True)


def select_parts(text: str) -> Parts:
    """Parts of one SELECT statement; ``SetupError`` when it is anything else."""
    return _parts(text, False)


@lru_cache(maxsize=1)
def _parser() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:")


def parse_ahead(expressions: Iterable[str], selects: Iterable[str] = ()) -> None:
    """Have many texts parsed by one query: one by one each costs a query of its own."""
    texts = {**{_as_select(text): None for text in expressions}, **dict.fromkeys(selects)}
    wanted = [text for text in texts if text not in _ahead and text not in _asked]
    if wanted:
        found = _parser().cursor().execute(f"SELECT t, {_SERIALIZED} FROM (SELECT unnest(?::VARCHAR[]) AS t)", [wanted])
        _ahead.update(found.fetchall())


def _as_select(text: str) -> str:
    return f"SELECT (\n{text}\n) AS v"


def _serialized(text: str) -> str:
    if text not in _ahead:
        _asked.discard(text)
        parse_ahead((), [text])
    _asked.add(text)
    return _ahead.pop(text)


@lru_cache(maxsize=8192)
def _parts(text: str, expression: bool) -> Parts:
    tree: dict[str, Any] = json.loads(_serialized(text))
    if tree.get("error"):
        raise SetupError(f"SQL: {tree.get('error_message', 'not a SELECT')}")
    if len(tree["statements"]) != 1:
        raise SetupError("SQL: one statement only")
    node = tree["statements"][0]["node"]
    if expression and (node.get("type") != "SELECT_NODE" or len(node["select_list"]) != 1):
        raise SetupError("SQL: not one expression")
    seen = _Seen()
    for part in node["select_list"] if expression else [node]:
        seen.walk(part, 0 if expression else 1)
    tables = frozenset(seen.tables - seen.ctes)
    return Parts(tables, frozenset(seen.columns), frozenset(seen.bare), frozenset(seen.names), seen.subquery, seen.star)


class _Seen:
    """Collects names while walking the parse tree."""

    def __init__(self) -> None:
        self.tables: set[str] = set()
        self.ctes: set[str] = set()
        self.columns: set[tuple[str, str]] = set()
        self.bare: set[str] = set()
        self.names: set[str] = set()
        self.subquery = False
        self.star = False

    def walk(self, node: Any, depth: int) -> None:
        if type(node) is list:
            for item in node:
                self.walk(item, depth)
        elif type(node) is dict and node.get("class") != "CONSTANT":
            self._look(node, depth)
            inner = depth + 1 if node.get("class") == "SUBQUERY" else depth
            for key, value in node.items():
                if key == "cte_map":
                    self.ctes.update(str(item["key"]).lower() for item in value.get("map", ()))
                if (type(value) is dict or type(value) is list) and key != "cast_type":
                    self.walk(value, inner)

    def _look(self, node: dict[str, Any], depth: int) -> None:
        kind = node.get("type")
        self.names.update(str(name).lower() for name in node.get("using_columns") or ())
        if kind == "BASE_TABLE":
            name = str(node["table_name"]).lower()
            if node.get("schema_name") or node.get("catalog_name") or not _NAME.fullmatch(name):
                raise SetupError("SQL: a table is named without schema, in Latin letters")
            self.tables.add(name)
        elif kind == "TABLE_FUNCTION":
            name = str(node.get("function", {}).get("function_name", "")).lower()
            if name not in _TABLE_FUNCTIONS:
                raise SetupError(f"SQL: table function {name} is not allowed")
        elif node.get("class") == "FUNCTION":
            name = str(node.get("function_name", "")).lower()
            if name in _FORBIDDEN:
                raise SetupError(f"SQL: function {name} is not allowed")
        elif node.get("class") == "SUBQUERY":
            self.subquery = True
        elif node.get("class") == "WINDOW" and depth == 0:
            raise SetupError("SQL: a window function needs select, not fails_when")
        elif node.get("ref_type") == "NATURAL":
            raise SetupError("SQL: a NATURAL join depends on what columns a layout has")
        elif kind == "STAR":
            self.star = True
        elif kind == "COLUMN_REF":
            names = [str(name).lower() for name in node["column_names"]]
            if names[-1] in _FORBIDDEN and len(names) == 1:
                raise SetupError(f"SQL: {names[-1]} is not allowed")
            self.names.add(names[-1])
            if len(names) == 2:
                self.columns.add((names[0], names[1]))
            elif depth == 0:
                self.bare.add(names[0])
