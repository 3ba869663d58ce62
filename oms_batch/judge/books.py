"""Reference books: ``;``-separated tables with validity, as DuckDB tables ``book_<name>``.

A head cell may end in a type: ``price:kopecks`` (text roubles, kept as exact kopecks), ``age:int``,
``usl_ok:key`` (part of the key). Without any ``:key`` the first column is the key. All else is text, empty
is NULL, ``valid_from`` and ``valid_to`` are DATE (empty: open). Two more columns are for joining only:
``live_from`` and ``live_to``, the same days without NULL. A key has at most one row on a day, so a lookup
never multiplies rows.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as pacsv

from oms_batch.errors import SetupError
from oms_batch.judge.bookindex import edition_of
from oms_batch.judge.rulebook import COMMON, Rulebook
from oms_batch.ruledata import RuleData

OPTIONAL = b"# optional:"  # a table that a participant may fill in: it may be empty, rules that ask it must say so
LAST_DAY = "DATE '9999-12-31'"
FIRST, LAST = date.min, date.max
_HEAD = re.compile(r"([a-z][a-z0-9_]*)((?::(?:kopecks|int|key))*)", re.ASCII)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


_FORMS: dict[str, tuple[re.Pattern[str], pa.DataType, Callable[[str], Any]]] = {
    "int": (re.compile(r"-?\d{1,18}", re.ASCII), pa.int64(), int),
    "kopecks": (re.compile(r"-?\d{1,15}(\.\d{1,2})?", re.ASCII), pa.int64(), lambda text: int(Decimal(text) * 100)),
    "date": (re.compile(r"\d{4}-\d\d-\d\d", re.ASCII), pa.date32(), _day),
}


@dataclass(frozen=True)
class Book:
    """One book as typed rows; ``edition``: what the table says of it, and the start of the SHA-256 of its file."""

    name: str
    edition: str
    keys: tuple[str, ...]
    rows: pa.Table


def load_books(con: duckdb.DuckDBPyConnection, rules: RuleData, profile: str, needed: Iterable[str]) -> dict[str, str]:
    """Make ``book_<name>`` for each needed book; gives name → edition.

    ``SetupError`` for a book that is missing, empty, malformed or has two rows for one key and day.
    """
    made = [read_book(rules, profile, name) for name in sorted(set(needed))]
    con.execute("BEGIN")  # one commit, not one for each
    for book in made:
        con.register("book_rows", book.rows)
        con.execute(f'CREATE OR REPLACE TABLE "book_{book.name}" AS SELECT * FROM book_rows')
        con.unregister("book_rows")
    con.execute("COMMIT")
    return {book.name: book.edition for book in made}


def load_for(con: duckdb.DuckDBPyConnection, rules: RuleData, rulebook: Rulebook) -> dict[str, str]:
    """All books of a rulebook and its table ``param``; checks that every lookup finds one row at most."""
    editions = load_books(con, rules, rulebook.profile, rulebook.books)
    con.execute("CREATE OR REPLACE TABLE param (name VARCHAR, value VARCHAR)")
    if rulebook.params:
        con.executemany("INSERT INTO param VALUES (?, ?)", [list(pair) for pair in rulebook.params])
    checked: set[tuple[str, tuple[str, ...]]] = set()
    for rule in rulebook.asked():
        for one in rule.lookup:
            use = (one.book, tuple(sorted(one.on)))
            if use in checked:
                continue
            checked.add(use)
            book = read_book(rules, rulebook.profile, one.book)
            if unknown := set(one.on) - set(book.rows.column_names):
                raise SetupError(f"{rule.file}: lookup {one.name}: the book {one.book} has no column {min(unknown)}")
            if not set(book.keys) <= set(one.on):
                check_unique(con, f"book_{one.book}", use[1], f"{rule.file}: lookup {one.name}")
    return editions


def check_unique(con: duckdb.DuckDBPyConnection, table: str, keys: Sequence[str], what: str) -> None:
    """``SetupError`` when two rows with equal keys are valid on one day."""
    listed = ", ".join(f'"{key}"' for key in keys)
    twice = con.execute(_overlap(table, listed, "1") + " LIMIT 1").fetchone()
    if twice:
        raise SetupError(f"{what}: two rows of {table} are valid on one day for one {'+'.join(keys)}")


def _overlap(table: str, keys: str, shown: str) -> str:
    """Rows that begin before an earlier row of the same key ends; in order of begin neighbours suffice."""
    return (
        f"SELECT {shown} FROM (SELECT *, lag(live_to) OVER (PARTITION BY {keys} ORDER BY live_from) AS before "
        f'FROM "{table}") WHERE before >= live_from'
    )


@dataclass(frozen=True)
class _Bytes:
    """The bytes of a table, known by their hash."""

    digest: str
    data: bytes = field(compare=False)


def read_book(rules: RuleData, profile: str, name: str) -> Book:
    """A checked book: the profile's own, else the common one. The same bytes are taken apart once."""
    places = (f"{profile}/books", f"{COMMON}/books", f"{COMMON}/calendar")  # working days are a book too
    file = next((f"{place}/{name}.csv" for place in places if rules.exists(f"{place}/{name}.csv")), "")
    if not file:
        raise SetupError(f"book {name}: no such file in {profile}/books or {COMMON}/books")
    data = rules.read(file)
    return _parsed(name, file, _Bytes(hashlib.sha256(data).hexdigest(), data))


