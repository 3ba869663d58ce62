"""The register of the insured: brought in from a table file, kept as one DuckDB file of its own.

Strict: a row that is not right is counted and told by its number and column, never by its value, and nothing
is brought in unless ``skip_bad``. The file is written beside and renamed, so readers see the old or the new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from oms_batch import clock
from oms_batch.errors import WrongState
from oms_batch.store import fsio, table_texts
from oms_batch.store.table_texts import csv_batches, day, heads_of, pour, row_batches

COLUMNS = ("enp", "vpolis", "spolis", "npolis", "fam", "im", "ot", "dr", "w", "snils", "smo", "date_from", "date_to")
# Other heads under which the same columns come.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "enp": ("ENP", "ЕНП"),
    "vpolis": ("VPOLIS", "V_POLIS", "TYPE_POLIS"),
    "spolis": ("SPOLIS", "S_POLIS", "S_CARD", "POLISSER"),
    "npolis": ("NPOLIS", "N_POLIS", "N_CARD", "POLISNUM"),
    "fam": ("FAM", "SURNAME"),
    "im": ("IM", "NAME"),
    "ot": ("OT", "PATRONYMIC"),
    "dr": ("DR", "BIRTHDATE"),
    "w": ("W", "SEX"),
    "snils": ("SNILS", "SS"),
    "smo": ("SMO", "Q", "SMO_COD"),
    "date_from": ("DATE_FROM", "DATE_IN", "DBEG", "BEGIN_P"),
    "date_to": ("DATE_TO", "DATE_END", "DEND", "END_P"),
}
NEEDED = ("vpolis", "npolis", "fam", "im", "dr", "smo", "date_from")
TOLD = 100
REGISTER = "register"
_heads = heads_of(ALIASES, NEEDED)


@dataclass(frozen=True)
class Imported:
    """What came in: rows read, rows kept, bad rows and the first of them as (row, column)."""

    rows: int
    kept: int
    bad: int
    places: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Edition:
    """One edition of a source (``register``, or a list of policies) that was brought in."""

    source: str
    edition: str
    rows: int
    kept: int


@dataclass(frozen=True)
class Stats:
    """What the file holds; ``smo`` maps the insurer's code to its open policies."""

    rows: int
    persons: int
    open: int
    first: str
    last: str
    smo: Mapping[str, int] = field(default_factory=dict)


def import_csv(
    path: str | Path, source: str | Path, person_key: str, *, skip_bad: bool = False, edition: str = ""
) -> Imported:
    """Bring in a CSV (``;`` or ``,``, utf-8 or windows-1251, a head line) as the insured of the file ``path``.

    ``person_key`` is the SQL of a person's key over ``fam im ot dr`` (``judge.person``). ``WrongState`` when the
    head lacks a column or, without ``skip_bad``, when any row is bad; its detail carries places only.
    """
    with fsio.open_read(source) as stream:
        return _import(path, csv_batches(stream, _heads), person_key, skip_bad, _edition(edition))


def import_rows(
    path: str | Path,
    rows: Iterable[Mapping[str, object]],
    person_key: str,
    *,
    skip_bad: bool = False,
    edition: str = "",
) -> Imported:
    """The same from rows with any of the known heads as keys (records of a DBF); values are text or dates."""
    return _import(path, row_batches(rows, _heads), person_key, skip_bad, _edition(edition))


def _edition(day_of_it: str) -> str:
    return day_of_it or clock.today().isoformat()


def stats(path: str | Path) -> Stats:
    """Counts of a file of the insured; ``WrongState`` when there is none."""
    if not fsio.exists(path):
        raise WrongState("INSURED_ABSENT")
    con = duckdb.connect(str(path), read_only=True)
    try:
        row = con.execute(
            "SELECT count(*), count(DISTINCT person), "
            "count(*) FILTER (date_to IS NULL), min(date_from), max(date_from) FROM insured"
        ).fetchone()
        listed = con.execute(
            "SELECT smo, count(*) FROM insured WHERE date_to IS NULL GROUP BY smo ORDER BY smo"
        ).fetchall()
    finally:
        con.close()
    rows, persons, open_, first, last = row if row else (0, 0, 0, None, None)
    return Stats(rows, persons, open_, str(first or ""), str(last or ""), dict(listed))


