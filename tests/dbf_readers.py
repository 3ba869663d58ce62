"""Three readers of one DBF file: ours, dbfread, and pyshp, who must tell the same."""

from __future__ import annotations

import io
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import dbfread
import shapefile

from oms_batch.formats.dbf import read_dbf


def ours(data: bytes) -> list[dict[str, str]]:
    return list(read_dbf(io.BytesIO(data)))


def by_dbfread(data: bytes, page: str, folder: Path) -> list[dict[str, str]]:
    """All values as text, as ``read_dbf`` gives them; the code page by the mark in the header."""
    path = folder / "one.dbf"
    path.write_bytes(data)
    whole = dbfread.DBF(str(path), ignorecase=False, raw=True)
    assert whole.encoding == page, "the mark in the header says so"
    kinds = {one.name: one.type for one in whole.fields}
    found = []
    for row in whole:
        texts = {name: raw.decode(page) for name, raw in row.items()}
        found.append({name: _as_ours(kinds[name], text) for name, text in texts.items()})
    typed = list(dbfread.DBF(str(path), ignorecase=False))
    assert len(typed) == len(found)
    for row, text in zip(typed, found, strict=True):
        for name, value in row.items():
            if kinds[name] == "D":
                assert (value.isoformat() if value else "") == text[name]
            elif kinds[name] in "NF":
                assert (value is None) == (not text[name])
                assert value is None or Decimal(repr(value)) == Decimal(text[name])
    return found


def _as_ours(kind: str, text: str) -> str:
    if kind == "D" and text.strip():
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return text.rstrip() if kind == "C" else text.strip()


def by_pyshp(data: bytes, page: str) -> list[dict[str, str]]:
    """The same by a reader of shape files, which are DBF tables beside the shapes."""
    with shapefile.Reader(dbf=io.BytesIO(data), encoding=page) as reader:
        places = {one[0]: one for one in reader.fields if one[0] != "DeletionFlag"}
        return [
            {name: _shape_text(value, places[name]) for name, value in one.as_dict().items()}
            for one in reader.iterRecords()
        ]


def _shape_text(value: Any, field: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int | float):
        return f"{Decimal(repr(value)):.{field[3]}f}"
    return str(value).rstrip()


def agree(data: bytes, page: str, folder: Path) -> list[dict[str, str]]:
    """Three readers of one file tell the same; what they tell."""
    found = ours(data)
    assert by_dbfread(data, page, folder) == found
    assert by_pyshp(data, page) == found
    return found
