"""Spoiled registers of personal accounts: refused with a known code, or read value by value as lxml reads them.

Where our reading leaves a value out, a finding tells it; both ways of reading say the same.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from oms_batch.errors import Refusal
from oms_batch.formats.layout import Field
from oms_batch.ruledata import RuleData
from tests.oracle.change_trees import mutated
from tests.oracle.size import times
from tests.oracle.watch import bounded, slim
from tests.read_docs import LAYOUT, Maker, plain_rows, read

pytestmark = pytest.mark.fuzz
CODES = set(RuleData().toml("common/problems.toml"))
RULES = {f"S.00.00{n}0" for n in range(1, 7)}
SEEDS = range(4)
FORMS = {
    "money": re.compile(r"-?[0-9]{1,13}(\.[0-9]{1,2})?"),
    "date": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    "int": re.compile(r"-?[0-9]{1,9}"),
    "quantity": re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,9})?"),
}


def meant(one: Field, text: str) -> str | None:
    """The value of an attribute as our tables show it, by other means than theirs; None where it is none."""
    if one.type in ("text", "code"):
        return text
    if not FORMS[one.type].fullmatch(text):
        return None
    if one.type == "money":
        return str(int(Decimal(text) * 100))
    if one.type == "int":
        return str(int(text))
    if one.type == "date":
        year, month, day = map(int, text.split("-"))
        long = (
            31 - (month in (4, 6, 9, 11)) - (month == 2) * (3 - (year % 4 == 0 and (year % 100 > 0 or year % 400 == 0)))
        )
        return text if year and 1 <= month <= 12 and 1 <= day <= long else None
    value = Decimal(text)
    exact = value.quantize(Decimal(1).scaleb(-one.scale))
    whole, _, part = text.lstrip("-").partition(".")
    return str(exact) if len(part) <= one.scale and len(whole) <= one.size - one.scale else None


SMALL = """<?xml version="1.0" encoding="windows-1251"?>
<package><body version="6.15" protocol="Reestr" creator="Больница" telcreator="1" ogrn_mo="1027600000108"
 kpp_mo="760401001" year="2018" month="09" date_1="2018-10-01"><bill t_opl="1" ogrn_smo="1" date_2="2018-10-01"
 n_out="7" date_in="2018-10-01"><account_sum><account_elem_t><account_elem type_acc="1" amount="12.34"/>
</account_elem_t></account_sum><patients>
<patient patientcod="1" surname="Ёлкин" name="Пётр" birthdate="1980-02-29" sex="1"><register_accounts>
<personal_account help_type="1" help_cond="3" n_pp="1" xkey="k1" n_card="1/2" curestart="2018-09-01"
 cureend="2018-09-02" doctor="d" spec="1" result="1" vg="2"><diagnoses><diagnose type="1" mkb="J06.9"/>
<diagnose type="2" mkb="I10"/></diagnoses><manipulations><manipulation xkey="m1" prof_oms="1" det="0" service="A"
 quantity="1.5" spec="1" date_1="2018-09-01" date_2="2018-09-01"><sum><elem type_acc="1" suml="10.50" sum="10"/></sum>
</manipulation></manipulations><sum><elem type_acc="1" suml="10.50" sum="10"/><elem type_acc="2" suml="0.07" sum="0"/>
</sum></personal_account>
<personal_account help_type="1" help_cond="3" n_pp="2" xkey="k2" n_card="9" curestart="2018-09-03"
 cureend="2018-09-30" doctor="d" spec="1" result="1" vg="2"/></register_accounts></patient>
<patient patientcod="2" surname="Я" name="Ю" birthdate="2018-01-31" sex="2"><register_accounts>
<personal_account help_type="1" help_cond="3" n_pp="3" xkey="k3" n_card="1" curestart="2018-09-01"
 cureend="2018-09-02" doctor="d" spec="1" result="1" vg="1"><sum><elem type_acc="1" suml="1234567.89"/></sum>
