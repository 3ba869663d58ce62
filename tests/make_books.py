"""Make the shipped tables of reference books by our own importer from reference data.

``python -m tests.make_books [FOLDER]``; the folder is ``$OMS_REFERENCE_DATA`` unless given. What is made from which
file stands in ``make_books.toml``; names are ours (``book_names.toml``) or left out: rules do not ask for them.
"""

from __future__ import annotations

import os
import sys
import tomllib
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from oms_batch.formats.book_file import read_books
from oms_batch.formats.book_rows import BookFile, BookRow
from oms_batch.judge.bookdays import parse_day
from oms_batch.judge.bookindex import Edition, Entry, load_index
from oms_batch.judge.bookmake import BookTable, edition_said, find_source, make_table
from oms_batch.ruledata import RuleData

HERE = Path(__file__).parent
SHIPPED = HERE.parent / "rules" / "common" / "books"


def recipes() -> dict[str, dict[str, Any]]:
    """Book → what it is made from."""
    return tomllib.loads((HERE / "make_books.toml").read_text("utf-8"))


def made(name: str, recipe: dict[str, Any], folder: Path) -> BookTable:
    """One table as the importer makes it from the reference data."""
    entry = load_index(RuleData(), "federal")[name]
    file = folder / "nsi" / recipe["file"]
    (book,) = read_books(file.name, file.read_bytes())
    more = tuple(BookRow(f"added {number}", row) for number, row in enumerate(recipe.get("add", ()), 1))
    edition = edition_said(book) if book.date else Edition(newest(entry, book, recipe))
    book = replace(book, rows=(*book.rows, *more))
    words = tomllib.loads((HERE / "book_names.toml").read_text("utf-8")).get(name, {})
    if words:
        book = _named(entry, book, words)
    return make_table(
        entry, book, edition, origin=origin(entry, edition, recipe, bool(words)), names=bool(words),
        carry_on=recipe.get("carry_on", False),
    )  # fmt: skip


def _named(entry: Entry, book: BookFile, words: dict[str, str]) -> BookFile:
    """The book with our names instead of its own, and without other words."""
    code = find_source(entry.columns[0].sources, book.columns)
    wordy = [find_source(one.sources, book.columns) for one in entry.columns if one.wordy and one.name != "name"]
    kept = [column for column in book.columns if column not in wordy]
    name = find_source(next(one.sources for one in entry.columns if one.name == "name"), kept)
    rows = tuple(BookRow(row.place, {**row.values, name: words[row.values[code]]}) for row in book.rows)
    return replace(book, columns=tuple(kept), rows=rows)


def newest(entry: Entry, book: BookFile, recipe: dict[str, Any]) -> date:
    """The day of a file that does not say its edition: it is at least as new as its newest row."""
    return max(_days(book, (recipe["newest"],) if "newest" in recipe else entry.days[0]))


def _days(book: BookFile, names: tuple[str, ...]) -> list[date]:
    column = next((name for name in names if name in book.columns), "")
    found = (parse_day(row.values.get(column, ""), "", [], []) for row in book.rows)
    return [day for day in found if day is not None]


def origin(entry: Entry, edition: Edition, recipe: dict[str, Any], named: bool) -> str:
    """The first line of a table."""
    version = f"version {edition.version} of" if edition.version else "state of"
    names = "names are ours, short" if named else "names left out"
    text = f"federal book {entry.official}, {version} {edition.day.isoformat()}; reduced by our importer, {names}"
    if "add" in recipe:
        text += "; codes that came into use later are added (CHOSEN: no edition that has them is at hand)"
    if recipe.get("carry_on"):
        text += "; rows that this edition closes on its last day are left open until a newer one comes (CHOSEN)"
    return text


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ["OMS_REFERENCE_DATA"])
    for name, recipe in recipes().items():
        table = made(name, recipe, folder)
        (SHIPPED / f"{name}.csv").write_bytes(table.text)
        print(name, table.edition, table.read, "->", table.rows, [one.code for one in table.remarks])


if __name__ == "__main__":
    main()
