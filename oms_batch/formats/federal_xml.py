"""Documents of federal form (registers, persons, answers, protocols) → the tables of their layouts in DuckDB.

All or nothing: a document that is refused leaves no table behind. What is wrong with the structure of a document
that can be read is a finding with place and line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO
from xml.parsers import expat

import duckdb

from oms_batch import clock
from oms_batch.errors import refuse
from oms_batch.exchange import Profile
from oms_batch.formats import elements, strict
from oms_batch.formats.element_values import WHITE
from oms_batch.formats.elements import Layout
from oms_batch.formats.federal_document import ENCODINGS, feed, place_of
from oms_batch.formats.federal_fast import Declined, Fast
from oms_batch.formats.federal_rows import Collector, plan_rows, taken
from oms_batch.formats.federal_sink import Sink
from oms_batch.formats.federal_walk import Machine, refusals
from oms_batch.formats.reading import ReadLimits, ReadResult
from oms_batch.ruledata import RuleData

SNIFFED = 65_536
SMALL = 262_144  # bytes below which the plain way is as good


def read_members(
    members: Mapping[str, BinaryIO],
    layouts: Mapping[str, str],
    profile: Profile,
    con: duckdb.DuckDBPyConnection,
    *,
    workers: int = 1,
    limits: ReadLimits | None = None,
) -> ReadResult:
    """Read all members of a file into the tables of the profile's layouts, which it creates in ``con``.

    ``members`` are seekable documents by role; ``layouts`` give for each its layout (``H:from_mo_3.2``), or type and
    direction (``H:from_mo``), then VERSION and period of the document choose. Ordinals ``n`` count from 1 in document
    order; money is kopecks; byte places are offsets in the member. ``workers`` is taken for the sake of the caller:
    one core reads. Raises ``Refusal`` (``XML_…``, ``HDR_VERSION``), then leaving nothing.
    """
    began = clock.monotonic()
    limits = limits or ReadLimits()
    sink = Sink(con, elements.describe(profile.rules, profile.id))
    encodings = tuple(profile.data.get("encodings", ENCODINGS))
    encoding, size = "", 0
    try:
        sink.create()
        for role, stream in members.items():
            layout = layout_of(stream, profile.rules, profile.id, layouts[role], encodings)
            before = dict(sink.counts)
            used = _read(stream, layout, sink, encodings, limits)
            sink.add_head(layout, role, before)
            encoding = encoding or used
            size += stream.seek(0, 2)
        sink.link_persons()
        sink.give_to_accounts()
    except BaseException:
        sink.drop()
        raise
    accounts = sum(sink.counts.get(table, 0) for table in elements.ACCOUNTS)
    persons = sink.counts.get("l_pers", 0)
    return ReadResult(encoding, accounts, persons, size, clock.monotonic() - began, sink.findings, dict(sink.counts))


def _read(stream: BinaryIO, layout: Layout, sink: Sink, encodings: tuple[str, ...], limits: ReadLimits) -> str:
    """One member; gives its encoding."""
    big = stream.seek(0, 2) >= min(SMALL, limits.piece)
    if big and limits.fast:
        before = sink.mark()
        try:
            return _walk(stream, layout, sink, encodings, limits.piece)
        except Declined:
            sink.back_to(before)
    return _walk(stream, layout, sink, encodings, 0)


def _walk(stream: BinaryIO, layout: Layout, sink: Sink, encodings: tuple[str, ...], piece: int) -> str:
    """One member by the machine, its records by arrays where ``piece`` tells how many bytes at a time."""
    plan, tables = plan_rows(layout, sink.counts)
    root = layout.root.table

    def flush() -> None:
        for name, rows in tables.items():
            if name != root or watch.root_end >= 0:
                sink.add(name, taken(rows, sink.kinds[name], stream))
        tell()

    def tell() -> None:
        sink.add_faults(watch.faults, layout)
        watch.faults.clear()

    watch = Collector(layout, flush, tell)
    machine = Machine(layout, plan, watch)
    if piece:
        used = Fast(machine, watch, sink, tables).read(stream, encodings, piece)
    else:
        used = feed(stream, machine, encodings, watch.see)
    flush()
    prefix = root.removesuffix("register")
    spots = {prefix + name: place for name, place in watch.parts.items()}
    sink.add_spots(spots | {prefix + "list": (max(watch.head_end, 0), watch.root_end)})
    sink.check_keys(layout)
    return used


def layout_of(
    stream: BinaryIO, rules: RuleData, profile: str, wanted: str, encodings: tuple[str, ...] = ENCODINGS
) -> Layout:
    """The layout of a document: the one named, or by type and direction and what its head says.

    ``Refusal``: ``XML_…`` when the head cannot be read, ``HDR_VERSION`` when no layout has this version and period.
    """
    kind, _, rest = wanted.partition(":")
    if any((row["type"], row["id"]) == (kind, rest) for row in elements.index(rules, profile)):
        return elements.load(rules, profile, wanted)
    found = sniff(stream, encodings)
    root = next((row["root"] for row in elements.index(rules, profile) if row["type"] == kind), "")
    if found and next(iter(found)).partition("/")[0] != root:
        raise refuse("XML_SCHEMA", "line 1", expected=root)
    named = {path.rpartition("/")[2]: text for path, text in reversed(found.items()) if path.count("/") == 2}
    year, month = named.get("YEAR", ""), named.get("MONTH", "")
    period = f"{int(year):04d}-{int(month):02d}" if _digits(year, 4) and _digits(month, 2) else ""
    ids = elements.candidates(rules, profile, kind, rest, named.get("VERSION", ""), period)
    known = [elements.load(rules, profile, one) for one in ids]
    return next((one for one in known if set(found) <= set(one.elements)), known[0])


def _digits(text: str, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= most


def sniff(stream: BinaryIO, encodings: tuple[str, ...] = ENCODINGS) -> dict[str, str]:
    """The first text of each leaf, by path (``ZL_LIST/ZGLV/VERSION``), in the first ``SNIFFED`` bytes of a document.

    ``Refusal`` as in reading.
    """
    stream.seek(0)
    data = stream.read(SNIFFED)
    encoding = strict.encoding_of(data[: strict.HEAD], encodings)
    found: dict[str, str] = {}
    path: list[str] = []
    leaf = [False]
    chars: list[str] = []
    parser = expat.ParserCreate(encoding)

    def start(name: str, _attributes: dict[str, str]) -> None:
        strict.check_name(name, parser.CurrentLineNumber)
        path.append(name)
        leaf[0] = True
        chars.clear()

    def end(_name: str) -> None:
        if leaf[0]:
            found.setdefault("/".join(path), "".join(chars).strip(WHITE))
        leaf[0] = False
        path.pop()
        chars.clear()

    refusals(parser, lambda: 0)
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = chars.append
    try:
        parser.Parse(data, len(data) < SNIFFED)
    except expat.ExpatError as error:
        if not found or len(data) < SNIFFED:
            raise place_of(parser, error, stream, encoding) from None
    return found