def _import(path: str | Path, batches: Iterable[pa.Table], person_key: str, skip_bad: bool, edition: str) -> Imported:
    with rebuilt(path) as con:
        rows = pour(con, batches, COLUMNS)
        bad, places = _typed(con)
        refuse_bad(rows, bad, places, skip_bad)
        kept = _finish(con, person_key)
        note_edition(con, REGISTER, edition, rows, kept)
    return Imported(rows, kept, bad, tuple(places))


def refuse_bad(rows: int, bad: int, places: Sequence[tuple[int, str]], skip_bad: bool) -> None:
    """``WrongState`` for a file without rows or, unless ``skip_bad``, with a bad one; it tells places only."""
    if (bad and not skip_bad) or not rows:
        told = ", ".join(f"{row}:{column}" for row, column in places[:10])
        raise WrongState("INSURED_BAD_ROWS" if rows else "INSURED_EMPTY", f"{bad} of {rows}: {told}")


@contextmanager
def rebuilt(path: str | Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A new database beside ``path`` that takes its place when all went well.

    Tables that the caller has not made are taken over from the old one; an exception leaves the old one alone.
    """
    part = f"{path}.part"
    _drop(part)
    con = duckdb.connect(part)
    try:
        con.execute("SET preserve_insertion_order = false")
        yield con
        if fsio.exists(path):
            _take_over(con, str(path))
        con.execute("DROP TABLE IF EXISTS texts")
        con.execute("CHECKPOINT")
    except BaseException:
        con.close()
        _drop(part)
        raise
    con.close()
    fsio.fsync_path(part)
    fsio.rename(part, path)
    fsio.fsync_dir(Path(path).parent)


def _take_over(con: duckdb.DuckDBPyConnection, path: str) -> None:
    con.execute("ATTACH '" + path.replace("'", "''") + "' AS before (READ_ONLY)")
    have = "SELECT table_name FROM duckdb_tables() WHERE database_name {} 'before' AND NOT temporary"
    old, new = ({row[0] for row in con.execute(have.format(sign)).fetchall()} for sign in ("=", "<>"))
    for name in sorted(old - new):
        con.execute(f'CREATE TABLE "{name}" AS SELECT * FROM before."{name}"')
    if "brought" in old & new:
        con.execute("UPDATE brought SET nth = (SELECT max(nth) + 1 FROM before.brought)")
        con.execute("INSERT INTO brought SELECT * FROM before.brought")
    con.execute("DETACH before")


def note_edition(con: duckdb.DuckDBPyConnection, source: str, edition: str, rows: int, kept: int) -> None:
    """Remember which edition of a source was brought in."""
    con.execute(f"CREATE TABLE IF NOT EXISTS brought ({_BROUGHT})")
    con.execute("INSERT INTO brought VALUES (1, ?, CAST(? AS DATE), ?, ?)", [source, edition, rows, kept])


_BROUGHT = "nth BIGINT, source VARCHAR, edition DATE, n_rows BIGINT, kept BIGINT"


def editions(path: str | Path) -> list[Edition]:
    """Every edition that was brought in, in the order in which they came; none where there is no file."""
    if not fsio.exists(path):
        return []
    con = duckdb.connect(str(path), read_only=True)
    try:
        if not con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'brought'").fetchall():
            return []
        rows = con.execute("SELECT source, CAST(edition AS VARCHAR), n_rows, kept FROM brought ORDER BY nth").fetchall()
    finally:
        con.close()
    return [Edition(*row) for row in rows]


def make_empty(con: duckdb.DuckDBPyConnection) -> None:
    """A register of the insured without anybody, where a home has only lists of policies."""
    days = ("dr", "date_from", "date_to")
    columns = ", ".join(f"{name} {'DATE' if name in days else 'VARCHAR'}" for name in COLUMNS)
    con.execute(f"CREATE TABLE insured (n BIGINT, {columns}, person_key UBIGINT, person VARCHAR)")


def has_register(path: str | Path) -> bool:
    """Whether the file holds insured persons, not lists of policies only."""
    con = duckdb.connect(str(path), read_only=True)
    try:
        return bool(con.execute("SELECT 1 FROM insured LIMIT 1").fetchall())
    finally:
        con.close()


def _drop(part: str) -> None:
    for spare in (part, f"{part}.wal"):
        if fsio.exists(spare):
            fsio.unlink(spare)


def _typed(con: duckdb.DuckDBPyConnection) -> tuple[int, list[tuple[int, str]]]:
    """Texts → typed rows with what is wrong with each; gives the number of bad rows and the first places."""
    text = {name: table_texts.text(name) for name in COLUMNS}
    number = {name: table_texts.number(name) for name in COLUMNS}
    con.execute(
        f"""CREATE TABLE typed AS SELECT row_n, {number["enp"]} AS enp, {text["vpolis"]} AS vpolis,
        {number["spolis"]} AS spolis, {number["npolis"]} AS npolis, {text["fam"]} AS fam, {text["im"]} AS im,
        {text["ot"]} AS ot, {day("dr")} AS dr, {text["w"]} AS w, {text["snils"]} AS snils, {text["smo"]} AS smo,
        {day("date_from")} AS date_from, {day("date_to")} AS date_to,
        {text["date_to"]} IS NOT NULL AS has_end FROM texts"""
    )
    con.execute("DROP TABLE texts")
    wrong = {
        "enp": "enp IS NOT NULL AND NOT regexp_full_match(enp, '[0-9]{16}')",
        "vpolis": "vpolis IS NULL OR vpolis NOT IN ('1', '2', '3')",
        "npolis": "npolis IS NULL AND enp IS NULL",
        "fam": "fam IS NULL AND im IS NULL",
        "dr": "dr IS NULL",
        "w": "w IS NOT NULL AND w NOT IN ('1', '2')",
        "smo": "smo IS NULL OR NOT regexp_full_match(smo, '[0-9]{2,5}')",
        "date_from": "date_from IS NULL",
        "date_to": "(has_end AND date_to IS NULL) OR date_to < date_from",
    }
    cases = ", ".join(f"CASE WHEN {test} THEN '{column}' END" for column, test in wrong.items())
    listed = f"SELECT row_n, unnest([{cases}]) AS c FROM typed"
    con.execute(f"CREATE TABLE wrong AS SELECT row_n, c FROM ({listed}) WHERE c IS NOT NULL")
    row = con.execute("SELECT count(DISTINCT row_n) FROM wrong").fetchone()
    places = con.execute(f"SELECT row_n, c FROM wrong ORDER BY row_n, c LIMIT {TOLD}").fetchall()
    return int(row[0]) if row else 0, [(int(n), str(column)) for n, column in places]


def _finish(con: duckdb.DuckDBPyConnection, person_key: str) -> int:
    con.execute(f"CREATE TABLE good AS SELECT *, {person_key} AS person_key FROM typed ANTI JOIN wrong USING (row_n)")
    # An old policy without an ENP belongs to the one ENP of the same names and birth date.
    con.execute(
        """CREATE TABLE insured AS SELECT row_n AS n, enp, vpolis, spolis, COALESCE(npolis, enp) AS npolis,
        fam, im, ot, dr, w, snils, smo, date_from, date_to, person_key,
        COALESCE(enp, only_enp, CAST(person_key AS VARCHAR)) AS person
        FROM good LEFT JOIN (SELECT person_key, min(enp) AS only_enp FROM good
          WHERE person_key IN (SELECT person_key FROM good WHERE enp IS NULL)
          GROUP BY person_key HAVING min(enp) = max(enp)) USING (person_key)"""
    )
    for spare in ("typed", "wrong", "good"):
        con.execute(f"DROP TABLE {spare}")
    row = con.execute("SELECT count(*) FROM insured").fetchone()
    return int(row[0]) if row else 0
