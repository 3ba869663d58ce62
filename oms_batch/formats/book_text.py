"""Reference books as text tables: ``;``, ``,`` or tabs between cells, quotes around those that need them.

Lines that begin with ``#`` in front of the head are remarks; ``# version: 5.6``, ``# date: 2024-11-11``,
``# book: mo`` and ``# rows: 120`` among them are taken at their word (``rows`` shows half a file).
"""

from __future__ import annotations

import csv
import re

from oms_batch.errors import refuse
from oms_batch.formats import strict
from oms_batch.formats.book_rows import MOST_ROWS, BookFile, BookRow

_SAID = re.compile(r"#\s*(book|version|date|rows|edition)\s*:\s*(\S.*?)\s*", re.ASCII)
_NAME = re.compile(r"[A-Za-zА-Яа-яЁё_][\w ().№-]{0,60}")
# Bytes that in windows-1251 are rare marks, and in cp866 the capital and the first small letters.
_ODD = bytes(
    byte
    for byte in range(0x80, 0xC0)
    if byte not in b"\x82\x84\x85\x91\x92\x93\x94\x96\x97\xa0\xa8\xab\xb8\xb9\xbb\xb3\xbf\xaf"
)
_HIGH = bytes(range(0x80, 0x100))


def read(name: str, data: bytes) -> BookFile:
    """One table. Refuses ``BOOK_ENCODING`` (neither UTF-8 nor windows-1251), ``BOOK_FORMAT`` (no head),
    ``BOOK_ROW`` (another number of cells than the head, quotes that do not end, fewer rows than said)."""
    lines = _decoded(name, data).splitlines(keepends=True)
    said: dict[str, str] = {}
    first = 0
    while first < len(lines) and (not lines[first].strip() or lines[first].startswith("#")):
        if match := _SAID.fullmatch(lines[first].rstrip("\r\n")):
            said.setdefault(match[1], match[2])
        first += 1
    if first == len(lines):
        raise refuse("BOOK_EMPTY", name)
    mark = max(";,\t", key=lines[first].count)
    reader = csv.reader(lines[first:], delimiter=mark, strict=True)
    try:
        head = [cell.strip().split(":")[0].upper() for cell in next(reader)]
        _check_head(name, head)
        rows: list[BookRow] = []
        for cells in reader:
            if not any(cell.strip() for cell in cells) or cells[0].startswith("#"):
                continue
            place = f"{len(rows) + 1}, {first + reader.line_num}"
            if len(cells) != len(head):
                raise refuse("BOOK_ROW", place, expected=len(head), found=len(cells))
            rows.append(BookRow(place, dict(zip(head, (cell.strip() for cell in cells), strict=True))))
            if len(rows) > MOST_ROWS:
                raise refuse("BOOK_ROW", place, expected=MOST_ROWS)
    except csv.Error:
        raise refuse("BOOK_ROW", f"{reader.line_num}, {first + reader.line_num}", found="quotes") from None
    version, _, day = said.get("edition", "").rpartition("of ")  # a table of our own form
    if said.get("rows", "").isdigit() and int(said["rows"]) != len(rows):
        raise refuse("BOOK_ROW", name, expected=said["rows"], found=len(rows))
    if not rows:
        raise refuse("BOOK_EMPTY", name)
    version, day = said.get("version", version.strip()), said.get("date", day)
    return BookFile("csv", name, tuple(head), tuple(rows), said.get("book", ""), version, day)


def _check_head(name: str, head: list[str]) -> None:
    if len(set(head)) != len(head):
        raise refuse("BOOK_FORMAT", f"{name}, 1", found="column twice")
    if not all(_NAME.fullmatch(cell) for cell in head):
        raise refuse("BOOK_FORMAT", f"{name}, 1", expected="CODE;NAME;DATEBEG;DATEEND")


def _decoded(name: str, data: bytes) -> str:
    if b"\0" in data:
        raise refuse("BOOK_FORMAT", name, expected="ZIP, XML, DBF, CSV", found=strict.magic_hex(data))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        high = len(data.translate(None, bytes(range(0x80))))
        odd = high - len(data.translate(None, bytes(range(0x80)) + _ODD))
        if odd * 5 > high:
            raise refuse("BOOK_ENCODING", name, expected="utf-8, windows-1251", found="cp866?") from None
        try:
            text = data.decode("windows-1251")
        except UnicodeDecodeError as error:
            raise refuse("BOOK_ENCODING", f"{name}, byte {error.start}", expected="utf-8, windows-1251") from None
    if strict.is_mojibake(*strict.utf8_pairs(text.encode("windows-1251", "ignore"))):
        raise refuse("BOOK_ENCODING", name, found="utf-8 read as windows-1251")
    return text
