"""The rules of the federal profile: each proves itself, says what it found and what to do, and stands on something."""

from __future__ import annotations

import csv
import os
import re
from datetime import date
from pathlib import Path

import duckdb
import pytest

from oms_batch.exchange import load_profile
from oms_batch.judge.books import load_books, read_book
from oms_batch.judge.identify import load_search
from oms_batch.judge.proof import test_rules as prove_all
from oms_batch.judge.rulebook import Rulebook, load
from oms_batch.ruledata import RuleData

RULES = RuleData()
PROFILE = load_profile("federal", RULES)
OWN = ("federal/form", "federal/sense", "federal/fund", "federal/insurer")
SHARED = ("common/form", "common/sense")
LETTERS = {"federal/form": "F.99", "federal/sense": "K.99", "federal/fund": "K.99", "federal/insurer": "I.99"}
PASSES = {"F": "form", "K": "sense", "I": "sense"}


@pytest.fixture(scope="module")
def book() -> Rulebook:
    return load(RULES, [*SHARED, *OWN], PROFILE.id)


def own(book: Rulebook) -> list[object]:
    return [rule for rule in book.rules if rule.set_name in OWN]


def test_every_example_comes_out_as_told_shared_rules_included(book: Rulebook) -> None:
    results = prove_all(book, RULES)
    assert [one for one in results if not one.ok] == []
    proved = {one.code for one in results}
    live = {rule.code for rule in book.rules if rule.status == "active" and not rule.built_in}
    lacking = {rule.code for rule in book.rules if book.tables.lacks(rule.on, rule.parts())}
    assert proved == live - lacking
    assert lacking & {rule.code for rule in book.rules if rule.set_name in OWN} == set()


def test_the_sets_of_every_hop_are_there() -> None:
    for hop in (*PROFILE.hops, *PROFILE.sends):
        if hop.rules:
            assert load(RULES, hop.rules, PROFILE.id).rules
    assert len(own(load(RULES, OWN, PROFILE.id))) >= 60


def test_codes_stand_in_the_range_of_their_set(book: Rulebook) -> None:
    for rule in book.rules:
        if rule.set_name in OWN:
            assert rule.code.startswith(LETTERS[rule.set_name] + "."), rule.code
            assert rule.run_pass == PASSES[rule.code[0]], rule.code


def test_texts_tell_the_fault_and_what_to_do(book: Rulebook) -> None:
    cyrillic = re.compile(r"[а-яё]", re.IGNORECASE)
    for rule in book.rules:
        if rule.set_name not in OWN:
            continue
        assert len(rule.title) <= 90 and not rule.title.endswith("."), rule.code
        assert not re.match("провер", rule.title, re.IGNORECASE), rule.code
        assert cyrillic.search(rule.title) and cyrillic.search(rule.advice), rule.code
        assert rule.title_en and not cyrillic.search(rule.title_en + rule.advice_en), rule.code
        assert rule.advice.endswith(".") and rule.advice_en.endswith("."), rule.code
    titles = [rule.title for rule in book.rules if rule.set_name in OWN]
    assert len(set(titles)) == len(titles)


def test_the_basis_names_both_orders_the_ground_of_the_defect_and_the_element(book: Rulebook) -> None:
    grounds: dict[str, list[str]] = {}
    for row in RULES.table("common/books/defects.csv"):
        grounds.setdefault(row["key"], []).append(row["osn"])
    for rule in book.rules:
        if rule.set_name in OWN:
            assert re.findall(r"п\. ([\d.]+)", rule.basis) == grounds[rule.defect], rule.code
            assert "№ 79, прил. Д, " in rule.basis, rule.code


def published() -> dict[str, dict[str, str]]:
    folder = Path(os.environ.get("OMS_REFERENCE_DATA", "")) / "checks"
    if not os.environ.get("OMS_REFERENCE_DATA") or not folder.is_dir():
        pytest.skip("OMS_REFERENCE_DATA: the published checks are not here")
    found = {}
    for path in sorted(folder.glob("Q0*.flat.csv")):
        with path.open(encoding="utf-8-sig", newline="") as file:
            found.update({row["ID_TEST"]: row for row in csv.DictReader(file, delimiter=";")})
    return found


