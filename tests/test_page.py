"""The page: self-contained, escaped, with counts and sums by cause."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

from lxml import html

from oms_batch.model import Totals
from oms_batch.reply import people
from oms_batch.reply.page import write_page
from oms_batch.reply.receipt import receipt, receipt_text
from tests.reply_answers import ABOUT, FORMULA, PLAN, TEXTS, judged


def made(lang: str = "en", limit: int = 5000) -> str:
    out = io.BytesIO()
    write_page(judged(), out, ABOUT, TEXTS, PLAN, lang=lang, limit=limit)
    return out.getvalue().decode("utf-8")


def tree_of(page: str) -> Any:
    return html.fromstring(page)


def texts(page: str, path: str) -> list[str]:
    return [" ".join(str(one.text_content()).split()) for one in tree_of(page).xpath(path)]


def test_it_needs_nothing_else_and_runs_nothing() -> None:
    page = made()
    assert not re.search(r"<script|<link|<img|<iframe|src=|href=|url\(|@import", page)
    assert "default-src 'none'" in page


def test_values_are_escaped() -> None:
    page = made("ru")
    assert "Пол &lt;неверен&gt;" in page
    assert "<неверен>" not in page
    assert FORMULA in tree_of(page).text_content()
    assert "\x1b" not in page and "\u202e" not in page


def test_counts_and_sums_by_cause_then_accounts() -> None:
    page = made()
    assert texts(page, "//h1") == ["Refused accounts: 3"]
    causes = texts(page, "//table[1]/tfoot/tr")
    assert causes == ["In all31,234,175.50"]
    accounts = texts(page, "(//table)[2]/tbody/tr/td[1]")
    assert accounts == ["1", "", "2", "4"]
    sums = texts(page, "(//table)[2]/tbody/tr/td[6]")
    assert sums == ["125.50", "", "50.00", "1,234,000.00"]


def test_beyond_the_limit_the_total_is_said() -> None:
    page = made(limit=1)
    assert texts(page, "(//table)[2]/tbody/tr/td[1]") == ["1", ""]
    assert "The first 1 of 3 accounts are shown" in page


def test_the_same_input_gives_the_same_bytes() -> None:
    assert made("ru") == made("ru")


def test_a_clean_register_says_so() -> None:
    out = io.BytesIO()
    con = judged()
    con.execute("UPDATE verdicts SET refused = false, withheld = 0")
    write_page(con, out, replace(ABOUT, refused=Totals()), TEXTS, PLAN, lang="en")
    assert texts(out.getvalue().decode(), "//h1") == ["Nothing is refused"]


def test_money_and_days_in_both_languages() -> None:
    with people.speaking("ru"):
        assert people.money(123456789) == "1\u00a0234\u00a0567,89"
        assert people.money(-5) == "−0,05"
        assert people.money(None) == ""
        assert people.period("2026-10") == "10.2026"
    with people.speaking("en"):
        assert people.money(123456789) == "1,234,567.89"
        assert people.moment("2026-11-03T07:05:00+00:00") == "2026-11-03 10:05 Moscow time"
        assert people.moment("soon") == "soon"


def test_a_receipt_proves_what_was_received() -> None:
    data = receipt(
        file="f.7z",
        sha256="ab" * 32,
        size=1234567,
        received_at="2026-11-03T07:05:00+00:00",
        sender="mo",
        receiver="tfoms",
        status="partly",
        sent=Totals(3, 30000),
        refused=Totals(1, 10000),
        rulebook="r",
        books={"b": "2", "a": "1"},
        late=True,
        anchor="f00d",
    )
    assert data["accepted"] == {"accounts": 2, "sum": "200.00"}
    assert list(data["books"]) == ["a", "b"]
    told = receipt_text(data, "en")
    assert "SHA-256: " + "ab" * 32 in told
    assert "Received: 2026-11-03 10:05 Moscow time (after the deadline)" in told
    assert "Accepted: 2 accounts, 200.00 roubles" in told
    assert "Outcome: accepted in part" in told
    assert "Audit trail: f00d" in told
    assert "Due" not in told
