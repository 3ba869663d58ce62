"""Sums and sanctions by the book: whatever rules and experts say, the money of an account and of the bill adds up."""

from __future__ import annotations

import csv
import os
import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms_batch.control import Controls, norm, share_of
from oms_batch.desk import defects, expertise
from oms_batch.errors import SetupError, WrongState
from oms_batch.exchange import Profile
from oms_batch.judge.engine import run
from oms_batch.judge.verdict import decide
from oms_batch.ruledata import RuleData
from oms_batch.stages import finalise
from tests.federal_answers import AT, accepted_by, answer, needs_schemas, parsed, profile
from tests.federal_documents import PROFILE, Account, documents, finding, kopecks, tables_of, verdict
from tests.judge_tools import book, put_rule, register

RULES = RuleData()
CONTROLS = Controls.of(RULES)
# code, ground, kind of control said by the expert
SAID = [
    *(("207", "1.4.4", ""), ("242", "2.12", ""), ("247", "2.16.2", "53"), ("239", "2.9", "50")),
    *(("255", "3.2.1", ""), ("256", "3.2.2", "72"), ("261", "3.3", "86")),
]


@dataclass(frozen=True)
class Decided:
    """A decision: which of ``SAID``, and what it withholds, in thousandths of the sum of the account."""

    said: int
    share: int


@dataclass(frozen=True)
class Case:
    """An account: its kopecks, whether a rule refuses it, what experts say of it."""

    sumv: int
    refused: bool
    decisions: tuple[Decided, ...]


CASES = st.lists(
    st.builds(
        Case,
        st.one_of(st.integers(0, 300), st.integers(0, 10**9)),
        st.booleans(),
        st.lists(st.builds(Decided, st.integers(0, len(SAID) - 1), st.integers(0, 1000)), max_size=4).map(tuple),
    ),
    min_size=1,
    max_size=5,
)


