"""Between two funds: a main part is answered, its refused accounts come again corrected, both ledgers agree."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oms_batch.doors import play
from oms_batch.errors import Refusal
from oms_batch.intake import names
from oms_batch.routing import route
from oms_batch.settings import load_settings, template
from oms_batch.store import ledger
from oms_batch.synth import mtr
from oms_batch.synth.world import Spec
from oms_batch.work import Handled
from tests.mtr_tools import PROFILE, Funds, accounts_of, archive, document_in, money, packed, tree

SPEC = Spec(accounts=12, period="2022-03")
VERSIONS = [
    pytest.param("2018-04", "2.1", marks=pytest.mark.slow),
    pytest.param("2019-05", "3.1", marks=pytest.mark.slow),
    ("2022-03", "3.2"),
]


def outcome(handled: list[Handled], name: str) -> Handled:
    (found,) = (one for one in handled if one.name == name)
    return found


def begin(
    root: Path, spec: Spec = SPEC, order: mtr.Order | None = None, every: int = 3
) -> tuple[Funds, tuple[int, ...]]:
    """The issuer has sent a main part; some of its persons are no insured of the payer. Gives their accounts."""
    funds = Funds(root)
    changes, strangers = mtr.strangers(PROFILE, spec, every)
    funds.insure("payer", spec, changes)
    name, content = packed(mtr.part(PROFILE, spec, order))
    funds.put("issuer", "", name, content)
    assert outcome(funds.sweep("issuer"), name).outcome == "answered"
    assert funds.carry() == [name]
    return funds, strangers


def answered(root: Path) -> tuple[Funds, str, bytes, tuple[int, ...]]:
    """The main part is judged; the protocol is on the way. Gives its name and bytes."""
    funds, strangers = begin(root)
    assert outcome(funds.sweep("payer"), "R5076220001.oms").status == "partly"
    funds.carry()
    return funds, "A7650220001.oms", funds.inbox("issuer", "payer", "A7650220001.oms"), strangers


@pytest.mark.parametrize(("period", "version"), VERSIONS)
def test_a_whole_story(tmp_path: Path, period: str, version: str) -> None:
    """R, A, D of all that was refused, A: sums and ledgers of both sides to the kopeck."""
    spec = Spec(accounts=12, period=period, version=version)
    held = {0: 1001, 1: 99}
    funds, strangers = begin(tmp_path, spec, mtr.Order(held=held))
    sent = mtr.part(PROFILE, spec, mtr.Order(held=held))
    assert 0 < len(strangers) < sent.accounts
    year = period[2:4]
    assert outcome(funds.sweep("payer"), f"R5076{year}0001.oms").refused.accounts == len(strangers)
    assert {f"A7650{year}0001.oms", f"Y5076{year}0001.oms"} <= set(funds.carry())
    journal = tree(funds.inbox("issuer", "payer", f"Y5076{year}0001.oms"))
    assert (journal.findtext("FNAME"), journal.findtext("FNAME_I")) == (f"Y5076{year}0001", f"R5076{year}0001")
    assert journal.findall("PR") == []  # no fault of form: the insured are not its matter

    root = tree(funds.inbox("issuer", "payer", f"A7650{year}0001.oms"))
    assert root.findtext("ZGLV/VERSION") == ("2.1" if version == "2.1" else "3.1")
    told = accounts_of(root)
    assert len(told) == sent.accounts
    for number, one in told.items():
        ordinal, withheld = int(number) - 1, money(one, "SANK_IT")
        claimed = money(one, "SUMV") - held.get(ordinal, 0)
        assert money(one, "SUMP") == claimed - withheld
        assert (withheld == claimed) == (ordinal in strangers) and (ordinal in strangers or withheld == 0)
        right = "2" if ordinal in strangers else "3" if ordinal in held else "1"
        assert one.findtext("OPLATA") == right
        assert [found.text for found in one.findall("SANK/S_IST")] == (["2"] if ordinal in strangers else [])
        assert money(one, "SANK/S_SUM") == withheld
    assert money(root, "SCHET/SUMMAV") == sent.claimed == sent.billed - sum(held.values())
    assert money(root, "SCHET/SUMMAP") == sum(money(one, "SUMP") for one in told.values())
    assert money(root, "SCHET/SUMMAP") == money(root, "SCHET/SUMMAV") - money(root, "SCHET/SANK_MEK")

    taken = outcome(funds.sweep("issuer"), f"A7650{year}0001.oms")
    assert (taken.outcome, taken.refused.accounts) == ("answered", len(strangers))
    check_ledgers(funds, {"sent": sent.accounts, "refused_6": len(strangers), "waiting": 0})

    with funds.at("issuer") as site:
        rows = ledger.refused(site.ledger, ["stage1_refused"])
    again = tuple(sorted(int(row["idcase"]) - 1 for row in rows))
    assert again == strangers
    changes, still = mtr.strangers(PROFILE, spec, 9)  # now most of them are found
    still = tuple(ordinal for ordinal in still if ordinal in again)
    funds.insure("payer", spec, changes)
    order = mtr.Order(held={again[0]: 55}, earlier=spec, ordinals=again)
    name, content = packed(mtr.part(PROFILE, spec, order))
    assert name == f"D5076{year}0001.oms"
    funds.put("issuer", "", name, content)
    assert outcome(funds.sweep("issuer"), name).outcome == "answered"
    funds.carry()
    assert outcome(funds.sweep("payer"), name).refused.accounts == len(still)
    funds.carry()
    last = tree(funds.inbox("issuer", "payer", f"A7650{year}5001.oms"))
    assert {one.text for one in last.iter("S_IST")} == ({"4"} if still else set())
    for leaf in ("YEAR", "MONTH", "NSCHET", "DSCHET"):
        assert last.findtext(f"SCHET/{leaf}") == root.findtext(f"SCHET/{leaf}")
    assert money(last, "SCHET/SUMMAP") == money(last, "SCHET/SUMMAV") - money(last, "SCHET/SANK_MEK")
    assert outcome(funds.sweep("issuer"), f"A7650{year}5001.oms").outcome == "answered"
    check_ledgers(funds, {"sent": sent.accounts + len(again), "refused_6": len(again), "waiting": 0})
    accepted = money(root, "SCHET/SUMMAP") + money(last, "SCHET/SUMMAP")
    assert kopecks(funds, "issuer", "accepted_5") == accepted
    with funds.at("issuer") as site:  # each refused account knows who took its place
        assert ledger.verify(site.ledger, PROFILE.buckets)["balanced"]
        rows = ledger.refused(site.ledger, ["stage1_refused"])
    assert [row["desk"] for row in rows] == [rows[0]["desk"]] * len(rows)


def check_ledgers(funds: Funds, counts: dict[str, int]) -> None:
    """Both ledgers are balanced and say the same."""
    ours, theirs = funds.totals("issuer"), funds.totals("payer")
    assert ours["balanced"] and theirs["balanced"]
    assert ours["accounts"] == theirs["accounts"] and ours["sums"] == theirs["sums"]
    assert counts == {name: ours["accounts"][name] for name in counts}


def kopecks(funds: Funds, name: str, bucket: str) -> int:
    return int(funds.totals(name)["sums"][bucket].replace(".", ""))


# ---- what the payer does not take --------------------------------------------------------------------


def deliver(funds: Funds, number: str, document: bytes, letter: str = "R") -> Handled:
    """A part lies in the payer's inbox and is worked."""
    name, content = archive(f"{letter}507622{number}", document)
    funds.put("payer", "issuer", name, content)
    return outcome(funds.sweep("payer"), name)


