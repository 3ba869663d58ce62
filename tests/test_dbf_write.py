"""What we write: two other libraries read it alike, nothing is cut off, and a received file comes back as it was."""

from __future__ import annotations

import io
import random
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms_batch.errors import Fault, Refusal
from oms_batch.formats.dbf_gate import Column, check
from oms_batch.formats.dbf_write import pack, rewrite, write
from tests.dbf_files import FIELDS, WHEN, record, small, table
from tests.dbf_readers import agree, ours

PAGES = ("cp866", "cp1251")
Changes = dict[int, dict[str, Any]]


@pytest.mark.parametrize("page", PAGES)
def test_three_libraries_read_what_we_write_alike(page: str, tmp_path: Path) -> None:
    chance = random.Random(5)
    rows = [record(chance, n) for n in range(300)]
    fields = [*FIELDS, Column("ZNAK", "L", 1), Column("F", "F", 12, 3)]
    more = [[*row, chance.choice(["T", "F"]), f"{chance.randrange(-(10**6), 10**6)}.125"] for row in rows]
    data = table(fields, more, page)
    found = agree(data, page, tmp_path)
    assert [[*row.values()] for row in found] == [[value or "" for value in row] for row in more]
    assert check(io.BytesIO(data)).encoding == page
    assert data[0] == 3 and data[1:4] == bytes((18, 10, 1)) and data[-1:] == b"\x1a"


def test_no_records_at_all(tmp_path: Path) -> None:
    for page in PAGES:
        assert agree(table(FIELDS, [], page), page, tmp_path) == []


KINDS = [Column("T", "C", 9), Column("D", "D", 8), Column("N", "N", 7), Column("M", "N", 12, 2), Column("L", "L", 1)]
ALPHABET = [chr(one) for one in range(32, 127)] + [*"АБВЯабвяЁё№"]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(st.sampled_from(ALPHABET), max_size=9).map(lambda text: text.rstrip()),
            st.dates(date(1800, 1, 1)) | st.none(),
            st.integers(-999_999, 9_999_999) | st.none(),
            st.integers(-9_999_999_999, 99_999_999_999) | st.none(),
            st.sampled_from(["T", "F", None]),
        ),
        max_size=8,
    ),
    st.sampled_from(PAGES),
)
def test_any_values_come_back(rows: list[tuple[Any, ...]], page: str) -> None:
    out = io.BytesIO()
    dozen = ("МЕРА", None, None, None, None)  # letters enough to see the code page
    write(out, KINDS, [dozen] * 20 + rows, page, WHEN)
    expected = [
        {
            "T": row[0],
            "D": row[1].isoformat() if row[1] else "",
            "N": "" if row[2] is None else str(row[2]),
            "M": "" if row[3] is None else f"{Decimal(row[3]) / 100:.2f}",
            "L": row[4] or "",
        }
        for row in rows
    ]
    assert ours(out.getvalue())[20:] == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (Column("A", "C", 3), "ЯЯЯЯ"),
        (Column("A", "C", 3), "Ә"),
        (Column("A", "C", 3), "a\n"),
        (Column("A", "C", 3), "a\0"),
        (Column("A", "C", 3), 5),
        (Column("A", "N", 3), "1000"),
        (Column("A", "N", 3), "1.5"),
        (Column("A", "N", 3), "1e2"),
        (Column("A", "N", 3), "nan"),
        (Column("A", "N", 3), True),
        (Column("A", "N", 3), -100),
        (Column("A", "N", 3), 1.5),
        (Column("A", "N", 5, 2), 100_000),
        (Column("A", "N", 5, 2), "1.005"),
        (Column("A", "N", 5, 2), Decimal("0.001")),
        (Column("A", "N", 5, 2), Decimal("NaN")),
        (Column("A", "D", 8), "2018-02-30"),
        (Column("A", "D", 8), "20180228"),
        (Column("A", "D", 8), 20180228),
        (Column("A", "L", 1), "X"),
    ],
)
def test_what_does_not_fit_is_a_fault_without_the_value(field: Column, value: Any) -> None:
    for page in PAGES:
        with pytest.raises(Fault) as caught:
            write(io.BytesIO(), [field], [[value]], page, WHEN)
        assert str(caught.value).startswith("field A: ")
        assert str(value) not in str(caught.value)


