"""Search for the insured: each step, each way a policy can be wrong, and who pays on the day of care."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from oms_batch.exchange import load_profile
from oms_batch.judge.books import load_books
from oms_batch.judge.identify import identify, load_search
from oms_batch.judge.tables import load_tables
from oms_batch.ruledata import RuleData
from oms_batch.store.insured import import_rows

RULES = RuleData()
PROFILE = load_profile("yaroslavl", RULES)
KEY = load_search(RULES, "yaroslavl").spelling.number("fam", "im", "ot", "dr")
PETR: dict[str, Any] = {
    "ENP": "7656910834000012", "VPOLIS": "3", "SPOLIS": "", "NPOLIS": "7656910834000012",
    "FAM": "Примеров", "IM": "Пётр", "OT": "Ильич", "DR": "1980-03-15", "W": "1",
    "SNILS": "112-233-445 95", "SMO": "76001", "DATE_FROM": "2015-05-01", "DATE_TO": "",
}  # fmt: skip
ASKED: dict[str, Any] = {
    "vpolis": "3", "npolis": "7656910834000012", "fam": "Примеров", "im": "Пётр", "ot": "Ильич",
    "dr": date(1980, 3, 15), "w": "1", "snils": "112-233-445 95",
}  # fmt: skip


def old_policy(**changes: str) -> dict[str, Any]:
    return {**PETR, "ENP": "", "VPOLIS": "1", "SPOLIS": "76 АБ", "NPOLIS": "123 456", **changes}


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    made = duckdb.connect(":memory:")
    tables = load_tables(RULES, "yaroslavl")
    for name in ("register", "pers", "z_sl"):
        made.execute(tables.ddl(name))
    load_books(made, RULES, "yaroslavl", ["payers"])
    yield made
    made.close()


def look(
    con: duckdb.DuckDBPyConnection, folder: Path, insured: list[dict[str, Any]], person: dict[str, Any], *days: date
) -> list[dict[str, Any]]:
    """The rows of ident for one person with an account ending on each day."""
    import_rows(folder / "insured.duckdb", insured, KEY)
    names = ", ".join(person)
    con.execute(f"INSERT INTO pers (n, {names}) VALUES (1, {', '.join('?' * len(person))})", list(person.values()))
    for n, day in enumerate(days or [date(2026, 10, 15)], 1):
        con.execute("INSERT INTO z_sl (n, z_sl_n, up_n, pers_n, date_z_2) VALUES (?, ?, 1, 1, ?)", [n, n, day])
    assert identify(con, str(folder / "insured.duckdb"), PROFILE)
    found = con.execute("SELECT * FROM ident ORDER BY z_sl_n")
    names_found = [column[0] for column in found.description or []]
    return [dict(zip(names_found, row, strict=True)) for row in found.fetchall()]


def test_found_by_enp_and_the_insurer_pays(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    row = look(con, tmp_path, [PETR], ASKED)[0]
    assert (row["found"], row["step"], row["in_force"], row["payer"], row["smo"]) == (True, "enp", True, "P", "76001")
    assert (row["person_differs"], row["policy_differs"], row["ambiguous"]) == (False, False, False)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("Ёлкин", "елкин"), ("Петрова-Водкина", "Петрова Водкина"), ("Д'Артаньян", "Д Артаньян"), ("Ли", " ли ")],
)
def test_names_are_compared_without_case_yo_and_signs(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, theirs: str, ours: str
) -> None:
    row = look(con, tmp_path, [{**PETR, "FAM": theirs}], {**ASKED, "fam": ours, "npolis": "no"})[0]
    assert (row["found"], row["step"], row["person_differs"]) == (True, "person", False)


def test_one_difference_is_the_same_person_with_an_error(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    row = look(con, tmp_path, [PETR], {**ASKED, "fam": "Другова"})[0]
    assert (row["found"], row["step"], row["person_differs"], row["fam_right"]) == (True, "enp", True, "Примеров")


def test_two_differences_are_somebody_elses_policy(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    row = look(con, tmp_path, [PETR], {**ASKED, "fam": "Другова", "im": "Анна"})[0]
    assert (row["found"], row["step"], row["payer"], row["ambiguous"]) == (False, None, None, False)


def test_after_somebody_elses_policy_the_person_is_still_looked_for(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    anna = {
        **PETR,
        "ENP": "7656910834000020",
        "NPOLIS": "7656910834000020",
        "FAM": "Другова",
        "IM": "Анна",
        "SMO": "76002",
    }
    row = look(con, tmp_path, [PETR, anna], {**ASKED, "fam": "Другова", "im": "Анна"})[0]
    assert (row["found"], row["step"], row["payer"]) == (True, "person", "R")
    assert (row["policy_differs"], row["npolis_right"]) == (True, "7656910834000020")


def test_old_policy_by_series_and_number(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    asked = {**ASKED, "vpolis": "1", "spolis": "76аб", "npolis": "123456"}
    row = look(con, tmp_path, [old_policy()], asked)[0]
    assert (row["found"], row["step"], row["policy_differs"], row["spolis_right"]) == (True, "policy", False, "76АБ")


def test_another_series_is_another_policy(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    asked = {**ASKED, "vpolis": "1", "spolis": "77аб", "npolis": "123456", "ot": "Петрович"}
    assert not look(con, tmp_path, [old_policy()], asked)[0]["found"]


def test_temporary_certificate_by_number(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    row = look(
        con,
        tmp_path,
        [old_policy(VPOLIS="2", SPOLIS="", NPOLIS="987654321")],
        {**ASKED, "vpolis": "2", "npolis": "987654321"},
    )[0]
    assert (row["found"], row["step"]) == (True, "temporary")


def test_old_policy_replaced_by_the_day_of_care(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    insured = [
        old_policy(DATE_FROM="2012-01-01", DATE_TO="2019-12-31"),
        {**PETR, "DATE_FROM": "2020-01-01", "SMO": "76002"},
    ]
    asked = {**ASKED, "vpolis": "1", "spolis": "76АБ", "npolis": "123456"}
    old, new = look(con, tmp_path, insured, asked, date(2018, 9, 1), date(2026, 10, 15))
    assert (old["payer"], old["policy_differs"], old["vpolis_right"]) == ("P", False, "1")
    assert (new["payer"], new["policy_differs"], new["vpolis_right"]) == ("R", True, "3")
    assert old["in_force"] and new["in_force"]


def test_two_namesakes_are_ambiguous_and_snils_decides(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    twin = {**PETR, "ENP": "7656910834000038", "NPOLIS": "7656910834000038", "SNILS": "087-654-303 00", "SMO": "76002"}
    row = look(con, tmp_path, [PETR, twin], {**ASKED, "npolis": "1", "snils": None})[0]
    assert (row["found"], row["ambiguous"], row["payer"]) == (False, True, None)
    con.execute("DELETE FROM pers")
    con.execute("DELETE FROM z_sl")
    row = look(con, tmp_path, [PETR, twin], {**ASKED, "npolis": "1", "snils": "08765430300"})[0]
    assert (row["found"], row["ambiguous"], row["payer"]) == (True, False, "R")


def test_policy_not_in_force_names_the_nearest_period(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    insured = [
        {**PETR, "DATE_FROM": "2010-01-01", "DATE_TO": "2012-12-31", "SMO": "76002"},
        {**PETR, "DATE_FROM": "2018-01-01", "DATE_TO": "2018-12-31"},
    ]
    row = look(con, tmp_path, insured, ASKED, date(2019, 1, 5))[0]
    assert (row["found"], row["in_force"], row["begin_right"]) == (True, False, date(2018, 1, 1))


def test_period_edges_belong_to_the_policy(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    insured = [{**PETR, "DATE_FROM": "2018-01-01", "DATE_TO": "2018-12-31"}]
    rows = look(
        con, tmp_path, insured, ASKED, date(2017, 12, 31), date(2018, 1, 1), date(2018, 12, 31), date(2019, 1, 1)
    )
    assert [row["in_force"] for row in rows] == [False, True, True, False]


@pytest.mark.parametrize("smo", ["50001", "76003", "99999"])
def test_unknown_foreign_and_closed_insurers_go_to_the_fund(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, smo: str
) -> None:
    assert look(con, tmp_path, [{**PETR, "SMO": smo}], ASKED)[0]["payer"] == "F"


def test_closed_insurer_paid_while_it_was_open(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    assert look(con, tmp_path, [{**PETR, "SMO": "76003"}], ASKED, date(2017, 12, 31))[0]["payer"] == "Z"


def test_undated_account_is_not_in_force(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    import_rows(tmp_path / "insured.duckdb", [PETR], KEY)
    con.execute("INSERT INTO pers (n, vpolis, npolis, fam, im, ot, dr) VALUES (1, '3', '7656910834000012', 'Примеров', "
                "'Пётр', 'Ильич', DATE '1980-03-15')")  # fmt: skip
    con.execute("INSERT INTO z_sl (n, pers_n) VALUES (1, 1)")
    identify(con, str(tmp_path / "insured.duckdb"), PROFILE)
    assert con.execute("SELECT found, in_force FROM ident").fetchall() == [(True, False)]


def test_no_register_of_the_insured_no_table(con: duckdb.DuckDBPyConnection) -> None:
    assert identify(con, None, PROFILE) is False
    assert not con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'ident'").fetchall()
