"""What a file of a reference book says, as rows of text with their places. All readers of books give this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from oms_batch.errors import Problem

MOST_ROWS = 600_000  # the largest official book has a third of that; a row costs about 3 KB


@dataclass(frozen=True, slots=True)
class BookRow:
    """One row: ``place`` is "row, line", ``values`` by column in upper case, without blanks around them."""

    place: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BookFile:
    """``form``: xml csv dbf; ``type`` as the packet calls its book, ``version`` and ``date`` as they are written, empty
    when the form has no place for them; ``remarks`` are oddities that were read nevertheless."""

    form: str
    name: str
    columns: tuple[str, ...]
    rows: tuple[BookRow, ...]
    type: str = ""
    version: str = ""
    date: str = ""
    remarks: tuple[Problem, ...] = ()
