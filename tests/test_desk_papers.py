"""Invoices and sums: only after the accepted file, only from its sums."""

from __future__ import annotations

import io
import re
from datetime import date
from typing import Any

import openpyxl
import pytest
from lxml import html

from oms_batch.desk import invoice as papers
from oms_batch.desk import sums
from oms_batch.errors import WrongState
from oms_batch.exchange import Profile, load_profile
from oms_batch.model import NamedFile, Totals

DAY = date(2026, 12, 7)
NAMED = NamedFile("x", "x", "1027600000108", "760401001", "2026-11", "1", "5", "P", ".7z")
ROWS: list[dict[str, Any]] = [
    {"payer": "P", "usl_ok": "3", "vg": "2", "kopecks": 123456789},
    {"payer": "P", "usl_ok": "3", "vg": "16", "kopecks": 11, "accounts": 2},
    {"payer": "P", "usl_ok": "1", "vg": "1", "kopecks": 200},
    {"payer": "R", "usl_ok": "4", "vg": "6", "kopecks": 5000, "age": "дети"},
]


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load_profile("yaroslavl")


def make(profile: Profile, rows: Any, **other: Any) -> papers.Invoice:
    values = {"profile": profile, "named": NAMED, "payer": "P", "rows": rows, "day": DAY, "seller": "Больница <1>"}
    return papers.make_invoice(**{**values, **other})


def text_of(page: bytes) -> str:
    return " ".join(html.fromstring(page.decode()).text_content().split())


def test_no_invoice_and_no_sums_before_the_accepted_file(profile: Profile) -> None:
    for attempt in (
        lambda: make(profile, None),
        lambda: sums.tally(profile, "r", "2026-11", "МО", None, DAY),
    ):
        with pytest.raises(WrongState) as caught:
            attempt()
        assert caught.value.code == "STAGE_ORDER"


def test_invoice_adds_up_by_conditions_of_care(profile: Profile) -> None:
    made = make(profile, [row for row in ROWS if row["payer"] == "P"])
    assert [(line.care, line.totals) for line in made.lines] == [
        ("Стационарно", Totals(1, 200)),
        ("Амбулаторно", Totals(3, 123456800)),
    ]
    assert made.total == Totals(4, 123457000)
    assert (made.buyer.name, made.buyer.ogrn, made.buyer.code) == (
        "Страховая компания «Пример-П»",
        "1027600000405",
        "76001",
    )
    assert made.seller == papers.Party("Больница <1>", "1027600000108", "760401001")


def test_invoice_page_says_all_and_is_self_contained(profile: Profile) -> None:
    page = papers.invoice_html(make(profile, [row for row in ROWS if row["payer"] == "P"], basis="F5P.7z"))
    text = text_of(page)
    for part in (
        "Счёт на оплату № 2611-1-P от 7 декабря 2026 г.",
        "за ноябрь 2026 г.",
        "Больница <1>",
        "ОГРН 1027600000108, КПП 760401001",
        "ОГРН 1027600000405",
        "реестр персональных счетов 1027600000108-760401001-202611-1",
        "F5P.7z",
        "1 234 570,00",
        "Один миллион двести тридцать четыре тысячи пятьсот семьдесят рублей 00 копеек",
        "Руководитель",
        "Главный бухгалтер",
    ):
        assert part in text, part
    assert b"Bol" not in page and b"<1>" not in page, "what comes from outside is escaped"
    assert not re.search(rb"(src|href)\s*=|@import|url\(", page), "nothing is loaded from elsewhere"
    assert page == papers.invoice_html(make(profile, [row for row in ROWS if row["payer"] == "P"], basis="F5P.7z"))


def test_zero_invoice(profile: Profile) -> None:
    made = make(profile, [])
    assert made.total == Totals()
    assert "Ноль рублей 00 копеек" in text_of(papers.invoice_html(made))


