"""Refused accounts: the way into the next register, lists, explanations, life stories."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from oms_batch.desk import explain, refused, resubmit, story
from oms_batch.errors import WrongState
from oms_batch.exchange import Profile, load_profile
from oms_batch.i18n import set_language
from oms_batch.model import Totals

TODAY = date(2026, 12, 10)
YES, NO = {"resubmit": "1"}, {"resubmit": "0"}


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load_profile("yaroslavl")


def account(**other: Any) -> dict[str, Any]:
    row = {
        "register": "1027600000108-760401001-202611-1",
        "period": "2026-11",
        "payer": "P",
        "state": "stage1_refused",
        "idcase": "7",
        "xkey": "K7",
        "usl_ok": "3",
        "sumv": 123450,
        "withheld": 123450,
        "desk": "",
        "date_z_2": "2026-11-05",
        "defect": "field_wrong",
        "kod": "207",
        "rule": "F.00.0740",
        "at": "2026-12-05T10:00:00+00:00",
    }
    return {**row, **other}


@pytest.mark.parametrize(
    ("state", "kind"),
    [("fund_refused", "primary"), ("stage1_refused", "primary"), ("final_refused", "repeat")],
)
def test_where_it_was_refused_decides_what_it_enters_as(profile: Profile, state: str, kind: str) -> None:
    assert resubmit.kind(profile, account(state=state)) == kind


@pytest.mark.parametrize("state", ["billed", "fund_passed", "reformulated", "accepted"])
def test_what_is_not_refused_cannot_enter(profile: Profile, state: str) -> None:
    with pytest.raises(WrongState, match="ACC_NOT_REFUSED"):
        resubmit.kind(profile, account(state=state))
    assert resubmit.may_resubmit(profile, account(state=state, desk="corrected"), YES, TODAY, "так надо") == (
        False,
        "ACC_NOT_REFUSED",
    )


def test_a_correction_comes_first_then_once_only(profile: Profile) -> None:
    def may(row: dict[str, Any], defect: Any = YES, forced: str = "") -> tuple[bool, str]:
        return resubmit.may_resubmit(profile, row, defect, TODAY, forced)

    assert may(account()) == (False, "NOT_CORRECTED")
    assert may(account(desk="corrected")) == (True, "")
    assert may(account(desk="corrected"), None) == (True, "")
    assert may(account(), forced="ошибка фонда") == (True, "FORCED")
    assert may(account(), forced="  ") == (False, "NOT_CORRECTED")
    assert may(account(desk="corrected"), NO) == (False, "DEFECT_FORBIDS")
    assert may(account(), NO, "объёмы добавлены") == (True, "FORCED")
    assert may(account(desk="resubmitted"), YES, "ещё раз") == (False, "ACC_RESUBMITTED")


def test_a_term_of_the_defect_is_kept(profile: Profile) -> None:
    row = account(desk="corrected")
    assert resubmit.may_resubmit(profile, row, {**YES, "resubmit_days": "5"}, TODAY) == (True, "")
    assert resubmit.may_resubmit(profile, row, {**YES, "resubmit_days": "4"}, TODAY) == (False, "TOO_LATE")


def test_the_list_says_what_is_wrong_and_what_to_do(profile: Profile) -> None:
    first, second = refused.refused_rows(profile, [account(), account(rule="", state="final_refused")], TODAY)
    assert first.code == "1.4.4" and first.message == "В счёте нет ни одной услуги"
    assert first.advice.startswith("Добавьте в случай") and first.means
    assert (first.enters_as, first.may_resubmit, first.why_not) == ("primary", False, "NOT_CORRECTED")
    assert second.message == "Поле заполнено неверно" and second.enters_as == "repeat"
    assert second.state_title == "отклонён СМО окончательно"
    json.dumps(first.as_json())
    set_language("en")
    assert refused.refused_rows(profile, [account()], TODAY)[0].message == "The account has no service"
    set_language("ru")


def test_the_defect_is_that_of_the_day_of_care(profile: Profile) -> None:
    (row,) = refused.refused_rows(profile, [account(date_z_2="2020-01-05")], TODAY)
    assert row.code == "5.1.4"


def test_lists_are_grouped_dearest_first(profile: Profile) -> None:
    rows = refused.refused_rows(
        profile, [account(), account(withheld=1, defect="sum_wrong"), account(withheld=2, defect="sum_wrong")], TODAY
    )
    assert [(code, total) for code, _text, total in refused.grouped(rows, "code")] == [
        ("1.4.4", Totals(1, 123450)),
        ("1.4.5", Totals(2, 3)),
    ]
    assert refused.grouped(rows, "payer") == [("P", "P", Totals(3, 123453))]
    assert refused.grouped(rows, "state")[0][1] == "отклонён СМО на 1 этапе"


def test_every_state_and_kind_has_a_name_in_both_languages(profile: Profile) -> None:
    desk = profile.rules.toml("yaroslavl/desk.toml")
    assert set(profile.buckets) == set(desk["states"])
    assert set(profile.data["account_kind"]) == set(desk["kinds"])


def test_explain_knows_rules_with_their_defects(profile: Profile) -> None:
    rule, *defects = explain.explain(profile, "f.00.0740")
    assert (rule.kind, rule.code, rule.title) == ("rule", "F.00.0740", "В счёте нет ни одной услуги")
    assert rule.advice and rule.basis and rule.valid_from == "2011-01-01"
    assert {one.code for one in defects} == {"5.1.3 (52)", "1.4.3 (206)"}
    assert all(one.resubmit for one in defects)
    assert [one.code for one in explain.explain(profile, "F.00.0740", date(2026, 1, 1))] == ["F.00.0740", "1.4.3 (206)"]


def test_explain_knows_lines_of_fields_and_official_numbers(profile: Profile) -> None:
    assert explain.explain(profile, "F.00.0110")[0].title == "Пол указан неверно"
    assert explain.explain(profile, "001F.00.0700")[0].code == "F.00.0110"


@pytest.mark.parametrize("code", ["field_wrong", "207", "1.4.4", "1.4.4.", "5.1.4", "53"])
def test_explain_knows_defects_by_key_number_and_ground(profile: Profile, code: str) -> None:
    found = explain.explain(profile, code)
    assert {one.defect for one in found} == {"field_wrong"}
    labels = dict.fromkeys(("means", "advice", "resubmit", "defect", "basis", "official", "valid", "yes", "no"), "x")
    assert len(explain.as_lines(found[0], labels)) >= 4


def test_explain_hints_at_near_codes(profile: Profile) -> None:
    with pytest.raises(WrongState) as caught:
        explain.explain(profile, "F.00.0741")
    assert caught.value.code == "CODE_UNKNOWN" and "F.00.0740" in caught.value.detail


def life() -> dict[str, Any]:
    def move(seq: int, stage: str, state: str, at: str, **other: Any) -> dict[str, Any]:
        return {
            "seq": seq,
            "stage": stage,
            "to_state": state,
            "withheld": 0,
            "defect": "",
            "kod": "",
            "rule": "",
            "at": at,
            "file": f"F{stage}X.7z",
            **other,
        }

    return {
        **account(),
        "moves": [
            move(1, "3", "billed", "2026-12-01T08:00:00+00:00"),
            move(
                2, "6", "stage1_refused", "2026-12-05T08:00:00+00:00", withheld=123450, defect="field_wrong", kod="207"
            ),
        ],
        "corrections": [{"field": "z_sl.rslt", "who": "анна", "why": "по карте", "at": "2026-12-06T08:00:00+00:00"}],
        "resubmission": {"kind": "primary", "at": "2026-12-06T09:00:00+00:00", "who": "анна"},
        "successor": ("1027600000108-760401001-202612-1", "K7b"),
        "predecessor": ("1027600000108-760401001-202610-1", "K0"),
        "decisions": [],
    }


def test_a_life_is_told_in_order(profile: Profile) -> None:
    events = story.story(profile, life())
    set_language("en")
    english = story.story(profile, life())
    set_language("ru")
    assert [event.what for event in english] == [
        "Billed again: it was account K0 of register 1027600000108-760401001-202610-1",
        "Billed",
        "Refused by the insurer, first stage",
        "Corrected: z_sl.rslt",
        "Put on the list for the next register as primary",
        "Lives on as account K7b of register 1027600000108-760401001-202612-1",
    ]
    texts = profile.rules.toml("common/defect_texts.toml")["topic"]["field_wrong"]
    assert english[2].detail == (
        "File F6X.7z",
        "1234.50 roubles withheld",
        "Cause 1.4.4: A field is filled in wrongly",
        "What to do: " + texts["advice_en"],
    )
    assert events[1].day == "01.12.2026" and english[1].day == "2026-12-01"
    assert events[2].what == "Отклонён СМО на 1 этапе"


def test_experts_and_the_heading(profile: Profile) -> None:
    set_language("en")
    row = life()
    row["decisions"] = [
        {
            "kod": "30",
            "withheld": 5,
            "act_no": "8",
            "act_date": "2026-12-20",
            "imported_at": "2026-12-21T00:00:00+00:00",
        }
    ]
    assert "Decision of experts: act 8 of 2026-12-20, 0.05 roubles withheld" in [
        event.what for event in story.story(profile, row)
    ]
    assert story.heading(row) == "Account K7, number 7, register 1027600000108-760401001-202611-1, 1234.50 roubles"
    set_language("ru")


def test_one_ground_for_several_defects_is_told_by_the_rule_or_in_full(profile: Profile) -> None:
    (plain,) = refused.refused_rows(profile, [account(defect="1.5", kod="210", rule="")], TODAY)
    names = plain.message.split(" / ")
    assert len(names) > 1 and "Пациента не удалось опознать" in names and len(set(names)) == len(names)
    told = explain.defect_of(profile.rules, account(defect="1.5"), "person_unknown")
    assert told is not None and told["name"] == "Пациента не удалось опознать"
    assert explain.defect_of(profile.rules, account(defect="", kod="")) is None
    assert explain.defect_of(profile.rules, account(defect="99.9", kod="")) is None
