"""A refused file gets the federal protocol and a page; neither is ever silent or unsafe."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from oms_batch.errors import Problem, Refusal
from oms_batch.reply.manifest import as_json, reformulation_text
from oms_batch.reply.protocol import flk_p, load_texts, told, write_protocol_page
from oms_batch.ruledata import RuleData
from tests.reply_documents import parsed

TEXTS = {
    "XML_SYNTAX": {
        "title": "Файл повреждён",
        "title_en": "Broken",
        "advice": "Выгрузите снова.",
        "advice_en": "Again.",
    },
    "HDR_SUM": {"title": "Суммы не сходятся", "title_en": "Sums differ", "advice": "x" * 400, "oshib": "904"},
}
OWN_CODES = ["FLAG_SUM", "HDR_SUM", "SET_CHANGED", "SET_NOT_SUBSET"]


def rows(refusal: Refusal, **given: Any) -> list[dict[str, str]]:
    raw = flk_p(refusal, "f<&>.7z", "P.xml", TEXTS, **given)
    assert raw.startswith(b'<?xml version="1.0" encoding="windows-1251"?>')
    tree = parsed(raw)
    assert (tree.tag, tree.findtext("FNAME"), tree.findtext("FNAME_I")) == ("FLK_P", "P.xml", "f<&>.7z")
    assert not {one.tag for one in tree} - {"FNAME", "FNAME_I", "PR"}
    return [{leaf.tag: leaf.text for leaf in one} for one in tree.findall("PR")]


def test_a_fault_of_the_whole_file_names_no_field() -> None:
    (row,) = rows(Refusal(Problem("XML_SYNTAX", "line 5, column 7")))
    assert list(row) == ["OSHIB", "COMMENT"]
    assert row["OSHIB"] == "XML_SYNTAX"
    assert row["COMMENT"].startswith("Файл повреждён. ")
    assert row["COMMENT"].endswith("Выгрузите снова")


def test_field_account_and_values_are_named_where_known() -> None:
    first, second = rows(
        Refusal(
            [Problem("HDR_SUM", "account_elem_t@amountl", "1.00", "2.00"), Problem("X", "personal_account n_pp=12")]
        )
    )
    assert (first["OSHIB"], first["BAS_EL"], first["IM_POL"]) == ("904", "account_elem_t", "amountl")
    assert "1.00" in first["COMMENT"] and "2.00" in first["COMMENT"]
    assert len(first["COMMENT"]) == 250
    assert (second["OSHIB"], second["IDCASE"]) == ("X", "12")


def test_no_letter_is_lost_and_no_sign_breaks_the_file() -> None:
    (row,) = rows(Refusal(Problem("X", "Қ <b>&\x00\x1b[31m")))
    assert "Қ <b>&" in row["COMMENT"]


def test_beyond_the_limit_the_total_is_said() -> None:
    found = rows(Refusal([Problem("X")] * 5, total=9000), limit=3)
    assert len(found) == 4
    assert found[-1]["OSHIB"] == "MORE" and "9000" in found[-1]["COMMENT"]


@pytest.mark.parametrize(("lang", "title"), [("ru", "Файл повреждён"), ("en", "Broken")])
def test_the_page_tells_file_place_code_and_what_to_do(lang: str, title: str) -> None:
    out = io.BytesIO()
    refusal = Refusal([Problem("XML_SYNTAX", "line 5 <script>"), Problem("NEW_CODE")], total=7000)
    write_protocol_page(refusal, out, "f.7z", [("От", "<МО>")], TEXTS, lang=lang)
    page = out.getvalue().decode("utf-8")
    assert title in page and "f.7z" in page and "XML_SYNTAX" in page and "NEW_CODE" in page
    assert "&lt;script&gt;" in page and "<script>" not in page
    assert "&lt;МО&gt;" in page
    assert ("7\u00a0000" if lang == "ru" else "7,000") in page


def test_a_code_without_texts_is_shown_by_itself() -> None:
    assert told(Problem("NEW_CODE"), {}).title == "NEW_CODE"


def test_every_code_that_answers_use_has_its_texts() -> None:
    texts = load_texts(RuleData())
    for code in OWN_CODES:
        assert set(texts[code]) >= {"title", "title_en", "advice", "advice_en"}, code


def test_a_manifest_is_readable_json_and_text() -> None:
    data = {
        "file": "f.7z",
        "excluded": [{"account": "K", "idcase": "1", "code": "1.4.4", "sum": "125.50"}],
        "before": {"accounts": 2, "sum": "251.00"},
        "after": {"accounts": 1, "sum": "125.50"},
        "problems": [Problem("HDR_SUM", "где")],
    }
    raw = as_json(data)
    assert json.loads(raw)["problems"][0]["place"] == "где"
    assert "где".encode() in raw
    told_ = reformulation_text(data, "en")
    assert "account 1: defect 1.4.4, 125.50 roubles" in told_
    assert "Accounts: 2 before, 1 after" in told_
    with pytest.raises(TypeError):
        as_json({"x": object()})
