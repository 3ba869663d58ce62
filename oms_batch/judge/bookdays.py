"""Validity of rows of reference books: how days are written, and which rows may stand side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from oms_batch.errors import Problem

_FORMS = (
    re.compile(r"(?P<d>\d\d)\.(?P<m>\d\d)\.(?P<y>\d{4})"),
    re.compile(r"(?P<y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)([T ]00:00:00(\.0+)?)?"),
    re.compile(r"(?P<y>\d{4})(?P<m>\d\d)(?P<d>\d\d)"),
)
_QUOTES = "\"'`« »"
FIRST, LAST = date.min, date.max


@dataclass
class Row:
    """A row on its way: its place in the file, the cells of our columns, its first and last day."""

    place: str
    cells: tuple[str, ...]
    begins: date
    ends: date


def parse_day(text: str, place: str, problems: list[Problem], odd: list[str]) -> date | None:
    """A day in one of the three ways books write it; ``None`` for an empty one. A stray quote is an oddity."""
    plain = text.strip(_QUOTES)
    if plain != text.strip():
        odd.append(place)
    if not plain:
        return None
    for form in _FORMS:
        if match := form.fullmatch(plain):
            try:
                return date(int(match["y"]), int(match["m"]), int(match["d"]))
            except ValueError:
                break
    problems.append(Problem("BOOK_DATE", place, "01.02.2026"))
    return None


def days_text(row: Row) -> tuple[str, str]:
    """The days as our tables write them: empty where they are open."""
    return (
        "" if row.begins == FIRST else row.begins.isoformat(),
        "" if row.ends == LAST else row.ends.isoformat(),
    )


def joined_rows(
    rows: Sequence[Row], key: Sequence[int], sense: Sequence[int], problems: list[Problem], named: list[str]
) -> list[Row]:
    """Rows in the order of the file; those that say the same of neighbouring or common days become one.

    Two rows of one key that say different things of one day are a fault. ``sense``: the cells that count; where only
    words for people differ, the older ones stay, and ``named`` gets the place.
    """
    groups: dict[tuple[str, ...], list[tuple[int, Row]]] = {}
    for number, row in enumerate(rows):
        groups.setdefault(tuple(row.cells[index] for index in key), []).append((number, row))
    kept: list[tuple[int, Row]] = []
    for group in groups.values():
        last: Row | None = None
        for number, row in sorted(group, key=lambda pair: (pair[1].begins, pair[0])):
            if last is None or row.begins > _after(last.ends):
                pass
            elif row.cells == last.cells:
                last.ends = max(last.ends, row.ends)
                continue
            elif row.begins <= last.ends and all(row.cells[index] == last.cells[index] for index in sense):
                last.ends = max(last.ends, row.ends)
                named.append(row.place)
                continue
            elif row.begins <= last.ends:
                problems.append(Problem("BOOK_OVERLAP", row.place, last.place, _common(last, row)))
                continue
            last = Row(row.place, row.cells, row.begins, row.ends)
            kept.append((number, last))
    return [row for _, row in sorted(kept, key=lambda pair: pair[0])]


def _common(one: Row, other: Row) -> str:
    first, last = max(one.begins, other.begins), min(one.ends, other.ends)
    return f"{first.isoformat()}…{'' if last == LAST else last.isoformat()}"


def _after(day: date) -> date:
    return day if day == LAST else day + timedelta(days=1)
