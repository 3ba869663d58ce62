"""How much of a fuzz test runs: a few in the usual run, ``OMS_FUZZ`` of them under ``make fuzz``."""

from __future__ import annotations

import os


def times(quick: int, share: int = 1) -> int:
    """``quick``, or under ``make fuzz`` the number in ``OMS_FUZZ`` divided by ``share``."""
    asked = int(os.environ.get("OMS_FUZZ") or 0)
    return max(quick, asked // share) if asked else quick
