"""nsi import at a home: right books come into force and are kept; bad ones are refused with row and reason."""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from oms_batch import nsi
from oms_batch.formats.dbf_gate import Column
from oms_batch.formats.dbf_write import write
from oms_batch.judge.books import read_book
from oms_batch.judge.bookwatch import faults as book_faults
from oms_batch.ruledata import RuleData
from oms_batch.site import open_site
from oms_batch.store import audit, fsio
from tests.nsi_tools import beds, bring, faults, kept, make_home, packet, run, table


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_home(tmp_path / "home")


def test_a_packet_comes_into_force_and_is_kept(home: Path) -> None:
    code, told = bring(home, packet(beds(86)))
    assert (code, told[0]["state"], told[0]["rows"], told[0]["edition"]) == (0, "in", {"v020": 86}, "2.0 of 2026-01-22")
    book = read_book(RuleData(str(home / "rules")), "federal", "v020")
    assert book.rows.num_rows == 86
    assert book.edition.startswith("2.0 of 2026-01-22, ")
    (name,) = kept(home, "v020")
    assert name.startswith("2026-01-22_2.0_")
    assert (home / "rules" / "editions" / "v020" / name).read_bytes() == table(home, "v020")
    with open_site(str(home)) as site:
        rows = [row for row in audit.rows(site.ledger) if row["action"] == "nsi"]
    assert [(row["object"], row["data"]["edition"]) for row in rows] == [("v020", "2.0 of 2026-01-22")]


def test_the_same_edition_again_changes_nothing(home: Path) -> None:
    bring(home, packet(beds()))
    before = table(home, "v020")
    code, told = bring(home, packet(beds()))
    assert (code, told[0]["state"], table(home, "v020"), len(kept(home, "v020"))) == (0, "there", before, 1)


def test_every_edition_is_kept_and_a_rule_asks_by_date(home: Path) -> None:
    bring(home, packet(beds()))
    newer = beds(86, DATEBEG="01.02.2026")
    newer[0] = {**newer[0], "DATEEND": "31.01.2026"}
    code, _told = bring(home, packet(newer, version="2.1", day="01.02.2026"))
    assert code == 0
    assert [name[:14] for name in kept(home, "v020")] == ["2026-01-22_2.0", "2026-02-01_2.1"]
    rows = read_book(RuleData(str(home / "rules")), "federal", "v020").rows.to_pylist()
    assert [(row["code"], row["valid_from"], row["valid_to"]) for row in (rows[0], rows[-1])] == [
        ("1", date(2016, 10, 1), date(2026, 1, 31)),
        ("86", date(2026, 2, 1), None),
    ]


def test_try_changes_nothing(home: Path) -> None:
    code, told = bring(home, packet(beds()), "--try")
    assert (code, told[0]["state"], table(home, "v020"), kept(home, "v020")) == (0, "in", None, [])


SPOILT = "койка".encode().decode("cp1251", "replace")


def _twice(days: tuple[str, str]) -> bytes:
    rows = [
        {"IDUMP": "1", "K_KPG": "7", "KOEF_Z": koef, "DATEBEG": "01.01.2026", "DATEEND": day}
        for koef, day in zip(("0.5", "0.6"), days, strict=True)
    ]
    return packet(rows, "KPG", "5.0", "01.01.2026")


