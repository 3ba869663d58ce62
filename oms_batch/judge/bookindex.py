"""Which reference books there are: ``common/books/index.toml`` as objects, and what tables say of their edition.

A table's own form: ``# origin:`` and ``# edition: 2.5 of 2018-12-29`` in front, then ``code;…;valid_from;valid_to``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from oms_batch.errors import SetupError
from oms_batch.judge.rulebook import COMMON
from oms_batch.ruledata import RuleData

INDEX = f"{COMMON}/books/index.toml"
OWN = f"{COMMON}/books/index_own.toml"  # books of a territory, beside ours
DAYS = ("valid_from", "valid_to")
USUAL_DAYS = (("DATEBEG", "D_BEGIN", "VALID_FROM"), ("DATEEND", "D_END", "VALID_TO"))
GIVERS = ("federal", "commission", "territory")
_COLUMN = re.compile(r"([a-z][a-z0-9_]*)([?*]?)((?::(?:key|int|kopecks))*)(?:\s*=\s*(.+))?", re.ASCII)
_POINT = re.compile(r"([a-z0-9_]+)\s*->\s*([a-z0-9_]+)\.([a-z0-9_]+)(\s*!)?", re.ASCII)
_EDITION = re.compile(rb"^# edition: (\S*?) ?of (\d{4}-\d\d-\d\d)\s*$", re.MULTILINE)
_KEYS = {
    "name", "official", "types", "title", "title_en", "giver", "columns", "lists", "days", "folders", "own", "points",
    "mandatory", "max_age_days", "example", "fill",
}  # fmt: skip


@dataclass(frozen=True)
class BookColumn:
    """A column of our table: ``marks`` are those of its head, ``sources`` the fields of packets it may come from
    (``A+B``: put together). ``optional``: a file may be without it; ``wordy``: for people only, so the tables that
    are shipped leave it out."""

    name: str
    marks: str
    sources: tuple[str, ...]
    optional: bool = False
    wordy: bool = False

    @property
    def head(self) -> str:
        return self.name + self.marks


@dataclass(frozen=True)
class Point:
    """A column that names codes of another book. ``must``: a code that is not there refuses the import."""

    column: str
    book: str
    key: str
    must: bool


@dataclass(frozen=True)
class Entry:
    """One book: see docs/books.md for what the keys of its data mean."""

    name: str
    official: str
    types: tuple[str, ...]
    title: str
    title_en: str
    giver: str
    columns: tuple[BookColumn, ...]
    days: tuple[tuple[str, ...], tuple[str, ...]]
    lists: frozenset[str] = frozenset()
    folders: tuple[str, ...] = (COMMON,)
    own: tuple[str, ...] = ()
    points: tuple[Point, ...] = ()
    mandatory: bool = False
    max_age_days: int = 0
    example: tuple[str, ...] = ()
    fill: tuple[tuple[str, str], ...] = ()

    @property
    def ours(self) -> frozenset[str]:
        """Columns that no file fills: they stay as they were, or are what the index says."""
        return frozenset(self.own) | {name for name, _ in self.fill}

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that make the key."""
        marked = tuple(one.name for one in self.columns if ":key" in one.marks)
        return marked or (self.columns[0].name,)

    def places(self, profile: str) -> tuple[str, ...]:
        """Where the table is laid: relative names of files; ``{profile}`` is the home's."""
        return tuple(f"{folder.format(profile=profile)}/books/{self.name}.csv" for folder in self.folders)


@dataclass(frozen=True, order=True)
class Edition:
    """An edition as the book's giver counts it: the day, and the number as numbers (``2.12`` after ``2.2``)."""

    day: date
    version: str = ""

    @property
    def number(self) -> tuple[int, ...]:
        return tuple(int(part) for part in re.findall(r"\d+", self.version))

    def older_than(self, other: Edition) -> bool:
        """By day, or by number when both have one: an edition that goes back in either is older."""
        back = bool(self.number and other.number) and self.number < other.number
        return self.day < other.day or back

    def __str__(self) -> str:
        return f"{self.version} of {self.day.isoformat()}".strip()


