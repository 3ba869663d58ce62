"""The fast way through a piece: no object per tag or value, only arrays.

The bytes are cut at the double quotes. What lies *between* values (``/><elem type_acc=``) comes in a few
hundred different strings; each is parsed once, against a grammar narrower than XML. All else follows from
arrays: levels, parents, ordinals, shapes, columns as slices of one buffer.

The narrow grammar is the safeguard: whatever it does not know (single quotes, comments, character
references, unknown elements, odd names, faults of any kind) raises ``Unsure``, and expat decides; where
the place is known, about the patients around it only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from oms_batch.formats import strict
from oms_batch.formats.columns import Group, Ints, Seen
from oms_batch.formats.geometry import Spans
from oms_batch.formats.layout import Layout, Node

MOST_STRINGS = 20_000  # different strings between values; more is no ordinary file
_NAME = r"[a-z_][a-z0-9_]*"
_LETTER = "a-z_\u0430-\u044f"  # attributes only: places are counted in bytes, and no place lies behind such a name
_END = re.compile(r"[ \t\r\n]*(/?)>")
_ATTRIBUTE = re.compile(rf"[ \t\r\n]+([{_LETTER}][0-9{_LETTER}]*)[ \t\r\n]*=[ \t\r\n]*\"")
_TAG = re.compile(rf"[ \t\r\n]*<(/?)({_NAME})(?:[ \t\r\n]*(/?)>|(?=[ \t\r\n]))")
_OTHER_REFERENCE = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos);)")
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&"}
_ENTITY = re.compile("|".join(_ENTITIES))


class Unsure(Exception):
    """The piece, or what lies at these bytes of it (none: no place is known), is a parser's business."""

    def __init__(self, places: Sequence[int] = ()) -> None:
        super().__init__()
        self.places = places


@dataclass(slots=True)
class Between:
    """One string between two values, as events: +1 opens, -1 closes; ``names`` -1 is "whatever is open"."""

    events: list[tuple[int, int, int, int]] = field(default_factory=list)  # kind, name, begin, end
    attribute: int = -1  # the attribute whose value follows; -1: none follows
    opens: bool = False  # that value is the first of a new tag
    tags: int = 0  # number of "<"


@dataclass(slots=True)
class _Table:
    """The parsed strings of a piece as arrays, ragged ones flattened."""

    attribute: Ints
    opens: npt.NDArray[np.bool_]
    tags: Ints
    count: Ints
    first: Ints
    kind: Ints
    name: Ints
    begin: Ints
    end: Ints


