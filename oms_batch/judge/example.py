"""Examples of rules as rows: a base document of the profile, changed by what the example states.

``[fail.usl]`` changes the base's first row of that table; ``[[fail.usl]]`` states exactly the rows, each over
the base's row of the same ordinal, or over the table's defaults beyond them; ``usl = []`` leaves none.
``up`` is the ordinal of the parent row. ``ds1`` and the sums of an account or service follow their parts
when an example states the parts and not the derived value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from oms_batch.errors import SetupError
from oms_batch.judge.rule import Example
from oms_batch.judge.tables import ACCOUNT, FACTS, IDENT, PARAM, REGISTER, VOLUMES, Tables
from oms_batch.ruledata import RuleData

Row = dict[str, Any]
Document = dict[str, list[Row]]
NOTHING = "-"
STRIDE = 1000  # numbers of one example's rows: index * STRIDE + ordinal
_BESIDE: Mapping[str, Mapping[str, str]] = {"ident": IDENT, "facts": FACTS, "param": PARAM, "book_volumes": VOLUMES}


@dataclass(frozen=True)
class Bases:
    """Base documents and defaults of a profile (``rules/<profile>/example.toml``).

    ``partial``: the profile's tables have not all that examples of shared rules may state.
    """

    default: str
    base: Mapping[str, Mapping[str, list[Row]]]
    defaults: Mapping[str, Row]
    partial: bool = False


def load_bases(rules: RuleData, profile: str) -> Bases:
    """Read the base documents; ``SetupError`` when there are none."""
    file = f"{profile}/example.toml"
    data = rules.toml(file)
    try:
        found = Bases(data["default"], data["base"], data["defaults"], bool(data.get("partial")))
        found.base[found.default]
    except KeyError as error:
        raise SetupError(f"{file}: {error} is missing") from None
    return found


def known(rows: Document, tables: Tables, spoken: frozenset[str]) -> Document:
    """The rows without what this layout has not and the rule, whose words are ``spoken``, never names.

    Examples of rules that all profiles share say more than some layouts have.
    """
    kept: Document = {}
    for table, listed in rows.items():
        columns = columns_of(table, tables)
        if columns is None and table not in spoken:
            continue
        have = {*(columns or {}), *spoken, "up"}
        kept[table] = [{name: value for name, value in row.items() if name in have} for row in listed]
    return kept


def document(example: Example, bases: Bases, place: str) -> Document:
    """The rows of an example by table, with ``up`` but without numbers."""
    name = example.base or bases.default
    if name not in bases.base and bases.partial:
        name = bases.default  # a shared rule names a document that this exchange has not
    if name not in bases.base:
        raise SetupError(f"{place}: base: there is no such base document")
    stated = example.rows
    found: Document = {table: [_told(row) for row in rows] for table, rows in bases.base[name].items()}
    for table, change in stated.items():
        if isinstance(change, dict):
            rows = found.setdefault(table, [])
            if not rows:
                rows.append({})
            rows[0] = {**rows[0], **change}
        elif isinstance(change, list) and all(isinstance(row, dict) for row in change):
            old = found.get(table, [])
            found[table] = [{**(old[i] if i < len(old) else {}), **row} for i, row in enumerate(change)]
        else:
            raise SetupError(f"{place}: {table}: rows of a table are expected")
    for table, rows in found.items():
        found[table] = [{**bases.defaults.get(table, {}), **row} for row in rows]
    _derive(found, stated)
    for name in example.empty:
        table, _, column = name.partition(".")
        if not found.get(table):
            raise SetupError(f"{place}: empty: the document has no {table}")
        found[table] = [{**row, column: None} for row in found[table]]
    return found


def _told(row: Row) -> Row:
    """A row of a base document: ``-`` takes the default of a column away."""
    return {column: None if value == NOTHING else value for column, value in row.items()}


def _derive(rows: Document, stated: Mapping[str, Any]) -> None:
    """``ds1`` and sums from stated parts, unless the example states them itself."""
    for parts, owner, columns in (
        ("ds", ACCOUNT, {"ds1": ""}),
        ("z_sl_sum", ACCOUNT, {"sumv": "suml", "sump": "sum_acc"}),
        ("usl_sum", "usl", {"sumv_usl": "suml", "sump_usl": "sum_acc"}),
    ):
        if parts not in stated:
            continue
        change = stated.get(owner, {})
        for ordinal, row in enumerate(rows.get(owner, []), 1):
            own = change if isinstance(change, dict) else change[ordinal - 1] if ordinal <= len(change) else {}
            mine = [part for part in rows[parts] if part.get("up", 1) == ordinal]
            for column, source in columns.items():
                if column in own:
                    continue
                if source:
                    row[column] = sum(part.get(source) or 0 for part in mine) if mine else None
                else:
                    row[column] = next((part.get("mkb") for part in mine if part.get("ds_type") == "1"), None)


def numbered(rows: Document, index: int, tables: Tables, place: str) -> Document:
    """The document with ``n``, ``up_n``, ``z_sl_n``, ``pers_n`` and ``line``; unknown columns are a ``SetupError``."""
    for table in list(rows):
        for above in tables.chain(table)[1:] if table in tables.columns and rows[table] else []:
            rows.setdefault(above, [{}])
            if not rows[above]:
                rows[above] = [{}]
    _rows_between(rows, tables)
    start = index * STRIDE
    found: Document = {}
    for table, listed in rows.items():
        known = columns_of(table, tables)
        if known is None:
            raise SetupError(f"{place}: no table {table}")
        for row in listed:
            if strange := set(row) - set(known) - {"up"}:
                raise SetupError(f"{place}: {table}.{min(strange)}: no such column")
        found[table] = [_keys(table, row, i, start, rows, tables) for i, row in enumerate(listed, 1)]
    return found


def _rows_between(rows: Document, tables: Tables) -> None:
    """Where a layout has a table between accounts and services, ``up = 2`` means the part of the second account."""
    for table in [name for name in rows if name in tables.columns]:
        chain = tables.chain(table)
        if len(chain) < 3 or chain[2] == REGISTER or not rows[table]:
            continue
        last = max((int(row.get("up", 1)) for row in rows[table]), default=0)
        for ordinal in range(len(rows[chain[1]]) + 1, min(last, len(rows[chain[2]])) + 1):
            rows[chain[1]].append({"up": ordinal})


def _keys(table: str, row: Row, ordinal: int, start: int, rows: Document, tables: Tables) -> Row:
    plain = {column: value for column, value in row.items() if column != "up"}
    if table == "ident":
        account = int(row.get("up", ordinal))
        return {**plain, "z_sl_n": start + account, "pers_n": start + _up(rows, ACCOUNT, account)}
    if table not in tables.columns:
        return plain
    keys: Row = {"n": start + ordinal, "line": ordinal}
    chain = tables.chain(table)
    if len(chain) > 1:
        keys["up_n"] = start + int(row.get("up", 1))
    at, number = table, ordinal
    for above in chain:
        if above != at:
            at, number = above, _up(rows, at, number)
        if above == ACCOUNT:
            keys["z_sl_n"] = start + number
            break
    if table == ACCOUNT:
        keys["pers_n"] = keys["up_n"]
    return {**plain, **keys}


def _up(rows: Document, table: str, ordinal: int) -> int:
    listed = rows.get(table, [])
    return int(listed[ordinal - 1].get("up", 1)) if ordinal <= len(listed) else 1


def columns_of(table: str, tables: Tables) -> Mapping[str, str] | None:
    """Columns and types of a table of the register, or of one that the judge puts beside it."""
    return tables.columns.get(table) or _BESIDE.get(table)


def insert_sql(table: str, rows: list[Row], columns: Mapping[str, str]) -> str:
    """One INSERT of all rows; values are written as literals of their column's type."""
    names = sorted({name for row in rows for name in row})
    listed = ", ".join(f'"{name}"' for name in names)
    values = ",\n".join("(" + ", ".join(_literal(row.get(name), columns[name]) for name in names) + ")" for row in rows)
    return f'INSERT INTO "{table}" ({listed}) VALUES {values}'


def _literal(value: Any, kind: str) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, int | float | Decimal):
        return f"CAST('{value}' AS {kind})"
    return "CAST('" + str(value).replace("'", "''") + f"' AS {kind})"
