"""Reference books in DBF, with memo fields and of FoxPro: read whole and right, or refused."""

from __future__ import annotations

import io
import os
import struct
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oms_batch.errors import Refusal
from oms_batch.formats.dbf_book import read_book
from oms_batch.formats.dbf_gate import check
from tests.dbf_files import patch, small

SAMPLES = Path(os.environ.get("OMS_REFERENCE_DATA", "")) / "samples" / "dbf"
needs_samples = pytest.mark.skipif(
    not os.environ.get("OMS_REFERENCE_DATA") or not SAMPLES.is_dir(), reason="OMS_REFERENCE_DATA is not there"
)


def built(version: int, fields: list[tuple[str, str, int, int]], rows: list[bytes], mark: int = 0x65) -> bytes:
    """A table of any version and types; rows are bytes with their flag."""
    behind = 263 if version in (0x30, 0x31, 0x32) else 0
    size, wide = 33 + 32 * len(fields) + behind, 1 + sum(one[2] for one in fields)
    head = bytearray(struct.pack("<B3BLHH20x", version, 18, 1, 1, len(rows), size, wide))
    head[29] = mark
    head[28] = 2 * (behind > 0 and any(one[1] in "MGP" for one in fields))
    for name, kind, width, decimals in fields:
        head += struct.pack("<11sc4xBB14x", name.encode(), kind.encode(), width, decimals)
    assert all(len(row) == wide for row in rows)
    return bytes(head) + b"\r" + bytes(behind) + b"".join(rows) + b"\x1a"


def book(data: bytes, memo: bytes | None = None, **options: Any) -> list[dict[str, Any]]:
    return list(read_book(io.BytesIO(data), None if memo is None else io.BytesIO(memo), **options))


def code_of(data: bytes, memo: bytes | None = None, **options: Any) -> str:
    with pytest.raises(Refusal) as caught:
        book(data, memo, **options)
    return caught.value.code


BINARY = [("N", "I", 4, 0), ("T", "T", 8, 0), ("Y", "Y", 8, 4), ("B", "B", 8, 2), ("C", "C", 6, 0), ("L", "L", 1, 0)]


def test_the_types_of_foxpro() -> None:
    stamp = struct.pack("<LL", date(2018, 9, 1).toordinal() + 1_721_425, 45_000_000)
    row = b" " + struct.pack("<i", -5) + stamp + struct.pack("<q", 12_345_678) + struct.pack("<d", 0.1)
    data = built(0x30, BINARY, [row + "ДОМ".encode("cp866").ljust(6) + b"T", row + b"      ?"])
    first, second = book(data)
    assert first == {
        "N": -5, "T": datetime(2018, 9, 1, 12, 30), "Y": Decimal("1234.5678"), "B": Decimal("0.1"), "C": "ДОМ",
        "L": True,
    }  # fmt: skip
    assert isinstance(first["B"], Decimal)
    assert (second["C"], second["L"]) == ("", None)
    assert code_of(data[:-50]) == "DBF_SIZE"