@lru_cache(maxsize=8)
def load_index(rules: RuleData, profile: str) -> dict[str, Entry]:
    """All books by name. ``SetupError`` names the book whose entry is wrong."""
    found: dict[str, Entry] = {}
    for file in (INDEX, OWN):
        if not rules.exists(file):
            continue
        for data in rules.toml(file).get("book", []):
            entry = _entry(rules, profile, data, f"{file}: {data.get('name', '?')}")
            found[entry.name] = entry
    for entry in found.values():
        for point in entry.points:
            if point.column not in {one.name for one in entry.columns}:
                raise SetupError(f"{INDEX}: {entry.name}: points: no column {point.column}")
    return found


def _entry(rules: RuleData, profile: str, data: Mapping[str, Any], place: str) -> Entry:
    if unknown := set(data) - _KEYS:
        raise SetupError(f"{place}: not a key: {min(unknown)}")
    try:
        folders = tuple(data.get("folders", (COMMON,)))
        columns = tuple(_column(text, place) for text in data.get("columns", ()))
        if not columns:
            columns = columns_of_table(rules, folders, profile, data["name"])
        days = data.get("days") or ["", ""]
        entry = Entry(
            data["name"], data.get("official", ""), tuple(data.get("types", ())), data["title"], data["title_en"],
            data["giver"], columns,
            (_sources(days[0], USUAL_DAYS[0]), _sources(days[1], USUAL_DAYS[1])),
            frozenset(data.get("lists", ())), folders, tuple(data.get("own", ())),
            tuple(_point(text, place) for text in data.get("points", ())),
            bool(data.get("mandatory", False)), int(data.get("max_age_days", 0)),
            tuple(data.get("example", ())), tuple(data.get("fill", {}).items()),
        )  # fmt: skip
    except KeyError as error:
        raise SetupError(f"{place}: is missing: {error.args[0]}") from None
    if entry.giver not in GIVERS:
        raise SetupError(f"{place}: giver: not one of {', '.join(GIVERS)}")
    return entry


def _sources(said: str, usual: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*said.upper().split(), *usual]))


def _column(text: str, place: str) -> BookColumn:
    match = _COLUMN.fullmatch(text)
    if match is None:
        raise SetupError(f"{place}: columns: not “name:key = FIELD FIELD”: {text}")
    named = (match[4] or "").upper().split()
    return BookColumn(
        match[1], match[3], tuple(dict.fromkeys([*named, match[1].upper()])), bool(match[2]), match[2] == "*"
    )


def _point(text: str, place: str) -> Point:
    match = _POINT.fullmatch(text)
    if match is None:
        raise SetupError(f"{place}: points: not “column -> book.column”: {text}")
    return Point(match[1], match[2], match[3], bool(match[4]))


def columns_of_table(rules: RuleData, folders: tuple[str, ...], profile: str, name: str) -> tuple[BookColumn, ...]:
    """The columns of a table that is already there, without its days: a book of the territory looks as it does."""
    for folder in folders:
        file = f"{folder.format(profile=profile)}/books/{name}.csv"
        if rules.exists(file):
            head = next(line for line in rules.read(file).decode("utf-8").splitlines() if not line.startswith("#"))
            cells = [cell.partition(":") for cell in head.split(";")]
            return tuple(
                BookColumn(cell, f":{marks}" if marks else "", (cell.upper(),))
                for cell, _, marks in cells
                if cell not in DAYS
            )
    raise SetupError(f"{INDEX}: {name}: columns: none given, and no table to take them from")


def edition_of(data: bytes) -> Edition | None:
    """What a table of our own form says of its edition; ``None``: nothing."""
    match = _EDITION.search(data[:4096])
    if match is None:
        return None
    try:
        return Edition(date.fromisoformat(match[2].decode()), match[1].decode())
    except ValueError:
        return None
