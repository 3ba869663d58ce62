"""The XLSX twin of an answer: text cells only, so nothing in it is ever a formula or a link."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, BinaryIO

import duckdb
import xlsxwriter

from oms_batch.clock import MOSCOW
from oms_batch.i18n import _
from oms_batch.model import PlanRow
from oms_batch.reply import people
from oms_batch.reply.marks import Texts
from oms_batch.reply.rows import About, causes, facts_of, plan_rows, refused_rows
from oms_batch.reply.tags import NOT_XML

ROW_HEIGHT = 15  # points, one line
ROWS = 1_000_000  # a sheet holds 1,048,576
CELL = 32_767


def write_workbook(
    con: duckdb.DuckDBPyConnection,
    out: BinaryIO,
    about: About,
    texts: Texts,
    plan: Sequence[PlanRow],
    *,
    scratch: str | None = None,
    keep: str = "true",
    lang: str = "ru",
) -> None:
    """Write the workbook to ``out`` (seekable). Its date is the moment of receipt: same input, same bytes.

    ``scratch`` is a folder for the rows on their way; without it they stay in memory.
    """
    options: dict[str, Any] = {
        "constant_memory": scratch is not None,
        "in_memory": scratch is None,
        "tmpdir": scratch,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with people.speaking(lang), xlsxwriter.Workbook(out, options) as book:
        made = datetime.fromisoformat(about.received_at).astimezone(MOSCOW).replace(tzinfo=None)
        book.set_properties({"title": about.file, "created": made, "author": "oms-batch"})
        looks = _looks(book)
        _refused_sheet(book, looks, con, about, texts, keep)
        _causes_sheet(book, looks, con, about, texts, keep)
        _plan_sheet(book, looks, plan, texts)


def _looks(book: xlsxwriter.Workbook) -> dict[str, Any]:
    border = {"bottom": 1, "bottom_color": "#D5DBE3", "valign": "top", "font_name": "Arial", "font_size": 10}
    return {
        "head": book.add_format(
            {**border, "bold": True, "text_wrap": True, "bg_color": "#E8EEF6", "valign": "vcenter", "bottom": 2}
        ),
        "text": book.add_format({**border, "text_wrap": True}),
        "code": book.add_format(border),
        "sum": book.add_format({**border, "align": "right"}),
        "bold": book.add_format({**border, "bold": True}),
    }


def _sheet(
    book: xlsxwriter.Workbook, looks: dict[str, Any], name: str, columns: Sequence[tuple[str, int, str]], at: int = 0
) -> Any:
    sheet = book.add_worksheet(name)
    for column, (_title, width, look) in enumerate(columns):
        sheet.set_column(column, column, width, looks[look])
    if at == 0:
        _line(sheet, looks, 0, [(title, "head") for title, _width, _look in columns])
        sheet.freeze_panes(1, 1)
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)
    return sheet


def _line(sheet: Any, looks: dict[str, Any], row: int, cells: Iterable[tuple[str, str]]) -> None:
    for column, (value, look) in enumerate(cells):
        if value:
            sheet.write_string(row, column, NOT_XML.sub(" ", value)[:CELL], looks[look])


def _lines(values: Sequence[str], columns: Sequence[tuple[str, int, str]]) -> int:
    """How many lines the tallest cell of a row takes when its text is wrapped."""
    wrapped = (
        -(-len(value) // width) for value, (_title, width, look) in zip(values, columns, strict=True) if look == "text"
    )
    return max(1, *wrapped)


def _refused_sheet(
    book: xlsxwriter.Workbook,
    looks: dict[str, Any],
    con: duckdb.DuckDBPyConnection,
    about: About,
    texts: Texts,
    keep: str,
) -> None:
    columns = [
        (_("Account no."), 12, "code"),
        (_("Period"), 10, "code"),
        (_("Message"), 46, "text"),
        (_("Value found"), 26, "text"),
        (_("What to do"), 46, "text"),
        (_("Check"), 14, "code"),
        (_("Defect"), 9, "code"),
        (_("Code F014"), 9, "code"),
        (_("Refused, roubles"), 15, "sum"),
        (_("Person"), 30, "text"),
        (_("Treated"), 23, "code"),
        (_("Key of the account"), 38, "code"),
    ]
    looks_of = [look for _title, _width, look in columns]
    sheet = _sheet(book, looks, _("Refusals"), columns)
    row = 0
    for row, one in enumerate(refused_rows(con, texts, about.period, keep=keep), 1):
        if row > ROWS:
            _line(sheet, looks, row, [(_("… more rows do not fit into a sheet"), "bold")])
            break
        cells = (one.account, one.period, one.message, one.value, one.advice, one.rule, one.defect, one.kod)
        more = (people.money(one.kopecks), one.person, one.treated, one.xkey)
        sheet.set_row(row, ROW_HEIGHT * _lines((*cells, *more), columns))
        _line(sheet, looks, row, zip((*cells, *more), looks_of, strict=True))
    if row == 0:
        _line(sheet, looks, 1, [(_("Nothing is refused"), "bold")])
    else:
        sheet.autofilter(0, 0, min(row, ROWS), len(columns) - 1)
    sheet.repeat_rows(0)


def _causes_sheet(
    book: xlsxwriter.Workbook,
    looks: dict[str, Any],
    con: duckdb.DuckDBPyConnection,
    about: About,
    texts: Texts,
    keep: str,
) -> None:
    columns = [
        (_("Cause"), 60, "text"),
        (_("Defect"), 40, "code"),
        (_("Code F014"), 10, "code"),
        (_("Check"), 14, "code"),
        (_("Accounts"), 12, "sum"),
        (_("Refused, roubles"), 18, "sum"),
    ]
    sheet = _sheet(book, looks, _("Totals"), columns, at=1)
    row = 0
    for row, (name, value) in enumerate(facts_of(about)):
        _line(sheet, looks, row, [(name, "bold"), (value, "code")])
    row += 2
    _line(sheet, looks, row, [(title, "head") for title, _width, _look in columns])
    found = causes(con, texts, keep=keep)
    for row, one in enumerate(found, row + 1):  # noqa: B020
        cells = (one.message, one.defect, one.kod, one.rule, people.number(one.accounts), people.money(one.kopecks))
        _line(sheet, looks, row, zip(cells, [look for _t, _w, look in columns], strict=True))
    accounts, lost = sum(one.accounts for one in found), sum(one.kopecks for one in found)
    last = [(_("In all"), "bold"), ("", "code"), ("", "code"), ("", "code")]
    _line(sheet, looks, row + 1, [*last, (people.number(accounts), "sum"), (people.money(lost), "sum")])


def _plan_sheet(book: xlsxwriter.Workbook, looks: dict[str, Any], plan: Sequence[PlanRow], texts: Texts) -> None:
    columns = [
        (_("Check"), 14, "code"),
        (_("What is checked"), 70, "text"),
        (_("Outcome"), 18, "code"),
        (_("Faults"), 10, "sum"),
        (_("Looked at"), 12, "sum"),
        (_("Reason"), 40, "text"),
    ]
    sheet = _sheet(book, looks, _("Plan of checks"), columns)
    for row, cells in enumerate(plan_rows(plan, texts), 1):
        _line(sheet, looks, row, zip(cells, [look for _t, _w, look in columns], strict=True))
    sheet.repeat_rows(0)
