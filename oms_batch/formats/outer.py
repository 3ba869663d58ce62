"""The document around its patients: head and tail in one expat parser, with the places for splicing."""

from __future__ import annotations

import re
from typing import Any, BinaryIO
from xml.parsers import expat

from oms_batch.errors import Refusal, refuse
from oms_batch.formats import geometry, strict
from oms_batch.formats.layout import Layout
from oms_batch.formats.pieces import Collector, watch_text

BLOCK = 1_048_576
LONGEST_HEAD = 8 * BLOCK
QUIET_BLOCKS = 8  # so many blocks without one tag are no register
_PATIENTS = re.compile(rb"<patients(?=[\s/>])")
_PATHS = {
    ("package", "body"): "body",
    ("package", "body", "bill"): "bill",
    ("package", "body", "bill", "account_sum"): "account_sum",
    ("package", "body", "bill", "patients"): "patients",
    ("package", "body", "flk"): "flk",
}


class Outer:
    """Feeds a collector and keeps watch over the order of the uppermost elements.

    ``begins``/``closes``: byte offsets in the document where those elements begin, and where their end tag
    (or, of an empty-element tag, what follows it) begins. ``skip`` bytes were left out before the tail.
    """

    def __init__(self, layout: Layout, encoding: str) -> None:
        self.layout = layout
        self.encoding = encoding
        self.collector = Collector(layout, "/package", encoding)
        self.parser = self.collector.parser
        self.open: list[str] = []
        self.ranks: dict[str, int] = {}  # path → place in the layout's order of its last known child
        self.begins: dict[str, int] = {}
        self.closes: dict[str, int] = {}
        self.skip = 0
        self.tags = 0
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CommentHandler = self._comment
        watch_text(self.collector)

    def feed(self, data: bytes, final: bool = False) -> None:
        self.parser.Parse(data, final)

    def _start(self, name: str, attributes: list[str]) -> None:
        self.tags += 1
        if len(self.open) < 4:
            self._check_order(name)
            self.open.append(name)
            if (place := _PATHS.get(tuple(self.open))) is not None:
                self.begins[place] = self.parser.CurrentByteIndex + self.skip
        else:
            self.open.append(name)
        self.collector.start(name, attributes)

    def _end(self, name: str) -> None:
        if len(self.open) <= 4 and (place := _PATHS.get(tuple(self.open))) is not None:
            self.closes[place] = self.parser.CurrentByteIndex + self.skip
        self.open.pop()
        self.collector.end(name)

    def _comment(self, _text: str) -> None:
        if self.tags:
            raise refuse("XML_MIXED", f"line {self.parser.CurrentLineNumber}")

    def _check_order(self, name: str) -> None:
        """The known elements down to ``bill``'s own stand in the layout's order, once unless they may repeat."""
        depth = len(self.open)
        line = f"line {self.parser.CurrentLineNumber}"
        if depth == 0:
            if name != self.layout.root.name:
                strict.check_name(name, self.parser.CurrentLineNumber)
                raise refuse("XML_SCHEMA", line, expected=self.layout.root.name)
            return
        node = self.layout.nodes.get("/" + "/".join(self.open))
        if node is None or name not in node.kids:
            return
        rank = list(node.kids).index(name)
        last = self.ranks.get(node.path, -1)
        if rank < last or (rank == last and not node.kids[name].multiple):
            raise refuse("XML_SCHEMA", line, found=name)
        self.ranks[node.path] = rank

    def check_complete(self) -> None:
        """``XML_SCHEMA`` when a required element of the frame is missing."""
        for path in ("body", "bill"):
            if path not in self.begins:
                raise refuse("XML_SCHEMA", expected=path)


