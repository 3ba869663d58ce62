"""Proofs over files, without a home: a reformulation against the file that it was made from."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, BinaryIO

from oms_batch.exchange import Profile, load_profile
from oms_batch.formats import container
from oms_batch.reply import verify
from oms_batch.store import fsio


def reformulation(old: str, new: str, profile: Profile | None = None) -> dict[str, Any]:
    """The proof as plain values: excluded accounts, totals before and after, ``kept_byte_equal``, problems.

    Raises ``Refusal`` when one of the files cannot be opened.
    """
    dialect = profile if profile is not None else load_profile()
    with ExitStack() as stack:
        folder = stack.enter_context(fsio.scratch_folder())
        streams = [_document(stack, dialect, path, f"{folder}/{number}.xml") for number, path in enumerate((old, new))]
        found = verify.verify(streams[0], streams[1], dialect.data["pay"]["refused"])
    return {**found, "problems": [asdict(problem) for problem in found["problems"]]}


def _document(stack: ExitStack, profile: Profile, path: str, scratch: str) -> BinaryIO:
    packed = stack.enter_context(fsio.open_read(fsio.absolute(path)))
    target = stack.enter_context(fsio.create(scratch))
    size = fsio.stat_open(packed).size
    opened = stack.enter_context(container.open_register(packed, size, profile.data["member"], scratch=target))
    return opened.stream
