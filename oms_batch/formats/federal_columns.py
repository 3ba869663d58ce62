"""Texts of one leaf element of many records → a typed column, all at once where they are surely right."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from oms_batch.formats.element_values import Facets
from oms_batch.formats.federal_tokens import Ints
from oms_batch.formats.federal_walk import Judged

FEW = 2_000  # distinct texts that are looked at one by one
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&"}
_ENTITY = re.compile("|".join(_ENTITIES))


def column(one: Facets, texts: pa.Array, kind: pa.DataType, memory: Judged) -> tuple[pa.Array, Ints]:
    """The texts as values of ``kind`` (blank: NULL), and the places of those that are not right."""
    if plainly(one):
        return _plain(one, texts)
    coded = texts.dictionary_encode()
    distinct = coded.dictionary
    if len(distinct) > FEW and (made := _numbers(one, distinct)) is not None:
        return made.take(coded.indices), np.empty(0, dtype=np.int64)
    found = [memory[text] for text in distinct.to_pylist()]
    odd = [i for i, (_, rule) in enumerate(found) if rule]
    values: list[Any] = [value for value, _ in found]
    typed = pa.array(values, pa.int32()).cast(kind) if pa.types.is_date(kind) else pa.array(values, kind)
    places = np.flatnonzero(np.isin(coded.indices.to_numpy(), odd)) if odd else np.empty(0, dtype=np.int64)
    return typed.take(coded.indices), places


def plainly(one: Facets) -> bool:
    """Whether only the length of a text matters."""
    return one.type in ("text", "code") and not (one.number or one.trim or one.pattern or one.values)


def _plain(one: Facets, texts: pa.Array) -> tuple[pa.Array, Ints]:
    """Texts by length alone."""
    length = pc.utf8_length(texts).to_numpy()
    wrong = length < one.shortest
    if one.longest >= 0:
        wrong |= length > one.longest
    if one.empty:
        wrong &= length > 0
    blank = length == 0
    if blank.any():
        texts = pc.if_else(pa.array(blank), pa.scalar(None, pa.string()), texts)
    return texts, np.flatnonzero(wrong)


def _numbers(one: Facets, distinct: pa.Array) -> pa.Array | None:
    """Numbers that are all written plainly and within the simplest limits; ``None``: look at each."""
    if one.values or one.pattern or not one.number or one.total < 0 or (one.low or 0) > 0 or one.empty:
        return None
    most = one.total - max(one.fraction, 0)
    if most < 1 or (one.high is not None and one.high < 10**most):
        return None
    decimals = {"code": "", "money": r"(\.[0-9]{1,2})?"}.get(one.type)
    if decimals is None or (one.type == "money" and one.fraction != 2):
        return None
    if not pc.all(pc.match_substring_regex(distinct, rf"^(0|[1-9][0-9]{{0,{most - 1}}}){decimals}$")).as_py():
        return None
    if one.type == "code":
        return distinct
    exact = distinct.cast(pa.decimal128(20, 2))  # the low half of its 128 bits is the number of kopecks
    halves = np.frombuffer(exact.buffers()[1], dtype=np.int64)[0::2]
    return pa.array(halves[exact.offset : exact.offset + len(exact)])


def unescaped(texts: pa.Array) -> pa.Array:
    """References put back into characters."""
    if not pc.any(pc.match_substring(texts, "&")).as_py():
        return texts
    return pa.array([_ENTITY.sub(lambda match: _ENTITIES[match[0]], text) for text in texts.to_pylist()], pa.string())
