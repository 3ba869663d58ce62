"""The official checks: none is missing, each names what it stands on, and the way from a line to a rule holds."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from oms_batch.cli.coverage import all_checks
from oms_batch.cli.main import program
from oms_batch.errors import SetupError
from oms_batch.exchange import load_profile
from oms_batch.judge import rulebook
from oms_batch.judge.coverage import IMPLEMENTED, MISSING, NOT_APPLICABLE, Check, counted
from oms_batch.judge.officiallines import BESIDE, official_rules
from oms_batch.judge.rule import Rule
from oms_batch.judge.rulebook import Rulebook
from oms_batch.judge.structure_proof import prove_structure
from oms_batch.judge.tables import Tables
from oms_batch.judge.translate import translated
from oms_batch.ruledata import RuleData
from tests.make_docs import COVERAGE, coverage_page
from tests.test_one_field import sets_of

RULES = RuleData()
REFERENCE = os.environ.get("OMS_REFERENCE_DATA", "")
SET = "common/official"
EXCHANGES = ("federal", "mtr", "yaroslavl")
HEAD = (
    "code;files;table;column;must;arg;when;free;because;because_en;defect;official;valid_from;valid_to;base;given;ok;bad;"
    "title;title_en;advice;advice_en;run_pass"
)


@pytest.fixture(scope="module")
def checks() -> list[Check]:
    return all_checks()


@pytest.fixture(scope="module", params=EXCHANGES)
def book(request: pytest.FixtureRequest) -> Rulebook:
    profile = load_profile(request.param, RULES)
    return rulebook.load(RULES, sets_of(profile), profile.id)


def official(book: Rulebook) -> Iterator[Rule]:
    return (rule for rule in book.rules if rule.set_name == SET)


@pytest.mark.skipif(not REFERENCE, reason="OMS_REFERENCE_DATA is not set: nothing to compare the list of checks with")
def test_the_list_of_checks_is_the_official_one() -> None:
    own = {row["official"]: row for row in RULES.table(f"{SET}/ids.csv")}
    seen = set()
    for name in ("Q015", "Q016"):
        with (Path(REFERENCE) / f"checks/{name}.flat.csv").open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file, delimiter=";"):
                mine = own[row["ID_TEST"]]
                dates = ["-".join(reversed(row[key].split("."))) if row[key] else "" for key in ("DATEBEG", "DATEEND")]
                theirs = [name, row["ID_EL"], row["TYPE_MD"].replace(",", " "), *dates]
                assert [mine[key] for key in ("book", "element", "files", "valid_from", "valid_to")] == theirs
                seen.add(row["ID_TEST"])
    assert seen == set(own)
    assert len(seen) == 1114


def test_no_official_check_is_missing(checks: list[Check]) -> None:
    assert [one.official for one in checks if one.state == MISSING] == []
    total = counted(checks)
    assert total["official"] == total[IMPLEMENTED] + total[NOT_APPLICABLE] == 1114
    assert total[IMPLEMENTED] > 1000


def test_what_is_not_applicable_says_why_in_both_languages(checks: list[Check]) -> None:
    for one in checks:
        if one.state == NOT_APPLICABLE:
            assert len(one.reason) > 20 and len(one.reason_en) > 20, one.official


def test_a_reason_is_not_kept_for_a_check_that_a_rule_carries(checks: list[Check]) -> None:
    carried = {one.official for one in checks if one.state == IMPLEMENTED}
    given = {number.strip() for row in RULES.table(f"{SET}/absent.csv") for number in row["official"].split("|")}
    assert given & carried == set()


def test_every_number_that_a_rule_names_is_an_official_one(book: Rulebook) -> None:
    known = {row["official"] for row in RULES.table(f"{SET}/ids.csv")}
    named = {(number, rule.code) for rule in book.rules for number in rule.official if number[3] in "FK"}
    assert {pair for pair in named if pair[0][5:7] == "00" and pair[0] not in known} == set()


def test_codes_days_and_files_follow_from_the_numbers(book: Rulebook) -> None:
    """Q.03.0640 is 003F.00.0640 of Q015; a rule is for types of file of its numbers, in force while one of them is."""
    ids = {row["official"]: row for row in RULES.table(f"{SET}/ids.csv")}
    for rule in official(book):
        letter, kind, number = rule.code.split(".")
        book_letter = {"Q": "F", "M": "K"}[letter]
        # the last digit tells revisions apart, and the parts that one check falls into
        assert f"0{kind}{book_letter}.00.{number[:3]}" in {one[:-1] for one in rule.official}, rule.code
        rows = [ids[one] for one in rule.official]
        files = {part for row in rows for part in row["files"].split()}
        meant = (files - {"L"}) | ({"H", "C", "T", "X"} if "L" in files else set())
        assert set(rule.files) <= meant, rule.code
        assert rule.valid_from.isoformat() >= min(row["valid_from"] for row in rows), rule.code


def test_every_element_that_a_line_speaks_of_has_a_name() -> None:
    named = {(row["table"], row["column"]) for row in RULES.table(f"{SET}/elements.csv")}
    for file in RULES.list(SET, ".csv"):
        if file.rsplit("/", 1)[-1] in BESIDE:
            continue
        assert ";".join(RULES.table(file)[0]) == HEAD
        for row in RULES.table(file):
            own_words = row["title"] and row["title_en"] and row["advice"] and row["advice_en"]
            assert own_words or (row["table"], row["column"]) in named, f"{file}:{row['code']}"
            assert bool(row["because"]) == bool(row["because_en"]), row["code"]


@pytest.mark.parametrize("name", EXCHANGES)
def test_what_reading_decides_is_proved_on_its_elements(name: str) -> None:
    results = list(prove_structure(RULES, name))
    assert [one for one in results if not one.ok] == []
    assert results or name == "yaroslavl"


def line(**changes: str) -> dict[str, str]:
    row = dict.fromkeys(HEAD.split(";"), "")
    return {
        **row, "code": "Q.03.9990", "files": "H", "table": "sl", "column": "profil_k", "must": "present",
        "defect": "field_missing", "official": "003F.00.9990", "ok": "71", "bad": "-", **changes,
    }  # fmt: skip


def made(folder: Path, row: dict[str, str]) -> Rule:
    """The rule of one line in a set of its own."""
    place = folder / "common/tried"
    place.mkdir(parents=True)
    for name in ("words.toml", "elements.csv"):
        (place / name).write_bytes(RULES.read(f"{SET}/{name}"))
    (place / "lines.csv").write_text(f"{HEAD}\n" + ";".join(row.values()) + "\n", encoding="utf-8")
    parents = {"sl": "z_sl", "z_sl": "pers", "pers": "register"}
    return next(iter(official_rules(RuleData(str(folder)), "common/tried", {}, parents)))


def test_a_line_becomes_a_rule_with_texts_basis_and_three_kinds_of_example(tmp_path: Path) -> None:
    when = {"when": "z_sl.usl_ok = '1'", "free": "z_sl.usl_ok=3", "given": "z_sl.usl_ok=1"}
    rule = made(tmp_path, line(**when, because="стационар", because_en="a hospital"))
    assert rule.title.endswith("(PROFIL_K). Условие: стационар")
    assert rule.title_en.endswith("(PROFIL_K). Condition: a hospital")
    assert "п. 5.1.3" in rule.basis and "п. 1.4.3" in rule.basis and "003F.00.9990" in rule.basis
    assert (rule.refuses, rule.on, rule.files) == ("account", "sl", ("H",))
    assert [one.rows for one in rule.passes] == [
        {"z_sl": {"usl_ok": "1"}, "sl": {"profil_k": "71"}},
        {"z_sl": {"usl_ok": "3"}, "sl": {}},
    ]
    assert [(one.rows, one.empty) for one in rule.fails] == [({"z_sl": {"usl_ok": "1"}, "sl": {}}, ("sl.profil_k",))]


def test_a_group_is_demanded_by_rows_of_its_table(tmp_path: Path) -> None:
    rule = made(tmp_path, line(column="cons()", ok="+"))
    assert rule.fails_when == "NOT EXISTS (SELECT 1 FROM cons WHERE cons.up_n = sl.n)"
    assert [one.rows for one in (*rule.passes, *rule.fails)] == [{"cons": [{}]}, {"cons": []}]


def test_a_condition_without_its_counterexample_does_not_load(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="free"):
        made(tmp_path, line(when="z_sl.usl_ok = '1'"))


def test_a_fault_of_a_person_refuses_the_person_and_of_the_head_the_register(tmp_path: Path) -> None:
    assert made(tmp_path / "1", line(table="pers", column="fam")).refuses == "person"
    assert made(tmp_path / "2", line(table="register", column="plat")).refuses == "register"


def test_a_rule_speaks_the_words_of_a_layout_that_keeps_the_element_elsewhere(tmp_path: Path) -> None:
    when = {"when": "sl.date_1 < z_sl.date_z_2", "free": "sl.date_1=2026-10-15"}
    rule = made(tmp_path, line(**when, arg="a", must="mask", ok="a", bad="'sl.x'"))
    same = {"sl": "z_sl", "sl.date_1": "z_sl.date_z_1"}
    here = translated(rule, Tables({"z_sl": {}, "pers": {}}, {"z_sl": "pers"}, frozenset(), same))
    assert here.on == "z_sl" and here.element == "z_sl.profil_k"
    assert "z_sl.date_z_1 < z_sl.date_z_2" in here.fails_when and "sl.date_1" not in here.fails_when.replace("z_sl", "")
    assert here.passes[1].rows == {"z_sl": {"date_z_1": date(2026, 10, 15), "profil_k": "'sl.x'"}}
    assert translated(rule, Tables({"sl": {}, "z_sl": {}}, {}, frozenset(), same)) is rule


def test_coverage_is_told_as_json() -> None:
    done = CliRunner().invoke(program, ["rules", "coverage", "--json"])
    told = json.loads(done.stdout)
    assert done.exit_code == 0
    assert {key: told[key] for key in ("official", "missing")} == {"official": 1114, "missing": 0}
    assert told["implemented"] + told["not_applicable"] == 1114
    assert len(told["checks"]) == 1114


def test_the_page_of_coverage_is_current() -> None:
    assert COVERAGE.read_text("utf-8") == coverage_page(), "run: make docs"