</personal_account></register_accounts></patient></patients></bill></body></package>
""".encode("cp1251")


def full() -> bytes:
    """A register with every table of the protocol."""
    whole = re.sub(' сomment="[^"]*"'.encode("cp1251"), b"", Maker().document(people=4))
    return re.sub(rb"<(flk|expertises|personals)\b.*?</\1>\n?", b"", whole, flags=re.S)


def tables(con: duckdb.DuckDBPyConnection) -> dict[str, list[dict[str, str]]]:
    """Rows as text of the tables that have any."""
    filled = (
        "SELECT table_name FROM duckdb_tables() WHERE estimated_size > 0 AND table_name NOT IN ('spot', 'findings')"
    )
    found = {}
    for (table,) in con.execute(filled).fetchall():
        fields = LAYOUT.tables[table]
        rows = con.execute(f"SELECT {', '.join(one.column for one in fields)} FROM {table} ORDER BY n").fetchall()
        found[table] = [
            {one.column: str(cell) for one, cell in zip(fields, row, strict=True) if cell is not None} for row in rows
        ]
    return found


def compare(data: bytes, con: duckdb.DuckDBPyConnection, ours: dict[str, list[dict[str, str]]], where: str) -> str:
    """Every value where it belongs; what it came to."""
    told = con.execute("SELECT rule, element, value FROM findings").fetchall()
    assert {rule for rule, _, _ in told} <= RULES, where
    doubled = any(rule == "S.00.0050" for rule, _, _ in told)
    wrong = {(element.rpartition("@")[2], text) for _, element, text in told}
    for table, rows in plain_rows(data).items():
        kinds = {one.column: one for one in LAYOUT.tables[table]}
        assert len(ours.get(table, [])) == len(rows), f"{where}: {table}"
        for mine, theirs in zip(ours.get(table, []), rows, strict=True):
            for column in {*mine, *theirs}:
                text = theirs.get(column, "")
                expected = meant(kinds[column], text) if text else None
                if mine.get(column) == expected and (expected is not None or (kinds[column].name, text[:200]) in wrong):
                    continue
                assert doubled, f"{where}: {table}.{column}"
    return "read with findings" if told else "read"


def ways(data: bytes, con: duckdb.DuckDBPyConnection, where: str, both: bool) -> str:
    """What comes of it; the two ways of reading give one answer."""
    answers: list[Any] = []
    outcome = ""
    for way in ({"fast": True, "piece": 700}, {"fast": False, "piece": 10**9})[: 2 if both else 1]:
        con.execute("CREATE SCHEMA work; USE work")
        try:
            with bounded(where):
                read(data, con=con, **way)
            ours = tables(con)
            outcome = outcome or compare(data, con, ours, where)
            findings = con.execute("FROM findings ORDER BY ALL").fetchall()
            answers.append((ours, findings, con.execute("SELECT n, byte_from, byte_to, digest FROM z_sl").fetchall()))
        except Refusal as refusal:
            answers.append(refusal.problems)
            outcome = outcome or refusal.code
        finally:
            con.execute("USE main; DROP SCHEMA work CASCADE")
    assert answers[0] == answers[-1], where
    return outcome


@pytest.mark.parametrize("seed", SEEDS)
def test_a_spoiled_register_is_refused_or_read_as_lxml_reads_it(seed: int) -> None:
    chance, good, con = random.Random(f"register {seed}"), (SMALL, full()), duckdb.connect(config={"threads": 1})
    seen: Counter[str] = Counter()
    with slim():
        for number in range(times(25, len(SEEDS))):
            data = mutated(good[number % 10 == 9], chance)
            seen[ways(data, con, f"seed {seed}, mutation {number}", both=number % 4 == 0)] += 1
    print("register", seed, dict(seen.most_common()))
    assert {one for one in seen if one.isupper()} <= CODES
    assert seen["XML_SYNTAX"]
    assert seen["read"]
    assert seen["read with findings"]


def test_the_document_to_be_spoiled_is_good() -> None:
    assert ways(SMALL, duckdb.connect(), "small", both=True) == "read"
    assert ways(full(), duckdb.connect(), "full", both=True) == "read"
