"""Numbers, sums and dates as Russian documents write them. No locale of the machine is asked."""

from __future__ import annotations

from datetime import date

NBSP = "\u00a0"
_UNITS = ("", "один", "два", "три", "четыре", "пять", "шесть", "семь", "восемь", "девять")
_TEENS = [
    "десять",
    "одиннадцать",
    "двенадцать",
    "тринадцать",
    "четырнадцать",
    "пятнадцать",
    "шестнадцать",
    "семнадцать",
    "восемнадцать",
    "девятнадцать",
]
_TENS = ("", "", *["двадцать", "тридцать", "сорок", "пятьдесят", "шестьдесят", "семьдесят", "восемьдесят", "девяносто"])
_HUNDREDS = ("", *["сто", "двести", "триста", "четыреста", "пятьсот", "шестьсот", "семьсот", "восемьсот", "девятьсот"])
_SCALES = (
    ("", "", ""),
    ("тысяча", "тысячи", "тысяч"),
    ("миллион", "миллиона", "миллионов"),
    ("миллиард", "миллиарда", "миллиардов"),
    ("триллион", "триллиона", "триллионов"),
    ("квадриллион", "квадриллиона", "квадриллионов"),
)
_FEMININE = {"один": "одна", "два": "две"}
_MONTHS = [
    "январь",
    "февраль",
    "март",
    "апрель",
    "май",
    "июнь",
    "июль",
    "август",
    "сентябрь",
    "октябрь",
    "ноябрь",
    "декабрь",
]
_OF_MONTH = [
    "января",
    "февраля",
    "марта",
    "апреля",
    "мая",
    "июня",
    "июля",
    "августа",
    "сентября",
    "октября",
    "ноября",
    "декабря",
]


def plural(number: int, one: str, few: str, many: str) -> str:
    """The form of a noun after a number: 1 счёт, 2 счёта, 5 счетов, 11 счетов, 21 счёт."""
    last, pair = abs(number) % 10, abs(number) % 100
    if last == 1 and pair != 11:
        return one
    return few if 2 <= last <= 4 and not 12 <= pair <= 14 else many


def grouped(number: int) -> str:
    """An integer in groups of three, with spaces that do not break: 1 234 567."""
    return f"{number:,}".replace(",", NBSP)


def money(kopecks: int) -> str:
    """Kopecks as roubles: ``123456789`` → ``1 234 567,89``."""
    sign = "−" if kopecks < 0 else ""
    return f"{sign}{grouped(abs(kopecks) // 100)},{abs(kopecks) % 100:02d}"


def in_words(number: int, feminine: bool = False) -> str:
    """A whole number in words, nominative: ``21`` → ``двадцать один`` (``feminine``: ``двадцать одна``).

    ``ValueError`` from a quintillion on.
    """
    if number < 0:
        return "минус " + in_words(-number, feminine)
    if number == 0:
        return "ноль"
    if number >= 1000 ** len(_SCALES):
        raise ValueError("the number is too great for words")
    parts: list[str] = []
    for place in range(len(_SCALES) - 1, -1, -1):
        group = number // 1000**place % 1000
        if group:
            words = _below_thousand(group, feminine if place == 0 else place == 1)
            parts += [*words, plural(group, *_SCALES[place])] if place else words
    return " ".join(parts)


def _below_thousand(number: int, feminine: bool) -> list[str]:
    words = [_HUNDREDS[number // 100]]
    rest = number % 100
    if 10 <= rest < 20:
        words.append(_TEENS[rest - 10])
    else:
        unit = _UNITS[rest % 10]
        words += [_TENS[rest // 10], _FEMININE.get(unit, unit) if feminine else unit]
    return [word for word in words if word]


def sum_in_words(kopecks: int, all_words: bool = False) -> str:
    """A sum as documents spell it: ``Сто двадцать один рубль 05 копеек``; ``all_words``: kopecks in words too."""
    roubles, rest = divmod(abs(kopecks), 100)
    small = in_words(rest, feminine=True) if all_words else f"{rest:02d}"
    text = f"{in_words(roubles)} {plural(roubles, 'рубль', 'рубля', 'рублей')} "
    text += f"{small}{NBSP}{plural(rest, 'копейка', 'копейки', 'копеек')}"
    text = ("минус " if kopecks < 0 else "") + text
    return text[0].upper() + text[1:]


def day(value: date | str) -> str:
    """A date as ``21.11.2026``; text must be ``YYYY-MM-DD`` (or start so, as moments do)."""
    found = value if isinstance(value, date) else date.fromisoformat(value[:10])
    return f"{found.day:02d}.{found.month:02d}.{found.year:04d}"


def long_day(value: date) -> str:
    """A date as ``21 ноября 2026 г.``"""
    return f"{value.day} {_OF_MONTH[value.month - 1]} {value.year} г."


def month(period: str) -> str:
    """A period ``2026-11`` as ``ноябрь 2026 г.``"""
    year, number = period.split("-")
    return f"{_MONTHS[int(number) - 1]} {year} г."
