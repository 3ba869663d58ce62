"""How values look to a person: money, dates, sizes, what a finding carries."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime

from oms_batch.clock import MOSCOW
from oms_batch.i18n import N_, _, language, set_language
from oms_batch.model import parse_date

NBSP = "\u00a0"
# Control and bidirectional signs: they could turn a line of a report into another one.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_LABELS = {
    "provcode": N_("organisation"),
    "provname": N_("organisation"),
    "date_1": N_("register of"),
    "n_pp": N_("account"),
    "curestart": N_("from"),
    "cureend": N_("to"),
    "doctor": N_("doctor"),
}


@contextmanager
def speaking(lang: str) -> Iterator[None]:
    """Texts in this language inside, as before outside."""
    before = language()
    set_language(lang)
    try:
        yield
    finally:
        set_language(before)


def money(kopecks: int | None) -> str:
    """``123456789`` → ``1 234 567,89`` (no-break spaces), in English ``1,234,567.89``; empty for ``None``."""
    if kopecks is None:
        return ""
    sign = "−" if kopecks < 0 else ""
    whole = f"{abs(kopecks) // 100:,}"
    point = "."
    if language() == "ru":
        whole, point = whole.replace(",", NBSP), ","
    return f"{sign}{whole}{point}{abs(kopecks) % 100:02d}"


def number(value: int) -> str:
    """A count with its thousands set apart."""
    return f"{value:,}".replace(",", NBSP if language() == "ru" else ",")


def day(value: date | None) -> str:
    """``03.11.2026``, in English ``2026-11-03``; empty for ``None``."""
    if value is None:
        return ""
    return f"{value:%d.%m.%Y}" if language() == "ru" else value.isoformat()


def days(first: date | None, last: date | None) -> str:
    """A span of days, once when they are the same."""
    return "–".join(dict.fromkeys(filter(None, (day(first), day(last)))))


def period(value: str) -> str:
    """``2026-10`` → ``10.2026``; anything else as it is."""
    if language() == "ru" and re.fullmatch(r"\d{4}-\d{2}", value):
        return f"{value[5:]}.{value[:4]}"
    return value


def moment(value: str) -> str:
    """An ISO moment with zone in Moscow time; what is none, as it is."""
    try:
        told = datetime.fromisoformat(value).astimezone(MOSCOW)
    except ValueError:
        return value
    return _("{day} {time} Moscow time").format(day=day(told.date()), time=f"{told:%H:%M}")


def clean(text: str) -> str:
    """Without signs that can't be seen."""
    return _HIDDEN.sub(" ", text)


def found_value(value: str) -> str:
    """The value of a finding; one that points at another account is told in words."""
    if value.startswith("{"):
        try:
            known = json.loads(value)
        except ValueError:
            return clean(value)
        if isinstance(known, dict):
            parts = []
            for key, one in known.items():
                label = _LABELS.get(str(key), str(key))
                when = parse_date(str(one))
                if one not in (None, ""):
                    parts.append(f"{_(label)} {day(when) if when else one}")
            return clean(", ".join(parts))
    return clean(value)