def read_head(outer: Outer, stream: BinaryIO) -> int:
    """Feed all up to and with the start tag of ``patients``; its end, or -1 when there is no content to skip.

    The stream is left behind what was fed.
    """
    data, fed, search = b"", 0, 0
    while True:
        block = stream.read(BLOCK)
        data += block
        for match in _PATIENTS.finditer(data, search):
            outer.feed(data[fed : match.start()])
            fed = match.start()
            search = fed + 1
            if outer.open == ["package", "body", "bill"]:
                end = geometry.tag_end(data, fed)
                while end < 0 and (more := stream.read(BLOCK)) and len(data) < LONGEST_HEAD:
                    data += more
                    end = geometry.tag_end(data, fed)
                end = end if end >= 0 else len(data)
                outer.feed(data[fed:end])
                stream.seek(end)
                return end if outer.open[-1:] == ["patients"] else -1
        if not block:
            outer.feed(data[fed:])
            return -1
        if len(data) > LONGEST_HEAD:
            raise refuse("XML_LIMIT", "patients", expected=LONGEST_HEAD)
        search = max(search, len(data) - 16)


def read_tail(outer: Outer, stream: BinaryIO) -> None:
    """Feed the rest of the stream; refuse a document that goes on without tags."""
    quiet, seen = 0, outer.tags
    while block := stream.read(BLOCK):
        outer.feed(block)
        quiet = quiet + 1 if outer.tags == seen else 0
        seen = outer.tags
        if quiet > QUIET_BLOCKS:
            raise refuse("XML_LIMIT", f"line {outer.parser.CurrentLineNumber}")
    outer.feed(b"", True)


def spots(outer: Outer, stream: BinaryIO) -> dict[str, tuple[int, int]]:
    """Where an answer changes the document: ``bill_tag account_sum patients flk body_tag`` → byte range.

    An absent ``account_sum`` is the empty range after bill's start tag, an absent ``flk`` that before ``</body>``.
    """
    found: dict[str, tuple[int, int]] = {}
    for name in ("body", "bill"):
        found[f"{name}_tag"] = (outer.begins[name], geometry.tag_end_in(stream, outer.begins[name]))
    for name in ("account_sum", "flk"):
        if name in outer.begins:
            found[name] = (outer.begins[name], _end_of(stream, outer.closes[name]))
    after_bill = found["bill_tag"][1]
    found.setdefault("account_sum", (after_bill, after_bill))
    found.setdefault("flk", (outer.closes["body"], outer.closes["body"]))
    if "patients" in outer.begins:
        found["patients"] = (geometry.tag_end_in(stream, outer.begins["patients"]), outer.closes["patients"])
    return found


def _end_of(stream: BinaryIO, close: int) -> int:
    """The end of an element whose end tag begins at ``close`` (for an empty-element tag: ``close`` itself)."""
    stream.seek(close)
    return geometry.tag_end_in(stream, close) if stream.read(2) == b"</" else close


def why_refused(layout: Layout, encoding: str, stream: BinaryIO) -> Refusal | None:
    """Read the whole document with one parser, keeping nothing, and say the first thing that is wrong with it.

    Whatever way a document was cut for reading, this gives one and the same answer.
    """
    outer = Outer(layout, encoding)
    stream.seek(0)
    quiet = 0
    try:
        while block := stream.read(BLOCK):
            outer.feed(block)
            quiet = 0 if outer.collector.drop() else quiet + 1
            if quiet > QUIET_BLOCKS:
                raise refuse("XML_LIMIT", f"line {outer.parser.CurrentLineNumber}")
        outer.feed(b"", True)
        outer.check_complete()
    except Refusal as refusal:
        return refusal
    except expat.ExpatError as error:
        return _at(outer.parser, error, stream, encoding)
    return None


def _at(parser: Any, error: expat.ExpatError, stream: BinaryIO, encoding: str) -> Refusal:
    place = max(0, parser.ErrorByteIndex)
    stream.seek(max(0, place - 8))
    before = stream.read(min(place, 8))
    return strict.refusal_of(error, before, stream.read(16), encoding)
