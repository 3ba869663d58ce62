"""The federal exchange between real homes: a month, halves that come apart, both ways of МЭК, every protocol."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from oms_batch import clock
from oms_batch.doors import demo
from oms_batch.exchange import load_profile
from oms_batch.formats import container
from oms_batch.store import ledger
from oms_batch.synth import federal
from oms_batch.synth.world import Spec
from tests.participants import Exchange

PROFILE = load_profile("federal")
DEMO = PROFILE.rules.toml("federal/demo.toml")
PARTIES = {one["folder"]: {key: value for key, value in one.items() if key != "folder"} for one in DEMO["participant"]}
SPEC = Spec(accounts=12, seed=5, period="2022-03", payers={"76001": 2, "76002": 1})
NAME = "HM760001T76_22031"
WHEN = clock.parse(DEMO["sent_at"])


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    clock.set_wall(lambda: WHEN)
    yield
    clock.set_wall(None)


def exchange_of(root: Path, *names: str) -> Exchange:
    made = Exchange(root, names or ("mo", "tfoms", "smo-a", "smo-b"), profile=PROFILE, parties=PARTIES)
    for name in made.names:
        if PARTIES[name]["role"] != "mo":
            made.insure(name, SPEC)
    return made


def documents(spec: Spec = SPEC) -> dict[str, bytes]:
    made = federal.register(PROFILE, spec)
    return {f"{made.name}.XML": b"".join(made.main), f"{made.persons_name}.XML": b"".join(made.persons)}


def packed(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    when = datetime(2022, 4, 5, tzinfo=timezone.utc)
    container.pack_members("zip", [(name, io.BytesIO(text)) for name, text in members.items()], out, when)
    return out.getvalue()


def overlaid(exchange: Exchange, change: dict[str, str]) -> None:
    """Every home lays its own copy of the profile over the shipped one."""
    text = PROFILE.rules.read("federal/profile.toml").decode()
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    for name in exchange.names:
        folder = exchange.root / name / "rules" / "federal"
        folder.mkdir(parents=True)
        (folder / "profile.toml").write_text(text)


def buckets(exchange: Exchange, name: str) -> dict[str, Any]:
    found = exchange.totals(name)
    assert found["balanced"], found["problems"]
    return dict(found["accounts"])


def inside(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        return {one: archive.read(one).decode("cp1251") for one in archive.namelist()}


@pytest.mark.slow
def test_a_month_balances_at_all_four_and_their_sums_agree(tmp_path: Path) -> None:
    proofs = demo.run(str(tmp_path / "play"), lambda _line: None, accounts=60, isolate=False, profile="federal")
    assert set(proofs) == {"mo", "tfoms", "smo-a", "smo-b"}
    assert all(one["balanced"] for one in proofs.values())
    mo, fund = proofs["mo"], proofs["tfoms"]
    insurers = [proofs[name] for name in ("smo-a", "smo-b")]
    assert mo["accounts"]["sent"] == fund["accounts"]["sent"] > 60, "with the register of the next month"
    assert mo["accounts"]["refused_1"] == fund["accounts"]["refused_1"]
    for bucket in ("accepted_5", "refused_6", "refused_2"):
        assert mo["accounts"][bucket] == sum(one["accounts"][bucket] for one in insurers)
    assert mo["accounts"]["accepted_5"] > 0


def test_the_fund_answers_with_a_protocol_a_register_and_one_file_per_insurer(tmp_path: Path) -> None:
    exchange = exchange_of(tmp_path, "mo", "tfoms", "smo-a", "smo-b")
    exchange.put("tfoms", "mo", f"{NAME}.zip", packed(documents()))
    (handled,) = exchange.sweep("tfoms")
    assert (handled.outcome, handled.sent.accounts) == ("answered", SPEC.accounts)
    to_mo = {path.name for path in exchange.outbox("tfoms", "mo")}
    assert {"VHM760001T76_22031.zip", "HT76M760001_22031.zip"} <= to_mo
    assert [path.name for path in exchange.outbox("tfoms", "smo-a")] == ["HM760001S76001_22031.zip"]
    answer = inside(exchange.root / "tfoms/outbox/mo/HT76M760001_22031.zip")
    assert set(answer) == {"HT76M760001_22031.XML", "LT76M760001_22031.XML"}
    assert answer["HT76M760001_22031.XML"].count("<OPLATA>1</OPLATA>") == SPEC.accounts


def test_the_same_packet_again_gives_the_same_answer_again(tmp_path: Path) -> None:
    exchange = exchange_of(tmp_path, "mo", "tfoms", "smo-a", "smo-b")
    exchange.put("tfoms", "mo", f"{NAME}.zip", packed(documents()))
    exchange.sweep("tfoms")
    first = {path.name: path.read_bytes() for path in exchange.outbox("tfoms", "mo")}
    exchange.carry(("tfoms", "mo"))
    exchange.put("tfoms", "mo", f"{NAME}.zip", packed(documents()))
    (handled,) = exchange.sweep("tfoms")
    assert handled.outcome == "duplicate"
    assert {path.name: path.read_bytes() for path in exchange.outbox("tfoms", "mo")} == first


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_halves_that_come_apart_wait_for_each_other(tmp_path: Path, order: tuple[int, int]) -> None:
    exchange = exchange_of(tmp_path, "mo", "tfoms", "smo-a", "smo-b")
    halves = [(name.lower(), text) for name, text in documents().items()]
    exchange.put("tfoms", "mo", *halves[order[0]])
    (waiting,) = exchange.sweep("tfoms")
    assert waiting.outcome == "parked" and not exchange.outbox("tfoms", "mo")
    exchange.put("tfoms", "mo", *halves[order[1]])
    outcomes = [one.outcome for one in exchange.sweep("tfoms")]
    assert "answered" in outcomes
    assert (exchange.root / "tfoms/outbox/mo/HT76M760001_22031.zip").exists()
    with exchange.at("tfoms") as site:
        assert not ledger.parked(site.ledger)
    assert buckets(exchange, "tfoms")["sent"] == SPEC.accounts


def test_a_packet_without_its_persons_is_refused_with_a_protocol(tmp_path: Path) -> None:
    exchange = exchange_of(tmp_path, "mo", "tfoms")
    exchange.put("mo", "", f"{NAME}.zip", packed(documents()))
    exchange.sweep("mo")
    (sent,) = exchange.outbox("mo", "tfoms")
    main, _persons = documents().items()
    sent.write_bytes(packed(dict([main])))
    exchange.carry()
    (refused,) = exchange.sweep("tfoms")
    assert (refused.outcome, refused.code) == ("refused", "ZIP_CONTENT")
    names = {path.name for path in exchange.outbox("tfoms", "mo")}
    assert f"V{NAME}.xml" in names


def test_a_count_that_is_not_true_refuses_the_packet(tmp_path: Path) -> None:
    exchange = exchange_of(tmp_path, "mo", "tfoms", "smo-a", "smo-b")
    wrong = {name: text.replace(b"<SD_Z>12<", b"<SD_Z>13<") for name, text in documents().items()}
    exchange.put("tfoms", "mo", f"{NAME}.zip", packed(wrong))
    (refused,) = exchange.sweep("tfoms")
    assert (refused.outcome, refused.code) == ("refused", "HDR_COUNT")


def test_what_is_refused_as_a_whole_is_taken_back_by_its_sender(tmp_path: Path) -> None:
    """The protocol V of the whole file: its accounts count as never sent."""
    exchange = exchange_of(tmp_path, "mo", "tfoms", "smo-a", "smo-b")
    settings = exchange.root / "tfoms" / "oms-batch.toml"
    text = settings.read_text("utf-8")
    assert 'closed_through = ""' in text
    settings.write_text(text.replace('closed_through = ""', 'closed_through = "2022-03"'), "utf-8")
    exchange.put("mo", "", f"{NAME}.zip", packed(documents()))
    exchange.sweep("mo")
    assert buckets(exchange, "mo")["sent"] == SPEC.accounts
    exchange.carry()
    (refused,) = exchange.sweep("tfoms")
    assert (refused.outcome, refused.code) == ("refused", "PERIOD_CLOSED")
    assert f"V{NAME}.xml" in exchange.carry()
    assert "rejected" in [one.outcome for one in exchange.sweep("mo")]
    found = exchange.totals("mo")
    assert found["balanced"] and found["accounts"]["sent"] == 0


@pytest.mark.parametrize("way", ["fund", "insurer"])
def test_who_makes_the_control_of_sense_is_a_setting(tmp_path: Path, way: str) -> None:
    """A diagnosis of the other sex: refused by the fund, or passed by it and refused by the insurer."""
    exchange = exchange_of(tmp_path)
    overlaid(exchange, {'by = "fund"': f'by = "{way}"'})
    main, persons = documents().items()
    exchange.put("mo", "", f"{NAME}.zip", packed({main[0]: _for_all(main[1], "N40"), persons[0]: persons[1]}))
    exchange.sweep("mo")
    exchange.carry()
    exchange.sweep("tfoms")
    at_fund = buckets(exchange, "tfoms")["refused_1"]
    exchange.carry()
    exchange.sweep("mo")
    for name in ("smo-a", "smo-b"):
        exchange.sweep(name)
    exchange.carry()
    exchange.sweep("mo")
    at_insurers = sum(buckets(exchange, name)["refused_6"] for name in ("smo-a", "smo-b"))
    mo = buckets(exchange, "mo")
    if way == "fund":
        assert at_fund > 0 and at_insurers == 0 and mo["refused_1"] == at_fund
    else:
        assert at_fund == 0 and at_insurers > 0 and mo["refused_6"] == at_insurers


def _for_all(text: bytes, code: str) -> bytes:
    """Every main diagnosis becomes one that only men have."""
    parts = text.split(b"<DS1>")
    return b"<DS1>".join([parts[0], *(code.encode() + one[one.index(b"</DS1>") :] for one in parts[1:])])


def test_a_region_that_answers_with_a_protocol_of_control_is_understood(tmp_path: Path) -> None:
    exchange = exchange_of(tmp_path, "mo", "tfoms", "smo-a", "smo-b")
    overlaid(exchange, {'emits = ["VMT", "TM", "MS"]': 'emits = ["VMT", "AMT", "MS"]'})
    exchange.put("mo", "", f"{NAME}.zip", packed(documents()))
    exchange.sweep("mo")
    exchange.carry()
    exchange.sweep("tfoms")
    exchange.carry()
    taken = [one for one in exchange.sweep("mo") if one.outcome == "answered"]
    assert [one.name for one in taken] == ["AHM760001T76_22031.zip"]
    assert buckets(exchange, "mo")["waiting"] == SPEC.accounts, "passed by the fund, not yet by the insurer"


def test_an_insurer_that_is_sent_to_by_the_fund_itself_answers_the_fund(tmp_path: Path) -> None:
    """The same accounts under the fund's own name (TS): the answer goes back to the fund (ST)."""
    exchange = exchange_of(tmp_path, "tfoms", "smo-a")
    only = Spec(accounts=8, seed=5, period="2022-03", payers={"76001": 1})
    exchange.insure("smo-a", only)
    main, persons = documents(only).items()
    text = main[1].replace(NAME.encode(), b"HT76S76001_22031").replace(b"<PLAT>76</PLAT>", b"<PLAT>76001</PLAT>")
    paid = rb"<SUMV>\1</SUMV><OPLATA>1</OPLATA><SUMP>\1</SUMP><SLUCH_Z_ID>1</SLUCH_Z_ID>"
    text = re.sub(rb"<SUMV>([0-9.]+)</SUMV>", paid, text)  # what this direction asks for besides
    text = re.sub(rb"<SUMMAV>([0-9.]+)</SUMMAV>", rb"<SUMMAV>\1</SUMMAV><SUMMAP>\1</SUMMAP>", text)
    lower = (
        persons[1].replace(persons[0][:-4].encode(), b"LT76S76001_22031").replace(NAME.encode(), b"HT76S76001_22031")
    )
    exchange.put(
        "smo-a",
        "tfoms",
        "HT76S76001_22031.zip",
        packed({"HT76S76001_22031.XML": text, "LT76S76001_22031.XML": lower}),
    )
    (handled,) = exchange.sweep("smo-a")
    assert (handled.outcome, handled.status) == ("answered", "accepted")
    assert "HS76001T76_22031.zip" in {path.name for path in exchange.outbox("smo-a", "tfoms")}
    exchange.carry()
    assert [one.outcome for one in exchange.sweep("tfoms") if one.name.endswith(".zip")] == ["answered"]
