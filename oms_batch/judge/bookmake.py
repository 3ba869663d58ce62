"""A file of a reference book → a table of our own form: columns reduced, validity checked, nothing guessed.

All faults of a file are told at once, up to a stated limit, each with its row and the reason. A fault is never mended
silently: what is read in spite of an oddity is a remark, and the person sees it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from oms_batch.errors import Problem, Refusal, refuse
from oms_batch.formats.book_rows import BookFile
from oms_batch.judge.bookdays import FIRST, LAST, Row, days_text, joined_rows, parse_day
from oms_batch.judge.bookindex import DAYS, BookColumn, Edition, Entry

MOST_TOLD = 50
LOST_SHARE = 5  # one code in five may go; more looks like half a book
FEWEST_TO_COMPARE = 10
_KINDS = {"int": re.compile(r"-?\d{1,18}"), "kopecks": re.compile(r"-?\d{1,15}(\.\d{1,2})?")}
_SPLIT = re.compile(r"\s*[;,|]\s*")


@dataclass(frozen=True)
class BookTable:
    """A checked table: ``text`` is what lies in the rules, ``codes`` the values of each column for its neighbours."""

    entry: Entry
    edition: Edition
    text: bytes
    rows: int
    read: int
    codes: Mapping[str, frozenset[str]]
    remarks: tuple[Problem, ...] = field(default=())


def edition_said(book: BookFile, version: str = "", day: str = "") -> Edition:
    """The edition by the file or by the person who brings it; ``BOOK_EDITION`` when neither says the day."""
    said = day or book.date
    problems: list[Problem] = []
    found = parse_day(said, book.name, problems, [])
    if problems or found is None:
        raise refuse("BOOK_EDITION", book.name, expected="01.02.2026", found=said[:20])
    number = (version or book.version).strip()
    if not re.fullmatch(r"[\w.,-]{0,30}", number):
        raise refuse("BOOK_EDITION", book.name, expected="5.6", found="version")
    return Edition(found, number.replace(",", "."))


def make_table(
    entry: Entry,
    book: BookFile,
    edition: Edition,
    *,
    origin: str,
    before: Mapping[tuple[str, ...], Mapping[str, str]] | None = None,
    notes: Sequence[str] = (),
    names: bool = True,
    carry_on: bool = False,
) -> BookTable:
    """The table of one book. Refuses ``BOOK_COLUMN KEY DATE VALUE OVERLAP`` with every row that is wrong.

    ``before``: rows of the table in force by key, for columns that are our own. ``names``: keep wordy columns.
    ``carry_on``: rows that end on the last day of all stay open; for books that close every row once a year.
    """
    columns = [one for one in entry.columns if one.name not in entry.ours and (names or not one.wordy)]
    sources = _resolve(entry, book, columns)
    columns = [one for one in columns if sources[one.name] or not one.wordy]
    problems: list[Problem] = []
    odd: list[str] = []
    named: list[str] = []
    rows = [
        made
        for row in book.rows
        if (made := _row(entry, columns, sources, row.place, row.values, problems, odd)) is not None
    ]
    _tell(problems)
    key = [index for index, one in enumerate(columns) if one.name in entry.keys]
    sense = [index for index, one in enumerate(columns) if not one.wordy]
    joined = joined_rows(rows, key, sense, problems, named)
    _tell(problems)
    if carry_on:
        last = max((row.ends for row in joined if row.ends != LAST), default=LAST)
        for row in joined:
            row.ends = LAST if row.ends == last else row.ends
    shown = [one for one in entry.columns if one in columns or one.name in entry.ours]
    cells = [(*_ordered(entry, shown, columns, row.cells, before or {}), *days_text(row)) for row in joined]
    text = render([one.head for one in shown], cells, origin=origin, edition=edition, notes=notes)
    codes = {one.name: frozenset(row.cells[n] for row in joined) - {""} for n, one in enumerate(columns)}
    remarks = [*book.remarks, *_remarks(book, sources, rows, joined, odd, named)]
    return BookTable(entry, edition, text, len(joined), len(book.rows), codes, tuple(remarks))


def _resolve(entry: Entry, book: BookFile, columns: Sequence[BookColumn]) -> dict[str, str]:
    """Which field of the file each column comes from."""
    found = {one.name: find_source(one.sources, book.columns) for one in columns}
    missing = [one for one in columns if not found[one.name] and not one.optional]
    _tell([Problem("BOOK_COLUMN", book.name, " / ".join(one.sources[:3]), "-") for one in missing])
    for ours, names in zip(DAYS, entry.days, strict=True):
        found[ours] = find_source(names, book.columns)
    if entry.giver != "federal" and book.form != "xml":  # made by hand after a template: a word amiss loses a column
        _tell([Problem("BOOK_COLUMN", book.name, found=name) for name in unknown_columns(entry, book)])
    return found


def find_source(sources: Iterable[str], columns: Collection[str]) -> str:
    """Which of the fields a file has, as it is called there (``A+B``: all of them); empty: none.

    A field that lies inside another is found by its own name when there is one such.
    """
    for source in sources:
        found = []
        for part in source.split("+"):
            inner = [name for name in columns if name.endswith(f".{part}")]
            found.append(part if part in columns else inner[0] if len(inner) == 1 else "")
        if all(found):
            return "+".join(found)
    return ""


def unknown_columns(entry: Entry, book: BookFile) -> list[str]:
    """Columns of the file of which the entry knows nothing."""
    named = {source for one in entry.columns for source in one.sources} | {day for days in entry.days for day in days}
    known = {part for name in named for part in name.split("+")}
    return [name for name in book.columns if name not in known and name.rpartition(".")[2] not in known]


def _row(
    entry: Entry,
    columns: Sequence[BookColumn],
    sources: Mapping[str, str],
    place: str,
    values: Mapping[str, str],
    problems: list[Problem],
    odd: list[str],
) -> Row | None:
    if not any(values.values()):
        return None  # says nothing
    cells = []
    before = len(problems)
    for one in columns:
        said = "".join(values.get(part, "") for part in sources[one.name].split("+"))
        cell = " ".join(said.split())
        if one.name in entry.lists:
            cell = "|".join(part for part in _SPLIT.split(cell) if part)
        if one.name == entry.keys[0] and not cell:
            problems.append(Problem("BOOK_KEY", place, one.name))
        for kind, form in _KINDS.items():
            if kind in one.marks.split(":") and cell and not form.fullmatch(cell):
                problems.append(Problem("BOOK_VALUE", f"{place}, {one.name}", kind))
        cells.append(cell)
    begins = parse_day(values.get(sources["valid_from"], ""), f"{place}, {DAYS[0]}", problems, odd)
    ends = parse_day(values.get(sources["valid_to"], ""), f"{place}, {DAYS[1]}", problems, odd)
    if begins and ends and ends < begins:
        problems.append(Problem("BOOK_REVERSED", place, f">= {begins.isoformat()}", ends.isoformat()))
    if len(problems) > before:
        return None
    return Row(place, tuple(cells), begins or FIRST, ends or LAST)


def _ordered(
    entry: Entry,
    shown: Sequence[BookColumn],
    columns: Sequence[BookColumn],
    cells: Sequence[str],
    before: Mapping[tuple[str, ...], Mapping[str, str]],
) -> list[str]:
    """The cells of a row in the order of the table; columns of our own as they were, or as the index fills them."""
    made = dict(zip((one.name for one in columns), cells, strict=True))
    old = before.get(tuple(made[name] for name in entry.keys), {}) if entry.own else {}
    made = {**dict(entry.fill), **{name: old[name] for name in entry.own if name in old}, **made}
    return [made.get(one.name, "") for one in shown]


def render(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    origin: str,
    edition: Edition,
    notes: Sequence[str] = (),
) -> bytes:
    """The text of a table: ``# origin``, ``# edition``, other lines about it (``notes``), head, rows."""
    out = io.StringIO()
    out.write("".join(f"{line}\n" for line in (f"# origin: {origin}", f"# edition: {edition}", *notes)))
    writer = csv.writer(out, delimiter=";", lineterminator="\n")
    writer.writerow([*heads, *DAYS])
    writer.writerows(rows)
    return out.getvalue().encode("utf-8")


