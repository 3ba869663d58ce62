"""Lists of policies beside the register of the insured, in the same database file: policies in force, cancelled ones.

Their layouts are data (``rules/common/sources/``). A policy is kept by its key; the SQL of keys comes from the
caller, so that both sides write a policy down alike. Strict as the register of the insured is: a row that is
not right is told by its number and column, and nothing is brought in unless ``skip_bad``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from oms_batch.errors import WrongState
from oms_batch.ruledata import RuleData
from oms_batch.store import fsio, insured, table_texts
from oms_batch.store.insured import TOLD, Imported, editions, note_edition, rebuilt, refuse_bad
from oms_batch.store.table_texts import Heads, csv_batches, heads_of, pour, row_batches

Key = Callable[[str, str, str], str]  # SQL of kind, series and number → SQL of the key
INDEX = "common/sources/index.toml"
STOP, NUMBERS = "stop", "numbers"
_KINDS = (("3", "NULL", "enp"), ("1", "spolis", "npolis"), ("2", "NULL", "temporary"))


@dataclass(frozen=True)
class Source:
    """One source: its columns by kind, which of them a file must have, and whether a new edition adds or replaces."""

    name: str
    keeps_all: bool
    kinds: Mapping[str, str]
    heads: Heads


def load_source(rules: RuleData, name: str) -> Source:
    """The layout of a list of policies; ``WrongState`` when there is no such list."""
    index = rules.toml(INDEX)
    layout = index.get(name, {}).get("layout", "")
    if not layout:
        raise WrongState("INSURED_SOURCE", ", ".join(sorted(index)))
    rows = [row for row in rules.table(f"common/sources/{layout}.csv") if row["column"]]
    aliases = {row["column"]: row["heads"].split("|") for row in rows}
    needed = [row["column"] for row in rows if row["mark"] == "О"]
    kinds = {row["column"]: row["kind"] for row in rows}
    return Source(name, index[name]["keeps"] == "all", kinds, heads_of(aliases, needed))


def bring_csv(path: str | Path, file: str | Path, source: Source, key: Key, edition: str, skip_bad: bool) -> Imported:
    """Bring a CSV of a list into the database file ``path``; ``edition`` is a day ``YYYY-MM-DD``."""
    with fsio.open_read(file) as stream:
        return _bring(path, csv_batches(stream, source.heads), source, key, edition, skip_bad)


def bring_rows(
    path: str | Path, rows: Iterable[Mapping[str, object]], source: Source, key: Key, edition: str, skip_bad: bool
) -> Imported:
    """The same from records of a DBF."""
    return _bring(path, row_batches(rows, source.heads), source, key, edition, skip_bad)


def _bring(
    path: str | Path, batches: Iterable[pa.Table], source: Source, key: Key, edition: str, skip_bad: bool
) -> Imported:
    newest = max((one.edition for one in editions(path) if one.source == source.name), default="")
    if newest > edition and not source.keeps_all:
        raise WrongState("INSURED_EDITION", f"{edition} < {newest}")
    with rebuilt(path) as con:
        rows = pour(con, batches, sorted(source.kinds))
        bad, places = _typed(con, source)
        refuse_bad(rows, bad, places, skip_bad)
        before = _before(con, path)
        if "insured" not in before:
            insured.make_empty(con)
        table = "stopped" if source.name == STOP else "numbers"
        con.execute(f"CREATE TABLE new_rows AS {_stopped(key) if source.name == STOP else _numbers(key, source)}")
        # editions that add keep all that was there; one that replaces keeps what came from other sources
        kept = "TRUE" if source.keeps_all else f"source <> '{source.name}'"
        old = f"SELECT * FROM before.{table} WHERE {kept} UNION " if table in before else ""
        con.execute(f"CREATE TABLE {table} AS {old}SELECT * FROM new_rows")
        count = con.execute("SELECT count(*) FROM typed").fetchone()
        for spare in ("typed", "new_rows"):
            con.execute(f"DROP TABLE {spare}")
        if before:
            con.execute("DETACH before")
        note_edition(con, source.name, edition, rows, int(count[0]) if count else 0)
    return Imported(rows, rows - bad, bad, tuple(places))


def _before(con: duckdb.DuckDBPyConnection, path: str | Path) -> set[str]:
    if not fsio.exists(path):
        return set()
    con.execute("ATTACH '" + str(path).replace("'", "''") + "' AS before (READ_ONLY)")
    return {
        row[0]
        for row in con.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'before'").fetchall()
    }


def _typed(con: duckdb.DuckDBPyConnection, source: Source) -> tuple[int, Sequence[tuple[int, str]]]:
    """Texts → ``typed``, the good rows only; the number of bad rows and the first places."""
    makers = {"number": table_texts.number, "date": table_texts.day, "code": table_texts.text}
    columns = ", ".join(f"{makers[kind](name)} AS {name}" for name, kind in source.kinds.items())
    con.execute(f"CREATE TABLE all_rows AS SELECT row_n, {columns} FROM texts")
    con.execute("DROP TABLE texts")
    wrong = {
        "enp": "enp IS NOT NULL AND NOT regexp_full_match(enp, '[0-9]{16}')",
        "npolis": "npolis IS NULL AND enp IS NULL AND temporary IS NULL",
        "smo": "smo IS NULL",
    }
    if "date_end" in source.kinds:
        wrong["date_end"] = "date_end IS NULL"
    if "enp_new" in source.kinds:
        wrong["enp_new"] = "enp_new IS NOT NULL AND NOT regexp_full_match(enp_new, '[0-9]{16}')"
    cases = ", ".join(f"CASE WHEN {test} THEN '{column}' END" for column, test in wrong.items())
    listed = f"SELECT row_n, unnest([{cases}]) AS c FROM all_rows"
    con.execute(f"CREATE TABLE wrong AS SELECT row_n, c FROM ({listed}) WHERE c IS NOT NULL")
    row = con.execute("SELECT count(DISTINCT row_n) FROM wrong").fetchone()
    places = con.execute(f"SELECT row_n, c FROM wrong ORDER BY row_n, c LIMIT {TOLD}").fetchall()
    con.execute("CREATE TABLE typed AS SELECT * FROM all_rows ANTI JOIN wrong USING (row_n)")
    for spare in ("all_rows", "wrong"):
        con.execute(f"DROP TABLE {spare}")
    return int(row[0]) if row else 0, [(int(n), str(column)) for n, column in places]


def _numbers(key: Key, source: Source) -> str:
    """Every number of a row is a policy of its own."""
    parts = []
    for kind, series, number in _KINDS:
        one = key(_text(kind), series, number)
        parts.append(f"SELECT {one} AS key, smo, '{source.name}' AS source FROM typed WHERE {number} IS NOT NULL")
    return " UNION ".join(parts)


def _stopped(key: Key) -> str:
    """Every number of a row is cancelled, also the certificate that the row names beside it; ``gone`` unless the same
    number goes on with another insurer."""
    new = {kind: key(_text(kind), _new(series), f"{number}_new") for kind, series, number in _KINDS[:2]}
    again = f"[{new['3']}, {new['1']}]"
    kind = "CASE WHEN enp_new IS NOT NULL THEN '3' WHEN npolis_new IS NOT NULL THEN '1' END"
    told = (
        f"smo, date_end, {kind} AS vpolis_new, CASE WHEN enp_new IS NULL THEN spolis_new END AS spolis_new, "
        "COALESCE(enp_new, npolis_new) AS npolis_new, smo_new, okato_new, cause, 'stop' AS source"
    )
    parts = []
    for kind_of, series, number in (*_KINDS, ("2", "NULL", "temporary_old")):
        one = key(_text(kind_of), series, number)
        here = f"NOT list_contains({again}, {one}) AS gone, {told} FROM typed WHERE {number} IS NOT NULL"
        parts.append(f"SELECT {one} AS key, {here}")
    return " UNION ".join(parts)


def _text(value: str) -> str:
    return "'" + value + "'"


def _new(series: str) -> str:
    return series if series == "NULL" else f"{series}_new"


def count(path: str | Path) -> dict[str, int]:
    """Policies of each list in the file, by table."""
    if not fsio.exists(path):
        return {}
    con = duckdb.connect(str(path), read_only=True)
    try:
        have = {row[0] for row in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        found = {}
        for table in sorted(have & {"numbers", "stopped"}):
            row = con.execute(f"SELECT count(DISTINCT key) FROM {table}").fetchone()
            found[table] = int(row[0]) if row else 0
        return found
    finally:
        con.close()
