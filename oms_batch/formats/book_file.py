"""A file of a reference book, whatever its form → rows of text with their places. Nothing is judged here.

Told apart by the bytes, never by the extension: ZIP with books in it, XML packets, DBF, text tables. Columns are in
upper case; a row's place is what a person finds again ("row 5", "line 44").
"""

from __future__ import annotations

import io
from collections.abc import Mapping

from oms_batch.errors import refuse
from oms_batch.formats import book_dbf, book_text, book_xml
from oms_batch.formats import zipfile_strict as zips
from oms_batch.formats.book_rows import BookFile

LARGEST = 256 * 1_048_576  # bytes of one book when unpacked
RATIO = 200  # how many times bigger a packed book may be: their rows are alike
SIDE_FILES = (".fpt", ".dbt")


def read_books(name: str, data: bytes) -> list[BookFile]:
    """All books of one file. ``name`` tells ZIP members apart and is shown to people.

    Refuses ``ZIP_…``, ``XML_…``, ``DBF_…``, ``BOOK_FORMAT`` (none of the forms), ``BOOK_ENCODING``, ``BOOK_ROW``.
    """
    if not data.startswith(b"PK"):
        return [_read_one(name, data, {})]
    stream = io.BytesIO(data)
    members = [one for one in zips.listed(stream, len(data), RATIO) if not one.name.endswith("/")]
    zips.gapless(stream, len(data), zips.listed(stream, len(data), RATIO))
    inside: dict[str, bytes] = {}
    for one in members:
        out = io.BytesIO()
        zips.inflate(stream, one, RATIO, LARGEST, out)
        inside[one.name] = out.getvalue()
    side = {found.lower(): content for found, content in inside.items() if found.lower().endswith(SIDE_FILES)}
    if nested := [found for found, content in inside.items() if content.startswith((b"PK", b"7z\xbc\xaf"))]:
        raise refuse("ZIP_NESTED", found=len(nested))
    return [_read_one(found, content, side) for found, content in inside.items() if found.lower() not in side]


def _read_one(name: str, data: bytes, side: Mapping[str, bytes]) -> BookFile:
    if not data.strip():
        raise refuse("BOOK_EMPTY", name)
    if len(data) > LARGEST:
        raise refuse("BOOK_FORMAT", name, expected=LARGEST, found=len(data))
    start = data[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<"):
        return book_xml.read(name, data)
    if book_dbf.looks(data):
        stem = name.lower().rpartition(".")[0]
        memo = next((side[stem + end] for end in SIDE_FILES if stem + end in side), None)
        return book_dbf.read(name, data, memo)
    return book_text.read(name, data)
