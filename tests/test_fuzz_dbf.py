"""Spoiled DBF files: refused with a known code, told by row, or read as their bytes say. Never other rows in silence.

The judge of a spoiled file is a reader of a few lines that knows the structure of the file before it was spoiled: what
a header says later can change nothing, and what changed in a value must show in that value, or be told.
"""

from __future__ import annotations

import io
import random
import re
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oms_batch.errors import Refusal
from oms_batch.formats import dbf_bulk
from oms_batch.formats.dbf_book import read_book
from oms_batch.formats.dbf_gate import check
from oms_batch.formats.dbf_layout import load_dbf_layout
from oms_batch.formats.dbf_write import rewrite
from oms_batch.ruledata import RuleData
from tests import dbf_files
from tests.oracle.size import times
from tests.oracle.watch import bounded, slim
from tests.test_dbf_book import LETTERS, MEMO, built, fpt, with_memo

pytestmark = pytest.mark.fuzz
CODES = set(RuleData().toml("common/problems.toml"))
SEEDS = range(4)
RECORDS = 50
TYPES = {one[0]: one[5] for one in dbf_files.ROWS}
MUST = {one[0] for one in dbf_files.ROWS if one[4] == "О"}


def spoiled(good: bytes, header: int, wide: int, chance: random.Random) -> bytes:
    """One of the ways in which files are damaged, or lie."""
    data = bytearray(good)
    way = chance.randrange(12)
    if way < 5:
        for _ in range(chance.choice((1, 1, 1, 4))):
            at = chance.choice((chance.randrange(32), chance.randrange(header), chance.randrange(len(data))))
            data[at] = chance.choice((chance.randrange(256), data[at] ^ (1 << chance.randrange(8)), 0, 0x20))
    elif way == 5:
        at = chance.randrange(len(data))
        data[at : at + chance.randrange(1, 60)] = b""
    elif way == 6:
        at = chance.randrange(len(data))
        data[at:at] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 60)))
    elif way == 7:
        del data[chance.randrange(len(data)) :]
    elif way == 8:
        start = header + chance.randrange(RECORDS) * wide
        data[start : start + wide * chance.randrange(1, 4)] = b""
    elif way == 9:
        at, size = chance.choice((4, 8, 10)), 2
        data[at : at + size] = chance.choice((0, 1, 2, 0xFFFF, chance.randrange(65_536))).to_bytes(size, "little")
    elif way == 10:
        data = bytearray(
            chance.choice((data.replace(b"\r", b"\r\n"), data.replace(b"\n", b"\r\n"), data.replace(b"\0", b"")))
        )
    else:
        one = chance.randrange(header, len(data))
        data[one : one + chance.randrange(1, 9)] = chance.choice(
            (b"*", b"\0", b"\x1a", b"\xb0", b"e5", b",", b"9", b"-")
        )
    return bytes(data)


def naive(data: bytes, header: int, page: str) -> list[dict[str, Any]]:
    """The records by the structure that the file had; a value that is none is ``Ellipsis``."""
    rows = []
    wide = 1 + sum(one.size for one in dbf_files.FIELDS)
    for n in range(RECORDS):
        at, row = header + n * wide + 1, {}
        for one in dbf_files.FIELDS:
            row[one.name] = _naive(data[at : at + one.size].decode(page, "replace"), TYPES[one.name], one.type)
            at += one.size
        rows.append(row)
    return rows


def _naive(text: str, type_: str, kind: str) -> Any:
    bare = text.rstrip(" \0") if kind == "C" else text.strip(" \0")
    if not bare:
        return None
    if type_ == "date":
        try:
            return date(int(bare[:4]), int(bare[4:6]), int(bare[6:])) if re.fullmatch("[0-9]{8}", bare) else ...
        except ValueError:
            return ...
    if type_ in ("text", "code"):
        return bare if kind == "C" or re.fullmatch("[0-9]+", bare) else ...
    if not re.fullmatch(r"-?([0-9]+(\.[0-9]+)?|\.[0-9]+)", bare):
        return ...
    number = Decimal(bare)
    if type_ == "money":
        return int(number * 100) if number * 100 == int(number * 100) else ...
    return (int(number) if "." not in bare else ...) if type_ == "int" else number


def layout(folder: Path) -> Any:
    rules = dbf_files.profile(folder, {"P": dbf_files.layout_csv()}).rules
    return load_dbf_layout(rules, "tst", "P")


def read(data: bytes, known: Any) -> tuple[list[dict[str, Any]], set[tuple[int, str]], list[str]]:
    stream = io.BytesIO(data)
    table = check(stream)
    wanted = dbf_bulk.plan(table, known)
    rows: list[dict[str, Any]] = []
    told: set[tuple[int, str]] = set()
    rules = []
    for batch in dbf_bulk.batches(stream, table, wanted, piece=10_000):
        base = len(rows)
        rows += batch.tables["raw"].to_pylist()
        for fault in batch.faults.to_pylist():
            told.add((base + fault["at"], fault["element"]))
            rules.append(fault["rule"])
    return rows, told, rules


