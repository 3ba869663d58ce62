"""Where elements lie in the bytes of a piece that is known to be well-formed, without comments or CDATA.

In such bytes ``<`` begins a tag and nothing else, so plain searching is exact.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import BinaryIO

import numpy as np

from oms_batch.formats.columns import Ints

_REST_OF_TAG = re.compile(rb"""(?:[^>"']|"[^"]*"|'[^']*')*>""")
LONGEST_TAG = 4_194_304


def tag_end(data: bytes, start: int) -> int:
    """The place after the ``>`` of the tag that begins at ``start``; -1 when it does not end here."""
    match = _REST_OF_TAG.match(data, start)
    return -1 if match is None else match.end()


def tag_end_in(stream: BinaryIO, start: int) -> int:
    """The same in a stream."""
    size = 65_536
    while size <= LONGEST_TAG:
        stream.seek(start)
        if (end := tag_end(stream.read(size), 0)) >= 0:
            return start + end
        size *= 4
    return -1


@dataclass(slots=True)
class Spans:
    """Byte places of all elements of one name: start, end of the start tag (-1: not looked for), start of the
    end tag, end. For an empty-element tag the last three are the same place."""

    start: Ints
    opened: Ints
    close: Ints
    end: Ints


def spans(data: bytes, name: bytes) -> Spans:
    """The places of all elements of this name, which never nest in themselves."""
    starts = [match.start() for match in re.finditer(rb"<" + name + rb"(?=[\s/>])", data)]
    closes = [match.span() for match in re.finditer(rb"</" + name + rb"\s*>", data)]
    opened = [tag_end(data, start) for start in starts]
    if len(closes) != len(starts):
        queue = iter(closes)
        closes = [(end, end) if data[end - 2 : end] == b"/>" else next(queue) for end in opened]
    pairs = np.array(closes, dtype=np.int64).reshape(-1, 2)
    return Spans(np.array(starts, dtype=np.int64), np.array(opened, dtype=np.int64), pairs[:, 0], pairs[:, 1])


def digests(data: bytes, starts: Ints, ends: Ints) -> list[str]:
    """blake2b-16 of each stretch, in hex: equal bytes, equal digest."""
    view = memoryview(data)
    return [
        blake2b(view[start:end], digest_size=16).hexdigest()
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
