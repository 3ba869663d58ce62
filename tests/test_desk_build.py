"""The main register: from CSV, from a MIS register, from accounts billed again."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from oms_batch.desk.again import Resubmission, new_key
from oms_batch.desk.build import BuildReport, Header, Source, build_register
from oms_batch.errors import Refusal, WrongState
from oms_batch.exchange import Profile, load_profile
from oms_batch.formats.layout import load_layout
from oms_batch.formats.reestr_xml import read
from oms_batch.model import NamedFile, Totals

KEY = "5f0c0b1e-0000-4000-8000-00000000000"
NAMED = NamedFile(
    "x", "10276000001087604010012611" + "13X.xml", "1027600000108", "760401001", "2026-11", "1", "3", "X", ".xml"
)


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load_profile("yaroslavl")


def rows_csv(rows: list[dict[str, str]], encoding: str = "utf-8") -> io.BytesIO:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, delimiter=";", restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return io.BytesIO(text.getvalue().encode(encoding))


def person(number: int, **other: str) -> dict[str, str]:
    return {
        "row": "person",
        "up": "",
        "id_pac": f"P{number}",
        "fam": "Иванова",
        "im": "Анна",
        "dr": "15.03.1980",
        "w": "2",
        "region_oms": "76",
        "vpolis": "3",
        "npolis": "7656910834000012",
        "polis_begin": "2015-01-01",
        **other,
    }


def account(number: int, up: str, **other: str) -> dict[str, str]:
    return {
        "row": "account",
        "up": up,
        "xkey": f"{KEY}{number}",
        "nhistory": "12/26",
        "vidpom": "13",
        "usl_ok": "3",
        "date_z_1": "2026-11-02",
        "date_z_2": "2026-11-05",
        "iddokt": "112-233-445 95",
        "prvs": "76",
        "rslt": "301",
        "vg": "2",
        "podr": "100",
        "sumv": "1234,50",
        **other,
    }


def service(number: int, up: int, **other: str) -> dict[str, str]:
    return {
        "row": "service",
        "up": f"{KEY}{up}",
        "idserv": f"S{number}",
        "prvs": "76",
        "code_md": "112-233-445 95",
        "profil": "97",
        "det": "0",
        "code_usl": "B01.047.001",
        "kol_usl": "1",
        "date_in": "2026-11-02",
        "date_out": "2026-11-05",
        "sumv_usl": "1234.50",
        **other,
    }


def month() -> list[dict[str, str]]:
    return [
        person(1),
        account(1, "P1"),
        service(1, 1),
        {"row": "diagnosis", "up": f"{KEY}1", "ds_type": "1", "mkb": "J06.9"},
        account(2, "P1", sumv="100.00", vg="1", usl_ok="1"),
        service(2, 2, sumv_usl="100"),
        {"row": "crit", "up": "S2", "crit": "it1"},
        person(2, fam='О"Нил & <Ко>', ot="Әлиевна"),
        account(3, "P2", sumv=""),
        service(3, 3, sumv_usl="10.01"),
        service(4, 3, sumv_usl="0.09"),
    ]


def header(**other: Any) -> Header:
    return Header(**{"named": NAMED, "day": date(2026, 11, 30), "number": "11", "creator": "МО", **other})


def build(
    profile: Profile, sources: Sequence[Any] = (), again: Sequence[Resubmission] = (), **options: Any
) -> tuple[bytes, BuildReport]:
    head = options.pop("header", header())
    out = io.BytesIO()
    streams = [
        Source(one if isinstance(one, io.BytesIO) else rows_csv(one), f"source{at}")
        for at, one in enumerate(sources, 1)
    ]
    report = build_register(profile, head, streams, again, out, **options)
    return out.getvalue(), report


def problems(profile: Profile, rows: list[dict[str, str]] | io.BytesIO) -> list[tuple[str, str]]:
    out = io.BytesIO()
    with pytest.raises(Refusal) as caught:
        build_register(
            profile, header(), [Source(rows if isinstance(rows, io.BytesIO) else rows_csv(rows), "s")], [], out
        )
    assert out.getvalue() == b"", "nothing may be written when a row is bad"
    return [(one.code, one.place) for one in caught.value.problems]


def accounts_of(document: bytes) -> list[Any]:
    return list(etree.fromstring(document).iter("personal_account"))


def test_csv_becomes_a_register_with_head_totals_and_numbers(profile: Profile) -> None:
    document, report = build(profile, [month()])
    root = etree.fromstring(document)
    body, bill = root[0], root[0][0]
    assert document.startswith(b'<?xml version="1.0" encoding="windows-1251"?>')
    assert (root.tag, body.tag, bill.tag) == ("package", "body", "bill")
    assert dict(body.attrib) == {
        "version": "6.15",
        "protocol": "Reestr",
        "creator": "МО",
        "telcreator": "-",
        "ogrn_mo": "1027600000108",
        "kpp_mo": "760401001",
        "year": "2026",
        "month": "11",
        "date_1": "2026-11-30",
    }
    assert dict(bill.attrib) == {
        "t_opl": "1",
        "ogrn_smo": "1027600000306",
        "date_2": "2026-11-30",
        "n_out": "11",
        "date_in": "2026-11-30",
    }
    assert [dict(one.attrib) for one in bill.iterfind("account_sum/account_elem_t/account_elem")] == [
        {"type_acc": "1", "amountl": "1344.60", "amount": "1344.60"}
    ]
    first, second, third = accounts_of(document)
    assert [one.get("n_pp") for one in (first, second, third)] == ["1", "2", "3"]
    assert (first.get("help_cond"), first.get("curestart"), first.get("n_card")) == ("3", "2026-11-02", "12/26")
    assert dict(first.find("additionals/additional").attrib) == {"division": "100", "finsource": "1", "type_r": "1"}
    assert dict(first.find("sum/elem").attrib) == {"type_acc": "1", "suml": "1234.50", "sum": "1234.50"}
    assert dict(first.find("manipulations/manipulation/sum/elem").attrib) == {
        "type_acc": "1",
        "suml": "1234.50",
        "sum": "1234.50",
    }
    assert first.find("diagnoses/diagnose").get("mkb") == "J06.9"
    assert second.find("manipulations/manipulation/additionals/criterias/criteria").get("crit") == "it1"
    assert third.find("sum/elem").get("suml") == "10.10", "a sum that the source leaves out is that of the services"
    assert (report.persons, report.accounts, report.kopecks) == (2, 3, 134460)
    assert report.sources == [("source1", Totals(3, 134460))]


def test_values_are_escaped_and_letters_outside_the_code_page_survive(profile: Profile) -> None:
    for encoding in ("windows-1251", "utf-8"):
        document, _ = build(profile, [month()], header=header(encoding=encoding))
        patients = list(etree.fromstring(document).iter("patient"))
        assert patients[1].get("surname") == 'О"Нил & <Ко>'
        assert patients[1].get("patronymic") == "Әлиевна"
        assert patients[1].get("birthdate") == "1980-03-15"
        assert (b"&#" in document) == (encoding == "windows-1251")
    with pytest.raises(WrongState, match="ENCODING"):
        build(profile, [month()], header=header(encoding="koi8-r"))


def test_code_page_of_the_source_does_not_matter(profile: Profile) -> None:
    rows = month()[:7]
    plain = build(profile, [rows_csv(rows)])[0]
    assert build(profile, [rows_csv(rows, "cp1251")])[0] == plain
    assert build(profile, [rows_csv(rows, "utf-8-sig")])[0] == plain


def test_the_example_of_the_documentation_builds(profile: Profile) -> None:
    page = (Path(__file__).parent.parent / "docs" / "source_csv.md").read_text(encoding="utf-8")
    example = "\n".join(re.findall(r"^    (.*;.*)$", page, re.M))
    document, report = build(profile, [io.BytesIO(example.encode())])
    assert report.accounts == 1 and report.kopecks == 123450
    assert accounts_of(document)[0].find("manipulations/manipulation").get("service") == "B01.047.001"


@pytest.mark.parametrize(
    ("change", "code", "place"),
    [
        ({"row": "acount"}, "SRC_ROW", "s:3 row"),
        ({"up": "P9"}, "SRC_ORDER", "s:3 up"),
        ({"up": ""}, "SRC_KEY", "s:3 up"),
        ({"xkey": ""}, "SRC_KEY", "s:3 xkey"),
        ({"fam": "Петрова"}, "SRC_COLUMN", "s:3 fam"),
        ({"date_z_1": "31.02.2026"}, "VALUE_TYPE", "s:3 date_z_1"),
        ({"sumv": "1 234,505"}, "VALUE_TYPE", "s:3 sumv"),
        ({"sumv": "-1"}, "VALUE_TYPE", "s:3 sumv"),
        ({"vidpom": "1" * 21}, "VALUE_SIZE", "s:3 vidpom"),
        ({"nhistory": "1\x012"}, "VALUE_CHARACTER", "s:3 nhistory"),
        ({"sumv": ""}, "SRC_SUM", "s:3 sumv"),
    ],
)
def test_a_bad_cell_is_named_by_line_and_column(
    profile: Profile, change: dict[str, str], code: str, place: str
) -> None:
    rows = [person(1), {**account(1, "P1"), **change}]
    assert (code, place) in problems(profile, rows)


def test_all_bad_rows_are_named_not_only_the_first(profile: Profile) -> None:
    rows = month()
    rows[0]["dr"], rows[4]["date_z_2"], rows[8]["up"] = "1980", "x", "P1"
    assert problems(profile, rows) == [
        ("VALUE_TYPE", "s:2 dr"),
        ("VALUE_TYPE", "s:6 date_z_2"),
        ("SRC_ORDER", "s:10 up"),
    ]


def test_faults_of_the_file_itself(profile: Profile) -> None:
    assert problems(profile, io.BytesIO("row;up;фамилия\n".encode()))[0][0] == "SRC_HEADER"
    assert problems(profile, io.BytesIO(b"row;up;fam;fam\n"))[0][0] == "SRC_HEADER"
    assert problems(profile, io.BytesIO(b"id_pac;fam\n"))[0][0] == "SRC_HEADER"
    assert problems(profile, io.BytesIO(b"row;up;id_pac\nperson;;1;2\n"))[0] == ("SRC_WIDTH", "s:2")
    assert problems(profile, io.BytesIO(b'row;up;id_pac\nperson;;"1\n'))[0][0] == "SRC_QUOTE"
    assert problems(profile, io.BytesIO(b"row;up;fam\nperson;;\x98\n"))[0][0] == "SRC_ENCODING"
    assert problems(profile, [person(1)]) == [("SRC_ORDER", "s:2 row")]
    assert problems(profile, [account(1, "P1")])[0][0] == "SRC_ORDER"


def test_a_key_or_number_twice_is_refused(profile: Profile) -> None:
    assert problems(profile, [person(1), account(1, "P1"), account(1, "P1")]) == [("SRC_DUPLICATE", "s:4 xkey")]
    numbered = [person(1), account(1, "P1", idcase="5"), account(2, "P1", idcase="5")]
    assert problems(profile, numbered) == [("SRC_DUPLICATE", "s:4 idcase")]
    assert [one.get("n_pp") for one in accounts_of(build(profile, [numbered], renumber=True)[0])] == ["1", "2"]


def test_a_zero_register_is_a_valid_document(profile: Profile) -> None:
    document, report = build(profile)
    root = etree.fromstring(document)
    assert root.find("body/bill/patients") is not None and not list(root.iter("patient"))
    assert root.find("body/bill/account_sum/account_elem_t/account_elem").get("amountl") == "0.00"
    assert (report.accounts, report.kopecks) == (0, 0)


def test_a_mis_register_is_taken_over_byte_for_byte(profile: Profile) -> None:
    original, _ = build(profile, [month()])
    changed = original.replace(b'n_card="12/26"', b"n_card = '12/26'").replace(b"<additionals>", b"<additionals >\n\t")
    document, report = build(profile, [io.BytesIO(changed)])
    assert re.findall(rb"<patient .*?</patient>", document, re.S) == re.findall(
        rb"<patient .*?</patient>", changed, re.S
    )
    assert (report.accounts, report.kopecks) == (3, 134460)
    assert (
        etree.fromstring(document).find("body/bill/account_sum/account_elem_t/account_elem").get("amountl") == "1344.60"
    )
    utf, _ = build(profile, [io.BytesIO(changed)], header=header(encoding="utf-8"))
    assert accounts_of(utf)[2].getparent().getparent().get("patronymic") == "Әлиевна"


def test_a_mis_register_in_small_blocks_and_with_empty_patients(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, _ = build(profile, [month()])
    odd = original.replace(
        b"<patients>", b'<patients><patient patientcod="0"/><patient patientcod="9"><register_accounts/></patient>'
    )
    want = build(profile, [io.BytesIO(odd)])[0]
    for size in (1, 7, 64):
        monkeypatch.setattr("oms_batch.desk.source_xml._BLOCK", size)
        document, report = build(profile, [io.BytesIO(odd)])
        assert document == want
        assert report.skipped == 2 and report.accounts == 3


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b'ogrn_mo="1027600000108"', b'ogrn_mo="1027600000207"', "HDR_SENDER"),
        (b'kpp_mo="760401001"', b'kpp_mo="760401002"', "HDR_SENDER"),
        (b'month="11"', b'month="10"', "HDR_PERIOD"),
        (b'protocol="Reestr"', b'protocol="FLK"', "XML_ROOT"),
        (b'version="6.15"', b'version="6.08"', "HDR_VERSION"),
        (b'year="2026"', b'year="2025"', "HDR_PERIOD"),
        (b"<patients>", b"<patients><!-- x -->", "XML_MIXED"),
        (b"<patients>", b"<patients>x", "XML_MIXED"),
        (b"</patients>", b"</patient>", "XML_SYNTAX"),
        (b"<package>", b"<!DOCTYPE package []><package>", "XML_DTD"),
        (b"<package>", b'<package xmlns="u">', "XML_NAMESPACE"),
        (b'encoding="windows-1251"', b'encoding="koi8-r"', "XML_ENCODING"),
        (b"</package>", b"", "XML_SYNTAX"),
    ],
)
def test_a_foreign_or_broken_mis_register_is_refused(profile: Profile, old: bytes, new: bytes, code: str) -> None:
    original, _ = build(profile, [month()])
    assert problems(profile, io.BytesIO(original.replace(old, new)))[0][0] == code


def again(document: bytes, number: int, **other: Any) -> Resubmission:
    patient = next(
        one for one in re.findall(rb"<patient .*?</patient>", document, re.S) if f"{KEY}{number}".encode() in one
    )
    element = next(
        one
        for one in re.findall(rb"<personal_account .*?</personal_account>", patient, re.S)
        if f"{KEY}{number}".encode() in one
    )
    return Resubmission(
        **{
            "patient": patient,
            "account": element,
            "encoding": "windows-1251",
            "kind": "primary",
            "refused_in": "1",
            **other,
        }
    )


def test_an_account_billed_again_carries_its_lineage_and_no_old_marks(profile: Profile) -> None:
    before, _ = build(profile, [month()])
    answered = before.replace(
        b"</personal_account>", b'<smo pay="4"><an_mess><an_mes an_mes="1"/></an_mess></smo></personal_account>'
    ).replace(b"</register_accounts>", b'</register_accounts><an_p an_p="1" surname="X"/>')
    answered = answered.replace(b'sum="1234.50"', b'sum="0.00"').replace(
        b"</sum></manipulation>", b'</sum><an_tariffs><an_tariff date="2026-01-01"/></an_tariffs></manipulation>'
    )
    one = again(answered, 1, corrections=[("pers.npolis", "7600000000000000"), ("z_sl.rslt", "302")])
    repeat = again(answered, 3, kind="repeat", refused_in="2")
    december = NamedFile(**{**{name: getattr(NAMED, name) for name in NAMED.__slots__}, "period": "2026-12"})
    document, report = build(profile, [], [one, repeat], header=header(named=december))
    first, second = accounts_of(document)
    patient = first.getparent().getparent()
    assert patient.find("polises/polis").get("polisnum") == "7600000000000000"
    assert first.get("result") == "302" and first.get("curestart") == "2026-11-02"
    assert first.get("x_key2") == f"{KEY}1" and first.get("xkey") == new_key(f"{KEY}1", december.register)
    assert first.find("additionals/additional").get("type_r") == "1"
    assert first.find("additionals/additional").get("ident_r") == "1"
    assert second.find("additionals/additional").get("type_r") == "2"
    assert second.find("additionals/additional").get("ident_r") == "2"
    for gone in ("smo", "an_p", "an_tariffs"):
        assert not list(etree.fromstring(document).iter(gone))
    assert first.find("sum/elem").get("sum") == "1234.50", "what was refused is claimed in full again"
    assert [one.get("n_pp") for one in (first, second)] == ["1", "2"]
    assert report.kopecks == 123450 + 1010
    assert [(old, kind) for old, _new, kind in report.lineage] == [(f"{KEY}1", "primary"), (f"{KEY}3", "repeat")]
    assert build(profile, [], [one, repeat], header=header(named=december))[0] == document, "same input, same bytes"


def test_accounts_of_one_patient_meet_only_when_his_bytes_are_the_same(profile: Profile) -> None:
    before, _ = build(profile, [month()])
    same, other = again(before, 1), again(before, 2, corrections=[("pers.fam", "Иванцова")])
    fresh = [person(1), account(7, "P1"), person(2, fam="Сидорова"), account(8, "P2")]
    document, report = build(profile, [fresh], [same, other])
    patients = list(etree.fromstring(document).iter("patient"))
    assert [(one.get("surname"), len(list(one.iter("personal_account")))) for one in patients] == [
        ("Иванова", 2),
        ("Сидорова", 1),
        ("Иванцова", 1),
    ]
    numbers = [one.get("n_pp") for one in accounts_of(document)]
    assert len(set(numbers)) == 4
    assert (report.persons, report.accounts, report.merged) == (3, 4, 1)


def test_a_bad_correction_stops_the_build(profile: Profile) -> None:
    before, _ = build(profile, [month()])
    with pytest.raises(WrongState, match="FIELD_FIXED"):
        build(profile, [], [again(before, 1, corrections=[("z_sl.xkey", "1")])])
    with pytest.raises(WrongState, match="VALUE_TYPE"):
        build(profile, [], [again(before, 1, corrections=[("z_sl.date_z_1", "вчера")])])


def test_what_is_built_is_read_without_a_structural_finding(profile: Profile) -> None:
    """The reader of the receiving side finds nothing wrong with the form, and the same accounts and sums."""
    first, _ = build(profile, [month()])
    december = NamedFile(**{**{name: getattr(NAMED, name) for name in NAMED.__slots__}, "period": "2026-12"})
    second, report = build(
        profile,
        [[person(5), account(5, "P5"), service(5, 5)]],
        [again(first, 1, corrections=[("z_sl.ishod", "304")]), again(first, 3, kind="repeat")],
        header=header(named=december, encoding="utf-8"),
    )
    zero, _ = build(profile)
    layout = load_layout(profile.rules, profile.id, profile.data["layout"])
    for document, accounts, kopecks in ((first, 3, 134460), (second, 3, report.kopecks), (zero, 0, 0)):
        con = duckdb.connect()
        result = read(io.BytesIO(document), layout, con)
        assert result.accounts == accounts
        assert con.execute("SELECT rule, element, value FROM findings").fetchall() == []
        assert (
            con.execute("SELECT coalesce(sum(sumv), 0), coalesce(sum(sump), 0) FROM z_sl").fetchone() == (kopecks,) * 2
        )
        assert con.execute("SELECT sum(amountl), sum(amount) FROM sum_t").fetchone() == (kopecks,) * 2
        assert (
            con.execute("SELECT count(DISTINCT idcase), count(DISTINCT xkey) FROM z_sl").fetchone() == (accounts,) * 2
        )


def test_what_a_mis_register_has_beside_its_patients_comes_along(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, _ = build(profile, [month()])
    capita = b'<account_elem_f><account_elem type_acc="1" amountl="5.00" amount="5.00" n_all="1"/></account_elem_f>'
    other = b'<account_elem_s><account_elem type_acc="1" amountl="6.00"/></account_elem_s>'
    staff = '<personals surname=\'Врачёва\' ss="1"><specializations spec="76"/></personals>'.encode("cp1251")
    odd = original.replace(b"</account_sum>", capita + other + b"</account_sum>").replace(
        b"</patients>", b"</patients>" + staff + staff
    )
    for block in (5, 1 << 18):
        monkeypatch.setattr("oms_batch.desk.source_xml._BLOCK", block)
        document, report = build(profile, [io.BytesIO(odd), [person(5), account(5, "P5")]])
        root = etree.fromstring(document)
        assert capita + other + b"</account_sum>" in document and document.count(staff) == 2
        assert [one.tag for one in root[0][0]] == ["account_sum", "patients", "personals", "personals"]
        assert report.accounts == 4
    out = io.BytesIO()
    with pytest.raises(Refusal) as caught:
        build_register(profile, header(), [Source(io.BytesIO(odd), "a"), Source(io.BytesIO(odd), "b")], [], out)
    assert [one for one in caught.value.problems if one.place == "account_elem_f"] and not out.getvalue()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 10**9), min_size=1, max_size=4), max_size=5),
    st.booleans(),
    st.integers(0, 3),
)
def test_property_nothing_is_lost_or_doubled(persons: list[list[int]], renumber: bool, billed_again: int) -> None:
    profile = load_profile("yaroslavl")
    rows, number = [], 100
    for at, sums in enumerate(persons):
        rows.append(person(at))
        for kopecks in sums:
            number += 1
            rows.append(account(number, f"P{at}", sumv=f"{kopecks // 100},{kopecks % 100:02d}"))
    before, _ = build(profile, [month()])
    old = [again(before, one) for one in range(1, 1 + billed_again)]
    document, report = build(profile, [rows_csv(rows) if rows else io.BytesIO(b"row;up\n")], old, renumber=renumber)
    want = sum(map(sum, persons)) + sum((123450, 10000, 1010)[:billed_again])
    found = accounts_of(document)
    total = etree.fromstring(document).find("body/bill/account_sum/account_elem_t/account_elem").get("amountl")
    assert (report.accounts, report.kopecks) == (len(found), want)
    assert len(found) == sum(map(len, persons)) + billed_again
    assert total == f"{want // 100}.{want % 100:02d}"
    assert len({one.get("n_pp") for one in found}) == len({one.get("xkey") for one in found}) == len(found)
    back, second = build(profile, [io.BytesIO(document)])
    assert (second.accounts, second.kopecks) == (report.accounts, want)
    assert re.findall(rb"<patient .*?</patient>", back, re.S) == re.findall(rb"<patient .*?</patient>", document, re.S)


def test_an_account_is_not_billed_twice_from_a_source_and_from_the_desk(profile: Profile) -> None:
    before, _ = build(profile, [month()])
    out = io.BytesIO()
    with pytest.raises(Refusal) as caught:
        build_register(profile, header(), [Source(rows_csv(month()), "s")], [again(before, 2)], out)
    assert [(one.code, one.place) for one in caught.value.problems] == [("SRC_DUPLICATE", f"again {KEY}2 xkey")]