def main_part(spec: Spec = SPEC, order: mtr.Order | None = None) -> bytes:
    return b"".join(mtr.part(PROFILE, spec, order).document)


def findings(funds: Funds, letter: str, number: str) -> dict[str, str]:
    """IDCASE → ground of its sanction (S_OSN) in the protocol of a part of this number."""
    funds.carry()
    told = funds.inbox("issuer", "payer", f"A765022{'5' if letter == 'D' else '0'}{number[1:]}.oms")
    return {number: one.findtext("SANK/S_OSN") or "" for number, one in accounts_of(tree(told)).items()}


@pytest.mark.slow
def test_a_part_that_comes_twice_is_worked_once_and_its_accounts_are_paid_once(tmp_path: Path) -> None:
    funds = Funds(tmp_path)
    funds.insure("payer", SPEC)
    document = main_part()
    assert deliver(funds, "0001", document).status == "accepted"
    assert deliver(funds, "0001", document).outcome == "duplicate"
    # the same bill under another number of file: the same keys
    assert deliver(funds, "0002", document).status == "refused"
    assert set(findings(funds, "R", "0002").values()) == {"221"}
    # and once more: that it was refused in between takes back no acceptance
    assert deliver(funds, "0004", document).status == "refused"
    # the same care under another bill
    other = document.replace(b"<NSCHET>50-2203-1<", b"<NSCHET>50-2203-9<").replace(
        b"<CODE>22030101<", b"<CODE>22030109<"
    )
    assert other != document
    calls = document.count(b"<USL_OK>4<")  # the shared rule leaves out calls of an ambulance: two a day may be alike
    assert deliver(funds, "0003", other).refused.accounts == SPEC.accounts - calls
    assert sorted(findings(funds, "R", "0003").values()) == [""] * calls + ["221"] * (SPEC.accounts - calls)
    check = funds.totals("payer")
    assert check["balanced"] and check["accounts"]["accepted_5"] == SPEC.accounts + calls


