"""A judged register for the tests of the readable twins."""

from __future__ import annotations

from datetime import date

import duckdb

from oms_batch.model import PlanRow, Totals
from oms_batch.reply.marks import RuleText, Texts
from oms_batch.reply.rows import About
from tests.reply_documents import account, document, finding, patient, tables_of, verdict

TEXTS = Texts(
    {
        "K.1": RuleText(
            "K.1", "Диагноз не оплачивается", "Diagnosis is not paid", "Проверьте код", "Check it", defect="d"
        ),
        "F.1": RuleText("F.1", "Пол <неверен>", "Sex is wrong", "Исправьте", "Mend it", defect="f"),
    },
    {
        "d": [(date(2021, 5, 25), None, "1.6.1", "211")],
        "f": [(date(2011, 1, 1), date(2021, 5, 24), "5.1.4", "53"), (date(2021, 5, 25), None, "1.4.4", "207")],
    },
)
PLAN = [
    PlanRow("F.9", "passed", 0, 4),
    PlanRow("K.1", "found", 2, 4),
    PlanRow("F.8", "skipped", 0, 0, "нет справочника"),
]
ABOUT = About(
    file="1027600000108760401001261013X.7z",
    title="основной реестр",
    sender="МО",
    receiver="ТФОМС",
    period="2026-10",
    received_at="2026-11-03T07:05:00+00:00",
    sent=Totals(4, 50200),
    refused=Totals(3, 123456789),
    late=True,
    rulebook="abcdef",
    books={"icd10": "11112222"},
)
FORMULA = '=HYPERLINK("http://x","y")'


def judged() -> duckdb.DuckDBPyConnection:
    """Accounts 1 (two findings), 2 (an expert's part, no finding), 3 (passed), 4 (by a fault of the person)."""
    con = tables_of(document(patient(1, account(1), account(2), account(3)), patient(2, account(4))))
    con.execute("UPDATE pers SET fam = '@Ива\u202eнов', im = 'Иван', ot = NULL")
    verdict(
        con,
        (1, True, "K.1", "1.6.1", 12550, "P"),
        (2, False, "E.1", "3.2.1", 5000, "P"),
        (3, False, None, None, 0, "P"),
        (4, True, "F.1", "1.4.4", 123400000, "P"),
    )
    finding(con, "F.1", z_sl_n=1, value=FORMULA)
    finding(con, "K.1", z_sl_n=1, value='{"n_pp":"77","provcode":"102","date_1":"2026-10-03"}')
    finding(con, "K.1", z_sl_n=3, value="only a warning", severity="warn")
    finding(con, "F.1", pers_n=2, value="5\x1b[31m", unit="pers")
    return con