class Tokenizer:
    """Keeps the parsed strings between pieces; one per layout and process."""

    def __init__(self, layout: Layout, top: str) -> None:
        self.nodes: list[Node] = list(layout.node(top).walk())
        names = {name for node in layout.nodes.values() for name in (node.name, *node.fields)}
        self.names = {name: i for i, name in enumerate(sorted(names))}
        self.attributes = list(self.names)  # then those that no layout has, as they come
        self.numbers = dict(self.names)
        self.kids = np.full((len(self.nodes), len(self.names)), -1, dtype=np.int64)
        place = {node.path: i for i, node in enumerate(self.nodes)}
        for node in self.nodes:
            for kid in node.kids.values():
                self.kids[place[node.path], self.names[kid.name]] = place[kid.path]
        self.known: dict[str, Between | None] = {}

    def read(self, data: bytes, encoding: str, wanted: tuple[str, ...]) -> tuple[dict[str, Seen], dict[str, Spans]]:
        """The content of one ``top`` element → occurrences by path, and the spans of the wanted paths.

        ``Unsure``: not certain, read it the plain way.
        """
        text = as_utf8(data, encoding)
        raw = np.frombuffer(data, dtype=np.uint8)
        quotes = np.flatnonzero(raw == 34)
        if len(quotes) == 0 or len(quotes) % 2:
            raise Unsure
        _check_blanks(raw, data, quotes)
        if np.max(quotes[1::2] - quotes[0::2]) > strict.LONGEST_VALUE:
            raise Unsure
        inner = quotes if text is data else np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == 34)
        if len(inner) != len(quotes):
            raise Unsure
        strings = _strings(text, inner)
        coded = _between(strings, text, inner).dictionary_encode()
        codes = coded.indices.to_numpy().astype(np.int64)
        table = self._table(coded.dictionary.to_pylist(), codes, quotes)
        if int(table.tags[codes].sum()) != data.count(b"<"):
            raise Unsure
        return self._build(codes, table, quotes, data, strings, wanted)

    def _table(self, distinct: list[str], codes: Ints, quotes: Ints) -> _Table:
        if len(distinct) > MOST_STRINGS:
            raise Unsure
        if len(self.known) > MOST_STRINGS:
            self.known.clear()
            self.attributes, self.numbers = list(self.names), dict(self.names)
        for text in distinct:
            if text not in self.known:
                self.known[text] = self._parse(text)
        parsed = [one for text in distinct if (one := self.known[text]) is not None]
        if len(parsed) < len(distinct):
            unknown = [i for i, text in enumerate(distinct) if self.known[text] is None]
            at = np.flatnonzero(np.isin(codes, unknown))
            ends = np.append(quotes[0::2], quotes[-1])[at], np.append(0, quotes[1::2])[at]
            raise Unsure(np.concatenate(ends).tolist())
        flat = np.array([event for one in parsed for event in one.events], dtype=np.int64).reshape(-1, 4)
        count = np.array([len(one.events) for one in parsed], dtype=np.int64)
        return _Table(
            np.array([one.attribute for one in parsed], dtype=np.int64),
            np.array([one.opens for one in parsed], dtype=np.bool_),
            np.array([one.tags for one in parsed], dtype=np.int64),
            count,
            np.cumsum(count) - count,
            *(np.ascontiguousarray(flat[:, i]) for i in range(4)),
        )

    def _parse(self, text: str) -> Between | None:
        """One string, which begins with the closing quote of a value (or the start of the piece, written ``^``)
        and ends with the opening quote of the next (or the end of the piece, written ``$``)."""
        made = Between(tags=text.count("<"))
        at = 1
        if text[0] == '"':
            if (attribute := _ATTRIBUTE.match(text, 1)) is not None:
                if attribute.end() != len(text) or (number := self._number(attribute[1])) < 0:
                    return None
                made.attribute = number
                return made
            ended = _END.match(text, 1)
            if ended is None:
                return None
            at = ended.end()
            if ended[1]:
                made.events.append((-1, -1, at, at))
        while (tag := _TAG.match(text, at)) is not None:
            closing, name, empty = tag.groups()
            if name not in self.names or (closing and (empty is None or empty)):
                return None
            number, begin, at = self.names[name], text.index("<", at), tag.end()
            made.events.append((-1 if closing else 1, number, begin, at))
            if empty is None:  # attributes follow
                attribute = _ATTRIBUTE.match(text, at)
                if attribute is None or attribute.end() != len(text) or (own := self._number(attribute[1])) < 0:
                    return None
                made.attribute, made.opens = own, True
                return made
            if empty:
                made.events.append((-1, -1, at, at))
        return made if text[at:].strip(" \t\r\n") == "$" else None

    def _number(self, name: str) -> int:
        """The number of an attribute, also of one that the layout does not know; -1 for what XML keeps for itself."""
        if name.startswith("xml") or len(name) > strict.LONGEST_NAME:
            return -1
        if name not in self.numbers:
            self.numbers[name] = len(self.attributes)
            self.attributes.append(name)
        return self.numbers[name]

    def _build(
        self, codes: Ints, table: _Table, quotes: Ints, data: bytes, strings: pa.Array, wanted: tuple[str, ...]
    ) -> tuple[dict[str, Seen], dict[str, Spans]]:
        # where each string begins in the bytes: one before the piece for the first, then at each closing quote
        base = np.concatenate([np.array([-1]), quotes[1::2]])
        count = table.count[codes]
        last = np.cumsum(count)
        owner = np.repeat(np.arange(len(codes), dtype=np.int64), count)
        event = np.arange(int(last[-1]), dtype=np.int64) - (last - count)[owner] + table.first[codes][owner]
        kind, name = table.kind[event], table.name[event]
        begin, end = table.begin[event] + base[owner], table.end[event] + base[owner]
        # the value that follows an opening with attributes: value i stands behind string i
        values = np.full(len(event), -1, dtype=np.int64)
        opening = np.flatnonzero(table.opens[codes])
        values[last[opening] - 1] = opening
        width = np.zeros(len(event), dtype=np.int64)
        attribute = table.attribute[codes]
        if attribute[-1] != -1 or np.any(attribute[:-1] < 0) or not len(opening) or opening[0] != 0:
            raise Unsure
        width[last[opening] - 1] = np.diff(np.append(opening, len(codes) - 1))
        levels = _levels(kind, name)
        return self._seen(levels, name, begin, end, values, width, attribute, data, strings, wanted)

    def _seen(
        self,
        levels: list[tuple[Ints, Ints]],
        name: Ints,
        begin: Ints,
        end: Ints,
        values: Ints,
        width: Ints,
        attribute: Ints,
        data: bytes,
        strings: pa.Array,
        wanted: tuple[str, ...],
    ) -> tuple[dict[str, Seen], dict[str, Spans]]:
        breaks = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == 10)
        escaped = b"&" in data
        seen = {node.path: Seen(node, *(np.empty(0, dtype=np.int64),) * 2, []) for node in self.nodes}
        seen[self.nodes[0].path] = Seen(self.nodes[0], np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.int64), [])
        spans: dict[str, Spans] = {}
        above, above_node, above_ordinal = np.array([-1]), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
        for opens, closes in levels:
            parent = np.searchsorted(above, opens) - 1
            node = self.kids[above_node[parent], name[opens]]
            if np.any(node < 0):
                raise Unsure(begin[opens[node < 0]].tolist())
            ordinal = np.empty(len(opens), dtype=np.int64)
            for number in np.unique(node).tolist():
                at = np.flatnonzero(node == number)
                ordinal[at] = np.arange(len(at))
                own, which = self.nodes[number], opens[at]
                lines = np.searchsorted(breaks, begin[which]) + 1 if own.table else np.empty(0, dtype=np.int64)
                groups = self._groups(which, begin, values, width, attribute, strings, escaped)
                seen[own.path] = Seen(own, above_ordinal[parent[at]], lines, groups)
                if own.path in wanted:
                    opened = np.where(width[which] > 0, -1, end[which])
                    spans[own.path] = Spans(begin[which], opened, begin[closes[at]], end[closes[at]])
            above, above_node, above_ordinal = opens, node, ordinal
        return seen, spans

    def _groups(
        self, which: Ints, begin: Ints, values: Ints, width: Ints, attribute: Ints, strings: pa.Array, escaped: bool
    ) -> list[Group]:
        """The occurrences of one element by shape: same number of attributes, same names in the same order."""
        left = np.flatnonzero(width[which] > 0)
        groups: list[Group] = []
        while len(left):
            first, wide = values[which[left]], width[which[left]]
            count = int(wide[0])
            same = wide == count
            for j in range(count):
                names = attribute[np.where(same, first + j, first[0] + j)]
                same &= names == names[0]
            names_of = tuple(self.attributes[i] for i in attribute[first[0] : first[0] + count].tolist())
            if len(set(names_of)) != count or count > strict.MOST_ATTRIBUTES:
                raise Unsure(begin[which[left[same]]].tolist())
            if len(groups) > 200:
                raise Unsure
            start = first[same]
            columns = [_column(strings, start + j, escaped) for j in range(count)]
            groups.append(Group(names_of, left[same], columns))
            left = left[~same]
        return groups