def _taken(case: Case) -> list[tuple[str, int]]:
    """Group of control and kopecks of each decision."""
    found = []
    for one in case.decisions:
        _kod, ground, kind = SAID[one.said]
        group = CONTROLS.group(kind or CONTROLS.kind(ground, AT.date()))
        found.append((group, case.sumv * one.share // 1000))
    return found


def oracle(case: Case, combine: str, per_control: str) -> int:
    """What must be withheld, by the words of the setting."""
    if case.refused:
        return case.sumv
    taken = _taken(case)
    if per_control == "one":
        groups = {group for group, _kopecks in taken}
        amounts = [max(money for one, money in taken if one == group) for group in groups]
    else:
        amounts = [money for _group, money in taken]
    together = sum(amounts) if combine == "sum" else max(amounts, default=0)
    return min(case.sumv, together)


def judged(cases: list[Case], combine: str, per_control: str) -> tuple[Any, duckdb.DuckDBPyConnection]:
    """The tables after the last stage."""
    pair = documents([Account(n, (one.sumv,), n) for n, one in enumerate(cases, 1)], indent="")
    con = tables_of(pair)
    for n, one in enumerate(cases, 1):
        told = (True, "K.1", "1.6.1", "211", one.sumv) if one.refused else (False, None, None, None, 0)
        verdict(con, (n, *told, "76001"))
    keys = dict(con.execute("SELECT n, xkey FROM z_sl").fetchall())
    decisions = []
    for n, case in enumerate(cases, 1):
        for place, (one, (_group, money)) in enumerate(zip(case.decisions, _taken(case), strict=True)):
            kod, ground, kind = SAID[one.said]
            told = {"xkey": keys[n], "kod": kod, "defect": ground, "withheld": money, "kind": kind, "fine": 0}
            decisions.append({**told, "act_no": f"{n}/{place}", "act_date": "2026-02-03", "expert": "7600123"})
    final = {"combine": combine, "per_control": per_control}
    bench = SimpleNamespace(con=con, profile=profile(combine, None, final), received_at=AT)
    finalise._apply(bench, decisions)  # type: ignore[arg-type]
    return pair, con


def _of(one: Any, name: str) -> int:
    return kopecks(one.findtext(name)) or 0


def _days(table: str, key: str) -> dict[str, list[tuple[date, date]]]:
    found: dict[str, list[tuple[date, date]]] = {}
    for row in RULES.table(table):
        found.setdefault(row[key], []).append(defects.span(row))
    return found


KINDS, GROUNDS = _days("common/books/f006.csv", "code"), _days(defects.BOOK, "kod")


@pytest.mark.parametrize("per_control", ["one", "any"])
@pytest.mark.parametrize("combine", ["sum", "largest"])
@settings(max_examples=15, deadline=None)
@given(cases=CASES)
def test_money_adds_up_whatever_is_decided(combine: str, per_control: str, cases: list[Case]) -> None:
    pair, con = judged(cases, combine, per_control)
    main, _persons, part = answer(con, pair, stage="ST", combine=combine)
    tree = parsed(main)
    accounts = list(tree.iter("Z_SL"))
    assert len(accounts) == len(cases)
    for account, case in zip(accounts, cases, strict=True):
        sumv, sump, gone = (_of(account, name) for name in ("SUMV", "SUMP", "SANK_IT"))
        assert sumv == case.sumv and sump == sumv - gone and 0 <= sump <= sumv
        assert gone == oracle(case, combine, per_control)
        assert account.findtext("OPLATA") == ("1" if not gone and not case.refused else "2" if gone == sumv else "3")
        blocks = account.findall("SANK")
        assert bool(blocks) is (case.refused or bool(case.decisions))
        sums = [_of(one, "S_SUM") for one in blocks]
        if combine == "sum" or case.refused:
            assert sum(sums) == gone
        else:
            assert min(max(sums, default=0), sumv) == gone
        codes = [one.findtext("S_CODE") for one in blocks]
        assert len(set(codes)) == len(codes)
        assert all(re.fullmatch(r"[0-9A-Za-z_-]{1,36}", code) for code in codes)
        taking: dict[str, int] = {}
        for one, money in zip(blocks, sums, strict=True):
            day, kind, kod = (one.findtext(name) for name in ("DATE_ACT", "S_TIP", "S_OSN"))
            for known, code in ((KINDS, kind), (GROUNDS, kod)):
                assert any(since <= date.fromisoformat(day) <= until for since, until in known[code])
            assert one.findtext("NUM_ACT")
            group = CONTROLS.group(kind)
            assert group and (one.findtext("CODE_EXP") is not None or group != "ekmp")
            taking[group] = taking.get(group, 0) + (money > 0)
        if per_control == "one":
            assert max(taking.values(), default=0) <= 1
    bill = {name: _of(tree.find("SCHET"), name) for name in ("SUMMAV", "SUMMAP", "SANK_MEK", "SANK_MEE", "SANK_EKMP")}
    assert bill["SUMMAV"] == sum(case.sumv for case in cases) == part.claimed
    assert bill["SUMMAP"] == sum(_of(one, "SUMP") for one in accounts) == part.accepted
    together = bill["SANK_MEK"] + bill["SANK_MEE"] + bill["SANK_EKMP"]
    assert together == bill["SUMMAV"] - bill["SUMMAP"] == sum(_of(one, "SANK_IT") for one in accounts)
    if combine == "sum":
        for name, group in (("SANK_MEK", "mek"), ("SANK_MEE", "mee"), ("SANK_EKMP", "ekmp")):
            own = (one for one in tree.iter("SANK") if CONTROLS.group(one.findtext("S_TIP")) == group)
            assert bill[name] == sum(_of(one, "S_SUM") for one in own)


@needs_schemas
@pytest.mark.parametrize("per_control", ["one", "any"])
@pytest.mark.parametrize("combine", ["sum", "largest"])
def test_the_schema_of_sanctions_accepts_every_sort_of_decision(combine: str, per_control: str) -> None:
    several = tuple(Decided(n, 100 + 50 * n) for n in range(len(SAID)))
    cases = [Case(10000, False, ()), Case(10000, False, several), Case(700, True, ()), Case(0, True, several[:1])]
    cases += [Case(501, False, (one,)) for one in several] + [Case(501, False, (Decided(3, 0),))]
    pair, con = judged(cases, combine, per_control)
    main, persons, _part = answer(con, pair, stage="ST", combine=combine)
    assert accepted_by("sanctions/H_3.2", main) == ""
    assert accepted_by("sanctions/L_3.2", persons) == ""


def test_a_fine_alone_is_told_and_takes_nothing() -> None:
    pair, con = judged([Case(10000, False, (Decided(3, 0),))], "sum", "one")
    main, _persons, _part = answer(con, pair, stage="ST")
    (account,) = parsed(main).iter("Z_SL")
    told = {name: account.findtext(name) for name in ("OPLATA", "SUMP", "SANK_IT")}
    assert told == {"OPLATA": "1", "SUMP": "100.00", "SANK_IT": "0.00"}
    assert [(one.findtext("S_OSN"), one.findtext("S_SUM")) for one in account.iter("SANK")] == [("239", "0.00")]


def test_of_one_control_the_largest_takes_the_money() -> None:
    decisions = (Decided(1, 300), Decided(2, 500), Decided(4, 400))  # MEE twice, EKMP once
    for per_control, sums in (("one", ["50.00", "40.00", "0.00"]), ("any", ["50.00", "40.00", "10.00"])):
        pair, con = judged([Case(10000, False, decisions)], "sum", per_control)
        main, _persons, _part = answer(con, pair, stage="ST")
        assert [one.findtext("S_SUM") for one in parsed(main).iter("SANK")] == sums
        assert [one.findtext("S_TIP") for one in parsed(main).iter("SANK")] == ["53", "70", "50"]


def test_a_fund_that_takes_no_empty_sanction_of_mek_gets_none(tmp_path: Path) -> None:
    own = PROFILE.rules.read("federal/answers.toml").decode("utf-8").replace('others = "zero"', 'others = "never"')
    (tmp_path / "federal").mkdir()
    (tmp_path / "federal/answers.toml").write_text(own, "utf-8")
    cases = [Case(500, True, ()), Case(0, True, ()), Case(900, False, (Decided(3, 0),))]
    pair, con = judged(cases, "sum", "one")
    finding(con, "F.1", 1)
    main, _persons, _part = answer(con, pair, stage="ST", rules=RuleData(str(tmp_path)))
    said = [
        [(one.findtext("S_TIP"), one.findtext("S_SUM")) for one in of.iter("SANK")] for of in parsed(main).iter("Z_SL")
    ]
    assert said == [[("1", "5.00")], [], [("50", "0.00")]]


def test_an_expertise_of_quality_without_an_expert_stops_the_answer() -> None:
    pair, con = judged([Case(900, False, (Decided(4, 100),))], "sum", "one")
    con.execute("UPDATE decision SET expert = '760012345'")  # nine characters: the element holds eight
    with pytest.raises(SetupError, match="expert"):
        answer(con, pair, stage="ST")
    con.execute("UPDATE decision SET expert = '76001234'")
    answer(con, pair, stage="ST")


# ---- codes on the day of the act ---------------------------------------------------------------------------


def test_a_ground_has_its_code_on_the_day_of_care_or_of_the_act(tmp_path: Path) -> None:
    put_rule(tmp_path, defect="not_in_programme")
    rules, rulebook = book(tmp_path)
    con = register(rules, rulebook, {"z_sl": {"sumv": 100001, "date_z_2": date(2021, 5, 20)}})
    run(con, rulebook)
    for act, want in (
        (None, ("61", "5.3.1")),
        (date(2021, 6, 10), ("211", "1.6.1")),
        (date(2021, 5, 24), ("61", "5.3.1")),
    ):
        decide(con, rulebook, act=act)
        assert con.execute("SELECT kod, osn FROM verdicts").fetchall() == [want]


@pytest.mark.parametrize(("code_on", "kod"), [("act", "207"), ("care", "53")])
def test_further_grounds_have_their_codes_on_the_same_day(code_on: str, kod: str) -> None:
    pair = documents([Account(1, (500,), day="2021-05-20")])
    con = tables_of(pair)
    verdict(con, (1, True, "K.1", "1.6.1", "211", 500, "76001"))
    finding(con, "F.9", 1)
    from tests import federal_answers

    texts = federal_answers.TEXTS
    texts.rules["F.9"] = texts.rules["F.1"].__class__("F.9", "Поле", defect="both")  # type: ignore[index]
    texts.defects["both"] = [  # type: ignore[index]
        (date(2011, 1, 1), date(2021, 5, 24), "5.1.4", "53"),
        (date(2021, 5, 25), None, "1.4.4", "207"),
    ]
    main, _persons, _part = answer(con, pair, final={"code_on": code_on})
    assert [one.text for one in parsed(main).iter("S_OSN")] == ["211", kod]


# ---- kinds of control --------------------------------------------------------------------------------------


def test_every_kind_of_the_federal_book_belongs_to_one_control() -> None:
    groups = {kind: CONTROLS.group(kind) for kind in KINDS}
    assert set(groups.values()) == {"mek", "mee", "ekmp"}
    assert [kind for kind, group in groups.items() if group == "mek"] == ["1", "10", "11", "12"]
    assert {groups[str(kind)] for kind in range(50, 60)} == {"mee"}
    assert {groups[str(kind)] for kind in range(70, 87)} == {"ekmp"}
    ranges = sorted((low, high) for one in CONTROLS.groups.values() for low, high in one["kinds"])
    assert all(one[1] < two[0] for one, two in pairwise(ranges))
    assert CONTROLS.group("") == CONTROLS.group("87") == CONTROLS.group("x") == ""
    folder = Path(os.environ.get("OMS_REFERENCE_DATA", ""))
    file = folder / "nsi/csv/F006_script679.csv"
    if not os.environ.get("OMS_REFERENCE_DATA") or not file.is_file():
        pytest.skip("OMS_REFERENCE_DATA: the names of F006 are not here")
    with file.open(encoding="utf-8-sig", newline="") as stream:
        for row in csv.DictReader(stream, delimiter=";"):
            name = row["VIDNAME"].casefold()
            economic = "экономич" in name.split("по случаям")[0].split("отобранн")[0] or "мээ" in name.split(" ")[1:2]
            quality = "качества" in name.split("по случаям")[0] or "экмп" in name
            want = "mek" if "контроль" in name and not quality else "ekmp" if quality else "mee" if economic else ""
            assert CONTROLS.group(row["IDVID"]) == want, row["IDVID"]


@pytest.mark.parametrize(
    "day", [date(2017, 3, 1), date(2020, 3, 1), date(2021, 5, 24), date(2021, 5, 25), date(2026, 2, 3)]
)
def test_a_decision_without_a_kind_gets_one_in_force_on_its_day(day: date) -> None:
    for row in defects.rows(RULES):
        if defects.in_force(row, day):
            kind = CONTROLS.kind(row["osn"].rstrip("."), day)
            assert any(since <= day <= until for since, until in KINDS[kind]), (row["osn"], kind)


# ---- a code that is worth its shares -----------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**14), st.sampled_from(["0", "0.1", "0.3", "0.4", "0.5", "0.6", "0.8", "0.9", "1", "2", "3"]))
def test_a_share_is_exact_and_rounded_half_up(money: int, share: str) -> None:
    found, tenths = share_of(money, share), int(Decimal(share) * 10)
    assert found == (money * tenths + 5) // 10
    assert tenths > 10 or 0 <= found <= money


def _final(folder: Path, **more: str) -> Profile:
    if more.pop("norms", ""):
        (folder / "federal/books").mkdir(parents=True)
        text = "# origin: test\ncode;value;valid_from;valid_to\nper_person;13000.55;2025-01-01;2026-12-31\n"
        (folder / "federal/books/norms.csv").write_text(text, "utf-8")
    return Profile(PROFILE.id, PROFILE.data, RuleData(str(folder)))


ACCOUNT = {"register": "r", "payer": "76001", "sumv": 12345, "date_z_2": "2026-01-12"}
LINE = {"xkey": "a", "kod": "255", "withheld": "", "act_no": "17/А", "act_date": "2026-02-03", "expert": "7600123"}


@pytest.mark.parametrize(
    ("change", "withheld", "fine"),
    [
        ({}, 1235, 0),  # 3.2.1: 0.1 of 123.45, half up; no fine
        ({"kod": "256"}, 4938, 390017),  # 3.2.2: 0.4; 0.3 of 13000.55
        ({"kod": "254"}, 12345, 3900165),  # 3.1.5: all of it; three norms
        ({"kod": "239"}, 0, 1300055),  # 2.9: a fine only
        ({"kod": "1.4.4"}, 12345, 0),
        ({"kod": "256", "withheld": "10.00", "fine": "5"}, 1000, 500),  # what the decision says itself
        ({"kod": "242", "expert": "", "kind": "53"}, 12345, 0),  # no expert is needed
    ],
)
def test_a_code_is_worth_its_shares(tmp_path: Path, change: dict[str, str], withheld: int, fine: int) -> None:
    found = expertise.decision(_final(tmp_path, norms="1"), ACCOUNT, {**LINE, **change})
    assert (found["withheld"], found["fine"]) == (withheld, fine)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kod": "999"}, "DEFECT_CODE"),
        ({"kod": "53"}, "DEFECT_CODE"),  # closed before the act
        ({"kind": "31"}, "DECISION_KIND"),
        ({"kind": "87"}, "DECISION_KIND"),
        ({"expert": ""}, "DECISION_EXPERT"),
        ({"expert": "300-000-048 06"}, "DECISION_EXPERT"),
        ({"kod": "242", "kind": "70", "expert": ""}, "DECISION_EXPERT"),
        ({"act_no": "№ 17"}, "DECISION_ACT"),
        ({"kod": "239"}, "DECISION_SUM"),  # a fine only, and no norm is known
        ({"withheld": "0"}, "DECISION_SUM"),
        ({"kod": "52", "act_date": "2021-05-01"}, "DECISION_SUM"),  # the older order has no shares
    ],
)
def test_a_decision_that_cannot_be_told_is_refused(tmp_path: Path, change: dict[str, str], code: str) -> None:
    with pytest.raises(WrongState) as caught:
        expertise.decision(_final(tmp_path), ACCOUNT, {**LINE, **change})
    assert caught.value.code == code


def test_where_the_receiver_knows_codes_by_the_day_of_care_the_act_does_not_count() -> None:
    from oms_batch.exchange import load_profile

    yaroslavl = load_profile("yaroslavl")
    old = {**ACCOUNT, "date_z_2": "2021-05-20"}
    line = {**LINE, "act_date": "2021-06-10", "withheld": "1", "expert": "300-000-048 06", "act_no": "№ 17"}
    assert expertise.decision(yaroslavl, old, {**line, "kod": "53"})["defect"] == "5.1.4"
    with pytest.raises(WrongState):
        expertise.decision(yaroslavl, old, {**line, "kod": "207"})


def test_a_norm_is_that_of_the_day(tmp_path: Path) -> None:
    rules = _final(tmp_path, norms="1").rules
    assert norm(rules, "federal", "per_person", date(2025, 1, 1)) == 1300055
    assert norm(rules, "federal", "per_person", date(2027, 1, 1)) is None
    assert norm(rules, "federal", "other", date(2025, 1, 1)) is None
    assert norm(RULES, "federal", "per_person", date(2025, 1, 1)) is None
