"""From the canonical tables of one profile to the records of another: which column fills which place is data.

A plan is ``rules/<target>/convert_canon.toml``: sections that nest as the target's tables or elements do, each with
the SQL that gives its rows and its values. Columns are always written ``table.column``: so it is known which columns
of the source have a place in the target; a column that this source does not have is empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import duckdb
import pyarrow as pa

from oms_batch.errors import Fault, SetupError
from oms_batch.ruledata import RuleData

CHUNK = 4000  # records of the target that are in memory at once
OWN = "bridge_"  # our own tables in the working database
HEAD = OWN + "head"  # one row: what is known beside the tables, see ``give``
_NAME = re.compile(r"(?<![\w'])([a-z][a-z0-9_]*)\.([a-z][a-z0-9_]*)\b")
_TECHNICAL = frozenset(
    ("n", "up_n", "z_sl_n", "pers_n", "line", "byte_from", "byte_to", "digest", "l_n", "accounts_from", "accounts_to")
)
_NOT_DATA = ("findings", "spot", "named", "ident")


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of one place of the target: ``above`` is the place whose rows hold them, ``up`` the number of that row,
    ``root`` the number of the outermost one; ``values``: place below it → expression."""

    place: str
    above: str
    source: str
    where: str
    root: str
    n: str
    up: str
    line: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Check:
    """What cannot go over as it is: ``sql`` gives (line, n of the account or NULL) of each place."""

    code: str
    element: str
    sql: str


@dataclass(frozen=True, slots=True)
class Plan:
    """How one profile is filled. ``same``: columns that only repeat others; ``leave``: places of the target that are
    left out whole when something that they demand is missing; ``aliases``: names in the SQL that are no tables;
    ``data``: the whole file."""

    sections: tuple[Section, ...]
    views: Mapping[str, str]
    same: tuple[str, ...]
    aliases: frozenset[str]
    leave: tuple[str, ...]
    checks: tuple[Check, ...]
    data: Mapping[str, Any]

    def texts(self) -> Iterator[str]:
        """All SQL of the plan."""
        yield from self.views.values()
        for one in self.sections:
            yield from (one.source, one.where, one.root, one.n, one.up, one.line, *one.values.values())
        for check in self.checks:
            yield check.sql
        for lost in self.data.get("lost", []):
            yield lost["sql"]


@dataclass(slots=True)
class Row:
    """A record of the target: its line in the source, values by place, rows inside it by place."""

    n: int
    line: int
    values: dict[str, str]
    inside: dict[str, list[Row]] = field(default_factory=dict)


def plan_name(target: str) -> str:
    """The rule data that fills this profile."""
    return f"{target}/convert_canon.toml"


def load_plan(rules: RuleData, target: str) -> Plan:
    """The plan of a target profile; ``SetupError`` names what is wrong with it."""
    name = plan_name(target)
    data = rules.toml(name)
    sections = []
    for one in data.get("section", []):
        try:
            n = one["n"]
            sections.append(
                Section(
                    one["place"],
                    one.get("above", ""),
                    one["from"],
                    one.get("where", "TRUE"),
                    one.get("root", n),
                    n,
                    one.get("up", "0"),
                    one.get("line", "0"),
                    one["set"],
                )
            )
        except KeyError as error:
            raise SetupError(f"{name}: section {one.get('place', '?')} lacks {error}") from None
    places = {one.place for one in sections}
    for section in sections:
        if section.above and section.above not in places:
            raise SetupError(f"{name}: {section.place} stands in {section.above}, which has no section")
    checks = tuple(Check(one["code"], one["element"], one["sql"]) for one in data.get("check", []))
    return Plan(
        sections=tuple(sections),
        views=data.get("views", {}),
        same=tuple(data.get("same", [])),
        aliases=frozenset(data.get("aliases", [])),
        leave=tuple(data.get("leave", [])),
        checks=checks,
        data=data,
    )


def give(con: duckdb.DuckDBPyConnection, values: Mapping[str, str]) -> None:
    """What the plan may ask for as ``bridge_head.<name>``: names, numbers and codes that stand in no table."""
    columns = ", ".join(f'"{name}" VARCHAR' for name in values)
    con.execute(f"CREATE OR REPLACE TABLE {HEAD} ({columns})")
    con.execute(f"INSERT INTO {HEAD} VALUES ({', '.join('?' * len(values))})", list(values.values()))


def give_books(con: duckdb.DuckDBPyConnection, plan: Plan, rules: RuleData) -> None:
    """The books of the plan as tables ``bridge_<name>`` of text."""
    for name, file in plan.data.get("books", {}).items():
        lines = rules.table(file)
        given = pa.table({column: pa.array([line[column] for line in lines], pa.string()) for column in lines[0]})
        con.register("_given", given)
        con.execute(f"CREATE OR REPLACE TABLE {OWN}{name} AS SELECT * FROM _given")
        con.unregister("_given")


def lay_out(con: duckdb.DuckDBPyConnection, plan: Plan, money: Callable[[str, str], bool]) -> None:
    """Make the rows of all sections; ``money(place, name)``: the value is kopecks and is written as roubles.

    ``Fault`` when an expression does not run.
    """
    _complete(con, plan)
    at = ""
    try:
        for at, view in plan.views.items():
            con.execute(f"CREATE OR REPLACE TABLE {at} AS {view}")
        for number, one in enumerate(plan.sections):
            at = one.place
            columns = [
                f"{_roubles(text) if money(one.place, name) else f'CAST({text} AS VARCHAR)'} AS v{place}"
                for place, (name, text) in enumerate(one.values.items())
            ]
            keys = {"_root": one.root, "_n": one.n, "_up": one.up, "_line": one.line}
            columns[:0] = [f"CAST({text} AS BIGINT) AS {name}" for name, text in keys.items()]
            con.execute(
                f"CREATE OR REPLACE TABLE {OWN}{number} AS SELECT row_number() OVER (ORDER BY _root, _n) AS _i, *"
                f" FROM (SELECT {', '.join(columns)} FROM {one.source} WHERE {one.where}) ORDER BY _root, _n"
            )
    except duckdb.Error as error:  # its text may carry a value of the register
        raise Fault(f"convert: {at}: {type(error).__name__}") from None


