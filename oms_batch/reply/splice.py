"""A document with some byte ranges replaced: what is not named stays as it was sent.

This is how every answer is written. Nothing is parsed and built anew, so elements that we
do not know, quotes, white space and entities of the sender come back unharmed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

from oms_batch.errors import Fault
from oms_batch.reply.tags import spaces_before

CHUNK = 1 << 20
GAP = 1 << 16


@dataclass(frozen=True, slots=True)
class Edit:
    """Bytes ``start`` to ``end`` (half-open) of the source become ``new``; ``new`` may come in pieces."""

    start: int
    end: int
    new: bytes | Iterable[bytes] = b""


def splice(source: BinaryIO, edits: Iterable[Edit], out: BinaryIO) -> None:
    """Copy ``source`` to ``out`` with the edits done; memory does not grow with either.

    The edits come in rising order and do not overlap, else ``Fault``: a wrong offset must
    never make a plausible file. ``source`` is seekable and read from its first byte; whoever
    makes the edits may read it in between.
    """
    done = 0
    for edit in edits:
        if not done <= edit.start <= edit.end:
            raise Fault(f"edit {edit.start}-{edit.end} overlaps or stands before byte {done}")
        _copy(source, done, edit.start - done, out)
        if isinstance(edit.new, bytes):
            out.write(edit.new)
        else:
            for piece in edit.new:
                out.write(piece)
        done = edit.end
    size = source.seek(0, 2)
    if done > size:
        raise Fault(f"an edit ends at byte {done}, the document has {size}")
    _copy(source, done, size - done, out)


def _copy(source: BinaryIO, start: int, size: int, out: BinaryIO) -> None:
    source.seek(start)
    while size:
        piece = source.read(min(size, CHUNK))
        if not piece:
            raise Fault(f"the document ends {size} bytes before an edit")
        out.write(piece)
        size -= len(piece)


def bytes_of(source: BinaryIO, start: int, end: int) -> bytes:
    """Bytes ``start`` to ``end`` of the source; ``Fault`` where it has fewer."""
    source.seek(start)
    found = source.read(end - start)
    if len(found) != end - start:
        raise Fault(f"bytes {start}-{end} lie beyond the document")
    return found


def gap_start(source: BinaryIO, after: int, end: int) -> int:
    """Where the white space before ``end`` begins, looking back no further than ``after``."""
    after = max(after, end - GAP)
    return after + spaces_before(bytes_of(source, after, end), end - after)
