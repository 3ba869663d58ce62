"""The book of refusal codes: whole by the facts, every code with all its texts in both languages, every way to ask."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from oms_batch.desk import defects, explain
from oms_batch.errors import WrongState
from oms_batch.exchange import load_profile, shipped
from oms_batch.i18n import set_language
from oms_batch.judge.whole import rules_of
from oms_batch.ruledata import RuleData

RULES = RuleData()
PROFILE = load_profile("federal")
CYRILLIC = re.compile("[А-Яа-яЁё]")
TOPICS = RULES.toml(defects.TEXTS)["topic"]
EVERY = RULES.table(defects.BOOK)
Period = tuple[date, date, str, Decimal | None, Decimal | None]


@pytest.fixture(autouse=True)
def _russian() -> Iterator[None]:
    set_language("ru")
    yield
    set_language("ru")


# ---- texts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", sorted(TOPICS))
def test_a_topic_says_all_in_both_languages(topic: str) -> None:
    row, data = TOPICS[topic], RULES.toml(defects.TEXTS)
    names = ["title", "means", "advice", "wrong", "right"] + (["after"] if row["again"] == "after" else [])
    for name in names:
        assert CYRILLIC.search(row[name]), name
        assert row[f"{name}_en"] and not CYRILLIC.search(row[f"{name}_en"]), name
    assert all(row[name].endswith(".") and row[f"{name}_en"].endswith(".") for name in ("means", "advice"))
    assert row["wrong"] != row["right"]
    assert row["who"] and set(row["who"]) <= set(data["who"]) and row["again"] in ("yes", "no", "after")


def test_every_topic_is_used_and_every_code_has_one() -> None:
    assert {row["topic"] for row in EVERY} == set(TOPICS)
    assert all(row["name"] and row["name_en"] and not CYRILLIC.search(row["name_en"]) for row in EVERY)


def test_what_the_engine_does_is_what_people_are_told() -> None:
    wrong = [row["key"] for row in EVERY if (row["resubmit"] == "1") is not (TOPICS[row["topic"]]["again"] == "yes")]
    assert wrong == []
    assert all(re.fullmatch(r"\d*", row["resubmit_days"]) for row in EVERY)


@pytest.mark.parametrize("language", ["ru", "en"])
def test_every_row_is_explained_whole(language: str) -> None:
    set_language(language)
    for row in defects.rows(RULES):
        one = explain.of_defect(RULES, row)
        told = (one.title, one.means, one.advice, one.wrong, one.right, one.basis, one.again, one.found_by, *one.who)
        assert all(told), one.code
        assert all(bool(CYRILLIC.search(text)) is (language == "ru") for text in told), one.code


@pytest.mark.parametrize("profile", shipped(RULES))
def test_every_rule_and_every_code_that_it_uses_has_its_texts(profile: str) -> None:
    keys = {row["key"] for row in EVERY}
    for rule in rules_of(load_profile(profile, RULES)):
        assert rule.title and rule.advice and rule.basis, rule.code
        assert CYRILLIC.search(rule.title) and CYRILLIC.search(rule.advice), rule.code
        assert rule.title_en and rule.advice_en, rule.code
        english = re.sub("«[^»]*»", "", rule.title_en + rule.advice_en)  # a value that is written so
        assert not CYRILLIC.search(english), rule.code
        assert not rule.defect or rule.defect in keys, rule.code


# ---- facts -----------------------------------------------------------------------------------------------


def _merged(rows: list[Period]) -> list[Period]:
    """Periods of a code; neighbours that say the same ground and shares are one."""
    found: list[Period] = []
    for one in sorted(rows, key=lambda row: row[0]):
        if found and found[-1][2:] == one[2:] and found[-1][1] != date.max and one[0] <= found[-1][1] + timedelta(1):
            found[-1] = (found[-1][0], max(found[-1][1], one[1]), *one[2:])
        else:
            found.append(one)
    return found


def _share(text: str) -> Decimal | None:
    return Decimal(text) if text else None


def _known() -> dict[str, list[Period]]:
    found: dict[str, list[Period]] = {}
    for row in EVERY:
        if row["key"].startswith(defects.EXPERTS):
            since, until = defects.span(row)
            one = (since, until, row["osn"], _share(row["k_no"]), _share(row["k_sh"]))
            found.setdefault(row["kod"], []).append(one)
    return {kod: _merged(rows) for kod, rows in found.items()}


def test_codes_grounds_days_and_shares_are_those_of_the_federal_book() -> None:
    folder = Path(os.environ.get("OMS_REFERENCE_DATA", ""))
    file = folder / "regional/f014_history_2011_2021.csv"
    if not os.environ.get("OMS_REFERENCE_DATA") or not file.is_file():
        pytest.skip("OMS_REFERENCE_DATA: the history of F014 is not here")
    facts: dict[str, list[Period]] = {}
    with file.open(encoding="utf-8-sig", newline="") as stream:
        for row in csv.DictReader(stream):
            until = date.fromisoformat(row["DATEEND"]) if row["DATEEND"] else date.max
            period = (date.fromisoformat(row["DATEBEG"]), until, row["Osn"].rstrip("."))
            facts.setdefault(row["Kod"], []).append((*period, _share(row["K_NO"]), _share(row["K_SH"])))
    assert {kod: _merged(rows) for kod, rows in facts.items()} == _known()


def test_the_shipped_edition_of_f014_says_the_same() -> None:
    """The book that rules look into and the one that people read came in by different ways."""
    shipped_book = {
        (row["code"], row["osn"].rstrip("."), _share(row["k_no"]), _share(row["k_sh"]))
        for row in RULES.table("common/books/f014.csv")
        if not row["valid_to"]
    }
    ours = {(row["kod"], row["osn"], _share(row["k_no"]), _share(row["k_sh"])) for row in EVERY if not row["valid_to"]}
    assert shipped_book == ours


def test_the_book_is_whole_without_the_facts_too() -> None:
    known = _known()
    assert set(known) == {str(kod) for kod in (*range(1, 137), *range(201, 272))}
    for kod, rows in known.items():
        newer = int(kod) > 200
        assert all((one[0] >= date(2021, 5, 25)) is newer for one in rows), kod
        assert all((one[1] == date.max) is newer for one in rows), kod
        assert all((one[3] is not None and one[4] is not None) is newer for one in rows), kod
    shares = [share for rows in known.values() for one in rows for share in one[3:5] if share is not None]
    assert min(shares) == 0 and max(shares) == 3


def test_a_defect_of_rules_has_the_ground_and_shares_of_its_code() -> None:
    known = {(row["kod"], row["valid_to"]): row for row in EVERY if row["key"].startswith(defects.EXPERTS)}
    for row in EVERY:
        if not row["key"].startswith(defects.EXPERTS):
            same = known[row["kod"], row["valid_to"]]
            assert [row[name] for name in ("osn", "k_no", "k_sh")] == [same[name] for name in ("osn", "k_no", "k_sh")]


# ---- asking ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "codes"),
    [
        ("206", {"1.4.3 (206)"}),
        ("1.4.3", {"1.4.3 (206)"}),
        ("1.4.3.", {"1.4.3 (206)"}),
        ("5.1.3", {"5.1.3 (52)"}),
        ("52", {"5.1.3 (52)"}),
        ("FIELD_MISSING", {"5.1.3 (52)", "1.4.3 (206)"}),
        ("1.5", {"1.5 (9)", "1.5 (210)"}),
        ("6.18.7", {"6.18.7 (118)"}),
        ("f014_30", {"3.3.1 (30)"}),
    ],
)
def test_a_code_is_found_by_number_ground_or_key(code: str, codes: set[str]) -> None:
    found = explain.explain(PROFILE, code)
    assert {one.code for one in found} == codes
    assert {one.kind for one in found} == {"defect"}


def test_a_rule_is_found_by_code_and_official_number_with_its_defect_and_examples() -> None:
    rules = rules_of(PROFILE)
    for code in ("F.00.0110", "001F.00.0700", "001f.00.0700"):
        found = explain.explain(PROFILE, code, rules=rules)
        assert [one.kind for one in found][:3] == ["rule", "defect", "defect"]
        assert found[0].code == "F.00.0110" and found[0].wrong and found[0].right
        assert {one.code for one in found[1:]} == {"5.1.4 (53)", "1.4.4 (207)"}


def test_a_day_leaves_what_was_in_force() -> None:
    assert [one.code for one in explain.explain(PROFILE, "1.5", date(2019, 5, 1))] == ["1.5 (9)"]
    found = explain.explain(PROFILE, "3.3.1", date(2020, 1, 1))
    assert [(one.code, one.title) for one in found] == [("3.3.1 (30)", "Сделано ненужное, стало хуже")]
    with pytest.raises(WrongState):
        explain.explain(PROFILE, "3.3.1", date(2018, 1, 1))


def test_the_law_changes_with_the_day() -> None:
    (old,) = explain.explain(PROFILE, "5.1.3")
    assert old.basis == (
        "приказ ФФОМС от 01.12.2010 № 230, прил. 8, п. 5.1.3; приказ ФФОМС от 28.02.2019 № 36, п. 5.1.3"
    )
    (new,) = explain.explain(PROFILE, "206")
    assert new.basis == "приказ Минздрава России от 19.03.2021 № 231н, п. 1.4.3"
    assert (new.not_paid, new.fine, old.not_paid, old.fine) == ("1", "0", "", "")
    assert "5.1.3 (52)" in new.same and "1.4.3 (206)" in old.same


def test_again_is_yes_no_after_an_event_or_within_a_term() -> None:
    row = next(row for row in defects.rows(RULES) if row["key"] == "field_missing")
    assert defects.again(RULES, row) == "да, после исправления"
    assert defects.again(RULES, {**row, "resubmit_days": "25"}) == "да, после исправления; срок: 25 дней со дня отказа"
    volume = next(row for row in defects.rows(RULES) if row["key"] == "over_volume")
    assert defects.again(RULES, volume) == "не раньше события: решение комиссии о перераспределении объёмов"
    twice = next(row for row in defects.rows(RULES) if row["key"] == "duplicate")
    assert defects.again(RULES, twice) == "нет"


def test_a_book_of_a_region_without_topics_still_speaks(tmp_path: Path) -> None:
    folder = tmp_path / "common/books"
    folder.mkdir(parents=True)
    text = "key;kod;osn;name;name_en;resubmit;k_no;k_sh;valid_from;valid_to\nown;207;1.4.4;Своё;Own;1;1;0;2021-05-25;\n"
    (folder / "defects.csv").write_text("# origin: test\n" + text, "utf-8")
    own = RuleData(str(tmp_path))
    (row,) = defects.find(own, "207")
    one = explain.of_defect(own, row)
    assert (one.title, one.means, one.who, one.again) == ("Своё", "", (), "да, после исправления")


def test_an_official_check_that_reading_makes_or_nobody_is_explained_too() -> None:
    rules = rules_of(PROFILE)
    row = RULES.table(explain.BY_READING)[0]
    (one, *_more) = explain.explain(PROFILE, row["official"].split("|")[0].lower(), rules=rules)
    assert (one.kind, one.code) == ("rule", row["finding"]) and row["path"] in one.wrong and one.right
    for left in RULES.table(explain.NOT_CHECKED):
        (one,) = explain.explain(PROFILE, left["official"].split("|")[0], rules=rules)
        assert (one.kind, one.means) == ("official", left["reason"])