def test_official_ids_exist_and_no_wording_is_taken_over(book: Rulebook) -> None:
    checks = published()
    cited = {code for rule in book.rules if rule.set_name in OWN for code in rule.official}
    assert len(cited) > 60
    assert cited - set(checks) == set()
    wordings = {" ".join(row["DESC_TEST"].lower().split()) for row in checks.values()} - {""}
    for rule in book.rules:
        if rule.set_name in OWN:
            assert rule.title.lower() not in wordings, rule.code
            assert rule.advice.lower().rstrip(".") not in wordings, rule.code


def test_dates_of_the_published_checks_are_kept_by_somebody(book: Rulebook) -> None:
    """Every check on days of H, C, T and X has a rule; those on talons and on cancer not yet."""
    later = {
        *(f"006F.00.{number}" for number in ("0312", "0313", "0314", "0315", "0510", "0580", "0590", "0600", "0610")),
        "006F.00.0620", "006F.00.0020", "006F.00.0010",  # days of talons, cancer; DATA, which has no condition
        "006F.00.0160", "006F.00.0180", "006F.00.0330", "006F.00.0550", "006F.00.0670", "006F.00.0680", "006F.00.0690",
    }  # fmt: skip
    # the last line: kept by shared rules, which cite no id of this profile: K.00.0110, F.00.0630, F.00.0650, F.00.0610
    assert {"K.00.0110", "F.00.0630", "F.00.0650", "F.00.0610"} <= {rule.code for rule in book.rules}
    cited = {code for rule in book.rules for code in rule.official}
    dates = re.compile(r"/(DATA|DSCHET|NPR_DATE|DATE_\w+|TAL_\w|D_PROT|NAPR_DATE|DT_CONS|DATE_INJ|DR)$")
    wanted = {
        code
        for code, row in published().items()
        if code.startswith("006F.00.0")
        and dates.search(row["ID_EL"])
        and {"H", "C", "T", "X", "L"} & set(row["TYPE_MD"].split(","))
    }
    assert wanted - cited - later == set()


def test_every_refusal_has_one_code_on_every_day(book: Rulebook) -> None:
    con = duckdb.connect()
    load_books(con, RULES, "federal", ["defects"])
    for day in (date(2019, 1, 1), date(2021, 5, 24), date(2021, 5, 25), date(2030, 1, 1)):
        for defect in {rule.defect for rule in book.rules if rule.severity == "reject"}:
            row = con.execute(
                "SELECT count(*) FROM book_defects WHERE key = ? AND ? BETWEEN live_from AND live_to", [defect, day]
            ).fetchone()
            assert row == (1,), (defect, day)


def test_books_load_and_the_parties_of_the_demonstration_are_in_them() -> None:
    for file in RULES.list("federal/books", ".csv"):
        assert RULES.read(file).startswith(b"# origin: "), file
        assert read_book(RULES, "federal", file.rsplit("/", 1)[1].removesuffix(".csv")).rows.num_rows > 0
    payers = {one.code: one for one in PROFILE.payers}
    data = RULES.toml("federal/demo.toml")
    codes: dict[str, set[str]] = {one["role"]: set() for one in data["participant"]}
    for one in data["participant"]:
        codes[one["role"]].add(one["code"])
    assert codes["tfoms"] == {code for code, payer in payers.items() if payer.kind == "fund"}
    assert codes["smo"] <= {code for code, payer in payers.items() if payer.kind == "insurer" and not payer.valid_to}
    assert codes["mo"] <= {row["code"] for row in RULES.table("federal/books/mo.csv")}
    assert not payers["76009"].open_on(date(2018, 1, 1))


def test_the_search_is_by_the_day_of_care() -> None:
    search = load_search(RULES, "federal")
    assert search.day == "date_z_2"
    assert [step.name for step in search.steps] == [
        "enp", "policy", "temporary", "person", "snils", "near", "listed",
    ]  # fmt: skip
