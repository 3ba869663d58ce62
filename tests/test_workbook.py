"""The workbook: text only, the important columns first, the same bytes for the same input."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest

from oms_batch import i18n
from oms_batch.model import Totals
from oms_batch.reply import workbook
from oms_batch.reply.workbook import write_workbook
from tests.reply_answers import ABOUT, FORMULA, PLAN, TEXTS, judged


def made(scratch: Path | None = None, lang: str = "en", **given: object) -> bytes:
    out = io.BytesIO()
    about = replace(ABOUT, **given)  # type: ignore[arg-type]
    write_workbook(judged(), out, about, TEXTS, PLAN, scratch=str(scratch) if scratch else None, lang=lang)
    return out.getvalue()


def sheet(raw: bytes, index: int) -> list[tuple[object, ...]]:
    return list(openpyxl.load_workbook(io.BytesIO(raw)).worksheets[index].iter_rows(values_only=True))


def test_the_head_is_frozen_and_says_first_what_matters_first() -> None:
    raw = made()
    book = openpyxl.load_workbook(io.BytesIO(raw))
    assert book.sheetnames == ["Refusals", "Totals", "Plan of checks"]
    assert book.worksheets[0].freeze_panes == "B2"
    assert sheet(raw, 0)[0][:5] == ("Account no.", "Period", "Message", "Value found", "What to do")


def test_every_finding_has_its_line_and_money_stands_once() -> None:
    rows = [tuple(one or "" for one in row[:9]) for row in sheet(made(), 0)[1:]]
    assert rows == [
        (
            "1",
            "2026-10",
            "Diagnosis is not paid",
            "account 77, organisation 102, register of 2026-10-03",
            "Check it",
            "K.1",
            "1.6.1",
            "53",
            "125.50",
        ),
        ("1", "2026-10", "Sex is wrong", FORMULA, "Mend it", "F.1", "1.4.4", "207", ""),
        ("2", "2026-10", "E.1", "", "", "E.1", "3.2.1", "53", "50.00"),
        ("4", "2026-10", "Sex is wrong", "5 [31m", "Mend it", "F.1", "1.4.4", "53", "1,234,000.00"),
    ]


def test_no_cell_is_a_formula_a_link_or_a_number(tmp_path: Path) -> None:
    for raw in (made(), made(tmp_path)):
        archive = zipfile.ZipFile(io.BytesIO(raw))
        for name in archive.namelist():
            content = archive.read(name)
            assert b"<f>" not in content and b"<hyperlink" not in content, name
        for one in openpyxl.load_workbook(io.BytesIO(raw)).worksheets:
            for cell in (cell for row in one.iter_rows() for cell in row if cell.value is not None):
                assert cell.data_type in ("s", "inlineStr")
                assert "\u202e" not in str(cell.value)
    assert list(tmp_path.iterdir()) == []


def test_russian_sums_and_dates() -> None:
    rows = sheet(made(lang="ru"), 0)
    assert rows[4][8] == "1\u00a0234\u00a0000,00"
    assert rows[1][1] == "10.2026"
    assert rows[1][10] == "01.10.2026–02.10.2026"
    assert str(rows[1][3]).endswith("03.10.2026")
    assert rows[1][2] == "Диагноз не оплачивается"


def test_totals_by_cause_and_plan() -> None:
    raw = made()
    rows = [tuple(one for one in row if one) for row in sheet(raw, 1)]
    assert ("Received", "2026-11-03 10:05 Moscow time · after the deadline") in rows
    assert ("Refused", "3 accounts, 1,234,567.89 roubles") in rows
    at = rows.index(("Cause", "Defect", "Code F014", "Check", "Accounts", "Refused, roubles"))
    assert rows[at + 1 :] == [
        ("Sex is wrong", "1.4.4", "53", "F.1", "1", "1,234,000.00"),
        ("Diagnosis is not paid", "1.6.1", "53", "K.1", "1", "125.50"),
        ("E.1", "3.2.1", "53", "E.1", "1", "50.00"),
        ("In all", "3", "1,234,175.50"),
    ]
    plan = [row[:2] + row[2:6] for row in sheet(raw, 2)]
    assert plan[1] == ("K.1", "Diagnosis is not paid", "faults found", "2", "4", None)
    assert plan[2][2:] == ("skipped", "0", "0", "нет справочника")


def test_the_same_input_gives_the_same_bytes_and_the_moment_of_receipt_is_its_date(tmp_path: Path) -> None:
    assert made() == made()
    assert made(tmp_path) == made(tmp_path)
    for raw in (made(), made(tmp_path)):
        assert {one.date_time[0] for one in zipfile.ZipFile(io.BytesIO(raw)).infolist()} == {1980}
    later = made(received_at="2026-11-04T07:05:00+00:00")
    properties = openpyxl.load_workbook(io.BytesIO(later)).properties
    created = properties.created
    assert properties.modified == created
    assert created is not None and created.isoformat() == "2026-11-04T10:05:00"


def test_nothing_refused_is_said() -> None:
    out = io.BytesIO()
    con = judged()
    con.execute("UPDATE verdicts SET refused = false, withheld = 0")
    write_workbook(con, out, replace(ABOUT, refused=Totals()), TEXTS, PLAN, lang="en")
    assert sheet(out.getvalue(), 0)[1][0] == "Nothing is refused"


def test_rows_that_do_not_fit_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "ROWS", 2)
    assert sheet(made(), 0)[3][0] == "… more rows do not fit into a sheet"


def test_the_language_in_force_stays() -> None:
    before = i18n.language()
    made(lang="en")
    assert i18n.language() == before
