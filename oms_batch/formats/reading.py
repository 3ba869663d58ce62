"""What every reader takes and gives, whatever the format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ALONE = 8 * 1_048_576  # smaller documents are not worth several readers


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """How to cut: ``piece`` bytes at a time; documents below ``alone`` bytes are read in this process;
    ``fast`` off: never by the tokenizer (for comparing)."""

    piece: int = 4 * 1_048_576
    alone: int = ALONE
    fast: bool = True


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What was read: encoding, counts of accounts and persons (0 where only the canonical tables can tell), bytes,
    seconds spent, findings; ``rows`` per table where the reader counts them."""

    encoding: str
    accounts: int
    persons: int
    size: int
    seconds: float
    findings: int
    rows: Mapping[str, int] = field(default_factory=dict)
