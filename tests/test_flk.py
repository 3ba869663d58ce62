"""The protocol inside the answer: the plan with its counts, one fact per finding."""

from __future__ import annotations

from datetime import date
from typing import Any

from oms_batch.model import PlanRow
from oms_batch.reply.flk import FlkHead, flk_element
from oms_batch.reply.marks import RuleText, Texts
from tests.reply_documents import account, document, finding, parsed, patient, tables_of, verdict

HEAD = FlkHead(
    "6.15", "2026", "10", "flk", "oms-batch", "ТФОМС «76»", "1027600000306", "760001001", "2026-11-03T10:00:00+03:00"
)
TEXTS = Texts(
    {
        "F.1": RuleText(
            "F.1", 'Пол <указан> "неверно"', element="pers.w", expression="w NOT IN ('1','2')", defect="wrong"
        ),
        "F.2": RuleText("F.2", "Тариф", defect="wrong"),
    },
    {"wrong": [(date(2011, 1, 1), date(2021, 5, 24), "5.1.4", "53"), (date(2021, 5, 25), None, "1.4.4", "207")]},
)
PLAN = [PlanRow("F.1", "found", 2, 3), PlanRow("F.2", "passed", 0, 3), PlanRow("X", "skipped", 0, 0, "нет книги")]


def made(con: object, **given: object) -> Any:
    pieces = flk_element(con, HEAD, PLAN, TEXTS, filename="f", provider="p", day=date(2026, 10, 31), **given)  # type: ignore[arg-type]
    raw = b"".join(pieces)
    return parsed(b"<?xml version='1.0' encoding='windows-1251'?>" + raw)


def test_the_plan_tells_every_check_with_counts() -> None:
    tree = made(tables_of(document(patient(1, account(1)))))
    assert tree.get("org_name") == "ТФОМС «76»"
    first, second, third = tree.xpath("plan/test")
    assert dict(first.attrib) == {
        "code": "F.1",
        "category": "found",
        "element": "pers.w",
        "condition": 'Пол <указан> "неверно"',
        "expression": "w NOT IN ('1','2')",
        "defect_code": "1.4.4",
        "count_total": "3",
        "count_fail": "2",
        "ns": "1",
    }
    assert (second.get("count_fail"), second.get("ns")) == ("0", "2")
    assert third.get("category") == "skipped: нет книги"


def test_facts_point_at_account_person_and_service() -> None:
    con = tables_of(document(patient(1, account(1), account(2)), patient(2, account(3))))
    verdict(con, *((n, False, None, None, 0, "P" if n < 3 else "R") for n in (1, 2, 3)))
    finding(con, "F.2", z_sl_n=2, value="a" * 3000, unit="usl", n=2)
    finding(con, "F.1", pers_n=1, value="Ж<", unit="pers")
    finding(con, "F.1", z_sl_n=3, value="чужое")
    finding(con, "F.1", pers_n=2, value="чужое", unit="pers")
    facts = made(con, keep="v.payer = 'P'").xpath("register/fact")
    assert [(f.get("bill"), f.get("pat"), f.get("acc"), f.get("man"), f.get("test")) for f in facts] == [
        ("12", "P1", None, None, "F.1"),
        ("12", "P1", "K-2", "U-2", "F.2"),
    ]
    assert facts[0].get("fact") == "Ж<"
    assert len(facts[1].get("fact")) == 2000
    assert [f.get("ns") for f in facts] == ["1", "2"]
    assert {f.get("defect_code") for f in facts} == {"1.4.4"}


def test_a_defect_of_a_fact_goes_by_the_date_of_its_account() -> None:
    con = tables_of(document(patient(1, account(1))).replace(b"2026-10-02", b"2020-01-01"))
    finding(con, "F.1", z_sl_n=1)
    assert made(con).xpath("string(register/fact/@defect_code)") == "5.1.4"


def test_many_facts_come_in_pieces() -> None:
    con = tables_of(document(patient(1, account(1))))
    con.execute(
        """INSERT INTO findings
        SELECT 'F.1', 'form', 'reject', 'z_sl', 1, 1, NULL, 'e', CAST(i AS VARCHAR), 1, 'account'
        FROM range(5000) t(i)"""
    )
    pieces = list(flk_element(con, HEAD, PLAN, TEXTS, filename="f", provider="p", day=None))
    assert max(map(len, pieces)) < 1 << 20
    assert sum(piece.count(b"<fact ") for piece in pieces) == 5000
