"""Reference books at a participant's home: taken in, kept by edition, put into force, listed, and templates for those
that no federal packet brings.

Nothing is put into force unless all tables of a file are right; what is refused leaves the old edition as it was.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date

from oms_batch.errors import Problem, Refusal, WrongState, refuse
from oms_batch.formats.book_file import read_books
from oms_batch.formats.book_rows import BookFile
from oms_batch.judge import bookmake, bookwatch
from oms_batch.judge.bookindex import DAYS, Edition, Entry, edition_of, load_index
from oms_batch.judge.bookmake import BookTable
from oms_batch.judge.books import read_book
from oms_batch.judge.bookwatch import age_of, watched_line
from oms_batch.ruledata import RuleData
from oms_batch.site import Site
from oms_batch.store import editions, fsio, ledger

_OFFICIAL = re.compile(r"([A-Z]\d{3})(?!\d)")
COLUMNS = "common/books/columns.toml"
IN, THERE, REFUSED = "in", "there", "refused"


@dataclass
class Brought:
    """What became of one book of a file: ``state`` in (in force now), there (it was in force already), refused."""

    file: str
    books: tuple[str, ...] = ()
    edition: Edition | None = None
    read: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    state: str = IN
    problems: list[Problem] = field(default_factory=list)
    total: int = 0
    remarks: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class Listed:
    """A book of the index as it is in force; ``age`` in days on the day of the question; ``own``: brought in here;
    ``stale``: older than the ``limit``, which stops work where the book is ``watched`` and is told elsewhere."""

    entry: Entry
    edition: Edition | None
    age: int | None
    limit: int | None
    watched: bool
    stale: bool
    there: bool
    empty: bool
    own: bool
    kept: int


@dataclass
class _Work:
    """One book of a file on its way."""

    brought: Brought
    book: BookFile
    edition: Edition
    entries: list[Entry]
    tables: list[BookTable] = field(default_factory=list)

    def fail(self, error: Refusal) -> None:
        self.brought.state = REFUSED
        self.brought.problems.extend(error.problems)
        self.brought.total += error.total
        self.tables = []


def bring_in(
    site: Site,
    files: Sequence[str],
    *,
    who: str,
    book: str = "",
    version: str = "",
    day: str = "",
    anyway: bool = False,
    try_only: bool = False,
) -> list[Brought]:
    """Take in books from files of any form. ``book``, ``version``, ``day`` say what a file does not say itself;
    ``anyway`` lets an older edition, or one that lost many codes, follow; ``try_only`` changes nothing.

    ``WrongState`` CODE_UNKNOWN for a book that the index does not have. Oldest editions go first, so that a ZIP with
    several of one book leaves the newest in force.
    """
    index = load_index(site.rules, site.profile.id)
    if book and book not in index:
        raise WrongState("CODE_UNKNOWN", book)
    told: list[Brought] = []
    works: list[_Work] = []
    for path in files:
        for work in _opened(path, index, told, (book, version, day)):
            works.append(work)
    works.sort(key=lambda one: (one.edition.day, one.edition.number))
    fresh: dict[str, BookTable] = {}
    for work in works:
        _make(site, work, fresh, anyway)
    for work in works:
        _meet(site, work, fresh)
    for work in works:
        if work.tables and not try_only:
            _settle(site, work, who, anyway)
    return told


def _opened(path: str, index: dict[str, Entry], told: list[Brought], said: tuple[str, str, str]) -> list[_Work]:
    """The books of one file with their entries and editions; faults are told at once."""
    name = fsio.basename(path)
    found = []
    try:
        books = read_books(name, fsio.read_bytes(path))
    except Refusal as error:
        told.append(Brought(name, state=REFUSED, problems=list(error.problems), total=error.total))
        return []
    for one in books:
        brought = Brought(one.name, read=len(one.rows))
        told.append(brought)
        try:
            entries = entries_for(index, one, said[0])
            brought.books = tuple(entry.name for entry in entries)
            edition = bookmake.edition_said(one, said[1], said[2])
            brought.edition = edition
            found.append(_Work(brought, one, edition, entries))
        except Refusal as error:
            brought.state, brought.problems, brought.total = REFUSED, list(error.problems), error.total
    return found


def entries_for(index: dict[str, Entry], book: BookFile, named: str = "") -> list[Entry]:
    """The tables that a file makes: the book that is named, else what the packet calls itself, else its file name.

    Several entries may share one official book. ``BOOK_UNKNOWN`` when nothing fits, or more than one book does.
    """
    if named:
        official = index[named].official
        return [one for one in index.values() if one.name == named or (official and one.official == official)]
    stem = book.name.rpartition("/")[2]
    by_name = _OFFICIAL.search(stem.upper())
    plain = stem.rpartition(".")[0].lower()
    called = book.type.casefold()
    ways = (
        [one for one in index.values() if called and called in _called(one)],
        [one for one in index.values() if by_name and one.official == by_name[1]],
        [one for one in index.values() if one.name == plain],
    )
    for way in ways:
        fitting = [one for one in way if _has_columns(one, book)]
        if fitting and len({one.official or one.name for one in fitting}) == 1:
            return fitting
    if any(ways):
        missing = next(way for way in ways if way)[0]
        raise refuse("BOOK_COLUMN", book.name, expected=" / ".join(missing.columns[0].sources[:3]), found=missing.name)
    raise refuse("BOOK_UNKNOWN", book.name, found=book.type[:30])


def _called(one: Entry) -> set[str]:
    return {name.casefold() for name in (*one.types, one.official, one.name) if name}


def _has_columns(one: Entry, book: BookFile) -> bool:
    needed = [column for column in one.columns if column.name in one.keys and not column.optional]
    return all(bookmake.find_source(column.sources, book.columns) for column in needed)


def _make(site: Site, work: _Work, fresh: dict[str, BookTable], anyway: bool) -> None:
    """All tables of one book, checked by themselves and against the edition in force."""
    rules, profile = site.rules, site.profile.id
    try:
        for entry in work.entries:
            notes = [watched_line(entry.max_age_days)] if entry.max_age_days else []
            table = bookmake.make_table(
                entry, work.book, work.edition,
                origin=f"book {entry.official or entry.name}, brought in by its administrator",
                notes=notes, before=rows_before(rules, profile, entry),
            )  # fmt: skip
            work.tables.append(table)
        for table in () if anyway else tuple(work.tables):
            old, codes = _in_force(rules, profile, table.entry, fresh)
            bookmake.check_successor(table, old, codes)
    except Refusal as error:
        work.fail(error)
        return
    fresh.update({table.entry.name: table for table in work.tables})
    work.brought.rows = {table.entry.name: table.rows for table in work.tables}
    work.brought.remarks = list(dict.fromkeys(one for table in work.tables for one in table.remarks))
    extra = [set(bookmake.unknown_columns(entry, work.book)) for entry in work.entries]
    if names := sorted(set.intersection(*extra)):
        work.brought.remarks.append(Problem("BOOK_EXTRA", work.book.name, found=", ".join(names[:8])))


def _in_force(
    rules: RuleData, profile: str, entry: Entry, fresh: dict[str, BookTable]
) -> tuple[Edition | None, Collection[str]]:
    """The edition that a new one follows and its codes; a table that names no edition is no forerunner."""
    if entry.name in fresh:
        table = fresh[entry.name]
        return table.edition, table.codes.get(entry.keys[0], frozenset())
    file = next((place for place in entry.places(profile) if rules.exists(place)), "")
    old = edition_of(rules.read(file)) if file else None
    codes = _codes(rules, profile, entry, entry.keys[0]) if old else None
    return old, codes or frozenset()


def rows_before(rules: RuleData, profile: str, entry: Entry) -> dict[tuple[str, ...], dict[str, str]]:
    """The rows of the table in force by key, for the columns of our own; empty where there are none."""
    if not entry.own:
        return {}
    rows = _table(rules, profile, entry)
    return {tuple(row.get(key, "") for key in entry.keys): row for row in rows}


def _table(rules: RuleData, profile: str, entry: Entry) -> list[dict[str, str]]:
    file = next((place for place in entry.places(profile) if rules.exists(place)), "")
    if not file:
        return []
    return [{key.partition(":")[0]: cell for key, cell in row.items()} for row in rules.table(file)]


def _codes(rules: RuleData, profile: str, entry: Entry | None, key: str) -> frozenset[str] | None:
    rows = _table(rules, profile, entry) if entry else []
    return frozenset(row.get(key, "") for row in rows) if rows else None


def _meet(site: Site, work: _Work, fresh: dict[str, BookTable]) -> None:
    """The neighbours, as they will be when all that is brought in now is in force."""
    index = load_index(site.rules, site.profile.id)

    def codes_of(book: str, key: str) -> Collection[str] | None:
        if book in fresh:
            return fresh[book].codes.get(key)
        return _codes(site.rules, site.profile.id, index.get(book), key)

    try:
        for table in work.tables:
            work.brought.remarks.extend(bookmake.check_neighbours(table, codes_of))
    except Refusal as error:
        work.fail(error)


def _settle(site: Site, work: _Work, who: str, anyway: bool) -> None:
    """Keep the editions, then put them into force; the audit says who did it."""
    profile = site.profile.id
    files = [(place, table.text) for table in work.tables for place in table.entry.places(profile)]
    for table in work.tables:
        edition = table.edition
        editions.keep(site.overlay, table.entry.name, edition.day.isoformat(), edition.version, table.text)
    if all(editions.laid(site.overlay, place) == text for place, text in files):
        work.brought.state = THERE
        return
    editions.lay(site.overlay, files)
    for table in work.tables:
        digest = fsio.digest(table.text)[0]
        data = {"edition": str(table.edition), "rows": table.rows, "anyway": int(anyway), "sha256": digest}
        ledger.log(site.ledger, who, "nsi", table.entry.name, data)


def ready(site: Site) -> None:
    """Whether work may begin: mandatory books are there, and tables that were brought in can be read.

    ``SetupError`` tells all of them. How old a book may be is asked of each register, by its period.
    """
    rules, profile = site.rules, site.profile.id
    index = load_index(rules, profile)
    bookwatch.check(rules, profile, [one.name for one in index.values() if one.mandatory], date.min)
    for entry in index.values():
        for place in entry.places(profile):
            if editions.laid(site.overlay, place) is not None:
                read_book(rules, place.partition("/")[0], entry.name)


def listed(rules: RuleData, profile: str, today: date, overlay: str = "") -> list[Listed]:
    """All books of the index: edition in force, age on ``today``, limit, how many editions are kept."""
    found = []
    for entry in load_index(rules, profile).values():
        age = age_of(rules, profile, entry.name, entry)
        edition = age.edition if age else None
        own = bool(overlay and age and editions.laid(overlay, age.file) is not None)
        days = (today - edition.day).days if edition else None
        many = len(editions.kept(overlay, entry.name)) if overlay else 0
        watched = age is not None and age.limit is not None
        limit = age.limit if age and watched else entry.max_age_days or None
        stale = bool(limit and (watched if days is None else days > limit))
        found.append(
            Listed(entry, edition, days, limit, watched, stale, age is not None, bool(age and age.empty), own, many)
        )
    return found


def template(rules: RuleData, profile: str, name: str, today: date) -> str:
    """A CSV to be filled in: what it is, its columns in words, a head, an example. ``WrongState`` CODE_UNKNOWN."""
    entry = load_index(rules, profile).get(name)
    if entry is None:
        raise WrongState("CODE_UNKNOWN", name)
    texts = rules.toml(COLUMNS)
    words, told = texts["columns"], texts["template"]
    head = [one.name for one in entry.columns] + list(DAYS)
    lines = [f"book: {entry.name}", f"date: {today.isoformat()}"]
    lines += [line.format(title=entry.title) for line in told["intro"]]
    for column in head:
        needed = told["needed"] if column == entry.keys[0] else told["key"] if column in entry.keys else ""
        lines.append(f"{column}: {words.get(column, column)}" + (f" ({needed})" if needed else ""))
    example = list(entry.example) or _first_row(rules, profile, entry, head)
    out = io.StringIO()
    out.write("".join(f"# {line}\n" for line in lines))
    csv.writer(out, delimiter=";", lineterminator="\n").writerows([head, example])
    return out.getvalue()


def _first_row(rules: RuleData, profile: str, entry: Entry, head: Sequence[str]) -> list[str]:
    rows = _table(rules, profile, entry)
    return [rows[0].get(name, "") if rows else "" for name in head]
