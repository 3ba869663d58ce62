"""Official packets of reference books in XML → rows of text.

Two forms: ``packet/zglv`` with ``type version date`` and rows ``zap`` (or named for what they list, ``insCompany``)
with one element per field, and the older ``ROOT`` with rows ``REC`` whose fields are attributes. Names are taken in any
case, as the packets themselves write them. A field inside a field is called ``OUTER.INNER``; one that stands several
times in a row is joined by ``|``.
"""

from __future__ import annotations

import codecs
from typing import Any
from xml.parsers import expat

from oms_batch.errors import Problem, Refusal, refuse
from oms_batch.formats import strict
from oms_batch.formats.book_rows import MOST_ROWS, BookFile, BookRow

ALLOWED = ("windows-1251", "utf-8")
HEADS = {"ZGLV", "HEADER"}
ROOTS = {"PACKET", "ROOT"}
PLAIN_ROWS = {"ZAP", "REC", "RECORD", "ROW"}  # rows of any other name tell which book it is
HEAD_FIELDS = {
    "TYPE": "type",
    "VERSION": "version",
    "VERS": "version",
    "VER": "version",
    "DATE": "date",
    "DATA": "date",
}
ROOT, CHILD = 1, 2  # depths


def read(name: str, data: bytes) -> BookFile:
    """One packet. Refuses ``XML_…`` (also a DOCTYPE, half a file, text that is not in the declared encoding),
    ``BOOK_FORMAT`` (no rows of either form) and ``BOOK_EMPTY``."""
    text, remarks = _decoded(name, data)
    reader = _Reader()
    raw = text.encode("utf-8")
    try:
        reader.parse(raw)
    except expat.ExpatError as error:
        at = max(reader.parser.ErrorByteIndex, 0)
        raise strict.refusal_of(error, raw[max(0, at - 4) : at], raw[at : at + 16], "utf-8") from None
    if not reader.rows:
        raise refuse("BOOK_EMPTY", name, expected="zap, REC")
    columns = tuple(dict.fromkeys(column for row in reader.rows for column in row.values))
    return BookFile("xml", name, columns, tuple(reader.rows), **reader.said(), remarks=tuple(remarks))


def _decoded(name: str, data: bytes) -> tuple[str, list[Problem]]:
    """The document as text, strictly by its declaration. A mark of UTF-8 before windows-1251 is an oddity: official
    packets have it, and the text behind it is what the declaration says."""
    body = data.removeprefix(codecs.BOM_UTF8)
    remarks = []
    try:
        encoding = strict.encoding_of(data[: strict.HEAD], ALLOWED)
    except Refusal as error:
        if error.code != "XML_ENCODING_MISMATCH" or body == data:
            raise
        encoding = strict.encoding_of(body[: strict.HEAD], ALLOWED)
        remarks.append(Problem("BOOK_BOM", name, encoding, "utf-8"))
    if encoding == "windows-1251" and strict.is_mojibake(*strict.utf8_pairs(body)):
        raise refuse("XML_ENCODING_MISMATCH", name, expected=encoding, found="utf-8")
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        raise refuse("XML_ENCODING_MISMATCH", f"{name}, byte {error.start}", expected=encoding) from None
    if strict.is_mojibake(*strict.utf8_pairs(text.encode("windows-1251", "ignore"))):
        raise refuse("BOOK_ENCODING", name, found="utf-8 read as windows-1251")
    return text, remarks


class _Reader:
    """Takes a packet apart; ``rows`` and ``head`` are what it found."""

    def __init__(self) -> None:
        self.rows: list[BookRow] = []
        self.head: dict[str, str] = {}
        self._row_name = ""
        self._path: list[str] = []
        self._row: dict[str, list[str]] | None = None
        self._line = 0
        self._texts: list[list[str]] = []
        self._leaf = False
        self.parser = expat.ParserCreate("utf-8")
        handlers: dict[str, Any] = {
            "StartElementHandler": self._start,
            "EndElementHandler": self._end,
            "CharacterDataHandler": self._text,
            "StartDoctypeDeclHandler": self._doctype,
        }
        for handler, method in handlers.items():
            setattr(self.parser, handler, method)
        self.parser.buffer_text = True
        self.parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)

    def parse(self, raw: bytes) -> None:
        self.parser.Parse(raw, True)

    def _doctype(self, *_: Any) -> None:
        raise refuse("XML_DTD", f"line {self.parser.CurrentLineNumber}")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        line = self.parser.CurrentLineNumber
        strict.check_name(tag, line)
        if len(self._path) >= strict.DEEPEST:
            raise refuse("XML_LIMIT", f"line {line}", expected=strict.DEEPEST)
        name = tag.upper()
        self._path.append(name)
        self._texts.append([])
        self._leaf = True
        depth = len(self._path)
        if depth == ROOT:
            if name not in ROOTS:
                raise refuse("BOOK_FORMAT", f"line {line}", expected="packet, ROOT", found=name[:30])
            self._take_head(attributes)
        elif depth == CHILD and name in HEADS:
            self._take_head(attributes)
        elif depth == CHILD:
            self._row_name = self._row_name or name
            if name != self._row_name:
                raise refuse("BOOK_FORMAT", f"line {line}", expected=self._row_name[:30], found=name[:30])
            self._row, self._line = {key.upper(): [value.strip()] for key, value in attributes.items()}, line
        elif self._row is not None and attributes:
            for key, value in attributes.items():
                self._row.setdefault(f"{self._field()}.{key.upper()}", []).append(value.strip())

    def _take_head(self, attributes: dict[str, str]) -> None:
        for key, value in attributes.items():
            if key.upper() in HEAD_FIELDS:
                self.head[HEAD_FIELDS[key.upper()]] = value.strip()

    def said(self) -> dict[str, str]:
        """Type, version and date; rows that are named for what they list tell the type where the head does not."""
        named = {} if self._row_name in PLAIN_ROWS else {"type": self._row_name}
        return {**named, **{key: value for key, value in self.head.items() if value}}

    def _field(self) -> str:
        return ".".join(self._path[CHILD:])

    def _text(self, text: str) -> None:
        if self._texts:
            self._texts[-1].append(text)
        if len(self._texts) == 1 and text.strip():
            raise refuse("XML_SYNTAX", f"line {self.parser.CurrentLineNumber}", found="text between elements")

    def _end(self, _tag: str) -> None:
        value = "".join(self._texts.pop()).strip()
        depth = len(self._path)
        if depth == CHILD and self._row is not None:
            if len(self.rows) >= MOST_ROWS:
                raise refuse("XML_LIMIT", expected=MOST_ROWS)
            place = f"{len(self.rows) + 1}, {self._line}"
            self.rows.append(BookRow(place, {key: "|".join(many) for key, many in self._row.items()}))
            self._row = None
        elif depth > CHILD and self._row is not None and self._leaf:
            self._row.setdefault(self._field(), []).append(value)
        elif depth == CHILD + 1 and self._path[1] in HEADS and self._path[2] in HEAD_FIELDS:
            self.head[HEAD_FIELDS[self._path[2]]] = value
        self._leaf = False
        self._path.pop()
