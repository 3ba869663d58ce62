"""Reads a document of federal form block by block through one parser, and says what is wrong with its structure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, BinaryIO
from xml.parsers import expat

from oms_batch.errors import Refusal, refuse
from oms_batch.formats import strict
from oms_batch.formats.elements import Layout
from oms_batch.formats.federal_walk import Fault, Machine, Plan, Watch

BLOCK = 1_048_576
ENCODINGS = ("windows-1251", "utf-8")


def verdict(stream: BinaryIO, layout: Layout, encodings: Sequence[str] = ENCODINGS) -> list[Fault]:
    """All that is wrong with the structure of a document; nothing = accepted. Needs no database.

    A refusal of the whole document comes as one ``Fault`` whose ``rule`` is its code (``XML_SYNTAX``).
    """
    watch, plan = Watch(), Plan(layout.root, not layout.confirmed)
    scopes = {one.one.path: one for one in plan.walk()}
    for one in plan.walk():
        if one.one.unique:
            one.keys = set()
            scopes[one.one.unique].scoped.append(one.keys)
    try:
        feed(stream, Machine(layout, plan, watch), encodings)
    except Refusal as refusal:
        return [Fault(each.code, each.place, each.found, 0) for each in refusal.problems]
    return watch.faults


def feed(
    stream: BinaryIO,
    machine: Machine,
    encodings: Sequence[str] = ENCODINGS,
    between: Callable[[bytes, int], None] | None = None,
) -> str:
    """Drive the machine through the whole stream; gives the encoding. ``between`` is called before each block with
    the bytes and the offset of their beginning. Raises ``Refusal`` (``XML_…``)."""
    stream.seek(0)
    encoding = strict.encoding_of(stream.read(strict.HEAD), encodings)
    parser = machine.parser(encoding)
    stream.seek(0)
    at = high = paired = 0
    try:
        while block := stream.read(BLOCK):
            if between is not None:
                between(block, at)
            parser.Parse(block, False)
            machine.too_long()
            at += len(block)
            if encoding != "utf-8":
                more, more_paired = strict.utf8_pairs(block)
                high, paired = high + more, paired + more_paired
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise place_of(parser, error, stream, encoding) from None
    if strict.is_mojibake(high, paired):
        raise refuse("XML_ENCODING_MISMATCH", expected=encoding, found="utf-8")
    return encoding


def place_of(parser: Any, error: expat.ExpatError, stream: BinaryIO, encoding: str) -> Refusal:
    """An error of the parser as a problem with its place."""
    place = max(0, parser.ErrorByteIndex)
    stream.seek(max(0, place - 8))
    before = stream.read(min(place, 8))
    return strict.refusal_of(error, before, stream.read(16), encoding)
