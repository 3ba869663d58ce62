"""Where editions of reference books rest: every one that was taken in, and the tables that are in force.

``rules/editions/<book>/<day>_<version>_<sha8>.csv`` of a home keeps all of them for good; ``rules/<folder>/books/`` is
the overlay that rules read. A table is laid by one rename, so a reader sees the old one or the new one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from oms_batch.store import fsio

FOLDER = "editions"
_NAME = re.compile(r"(\d{4}-\d\d-\d\d)_([\w.-]*)_([0-9a-f]{8})\.csv", re.ASCII)


@dataclass(frozen=True)
class Kept:
    """One edition that is kept: ``version`` may be empty; ``path`` is absolute."""

    book: str
    day: str
    version: str
    digest: str
    path: str


def keep(rules: str, book: str, day: str, version: str, data: bytes) -> Kept:
    """Keep an edition; the same bytes are kept once. ``rules`` is the overlay folder of the home."""
    digest = fsio.digest(data)[0][:8]
    plain = re.sub(r"[^\w.-]", "-", version, flags=re.ASCII)
    folder = f"{rules}/{FOLDER}/{book}"
    path = f"{folder}/{day}_{plain}_{digest}.csv"
    if not fsio.exists(path):
        fsio.mkdirs(folder)
        fsio.write_bytes_durable(path, data)
    return Kept(book, day, version, digest, path)


def kept(rules: str, book: str) -> list[Kept]:
    """The editions of a book that are kept, the oldest first."""
    folder = f"{rules}/{FOLDER}/{book}"
    found = ((name, _NAME.fullmatch(name)) for name in fsio.listdir(folder))
    return [Kept(book, match[1], match[2], match[3], f"{folder}/{name}") for name, match in found if match]


def lay(rules: str, files: Iterable[tuple[str, bytes]]) -> None:
    """Put tables into force: each file (name relative to the overlay, bytes) by one rename."""
    for relative, data in files:
        path = f"{rules}/{relative}"
        fsio.mkdirs(path.rpartition("/")[0])
        fsio.write_bytes_durable(path, data)


def laid(rules: str, relative: str) -> bytes | None:
    """The bytes of a table of the overlay; ``None`` when it is not there."""
    path = f"{rules}/{relative}"
    return fsio.read_bytes(path) if fsio.exists(path) else None