def as_utf8(data: bytes, encoding: str) -> bytes:
    """The piece in UTF-8, when it is surely well coded and without anything that only a parser may judge."""
    if b"&" in data and (odd := [match.start() for match in _OTHER_REFERENCE.finditer(data)]):
        raise Unsure(odd)
    if data.isascii():
        return data
    try:
        text = data.decode("utf-8" if encoding == "utf-8" else "cp1251")
    except UnicodeDecodeError:
        raise Unsure from None
    if encoding != "utf-8":
        return text.encode("utf-8")
    if "\ufffe" in text or "\uffff" in text:
        raise Unsure
    return data


def _check_blanks(raw: npt.NDArray[np.uint8], data: bytes, quotes: Ints) -> None:
    """No control bytes but line ends and tabs, none of them inside a value, no lone CR."""
    low = np.flatnonzero(raw < 32)
    kinds = raw[low]
    if np.any((kinds != 10) & (kinds != 13) & (kinds != 9)):
        raise Unsure
    if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
        raise Unsure
    inside = np.searchsorted(quotes, low) & 1
    if np.any(inside):
        raise Unsure(low[inside == 1].tolist())


def _strings(text: bytes, quotes: Ints) -> pa.Array:
    """All values as one Arrow array over the piece: entry 2i is value i, entry 2i+1 what follows it."""
    offsets = np.empty(len(quotes), dtype=np.int32)
    offsets[0::2] = quotes[0::2] + 1
    offsets[1::2] = quotes[1::2]
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(text))


def _between(strings: pa.Array, text: bytes, quotes: Ints) -> pa.Array:
    """What stands before, between and behind the values, quotes included."""
    inner = strings.take(pa.array(np.arange(1, len(quotes) - 1, 2, dtype=np.int64)))
    before = "^" + text[: quotes[0] + 1].decode("utf-8")
    behind = text[quotes[-1] :].decode("utf-8") + "$"
    return pa.concat_arrays([pa.array([before]), inner, pa.array([behind])])


def _column(strings: pa.Array, which: Ints, escaped: bool) -> pa.Array:
    column = strings.take(pa.array(which * 2))
    if escaped and pc.any(pc.match_substring(column, "&")).as_py():
        texts = [_ENTITY.sub(lambda match: _ENTITIES[match[0]], text) for text in column.to_pylist()]
        return pa.array(texts, pa.string())
    return column


def _levels(kind: Ints, name: Ints) -> list[tuple[Ints, Ints]]:
    """Per level the events that open and, in the same order, those that close; ``Unsure`` when they do not match."""
    depth = np.cumsum(kind)
    if depth[-1] != 0 or depth.min() < 0 or depth.max() > 60:
        raise Unsure
    level = np.where(kind > 0, depth, depth + 1).astype(np.int8)
    order = np.argsort(level, kind="stable")
    opens, closes = order[0::2], order[1::2]
    if len(opens) != len(closes) or np.any(kind[opens] != 1) or np.any(kind[closes] != -1):
        raise Unsure
    if np.any(level[opens] != level[closes]) or np.any((name[closes] >= 0) & (name[closes] != name[opens])):
        raise Unsure
    cuts = np.searchsorted(level[opens], np.arange(1, int(level.max()) + 2))
    return [(opens[a:b], closes[a:b]) for a, b in pairwise(cuts.tolist())]
