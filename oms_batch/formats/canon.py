"""From the tables of a layout to the canonical ones, by the profile's own SQL (``rules/<profile>/canon.sql``).

A profile whose layout already carries the canonical names has no such file. The script sees the tables of all its
layouts (those of absent members are empty), ``findings``, ``spot``, ``named`` (one row: what the file's name
says) and ``given_<book>`` (books that the profile gives it, as text), and nothing else; it runs in every judging
child after reading, and on empty tables wherever only names and types of columns are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import duckdb
import pyarrow as pa

from oms_batch.errors import Fault, SetupError
from oms_batch.exchange import load_profile
from oms_batch.formats import dbf_layout, elements
from oms_batch.formats.sink import FINDINGS, SPOT
from oms_batch.model import NamedFile
from oms_batch.ruledata import RuleData

FILE = "canon.sql"
HEAD, PERSON, ACCOUNT = "register", "pers", "z_sl"
NAMED = """CREATE TABLE named (mo VARCHAR, payer VARCHAR, number VARCHAR, stage VARCHAR, register VARCHAR,
    year INTEGER, month INTEGER)"""
_RAW = {"federal_xml": lambda rules, profile: elements.describe(rules, profile).columns, "dbf": dbf_layout.describe}


@dataclass(frozen=True)
class Canon:
    """Canonical tables of a profile: column → SQL type, and whose rows ``up_n`` points to."""

    columns: Mapping[str, Mapping[str, str]]
    parents: Mapping[str, str]


def has_canon(rules: RuleData, profile: str) -> bool:
    """Whether this profile's tables are made by a script."""
    return rules.exists(f"{profile}/{FILE}")


def apply(con: duckdb.DuckDBPyConnection, rules: RuleData, profile: str, named: NamedFile) -> None:
    """Make the canonical tables out of those of the layout; ``Fault`` when the script does not run."""
    if not has_canon(rules, profile):
        return
    con.execute(NAMED)
    year, month = (int(part) for part in named.period.split("-"))
    row = [named.mo, named.payer, named.number, named.stage, named.register, year, month]
    con.execute("INSERT INTO named VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    give_books(con, rules, profile)
    try:
        con.execute(rules.read(f"{profile}/{FILE}").decode("utf-8"))
    except duckdb.Error as error:  # its text may carry a value of the register
        raise Fault(f"{profile}/{FILE}: {type(error).__name__}") from None


def came_on(con: duckdb.DuckDBPyConnection, day: date) -> None:
    """Tell the head of the register the day on which the file was received, where the script made it a place."""
    has = con.execute("SELECT 1 FROM duckdb_columns() WHERE table_name = ? AND column_name = 'received'", [HEAD])
    if has.fetchone():
        con.execute(f'UPDATE "{HEAD}" SET received = ?', [day])  # noqa: S608 - our own name


@lru_cache(maxsize=8)
def describe(rules: RuleData, profile: str) -> Canon:
    """Names and types of the canonical tables; ``SetupError`` tells what is wrong with the script."""
    con = duckdb.connect(":memory:")
    try:
        create_raw(con, rules, profile)
        give_books(con, rules, profile)
        con.execute(rules.read(f"{profile}/{FILE}").decode("utf-8"))
        rows = con.execute(
            """SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE schema_name = 'main'
            AND NOT internal ORDER BY table_name, column_index"""
        ).fetchall()
    except duckdb.Error as error:
        raise SetupError(f"{profile}/{FILE}: {error}") from None
    finally:
        con.close()
    columns: dict[str, dict[str, str]] = {}
    for table, column, kind in rows:
        columns.setdefault(table, {})[column] = kind
    known = {
        table: found
        for table, found in columns.items()
        if table not in ("findings", "spot", "named") and not table.startswith("given_")
    }
    if lacking := {HEAD, PERSON, ACCOUNT} - set(known):
        raise SetupError(f"{profile}/{FILE}: makes no table {min(lacking)}")
    chosen = load_profile(profile, rules).data.get("parents", {})
    parents = {table: chosen.get(table, ACCOUNT) for table, found in known.items() if "up_n" in found}
    parents |= {HEAD: "", PERSON: HEAD, ACCOUNT: PERSON}
    return Canon(known, {table: above for table, above in parents.items() if above})


def give_books(con: duckdb.DuckDBPyConnection, rules: RuleData, profile: str) -> None:
    """The books that the script looks into (``canon_books``), as tables ``given_<book>`` of text."""
    for book in load_profile(profile, rules).data.get("canon_books", []):
        rows = rules.table(f"{profile}/books/{book}.csv")
        given = pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in rows[0]})
        con.register("_given", given)
        con.execute(f'CREATE OR REPLACE TABLE "given_{book}" AS SELECT * FROM _given')
        con.unregister("_given")


def create_raw(con: duckdb.DuckDBPyConnection, rules: RuleData, profile: str) -> None:
    """The tables of all layouts of a profile, empty, and ``findings`` and ``spot``."""
    load = load_profile(profile, rules)
    con.execute(FINDINGS)
    con.execute(SPOT)
    con.execute(NAMED)
    for table, columns in _RAW[load.data["format"]](rules, profile).items():
        body = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        con.execute(f'CREATE TABLE "{table}" ({body})')
