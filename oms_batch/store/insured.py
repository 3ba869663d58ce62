"""The register of the insured: brought in from a table file, kept as one DuckDB file of its own.

Strict: a row that is not right is counted and told by its number and column, never by its value, and nothing
is brought in unless ``skip_bad``. The file is written beside and renamed, so readers see the old or the new one.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import duckdb
import pyarrow as pa
from pyarrow import csv as pacsv

from oms_batch.errors import WrongState
from oms_batch.store import fsio

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
_BATCH = 100_000


@dataclass(frozen=True)
class Imported:
    """What came in: rows read, rows kept, bad rows and the first of them as (row, column)."""

    rows: int
    kept: int
    bad: int
    places: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Stats:
    """What the file holds; ``smo`` maps the insurer's code to its open policies."""

    rows: int
    persons: int
    open: int
    first: str
    last: str
    smo: Mapping[str, int] = field(default_factory=dict)


def import_csv(path: str | Path, source: str | Path, person_key: str, *, skip_bad: bool = False) -> Imported:
    """Bring in a CSV (``;`` or ``,``, utf-8 or windows-1251, a head line) as the insured of the file ``path``.

    ``person_key`` is the SQL of a person's key over ``fam im ot dr`` (``judge.person``). ``WrongState`` when the
    head lacks a column or, without ``skip_bad``, when any row is bad; its detail carries places only.
    """
    with fsio.open_read(source) as stream:
        return _import(path, _csv_batches(stream), person_key, skip_bad)


def import_rows(
    path: str | Path, rows: Iterable[Mapping[str, object]], person_key: str, *, skip_bad: bool = False
) -> Imported:
    """The same from rows with any of the known heads as keys (records of a DBF); values are text or dates."""
    return _import(path, _row_batches(rows), person_key, skip_bad)


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


def _import(path: str | Path, batches: Iterable[pa.Table], person_key: str, skip_bad: bool) -> Imported:
    part = f"{path}.part"
    for spare in (part, f"{part}.wal"):
        if fsio.exists(spare):
            fsio.unlink(spare)
    con = duckdb.connect(part)
    try:
        con.execute("SET preserve_insertion_order = false")
        texts = ", ".join(f"{name} VARCHAR" for name in COLUMNS)
        con.execute(f"CREATE TABLE texts (row_n BIGINT, {texts})")
        rows = 0
        for batch in batches:
            numbers = pa.array(range(rows + 1, rows + batch.num_rows + 1), pa.int64())
            con.register("batch", batch.append_column("row_n", numbers))
            con.execute("INSERT INTO texts BY NAME SELECT * FROM batch")
            con.unregister("batch")
            rows += batch.num_rows
        bad, places = _typed(con)
        if (bad and not skip_bad) or not rows:
            told = ", ".join(f"{row}:{column}" for row, column in places[:10])
            raise WrongState("INSURED_BAD_ROWS" if rows else "INSURED_EMPTY", f"{bad} of {rows}: {told}")
        kept = _finish(con, person_key)
    except WrongState:
        con.close()
        _drop(part)
        raise
    con.close()
    fsio.fsync_path(part)
    fsio.rename(part, path)
    fsio.fsync_dir(Path(path).parent)
    return Imported(rows, kept, bad, tuple(places))


def _drop(part: str) -> None:
    for spare in (part, f"{part}.wal"):
        if fsio.exists(spare):
            fsio.unlink(spare)


