"""Tables that people bring in (CSV, records of a DBF) as batches of texts under our own names of columns."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import BinaryIO

import duckdb
import pyarrow as pa
from pyarrow import csv as pacsv

from oms_batch.errors import WrongState

Heads = Callable[[Sequence[str]], dict[str, str]]
_BATCH = 100_000


def heads_of(aliases: Mapping[str, Sequence[str]], needed: Sequence[str]) -> Heads:
    """Heads as written → columns; ``WrongState`` when a needed column is not there or one stands twice."""
    by_alias = {alias: column for column, names in aliases.items() for alias in names}

    def find(names: Sequence[str]) -> dict[str, str]:
        found = {name: by_alias[name.strip().upper()] for name in names if name.strip().upper() in by_alias}
        if missing := [name for name in needed if name not in found.values()]:
            raise WrongState("INSURED_COLUMNS", ", ".join(missing))
        if len(set(found.values())) != len(found):
            raise WrongState("INSURED_COLUMNS", "twice")
        return found

    return find


def csv_batches(stream: BinaryIO, heads_for: Heads) -> Iterable[pa.Table]:
    """Batches of a ``;`` or ``,`` table in UTF-8 or windows-1251 with a head line."""
    start = stream.read(1 << 20)
    encoding = _encoding(start)
    stream.seek(0)
    head = start.split(b"\n", 1)[0].decode(encoding, "replace").strip("\ufeff\r\n ")
    divider = ";" if head.count(";") >= head.count(",") else ","
    names = [cell.strip('" ') for cell in head.split(divider)]
    heads = heads_for(names)
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


def row_batches(rows: Iterable[Mapping[str, object]], heads_for: Heads) -> Iterable[pa.Table]:
    """The same of rows with any of the known heads as keys; values are text or dates."""
    heads: dict[str, str] = {}
    held: list[list[str | None]] = []
    for row in rows:
        heads = heads or heads_for(list(row))
        held.append([None if (value := row.get(name)) is None else str(value) for name in heads])
        if len(held) >= _BATCH:
            yield _table(held, heads)
            held = []
    if held:
        yield _table(held, heads)


def _table(held: Sequence[Sequence[str | None]], heads: Mapping[str, str]) -> pa.Table:
    columns = list(zip(*held, strict=True))
    return pa.table({column: pa.array(columns[i], pa.string()) for i, column in enumerate(heads.values())})


def pour(con: duckdb.DuckDBPyConnection, batches: Iterable[pa.Table], columns: Sequence[str]) -> int:
    """Batches into a new table ``texts`` with the number of each row in ``row_n``; gives how many came."""
    listed = ", ".join(f"{name} VARCHAR" for name in columns)
    con.execute(f"CREATE TABLE texts (row_n BIGINT, {listed})")
    rows = 0
    for batch in batches:
        numbers = pa.array(range(rows + 1, rows + batch.num_rows + 1), pa.int64())
        con.register("batch", batch.append_column("row_n", numbers))
        con.execute("INSERT INTO texts BY NAME SELECT * FROM batch")
        con.unregister("batch")
        rows += batch.num_rows
    return rows


def text(name: str) -> str:
    """SQL: a text without spaces around; NULL when nothing is left."""
    return f"NULLIF(trim({name}), '')"


def number(name: str) -> str:
    """SQL: a series or number in upper case, letters and digits only; NULL when nothing is left."""
    return f"NULLIF(regexp_replace(upper({name}), '[^0-9A-ZА-ЯЁ]', '', 'g'), '')"


def day(name: str) -> str:
    """SQL: a date as YYYY-MM-DD, DD.MM.YYYY or YYYYMMDD; anything else is NULL."""
    plain = f"trim({name})"
    return (
        f"CASE WHEN regexp_full_match({plain}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') THEN TRY_CAST({plain} AS DATE) "
        f"WHEN regexp_full_match({plain}, '[0-9]{{2}}[.][0-9]{{2}}[.][0-9]{{4}}') "
        f"THEN CAST(try_strptime({plain}, '%d.%m.%Y') AS DATE) "
        f"WHEN regexp_full_match({plain}, '[0-9]{{8}}') THEN CAST(try_strptime({plain}, '%Y%m%d') AS DATE) END"
    )