def rows(con: duckdb.DuckDBPyConnection, plan: Plan, place: str) -> Iterator[Row]:
    """The rows of an outermost section in its order, each with all that stands inside it."""
    numbers = {one.place: number for number, one in enumerate(plan.sections)}
    inner = _below(plan, place)
    first, top = 1, _count(con, numbers[place])
    while first <= top:
        last = first + CHUNK - 1
        found, roots = _take(con, plan, numbers[place], f"_i BETWEEN {first} AND {last}")
        held = {place: {row.n: row for _up, row in found}}
        for one in inner:
            taken, _ = _take(con, plan, numbers[one.place], f"_root BETWEEN {roots[0]} AND {roots[1]}")
            held[one.place] = {row.n: row for _up, row in taken}
            for up, row in taken:
                if (parent := held[one.above].get(up)) is not None:
                    parent.inside.setdefault(one.place, []).append(row)
        yield from (row for _up, row in found)
        first = last + 1


def no_place(con: duckdb.DuckDBPyConnection, plan: Plan) -> dict[str, int]:
    """``table.column`` of the source with values that the plan puts nowhere → how many values; what it leaves behind
    of columns that it does use is counted by its own ``lost``."""
    used = {f"{table}.{column}" for table, column in _used(plan)}
    found: dict[str, int] = {}
    for table, columns in _tables(con).items():
        if table.startswith((OWN, "given_")) or table in _NOT_DATA or table in plan.views:
            continue
        asked = [
            column
            for column in columns
            if column not in _TECHNICAL
            and f"{table}.{column}" not in used
            and not any(fnmatchcase(f"{table}.{column}", one) for one in plan.same)
        ]
        if not asked:
            continue
        values = ", ".join(f"count(NULLIF(CAST(\"{one}\" AS VARCHAR), ''))" for one in asked)
        counts = con.execute(f'SELECT {values} FROM "{table}"').fetchone()
        assert counts is not None
        found |= {f"{table}.{column}": count for column, count in zip(asked, counts, strict=True) if count}
    for one in plan.data.get("lost", []):
        row = con.execute(one["sql"]).fetchone()
        assert row is not None
        if row[0]:
            found[one["column"]] = found.get(one["column"], 0) + int(row[0])
    return dict(sorted(found.items()))


def faults(con: duckdb.DuckDBPyConnection, plan: Plan) -> Iterator[tuple[str, str, int, int | None]]:
    """(code, element, line, n of the account) of all that the plan's checks find."""
    for one in plan.checks:
        for line, n in con.execute(one.sql).fetchall():
            yield one.code, one.element, int(line or 0), n


def _roubles(text: str) -> str:
    value = f"CAST({text} AS BIGINT)"
    return f"CASE WHEN {value} IS NOT NULL THEN printf('%d.%02d', {value} // 100, {value} % 100) END"


def _below(plan: Plan, place: str) -> list[Section]:
    """The sections inside a place, outer ones first."""
    found = [one for one in plan.sections if one.above == place]
    return [each for one in found for each in (one, *_below(plan, one.place))]


def _count(con: duckdb.DuckDBPyConnection, number: int) -> int:
    row = con.execute(f"SELECT count(*) FROM {OWN}{number}").fetchone()
    assert row is not None
    return int(row[0])


def _take(
    con: duckdb.DuckDBPyConnection, plan: Plan, number: int, where: str
) -> tuple[list[tuple[int, Row]], tuple[int, int]]:
    names = list(plan.sections[number].values)
    fetched = con.execute(f"SELECT * FROM {OWN}{number} WHERE {where} ORDER BY _i").fetchall()
    taken = [
        (up, Row(n, line or 0, {name: value for name, value in zip(names, values, strict=True) if value}))
        for _i, _root, n, up, line, *values in fetched
    ]
    return taken, (fetched[0][1], fetched[-1][1]) if fetched else (0, 0)


def _used(plan: Plan) -> list[tuple[str, str]]:
    return list(dict.fromkeys(found for text in plan.texts() for found in _NAME.findall(text)))


def _tables(con: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table, column in con.execute(
        """SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name = 'main' AND NOT internal
        ORDER BY table_name, column_index"""
    ).fetchall():
        found.setdefault(table, []).append(column)
    return found


def _complete(con: duckdb.DuckDBPyConnection, plan: Plan) -> None:
    """Tables and columns that the plan asks for and this source does not have, empty."""
    there = _tables(con)
    for table, column in _used(plan):
        if table in plan.views or table in plan.aliases or table.startswith(OWN):
            continue
        if table not in there:
            keys = ", ".join(f"{one} BIGINT" for one in ("n", "up_n", "z_sl_n", "line"))
            con.execute(f'CREATE TABLE "{table}" ({keys})')
            there[table] = ["n", "up_n", "z_sl_n", "line"]
        if column not in there[table]:
            con.execute(f'ALTER TABLE "{table}" ADD COLUMN "{column}" VARCHAR')
            there[table].append(column)
