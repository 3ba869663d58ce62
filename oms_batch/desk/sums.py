"""«Суммы для счетов»: what each payer accepted, by conditions of care. A table for Excel and a page."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import xlsxwriter

from oms_batch import textform
from oms_batch.desk.invoice import names_of, payer_on, render_page
from oms_batch.errors import WrongState
from oms_batch.exchange import Profile
from oms_batch.model import Totals


@dataclass(frozen=True, slots=True)
class SumRow:
    """Accounts accepted by one payer in one condition of care, kind of register and age group."""

    payer: str
    payer_name: str
    usl_ok: str
    care: str
    vg: str
    register_kind: str
    age: str
    totals: Totals


@dataclass(frozen=True, slots=True)
class SumTable:
    """The rows, in order of payer; ``register`` and ``period`` for the heading."""

    register: str
    period: str
    organisation: str
    rows: tuple[SumRow, ...]

    @property
    def total(self) -> Totals:
        return sum((row.totals for row in self.rows), Totals())

    @property
    def by_payer(self) -> list[tuple[str, str, list[SumRow], Totals]]:
        """(letter, name, rows, total) for each payer."""
        groups: dict[str, list[SumRow]] = {}
        for row in self.rows:
            groups.setdefault(row.payer, []).append(row)
        return [
            (code, rows[0].payer_name, rows, sum((row.totals for row in rows), Totals()))
            for code, rows in groups.items()
        ]


def tally(
    profile: Profile,
    register: str,
    period: str,
    organisation: str,
    rows: Iterable[Mapping[str, Any]] | None,
    day: date,
) -> SumTable:
    """Sum up accepted accounts: ``payer usl_ok kopecks`` and, if there, ``vg``, ``age``, ``accounts``.

    ``None``: the files of accepted accounts are not in, ``WrongState("STAGE_ORDER")``.
    """
    if rows is None:
        raise WrongState("STAGE_ORDER", register)
    found: dict[tuple[str, str, str, str], Totals] = {}
    for row in rows:
        key = (str(row["payer"]), str(row["usl_ok"]), str(row.get("vg") or ""), str(row.get("age") or ""))
        found[key] = found.get(key, Totals()) + Totals(int(row.get("accounts", 1)), int(row["kopecks"]))
    care, kinds = names_of(profile, "usl_ok"), names_of(profile, "vg")
    table = tuple(
        SumRow(
            payer,
            payer_on(profile, payer, day, period).name,
            usl_ok,
            care.get(usl_ok, usl_ok),
            vg,
            kinds.get(vg, vg),
            age,
            totals,
        )
        for (payer, usl_ok, vg, age), totals in sorted(found.items(), key=lambda item: _order(item[0]))
    )
    return SumTable(register, period, organisation, table)


def _order(key: Sequence[str]) -> list[tuple[int, str]]:
    return [(int(part) if part.isdigit() else 0, part) for part in key]


def sums_html(table: SumTable) -> bytes:
    """The report as one self-contained page for A4 paper, UTF-8."""
    return render_page("sums.html.j2", table=table, total=table.total).encode()


def sums_xlsx(table: SumTable, made: date) -> bytes:
    """The report as a workbook: codes and names are text cells, counts and sums are numbers that Excel can add.

    ``made`` goes into the properties, so equal tables give equal bytes.
    """
    out = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    book = xlsxwriter.Workbook(out, options)
    book.set_properties({"title": "Суммы для счетов", "created": datetime(made.year, made.month, made.day)})
    sheet = book.add_worksheet("Суммы для счетов")
    head, bold = book.add_format({"bold": True, "bg_color": "#EEEEEE", "border": 1}), book.add_format({"bold": True})
    money, count = book.add_format({"num_format": "#,##0.00"}), book.add_format({"num_format": "#,##0"})
    bold_money = book.add_format({"bold": True, "num_format": "#,##0.00", "top": 1})
    bold_count = book.add_format({"bold": True, "num_format": "#,##0", "top": 1})
    sheet.write_string(0, 0, f"Суммы для счетов за {textform.month(table.period)}", bold)
    sheet.write_string(1, 0, f"{table.organisation} · реестр {table.register}")
    titles = (
        "Код",
        "Плательщик",
        "Код условий",
        "Условия оказания помощи",
        "Вид реестра",
        "Возраст",
        "Счетов",
        "Сумма, руб.",
    )
    for column, (title, width) in enumerate(zip(titles, (6, 38, 12, 28, 38, 14, 10, 18), strict=True)):
        sheet.set_column(column, column, width)
        sheet.write_string(3, column, title, head)
    at = 4
    for _code, name, rows, total in table.by_payer:
        for row in rows:
            texts = (row.payer, row.payer_name, row.usl_ok, row.care, row.register_kind, row.age)
            for column, text in enumerate(texts):
                sheet.write_string(at, column, text)
            sheet.write_number(at, 6, row.totals.accounts, count)
            sheet.write_number(at, 7, Decimal(row.totals.kopecks) / 100, money)
            at += 1
        sheet.write_string(at, 1, f"Итого: {name}", bold)
        sheet.write_number(at, 6, total.accounts, bold_count)
        sheet.write_number(at, 7, Decimal(total.kopecks) / 100, bold_money)
        at += 1
    sheet.write_string(at, 1, "Всего", bold)
    sheet.write_number(at, 6, table.total.accounts, bold_count)
    sheet.write_number(at, 7, Decimal(table.total.kopecks) / 100, bold_money)
    sheet.freeze_panes(4, 0)
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(3)
    book.close()
    return out.getvalue()
