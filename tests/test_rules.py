"""The shipped rules: each proves itself, says what it found and what to do, and stands on something."""

from __future__ import annotations

import csv
import json
import os
import re
from datetime import date
from pathlib import Path

import duckdb
import pytest

from oms_batch.exchange import Profile, load_profile
from oms_batch.judge.books import load_books, read_book
from oms_batch.judge.example import columns_of, document, insert_sql, load_bases, numbered
from oms_batch.judge.proof import proving_ground
from oms_batch.judge.proof import test_rules as prove_all
from oms_batch.judge.rule import Rule
from oms_batch.judge.rulebook import Rulebook, load
from oms_batch.ruledata import RuleData

RULES = RuleData()
PROFILE = load_profile("yaroslavl", RULES)
ORDERS = ("230", "231н")
ALL_SETS = sorted({one for hop in (*PROFILE.hops, *PROFILE.sends) for one in hop.rules})


def book(profile: Profile, stage: str, sender: str, receiver: str) -> Rulebook:
    hop = profile.hop(stage, sender, receiver)
    assert hop is not None
    return load(RULES, hop.rules, profile.id)


def working(found: Rulebook) -> list[Rule]:
    return [rule for rule in found.rules if rule.status == "active" and not rule.built_in]


@pytest.fixture(scope="module")
def whole() -> Rulebook:
    return load(RULES, ALL_SETS, PROFILE.id)


def test_every_example_of_every_rule_comes_out_as_told(whole: Rulebook) -> None:
    results = prove_all(whole, RULES)
    assert [one for one in results if not one.ok] == []
    proved = {one.code for one in results}
    assert proved == {rule.code for rule in working(whole) if not whole.tables.lacks(rule.on, rule.parts())}
    assert {one.kind for one in results} == {"pass", "fail", "empty"}


def test_no_rule_file_is_outside_the_sets_that_run() -> None:
    root = Path(__file__).parents[1] / "rules"
    lying = {path.parent.relative_to(root).as_posix() for path in root.glob("*/*/[A-Z]_[0-9][0-9]_*.toml")}
    profiles = [load_profile(path.parent.name, RULES) for path in root.glob("*/profile.toml")]
    used = {one for profile in profiles for hop in (*profile.hops, *profile.sends) for one in hop.rules}
    assert lying <= {*used, "common/structure"}


def test_fund_and_insurer_run_enough_rules() -> None:
    fund, insurer = book(PROFILE, "3", "mo", "fund"), book(PROFILE, "1", "mo", "payer")
    assert len(working(fund)) >= 30
    assert len(working(insurer)) >= 15
    own = {rule.code for rule in insurer.rules} - {rule.code for rule in fund.rules}
    assert len(own) >= 5 and all(code.startswith("I.") for code in own)
    assert len(working(load(RULES, ["yaroslavl/final"]))) >= 3


def test_all_structure_findings_have_a_title(whole: Rulebook) -> None:
    found = [rule.code for rule in whole.rules if rule.built_in]
    assert found == [f"S.00.{n * 10:04d}" for n in range(1, len(found) + 1)]


def test_codes_stand_in_the_range_of_their_set(whole: Rulebook) -> None:
    letters = {
        "common/structure": "S.00", "common/form": "F.00", "yaroslavl/form": "F.76", "common/sense": "K.00",
        "common/across": ("K.00.", "M.03."), "common/official": ("Q.", "M."), "yaroslavl/sense": "K.76",
        "yaroslavl/fund": "K.76", "yaroslavl/insurer": "I.76", "yaroslavl/final": "E.76",
    }  # fmt: skip
    passes = {"S": "structure", "F": "form", "K": "sense", "I": "sense", "E": "sense"}
    for rule in whole.rules:
        assert rule.code.startswith(letters[rule.set_name]), rule.code
        if rule.code[0] in "QM":  # a number of the official books says nothing of the pass
            assert rule.run_pass in ("form", "sense"), rule.code
        else:
            assert rule.run_pass == passes[rule.code[0]] or "over_cap" in rule.needs, rule.code


