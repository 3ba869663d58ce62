"""Across registers: other organisations, other months, facts of any age, and files of an exchange that tell them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oms_batch import office
from oms_batch.exchange import load_profile
from oms_batch.judge import facts_view, proof
from oms_batch.judge.engine import NOT_IN_LAYOUT, run
from oms_batch.judge.person import load_spelling
from oms_batch.judge.rulebook import load
from oms_batch.judge.tables import FACTS, HERE, OUTCOME, create_table
from oms_batch.ruledata import RuleData
from oms_batch.store import ledger
from oms_batch.synth.world import Spec
from tests.judge_tools import register
from tests.participants import Exchange

RULES = RuleData()
# The columns that facts had at first: files of that time lie in archives.
FIRST = (
    "ogrn_mo", "kpp_mo", "register", "xkey", "x_key2", "person_key", "npolis", "usl_ok", "date_z_1", "date_z_2", "ds1",
    "profil", "sumv", "state", "pr_nov", "seq",
)  # fmt: skip
OLD = {
    "ogrn_mo": "760002", "kpp_mo": "", "register": "760002-202609-H1", "xkey": "F1", "x_key2": None, "person_key": None,
    "npolis": "7656910834000012", "usl_ok": "3", "date_z_1": "2026-10-12", "date_z_2": "2026-10-15", "ds1": "J06.9",
    "profil": "97", "sumv": 100, "state": "fund_passed", "pr_nov": "0", "seq": 1,
}  # fmt: skip


def old_file(folder: Path, name: str, *rows: dict[str, Any]) -> str:
    """A Parquet file of facts as the first edition wrote it."""
    path = folder / name
    columns = {column: [{**OLD, **row}[column] for row in rows] for column in FIRST}
    table = pa.table({column: pa.array(values) for column, values in columns.items()})
    pq.write_table(table, path)
    return str(path)


def con_of(*examples: dict[str, Any], profile: str = "federal") -> tuple[duckdb.DuckDBPyConnection, Any]:
    book = load(RULES, ["common/across"], profile)
    con = register(RULES, book, *examples)
    facts_view.make_person_keys(con, load_spelling(RULES, profile))
    return con, book


@pytest.mark.parametrize("profile", ["yaroslavl", "federal", "mtr", "krasnodar"])
def test_every_example_comes_out_as_told_in_every_exchange(profile: str) -> None:
    book = load(RULES, ["common/across"], profile)
    found = proof.test_rules(book, RULES)
    assert [one for one in found if not one.ok] == []
    assert len({one.code for one in found}) >= 11


@pytest.mark.parametrize("profile", ["yaroslavl", "federal", "mtr", "krasnodar"])
def test_the_set_runs_where_facts_are(profile: str) -> None:
    lines = [line for line in load_profile(profile).hops if "common/sense" in line.rules]
    assert lines and all("common/across" in line.rules for line in lines)


def test_where_there_is_no_form_of_care_the_rule_that_asks_it_is_skipped() -> None:
    con, book = con_of(profile="yaroslavl")
    plan = {row.code: row for row in run(con, book)}
    assert (plan["K.00.0550"].outcome, plan["K.00.0550"].reason) == ("skipped", NOT_IN_LAYOUT)
    assert plan["K.00.0555"].outcome == "passed"


# ---- facts -------------------------------------------------------------------------------------------


def test_facts_of_the_first_edition_are_read_and_their_state_tells_whether_they_stand(tmp_path: Path) -> None:
    paths = [old_file(tmp_path, "a.parquet", {}, {"xkey": "F2", "state": "fund_refused"})]
    con = duckdb.connect()
    facts_view.make_facts(con, paths, "other", ["fund_refused"])
    assert {row[0]: row[1] for row in con.execute("DESCRIBE facts").fetchall()} == FACTS
    assert con.execute("SELECT xkey, live, period, vidpom FROM facts ORDER BY xkey").fetchall() == [
        ("F1", True, None, None),
        ("F2", False, None, None),
    ]


def test_facts_of_both_editions_lie_beside_each_other(tmp_path: Path) -> None:
    old = old_file(tmp_path, "a.parquet", {})
    con, _book = con_of({"z_sl": {"xkey": "N1"}})
    con.execute("CREATE TABLE verdicts AS SELECT n AS z_sl_n, FALSE AS refused, '76001' AS payer FROM z_sl")
    new = str(tmp_path / "b.parquet")
    facts_view.write_facts(con, new, facts_view.select_facts("R1", 2, "fund_passed", "fund_refused"))
    reader = duckdb.connect()
    facts_view.make_facts(reader, [old, new], "other")
    found = reader.execute("SELECT xkey, live, period, vidpom, payer, for_pom FROM facts ORDER BY xkey").fetchall()
    assert found == [("F1", True, None, None, None, None), ("N1", True, "2026-10", "12", "76001", "3")]


def test_a_fact_that_another_account_replaced_stands_no_more(tmp_path: Path) -> None:
    path = old_file(tmp_path, "a.parquet", {}, {"xkey": "F2", "x_key2": "F1", "seq": 2, "npolis": "another"})
    con, _book = con_of()
    facts_view.load_facts(con, [path], "other")
    assert con.execute("SELECT xkey, live FROM facts").fetchall() == [("F1", False)]


@pytest.mark.parametrize("profile", ["yaroslavl", "federal", "mtr", "krasnodar"])
def test_the_register_is_told_in_the_columns_of_facts(profile: str) -> None:
    con, _book = con_of({"base": "hospital"}, profile=profile)
    assert {row[0]: row[1] for row in con.execute("DESCRIBE here").fetchall()} == HERE
    assert set(FACTS) == {*HERE, *OUTCOME} - {"z_sl_n"}
    row = con.execute("SELECT usl_ok, profil, codes, period, vidpom, money FROM here").fetchone()
    assert row == ("1", "97", "st23.001", "2026-10", "31", 1928000)


def test_what_the_sender_withheld_itself_is_not_claimed() -> None:
    con, _book = con_of({"z_sl": {"sumv": 1000, "held": 300}}, profile="mtr")
    assert con.execute("SELECT sumv, money FROM here").fetchall() == [(1000, 700)]


# ---- persons -----------------------------------------------------------------------------------------


def found_by(con: duckdb.DuckDBPyConnection, book: Any) -> list[tuple[str, str]]:
    run(con, book)
    return con.execute("SELECT rule, severity FROM findings ORDER BY rule").fetchall()


def test_a_person_is_known_by_name_and_birth_date_when_the_policy_is_another(tmp_path: Path) -> None:
    con, book = con_of({"z_sl": {"prvs": None}})
    key = con.execute("SELECT person_key FROM person_of").fetchone()
    assert key is not None
    facts_view.load_facts(con, [old_file(tmp_path, "a.parquet", {"npolis": "1", "person_key": key[0]})], "other")
    assert found_by(con, book) == [("K.00.0520", "reject")]


def test_a_stranger_with_another_policy_and_name_is_nobody(tmp_path: Path) -> None:
    con, book = con_of({"z_sl": {"prvs": None}})
    facts_view.load_facts(con, [old_file(tmp_path, "a.parquet", {"npolis": "1", "person_key": "x"})], "other")
    assert found_by(con, book) == []


def test_an_account_that_replaces_an_accepted_one_does_not_overlap_it(tmp_path: Path) -> None:
    stay = {"usl_ok": "1", "date_z_1": "2026-10-05", "date_z_2": "2026-10-15", "ogrn_mo": "760001"}
    for key2, wanted in (("F1", []), (None, [("K.00.0530", "reject")])):
        con, book = con_of({"base": "hospital", "z_sl": {"x_key2": key2, "date_z_1": "2026-10-06", "ds1": "I21.0"}})
        facts_view.load_facts(con, [old_file(tmp_path, f"{key2}.parquet", stay)], "other")
        assert found_by(con, book) == wanted


def test_the_day_between_two_stays_is_no_overlap_and_each_exception_can_be_taken_away(tmp_path: Path) -> None:
    """Exceptions are data: without the row that allows a day of discharge the common day is an overlap."""
    stay = {"usl_ok": "1", "date_z_1": "2026-10-01", "date_z_2": "2026-10-05"}
    for gone, wanted in ((False, []), (True, [("K.00.0530", "reject")])):
        con, book = con_of({"base": "hospital", "z_sl": {"date_z_1": "2026-10-05", "ds1": "I21.0"}})
        facts_view.load_facts(con, [old_file(tmp_path, f"{gone}.parquet", stay)], "other")
        if gone:
            con.execute("DELETE FROM book_overlap_allowed WHERE key = 'stay_edge'")
        assert found_by(con, book) == wanted


# ---- stories -----------------------------------------------------------------------------------------

SPEC = Spec(accounts=40, seed=4, period="2026-10")
MO2 = {"ogrn": "1027600000207", "kpp": "760401002"}


def told_by(exchange: Exchange, month: int, keys: str) -> tuple[str, bytes]:
    """The same cases billed by the second clinic, in another month, under other keys and cards."""
    name, content = exchange.generated(SPEC)
    text = content.decode("cp1251")
    text = text.replace("1027600000108", MO2["ogrn"]).replace("760401001", MO2["kpp"])
    text = text.replace('month="10"', f'month="{month}"')
    text = re.sub(r'\bxkey="[0-9a-f]', f'xkey="{keys}', text)
    name = name.replace("1027600000108", MO2["ogrn"]).replace("760401001", MO2["kpp"])
    return name[:22] + f"26{month}" + name[26:], text.encode("cp1251")


def test_two_clinics_bill_the_same_visits_in_two_months(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, ("mo", "mo2", "tfoms"))
    exchange.insure("tfoms", SPEC)
    folder = tmp_path / "tfoms" / "rules" / "yaroslavl"
    folder.mkdir(parents=True, exist_ok=True)
    late = '[[retune]]\ncode = "K.00.0120"\nseverity = "warn"\nbecause = "test"\nbasis = "test"\n'
    (folder / "overlay.toml").write_text(RULES.read("yaroslavl/overlay.toml").decode() + late, "utf-8")
    exchange.put("mo", "", *exchange.generated(SPEC))
    exchange.put("mo2", "", *told_by(exchange, 11, "z"))
    for name in ("mo", "mo2"):
        exchange.sweep(name)
    exchange.carry(("mo", "tfoms"))
    exchange.sweep("tfoms")
    exchange.carry(("mo2", "tfoms"))
    exchange.sweep("tfoms")
    with exchange.at("tfoms") as site:
        passed = {row["xkey"] for row in ledger.accounts_in(site.ledger, "fund_passed")}
        refused = ledger.accounts_in(site.ledger, "fund_refused")
        why = {row["xkey"]: ledger.life(site.ledger, row["xkey"])[0]["moves"][-1]["rule"] for row in refused}
        care = {row["xkey"]: ledger.life(site.ledger, row["xkey"])[0]["usl_ok"] for row in refused}
    first = {key for key in passed if not key.startswith("z")}
    assert first and set(why) and all(key.startswith("z") for key in why)
    again = {key[1:] for key, rule in why.items() if rule == "K.00.0520"}
    # every case but ambulance calls that the first clinic was let through with is refused to the second
    assert again and again == {key[1:] for key in first if care.get(f"z{key[1:]}", "4") != "4"}


def test_the_office_gives_what_builds_registers() -> None:
    assert office.build_register.__module__ == "oms_batch.building"


def test_an_empty_table_of_facts_has_all_columns() -> None:
    con = duckdb.connect()
    facts_view.make_facts(con, [], "x")
    con.execute(create_table("wanted", FACTS))
    assert con.execute("DESCRIBE facts").fetchall() == con.execute("DESCRIBE wanted").fetchall()


@pytest.mark.parametrize(
    ("visit", "wanted"),
    [
        ({"for_pom": "3"}, [("K.00.0550", "reject")]),
        ({"for_pom": "2"}, []),  # an urgent consultation in another organisation
        ({"for_pom": "3", "date_z_1": "2026-10-05", "date_z_2": "2026-10-05"}, []),  # the day of admission
        ({"for_pom": "3", "date_z_1": "2026-10-01", "date_z_2": "2026-10-20"}, []),  # visits before and after the stay
    ],
)
def test_a_hospital_stay_against_a_visit_in_another_clinic(
    tmp_path: Path, visit: dict[str, Any], wanted: list[tuple[str, str]]
) -> None:
    """The hospital's register is judged and leaves facts; the clinic's comes after it, and the other way round."""
    hospital, clinic = {"code_mo": "760002", "ogrn_mo": "760002"}, {"code_mo": "760001", "ogrn_mo": "760001"}
    stay = {"base": "hospital", "register": hospital, "z_sl": {"xkey": "H1", "date_z_2": "2026-10-15"}}
    seen = {"register": clinic, "z_sl": {"xkey": "C1", "date_z_1": "2026-10-08", "date_z_2": "2026-10-08", **visit}}
    outcomes = []
    for turn, (first, second) in enumerate(((stay, seen), (seen, stay))):
        con, _book = con_of(first)
        con.execute("CREATE TABLE verdicts AS SELECT n AS z_sl_n, FALSE AS refused, '76001' AS payer FROM z_sl")
        path = str(tmp_path / f"{turn}.parquet")
        facts_view.write_facts(con, path, facts_view.select_facts("R1", 1, "fund_passed", "fund_refused"))
        con, book = con_of(second)
        facts_view.load_facts(con, [path], "R2")
        outcomes.append(found_by(con, book))
    # the visit is refused; where it was accepted before, the stay is only told of it
    assert outcomes == [wanted, [("K.00.0560", "warn")] if wanted else []]