@lru_cache(maxsize=256)
def _parsed(name: str, file: str, text: _Bytes) -> Book:
    texts, kinds, keys = _texts(text.data, file)
    said, digest = edition_of(text.data), text.digest[:8]
    return Book(name, f"{said}, {digest}" if said else digest, keys, _typed(texts, kinds, keys, file))


def _texts(data: bytes, file: str) -> tuple[pa.Table, dict[str, str], tuple[str, ...]]:
    """The rows as text, the type of each column, the key columns."""
    lines = [line for line in data.splitlines(keepends=True) if not line.startswith(b"#")]
    if not lines:
        raise SetupError(f"{file}: empty")
    head = lines[0].decode("utf-8-sig").strip().split(";")
    kinds: dict[str, str] = {}
    keys: list[str] = []
    for cell in head:
        match = _HEAD.fullmatch(cell)
        if match is None:
            raise SetupError(f"{file}: head: not a column name, with :kopecks, :int or :key after it")
        marks = match[2].split(":")
        kinds[match[1]] = next((mark for mark in marks if mark in _FORMS), "")
        keys.extend([match[1]] if "key" in marks else [])
    if len(kinds) != len(head):
        raise SetupError(f"{file}: head: a column stands twice")
    kinds.update({day: "date" for day in ("valid_from", "valid_to") if day in kinds})
    body = b"".join(lines[1:])
    if not body.strip():
        if OPTIONAL not in data:
            raise SetupError(f"{file}: no rows")
        return pa.table({name: pa.array([], pa.string()) for name in kinds}), kinds, tuple(keys) or (next(iter(kinds)),)
    try:
        texts = pacsv.read_csv(
            io.BytesIO(body),
            read_options=pacsv.ReadOptions(column_names=list(kinds), use_threads=False),
            parse_options=pacsv.ParseOptions(delimiter=";", newlines_in_values=False),
            convert_options=pacsv.ConvertOptions(column_types={name: pa.string() for name in kinds}),
        )
    except pa.ArrowInvalid as error:
        row = re.search(r"Row #(\d+)", str(error))
        place = f"{file}: data row {row[1] if row else '?'}"
        raise SetupError(f"{place}: another number of columns than the head") from None
    return texts, kinds, tuple(keys) or (next(iter(kinds)),)


@lru_cache(maxsize=1)
def _workshop() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:")


def _typed(texts: pa.Table, kinds: dict[str, str], keys: tuple[str, ...], file: str) -> pa.Table:
    """The rows with their types; ``SetupError`` names the column and the first data row that is wrong."""
    columns: dict[str, pa.ChunkedArray] = {}
    wrong = []
    for name, kind in kinds.items():
        plain = pc.utf8_trim(texts[name], characters=" ")
        plain = pc.if_else(pc.equal(plain, ""), pa.scalar(None, pa.string()), plain)
        columns[name] = _as_kind(plain, kind) if kind else plain
        if kind:
            wrong.append((pc.and_(pc.is_valid(plain), pc.is_null(columns[name])), f"{name}: not a {kind}"))
    _refuse(wrong, file)
    for live, day, end in (("live_from", "valid_from", FIRST), ("live_to", "valid_to", LAST)):
        open_ = pa.scalar(end, pa.date32())
        given = columns.get(day)
        columns[live] = pa.repeat(open_, texts.num_rows) if given is None else pc.fill_null(given, open_)
    rows = pa.table(columns)
    empty = pa.array([True] * rows.num_rows, pa.bool_())
    for key in keys:
        empty = pc.and_(empty, pc.is_null(rows[key]))
    _refuse(
        [(pc.less(rows["live_to"], rows["live_from"]), "valid_to is before valid_from"), (empty, "empty key")], file
    )
    if rows.num_rows and rows.group_by(list(keys)).aggregate([([], "count_all")]).num_rows < rows.num_rows:
        _refuse_twice(rows, keys, file)
    return rows


def _as_kind(plain: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    """Texts as what they say; what is not written so is NULL. Values repeat: each is taken apart once."""
    mask, to, cast = _FORMS[kind]
    coded = plain.combine_chunks().dictionary_encode()
    made = [cast(text) if mask.fullmatch(text) else None for text in coded.dictionary.to_pylist()]
    return pa.chunked_array([pa.array(made, to).take(coded.indices)])


def _refuse(wrong: list[tuple[pa.ChunkedArray, str]], file: str) -> None:
    for found, what in wrong:
        number = pc.index(found, True).as_py()
        if number >= 0:
            raise SetupError(f"{file}: {what} (data row {number + 1})")


def _refuse_twice(rows: pa.Table, keys: tuple[str, ...], file: str) -> None:
    """Keys repeat: their days must not meet."""
    con = _workshop().cursor()
    con.register("dated", rows.select([*keys, "live_from", "live_to"]).append_column("row_n", _numbers(rows.num_rows)))
    listed = ", ".join(f'"{key}"' for key in keys)
    (first,) = con.execute(_overlap("dated", listed, "min(row_n)")).fetchall()[0]
    con.close()
    if first is not None:
        raise SetupError(f"{file}: two rows are valid on one day for one {'+'.join(keys)} (data row {first})")


def _numbers(count: int) -> pa.Array:
    return pa.array(range(1, count + 1), pa.int64())
