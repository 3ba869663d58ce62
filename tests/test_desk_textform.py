"""Sums and dates as Russian documents write them."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms_batch import textform

WORDS = {word: value for value, word in enumerate(textform._UNITS) if word} | {"одна": 1, "две": 2}
WORDS |= {word: value for value, word in enumerate(textform._TEENS, 10)}
WORDS |= {word: value * 10 for value, word in enumerate(textform._TENS) if word}
WORDS |= {word: value * 100 for value, word in enumerate(textform._HUNDREDS) if word}
SCALES = {form: 1000**place for place, forms in enumerate(textform._SCALES) if place for form in forms}


def number_of(text: str) -> int:
    """The number that words mean: an independent way back, word by word."""
    total = group = 0
    for word in text.split():
        if word in SCALES:
            total, group = total + group * SCALES[word], 0
        elif word != "ноль":
            group += WORDS[word]
    return total + group


@pytest.mark.parametrize(
    ("kopecks", "words"),
    [
        (0, "Ноль рублей 00 копеек"),
        (1, "Ноль рублей 01 копейка"),
        (2, "Ноль рублей 02 копейки"),
        (100, "Один рубль 00 копеек"),
        (211, "Два рубля 11 копеек"),
        (521, "Пять рублей 21 копейка"),
        (1113, "Одиннадцать рублей 13 копеек"),
        (1412, "Четырнадцать рублей 12 копеек"),
        (2100, "Двадцать один рубль 00 копеек"),
        (100005, "Одна тысяча рублей 05 копеек"),
        (200000, "Две тысячи рублей 00 копеек"),
        (1100000, "Одиннадцать тысяч рублей 00 копеек"),
        (2200100, "Двадцать две тысячи один рубль 00 копеек"),
        (100000000, "Один миллион рублей 00 копеек"),
        (200100000, "Два миллиона одна тысяча рублей 00 копеек"),
        (123456789, "Один миллион двести тридцать четыре тысячи пятьсот шестьдесят семь рублей 89 копеек"),
        (100000000000, "Один миллиард рублей 00 копеек"),
        (
            111111111111,
            "Один миллиард сто одиннадцать миллионов сто одиннадцать тысяч сто одиннадцать рублей 11 копеек",
        ),
        (-150, "Минус один рубль 50 копеек"),
    ],
)
def test_sum_in_words(kopecks: int, words: str) -> None:
    assert textform.sum_in_words(kopecks).replace(textform.NBSP, " ") == words


def test_kopecks_in_words_are_feminine() -> None:
    words = [textform.sum_in_words(kopecks, all_words=True).split() for kopecks in (4221, 102, 0)]
    assert words == [
        ["Сорок", "два", "рубля", "двадцать", "одна", "копейка"],
        ["Один", "рубль", "две", "копейки"],
        ["Ноль", "рублей", "ноль", "копеек"],
    ]


@given(st.integers(0, 10**18 - 1))
def test_words_mean_their_number(number: int) -> None:
    assert number_of(textform.in_words(number)) == number
    assert number_of(textform.in_words(number, feminine=True)) == number


@given(st.integers(0, 10**17))
def test_the_noun_agrees_with_the_last_word(kopecks: int) -> None:
    words = textform.sum_in_words(kopecks).lower().split()
    noun = next(index for index, word in enumerate(words) if word.startswith("рубл"))
    last = words[noun - 1]
    wanted = "рубль" if last == "один" else "рубля" if last in ("два", "три", "четыре") else "рублей"
    assert words[noun] == wanted
    assert not {"одна", "две"} & {words[noun - 1]}, "roubles are masculine"
    for at, word in enumerate(words):
        if word.startswith("тысяч"):
            assert words[at - 1] not in ("один", "два"), "thousands are feminine"


@given(st.integers(-(10**15), 10**15))
def test_money_keeps_every_kopeck(kopecks: int) -> None:
    text = textform.money(kopecks)
    assert int(text.replace("−", "-").replace("\u00a0", "").replace(",", "")) == kopecks
    assert " " not in text, "a sum never breaks over two lines"


def test_money_and_dates() -> None:
    assert textform.money(123456789) == "1\u00a0234\u00a0567,89"
    assert textform.money(-5) == "−0,05"
    assert textform.day(date(2026, 11, 2)) == textform.day("2026-11-02T10:00:00+00:00") == "02.11.2026"
    assert textform.long_day(date(2026, 11, 2)) == "2 ноября 2026 г."
    assert textform.month("2026-01") == "январь 2026 г."


def test_plural() -> None:
    forms = [textform.plural(n, "счёт", "счёта", "счетов") for n in (0, 1, 2, 5, 11, 12, 14, 21, 22, 25, 101, 111, 112)]
    assert forms == [
        "счетов",
        "счёт",
        "счёта",
        "счетов",
        "счетов",
        "счетов",
        "счетов",
        "счёт",
        "счёта",
        "счетов",
        "счёт",
        "счетов",
        "счетов",
    ]


def test_a_number_too_great_is_refused() -> None:
    with pytest.raises(ValueError, match="too great"):
        textform.in_words(10**18)