@pytest.mark.slow
def test_a_corrected_part_takes_the_place_of_refused_accounts_only(tmp_path: Path) -> None:
    funds = Funds(tmp_path)
    changes, strangers = mtr.strangers(PROFILE, SPEC, 3)
    funds.insure("payer", SPEC, changes)
    assert deliver(funds, "0001", main_part()).status == "partly"
    funds.insure("payer", SPEC)
    accepted = next(one for one in range(SPEC.accounts) if one not in strangers)
    order = mtr.Order(earlier=SPEC, ordinals=(accepted, strangers[0]))
    document = main_part(SPEC, order)
    assert deliver(funds, "0001", document, "D").refused.accounts == 1
    assert findings(funds, "D", "0001") == {str(accepted + 1): "221", str(strangers[0] + 1): ""}
    # of a bill that never came
    strange = document.replace(b"<NSCHET>50-2203-1<", b"<NSCHET>50-2203-7<")
    assert deliver(funds, "0002", strange, "D").status == "refused"
    assert "204" in findings(funds, "D", "0002").values()
    assert funds.totals("payer")["balanced"]


@pytest.mark.slow
def test_a_file_for_another_fund_is_refused_and_one_of_another_is_set_aside(tmp_path: Path) -> None:
    funds = Funds(tmp_path, ("issuer", "payer", "third"))
    funds.insure("payer", SPEC)
    document = main_part()
    cases = {
        "R5044220001": ("refused", "ROLE_STAGE"),  # the sender is right, but we are not the one who pays
        "R7650220001": ("refused", "ROLE_STAGE"),  # our own part does not come from the one who pays
        "A7644220001": ("quarantined", "SENDER_MISMATCH"),
        "R4476220001": ("quarantined", "SENDER_MISMATCH"),
        "R5099220001": ("refused", "NAME_SMO_UNKNOWN"),
        "R5076225001": ("refused", "NAME_PATTERN"),
    }
    for stem, told in cases.items():
        name, content = archive(stem, document)
        funds.put("payer", "issuer", name, content)
        found = outcome(funds.sweep("payer"), name)
        assert (found.outcome, found.code) == told, stem
    assert deliver(funds, "0001", document).status == "accepted"
    assert funds.totals("payer")["accounts"]["sent"] == SPEC.accounts


