"""Reading documents of federal form: rows and sums, places, refusals, heads, the two ways of reading."""

from __future__ import annotations

import dataclasses
import io
import os
import subprocess
import sys
import time
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any

import duckdb
import pytest
from lxml import etree

from oms_batch.errors import Refusal
from oms_batch.exchange import Profile
from oms_batch.formats import elements, federal_fast, federal_rows, federal_xml
from oms_batch.formats.federal_head import head_problems
from oms_batch.formats.reading import ReadLimits, ReadResult
from oms_batch.intake import names
from tests.federal_documents import PROFILE, Account, Pair, documents

SIDES = {"main": "H:from_mo", "persons": "L:from_mo"}
ACCOUNTS = [Account(n, sums=(100 * n, 50), person=n % 3 + 1) for n in range(1, 8)]
PAIR = documents(ACCOUNTS)
SLOW = ReadLimits(fast=False)


def read(
    members: dict[str, bytes], con: duckdb.DuckDBPyConnection, limits: ReadLimits | None = None, kind: str = "H"
) -> ReadResult:
    layouts = {"main": f"{kind}:from_mo", "persons": "L:from_mo"}
    streams = {role: io.BytesIO(data) for role, data in members.items()}
    return federal_xml.read_members(streams, layouts, PROFILE, con, limits=limits)