def test_a_rule_says_the_fault_and_what_to_do_in_both_languages(whole: Rulebook) -> None:
    cyrillic = re.compile("[А-Яа-я]")
    for rule in whole.rules:
        # a title that is built of an element and its condition has its fault before the first full stop
        assert len(rule.title.split(". ")[0]) <= 130 and len(rule.title) <= 400, rule.code
        assert not rule.title.endswith("."), rule.code
        assert not re.match("провер", rule.title, re.IGNORECASE), rule.code
        assert cyrillic.search(rule.title) and cyrillic.search(rule.advice), rule.code
        assert rule.title_en and rule.advice_en and not cyrillic.search(rule.title_en), rule.code
        assert rule.advice.endswith(".") and rule.advice_en.endswith("."), rule.code
    # editions of one official check by date may say the same
    titles = [rule.title for rule in whole.rules if rule.set_name != "common/official"]
    assert len(set(titles)) == len(titles)


def test_a_rule_names_both_orders_and_a_defect_that_exists(whole: Rulebook) -> None:
    keys = {row["key"] for row in RULES.table("common/books/defects.csv")}
    for rule in whole.rules:
        assert all(order in rule.basis for order in ORDERS), rule.code
        assert rule.defect in keys, rule.code
        assert rule.mark in ("flk", "an_mes", "an_sum", "an_ps", "an_p"), rule.code


def test_the_basis_of_a_rule_is_the_ground_of_its_defect(whole: Rulebook) -> None:
    grounds: dict[str, list[str]] = {}
    for row in RULES.table("common/books/defects.csv"):
        grounds.setdefault(row["key"], []).append(row["osn"])
    for rule in whole.rules:
        cited = re.findall(r"п\. ([\d.]+)", rule.basis)
        assert cited == grounds[rule.defect], rule.code


def test_official_ids_exist_in_the_published_checks(whole: Rulebook) -> None:
    cited = {code for rule in whole.rules for code in rule.official}
    assert len(cited) > 60
    assert all(re.fullmatch(r"\d{3}[FK]\.\d\d\.\d{4}", code) for code in cited)
    folder = Path(os.environ.get("OMS_REFERENCE_DATA", "")) / "checks"
    if not os.environ.get("OMS_REFERENCE_DATA") or not folder.is_dir():
        pytest.skip("OMS_REFERENCE_DATA: the published checks are not here")
    known = set()
    for path in sorted(folder.glob("Q0*.flat.csv")):
        with path.open(encoding="utf-8-sig", newline="") as file:
            known.update(row["ID_TEST"] for row in csv.DictReader(file, delimiter=";"))
    assert cited - known == set()


def test_every_refusal_has_one_code_on_every_day() -> None:
    con = duckdb.connect()
    load_books(con, RULES, "yaroslavl", ["defects"])
    rejecting = {rule.defect for rule in load(RULES, ALL_SETS).rules if rule.severity == "reject"}
    days = {date(1026, 1, 1): True, date(2021, 5, 24): True, date(2021, 5, 25): False, date(2030, 1, 1): False}
    for day, before in days.items():
        rows = con.execute(
            "SELECT key, kod FROM book_defects WHERE ? BETWEEN live_from AND live_to AND key NOT LIKE 'f014%'", [day]
        ).fetchall()
        codes = dict(rows)
        assert len(codes) == len(rows)
        assert rejecting <= set(codes)
        assert all((int(codes[key]) < 200) is before for key in rejecting)


@pytest.mark.parametrize("kod", [50, 53, 70, 44, 35])
def test_codes_of_the_older_order_ended_when_the_newer_began(kod: int) -> None:
    rows = [row for row in RULES.table("common/books/defects.csv") if row["key"] == f"f014_{kod}"]
    assert [row["valid_to"] for row in rows] == ["2021-05-24"]