def test_numbers_differ_by_period_register_and_payer(profile: Profile) -> None:
    other = NamedFile("x", "x", NAMED.ogrn_mo, NAMED.kpp_mo, "2026-11", "2", "5", "P", ".7z")
    numbers = [papers.invoice_number(profile, one, payer) for one in (NAMED, other) for payer in ("P", "R")]
    assert numbers == ["2611-1-P", "2611-1-R", "2611-2-P", "2611-2-R"]
    papers.check_numbers([make(profile, []), make(profile, [], payer="R"), make(profile, [])])
    with pytest.raises(WrongState, match="INVOICE_NUMBER"):
        papers.check_numbers([make(profile, []), make(profile, [], payer="R", number="2611-1-P")])


def test_an_unknown_payer_is_told(profile: Profile) -> None:
    with pytest.raises(WrongState, match="PAYER_UNKNOWN: Q"):
        make(profile, [], payer="Q")


def test_a_payer_who_closed_since_is_still_named(profile: Profile) -> None:
    old = NamedFile("x", "x", NAMED.ogrn_mo, NAMED.kpp_mo, "2017-12", "1", "5", "Z", ".7z")
    assert "закрыта" in make(profile, [], named=old, payer="Z", day=date(2018, 1, 15)).buyer.name


def test_sums_by_payer_and_care(profile: Profile) -> None:
    table = sums.tally(profile, NAMED.register, "2026-11", "МО", ROWS, DAY)
    assert [(row.payer, row.usl_ok, row.vg, row.totals) for row in table.rows] == [
        ("P", "1", "1", Totals(1, 200)),
        ("P", "3", "2", Totals(1, 123456789)),
        ("P", "3", "16", Totals(2, 11)),
        ("R", "4", "6", Totals(1, 5000)),
    ]
    assert [(code, total) for code, _name, _rows, total in table.by_payer] == [
        ("P", Totals(4, 123457000)),
        ("R", Totals(1, 5000)),
    ]
    assert table.total == Totals(5, 123462000)


def test_sums_page_and_workbook_show_the_same(profile: Profile) -> None:
    table = sums.tally(profile, NAMED.register, "2026-11", "=HYPERLINK(1)", ROWS, DAY)
    text = text_of(sums.sums_html(table))
    for part in ("Суммы для счетов за ноябрь 2026 г.", "1 234 570,00", "1 234 620,00", "дети"):
        assert part in text, part
    book = sums.sums_xlsx(table, DAY)
    sheet = openpyxl.load_workbook(io.BytesIO(book)).active
    cells = [[cell.value for cell in row] for row in sheet.iter_rows(min_row=5)]
    assert cells[0][:5] == ["P", "Страховая компания «Пример-П»", "1", "Стационарно", "Стационар и дневной стационар"]
    assert cells[1][6:] == [1, 1234567.89]
    assert cells[-1][6:] == [5, 1234620]
    assert all(isinstance(cell, str) for row in cells for cell in row[:6] if cell is not None), "codes are text"
    assert sheet["A2"].data_type == "s", "no text becomes a formula"
    assert book == sums.sums_xlsx(table, DAY), "same table, same bytes"


def test_kinds_of_registers_are_shown_only_when_known(profile: Profile) -> None:
    plain = [{key: row[key] for key in ("payer", "usl_ok", "kopecks")} for row in ROWS]
    pages = [
        text_of(sums.sums_html(sums.tally(profile, NAMED.register, "2026-11", "", rows, DAY))) for rows in (ROWS, plain)
    ]
    assert ["Вид реестра" in page for page in pages] == [True, False]
    assert "Стоматология" in pages[0] and all("1 234 6" in page for page in pages)


def test_sums_of_nothing(profile: Profile) -> None:
    table = sums.tally(profile, NAMED.register, "2026-11", "", [], DAY)
    assert "Принятых счетов за период нет" in text_of(sums.sums_html(table))
    assert sums.sums_xlsx(table, DAY)