def _remarks(
    book: BookFile,
    sources: Mapping[str, str],
    rows: Sequence[Row],
    joined: Sequence[Row],
    odd: Sequence[str],
    named: Sequence[str],
) -> list[Problem]:
    found = []
    if odd:
        found.append(Problem("BOOK_DATE_ODD", odd[0], found=str(len(odd))))
    if named:
        found.append(Problem("BOOK_TWO_NAMES", named[0], found=str(len(named))))
    if len(rows) < len(book.rows):
        found.append(Problem("BOOK_BLANK", book.name, found=str(len(book.rows) - len(rows))))
    if len(joined) < len(rows):
        found.append(Problem("BOOK_JOINED", book.name, str(len(rows)), str(len(joined))))
    if not sources["valid_from"] and not sources["valid_to"]:
        found.append(Problem("BOOK_NO_DAYS", book.name))
    return found


def check_neighbours(table: BookTable, codes_of: Callable[[str, str], Collection[str] | None]) -> list[Problem]:
    """Codes that the named neighbours do not have; refuses ``BOOK_NEIGHBOUR`` where the index says it must.

    ``codes_of`` gives all codes of a column of a book, on any day, or ``None`` when the book is not at hand.
    """
    told: list[Problem] = []
    wrong: list[Problem] = []
    for point in table.entry.points:
        there = codes_of(point.book, point.key)
        if there is None:
            continue
        values = {part for cell in table.codes.get(point.column, ()) for part in cell.split("|") if part}
        if unknown := sorted(values - set(there)):
            problem = Problem("BOOK_NEIGHBOUR", f"{point.column} -> {point.book}", unknown[0], str(len(unknown)))
            (wrong if point.must else told).append(problem)
    _tell(wrong)
    return told


def check_successor(table: BookTable, old: Edition | None, old_codes: Collection[str]) -> None:
    """Whether a table may follow the one in force: ``BOOK_OLDER``, and ``BOOK_SHRUNK`` when too many codes are gone."""
    if old is not None and table.edition.older_than(old):
        raise refuse("BOOK_OLDER", table.entry.name, expected=f"> {old}", found=str(table.edition))
    lost = set(old_codes) - set(table.codes.get(table.entry.keys[0], ()))
    if len(old_codes) >= FEWEST_TO_COMPARE and len(lost) * LOST_SHARE > len(old_codes):
        raise refuse("BOOK_SHRUNK", table.entry.name, expected=len(old_codes), found=len(old_codes) - len(lost))


def _tell(problems: Sequence[Problem]) -> None:
    if problems:
        raise Refusal(list(problems[:MOST_TOLD]), len(problems))