def fpt(*memos: bytes, block: int = 64) -> tuple[bytes, list[int]]:
    """A memo file of FoxPro, and the numbers of its memos."""
    data, numbers = bytearray(struct.pack(">LHH504x", 8, 0, block)), []
    for text in memos:
        numbers.append(len(data) // block)
        data += struct.pack(">LL", 1, len(text)) + text
        data += bytes(-len(data) % block)
    return bytes(data), numbers


MEMO = [("A", "C", 5, 0), ("M", "M", 4, 0)]
LETTERS = "УРОКИ".encode("cp866")


def with_memo(*numbers: int) -> bytes:
    return built(0x30, MEMO, [b" " + LETTERS + struct.pack("<L", number) for number in numbers])


def test_memos_of_foxpro() -> None:
    memo, numbers = fpt("первый".encode("cp866"), b"x" * 1000)
    assert book(with_memo(numbers[0], 0, numbers[1]), memo) == [
        {"A": "УРОКИ", "M": "первый"}, {"A": "УРОКИ", "M": None}, {"A": "УРОКИ", "M": "x" * 1000}
    ]  # fmt: skip


def test_memos_of_dbase() -> None:
    fields = [("A", "C", 5, 0), ("M", "M", 10, 0)]
    rows = [b" " + LETTERS + number.encode().rjust(10) for number in ("1", "", "3")]
    dbt3 = bytes(512) + ("первый".encode("cp866") + b"\x1a\x1a").ljust(1024, b"\0") + b"y" * 700 + b"\x1a\x1a"
    expected = [{"A": "УРОКИ", "M": "первый"}, {"A": "УРОКИ", "M": None}, {"A": "УРОКИ", "M": "y" * 700}]
    assert book(built(0x83, fields, rows), dbt3) == expected
    assert code_of(built(0x83, fields, rows), dbt3[:-2]) == "DBF_MEMO"
    dbt4 = bytes(512)
    for text in ("первый".encode("cp866"), b"y" * 700):
        dbt4 += (b"\xff\xff\x08\0" + struct.pack("<L", len(text) + 8) + text).ljust(1024, b"z")
    assert book(built(0x8B, fields, rows), dbt4) == expected
    assert code_of(built(0x8B, fields, rows), dbt4[:-400]) == "DBF_MEMO"
    assert code_of(built(0x8B, fields, [b" " + LETTERS + b"x".rjust(10)]), dbt4) == "DBF_VALUE"
    assert code_of(built(0x8B, fields, [b" " + LETTERS + b"2".rjust(10)]), dbt4) == "DBF_MEMO"


def test_a_memo_that_is_not_there_is_refused() -> None:
    """E.4, line 79: no memo file, a damaged one, a number that points outside, a length that reaches outside."""
    memo, numbers = fpt(b"one", b"two")
    good = with_memo(*numbers)
    assert len(book(good, memo)) == 2
    assert code_of(good) == "DBF_MEMO"
    assert code_of(good, b"") == code_of(good, memo[:511]) == "DBF_MEMO"
    for number in (1, 7, numbers[1] + 1, 10**6, 2**32 - 1):
        assert code_of(with_memo(number), memo) == "DBF_MEMO", number
    assert code_of(good, memo[:6] + b"\0\0" + memo[8:]) == "DBF_MEMO"
    long = memo[: 512 + 4] + struct.pack(">L", len(memo)) + memo[512 + 8 :]
    assert code_of(good, long) == "DBF_MEMO"
    odd = memo[:512] + struct.pack(">L", 77) + memo[512 + 4 :]
    assert code_of(good, odd) == "DBF_MEMO"
    assert code_of(with_memo(*numbers)[:-1] + b"z", memo) == "DBF_SIZE"


def test_a_table_that_says_it_has_memos_has_some() -> None:
    plain = built(0x30, [("A", "C", 5, 0)], [])
    assert book(plain) == []
    assert code_of(plain[:28] + b"\2" + plain[29:], b"") == "DBF_MEMO"
    assert code_of(built(0x83, [("A", "C", 5, 0)], []), b"") == "DBF_MEMO"


def test_a_register_never_asks_for_a_memo() -> None:
    for data in (with_memo(8), built(0x83, [("A", "C", 5, 0)], []), built(0x8B, [("A", "C", 5, 0)], [])):
        with pytest.raises(Refusal) as caught:
            check(io.BytesIO(data))
        assert caught.value.code == "DBF_MEMO"


@pytest.mark.parametrize(
    ("field", "raw"),
    [
        ("DR", b"NotAYear"), ("DR", b"20180230"), ("DR", b"00000000"), ("DR", b"2018 1 1"), ("S_ALL", b"*" * 11),
        ("S_ALL", b"1e5".rjust(11)), ("S_ALL", b"nan".rjust(11)), ("S_ALL", b"1,5".rjust(11)),
        ("PRIK", b"1 2 3 "), ("PRIK", b"  12-1"),
    ],
)  # fmt: skip
def test_a_value_that_is_none_of_its_type_is_refused(field: str, raw: bytes) -> None:
    assert code_of(patch(small(5), 2, field, raw)) == "DBF_VALUE"


def test_plain_tables_are_books_too() -> None:
    rows = book(small(5))
    assert (rows[4]["RECID"], rows[4]["KUR"], rows[4]["PRIK"]) == ("0000004", Decimal("1.000"), 1004)
    assert isinstance(rows[0]["DR"], date) and rows[0]["COMMENT"] == ""


def test_a_null_of_foxpro_is_not_read_as_zero() -> None:
    fields = [("N", "I", 4, 0), ("_NullFlags", "0", 1, 0)]
    row = b" " + struct.pack("<i", 7)
    assert book(built(0x30, fields, [row + b"\0"])) == [{"N": 7}]
    assert code_of(built(0x30, fields, [row + b"\1"])) == "DBF_VALUE"


@needs_samples
def test_samples_of_dbfread_and_of_an_insurer() -> None:
    people = (SAMPLES / "people.dbf").read_bytes()
    assert code_of(people) == "DBF_DELETED"
    expected = [{"NAME": "Alice", "BIRTHDATE": date(1987, 3, 1)}, {"NAME": "Bob", "BIRTHDATE": date(1980, 11, 12)}]
    assert book(people, skip_deleted=True) == expected
    table, memo = (SAMPLES / "memotest.dbf").read_bytes(), (SAMPLES / "memotest.FPT").read_bytes()
    rows = book(table, memo, skip_deleted=True)
    assert rows == [{**expected[0], "MEMO": "Alice memo"}, {**expected[1], "MEMO": "Bob memo"}]
    assert code_of(table, skip_deleted=True) == "DBF_MEMO"
    assert code_of((SAMPLES / "invalid_value.dbf").read_bytes(), skip_deleted=True) == "DBF_VALUE"
    structure = (SAMPLES / "kms_structure_only.dbf").read_bytes()
    found = check(io.BytesIO(structure), book=True)
    assert (found.records, len(found.columns), found.encoding, found.record) == (0, 127, "cp1251", 1940)
    assert book(structure) == []


@needs_samples
@pytest.mark.parametrize("name", ["people.dbf", "memotest.dbf", "kms_structure_only.dbf"])
def test_no_header_byte_of_a_sample_can_lie_unseen(name: str) -> None:
    """Every byte of the header, changed in two ways: refused, or the same rows."""
    data = (SAMPLES / name).read_bytes()
    memo = (SAMPLES / "memotest.FPT").read_bytes()
    good = book(data, memo, skip_deleted=True)
    names = {one.name for one in check(io.BytesIO(data), book=True).columns}
    for at in range(min(len(data), 300)):
        for new in (data[at] ^ 1, (data[at] + 131) % 256):
            bad = data[:at] + bytes([new]) + data[at + 1 :]
            try:
                rows = book(bad, memo, skip_deleted=True)
                found = {one.name for one in check(io.BytesIO(bad), book=True).columns}
            except Refusal:
                continue
            values = [[*row.values()] for row in rows]
            same = values == [[*row.values()] for row in good]
            assert same or found != names or at >= int.from_bytes(data[8:10], "little"), at
