"""Real packets of reference books: all of them come in, with so many rows; the shipped tables are made from them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from oms_batch.formats.book_file import read_books
from oms_batch.judge.bookindex import edition_of, load_index
from oms_batch.judge.books import read_book
from oms_batch.ruledata import RuleData
from tests.make_books import SHIPPED, made, recipes
from tests.nsi_tools import bring, faults, make_home

DATA = os.environ.get("OMS_REFERENCE_DATA", "")
needs_data = pytest.mark.skipif(not DATA, reason="OMS_REFERENCE_DATA is not set: no real packet is read")

# file → rows of the file, tables that it makes and their rows
PACKETS: dict[str, tuple[int, dict[str, int]]] = {
    "xml/KSG_v1.2_26.12.2018_1446rows.xml": (1446, {"v023": 852, "v023_koef": 1416}),
    "xml/N002.xml": (311, {"n002": 311}),
    "xml/N004.xml": (355, {"n004": 355}),
    "xml/N005.xml": (209, {"n005": 209}),
    "xml/OnkStad_v2.5_29.12.2018_311rows.xml": (311, {"n002": 311}),
    "xml/ProfOt_v3.0_30.03.2018_155rows.xml": (155, {"profil": 155}),
    "xml/Rezult_v3.1_13.04.2018_106rows.xml": (106, {"rslt": 106}),
    "xml/VidExp_v3.1_04.04.2018_25rows.xml": (25, {"f006": 25}),
    "xml_2016/F005_.xml": (4, {"f005": 4}),
    "xml_2016/F006.xml": (3, {"f006": 3}),
    "xml_2016/F007.xml": (53, {"f007": 53}),
    "xml_2016/F008.xml": (5, {"vpolis": 5}),
    "xml_2016/F009.xml": (2, {"f009": 2}),
    "xml_2016/F010.xml": (88, {"f010": 88}),
    "xml_2016/F011_УДЛ_.xml": (26, {"doctype": 26}),
    "xml_2016/F014.xml": (141, {"f014": 128}),
    "xml_2016/F015.xml": (10, {"f015": 10}),
    "xml_2016/R001.xml": (18, {"r001": 18}),
    "xml_2016/R002.xml": (4, {"r002": 4}),
    "xml_2016/R003.xml": (4, {"r003": 4}),
    "xml_2016/R004.xml": (3, {"r004": 3}),
    "xml_2016/R005.xml": (8, {"r005": 8}),
    "xml_2016/R006.xml": (5, {"r006": 5}),
    "xml_2016/R007.xml": (2, {"r007": 2}),
    "xml_2016/R008.xml": (2, {"r008": 2}),
    "xml_2016/R009.xml": (7, {"r009": 7}),
    "xml_2016/R010.xml": (12, {"r010": 12}),
    "xml_2016/R011.xml": (4, {"r011": 4}),
    "xml_2016/R012.xml": (3, {"r012": 3}),
    "xml_2016/R013.xml": (80, {"r013": 80}),
    "xml_2016/V002.xml": (152, {"profil": 152}),
    "xml_2016/V003.xml": (1157, {"v003": 1151}),
    "xml_2016/V005.xml": (2, {"sex": 2}),
    "xml_2016/V006.xml": (4, {"usl_ok": 4}),
    "xml_2016/V008.xml": (11, {"vidpom": 11}),
    "xml_2016/V010.xml": (43, {"idsp": 43}),
    "xml_2016/V012.xml": (17, {"ishod": 17}),
    "xml_2016/V013.xml": (10, {"v013": 10}),
    "xml_2016/V014.xml": (3, {"for_pom": 3}),
    "xml_2016/V015.xml": (283, {"v015": 282}),
    "xml_2016/V016.xml": (13, {"v016": 13}),
    "xml_2016/V017.xml": (14, {"v017": 14}),
    "xml_2016/V018.xml": (191, {"v018": 191}),
    "xml_2016/V019.xml": (920, {"v019": 521, "v019_use": 920}),
}
ODD = {  # what is not as it should be in them, and is told
    "F011_УДЛ_.xml": {"BOOK_EXTRA"},
    "F014.xml": {"BOOK_JOINED", "BOOK_EXTRA"},
    "KSG_v1.2_26.12.2018_1446rows.xml": {"BOOK_TWO_NAMES", "BOOK_JOINED"},
    "R011.xml": {"BOOK_DATE_ODD"},
    "R012.xml": {"BOOK_BOM", "BOOK_DATE_ODD"},
    "V003.xml": {"BOOK_TWO_NAMES", "BOOK_JOINED"},
    "V015.xml": {"BOOK_BLANK"},
    "V019.xml": {"BOOK_JOINED", "BOOK_EXTRA"},
}


@needs_data
def test_every_real_packet_is_named_here() -> None:
    folder = Path(DATA) / "nsi"
    there = {f"{path.parent.name}/{path.name}" for path in folder.glob("xml*/*.xml")}
    assert there == set(PACKETS)
    assert len(there) == 44


@needs_data
def test_all_real_packets_come_in_together(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    files = [Path(DATA) / "nsi" / name for name in PACKETS]
    code, told = bring(home, files, "--anyway")
    assert (code, faults(told)) == (0, [])
    assert {name: (one["read"], one["rows"]) for name, one in zip(PACKETS, told, strict=True)} == PACKETS
    odd = {one["file"]: {remark["code"] for remark in one["remarks"]} - {"BOOK_NEIGHBOUR"} for one in told}
    assert {name: codes for name, codes in odd.items() if codes} == ODD
    rules = RuleData(str(home / "rules"))
    for name in {table for _, tables in PACKETS.values() for table in tables}:
        assert read_book(rules, "federal", name).rows.num_rows > 0
    # of two editions of one book the newer is in force, whatever the order of the files
    assert read_book(rules, "federal", "profil").rows.num_rows == 155
    assert str(edition_of(rules.read("common/books/f006.csv"))) == "3.1 of 2018-04-04"


@needs_data
def test_without_being_told_no_real_packet_replaces_a_newer_shipped_book(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    files = [Path(DATA) / "nsi" / "xml_2016" / f"{name}.xml" for name in ("V018", "V019", "F006", "V016", "F014")]
    code, told = bring(home, files)
    assert (code, {one["code"] for row in told for one in row["problems"]}) == (3, {"BOOK_OLDER"})


@needs_data
@pytest.mark.parametrize("name", recipes())
def test_the_shipped_table_is_what_our_importer_makes(name: str) -> None:
    table = made(name, recipes()[name], Path(DATA))
    shipped = (SHIPPED / f"{name}.csv").read_bytes()
    assert table.text == shipped, "run: python -m tests.make_books"


@needs_data
@pytest.mark.parametrize(
    ("file", "book", "column"),
    [
        ("csv/V008_script543.csv", "vidpom", "IDVMP"),
        ("csv/V010_script544.csv", "idsp", "IDSP"),
        ("csv/V025_script0.csv", "p_cel", "IDPC"),
        ("csv/V021.csv", "prvs", "CODE"),
        ("xml/ProfOt_v3.0_30.03.2018_155rows.xml", "profil", "IDPR"),
        ("xml/Rezult_v3.1_13.04.2018_106rows.xml", "rslt", "IDRMP"),
        ("xml_2016/V012.xml", "ishod", "IDIZ"),
        ("xml_2016/F011_УДЛ_.xml", "doctype", "IDDOC"),
        ("csv/M001_oplata_status_script618.csv", "icd10", "IDDS"),
    ],
)
def test_tables_that_were_there_first_have_the_codes_of_the_book(file: str, book: str, column: str) -> None:
    path = Path(DATA) / "nsi" / file
    (source,) = read_books(path.name, path.read_bytes())
    shipped = read_book(RuleData(), "federal", book).rows.column("code").to_pylist()
    codes = {row.values[column] for row in source.rows} - {""}
    assert {code.replace("О90", "O90") for code in codes} == set(shipped)  # M001 has it with a Russian letter


def test_every_shipped_book_can_be_read_and_its_codes_have_their_neighbours() -> None:
    """Needs no reference data: codes that name another book stand there, but for those that the books lack."""
    rules, index = RuleData(), load_index(RuleData(), "federal")
    lacking = {}
    for entry in index.values():
        for point in entry.points:
            try:
                rows = read_book(rules, "federal", entry.name).rows
                there = set(read_book(rules, "federal", point.book).rows.column(point.key).to_pylist())
            except Exception:  # noqa: BLE001 - a book that is not shipped
                continue
            values = {part for cell in rows.column(point.column).to_pylist() if cell for part in cell.split("|")}
            if missing := values - there:
                lacking[f"{entry.name}.{point.column}"] = len(missing)
    assert lacking == LACKING


LACKING = {"n006.id_t": 2}  # the edition of N003 at hand is newer than that of N006


def test_refusal_codes_are_those_of_the_book() -> None:
    """The table of defects is written by hand: every code that it gives is a code of F014."""
    rules = RuleData()
    codes = set(read_book(rules, "federal", "f014").rows.column("code").to_pylist())
    used = set(read_book(rules, "federal", "defects").rows.column("kod").to_pylist()) - {None}
    assert used
    assert used <= codes
