"""Does a file end where its kind says it ends? A first look at a file that may still be on its way.

It only tells "wait" from "may be read": what is wrong with a whole file is the reader's to say.
"""

from __future__ import annotations

import io
import re
from typing import BinaryIO

from oms_batch.store import fsio

_TAIL = 66_000  # the end record of a ZIP with the longest comment
_ROOT = re.compile(rb"<([A-Za-z_][^\s<>/]*)")
_EMPTY_ROOT = re.compile(rb"\s*<[^<>]*/>\s*")
_PROLOG = re.compile(rb"<\?.*?\?>|<!--.*?-->|<!DOCTYPE.*?>", re.S)


def whole(path: str) -> bool:
    """Whether the end belongs to the beginning. Unknown kinds count as whole; zeros in front do not.

    ``OSError`` when it cannot be read (no right, locked), ``Refusal`` FILE_TYPE.
    """
    with fsio.open_read(path) as stream:
        size = stream.seek(0, io.SEEK_END)
        head, tail = _part(stream, 0, 4096), _part(stream, max(0, size - _TAIL), _TAIL)
    if not head.strip(b"\0"):
        return False
    if head.startswith(b"PK"):
        return _zip_ends(tail)
    if head.startswith(b"7z\xbc\xaf\x27\x1c"):
        return _7z_ends(head, size)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return _xml_ends(text, tail) if text.startswith(b"<") else True


def _part(stream: BinaryIO, start: int, length: int) -> bytes:
    stream.seek(start)
    return stream.read(length)


def _zip_ends(tail: bytes) -> bool:
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0:
        if len(tail) - at >= 22 and at + 22 + int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail):
            return True
        at = tail.rfind(b"PK\x05\x06", 0, at)
    return False


def _7z_ends(head: bytes, size: int) -> bool:
    offset, length = int.from_bytes(head[12:20], "little"), int.from_bytes(head[20:28], "little")
    return len(head) >= 32 and length > 0 and size >= 32 + offset + length


def _xml_ends(head: bytes, tail: bytes) -> bool:
    root = _ROOT.search(_PROLOG.sub(b"", head))
    if root is None:
        return False
    end = rb"</" + re.escape(root[1]) + rb"\s*>(?:\s|<!--.*?-->|<\?.*?\?>)*\Z"
    # an empty root closes itself; any other element that does says nothing about the end
    return re.search(end, tail, re.S) is not None or _EMPTY_ROOT.fullmatch(_PROLOG.sub(b"", head)) is not None