BAD: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "overlapping validity": (lambda: _twice(("31.12.2026", "")), "BOOK_OVERLAP", "2, 4"),
    "UTF-8 said to be windows-1251": (
        lambda: packet(beds()).decode("cp1251").encode("utf-8"), "XML_ENCODING_MISMATCH", "book.xml",
    ),
    "windows-1251 said to be UTF-8": (
        lambda: packet(beds(), encoding="utf-8").decode("utf-8").encode("cp1251"), "XML_ENCODING_MISMATCH",
        "book.xml, byte",
    ),
    "text spoilt before": (
        lambda: packet(beds(), encoding="utf-8").replace("койка".encode(), SPOILT.encode()), "BOOK_ENCODING",
        "book.xml",
    ),
    "missing key": (lambda: packet(beds(85, IDK_PR="")), "BOOK_KEY", "85, 87"),
    "half a file": (lambda: packet(beds())[:-2000], "XML_SYNTAX", "line 6"),
    "half of the rows": (lambda: packet(beds(40)), "BOOK_SHRUNK", "v020"),
    "a date that is none": (lambda: packet(beds(85, DATEBEG="31.02.2026")), "BOOK_DATE", "85, 87, valid_from"),
    "ends before it begins": (lambda: packet(beds(85, DATEEND="01.01.2016")), "BOOK_REVERSED", "85, 87"),
    "no day of the edition": (lambda: packet(beds(), day=""), "BOOK_EDITION", "book.xml"),
    "a DOCTYPE": (
        lambda: packet(beds()).replace(b"<packet>", b'<!DOCTYPE packet [<!ENTITY a "b">]><packet>'), "XML_DTD", "line",
    ),
    "no rows": (lambda: packet([]), "BOOK_EMPTY", "book.xml"),
    "another document": (lambda: b"<html><body>404</body></html>", "BOOK_FORMAT", "line 1"),
    "an unknown book": (lambda: packet(beds(), kind="Sonstiges"), "BOOK_UNKNOWN", "book.xml"),
    "no column of the code": (
        lambda: packet([{"K_PRNAME": "койка", "DATEBEG": "01.10.2016"}]), "BOOK_COLUMN", "book.xml",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_book_is_refused_with_the_row_and_the_old_edition_stays(home: Path, name: str) -> None:
    make, fault, place = BAD[name]
    assert bring(home, packet(beds(), version="1.9", day="01.01.2025"))[0] == 0
    before, many = table(home, "v020"), kept(home, "v020")
    code, told = bring(home, make())
    assert (code, told[0]["state"]) == (3, "refused")
    assert told[0]["problems"][0]["code"] == fault
    assert told[0]["problems"][0]["place"].startswith(place)
    assert told[0]["problems"][0]["text"].split(":")[1].strip() != fault, "the fault has no text"
    assert (table(home, "v020"), kept(home, "v020"), table(home, "v026")) == (before, many, None)


def test_an_older_edition_does_not_follow_a_newer_one(home: Path) -> None:
    bring(home, packet(beds(86)))
    before = table(home, "v020")
    for version, day in (("1.9", "22.01.2026"), ("2.1", "21.01.2026"), ("1.9", "01.02.2026")):
        code, told = bring(home, packet(beds(86, K_PRNAME="x"), version=version, day=day))
        assert (code, faults(told)) == (3, [("BOOK_OLDER", "v020")])
        assert told[0]["problems"][0]["expected"] == "> 2.0 of 2026-01-22"
        assert table(home, "v020") == before
    code, told = bring(home, packet(beds(86, K_PRNAME="x"), version="1.9", day="01.01.2020"), "--anyway")
    assert (code, told[0]["state"], len(kept(home, "v020"))) == (0, "in", 2)


def test_an_edition_older_than_the_shipped_one_is_refused_too(home: Path) -> None:
    code, told = bring(home, packet(beds(), version="1.0", day="01.01.2016"))
    assert (code, faults(told)) == (3, [("BOOK_OLDER", "v020")])


def test_all_faults_are_told_at_once(home: Path) -> None:
    rows = [{"IDK_PR": "", "K_PRNAME": "x", "DATEBEG": "01.10.2016"} for _ in range(70)]
    _code, told = bring(home, packet(rows))
    assert (len(told[0]["problems"]), told[0]["problems_total"]) == (50, 70)


def test_rows_that_say_the_same_are_joined_and_two_names_are_told(home: Path) -> None:
    rows = [*beds(), {"IDK_PR": "85", "K_PRNAME": "иначе", "DATEBEG": "01.01.2020", "DATEEND": ""}, {"IDK_PR": ""}]
    code, told = bring(home, packet(rows))
    assert (code, told[0]["rows"]) == (0, {"v020": 85})
    remarks = {one["code"]: one["place"] for one in told[0]["remarks"]}
    assert remarks == {"BOOK_TWO_NAMES": "86, 88", "BOOK_BLANK": "book.xml", "BOOK_JOINED": "book.xml"}


def test_one_official_book_makes_all_its_tables_or_none(home: Path) -> None:
    row = {
        "IDHM": "1",
        "HMNAME": "x",
        "DIAG": "C50.1; C50.2",
        "HVID": "1",
        "HGR": "2",
        "IDMODP": "5",
        "DATEBEG": "20260101",
    }
    code, told = bring(home, packet([row], "HMet", "8.20", "24.02.2026"), "--anyway")
    assert (code, told[0]["books"]) == (0, ["v019", "v019_use"])
    assert (table(home, "v019_use") or b"").splitlines()[-1].decode() == "1;x;1;2;5;C50.1|C50.2;2026-01-01;"
    before = table(home, "v019")
    rows = [row, {**row, "HGR": "3"}]  # v019 could be made of it, v019_use cannot
    code, told = bring(home, packet(rows, "HMet", "8.21", "25.02.2026"), "--anyway")
    assert (code, faults(told), table(home, "v019")) == (3, [("BOOK_OVERLAP", "2, 4")], before)


def test_the_older_form_with_attributes(home: Path) -> None:
    rows = "".join(f'<REC IDPOL="{n}" POLNAME="пол {n}" DATEBEG="01.01.2011"/>' for n in (1, 2))
    data = (
        f'<?xml version="1.0" encoding="windows-1251"?><ROOT TYPE="Pol" VERSION="3.0" DATE="30.03.2018">{rows}</ROOT>'
    )
    code, told = bring(home, data.encode("cp1251"))
    assert (code, told[0]["rows"], told[0]["edition"]) == (0, {"sex": 2}, "3.0 of 2018-03-30")
    plain = data.replace(' TYPE="Pol" VERSION="3.0" DATE="30.03.2018"', "")
    code, told = bring(home, plain.encode("cp1251"), "--date", "01.02.2020", name="V005.xml")
    assert (code, told[0]["books"], told[0]["edition"]) == (0, ["sex"], "of 2020-02-01")


def test_rows_named_for_what_they_list_with_fields_inside_fields(home: Path) -> None:
    one = (
        "<insCompany><tf_okato>78000</tf_okato><smocod>76001</smocod><Ogrn>1027600000405</Ogrn>"
        "<insInclude><d_begin>01.01.2020</d_begin><d_end/></insInclude>"
        "<doc n='1'>x</doc><doc n='2'>y</doc></insCompany>"
    )
    other = one.replace("76001", "76002").replace("<d_end/>", "<d_end>31.12.2025</d_end>")
    data = f'<?xml version="1.0" encoding="windows-1251"?><packet ver="1.3" date="25.03.2026">{one}{other}</packet>'
    code, told = bring(home, data.encode("cp1251"), "--anyway")
    assert (code, told[0]["books"], told[0]["edition"]) == (0, ["f002", "f002_ogrn"], "1.3 of 2026-03-25")
    assert (table(home, "f002") or b"").decode().splitlines()[-2:] == [
        "76001;78000;1027600000405;2020-01-01;", "76002;78000;1027600000405;2020-01-01;2025-12-31",
    ]  # fmt: skip
    mixed = data.replace(other, other.replace("insCompany", "other"))
    assert faults(bring(home, mixed.encode("cp1251"))[1])[0][0] == "BOOK_FORMAT"


def test_a_zip_brings_several_books_the_newest_edition_of_each_in_force(home: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("V020_new.xml", packet(beds(87), version="2.2", day="01.03.2026"))
        archive.writestr("V020_old.xml", packet(beds(86), version="2.1", day="01.02.2026"))
        archive.writestr("bad.xml", packet(beds(86, DATEBEG="?"), version="2.3", day="01.04.2026"))
    code, told = bring(home, out.getvalue(), name="nsi.zip")
    assert code == 1  # some came in, one did not
    assert [(one["file"], one["state"]) for one in told] == [
        ("V020_new.xml", "in"), ("V020_old.xml", "in"), ("bad.xml", "refused"),
    ]  # fmt: skip
    assert b"# edition: 2.2 of 2026-03-01" in (table(home, "v020") or b"")
    assert len(kept(home, "v020")) == 2


def test_a_zip_that_hides_something_is_refused(home: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("V020.xml", packet(beds()))
    code, told = bring(home, b"MZ" * 50 + out.getvalue(), name="nsi.zip")
    assert (code, told[0]["state"]) == (3, "refused")
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("inner.zip", out.getvalue())
    code, told = bring(home, inner.getvalue(), name="nsi.zip")
    assert (code, faults(told)[0][0]) == (3, "ZIP_NESTED")


def test_a_dbf_comes_in(home: Path) -> None:
    out = io.BytesIO()
    columns = [
        Column("IDK_PR", "N", 3, 0),
        Column("K_PRNAME", "C", 40, 0),
        Column("DATEBEG", "D", 8, 0),
        Column("DATEEND", "D", 8, 0),
    ]
    rows = [[str(n), f"койка {n}", "2016-10-01", None] for n in range(1, 87)]
    write(out, columns, iter(rows), "cp866", date(2026, 2, 1))
    code, told = bring(home, out.getvalue(), name="V020.dbf")
    assert (code, told[0]["rows"], told[0]["edition"]) == (0, {"v020": 86}, "of 2026-02-01")
    code, told = bring(home, out.getvalue()[:-500], name="V020.dbf")
    assert (code, faults(told)[0][0]) == (3, "DBF_SIZE")


def test_columns_of_our_own_stay_when_a_new_edition_comes(home: Path) -> None:
    old = read_book(RuleData(), "federal", "rslt").rows.to_pylist()
    rows = [
        {"IDRMP": one["code"], "RMPNAME": one["name"], "DL_USLOV": one["usl_ok"], "DATEBEG": "01.01.2011"}
        for one in old
    ]
    rows = list({row["IDRMP"]: row for row in rows}.values())
    code, _told = bring(
        home,
        packet(
            [*rows, {"IDRMP": "399", "RMPNAME": "новый", "DL_USLOV": "3", "DATEBEG": "01.01.2026"}],
            "Rezult",
            "3.6",
            "09.06.2025",
        ),
    )
    assert code == 0
    new = {one["code"]: one for one in read_book(RuleData(str(home / "rules")), "federal", "rslt").rows.to_pylist()}
    assert (
        {one["code"] for one in old if one["death"] == "1"}
        == {code for code, one in new.items() if one["death"] == "1"}
        != set()
    )
    assert new["399"]["death"] is None


def test_codes_that_the_neighbour_lacks_are_told_or_refused(home: Path) -> None:
    row = {"ID_LEKP": "000001", "CODE_SH": "sh0001", "DATEBEG": "01.01.2026"}
    code, told = bring(home, packet([row, {**row, "ID_LEKP": "999999"}], "OnkLpsh", "2.4", "04.02.2026"), "--anyway")
    assert code == 0
    (remark,) = told[0]["remarks"]
    assert (remark["code"], remark["place"], remark["expected"]) == ("BOOK_NEIGHBOUR", "id_lekp -> n020", "999999")
    row = {"IDIZ": "501", "IZNAME": "исход", "DL_USLOV": "9", "DATEBEG": "01.01.2026"}
    code, told = bring(home, packet([row], "Ishod", "2.1", "01.01.2026"))
    assert (code, faults(told)) == (3, [("BOOK_NEIGHBOUR", "usl_ok -> usl_ok")])


def test_neighbours_may_come_together_in_any_order(home: Path, tmp_path: Path) -> None:
    drug = tmp_path / "a.xml"
    drug.write_bytes(
        packet([{"ID_LEKP": "999999", "MNN": "x", "DATEBEG": "01.01.2026"}], "OnkLekp", "1.18", "04.02.2026")
    )
    scheme = tmp_path / "b.xml"
    scheme.write_bytes(
        packet([{"ID_LEKP": "999999", "CODE_SH": "sh1", "DATEBEG": "01.01.2026"}], "OnkLpsh", "2.4", "03.02.2026")
    )
    code, told = bring(home, [scheme, drug], "--anyway")
    assert (code, [one["remarks"] for one in told]) == (0, [[], []])


def test_a_book_of_folders_of_profiles_is_laid_into_each(home: Path) -> None:
    rows = [{"IDPC": f"{n // 10}.{n % 10}", "N_PC": "цель", "DATEBEG": "01.01.2018"} for n in range(10, 32)]
    code, _told = bring(home, packet(rows, "KPC", "2.1", "18.02.2026"))
    assert code == 0
    assert table(home, "p_cel", "federal") == table(home, "p_cel", "mtr") != None  # noqa: E711
    assert read_book(RuleData(str(home / "rules")), "federal", "p_cel").rows.num_rows == 22


def test_what_the_file_does_not_say_a_person_says(home: Path) -> None:
    data = "CODE;NAME;DATEBEG\n" + "".join(f"{n};койка;01.10.2016\n" for n in range(1, 87))
    assert faults(bring(home, data.encode(), name="list.csv")[1]) == [("BOOK_UNKNOWN", "list.csv")]
    assert faults(bring(home, data.encode(), "--book", "v020", name="list.csv")[1]) == [("BOOK_EDITION", "list.csv")]
    code, told = bring(
        home, data.encode("cp1251"), "--book", "v020", "--date", "2026-02-01", "--version", "2.1", name="list.csv"
    )
    assert (code, told[0]["edition"], told[0]["rows"]) == (0, "2.1 of 2026-02-01", {"v020": 86})
    assert run(home, "nsi", "import", str(home.parent / "list.csv"), "--book", "nothing")[0] == 3


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("CODE;NAME;DATEBEG\n1;x\n", "BOOK_ROW"),
        ('CODE;NAME;DATEBEG\n1;"x;01.10.2016\n', "BOOK_ROW"),
        ("# rows: 3\nCODE;NAME;DATEBEG\n1;x;01.10.2016\n", "BOOK_ROW"),
        ("CODE;CODE;DATEBEG\n1;x;01.10.2016\n", "BOOK_FORMAT"),
        ("1;2;3\n1;x;01.10.2016\n", "BOOK_FORMAT"),
        ("# only words\n", "BOOK_EMPTY"),
        ("CODE;NAME;DATEBEG\n", "BOOK_EMPTY"),
        ("\x00\x01\x02", "BOOK_FORMAT"),
    ],
)
def test_a_bad_text_table(home: Path, text: str, fault: str) -> None:
    _code, told = bring(home, text.encode(), "--book", "v020", "--date", "2026-02-01", name="t.csv")
    assert faults(told)[0][0] == fault


def test_a_table_in_the_code_page_of_dos_is_refused(home: Path) -> None:
    text = "CODE;NAME;DATEBEG\n" + "".join(f"{n};для беременных и рожениц;01.10.2016\n" for n in range(1, 87))
    _code, told = bring(home, text.encode("cp866"), "--book", "v020", "--date", "2026-02-01", name="t.csv")
    assert faults(told) == [("BOOK_ENCODING", "t.csv")]


def test_a_kept_edition_can_be_brought_back(home: Path) -> None:
    bring(home, packet(beds(86)))
    first = table(home, "v020")
    bring(home, packet(beds(87), version="2.1", day="01.02.2026"))
    (old, _new) = kept(home, "v020")
    path = home / "rules" / "editions" / "v020" / old
    code, told = bring(home, [path], "--book", "v020", "--anyway")
    assert (code, told[0]["edition"], table(home, "v020")) == (0, "2.0 of 2026-01-22", first)


def test_the_list_says_what_is_in_force(home: Path) -> None:
    bring(home, packet(beds(86)))
    code, told = run(home, "nsi", "list", "--json")
    rows = {one["book"]: one for one in json.loads(told)}
    assert (rows["v020"]["edition"], rows["v020"]["own"], rows["v020"]["kept"]) == ("2.0 of 2026-01-22", True, 1)
    assert (rows["n002"]["edition"], rows["n002"]["own"], rows["n002"]["kept"]) == ("2.5 of 2018-12-29", False, 0)
    assert rows["r001"]["there"] is False
    assert rows["v020"]["limit_days"] == 1100  # brought in once, watched ever after
    assert [rows[name]["watched"] for name in ("v020", "n002", "sex")] == [True, False, False]
    assert (rows["n002"]["stale"], rows["n002"]["limit_days"]) == (True, 1100)  # the shipped one is told to be old
    assert code in (0, 1)
    assert "v020" in run(home, "nsi", "list")[1]


def test_a_book_that_was_brought_in_is_watched_by_the_period_of_registers(home: Path) -> None:
    bring(home, packet([{"IDLEKP": "1"}], "x"))  # refused: changes nothing
    rows = [{"ID_LEKP": f"{n:06}", "MNN": "x", "DATEBEG": "01.01.2019"} for n in range(1, 2472)]
    assert bring(home, packet(rows, "OnkLekp", "1.5", "01.02.2024"))[0] == 0
    rules = RuleData(str(home / "rules"))
    assert book_faults(rules, "federal", ["n020", "v020"], date(2025, 3, 7)) == []
    (fault,) = book_faults(rules, "federal", ["n020", "v020"], date(2025, 3, 8))
    assert (fault.code, fault.place, fault.expected) == ("BOOK_STALE", "n020", "400")
    assert book_faults(rules, "federal", ["nowhere"], date(2025, 1, 1))[0].code == "BOOK_MISSING"


def test_templates_come_in_as_they_are(home: Path) -> None:
    for book in ("mo", "tariffs", "volumes", "licences", "f004", "departments", "doctors", "services", "o002", "v001"):
        code, text = run(home, "nsi", "template", book)
        assert code == 0
        head = [line for line in text.splitlines() if not line.startswith("#")]
        assert len(head) == 2
        assert head[0].count(";") == head[1].count(";")
        code, told = bring(home, text.encode(), "--anyway", name=f"own_{book}.csv")
        assert (code, [one["code"] for one in told[0]["problems"]], book in told[0]["books"]) == (0, [], True), book
        folder = "federal" if book in ("mo", "tariffs", "volumes") else "common"
        assert table(home, book, folder), book
        assert read_book(RuleData(str(home / "rules")), "federal", book).rows.num_rows == 1
    assert run(home, "nsi", "template", "nothing")[0] == 3


def test_a_word_amiss_in_the_head_of_a_template_is_refused(home: Path) -> None:
    _code, text = run(home, "nsi", "template", "licences")
    spoilt = text.replace("valid_from;valid_to", "valid_from;valid_too")
    code, told = bring(home, spoilt.encode(), name="own.csv")
    assert (code, told[0]["problems"][0]["code"], told[0]["problems"][0]["found"]) == (3, "BOOK_COLUMN", "VALID_TOO")


def test_codes_of_other_books_in_a_template_must_exist(home: Path) -> None:
    _code, text = run(home, "nsi", "template", "licences")
    code, told = bring(home, text.replace("760001;3;", "760001;9;").encode(), name="own.csv")
    assert (code, faults(told)) == (3, [("BOOK_NEIGHBOUR", "usl_ok -> usl_ok")])


def test_a_disk_that_fails_at_any_step_leaves_old_or_new_and_the_next_import_settles_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"IDHM": "1", "HMNAME": "x", "DIAG": "C50.1", "HVID": "1", "HGR": "2", "IDMODP": "5", "DATEBEG": "01.01.2026"}
    assert bring(home, packet([row], "HMet", "8.20", "24.02.2026"), "--anyway")[0] == 0
    names = ("v019", "v019_use")
    old = [table(home, name) for name in names]
    path = home.parent / "new.xml"
    path.write_bytes(packet([row, {**row, "IDHM": "2"}], "HMet", "8.21", "25.02.2026"))
    failed = 0
    with open_site(str(home)) as site:
        for number in itertools.count(1):
            count = itertools.count(1)

            def fail(_name: str = "", at: int = number, count: Iterator[int] = count) -> None:
                if next(count) == at:
                    raise OSError(28, "no space")

            with monkeypatch.context() as patched:
                patched.setattr(fsio, "point", fail)
                try:
                    nsi.bring_in(site, [str(path)], who="test")
                    break
                except OSError:
                    failed += 1
            now = [table(home, name) for name in names]
            rows = [
                (found or b"").count(b"\n") - (before or b"").count(b"\n")
                for found, before in zip(now, old, strict=True)
            ]
            assert set(rows) <= {0, 1}, "half a table"
            assert [*home.glob("rules/**/.tmp-*")] == []
    assert failed >= 8
    assert [len((table(home, name) or b"").splitlines()) for name in names] == [6, 6]
    assert {name: len(kept(home, name)) for name in names} == {"v019": 2, "v019_use": 2}
