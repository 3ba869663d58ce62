"""What all tests share: Russian, the real clock put back, no network, and a list of what ran."""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from oms_batch import clock, i18n


@pytest.fixture(autouse=True)
def _as_found() -> Iterator[None]:
    """Each test starts with the default language, the real clock and a quiet log, and leaves no other behind."""
    i18n.set_language("ru")
    clock.set_wall(None)
    log = logging.getLogger("oms_batch")
    before = (log.handlers[:], log.level, log.propagate)
    yield
    i18n.set_language("ru")
    clock.set_wall(None)
    log.handlers[:], level, log.propagate = before
    log.setLevel(level)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that would call out fails instead; local sockets of worker processes stay allowed."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise AssertionError("a test must not use the network")
        real(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line per test file: how many of its tests ran, and how they ended."""
    ran: dict[str, Counter[str]] = {}
    for outcome in ("passed", "failed", "error", "skipped", "xfailed"):
        for report in terminalreporter.stats.get(outcome, []):
            ran.setdefault(report.nodeid.split("::")[0], Counter())[outcome] += 1
    terminalreporter.section("what ran")
    for name, counts in sorted(ran.items()):
        terminalreporter.write_line(f"{name}: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