def test_numbers_are_written_with_their_decimals() -> None:
    two = Column("A", "N", 8, 2)
    assert pack(two, 5, "cp866") == b"    0.05"
    assert pack(two, -123456, "cp866") == b"-1234.56"
    assert pack(two, "7", "cp866") == b"    7.00"
    assert pack(two, "7.500", "cp866") == b"    7.50"
    assert pack(two, Decimal("1E+2"), "cp866") == b"  100.00"
    assert pack(two, None, "cp866") == pack(two, "", "cp866") == b" " * 8


@pytest.mark.parametrize(
    "fields",
    [
        [], [Column("A", "C", 3), Column("A", "C", 3)], [Column("ДА", "C", 3)], [Column("ABCDEFGHIJK", "C", 3)],
        [Column("A", "D", 9)], [Column("A", "N", 21)], [Column("A", "N", 3, 3)], [Column("A", "M", 10)],
        [Column("A", "C", 0)], [Column(f"A{n}", "C", 250) for n in range(17)], [Column("a", "C", 1)],
    ],
)  # fmt: skip
def test_a_table_that_the_gate_would_refuse_is_not_written(fields: list[Column]) -> None:
    with pytest.raises(Fault):
        write(io.BytesIO(), fields, [], "cp866", WHEN)


class Pipe(io.RawIOBase):
    """Cannot go back."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += bytes(data)
        return len(data)


def test_with_a_count_nothing_is_written_twice() -> None:
    rows = [["a"], ["b"]]
    pipe: Any = Pipe()
    assert write(pipe, [Column("A", "C", 3)], rows, "cp866", WHEN, count=2) == 2
    assert pipe.data == table([Column("A", "C", 3)], rows)
    with pytest.raises(Fault):
        write(Pipe(), [Column("A", "C", 3)], rows, "cp866", WHEN, count=3)  # type: ignore[arg-type]


def test_record_batches_are_written_too() -> None:
    fields = [Column("SN", "C", 5), Column("SUMM", "N", 10, 2), Column("DR", "D", 8), Column("K", "N", 6, 2)]
    batch = pa.RecordBatch.from_pydict(
        {
            "k": pa.array([Decimal("1.50"), None]),
            "sn": ["1", None],
            "summ": [123450, None],
            "dr": [date(2018, 1, 2), None],
        }
    )
    out = io.BytesIO()
    assert write(out, fields, [batch, batch], "cp1251", WHEN) == 4
    rows = [
        {"SN": "1", "SUMM": "1234.50", "DR": "2018-01-02", "K": "1.50"},
        dict.fromkeys(("SN", "SUMM", "DR", "K"), ""),
    ]
    assert ours(out.getvalue()) == rows * 2
    with pytest.raises(Fault):
        write(io.BytesIO(), fields[1:], [batch], "cp1251", WHEN)


# --- a received file with marks


def again(data: bytes, changes: Any, keep: Any = None, more: Any = ()) -> bytes:
    pipe: Any = Pipe()
    rewrite(io.BytesIO(data), pipe, changes, keep, more)
    found: bytes = pipe.data
    return found


def foxpro(data: bytes, mark: int) -> bytes:
    """The same table as FoxPro keeps it: another version, 263 bytes behind the fields, any code page byte."""
    head = int.from_bytes(data[8:10], "little")
    new = bytearray(data[:head] + bytes(range(256)) + bytes(7) + data[head:])
    new[0], new[29] = 0x30, mark
    new[8:10] = (head + 263).to_bytes(2, "little")
    return bytes(new)


SOURCES = [small(30), small(30, "cp1251"), small(30)[:-1], foxpro(small(30), 0)]


@pytest.mark.parametrize("data", SOURCES)
def test_without_changes_it_is_the_same_file(data: bytes) -> None:
    assert again(data, {}) == data
    assert again(data, {}, range(1, 31)) == data


@pytest.mark.parametrize("data", SOURCES)
def test_only_what_is_named_changes(data: bytes, tmp_path: Path) -> None:
    known = check(io.BytesIO(data))
    changes: Changes = {3: {"FAM": "ЯБЛОКОВ", "S_ALL": "12.5", "D_U": "2018-09-09"}, 30: {"COMMENT": None, "KUR": 1500}}
    new = again(data, changes)
    assert len(new) == len(data)
    places = dict(zip((one.name for one in known.columns), zip(known.offsets, known.columns, strict=True), strict=True))
    free = set()
    for number, fields in changes.items():
        for name in fields:
            at, one = places[name]
            start = known.header + (number - 1) * known.record + at
            free |= set(range(start, start + one.size))
    assert all(one == other for place, (one, other) in enumerate(zip(data, new, strict=True)) if place not in free)
    expected = ours(data)
    expected[2] |= {"FAM": "ЯБЛОКОВ", "S_ALL": "12.50", "D_U": "2018-09-09"}
    expected[29] |= {"COMMENT": "", "KUR": "1.500"}
    assert ours(new) == expected
    if new[29]:
        assert agree(new, known.encoding, tmp_path) == expected


@pytest.mark.parametrize("data", SOURCES)
def test_records_are_left_out_and_counted(data: bytes) -> None:
    known = check(io.BytesIO(data))
    new = again(data, {2: {"FAM": "А"}, 4: {"FAM": "Б"}}, {30, 4, 1})
    record_of = [data[known.header + n * known.record :][: known.record] for n in range(30)]
    assert check(io.BytesIO(new)).records == 3
    assert new[: known.header] == data[:4] + (3).to_bytes(4, "little") + data[8 : known.header]
    body = new[known.header :]
    assert body[: known.record] == record_of[0] and body[2 * known.record : 3 * known.record] == record_of[29]
    assert [row["RECID"] for row in ours(new)] == ["0000000", "0000003", "0000029"]
    assert [row["FAM"] for row in ours(new)][1] == "Б"
    assert again(data, {}, [])[known.header :] == data[known.header + 30 * known.record :]


def test_fields_may_come_behind(tmp_path: Path) -> None:
    more = [Column("ER_C", "C", 3), Column("SUMP", "N", 10, 2)]
    for data in SOURCES:
        new = again(data, {2: {"ER_C": "H6A", "SUMP": 105}}, {1, 2}, more)
        expected = [row | {"ER_C": "", "SUMP": ""} for row in ours(data)[:2]]
        expected[1] |= {"ER_C": "H6A", "SUMP": "1.05"}
        assert ours(new) == expected
        if new[29]:
            assert agree(new, check(io.BytesIO(data)).encoding, tmp_path) == expected


@pytest.mark.parametrize(
    ("changes", "keep", "more"),
    [
        ({31: {"FAM": "А"}}, None, ()), ({0: {"FAM": "А"}}, None, ()), ({1: {"NO": "А"}}, None, ()),
        ({}, {0}, ()), ({}, {31}, ()), ({1: {"FAM": "Я" * 41}}, None, ()), ({1: {"FAM": "Ә"}}, None, ()),
        ({}, None, [Column("FAM", "C", 3)]), ({}, None, [Column("x y", "C", 3)]),
    ],
)  # fmt: skip
def test_changes_that_cannot_be_are_faults(changes: Any, keep: Any, more: Any) -> None:
    with pytest.raises(Fault):
        again(SOURCES[0], changes, keep, more)


def test_changes_may_come_one_by_one_in_order() -> None:
    data = small(6000)  # more than one block
    changes: Changes = {n: {"FAM": "А" * (n % 7), "PRIK": n} for n in range(1, 6001, 3)}
    assert again(data, iter(sorted(changes.items()))) == again(data, changes)
    wrongs: list[list[tuple[int, dict[str, Any]]]] = [
        [(2, {}), (1, {})], [(1, {}), (1, {})], [(9001, {})], [(5, {}), (0, {"FAM": "А"})],
    ]  # fmt: skip
    for wrong in wrongs:
        with pytest.raises(Fault):
            again(data, iter(wrong))


def test_a_damaged_file_is_not_written_back() -> None:
    with pytest.raises(Refusal):
        again(SOURCES[0][:-100], {})