@pytest.mark.slow
def test_a_part_refused_whole_is_told_by_a_packed_journal_and_may_come_again(tmp_path: Path) -> None:
    funds = Funds(tmp_path)
    funds.insure("payer", SPEC)
    good = main_part()
    for wrong, codes in (
        (good.replace(b"<OKATO_OMS>78000<", b"<OKATO_OMS>45000<"), {"904"}),
        (re.sub(rb"<SUMMAP>(\d+)\.(\d\d)<", rb"<SUMMAP>1\1.\2<", good, count=1), {"904"}),
        (good.replace(b"<IDCASE>2<", b"<IDCASE>1<"), {"905"}),
        (good.replace(b"<ZAP>", b"<ZAP><PR", 1), {"901"}),
    ):
        assert wrong != good
        name, content = archive("R5076220001", wrong)
        funds.put("issuer", "", name, content)
        if outcome(funds.sweep("issuer"), name).outcome == "answered":
            funds.carry()
        else:  # what we cannot read ourselves does not go out; the payer is tried all the same
            funds.put("payer", "issuer", name, content)
        assert outcome(funds.sweep("payer"), name).outcome == "refused"
        (journal,) = (one for one in funds.carry() if one.startswith("Y"))
        assert re.fullmatch(r"Y5076220001(\.\d{8})?\.oms", journal)
        told = tree(funds.inbox("issuer", "payer", journal))
        assert told.findtext("FNAME_I") == "R5076220001"
        assert {one.text for one in told.iter("OSHIB")} == codes
        funds.sweep("issuer")
    name, content = archive("R5076220001", good)
    funds.put("issuer", "", name, content)
    funds.sweep("issuer")
    funds.carry()
    assert outcome(funds.sweep("payer"), name).status == "accepted"
    funds.carry()
    funds.sweep("issuer")
    check_ledgers(funds, {"sent": SPEC.accounts, "accepted_5": SPEC.accounts})


@pytest.mark.slow
def test_our_sent_part_is_withdrawn_by_the_journal_of_the_payer(tmp_path: Path) -> None:
    funds, _strangers = begin(tmp_path)
    (refused,) = (tmp_path / "payer" / "inbox" / "issuer").iterdir()
    refused.unlink()
    journal = b"<FLK_P><FNAME>Y5076220001</FNAME><FNAME_I>R5076220001</FNAME_I><PR><OSHIB>901</OSHIB></PR></FLK_P>"
    name, content = archive("Y5076220001", journal)
    funds.put("issuer", "payer", name, content)
    assert outcome(funds.sweep("issuer"), "R5076220001.oms").outcome == "rejected"
    told = funds.totals("issuer")
    assert told["balanced"] and told["accounts"]["withdrawn"] == SPEC.accounts and told["accounts"]["sent"] == 0


@pytest.mark.slow
def test_a_wrong_row_is_told_by_the_journal_with_its_record_and_refused_in_the_protocol(tmp_path: Path) -> None:
    funds = Funds(tmp_path)
    funds.insure("payer", SPEC)
    document = re.sub(rb"(<IDCASE>3</IDCASE>.*?<DET>)\d", rb"\g<1>7", main_part(), count=1, flags=re.S)
    assert deliver(funds, "0001", document).refused.accounts == 1
    funds.carry()
    journal = tree(funds.inbox("issuer", "payer", "Y5076220001.oms"))
    rows = [{leaf.tag: leaf.text for leaf in one} for one in journal.findall("PR")]
    assert (rows[0]["OSHIB"], rows[0]["IM_POL"], rows[0]["N_ZAP"]) == ("903", "DET", "3")
    assert {row["IDCASE"] for row in rows} == {"3"}
    told = findings(funds, "R", "0001")
    assert [number for number, code in told.items() if code] == ["3"]


# ---- what the issuer does not take in --------------------------------------------------------------------