def _typed(con: duckdb.DuckDBPyConnection) -> tuple[int, list[tuple[int, str]]]:
    """Texts → typed rows with what is wrong with each; gives the number of bad rows and the first places."""
    text = {name: f"NULLIF(trim({name}), '')" for name in COLUMNS}
    number = {name: f"NULLIF(regexp_replace(upper({name}), '[^0-9A-ZА-ЯЁ]', '', 'g'), '')" for name in COLUMNS}
    con.execute(
        f"""CREATE TABLE typed AS SELECT row_n, {number["enp"]} AS enp, {text["vpolis"]} AS vpolis,
        {number["spolis"]} AS spolis, {number["npolis"]} AS npolis, {text["fam"]} AS fam, {text["im"]} AS im,
        {text["ot"]} AS ot, {_day("dr")} AS dr, {text["w"]} AS w, {text["snils"]} AS snils, {text["smo"]} AS smo,
        {_day("date_from")} AS date_from, {_day("date_to")} AS date_to,
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
    con.execute("CHECKPOINT")
    row = con.execute("SELECT count(*) FROM insured").fetchone()
    return int(row[0]) if row else 0


def _day(name: str) -> str:
    """A date as YYYY-MM-DD, DD.MM.YYYY or YYYYMMDD; anything else is NULL."""
    text = f"trim({name})"
    return (
        f"CASE WHEN regexp_full_match({text}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') THEN TRY_CAST({text} AS DATE) "
        f"WHEN regexp_full_match({text}, '[0-9]{{2}}[.][0-9]{{2}}[.][0-9]{{4}}') "
        f"THEN CAST(try_strptime({text}, '%d.%m.%Y') AS DATE) "
        f"WHEN regexp_full_match({text}, '[0-9]{{8}}') THEN CAST(try_strptime({text}, '%Y%m%d') AS DATE) END"
    )


def _heads(names: Sequence[str]) -> dict[str, str]:
    """Head as written → column; ``WrongState`` when a needed column is not there or stands twice."""
    by_alias = {alias: column for column, aliases in ALIASES.items() for alias in aliases}
    found = {name: by_alias[name.strip().upper()] for name in names if name.strip().upper() in by_alias}
    if missing := [name for name in NEEDED if name not in found.values()]:
        raise WrongState("INSURED_COLUMNS", ", ".join(missing))
    if len(set(found.values())) != len(found):
        raise WrongState("INSURED_COLUMNS", "twice")
    return found


def _csv_batches(stream: BinaryIO) -> Iterable[pa.Table]:
    start = stream.read(1 << 20)
    encoding = _encoding(start)
    stream.seek(0)
    head = start.split(b"\n", 1)[0].decode(encoding, "replace").strip("\ufeff\r\n ")
    divider = ";" if head.count(";") >= head.count(",") else ","
    names = [cell.strip('" ') for cell in head.split(divider)]
    heads = _heads(names)
    try:
        reader = pacsv.open_csv(
            stream,
            read_options=pacsv.ReadOptions(
                column_names=names, skip_rows=1, encoding=encoding, block_size=8 << 20, use_threads=False
            ),
            parse_options=pacsv.ParseOptions(delimiter=divider),
            convert_options=pacsv.ConvertOptions(
                column_types={name: pa.string() for name in names},
                include_columns=list(heads),
                strings_can_be_null=False,
            ),
        )
        for batch in reader:
            yield pa.Table.from_batches([batch]).rename_columns([heads[name] for name in batch.schema.names])
    except pa.ArrowInvalid:
        raise WrongState("INSURED_CSV", "another number of columns than the head, or another encoding") from None


def _encoding(start: bytes) -> str:
    try:
        io.TextIOWrapper(io.BytesIO(start[: start.rfind(b"\n") + 1] or start), "utf-8").read()
    except UnicodeDecodeError:
        return "cp1251"
    return "utf-8"


def _row_batches(rows: Iterable[Mapping[str, object]]) -> Iterable[pa.Table]:
    heads: dict[str, str] = {}
    held: list[list[str | None]] = []
    for row in rows:
        heads = heads or _heads(list(row))
        held.append([None if (value := row.get(name)) is None else str(value) for name in heads])
        if len(held) >= _BATCH:
            yield _table(held, heads)
            held = []
    if held:
        yield _table(held, heads)


def _table(held: Sequence[Sequence[str | None]], heads: Mapping[str, str]) -> pa.Table:
    columns = list(zip(*held, strict=True))
    return pa.table({column: pa.array(columns[i], pa.string()) for i, column in enumerate(heads.values())})
