"""The log: one JSON object per line, only keys of the list below, never a value of a field.

Whatever is not on the list, or does not look like a code, a count or a file name of the exchange,
does not get in: a log must stay free of personal data even where a caller is careless.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Literal, TextIO

from oms_batch import clock

KEYS = frozenset(
    {
        "accounts", "attempt", "bytes", "code", "count", "errno", "event", "file", "job", "kopecks", "level", "partner",
        "period", "pid", "problems", "receipt", "refused", "register", "rows", "seconds", "sha256", "stage", "version",
    }
)  # fmt: skip
_PLAIN = re.compile(r"[A-Za-z0-9_.:+-]{0,80}", re.ASCII)
_LOGGER = logging.getLogger("oms_batch")
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def event(
    name: str, *, level: Literal["info", "warning", "error"] = "info", **facts: str | int | float | bool | None
) -> None:
    """Log that something happened: ``event("answered", job=7, accounts=120)``.

    Unlisted keys are left out, text that is not plain is written as ``"?"``.
    """
    record: dict[str, object] = {"at": clock.now().isoformat(), "level": level, "event": _safe(name)}
    record.update({key: _safe(value) for key, value in facts.items() if key in KEYS})
    _LOGGER.log(_LEVELS[level], json.dumps(record, ensure_ascii=True))


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to what is standard error at that moment, so a stream that was closed meanwhile is no matter."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def start(stream: TextIO | None = None) -> None:
    """Write all events to ``stream`` (standard error); before this only warnings and errors are shown.

    The doors that run unattended call it once.
    """
    handler = logging.StreamHandler(stream) if stream is not None else _Stderr()
    handler.setFormatter(logging.Formatter("%(message)s"))
    _LOGGER.handlers[:] = [handler]
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False


def _safe(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else "?"
