"""Children of one XML element put in, replaced or taken out as bytes; its other bytes stay.

The federal documents hold elements only, no attributes; what a sender wrote between them is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from html import unescape

from oms_batch.errors import Fault
from oms_batch.reply.tags import TAG, Child, spaces_before, text

_LEAF = re.compile(rb"[ \t\r\n]*<([^\s<>/]+)>[^<]*</\1>")


def leaf(name: str, value: str, encoding: str) -> bytes:
    """An element with this text and nothing else."""
    tag = name.encode("ascii")
    return b"<" + tag + b">" + text(value, encoding) + b"</" + tag + b">"


def group(name: str, content: bytes) -> bytes:
    """An element around elements."""
    tag = name.encode("ascii")
    return b"<" + tag + b">" + content + b"</" + tag + b">"


def inside(raw: bytes) -> Iterator[Child]:
    """The direct children of the element that ``raw`` is; what lies in them is jumped over, not parsed."""
    at = _tag(raw, 0).end()
    while True:
        if leaf_found := _LEAF.match(raw, at):
            at = leaf_found.end()
            yield Child(leaf_found[1], leaf_found.start(1) - 1, at)
            continue
        start = raw.find(b"<", at)
        found = _tag(raw, start)
        if found[1]:
            return
        name, at = found[2], found.end()
        if not found[3].endswith(b"/"):
            at = _end(raw, name, at)
        yield Child(name, start, at)


def content(raw: bytes, child: Child, encoding: str) -> str:
    """The text of a leaf, without the white space around it."""
    start, end = raw.find(b">", child.start) + 1, raw.rfind(b"</", child.start, child.end)
    return unescape(raw[start:end].decode(encoding)).strip() if end >= start else ""


def put(raw: bytes, new: Mapping[str, Sequence[bytes]], order: Sequence[str]) -> bytes:
    """The element ``raw`` with the children named in ``new`` being these and no others.

    ``order`` is the sequence of the layout: a child goes before the first one that it puts later. Old
    children of these names go, and white space before a child is that before the first one.
    """
    rank = _ranks(tuple(order))
    blocks = {name.encode("ascii"): pieces for name, pieces in new.items()}
    waiting = sorted((name for name, pieces in blocks.items() if pieces), key=lambda name: rank.get(name, -1))
    if not rank.keys() >= set(waiting):
        raise Fault("an element that the layout does not have cannot be put in")
    old = _open(raw)
    done = _tag(old, 0).end()
    parts: list[bytes] = [old[:done]]
    gap = b""
    for child in inside(old):
        before = spaces_before(old, child.start)
        gap = gap or old[max(done, before) : child.start]
        place = rank.get(child.name, -1)
        while waiting and rank[waiting[0]] < place:
            parts += [gap + block for block in blocks[waiting.pop(0)]]
        if child.name in blocks:
            parts.append(old[done:before])
        else:
            parts.append(old[done : child.end])
        done = child.end
    parts += [gap + block for name in waiting for block in blocks[name]]
    return b"".join([*parts, old[done:]])


@lru_cache(maxsize=64)
def _ranks(order: tuple[str, ...]) -> Mapping[bytes, int]:
    return {name.encode("ascii"): place for place, name in enumerate(order)}


def _open(raw: bytes) -> bytes:
    """``<X/>`` as ``<X></X>``."""
    found = _tag(raw, 0)
    if not found[3].endswith(b"/"):
        return raw
    return raw[: found.end() - 2].rstrip() + b"></" + found[2] + b">" + raw[found.end() :]


def _tag(raw: bytes, at: int) -> re.Match[bytes]:
    found = TAG.match(raw, at) if at >= 0 else None
    if found is None:
        raise Fault("the offsets of an element do not hold an element")
    return found


def _end(raw: bytes, name: bytes, at: int) -> int:
    """Where the element ends whose content begins at ``at``; others of its name may lie in it."""
    opening, closing = _tags(name)
    depth = 1
    while depth:
        found = closing.search(raw, at)
        if found is None:
            raise Fault("an element does not end within its offsets")
        depth += sum(1 for _one in opening.finditer(raw, at, found.start())) - 1
        at = found.end()
    return at


@lru_cache(maxsize=512)
def _tags(name: bytes) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    word = re.escape(name)
    return re.compile(rb"<" + word + rb"(?:\s[^<>]*)?(?<!/)>"), re.compile(rb"</" + word + rb"\s*>")