def spoil(pattern: bytes, by: bytes) -> Callable[[bytes], bytes]:
    return lambda document: re.sub(pattern, by, document, count=1, flags=re.S)


WRONG: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "total": (spoil(rb"<SUMMAP>(\d+)\.(\d)\d<", rb"<SUMMAP>\1.\g<2>7<"), "HDR_SUM"),
    "sanctions": (spoil(rb"<SANK_MEK>", rb"<SANK_MEK>1"), "HDR_SUM"),
    "sum": (spoil(rb"<SUMV>", rb"<SUMV>1"), "SET_CHANGED"),
    "accepted": (spoil(rb"<OPLATA>1</OPLATA><SUMP>\d+", rb"<OPLATA>1</OPLATA><SUMP>1"), "DEFECT_CODE"),
    "stranger": (spoil(rb"<IDCASE>1<", rb"<IDCASE>99<"), "SET_NOT_SUBSET"),
    "twice": (spoil(rb"<IDCASE>1<", rb"<IDCASE>2<"), "SET_NOT_SUBSET"),
    "bill": (spoil(rb"<NSCHET>50-2203-1<", rb"<NSCHET>50-2203-2<"), "SET_NOT_SUBSET"),
    "ground": (spoil(rb"<S_OSN>\d+<", rb"<S_OSN>999<"), "DEFECT_CODE"),
    "form": (spoil(rb"<ZAP>", rb"<ZAP><"), "XML_SYNTAX"),
}


def test_a_protocol_that_contradicts_what_was_sent_is_refused_whole(tmp_path: Path) -> None:
    funds, name, content, strangers = answered(tmp_path)
    document = document_in(content)
    right = tree(content).findtext("SCHET/SUMMAP")
    for what, (change, code) in WRONG.items():
        spoiled = change(document)
        assert spoiled != document
        funds.put("issuer", "payer", *archive(name.partition(".")[0], spoiled))
        found = outcome(funds.sweep("issuer"), name)
        assert (found.outcome, found.code) == ("refused", code), what
        if what == "total":  # told in roubles
            (problem,) = found.problems
            assert (problem.place, problem.expected) == ("SCHET/SUMMAP", right)
        assert funds.totals("issuer")["accounts"]["waiting"] == SPEC.accounts
    funds.put("issuer", "payer", name, content)  # the right one is taken in after them
    assert outcome(funds.sweep("issuer"), name).refused.accounts == len(strangers)
    check_ledgers(funds, {"waiting": 0})


@pytest.mark.slow
def test_a_protocol_may_speak_of_the_refused_accounts_only(tmp_path: Path) -> None:
    """CHOSEN: what it does not mention is accepted as claimed; its totals must say so too."""
    funds, name, content, strangers = answered(tmp_path)
    short = re.sub(rb"<ZAP>(?:(?!</ZAP>).)*<OPLATA>1<(?:(?!</ZAP>).)*</ZAP>\n", b"", document_in(content), flags=re.S)
    assert short.count(b"<ZAP>") == len(strangers)
    funds.put("issuer", "payer", *archive(name.partition(".")[0], short))
    assert outcome(funds.sweep("issuer"), name).refused.accounts == len(strangers)
    check_ledgers(funds, {"refused_6": len(strangers), "accepted_5": SPEC.accounts - len(strangers)})


@pytest.mark.slow
def test_a_protocol_waits_for_what_it_answers(tmp_path: Path) -> None:
    funds, name, content, _strangers = answered(tmp_path)
    funds.put("issuer", "payer", *archive("A7650225001", document_in(content)))
    handled = funds.sweep("issuer")  # nothing corrected was sent yet; the one of the main part lies there too
    assert outcome(handled, "A7650225001.oms").outcome == "parked"
    assert outcome(handled, name).outcome == "answered"
    assert funds.totals("issuer")["accounts"]["waiting"] == 0


