"""What a leaf element may hold: limits as data, and its text → typed value or the code of what is wrong with it.

``size``: ``min..max`` characters (with `` trim``: blanks around do not count), or ``total.fraction`` digits of a number
(either may be blank: no limit). ``range``: an interval like ``[0,100)``, or ``+`` = from 0 to what the digits allow
(``15.2``: thirteen before the point). ``values``: the only ones, ``|`` between; ``pattern``: the written form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from oms_batch.errors import SetupError
from oms_batch.model import parse_date

TYPES = ("text", "code", "date", "money", "quantity", "int")
MISSING, EXTRA, WRONG, LONG, TWICE = (f"S.00.00{n}0" for n in (1, 2, 3, 4, 5))
NOT_ALLOWED, OUTSIDE, ORDER, SAME_KEY = "S.00.0070", "S.00.0080", "S.00.0100", "S.00.0110"
WHITE = " \t\r\n"
_NUMBER = re.compile(r"[+-]?(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))")
_SIZE_TEXT = re.compile(r"([0-9]+)\.\.([0-9]*)( trim)?")
_SIZE_NUMBER = re.compile(r"([0-9]*)\.([0-9]*)")
_RANGE = re.compile(r"([\[(])([^,]*),([^,]*)([\])])")
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Facets:
    """The limits of one leaf. ``number``: written as a number, whatever column keeps it; -1 = no limit."""

    type: str
    number: bool
    shortest: int = 0
    longest: int = -1
    trim: bool = False
    total: int = -1
    fraction: int = -1
    values: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None
    low: Any = None
    high: Any = None
    low_in: bool = False
    high_in: bool = False
    empty: bool = False  # nothing at all is allowed too


def facets_of(line: Mapping[str, str], place: str) -> Facets:
    """The limits that a line of a layout table says; ``SetupError`` when it contradicts itself."""
    kind, size = line["type"], line["size"]
    text, number = _SIZE_TEXT.fullmatch(size), _SIZE_NUMBER.fullmatch(size)
    if kind == "date":
        if size:
            raise SetupError(f"{place}: a date has no size")
    elif (text is None) == (number is None) or (text is not None and kind not in ("text", "code")):
        raise SetupError(f"{place}: size {size!r} of type {kind}")
    total = int(number[1]) if number is not None and number[1] else -1
    fraction = int(number[2]) if number is not None and number[2] else -1
    low: Any = None
    high: Any = None
    low_in = high_in = False
    if line["range"] == "+":
        low, low_in, high = Decimal(0), True, Decimal(10) ** (total - max(fraction, 0))
    elif line["range"]:
        bounds = _RANGE.fullmatch(line["range"])
        if bounds is None:
            raise SetupError(f"{place}: range {line['range']!r}")
        low, high = (_bound(each, kind, place) for each in (bounds[2], bounds[3]))
        low_in, high_in = bounds[1] == "[", bounds[4] == "]"
    return Facets(
        type=kind,
        number=number is not None,
        shortest=int(text[1]) if text is not None else 0,
        longest=int(text[2]) if text is not None and text[2] else -1,
        trim=text is not None and text[3] is not None,
        total=total,
        fraction=fraction,
        values=tuple(line["values"].split("|")) if line["values"] else (),
        pattern=re.compile(line["pattern"], re.ASCII) if line["pattern"] else None,
        low=low,
        high=high,
        low_in=low_in,
        high_in=high_in,
        empty=line["nil"] == "empty",
    )


def _bound(text: str, kind: str, place: str) -> Any:
    if not text:
        return None
    if kind != "date":
        return Decimal(text)
    found = parse_date(text)
    if found is None:
        raise SetupError(f"{place}: range with {text!r}")
    return found


def sql_type(every: Sequence[Facets], name: str) -> str:
    """The type of the column of this name that must hold what all these leaves may hold."""
    kinds = {one.type for one in every}
    if kinds == {"quantity"}:
        fraction = max(one.fraction if one.fraction >= 0 else 5 for one in every)
        whole = max(one.total - max(one.fraction, 0) if one.total >= 0 else 13 for one in every)
        return f"DECIMAL({min(whole + fraction, 38)},{fraction})"
    if len(kinds) > 1 and not kinds <= {"text", "code"}:
        raise SetupError(f"layouts: column {name} as {', '.join(sorted(kinds))}")
    return {"date": "DATE", "money": "BIGINT", "int": "BIGINT"}.get(next(iter(kinds)), "VARCHAR")


def judge(one: Facets, text: str) -> tuple[Any, str]:
    """The text of a leaf → (value, code of what is wrong or blank).

    Money is kopecks, a date days since 1970-01-01, a number kept as code its plain digits. Blank text is ``None``.
    """
    if text == "" and one.empty:
        return None, ""
    if one.number:
        return _number(one, text.strip(WHITE))
    if one.type == "date":
        return _date(one, text.strip(WHITE))
    return _text(one, text)


def _text(one: Facets, text: str) -> tuple[str | None, str]:
    if one.trim:
        text = re.sub(f"[{WHITE}]+", " ", text).strip(" ")
    if len(text) < one.shortest:
        return None, MISSING if not text.strip(WHITE) else WRONG
    if 0 <= one.longest < len(text):
        return text, LONG
    if one.pattern is not None and not one.pattern.fullmatch(text):
        return text, WRONG
    if one.values and text not in one.values:
        return text, NOT_ALLOWED
    return text or None, ""


def _date(one: Facets, text: str) -> tuple[int | None, str]:
    found = parse_date(text)
    if found is None:
        return None, WRONG if text else MISSING
    value = (found - _EPOCH).days
    return value, "" if _within(one, found) else OUTSIDE


def _within(one: Facets, value: Any) -> bool:
    if one.low is not None and (value < one.low or (value == one.low and not one.low_in)):
        return False
    return one.high is None or value < one.high or (value == one.high and one.high_in)


def _number(one: Facets, text: str) -> tuple[Any, str]:
    match = _NUMBER.fullmatch(text)
    if match is None or len(text) > 200:
        return None, WRONG if text else MISSING
    whole = (match[1] or "").lstrip("0")
    part = (match[2] or match[3] or "").rstrip("0")
    sign = "-" if text[0] == "-" and (whole or part) else ""
    plain = f"{sign}{whole or '0'}{'.' + part if part else ''}"
    value = _typed(one, plain, sign, whole, part)
    if one.pattern is not None and not one.pattern.fullmatch(text):
        return value, WRONG
    if 0 <= one.fraction < len(part):
        return value, WRONG
    if 0 <= one.total < len(whole) + len(part):
        return value, LONG
    if (one.low is not None or one.high is not None) and not _within(one, Decimal(plain)):
        return value, OUTSIDE
    if one.values and plain not in one.values and Decimal(plain) not in map(Decimal, one.values):
        return value, NOT_ALLOWED
    return value, ""


def _typed(one: Facets, plain: str, sign: str, whole: str, part: str) -> Any:
    """The value as its column keeps it; ``None`` when the column cannot."""
    if one.type == "money":
        kopecks = int(whole or 0) * 100 + int(part.ljust(2, "0")) if len(whole) < 17 and len(part) < 3 else None
        return -kopecks if sign and kopecks is not None else kopecks
    if one.type == "int":
        return int(plain) if not part and len(whole) < 18 else None
    if one.type == "quantity":
        room = one.total - max(one.fraction, 0) if one.total >= 0 else 13
        fits = len(whole) <= room and len(part) <= (one.fraction if one.fraction >= 0 else 5)
        return Decimal(plain) if fits else None
    return plain
