"""Whole columns are read exactly as one value at a time would be: numbers, sums, dates and letters of any bytes."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oms_batch.formats.dbf_bulk import convert
from oms_batch.formats.dbf_gate import Column
from oms_batch.formats.dbf_layout import DbfField
from oms_batch.formats.dbf_letters import count, decide, no_text
from oms_batch.formats.dbf_text import Made

WRONG, LONG, RANGE = "S.00.0030", "S.00.0040", "S.00.0080"
SIGNS = "0123456789" * 3 + ".- " * 4 + "*,e+\0x"


def column(raws: list[bytes], there: Column, type_: str, size: int = 18, decimals: int = 0, **more: Any) -> Made:
    wanted = DbfField("A", there.type, size, decimals, False, type_, "t", "a", **more)
    matrix = np.frombuffer(b"".join(raws), dtype=np.uint8).reshape(len(raws), there.size)
    return convert(matrix, there, wanted, "cp866")


def told(made: Made, rows: int) -> list[str]:
    """The fault of each row, blank where it has none."""
    found = [""] * rows
    for rule, places in made.wrong.items():
        for place in places.tolist():
            assert not found[place]
            found[place] = rule
    return found


@st.composite
def fields(draw: st.DrawFn) -> tuple[Column, list[bytes]]:
    size = draw(st.integers(1, 20))
    decimals = draw(st.integers(0, min(4, size - 1)))
    right = st.decimals(-(10**9), 10**12, places=decimals, allow_nan=False).map(lambda one: f"{one:f}")
    wild = st.text(st.sampled_from(SIGNS), max_size=size)
    texts = draw(st.lists(st.one_of(right, wild).filter(lambda text: len(text) <= size), min_size=1, max_size=12))
    sides = draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)))
    raws = [text.encode().rjust(size) if side else text.encode().ljust(size)
            for text, side in zip(texts, sides, strict=True)]  # fmt: skip
    return Column("A", "N", size, decimals), raws


def plain(raw: bytes) -> Decimal | None:
    """One value by itself; ``ValueError`` when it is none."""
    text = raw.decode().strip(" \0")
    if not text:
        return None
    if not re.fullmatch(r"-?([0-9]{1,20}(\.[0-9]+)?|\.[0-9]+)", text):
        raise ValueError
    return Decimal(text)


@settings(max_examples=100, deadline=None)
@given(fields())
@example((Column("A", "N", 20, 0), [b"99999999999999999999", b"00000000000000000001"]))
@example((Column("A", "N", 1, 0), [b"7", b" ", b"-"]))
@example((Column("A", "N", 2, 1), [b".5", b"5.", b" 5"]))
def test_sums_are_exact(field: tuple[Column, list[bytes]]) -> None:
    there, raws = field
    made = column(raws, there, "money", low="-999999999999", high="999999999999")
    values, faults = made.column.to_pylist(), told(made, len(raws))
    for raw, value, fault in zip(raws, values, faults, strict=True):
        try:
            right = plain(raw)
            if right is not None and (right * 100 != int(right * 100) or abs(right) >= 10**13):
                raise ValueError
        except ValueError:
            assert (value, fault) in ((None, WRONG), (None, LONG)) or fault == RANGE, raw
            continue
        kopecks = None if right is None else int(right * 100)
        dear = kopecks is not None and abs(kopecks) > 99_999_999_999_900
        if re.search(rb"\.[0-9]{3,}", raw):  # more than two decimals, be they zeros
            assert (value, fault) == (None, WRONG)
        else:
            assert (value, fault) == (kopecks, RANGE if dear else ""), raw


@settings(max_examples=100, deadline=None)
@given(fields())
def test_quantities_and_whole_numbers_are_exact(field: tuple[Column, list[bytes]]) -> None:
    there, raws = field
    made = column(raws, there, "quantity", 12, 3)
    for raw, value, fault in zip(raws, made.column.to_pylist(), told(made, len(raws)), strict=True):
        try:
            right = plain(raw)
        except ValueError:
            assert (value, fault) == (None, WRONG)
            continue
        decimals = len(raw.strip(b" \0").partition(b".")[2])
        if decimals > 3:
            assert (value, fault) == (None, WRONG)
        elif right is not None and abs(right) >= 10**9:
            assert value is None and fault in (LONG, WRONG)
        else:
            assert (value, fault) == (right, "")
    whole = column(raws, there, "int", 9)
    for raw, value, fault in zip(raws, whole.column.to_pylist(), told(whole, len(raws)), strict=True):
        text = raw.decode().strip(" \0")
        if re.fullmatch("-?[0-9]{1,9}", text):
            assert (value, fault) == (int(text), "")
        elif text and abs(int(text) if re.fullmatch("-?[0-9]+", text) else 10**9) < 10**9:
            assert (value, fault) in ((int(text), ""), (None, WRONG))  # zeros in front
        else:
            assert value is None and (fault in (WRONG, LONG)) == bool(text)


def test_every_day_of_four_centuries_and_none_else() -> None:
    there, day = Column("A", "D", 8), date(1800, 1, 1)
    days = [day + timedelta(days=n) for n in range((date(2200, 1, 1) - day).days)]
    made = column([f"{one:%Y%m%d}".encode() for one in days], there, "date", 8, low="1800-01-01")
    assert made.column.to_pylist() == days and not made.wrong
    wild = [f"{y:04d}{m:02d}{d:02d}" for y in (1900, 2000, 2019, 2020) for m in range(100) for d in range(100)]
    made = column([text.encode() for text in wild], there, "date", 8)
    right = {f"{one:%Y%m%d}": one for one in days}
    assert made.column.to_pylist() == [right.get(text) for text in wild]
    assert told(made, len(wild)) == ["" if text in right else WRONG for text in wild]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.binary(min_size=8, max_size=8), min_size=1, max_size=10))
def test_bytes_that_are_no_date(raws: list[bytes]) -> None:
    made = column(raws, Column("A", "D", 8), "date", 8)
    for raw, value, fault in zip(raws, made.column.to_pylist(), told(made, len(raws)), strict=True):
        blank = not raw.strip(b" \0")
        assert (value is None) == (blank or bool(fault)) or fault == RANGE
        assert bool(fault) != (blank or (raw.isdigit() and value is not None)) or fault == RANGE


@settings(max_examples=80, deadline=None)
@given(st.lists(st.binary(min_size=6, max_size=6), min_size=1, max_size=10), st.sampled_from(["cp866", "cp1251"]))
def test_texts_of_any_bytes(raws: list[bytes], page: str) -> None:
    there = Column("A", "C", 6)
    wanted = DbfField("A", "C", 6, 0, False, "text", "t", "a")
    matrix = np.frombuffer(b"".join(raws), dtype=np.uint8).reshape(len(raws), 6)
    made = convert(matrix, there, wanted, page)
    made.column.validate(full=True)
    faults = told(made, len(raws))
    for raw, value, fault in zip(raws, made.column.to_pylist(), faults, strict=True):
        bare = raw.rstrip(b" \0")
        assert value == (bare.decode(page, "replace") or None)
        assert (fault == WRONG) == any(no_text(page)[one] for one in bare)


@pytest.mark.parametrize("page", ["cp866", "cp1251"])
def test_russian_letters_and_their_usual_signs_are_text(page: str) -> None:
    letters = "".join(map(chr, range(0x410, 0x450))) + "Ёё№ "
    letters += "«»—–…" if page == "cp1251" else ""
    assert not no_text(page)[np.frombuffer(letters.encode(page), np.uint8)].any()
    other = {"cp866": "cp1251", "cp1251": "cp866"}[page]
    assert no_text(page)[np.frombuffer("ИВАНОВ".encode(other), np.uint8)].any()


@pytest.mark.parametrize("name", ["ИВАНОВ", "Щукин", "щукин", "Я", "ПЁТР", "ЧЮ", "Ёлкина-Смит"])
def test_few_letters_are_enough_to_see_the_code_page(name: str) -> None:
    for page, mark in (("cp866", 0xC9), ("cp1251", 0x65)):
        counts = count(np.frombuffer(name.encode(page), np.uint8))
        assert decide(mark, counts) == page, "whatever the header says"


def test_the_header_decides_where_the_same_bytes_are_letters_in_both() -> None:
    for page, mark in (("cp866", 0x65), ("cp1251", 0xC9)):
        text = "рстя" if page == "cp866" else "жанна"
        assert decide(mark, count(np.frombuffer(text.encode(page), np.uint8))) == page