def storm(good: bytes, known: Any, seed: int, count: int) -> Counter[str]:
    header, wide = int.from_bytes(good[8:10], "little"), int.from_bytes(good[10:12], "little")
    page = check(io.BytesIO(good)).encoding
    before = naive(good, header, page)
    chance, seen = random.Random(f"{page} {seed}"), Counter[str]()
    for number in range(count):
        data = spoiled(good, header, wide, chance)
        where = f"seed {seed}, mutation {number}"
        try:
            with bounded(where):
                rows, told, rules = read(data, known)
        except Refusal as refusal:
            seen[refusal.code] += 1
            continue
        assert len(rows) == RECORDS, where
        expected = naive(data, header, page)
        for n, (row, right) in enumerate(zip(rows, expected, strict=True)):
            for name, value in right.items():
                if (n, name) not in told:
                    assert value is not ..., (where, n, name)
                    assert row[name.lower()] == value, (where, n, name)
                    assert value is not None or name not in MUST, (where, n, name)
        seen["told" if told else "the same" if expected == before else "shown in a value"] += 1
        for rule in set(rules):
            seen[f"({rule})"] += 1
    return seen


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("page", ["cp866", "cp1251"])
def test_a_spoiled_table_is_refused_told_or_read_as_it_stands(page: str, seed: int, tmp_path: Path) -> None:
    good = dbf_files.small(RECORDS, page)
    known = layout(tmp_path)
    assert read(good, known)[1] == set()
    count = times(50, len(SEEDS) * 2)
    with slim():
        seen = storm(good, known, seed, count)
    print("dbf", page, seed, dict(seen.most_common()))
    codes = {one for one in seen if one.isupper() and not one.startswith("(")}
    many = {"DBF_RECLEN", "DBF_HDRLEN", "DBF_FLAG", "DBF_STRUCT", "DBF_FIELD"} if count > 1000 else set()
    assert {"DBF_SIZE", "DBF_COUNT"} | many <= codes <= CODES
    assert seen["the same"] and (count < 100 or (seen["told"] and seen["shown in a value"]))


def test_a_spoiled_file_is_written_back_as_it_is_or_not_at_all() -> None:
    good = dbf_files.small(RECORDS)
    header, wide = int.from_bytes(good[8:10], "little"), int.from_bytes(good[10:12], "little")
    chance, seen = random.Random(9), Counter[str]()
    for number in range(times(200)):
        data = spoiled(good, header, wide, chance)
        out = io.BytesIO()
        try:
            with bounded(f"mutation {number}"):
                rewrite(io.BytesIO(data), out, {})
        except Refusal as refusal:
            seen[refusal.code] += 1
            continue
        assert out.getvalue() == data
        seen["the same"] += 1
    assert seen["the same"] > 5


def test_a_spoiled_book_is_refused_or_read_as_it_stands() -> None:
    memo, numbers = fpt(*(f"memo {n}".encode() for n in range(20)))
    good = with_memo(*numbers)
    old = built(0x83, [("A", "C", 5, 0), ("M", "M", 10, 0)], [b" " + LETTERS + b"1".rjust(10)] * 20)
    assert [name for name, *_ in MEMO] == ["A", "M"]
    dbt = bytes(512) + b"one\x1a\x1a".ljust(512, b"\0")
    chance, seen = random.Random(11), Counter[str]()
    for number in range(times(200)):
        table, beside = (good, memo) if number % 2 else (old, dbt)
        header, wide = int.from_bytes(table[8:10], "little"), int.from_bytes(table[10:12], "little")
        right = list(read_book(io.BytesIO(table), io.BytesIO(beside)))
        only_header = number % 3 > 0
        data, memos = bytearray(table), bytearray(beside)
        if only_header:
            for _ in range(chance.choice((1, 1, 3))):
                data[chance.randrange(header)] = chance.randrange(256)
        elif number % 4:
            memos[chance.randrange(len(memos))] = chance.randrange(256)
        else:
            data = bytearray(spoiled(bytes(data), header, wide, chance))
        try:
            with bounded(f"mutation {number}"):
                rows = list(read_book(io.BytesIO(data), io.BytesIO(memos)))
        except Refusal as refusal:
            seen[refusal.code] += 1
            continue
        assert len(rows) == len(right), number
        renamed = [one.name for one in check(io.BytesIO(data), book=True).columns] != ["A", "M"]
        if only_header and not renamed:
            assert [[*row.values()] for row in rows] == [[*row.values()] for row in right], number
        seen["renamed" if renamed else "the same" if rows == right else "shown"] += 1
    print("book", dict(seen.most_common()))
    assert {"DBF_MEMO", "DBF_SIZE"} <= set(seen) and seen["the same"] > 5