def test_experts_may_use_any_code_of_sections_two_and_three() -> None:
    rows = {row["key"]: row for row in RULES.table("common/books/defects.csv")}
    for kod in range(201, 272):
        row = rows[f"f014_{kod}"]
        assert row["valid_from"] == "2021-05-25" and row["k_no"] and row["k_sh"]
    assert (rows["f014_253"]["osn"], rows["f014_253"]["k_no"], rows["f014_253"]["k_sh"]) == ("3.1.4", "0.9", "1")
    topics = RULES.toml("common/defect_texts.toml")["topic"]
    assert all(row["name_en"] and row["topic"] in topics and row["resubmit"] in ("0", "1") for row in rows.values())


def test_all_books_load_and_name_their_origin() -> None:
    root = Path(__file__).parents[1] / "rules"
    for path in sorted(root.glob("*/books/*.csv")):
        assert path.read_text("utf-8").startswith("# origin: "), path.name
        owner = path.parent.parent.name
        assert read_book(RULES, PROFILE.id if owner == "common" else owner, path.stem).rows.num_rows > 0


def test_codes_chosen_by_us_say_so() -> None:
    for name in ("vg", "type_acc", "pr_nov", "ds_type", "pay", "an_ps", "an_p"):
        notes = {row["note"] for row in RULES.table(f"yaroslavl/books/{name}.csv")}
        assert notes <= {"CHOSEN", "confirmed"}, name


def test_tariffs_are_whole_kopecks_and_their_periods_do_not_meet() -> None:
    rows = RULES.table("yaroslavl/books/tariffs.csv")
    assert all(row["price"].isdigit() and int(row["price"]) > 0 for row in rows)
    assert {row["vg"] for row in rows} == {row["code"] for row in RULES.table("yaroslavl/books/vg.csv")}
    codes = {row["code"] for row in rows}
    assert len(codes) >= 80
    assert any(row["valid_to"] for row in rows) and any(row["valid_from"] == "2026-01-01" for row in rows)


def test_a_weakened_rule_is_caught_by_its_own_example(whole: Rulebook) -> None:
    rule = whole.get("F.00.0630")
    assert rule is not None
    weak = rule.model_copy(update={"fails_when": "COALESCE(z_sl.date_z_1 > z_sl.date_z_2 + 5, FALSE)"})
    mutant = Rulebook(whole.profile, whole.sets, (weak,), whole.params, whole.tables, "mutant")
    assert any(not one.ok and one.kind == "fail" for one in prove_all(mutant, RULES))


def test_no_rule_counts_in_floating_point(whole: Rulebook) -> None:
    for rule in whole.rules:
        text = re.sub(r"'[^']*'", "''", " ".join((rule.fails_when, rule.select, rule.value)))
        assert not re.search(r"(?<!/)/(?!/)|\bDOUBLE\b|\bFLOAT\b|\bREAL\b", text), rule.code


@pytest.mark.parametrize("code", ["K.00.0310", "K.00.0320", "K.00.0330", "K.76.0330", "K.76.0450", "K.76.0460"])
def test_a_repeat_names_the_account_that_it_repeats(whole: Rulebook, code: str) -> None:
    rule = whole.get(code)
    assert rule is not None
    con = proving_ground(whole, RULES)
    rows = numbered(document(rule.fails[0], load_bases(RULES, PROFILE.id), code), 0, whole.tables, code)
    for table, listed in rows.items():
        if listed:
            con.execute(insert_sql(table, listed, columns_of(table, whole.tables) or {}))
    (found,) = con.execute(f"SELECT value FROM ({rule.select})").fetchall()
    named = json.loads(found[0])
    assert {"curestart", "cureend"} <= set(named) and ("n_pp" in named or "provcode" in named)
    assert all(named.values())