@pytest.mark.parametrize(
    ("stem", "folder", "told"),
    [
        ("R5076260001", "fund-50", "judge_and_answer in"),
        ("A7650260001", "fund-50", "ROLE_STAGE"),  # a protocol does not come from the one who issued the part
        ("R7650260001", "fund-50", "ROLE_STAGE"),
        ("R5044260001", "fund-50", "ROLE_STAGE"),
        ("A7644260001", "fund-50", "SENDER_MISMATCH"),
        ("R4476260001", "fund-50", "SENDER_MISMATCH"),
        ("R4476260001", "fund-44", "judge_and_answer in"),
        ("A5076260001", "fund-50", "take_in in"),
        ("A5076265001", "fund-50", "take_in in"),
        ("A4476265001", "fund-50", "SENDER_MISMATCH"),
        ("R7650260001", "", "send_register out fund-50"),
        ("D7644260001", "", "send_register out fund-44"),
        ("R5076260001", "", "judge_and_answer in fund-50"),  # brought by hand
        ("R5044260001", "", "ROLE_STAGE"),
    ],
)
def test_who_may_send_which_part_to_whom(stem: str, folder: str, told: str) -> None:
    """Fund 76, which pays some parts and issues others."""
    own = {"code": "76", "ogrn": "1027600000405"}
    others = [
        {"folder": "fund-50", "role": "tfoms", "code": "50", "ogrn": "1027600000306"},
        {"folder": "fund-44", "role": "tfoms", "code": "44", "ogrn": "1027600000504"},
    ]
    settings = load_settings(template("tfoms", own=own, partners=others, profile="mtr").encode(), "")
    try:
        found = route(names.identify(f"{stem}.oms", PROFILE), folder, settings, PROFILE)
        partner = f" {found.partner.folder}" if found.partner and not folder else ""
        happened = f"{found.hop.handler} {found.direction}{partner}"
    except Refusal as refusal:
        happened = refusal.code
    assert happened == told


def test_names_tell_funds_number_and_what_they_answer() -> None:
    stems = ["R5076260017", "D5076264999", "A7650260017", "A7650269999", "Y5076260017", "Y5076269999"]
    found = [names.identify(f"{stem}.oms", PROFILE) for stem in stems]
    assert [one.stage for one in found] == ["R", "D", "AR", "AD", "YR", "YD"]
    assert [one.register for one in found] == ["5076-2026-R0017", "5076-2026-D4999"] * 3
    assert {one.period for one in found} == {"2026-12"}  # a name tells a year only
    for one in found:
        assert names.build(one.stage, one.parts, ".oms", PROFILE).canonical == one.canonical


@pytest.mark.slow
def test_another_number_in_the_year_is_another_register(tmp_path: Path) -> None:
    funds = Funds(tmp_path)
    funds.insure("payer", SPEC)
    second = replace(SPEC, number="2", seed="other", period="2022-04")
    for spec in (SPEC, second):
        name, content = packed(mtr.part(PROFILE, spec))
        funds.put("payer", "issuer", name, content)
        handled: Any = outcome(funds.sweep("payer"), name)
        assert handled.outcome == "answered", handled.problems
    assert funds.totals("payer")["accounts"]["sent"] == 2 * SPEC.accounts


@pytest.mark.slow
def test_the_demonstration_ends_balanced_on_both_sides(tmp_path: Path) -> None:
    told: list[str] = []
    proofs = play.run(PROFILE, str(tmp_path / "play"), told.append, accounts=150, seed=3, isolate=False)
    one, two = proofs.values()
    assert list(proofs) == ["tfoms-50", "tfoms-76"] and one["balanced"] and two["balanced"]
    assert one["accounts"] == two["accounts"] and one["sums"] == two["sums"]
    refused = one["accounts"]["refused_6"]
    assert refused > 0 and one["accounts"]["accepted_5"] == 150 == one["accounts"]["sent"] - refused
    assert one["sums"]["refused_2"] != "0.00"  # what the issuing fund had withheld itself
