"""Layouts of DBF files as objects: which field goes into which table and column, and what it may hold.

A layout is a table of data, ``rules/<profile>/layouts/<FILE>.csv``, one line per field of the file:
``field;kind;size;decimals;mark;type;table;column;values;note``.

kind: C N D L F as in DBF · mark: О required, У conditional, Н optional (of the value; the column itself must be there)
· type: text code date money quantity int · table and column: where it is read to; both blank: known, but not read; a
field that is read twice has two lines · values, separated by ``|``: the values allowed, or ``low..high`` (either side
may be blank), the word ``comma`` where numbers of this field may be written with one, and the word ``absent`` where
files of some versions do not have the column.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from oms_batch.errors import SetupError
from oms_batch.formats.layout import TYPES
from oms_batch.ruledata import RuleData

COLUMNS = ("field", "kind", "size", "decimals", "mark", "type", "table", "column", "values", "note")
KEYS: Mapping[str, str] = {"n": "BIGINT", "up_n": "BIGINT", "z_sl_n": "BIGINT", "line": "INTEGER"}
_SQL = {"text": "VARCHAR", "code": "VARCHAR", "date": "DATE", "money": "BIGINT", "int": "INTEGER"}
_SIZES = {"D": "8", "L": "1", "M": "10"}
_MARKS = ("О", "У", "Н")
_FIELD = re.compile(r"[A-Z_][A-Z0-9_]{0,9}", re.ASCII)
_NAME = re.compile(r"[a-z_][a-z0-9_]*", re.ASCII)
_RANGE = re.compile(r"(-?[0-9.-]*?)\.\.(-?[0-9.-]*)", re.ASCII)
LONGEST_INT, LONGEST_NUMBER = 9, 20


@dataclass(frozen=True, slots=True)
class DbfField:
    """One field of a file. ``type``, ``table`` and ``column`` are blank where it is not read; ``low`` and ``high``
    are as written in the layout (blank: the usual limits of the type)."""

    name: str
    kind: str
    size: int
    decimals: int
    required: bool
    type: str
    table: str
    column: str
    allowed: tuple[str, ...] = ()
    low: str = ""
    high: str = ""
    comma: bool = False
    absent: bool = False

    @property
    def sql(self) -> str:
        """The SQL type of its column."""
        return f"DECIMAL({self.size},{self.decimals})" if self.type == "quantity" else _SQL[self.type]


@dataclass(frozen=True, slots=True)
class DbfLayout:
    """``fields`` in the order of the file; ``tables`` the fields that are read, per table."""

    name: str
    fields: tuple[DbfField, ...]
    tables: Mapping[str, tuple[DbfField, ...]]


@lru_cache(maxsize=64)
def load_dbf_layout(rules: RuleData, profile: str, name: str) -> DbfLayout:
    """Read ``<profile>/layouts/<name>.csv``; ``SetupError`` names the line that is wrong."""
    relative = f"{profile}/layouts/{name}.csv"
    fields = [_field(row, f"{relative}: {row.get('field')}") for row in rules.table(relative)]
    tables: dict[str, list[DbfField]] = {}
    first: dict[str, DbfField] = {}
    for one in fields:
        same = first.setdefault(one.name, one)
        if (same.kind, same.size, same.decimals) != (one.kind, one.size, one.decimals):
            raise SetupError(f"{relative}: {one.name} has two forms")
        if one is not same and not (one.table and same.table):
            raise SetupError(f"{relative}: {one.name} stands twice")
        if not one.table:
            continue
        there = tables.setdefault(one.table, [])
        if one.column in KEYS or any(other.column == one.column for other in there):
            raise SetupError(f"{relative}: {one.name}: column {one.column} is taken")
        there.append(one)
    if not tables:
        raise SetupError(f"{relative}: reads nothing")
    return DbfLayout(name, tuple(fields), {table: tuple(found) for table, found in tables.items()})


def _field(row: Mapping[str, str], place: str) -> DbfField:
    if set(COLUMNS) - set(row):
        raise SetupError(f"{place}: columns are {';'.join(COLUMNS)}")
    name, kind, type_, table, column = (row[key] for key in ("field", "kind", "type", "table", "column"))
    size, decimals = row["size"] or _SIZES.get(kind, ""), row["decimals"] or "0"
    if not _FIELD.fullmatch(name) or row["mark"] not in _MARKS or kind not in ("C", "N", "D", "L", "F", "M"):
        raise SetupError(f"{place}: name, mark or kind")
    if not (size.isdecimal() and decimals.isdecimal()) or not 0 < int(size) < 256 or int(decimals) >= int(size):
        raise SetupError(f"{place}: size {size!r}.{decimals!r}")
    wide = int(size)
    wrong = (kind in "DL" and size != _SIZES[kind]) or (kind in "NF" and wide > LONGEST_NUMBER)
    if table or column:
        wrong |= not (_NAME.fullmatch(table) and _NAME.fullmatch(column)) or type_ not in TYPES
        wrong |= type_ == "date" and kind != "D" and not (kind == "C" and wide in (8, 10))
        wrong |= type_ in ("money", "quantity", "int") and kind not in "NFC"
        wrong |= type_ == "int" and wide > LONGEST_INT  # more digits are a code
        wrong |= type_ == "quantity" and wide > 38
    if wrong:
        raise SetupError(f"{place}: {kind}{wide} cannot be {type_ or 'so'} in {table}.{column}")
    words = row["values"].split("|")
    allowed, low, high, comma = _values("|".join(one for one in words if one != "absent"), place)
    return DbfField(
        name, kind, wide, int(decimals), row["mark"] == "О", type_, table, column, allowed, low, high, comma,
        "absent" in words,
    )  # fmt: skip


def _values(text: str, place: str) -> tuple[tuple[str, ...], str, str, bool]:
    parts = [one for one in text.split("|") if one]
    comma = "comma" in parts
    parts = [one for one in parts if one != "comma"]
    ranges = [found for one in parts if (found := _RANGE.fullmatch(one))]
    if not ranges:
        return tuple(parts), "", "", comma
    if len(parts) != 1:
        raise SetupError(f"{place}: values {text!r}")
    return (), ranges[0][1], ranges[0][2], comma


@lru_cache(maxsize=16)
def layouts_of(rules: RuleData, profile: str) -> tuple[DbfLayout, ...]:
    """All DBF layouts of a profile (other tables in the folder are not ours)."""
    found = []
    for relative in rules.list(f"{profile}/layouts", ".csv"):
        lines = rules.read(relative).decode("utf-8").splitlines()
        head = next((line for line in lines if not line.startswith("#")), "")
        if head.startswith("field;kind;"):
            found.append(load_dbf_layout(rules, profile, relative.rpartition("/")[2].removesuffix(".csv")))
    return tuple(found)


def describe(rules: RuleData, profile: str) -> dict[str, dict[str, str]]:
    """Every raw table of the profile's DBF layouts: column → SQL type, beginning with ``n, up_n, z_sl_n, line``.

    Layouts may fill one table together; ``SetupError`` when they do not agree on a type.
    """
    tables: dict[str, dict[str, str]] = {}
    for layout in layouts_of(rules, profile):
        for table, fields in layout.tables.items():
            columns = tables.setdefault(table, dict(KEYS))
            for one in fields:
                if columns.setdefault(one.column, one.sql) != one.sql:
                    raise SetupError(f"{profile}/layouts/{layout.name}.csv: {table}.{one.column} has another type")
    return tables


def described(rules: RuleData, profile: str) -> dict[str, dict[str, tuple[str, bool]]]:
    """Every raw table: column → (type of the layout, whether every layout that fills it requires a value)."""
    tables: dict[str, dict[str, tuple[str, bool]]] = {}
    for layout in layouts_of(rules, profile):
        for table, fields in layout.tables.items():
            columns = tables.setdefault(table, {})
            for one in fields:
                columns[one.column] = (
                    one.type,
                    one.required and not one.absent and columns.get(one.column, ("", True))[1],
                )
    return tables
