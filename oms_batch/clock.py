"""The one place where time enters. Tests and the demo set it; all else only asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date, datetime, timezone
from zoneinfo import ZoneInfo

MOSCOW = ZoneInfo("Europe/Moscow")

_wall: Callable[[], datetime] = lambda: datetime.now(timezone.utc)  # noqa: E731


def now() -> datetime:
    """The wall time, UTC, whole seconds: for receipts and for display."""
    return _wall().astimezone(timezone.utc).replace(microsecond=0)


def today() -> date:
    """The date in Moscow, where the deadlines of the exchange are counted."""
    return now().astimezone(MOSCOW).date()


def monotonic() -> float:
    """Seconds that never jump: for settling files, time limits and measuring."""
    return time.monotonic()


def parse(text: str) -> datetime:
    """A moment written as ISO 8601 with zone, as receipts hold it."""
    return datetime.fromisoformat(text)


def sleep(seconds: float) -> None:
    """Wait; the only sleep of the program."""
    time.sleep(seconds)


def set_wall(source: Callable[[], datetime] | None) -> None:
    """Replace the wall clock (``None`` puts the real one back)."""
    global _wall
    _wall = source if source is not None else (lambda: datetime.now(timezone.utc))
