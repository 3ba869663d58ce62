"""A parcel of DBF files becomes typed tables and findings, or nothing at all."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from oms_batch.errors import Fault, Refusal, SetupError
from oms_batch.formats import dbf_layout
from oms_batch.formats.dbf_gate import Column
from oms_batch.formats.dbf_parcel import read_members
from oms_batch.formats.reading import ReadLimits, ReadResult
from tests import dbf_files
from tests.dbf_files import patch, small, table

FIELDS = [
    Column("SN", "C", 12), Column("FAM", "C", 20), Column("DR", "D", 8), Column("SUMM", "N", 14, 2),
    Column("KOL", "N", 6, 2), Column("K_U", "N", 3), Column("COD", "N", 6), Column("POL", "C", 1),
    Column("ZNAK", "L", 1), Column("D_C", "C", 10), Column("PR", "C", 3),
]  # fmt: skip
LAYOUT = """# origin: invented
field;kind;size;decimals;mark;type;table;column;values;note
SN;C;12;;О;code;p;sn;;
FAM;C;20;;О;text;p;fam;;
DR;D;;;О;date;p;dr;;
SUMM;N;14;2;О;money;p;summ;;
KOL;N;6;2;Н;quantity;p;kol;0..100;
K_U;N;3;;Н;int;p;k_u;1..;
COD;N;6;;Н;code;p;cod;;
POL;C;1;;Н;code;p;pol;М|Ж;
ZNAK;L;1;;Н;code;p;znak;;
D_C;C;10;;Н;date;p;d_c;;
PR;C;3;;Н;text;;;;known, not read
"""
ROWS: list[list[str | None]] = [
    ["0001", "Иванов", "1980-01-31", "1234.50", "1.5", "2", "123", "М", "T", "01.02.2018", "x"],
    ["0002", "ЁЛКИНА-Смит", "2018-02-28", "0.00", None, None, None, "Ж", "F", "2018-02-01", None],
    ["0003", "О'Нил № 5", "1999-12-31", "1000000000.00", "99.99", "999", "999999", None, None, None, None],
]
GOOD = table(FIELDS, ROWS)
LONGER = table(FIELDS, ROWS * 10)


def read(
    folder: Path, members: Mapping[str, bytes], layouts: Mapping[str, str] | None = None, **options: Any
) -> tuple[duckdb.DuckDBPyConnection, ReadResult]:
    con = duckdb.connect(":memory:", config={"threads": 1})
    how = {key: options.pop(key) for key in ("workers", "limits") if key in options}
    profile = dbf_files.profile(folder, layouts or {"P": LAYOUT}, **options)
    streams = {role: io.BytesIO(data) for role, data in members.items()}
    names = {role: role for role in (layouts or {"P": LAYOUT})}
    return con, read_members(streams, names, profile, con, **how)


def findings(con: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    return con.execute("SELECT rule, unit, n, element, value, line FROM findings ORDER BY ALL").fetchall()


def code_of(folder: Path, data: bytes, **options: Any) -> str:
    con = duckdb.connect(":memory:")
    with pytest.raises(Refusal) as caught:
        read_members({"P": io.BytesIO(data)}, {"P": "P"}, dbf_files.profile(folder, {"P": LAYOUT}, **options), con)
    assert con.execute("SELECT count(*) FROM duckdb_tables()").fetchone() == (0,), "a refusal leaves nothing"
    return caught.value.code


@pytest.mark.parametrize("page", ["cp866", "cp1251"])
def test_records_become_typed_rows(tmp_path: Path, page: str) -> None:
    con, result = read(tmp_path, {"P": table(FIELDS, ROWS, page)})
    rows = con.execute("SELECT * FROM p ORDER BY n").fetchall()
    assert rows == [
        (1, None, None, 1, "0001", "Иванов", date(1980, 1, 31), 123450, Decimal("1.50"), 2, "123", "М", "T",
         date(2018, 2, 1)),
        (2, None, None, 2, "0002", "ЁЛКИНА-Смит", date(2018, 2, 28), 0, None, None, None, "Ж", "F", date(2018, 2, 1)),
        (3, None, None, 3, "0003", "О'Нил № 5", date(1999, 12, 31), 10**11, Decimal("99.99"), 999, "999999", None,
         None, None),
    ]  # fmt: skip
    assert findings(con) == []
    assert (result.encoding, result.rows, result.findings) == (page, {"p": 3}, 0)
    assert result.size == len(table(FIELDS, ROWS, page)) - 1


MISSING, WRONG, LONG, LISTED, RANGE = "S.00.0010", "S.00.0030", "S.00.0040", "S.00.0070", "S.00.0080"


def unspoiled(folder: Path, field: str) -> list[tuple[Any, ...]]:
    """All rows of the table without the one value."""
    con, _ = read(folder, {"P": LONGER})
    return con.execute(f"SELECT * REPLACE (CASE WHEN n <> 2 THEN {field} END AS {field}) FROM p ORDER BY n").fetchall()


@pytest.mark.parametrize(
    ("field", "raw", "rule"),
    [
        ("SN", b" " * 12, MISSING),
        ("SN", b"\0" * 12, MISSING),
        ("SN", b" 001        ", WRONG),  # a blank before a code
        ("SN", b"00\x0901      ".ljust(12), WRONG),
        ("FAM", b" " * 20, MISSING),
        ("FAM", b"\x88\x82\x80\x0d".ljust(20), WRONG),  # a control character
        ("FAM", b"\x88\x82\x80\0\x80".ljust(20), WRONG),  # a zero inside
        ("FAM", "ИВАНОВ".encode("cp1251").ljust(20), WRONG),  # one record in the other code page
        ("FAM", b"\x7fA".ljust(20), WRONG),
        ("DR", b"20261399", WRONG),
        ("DR", b"00000000", WRONG),
        ("DR", b"20260229", WRONG),
        ("DR", b"20190431", WRONG),
        ("DR", b"2018 101", WRONG),
        ("DR", b"2018-1-1", WRONG),
        ("DR", b"1980131 ", WRONG),
        ("DR", b"10260101", RANGE),
        ("DR", b"18991231", RANGE),
        ("DR", b"22000101", RANGE),
        ("DR", b" " * 8, MISSING),
        ("DR", b"\0" * 8, MISSING),
        ("SUMM", b"*" * 14, WRONG),
        ("SUMM", b"nan".rjust(14), WRONG),
        ("SUMM", b"inf".rjust(14), WRONG),
        ("SUMM", b"1e5".rjust(14), WRONG),
        ("SUMM", b"1,5".rjust(14), WRONG),
        ("SUMM", b"1 000.00".rjust(14), WRONG),
        ("SUMM", b"1.234".rjust(14), WRONG),
        ("SUMM", b"1.2.3".rjust(14), WRONG),
        ("SUMM", b"+5.00".rjust(14), WRONG),
        ("SUMM", b"5.".rjust(14), WRONG),
        ("SUMM", b".".rjust(14), WRONG),
        ("SUMM", b"1_000.00".rjust(14), WRONG),
        ("SUMM", b"\xf95.00".rjust(14), WRONG),
        ("SUMM", b"1\0002.50".rjust(14), WRONG),
        ("SUMM", b"0x10".rjust(14), WRONG),
        ("SUMM", b"-0.01".rjust(14), RANGE),
        ("SUMM", b"1000000000.01".rjust(14), RANGE),
        ("SUMM", b" " * 14, MISSING),
        ("KOL", b"100.01", RANGE),
        ("KOL", b" -1.00", RANGE),
        ("KOL", b"1.005 ", WRONG),
        ("K_U", b"  0", RANGE),
        ("K_U", b"1.5", WRONG),
        ("COD", b"  12-3", WRONG),
        ("COD", b"******", WRONG),
        ("COD", b"  12\x803", WRONG),
        ("POL", b"\x8d", LISTED),
        ("ZNAK", b"X", WRONG),
        ("D_C", b"31.02.2018", WRONG),
        ("D_C", b"2018.02.01", WRONG),
        ("D_C", b"01.02.1018", RANGE),
    ],
)
def test_a_wrong_value_is_told_by_its_row(tmp_path: Path, field: str, raw: bytes, rule: str) -> None:
    """E.4, lines 82 to 85: the row is told, the other rows and columns stay as they are."""
    con, result = read(tmp_path, {"P": patch(LONGER, 2, field, raw)})
    shown = raw.decode("cp866").strip(" \0")
    assert findings(con) == [(rule, "p", 2, field, shown, 2)]
    assert result.findings == 1
    good, _ = read(tmp_path, {"P": LONGER})
    for column in ("sn", "fam", "dr", "summ", "kol", "k_u", "cod", "pol", "znak", "d_c"):
        where = "" if column != field.lower() else " WHERE n <> 2"
        assert (
            con.execute(f"SELECT n, {column} FROM p{where}").fetchall()
            == good.execute(f"SELECT n, {column} FROM p{where}").fetchall()
        )
    if rule == WRONG and field not in ("SN", "FAM", "COD"):  # of text what is readable stays
        assert con.execute(f"SELECT {field} FROM p WHERE n = 2").fetchall() == [(None,)]
    row = con.execute("SELECT run_pass, severity, z_sl_n, pers_n, refuses FROM findings").fetchone()
    assert row == ("structure", "reject", None, None, "account")


@pytest.mark.parametrize(
    ("field", "raw", "value"),
    [
        ("SUMM", b"12.50         ", 1250),
        ("SUMM", b"12".rjust(14), 1200),
        ("SUMM", b"12.5".rjust(14), 1250),
        ("SUMM", b".50".rjust(14), 50),
        ("SUMM", b"00000000012.50", 1250),
        ("SUMM", b"\0" * 9 + b"12.50", 1250),
        ("KOL", b"  7   ", Decimal("7.00")),
        ("K_U", b"7  ", 7),
        ("K_U", b"007", 7),
        ("COD", b"007   ", "007"),
        ("COD", b"000123", "000123"),
        ("ZNAK", b"?", None),
        ("ZNAK", b"y", "T"),
        ("SN", b"16E5        ", "16E5"),
        ("FAM", b"\x88\x82\x80\0\0".ljust(20, b"\0"), "ИВА"),
    ],
)
def test_other_ways_to_write_the_same_are_read(tmp_path: Path, field: str, raw: bytes, value: object) -> None:
    con, _ = read(tmp_path, {"P": patch(GOOD, 2, field, raw)})
    assert con.execute(f"SELECT {field} FROM p WHERE n = 2").fetchone() == (value,)
    assert findings(con) == []


def test_a_comma_is_read_where_the_layout_says_so(tmp_path: Path) -> None:
    said = LAYOUT.replace("money;p;summ;;", "money;p;summ;comma;")
    con, _ = read(tmp_path, {"P": patch(GOOD, 2, "SUMM", b"1,5".rjust(14))}, {"P": said})
    assert con.execute("SELECT summ FROM p WHERE n = 2").fetchone() == (150,)


def test_zero_is_no_sum_where_the_layout_says_so(tmp_path: Path) -> None:
    said = LAYOUT.replace("money;p;summ;;", "money;p;summ;0.01..5000;")
    con, _ = read(tmp_path, {"P": GOOD}, {"P": said})
    assert [(one[0], one[2]) for one in findings(con)] == [(RANGE, 2), (RANGE, 3)]


def test_columns_in_any_order_and_more_of_them(tmp_path: Path) -> None:
    """E.4, line 80: reordered is right, extra is a warning, missing or of another kind is refused."""
    turned = [*reversed(FIELDS)]
    con, _ = read(tmp_path, {"P": table(turned, [[*reversed(row)] for row in ROWS])})
    good, _ = read(tmp_path, {"P": GOOD})
    everything = "SELECT * FROM p ORDER BY n"
    assert con.execute(everything).fetchall() == good.execute(everything).fetchall()
    more = table([*FIELDS, Column("COMM", "C", 5)], [[*row, "y"] for row in ROWS])
    con, result = read(tmp_path, {"P": more})
    assert con.execute("SELECT rule, severity, unit, element, refuses FROM findings").fetchall() == [
        ("S.00.0090", "warn", "register", "COMM", "register")
    ]
    assert (result.findings, result.rows["p"]) == (1, 3)
    for at, one in enumerate(FIELDS):
        less = [row[:at] + row[at + 1 :] for row in ROWS]
        assert code_of(tmp_path, table(FIELDS[:at] + FIELDS[at + 1 :], less)) == "DBF_STRUCT", one.name
    other = [Column("SN", "N", 12), *FIELDS[1:]]
    assert code_of(tmp_path, table(other, ROWS)) == "DBF_STRUCT"


def test_widths_may_differ_but_values_must_fit(tmp_path: Path) -> None:
    wide = [Column("SN", "C", 20), Column("FAM", "C", 40), *FIELDS[2:]]
    rows = [["1" * 13, *ROWS[0][1:]], [ROWS[1][0], "Я" * 21, *ROWS[1][2:]], ["1" * 12, "Я" * 20, *ROWS[2][2:]]]
    con, _ = read(tmp_path, {"P": table(wide, rows)})
    assert [(one[0], one[2], one[3]) for one in findings(con)] == [(LONG, 1, "SN"), (LONG, 2, "FAM")]
    narrow = [Column("SN", "C", 4), *FIELDS[1:]]
    assert findings(read(tmp_path, {"P": table(narrow, ROWS)})[0]) == []
    number = [*FIELDS[:4], Column("KOL", "N", 12, 3), Column("K_U", "N", 12), *FIELDS[6:]]
    rows = [
        [*ROWS[0][:4], "12345.5", "1234567890", *ROWS[0][6:]],
        *([*row[:4], "1", "1", *row[6:]] for row in ROWS[1:]),
    ]
    con, _ = read(tmp_path, {"P": table(number, rows)})
    assert [(one[0], one[3]) for one in findings(con) if one[2] == 1] == [(WRONG, "KOL"), (LONG, "K_U")]


def test_deleted_records_are_refused_or_left_out_as_the_profile_says(tmp_path: Path) -> None:
    head, wide = int.from_bytes(GOOD[8:10], "little"), int.from_bytes(GOOD[10:12], "little")
    marked = GOOD[: head + wide] + b"*" + GOOD[head + wide + 1 :]
    assert code_of(tmp_path, marked) == "DBF_DELETED"
    con, _ = read(tmp_path, {"P": marked}, deleted="skip")
    assert con.execute("SELECT n, line, sn FROM p ORDER BY n").fetchall() == [(1, 1, "0001"), (2, 3, "0003")]
    for flag in (b"\x1a", b"X", b"\0"):
        for option in ("skip", "refuse"):
            assert (
                code_of(tmp_path, marked[: head + wide] + flag + marked[head + wide + 1 :], deleted=option)
                == "DBF_FLAG"
            )
    with pytest.raises(SetupError):
        read(tmp_path, {"P": GOOD}, deleted="maybe")


def test_no_records_is_a_zero_register_or_refused_as_the_profile_says(tmp_path: Path) -> None:
    nothing = table(FIELDS, [])
    con, result = read(tmp_path, {"P": nothing})
    assert (con.execute("SELECT count(*) FROM p").fetchone(), result.rows) == ((0,), {"p": 0})
    assert code_of(tmp_path, nothing, empty="refuse") == "DBF_COUNT"
    assert code_of(tmp_path, nothing, empty=["P"]) == "DBF_COUNT"
    read(tmp_path, {"P": nothing}, empty=["S"])


def test_members_go_into_their_tables_and_absent_ones_leave_them_empty(tmp_path: Path) -> None:
    other = "field;kind;size;decimals;mark;type;table;column;values;note\nUID;C;5;;О;code;u;uid;;\n"
    other += "UID;C;5;;О;text;u_text;uid;;\n"
    more = table([Column("UID", "C", 5)], [["1"], ["22"]])
    con, result = read(tmp_path, {"P": GOOD, "U": more}, {"P": LAYOUT, "U": other})
    assert result.rows == {"p": 3, "u": 2, "u_text": 2}
    assert con.execute("SELECT n, line, uid FROM u").fetchall() == [(1, 1, "1"), (2, 2, "22")]
    con, result = read(tmp_path, {"U": more}, {"P": LAYOUT, "U": other})
    assert result.rows == {"p": 0, "u": 2, "u_text": 2}
    assert con.execute("SELECT * FROM spot").fetchall() == []
    wide = patch(GOOD, 1, "DR", b"20180230")
    con, _ = read(tmp_path, {"P": GOOD, "Q": wide}, {"P": LAYOUT, "Q": LAYOUT})
    assert [one[:3] for one in findings(con)] == [(WRONG, "p", 4)]
    assert con.execute("SELECT n, line FROM p WHERE n > 3").fetchall() == [(4, 1), (5, 2), (6, 3)]


def test_a_bad_member_takes_all_with_it(tmp_path: Path) -> None:
    con = duckdb.connect(":memory:")
    con.execute("CREATE TABLE mine (a INT)")
    profile = dbf_files.profile(tmp_path, {"P": LAYOUT, "Q": LAYOUT})
    streams = {"P": io.BytesIO(GOOD), "Q": io.BytesIO(GOOD[:-5])}
    with pytest.raises(Refusal):
        read_members(streams, {"P": "P", "Q": "Q"}, profile, con)
    assert con.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("mine",)]
    with pytest.raises(Fault):
        read_members(streams, {"P": "P"}, profile, con)


def test_letters_decide_the_code_page_wherever_they_stand(tmp_path: Path) -> None:
    """E.4, line 81: absent, unknown or lying marks; letters far behind the beginning; both pages in one file."""
    for page in ("cp866", "cp1251"):
        for mark in (0, 0x7D, 0x26, 0x65, 0xC9, 0x57):
            data = bytearray(table(FIELDS, ROWS, page))
            data[29] = mark
            con, result = read(tmp_path, {"P": bytes(data)})
            assert result.encoding == page
            assert con.execute("SELECT fam FROM p WHERE n = 1").fetchone() == ("Иванов",)
    row = ["1", "LATIN", *ROWS[1][2:7], None, *ROWS[1][8:]]
    late = bytearray(table(FIELDS, [*[row] * 30_000, ROWS[0]], "cp1251"))
    late[29] = 0
    con, result = read(tmp_path, {"P": bytes(late)})
    assert (result.encoding, con.execute("SELECT fam FROM p WHERE n = 30001").fetchone()) == ("cp1251", ("Иванов",))
    half = table(FIELDS, ROWS * 10)
    both = half[:-1] + table(FIELDS, ROWS * 10, "cp1251")[int.from_bytes(half[8:10], "little") :]
    both = both[:4] + (60).to_bytes(4, "little") + both[8:]
    assert code_of(tmp_path, both) == "DBF_CODEPAGE"
    doubtful = table([Column("FAM", "C", 20)], [["рст"]])  # the same bytes are letters in both
    with pytest.raises(Refusal) as caught:
        read(tmp_path, {"P": doubtful[:29] + b"\0" + doubtful[30:]})
    assert caught.value.code == "DBF_CODEPAGE"


def test_a_file_that_changes_its_code_page_late_is_refused(tmp_path: Path) -> None:
    first, second = table(FIELDS, ROWS * 400), table(FIELDS, ROWS * 8000, "cp1251")
    head = int.from_bytes(first[8:10], "little")
    both = first[:4] + (3 * 8400).to_bytes(4, "little") + first[8:-1] + second[head:]
    assert code_of(tmp_path, both) == "DBF_CODEPAGE"


@pytest.mark.parametrize("piece", [1, 400, 10_000])
@pytest.mark.parametrize("workers", [1, 3])
def test_any_pieces_and_workers_give_the_same(tmp_path: Path, piece: int, workers: int) -> None:
    data = patch(small(60), 57, "DR", b"00000000")
    layout = {"P": dbf_files.layout_csv()}
    whole, _ = read(tmp_path, {"P": data}, layout)
    cut, _ = read(tmp_path, {"P": data}, layout, workers=workers, limits=ReadLimits(piece=piece))
    everything = "SELECT * FROM raw ORDER BY n"
    assert cut.execute(everything).fetchall() == whole.execute(everything).fetchall()
    assert findings(cut) == findings(whole) == [(WRONG, "raw", 57, "DR", "00000000", 57)]


@pytest.mark.parametrize(
    "line",
    [
        "SN;C;12;;О;date;p;sn;;", "SN;X;12;;О;code;p;sn;;", "SN;C;0;;О;code;p;sn;;", "sn;C;12;;О;code;p;sn;;",
        "SN;C;12;;Q;code;p;sn;;", "SN;C;12;;О;wrong;p;sn;;", "SN;C;12;;О;code;p;n;;", "SN;C;12;;О;code;P;sn;;",
        "SN;N;21;;О;code;p;sn;;", "SN;N;5;5;О;money;p;sn;;", "SN;N;12;;О;int;p;sn;;", "SN;D;9;;О;date;p;sn;;",
        "SN;C;12;;О;code;p;;;", "SN;C;12;;О;code;p;sn;1..2|3;", "FAM;C;12;;О;code;p;sn;;", "FAM;C;20;;О;text;;;;",
        "SN;C;12;;О;code;p;fam;;",
    ],
)  # fmt: skip
def test_a_wrong_line_of_a_layout_is_named(tmp_path: Path, line: str) -> None:
    text = LAYOUT.replace("SN;C;12;;О;code;p;sn;;", line)
    with pytest.raises(SetupError) as caught:
        dbf_layout.load_dbf_layout(dbf_files.profile(tmp_path, {"P": text}).rules, "tst", "P")
    assert "P.csv" in str(caught.value)


def test_layouts_are_described_together(tmp_path: Path) -> None:
    more = "field;kind;size;decimals;mark;type;table;column;values;note\nSN;C;12;;Н;code;p;sn;;\n"
    more += "X;N;5;1;Н;quantity;p;x;;\n"
    rules = dbf_files.profile(tmp_path, {"P": LAYOUT, "P2": more, "index": "id;file\n1;P\n"}).rules
    described = dbf_layout.describe(rules, "tst")
    assert [*described["p"]][:5] == ["n", "up_n", "z_sl_n", "line", "sn"]
    assert described["p"]["x"] == "DECIMAL(5,1)" and described["p"]["summ"] == "BIGINT"
    assert dbf_layout.described(rules, "tst")["p"]["sn"] == ("code", False)
    assert dbf_layout.described(rules, "tst")["p"]["fam"] == ("text", True)
    clash = more.replace("X;N;5;1;Н;quantity;p;x", "SUMM;C;5;;Н;code;p;summ")
    with pytest.raises(SetupError):
        dbf_layout.describe(dbf_files.profile(tmp_path / "b", {"P": LAYOUT, "P2": clash}).rules, "tst")