def findings(con: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    return con.execute(
        "SELECT rule, unit, n, z_sl_n, pers_n, element, value, refuses, severity FROM findings ORDER BY ALL"
    ).fetchall()


def changed(old: str, new: str, data: bytes = PAIR.main, count: int = 1) -> bytes:
    before = old.encode("cp1251")
    assert before in data
    return data.replace(before, new.encode("cp1251"), count)


def refusal(data: bytes, limits: ReadLimits | None = None) -> str:
    con = duckdb.connect()
    with pytest.raises(Refusal) as caught:
        read({"main": data}, con, limits)
    assert con.execute("SELECT count(*) FROM duckdb_tables()").fetchall() == [(0,)], "a refused document left tables"
    return caught.value.code


def test_rows_and_sums() -> None:
    con = duckdb.connect()
    result = read({"main": PAIR.main, "persons": PAIR.persons}, con)
    assert (result.accounts, result.persons, result.findings, result.encoding) == (7, 3, 0, "windows-1251")
    assert result.size == len(PAIR.main) + len(PAIR.persons)
    assert result.rows == {
        "register": 1,
        "zap": 7,
        "z_sl": 7,
        "sl": 14,
        "usl": 14,
        "mr_usl_n": 14,
        "l_register": 1,
        "l_pers": 3,
    }
    total = sum(one.sumv for one in ACCOUNTS)
    assert con.execute("SELECT sum(sumv), count(DISTINCT digest) FROM z_sl").fetchall() == [(total, 7)]
    assert con.execute("SELECT sum(sum_m) FROM sl").fetchall() == [(total,)]
    row = con.execute("SELECT version, year, month, sd_z, summav, code_mo, nschet, coments FROM register").fetchone()
    assert row == ("3.2", 2026, 1, 7, total, "760001", "12-Я", "Кедр & Ко")
    assert con.execute("SELECT id_pac, fam, strftime(dr, '%d.%m.%Y') FROM l_pers WHERE n = 2").fetchall() == [
        ("P2", "Иванов", "03.01.1980")
    ]


def test_every_row_knows_its_parent_and_its_account() -> None:
    con = duckdb.connect()
    read({"main": PAIR.main}, con)
    lost = "SELECT count(*) FROM {kid} k LEFT JOIN {above} a ON a.n = k.up_n WHERE a.n IS NULL OR k.z_sl_n <> a.z_sl_n"
    for kid, above in (("sl", "z_sl"), ("usl", "sl"), ("mr_usl_n", "usl")):
        assert con.execute(lost.format(kid=kid, above=above)).fetchall() == [(0,)], kid
    assert con.execute("SELECT n, up_n, z_sl_n FROM z_sl ORDER BY n").fetchall() == [(n, n, n) for n in range(1, 8)]
    assert con.execute("SELECT up_n, count(*) FROM sl GROUP BY 1 HAVING count(*) <> 2").fetchall() == []
    assert con.execute("SELECT DISTINCT up_n, z_sl_n FROM zap").fetchall() == [(1, None)]


@pytest.mark.parametrize("kind", ["H", "C", "T", "DO"])
@pytest.mark.parametrize("indent", ["", "  ", "\t"])
@pytest.mark.parametrize("fast", [True, False])
def test_byte_places_cut_exactly_the_records(
    kind: str, indent: str, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(federal_xml, "SMALL", 0)
    pair = documents(ACCOUNTS, kind=kind, indent=indent)
    con = duckdb.connect()
    table = {"DO": "D"}.get(kind, kind)
    read({"main": pair.main, "persons": pair.persons}, con, ReadLimits(piece=3000, fast=fast), table)
    for document, tag, names_of in (
        (pair.main, "ZAP", "zap"),
        (pair.main, "Z_SL", "z_sl"),
        (pair.persons, "PERS", "l_pers"),
    ):
        expected = [etree.tostring(one) for one in etree.fromstring(document).iter(tag) if len(one)]
        places = con.execute(f"SELECT byte_from, byte_to, line FROM {names_of} ORDER BY n").fetchall()
        assert len(places) == len(expected)
        for (start, stop, line), node in zip(places, expected, strict=True):
            piece = document[start:stop]
            assert piece.startswith(f"<{tag}>".encode())
            assert piece.endswith(f"</{tag}>".encode())
            assert etree.tostring(etree.fromstring(piece.decode("cp1251"))) == node.strip()
            assert document[:start].count(b"\n") == line - 1
    digests = con.execute("SELECT digest, byte_from, byte_to FROM z_sl").fetchall()
    for digest, start, stop in digests:
        assert digest == blake2b(pair.main[start:stop], digest_size=16).hexdigest()


@pytest.mark.parametrize("indent", ["", "  "])
def test_head_records_and_tail_put_together_are_the_document(indent: str) -> None:
    pair = documents(ACCOUNTS, indent=indent)
    con = duckdb.connect()
    read({"main": pair.main, "persons": pair.persons}, con)
    spots = {what: (start, stop) for what, start, stop in con.execute("SELECT * FROM spot").fetchall()}
    assert set(spots) == {"zglv", "schet", "list", "l_zglv", "l_list"}
    for what, tag, data in (
        ("zglv", "ZGLV", pair.main),
        ("schet", "SCHET", pair.main),
        ("l_zglv", "ZGLV", pair.persons),
    ):
        piece = data[slice(*spots[what])]
        assert piece.startswith(f"<{tag}>".encode()), what
        assert piece.endswith(f"</{tag}>".encode()), what
    for prefix, table, data in (("", "zap", pair.main), ("l_", "l_pers", pair.persons)):
        start, stop = spots[prefix + "list"]
        assert data[stop:].startswith(b"</")
        assert start == spots[prefix + ("schet" if not prefix else "zglv")][1]
        places = con.execute(f"SELECT byte_from, byte_to FROM {table} ORDER BY n").fetchall()
        made, at = data[:start], start
        for first, last in places:
            assert data[at:first].strip() == b""
            made += data[at:first] + data[first:last]
            at = last
        assert made + data[at:stop] + data[stop:] == data


def dump(con: duckdb.DuckDBPyConnection) -> dict[str, list[Any]]:
    tables = [name for (name,) in con.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()]
    return {name: con.execute(f'SELECT * FROM "{name}" ORDER BY ALL').fetchall() for name in tables}


@pytest.mark.parametrize("encoding", ["windows-1251", "utf-8"])
@pytest.mark.parametrize("piece", [400, 5_000, 4 * 1_048_576])
def test_both_ways_of_reading_give_the_same_tables(encoding: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where records have faults, references, odd blanks and empty-element tags."""
    monkeypatch.setattr(federal_xml, "SMALL", 0)
    data = documents([Account(n, sums=(100 * n, 50)) for n in range(1, 60)], encoding=encoding).main
    edges: list[tuple[bytes, bytes]] = [
        (b"<IDCASE>7<", b"<IDCASE>6<"),
        (b"<DATE_1>2026-01-12</DATE_1>", b"<DATE_1> 2026-01-12\n</DATE_1>"),
        (b"<SUMV>9.50</SUMV>", b"<SUMV>9.5</SUMV>"),
        (b"<SUMV>10.50</SUMV>", b"<SUMV>010.500</SUMV>"),
        (b"<SUMV>11.50</SUMV>", b"<SUMV>11.505</SUMV>"),
        (b"<N_ZAP>20</N_ZAP>", b"<N_ZAP>&#50;0</N_ZAP>"),
        (b"<N_ZAP>30</N_ZAP>", b"<N_ZAP/>"),
        (b"<N_ZAP>31</N_ZAP>", b"<N_ZAP >31</N_ZAP\t>"),
        (b"<N_ZAP>40</N_ZAP>", b"<PR_NOV>0</PR_NOV>"),
        (b"<IDCASE>41</IDCASE>", b"<IDCASE><![CDATA[41]]></IDCASE>"),
        (b"<IDCASE>42</IDCASE>", b"<!-- one --><IDCASE>42</IDCASE>"),
        (b"<IDCASE>50</IDCASE>", b"<IDCASE>50</IDCASE><NEW><A>1</A></NEW>"),
    ]
    for old, new in edges:
        assert old in data, old
        data = data.replace(old, new, 1)
    found = []
    for limits in (ReadLimits(fast=False), ReadLimits(piece=piece)):
        con = duckdb.connect()
        read({"main": data}, con, limits)
        found.append(dump(con))
    assert found[0] == found[1]
    assert {one[0] for one in found[0]["findings"]} == {
        *("S.00.0010", "S.00.0020", "S.00.0030", "S.00.0050", "S.00.0110"),
    }
    assert len(found[0]["zap"]) == 59


def test_the_fast_way_is_taken_and_only_odd_records_leave_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(federal_xml, "SMALL", 0)
    plain: list[bytes] = []
    real = federal_fast.Fast._plain

    def watched(self: federal_fast.Fast, data: bytes, *rest: Any) -> None:
        plain.append(data)
        real(self, data, *rest)

    monkeypatch.setattr(federal_fast.Fast, "_plain", watched)
    data = documents([Account(n) for n in range(1, 60)]).main
    con = duckdb.connect()
    read({"main": data}, con)
    assert plain == []
    con = duckdb.connect()
    read({"main": changed("<IDCASE>41<", "<IDCASE>x<", data)}, con)
    assert [(b"<IDCASE>x<" in one, one.count(b"<ZAP>")) for one in plain] == [(True, 1)]
    assert con.execute("SELECT count(*) FROM z_sl").fetchall() == [(59,)]


STRAY = "<NEW>1</NEW>"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("<USL_OK>3</USL_OK>", "", ("S.00.0010", "z_sl", 1, 1, "ZL_LIST/ZAP/Z_SL/USL_OK")),
        ("<USL_OK>3</USL_OK>", "<USL_OK>3</USL_OK>" + STRAY, ("S.00.0020", "z_sl", 1, 1, "ZL_LIST/ZAP/Z_SL/NEW")),
        ("<USL_OK>3<", "<USL_OK>три<", ("S.00.0030", "z_sl", 1, 1, "ZL_LIST/ZAP/Z_SL/USL_OK")),
        ("<USL_OK>3<", "<USL_OK>333<", ("S.00.0040", "z_sl", 1, 1, "ZL_LIST/ZAP/Z_SL/USL_OK")),
        ("<USL_OK>3</USL_OK>", "<USL_OK>3</USL_OK>" * 2, ("S.00.0050", "z_sl", 1, 1, "ZL_LIST/ZAP/Z_SL/USL_OK")),
        ("<DET>0</DET>", "<DET>5</DET>", ("S.00.0070", "sl", 1, 1, "ZL_LIST/ZAP/Z_SL/SL/DET")),
        ("<SUMV>1.50<", "<SUMV>-1.50<", ("S.00.0080", "z_sl", 1, 1, "ZL_LIST/ZAP/Z_SL/SUMV")),
        (
            "<PODR>12</PODR>\n        <PROFIL>16</PROFIL>",
            "<PROFIL>16</PROFIL><PODR>12</PODR>",
            ("S.00.0100", "sl", 1, 1, "ZL_LIST/ZAP/Z_SL/SL/PODR"),
        ),
        ("<IDCASE>2<", "<IDCASE>1<", ("S.00.0110", "z_sl", 2, 2, "ZL_LIST/ZAP/Z_SL/IDCASE")),
        ("<NOVOR>0</NOVOR>", "", ("S.00.0010", "zap", 1, 1, "ZL_LIST/ZAP/PACIENT/NOVOR")),
        ("<USL_OK>3<", '<USL_OK a="1">3<', ("S.00.0020", "z_sl", 1, 1, "ZL_LIST/ZAP/Z_SL/USL_OK/@a")),
        ("<USL_OK>3<", "<USL_OK>3<A/><", ("S.00.0020", "z_sl", 1, 1, "ZL_LIST/ZAP/Z_SL/USL_OK/A")),
    ],
)
def test_what_is_wrong_is_told_with_its_account(old: str, new: str, expected: tuple[Any, ...]) -> None:
    con = duckdb.connect()
    read({"main": changed(old, new)}, con)
    (found,) = findings(con)
    assert (found[0], found[1], found[2], found[3], found[5]) == expected
    assert found[7:] == ("account", "reject")


def test_a_fault_of_the_head_is_of_the_register_and_one_in_l_of_the_person() -> None:
    con = duckdb.connect()
    persons = changed("<W>1<", "<W>3<", PAIR.persons)
    read({"main": changed("<NSCHET>12-Я</NSCHET>", ""), "persons": persons}, con)
    assert [(one[0], one[1], one[2], one[3], one[4], one[7]) for one in findings(con)] == [
        ("S.00.0010", "register", 1, None, None, "register"),
        ("S.00.0070", "l_pers", 1, None, 1, "person"),
    ]


def test_a_record_without_its_account_is_a_fault_of_the_register() -> None:
    start, stop = PAIR.main.index(b"<Z_SL>"), PAIR.main.index(b"</Z_SL>") + 7
    con = duckdb.connect()
    read({"main": PAIR.main[:start] + PAIR.main[stop:]}, con)
    assert [(one[0], one[1], one[3], one[7]) for one in findings(con)] == [("S.00.0010", "zap", None, "register")]


def test_records_and_persons_that_do_not_find_each_other() -> None:
    con = duckdb.connect()
    read({"main": PAIR.main, "persons": changed(">P2<", ">P9<", PAIR.persons)}, con)
    found = findings(con)
    strangers = [n for n, one in enumerate(ACCOUNTS, 1) if one.person == 2]
    assert [(one[0], one[3], one[8]) for one in found if one[0] == "S.00.0120"] == [
        ("S.00.0120", n, "reject") for n in strangers
    ]
    assert [(one[0], one[1], one[2], one[8]) for one in found if one[0] != "S.00.0120"] == [
        ("S.00.0130", "l_pers", 2, "warn")
    ]


def test_first_and_corrected_records_together_are_warned_about() -> None:
    con = duckdb.connect()
    read({"main": changed("<PR_NOV>0<", "<PR_NOV>1<")}, con)
    assert [(one[0], one[7], one[8]) for one in findings(con)] == [("S.00.0140", "register", "warn")]


ROOT = "<ZL_LIST>"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (changed(ROOT, "<!DOCTYPE ZL_LIST>" + ROOT), "XML_DTD"),
        (changed(ROOT, '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + ROOT), "XML_DTD"),
        (changed(">12-Я<", ">12<!-- -->00<"), "XML_MIXED"),
        (changed(">12-Я<", ">12<?x?>00<"), "XML_MIXED"),
        (changed(">12-Я<", ">12<![CDATA[00]]><"), "XML_MIXED"),
        (changed("<SCHET>", "слово<SCHET>"), "XML_MIXED"),
        (changed(ROOT, '<?xml-stylesheet href="http://x"?>' + ROOT), "XML_FOREIGN"),
        (changed("<SCHET>", '<SCHET xmlns:xi="http://www.w3.org/2001/XInclude">'), "XML_FOREIGN"),
        (
            changed(ROOT, '<ZL_LIST xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="a b">'),
            "XML_FOREIGN",
        ),
        (changed(ROOT, '<ZL_LIST xmlns="urn:x">'), "XML_NAMESPACE"),
        (changed(ROOT, '<a:ZL_LIST xmlns:a="urn:x">').replace(b"</ZL_LIST>", b"</a:ZL_LIST>"), "XML_NAMESPACE"),
        (changed(">12-Я<", ">" + "1" * 70_000 + "<"), "XML_LIMIT"),
        (changed(">12-Я<", ">" + "<A>" * 300 + "</A>" * 300 + "<"), "XML_LIMIT"),
        (changed("<NSCHET>", f"<NSCHET {' '.join(f'a{i}=' + chr(34) * 2 for i in range(200))}>"), "XML_LIMIT"),
        (changed("<NSCHET>", f"<N{'S' * 60_000}/><NSCHET>"), "XML_LIMIT"),
        (PAIR.main[:-20], "XML_SYNTAX"),
        (PAIR.main[: len(PAIR.main) // 2], "XML_SYNTAX"),
        (PAIR.main + PAIR.main[60:], "XML_SYNTAX"),
        (PAIR.main + b"x", "XML_SYNTAX"),
        (changed(">12-Я<", ">12&#1;<"), "XML_SYNTAX"),
        (PAIR.main.replace(b">12-", b">12\x00", 1), "XML_SYNTAX"),
        (changed("<NSCHET>", '<NSCHET a="1" a="2">'), "XML_DUPLICATE"),
        (PAIR.main.decode("cp1251").encode("utf-8"), "XML_ENCODING_MISMATCH"),
        (PAIR.main.replace(b"windows-1251", b"utf-8", 1), "XML_ENCODING_MISMATCH"),
        (PAIR.main.decode("cp1251").encode("utf-16"), "XML_ENCODING"),
        (PAIR.main.replace(b"windows-1251", b"koi8-r", 1), "XML_ENCODING"),
        (PAIR.persons, "XML_SCHEMA"),
        (b"<html><body>1</body></html>", "XML_SCHEMA"),
        (b"PK\x03\x04", "FILE_FORMAT"),
        (changed("<VERSION>3.2<", "<VERSION>9.9<"), "HDR_VERSION"),
        (changed("<VERSION>3.2</VERSION>", ""), "HDR_VERSION"),
    ],
)
def test_what_no_document_may_be_is_refused_and_leaves_nothing(
    data: bytes, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refusal(data) == code
    monkeypatch.setattr(federal_xml, "SMALL", 0)
    assert refusal(data, ReadLimits(piece=2_000)) == code


def test_a_record_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = changed("</ISHOD>", "</ISHOD>" + "<OS_SLUCH>1</OS_SLUCH>" * 160_000)
    monkeypatch.setattr(federal_rows, "LONGEST_RECORD", 1_500_000)
    monkeypatch.setattr(federal_fast, "LONGEST_RECORD", 1_500_000)
    assert refusal(endless, SLOW) == "XML_LIMIT"
    assert refusal(endless, ReadLimits(piece=500_000)) == "XML_LIMIT"


def test_any_number_of_faults_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(federal_rows, "FLUSH_ROWS", 10)
    con = duckdb.connect()
    result = read({"main": changed("<NOVOR>", "<NEW/>" * 95 + "<NOVOR>")}, con)
    assert result.findings == 95
    assert con.execute("SELECT count(*), count(DISTINCT z_sl_n) FROM findings").fetchall() == [(95, 1)]


def test_a_byte_order_mark_and_a_namespace_where_it_belongs_are_read() -> None:
    text = PAIR.main.decode("cp1251").replace("windows-1251", "utf-8")
    con = duckdb.connect()
    assert read({"main": b"\xef\xbb\xbf" + text.encode()}, con).findings == 0
    layout = elements.load(PROFILE.rules, "federal", "H:to_mo_hw_3.2")
    named = changed(ROOT, f'<ZL_LIST xmlns="{layout.namespace}">')
    con = duckdb.connect()
    federal_xml.read_members({"main": io.BytesIO(named)}, {"main": "H:to_mo_hw"}, PROFILE, con)
    with pytest.raises(Refusal, match="XML_NAMESPACE"):
        federal_xml.read_members({"main": io.BytesIO(PAIR.main)}, {"main": "H:to_mo_hw"}, PROFILE, duckdb.connect())


def test_tables_that_stood_there_stay_when_a_document_is_refused() -> None:
    con = duckdb.connect()
    con.execute("CREATE TABLE mine AS SELECT 1 AS a")
    with pytest.raises(Refusal):
        read({"main": PAIR.main, "persons": PAIR.persons[:-9]}, con)
    assert con.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("mine",)]


def test_a_version_of_which_only_names_are_known_is_read_with_warnings() -> None:
    """Order and limits of 6.0 are not known: what differs is told and refuses nothing; what cannot be read does."""
    data = changed("<VERSION>3.2<", "<VERSION>6.0<")
    data = changed("<USL_OK>3</USL_OK>", "<NEWS>1</NEWS><USL_OK>3333</USL_OK>", data)
    data = changed("<NOVOR>0</NOVOR>", "<NOVOR>0</NOVOR><SOC>1</SOC>", data)
    con = duckdb.connect()
    read({"main": data}, con)
    assert {(one[0], one[5].rpartition("/")[2], one[8]) for one in findings(con)} == {
        ("S.00.0020", "NEWS", "warn"),
        ("S.00.0040", "USL_OK", "warn"),
    }
    assert con.execute("SELECT soc FROM zap WHERE n = 1").fetchall() == [("1",)]
    con = duckdb.connect()
    read({"main": changed("<DATE_Z_1>2026-01-12<", "<DATE_Z_1>12.01.2026<", data)}, con)
    assert ("S.00.0030", "reject") in {(one[0], one[8]) for one in findings(con)}


# ---- real samples ----------------------------------------------------------------------------------------

DATA = os.environ.get("OMS_REFERENCE_DATA", "")


@pytest.mark.skipif(
    not os.path.isdir(DATA + "/samples"), reason="OMS_REFERENCE_DATA is not set: no real sample is read"
)
@pytest.mark.parametrize(
    ("profile", "layout", "sample", "faults"),
    [
        ("federal", "H:from_mo", "federal/H_VALID.XML", 0),
        ("federal", "C:from_mo", "federal/C_VALID.XML", 0),
        ("federal", "T:from_mo", "federal/T_VALID.XML", 0),
        ("federal", "D:from_mo", "federal/D_VALID_08_2021.XML", 0),
        ("mtr", "L:from_mo", "mtr/PatientD21K2.xml", 0),
        ("mtr", "H:from_mo", "mtr/RegisterD21K2.xml", 2),  # it has FILENAME1 where its own schema has FILENAME
    ],
)
def test_real_samples_come_out_with_all_their_rows_and_sums(
    profile: str, layout: str, sample: str, faults: int
) -> None:
    of = dataclasses.replace(PROFILE, id=profile)
    con = duckdb.connect()
    with open(f"{DATA}/samples/{sample}", "rb") as stream:
        result = federal_xml.read_members({"main": stream}, {"main": layout}, of, con)
        tree = etree.parse(stream.name)
    assert con.execute("SELECT count(*) FROM findings WHERE severity = 'reject'").fetchall() == [(faults,)]
    for table, tag in (
        ("zap", "ZAP"),
        ("z_sl", "ZAP/Z_SL"),
        ("sluch", "SLUCH"),
        ("sl", "SL"),
        ("usl", "USL"),
        ("l_pers", "PERS"),
    ):
        assert result.rows.get(table, 0) == len(tree.findall(f".//{tag}")), table
    for table, column, tag in (
        ("usl", "sumv_usl", "SUMV_USL"),
        ("z_sl", "sumv", "Z_SL/SUMV"),
        ("sluch", "sumv", "SLUCH/SUMV"),
    ):
        expected = sum(int(Decimal(one.text or "0") * 100) for one in tree.findall(f".//{tag}"))
        assert con.execute(f"SELECT coalesce(sum({column}), 0) FROM {table}").fetchall() == [(expected,)], table


# ---- heads ---------------------------------------------------------------------------------------------


STRICT = dataclasses.replace(PROFILE, data={**PROFILE.data, "head": {}})


def heads(
    main: bytes, persons: bytes = PAIR.persons, profile: Profile = STRICT
) -> tuple[list[tuple[str, str, str]], Any]:
    con = duckdb.connect()
    read({"main": main, "persons": persons}, con)
    named = names.identify(PAIR.name + ".zip", profile)
    return [(one.code, one.expected, one.found) for one in head_problems(con, named, profile)], con


def test_a_true_head_says_nothing() -> None:
    assert heads(PAIR.main)[0] == []
    bare = changed("<FILENAME>HM760001T76_26011<", "<FILENAME>hm760001t7626011.xml<")
    assert heads(bare)[0] == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("<FILENAME>HM760001T76_26011<", "<FILENAME>HM760002T76_26011<", "HDR_FILENAME"),
        ("<SD_Z>7<", "<SD_Z>8<", "HDR_COUNT"),
        ("<SUMMAV>31.50<", "<SUMMAV>31.51<", "HDR_SUM"),
        ("<MONTH>1<", "<MONTH>2<", "HDR_PERIOD"),
        ("<CODE_MO>760001<", "<CODE_MO>760002<", "HDR_SENDER"),
    ],
)
def test_a_head_that_differs_is_refused_or_warned_about_as_the_profile_says(old: str, new: str, expected: str) -> None:
    main = changed(old, new)
    (found,) = heads(main)[0]
    assert found[0] == expected
    assert found[1] != found[2]
    warned = dataclasses.replace(PROFILE, data={**PROFILE.data, "head": {expected: "warn"}})
    problems, con = heads(main, profile=warned)
    assert problems == []
    assert [(one[0], one[8]) for one in findings(con)] == [("S.00.0150", "warn")]
    off = dataclasses.replace(PROFILE, data={**PROFILE.data, "head": {expected: "off"}})
    problems, con = heads(main, profile=off)
    assert (problems, findings(con)) == ([], [])


def test_the_file_of_persons_names_itself_and_its_main_file() -> None:
    persons = changed("<FILENAME1>HM760001T76_26011<", "<FILENAME1>HM760001T76_26012<", PAIR.persons)
    assert [one[0] for one in heads(PAIR.main, persons)[0]] == ["HDR_FILENAME"]
    persons = changed("<FILENAME>LM760001T76_26011<", "<FILENAME>LM760001T76_26012<", PAIR.persons)
    assert [one[0] for one in heads(PAIR.main, persons)[0]] == ["HDR_FILENAME"]


def test_this_profile_only_tells_of_a_name_that_differs() -> None:
    main = changed("<FILENAME>HM760001T76_26011<", "<FILENAME>HM760002T76_26011<")
    problems, con = heads(main, profile=PROFILE)
    assert problems == []
    assert [(one[0], one[5], one[8]) for one in findings(con)] == [("S.00.0150", "main: FILENAME", "warn")]


def test_what_a_head_does_not_say_is_not_compared() -> None:
    """Documents between funds have no FILENAME and no SD_Z; here they are missing, which is a fault of its own."""
    bare = changed("<FILENAME>HM760001T76_26011</FILENAME>", "", changed("<SD_Z>7</SD_Z>", ""))
    problems, con = heads(bare)
    assert problems == []
    assert [(one[0], one[7]) for one in findings(con)] == [("S.00.0010", "register")] * 2


def test_a_sum_that_cannot_be_read_is_not_compared() -> None:
    assert heads(changed("<SUMV>1.50<", "<SUMV>x<"))[0] == []


# ---- size ----------------------------------------------------------------------------------------------


def big(count: int) -> Pair:
    """A register of many accounts, quickly: one record over and over with numbers of its own."""
    pair = documents([Account(1)], indent="")
    start, stop = pair.main.index(b"<ZAP>"), pair.main.index(b"</ZAP>") + 6
    record = pair.main[start:stop].replace(b">1<", b">%d<", 1).replace(b"<IDCASE>1<", b"<IDCASE>%d<")
    records = b"".join(record % (n, n) for n in range(1, count + 1))
    return dataclasses.replace(pair, main=pair.main[:start] + records + pair.main[stop:])


CHILD = """
import sys
import duckdb
from oms_batch.exchange import load_profile
from oms_batch.formats import federal_xml
from oms_batch.ruledata import RuleData

con = duckdb.connect(sys.argv[2])
con.execute("SET memory_limit = '256MB'")
with open(sys.argv[1], "rb") as stream:
    result = federal_xml.read_members({"main": stream}, {"main": "H:from_mo"}, load_profile("federal", RuleData()), con)
with open("/proc/self/status") as status:  # ru_maxrss would be that of the parent
    peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
print(result.accounts, result.findings, peak)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc: the peak of memory is not told")
def test_a_register_of_many_accounts_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """Ten times the accounts take hardly more memory."""
    peaks = []
    for count in (30_000, 300_000):
        source = tmp_path / "one.xml"
        source.write_bytes(big(count).main)
        began = time.monotonic()
        command = [sys.executable, "-c", CHILD, str(source), str(tmp_path / f"{count}.duckdb")]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()  # noqa: S603 - our own child
        print(
            source.stat().st_size // 1_000_000,
            "MB in",
            round(time.monotonic() - began, 1),
            "s,",
            int(told[2]) // 1024,
            "MiB",
        )
        assert told[:2] == [str(count), "0"]
        peaks.append(int(told[2]))
    assert peaks[1] - peaks[0] < 200 * 1024
