"""A watchdog for fuzz tests: one document may take so many seconds, all together so much memory."""

from __future__ import annotations

import faulthandler
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

EACH = 5.0  # seconds; what hangs inside C for ten times as long ends the process with a traceback
GROWTH = 600 * 1_048_576


class Hang(AssertionError):
    """A document took too long."""


@contextmanager
def bounded(what: str, seconds: float = EACH) -> Iterator[None]:
    """One document. The clock of the process, so that a busy machine is no reason."""
    faulthandler.dump_traceback_later(10 * seconds + 60, exit=True, file=sys.__stderr__ or 2)
    began = time.process_time()
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
    if (took := time.process_time() - began) > seconds:
        raise Hang(f"{what}: {took:.1f} s")


@contextmanager
def slim() -> Iterator[None]:
    """A whole storm: what the process holds at most may grow by a bounded amount."""
    before = _most()
    yield
    grown = _most() - before
    assert grown < GROWTH, f"{grown >> 20} MiB more"


def _most() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
