"""Text of an attribute → typed value, strictly: ASCII digits only, a dot, no exponent, no blanks.

A blank value is absent (``None``). What is not of its type is ``None`` too and is
remembered in ``bad``, so that the caller can say where it stood.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

from oms_batch.formats.layout import Field
from oms_batch.model import parse_date

_MONEY = re.compile(r"(-?)(\d{1,13})(?:\.(\d{1,2}))?", re.ASCII)
PLAIN_MONEY = r"^[0-9]{1,13}(\.[0-9]{1,2})?$"  # RE2: no sign, nothing around it
_INT = re.compile(r"-?\d{1,9}", re.ASCII)
_NUMBER = re.compile(r"-?(\d{1,18})(?:\.(\d{1,9}))?", re.ASCII)
_EPOCH = date(1970, 1, 1)
# C0, DEL, C1, line and paragraph separators, direction marks, surrogates and non-characters.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")
KEPT = 100_000  # distinct values remembered per type


class Typed(dict[str, Any]):
    """A memory of values already parsed: the same dates and sums come thousands of times."""

    def __init__(self, parse: Callable[[str], Any]) -> None:
        super().__init__({"": None})
        self.parse = parse
        self.bad: set[str] = set()

    def __missing__(self, text: str) -> Any:
        value = self.parse(text)
        if value is None:
            self.bad.add(text)
        self[text] = value
        return value

    def trim(self) -> None:
        """Forget all when it has grown too big; call between columns, never within one."""
        if len(self) > KEPT:
            self.clear()
            self[""] = None
            self.bad.clear()


def money(text: str) -> int | None:
    """Roubles with at most two decimals → kopecks: ``"1234.5"`` → 123450."""
    match = _MONEY.fullmatch(text)
    if match is None:
        return None
    sign, whole, part = match.groups()
    kopecks = int(whole) * 100 + int((part or "").ljust(2, "0"))
    return -kopecks if sign else kopecks


def whole(text: str) -> int | None:
    """A whole number of at most nine digits."""
    return int(text) if _INT.fullmatch(text) else None


def day(text: str) -> int | None:
    """``YYYY-MM-DD`` → days since 1970-01-01, the form in which columns keep dates."""
    found = parse_date(text)
    return None if found is None else (found - _EPOCH).days


def quantity(digits: int, decimals: int) -> Callable[[str], Decimal | None]:
    """A reader of decimals with at most so many digits in all and after the dot."""

    def read(text: str) -> Decimal | None:
        match = _NUMBER.fullmatch(text)
        if match is None or len(match[2] or "") > decimals or len(match[1]) > digits - decimals:
            return None
        return Decimal(text)

    return read


def code_ok(text: str) -> bool:
    """A code has no blanks around it, no control characters and no digits but 0-9."""
    if text.isascii() and text.isalnum():
        return True
    return text == text.strip() and not CONTROL.search(text) and all(c.isascii() or not c.isdigit() for c in text)


def text_ok(text: str) -> bool:
    """Free text without control characters."""
    return not CONTROL.search(text)


def reader(one: Field) -> Typed | None:
    """The memory for a typed attribute; ``None`` for text and codes, which stay as they are."""
    if one.type == "money":
        return Typed(money)
    if one.type == "date":
        return Typed(day)
    if one.type == "int":
        return Typed(whole)
    if one.type == "quantity":
        return Typed(quantity(one.size, one.scale))
    return None
