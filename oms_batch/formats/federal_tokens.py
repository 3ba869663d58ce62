"""The fast way through records of a document of federal form: no object per tag or value, only arrays.

The bytes are cut at ``<`` and ``>``. Tags come in a few hundred different strings, each looked at once; levels,
parents, places in the layout and the order of siblings follow from arrays. The grammar is narrower than XML:
whatever it does not know, and whatever the layout does not allow, raises ``Unsure``, and the machine decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from oms_batch.formats import strict
from oms_batch.formats.elements import Element, Layout
from oms_batch.formats.tokens import Unsure, as_utf8

Ints = npt.NDArray[np.int64]
MOST_TAGS = 5_000
_TAG = re.compile(r"<(/?)([A-Za-z_][A-Za-z0-9_]*)[ \t\r\n]*(/?)>")
_BELOW = 32


@dataclass(slots=True)
class Level:
    """All elements of one depth in document order: their number in the layout, the place of the parent in the level
    above, first and last token (the same: an element without content), and the bytes where they begin and end."""

    node: Ints
    parent: Ints
    token: Ints
    begin: Ints
    end: Ints
    empty: npt.NDArray[np.bool_]


class Tokenizer:
    """What it knows of a layout as arrays; ``nodes`` are its elements in document order, the root first."""

    def __init__(self, layout: Layout) -> None:
        self.nodes: list[Element] = list(layout.elements.values())
        number = {one.path: i for i, one in enumerate(self.nodes)}
        names = sorted({one.name for one in self.nodes})
        self.names = {name: i for i, name in enumerate(names)}
        self.kids = np.full((len(self.nodes), len(names)), -1, dtype=np.int64)
        for one in self.nodes:
            for kid in one.kids.values():
                self.kids[number[one.path], self.names[kid.name]] = number[kid.path]
        self.rank = np.array([one.rank for one in self.nodes], dtype=np.int64)
        self.once = np.array([one.most == 1 for one in self.nodes])
        self.free = np.array([one.type == "choice" for one in self.nodes])
        self.leaf = np.array([one.facets is not None for one in self.nodes])
        self.needed = [
            (number[one.path], number[kid.path])
            for one in self.nodes
            if one.type != "choice"
            for kid in one.kids.values()
            if kid.least
        ]
        self.record = number[layout.record.path]
        self.known: dict[str, tuple[int, int] | None] = {}

    def read(self, data: bytes, encoding: str) -> tuple[list[Level], pa.Array, bool]:
        """Records without anything around them → levels from the records down, the texts (entry 2i+1 is what follows
        token i), whether there are references in them. ``Unsure`` with the bytes of what is not certain."""
        text = as_utf8(data, encoding)
        raw = np.frombuffer(data, dtype=np.uint8)
        starts, ends = _tags(raw)
        inner = (starts, ends) if text is data else _tags(np.frombuffer(text, dtype=np.uint8))
        if len(inner[0]) != len(starts):
            raise Unsure
        strings = _strings(text, *inner)
        kind, name = self._kinds(strings, starts)
        levels = self._levels(kind, name, starts, ends)
        self._check_order(levels)
        self._check_needed(levels)
        self._check_texts(levels, strings, raw, starts, data)
        return levels, strings, b"&" in data

    def _kinds(self, strings: pa.Array, starts: Ints) -> tuple[Ints, Ints]:
        """Per token +1 opens, -1 closes, 0 both; and its name."""
        tags = strings.take(pa.array(np.arange(0, len(strings), 2, dtype=np.int64))).dictionary_encode()
        distinct = tags.dictionary.to_pylist()
        if len(distinct) > MOST_TAGS:
            raise Unsure
        if len(self.known) > 4 * MOST_TAGS:
            self.known.clear()
        for tag in distinct:
            if tag not in self.known:
                match = _TAG.fullmatch(tag)
                well = match is not None and match[2] in self.names and not (match[1] and match[3])
                sign = 0 if match is None or match[3] else -1 if match[1] else 1
                self.known[tag] = (sign, self.names[match[2]]) if match is not None and well else None
        codes = tags.indices.to_numpy()
        found = [self.known[tag] for tag in distinct]
        if None in found:
            odd = [i for i, one in enumerate(found) if one is None]
            raise Unsure(starts[np.isin(codes, odd)].tolist())
        table = np.array(found, dtype=np.int64).reshape(-1, 2)
        return table[codes, 0], table[codes, 1]

    def _levels(self, kind: Ints, name: Ints, starts: Ints, ends: Ints) -> list[Level]:
        depth = np.cumsum(kind)
        if depth[-1] != 0 or depth.min() < 0 or depth.max() > strict.DEEPEST:
            raise Unsure
        level = np.where(kind > 0, depth, depth + 1)
        order = np.argsort(level.astype(np.int8), kind="stable")
        cuts = np.searchsorted(level[order], np.arange(1, int(level.max()) + 2))
        made: list[Level] = []
        for a, b in pairwise(cuts.tolist()):
            made.append(self._level(order[a:b], kind, name, starts, ends, made[-1] if made else None))
        return made

    def _level(self, tokens: Ints, kind: Ints, name: Ints, starts: Ints, ends: Ints, above: Level | None) -> Level:
        kinds = kind[tokens]
        first = tokens[kinds >= 0]
        last = first.copy()
        empty = kind[first] == 0
        closing = tokens[kinds < 0]
        if len(closing) != len(first) - int(empty.sum()):
            raise Unsure
        last[~empty] = closing
        if np.any(last[~empty] < first[~empty]) or np.any(name[last] != name[first]):
            raise Unsure
        if above is None:
            parent = np.zeros(len(first), dtype=np.int64)
            node = self.kids[0, name[first]]
            odd = node != self.record
        else:
            parent = np.searchsorted(above.token, first) - 1
            node = self.kids[above.node[parent], name[first]]
            odd = node < 0
        if np.any(odd):
            raise Unsure(starts[first[odd]].tolist())
        return Level(node, parent, first, starts[first], ends[last] + 1, empty)

    def _check_order(self, levels: Sequence[Level]) -> None:
        for above, one in zip((None, *levels), levels, strict=False):
            same = one.parent[1:] == one.parent[:-1]
            rank = self.rank[one.node]
            back = rank[1:] < rank[:-1]
            twice = (rank[1:] == rank[:-1]) & self.once[one.node[1:]]
            odd = same & (back | twice)
            if above is not None and np.any(odd):
                odd &= ~self.free[above.node[one.parent[1:]]]
            if np.any(odd):
                raise Unsure(one.begin[1:][odd].tolist())

    def _check_needed(self, levels: Sequence[Level]) -> None:
        """Every parent has each child that it needs: as many first ones of a kind as there are parents."""
        count = np.zeros(len(self.nodes), dtype=np.int64)
        firsts = np.zeros(len(self.nodes), dtype=np.int64)
        for one in levels:
            count += np.bincount(one.node, minlength=len(self.nodes))
            first = np.ones(len(one.node), dtype=bool)
            first[1:] = (one.parent[1:] != one.parent[:-1]) | (one.node[1:] != one.node[:-1])
            firsts += np.bincount(one.node[first], minlength=len(self.nodes))
        for parent, kid in self.needed:
            if parent and firsts[kid] != count[parent]:
                places: list[int] = []
                for above, one in pairwise([*levels, _nothing()]):
                    having = one.parent[one.node == kid]
                    lacking = np.setdiff1d(np.flatnonzero(above.node == parent), having)
                    places += above.begin[lacking].tolist()
                raise Unsure(places)

    def _check_texts(
        self, levels: Sequence[Level], strings: pa.Array, raw: npt.NDArray[np.uint8], starts: Ints, data: bytes
    ) -> None:
        """Only blanks between elements, and none but spaces within values."""
        between = np.ones(len(starts), dtype=bool)
        for one in levels:
            between[one.token[self.leaf[one.node] & ~one.empty]] = False
        gaps = np.flatnonzero(between[:-1])
        coded = strings.take(pa.array(2 * gaps + 1)).dictionary_encode()
        odd = [i for i, text in enumerate(coded.dictionary.to_pylist()) if text.strip(strict.WHITE)]
        if odd:
            raise Unsure(starts[gaps[np.isin(coded.indices.to_numpy(), odd)]].tolist())
        if data[: int(starts[0])].strip(b" \t\r\n") or data[int(_last(raw)) + 1 :].strip(b" \t\r\n"):
            raise Unsure
        low = np.flatnonzero(raw < _BELOW)
        kinds = raw[low]
        if np.any((kinds != 10) & (kinds != 13) & (kinds != 9)):
            raise Unsure
        if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
            raise Unsure
        token = np.searchsorted(starts, low) - 1
        inside = (token >= 0) & ~between[token]
        if np.any(inside):
            raise Unsure(low[inside].tolist())


def _nothing() -> Level:
    none = np.empty(0, dtype=np.int64)
    return Level(none, none, none, none, none, none.astype(bool))


def _last(raw: npt.NDArray[np.uint8]) -> int:
    return int(np.flatnonzero(raw == 62)[-1])


def _tags(raw: npt.NDArray[np.uint8]) -> tuple[Ints, Ints]:
    """Where tags begin and end; ``Unsure`` when ``<`` and ``>`` do not take turns."""
    starts, ends = np.flatnonzero(raw == 60), np.flatnonzero(raw == 62)
    if len(starts) != len(ends) or not len(starts) or np.any(starts > ends) or np.any(ends[:-1] > starts[1:]):
        raise Unsure
    return starts, ends


def _strings(text: bytes, starts: Ints, ends: Ints) -> pa.Array:
    """Tags and what is between them as one Arrow array over the bytes."""
    offsets = np.empty(2 * len(starts), dtype=np.int32)
    offsets[0::2] = starts
    offsets[1::2] = ends + 1
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(text))
