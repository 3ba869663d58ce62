"""Spoiled file names: refused with a known code, or read as they are read by eye. Two names never read as one."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

import pytest

from oms_batch.errors import Refusal
from oms_batch.exchange import Profile, load_profile
from oms_batch.intake.names import Ignored, identify
from oms_batch.model import NamedFile
from oms_batch.ruledata import RuleData
from tests.oracle.change_names import mutated, random_name
from tests.oracle.size import times
from tests.oracle.watch import bounded
from tests.source import ROOT

pytestmark = pytest.mark.fuzz
RULES = RuleData()
CODES = set(RULES.toml("common/problems.toml"))
GOOD = {
    "yaroslavl": [
        "1027600000108760401001180913X.7z",
        "1027600000108760401001180911P.zip",
        "1027600000108760401001191206R.xml",
    ],
    "federal": [
        *("HM760001T76_26011.zip", "TM760001T76_26012.xml", "CM760001T76_26123.zip", "DPM760001T76_26011.zip"),
        *("HT76M760001_26011.zip", "HM760001S76001_26011.zip", "HS76001M760001_26011.zip", "HT76S76002_26011.zip"),
        *("DVS76002T76_260714.zip", "VHM760001T76_26011.xml", "AHM760001T76_26011.xml", "LM760001T76_26011.xml"),
        *("HMPM760001T76_26011.zip", "HM760001T7626011.zip", "EHS76001M760001_26011.zip", "HWT76M760001_26011.zip"),
    ],
    "moscow": ["R4708Q10115.zip", "CTRL4708Q10115.zip", "ME4708Q20115.zip", "R1865IN1214.zip"],
    "krasnodar": ["23011234526011.zip", "V23011234526012.zip", "A23021234526121.zip", "260112345.zip"],
    "mtr": [
        "R7677260001.oms",
        "D7677260412.xml",
        "A7776260001.oms",
        "A7776265412.oms",
        "Y7677260003.xml",
        "Y7677269999.oms",
    ],
}
PRESENT = sorted(GOOD)
CODE = {"M": 6, "S": 5, "T": 2}
DEEP = re.compile(r"D[PVOSUFABDR]")


def by_eye_yaroslavl(stem: str) -> dict[str, str]:
    return {
        "ogrn_mo": stem[:13], "kpp_mo": stem[13:22], "yy": stem[22:24], "mm": stem[24:26], "number": stem[26],
        "stage": stem[27], "payer": stem[28],
    }  # fmt: skip


def by_eye_federal(stem: str) -> dict[str, str]:
    """From the end: number, month, year, receiver, sender; what is left are the letters of the type."""
    stem = stem.replace("_", "")
    letter = next(at for at in range(len(stem) - 2, -1, -1) if stem[at].isalpha())
    width = CODE[stem[letter]]
    date = letter + 1 + width
    other = letter - 1
    while stem[other].isdigit():
        other -= 1
    codes = {stem[letter]: stem[letter + 1 : date], stem[other]: stem[other + 1 : letter]}
    assert all(len(code) == CODE[kind] for kind, code in codes.items())
    found = {"yy": stem[date : date + 2], "mm": stem[date + 2 : date + 4], "number": stem[date + 4 :]}
    names = {"M": "mo", "S": "payer", "T": "fund"}
    return found | {names[kind]: code for kind, code in codes.items()}


def by_eye_moscow(stem: str) -> dict[str, str]:
    head = next(one for one in ("CTRL", "ME", "R", "Y") if stem.startswith(one))
    own = head in ("R", "CTRL") and stem[-6:-4] == "IN"  # those insured elsewhere have a register of their own
    stage = f"{head}IN" if own else head
    return {"stage": stage, "mo": stem[len(head) : -6], "payer": stem[-6:-4], "mm": stem[-4:-2], "yy": stem[-2:]}


def by_eye_krasnodar(stem: str) -> dict[str, str]:
    if len(stem) == 9:
        return {"stage": "F", "yy": stem[:2], "mm": stem[2:4], "mo": stem[4:]}
    body = stem.lstrip("AV")
    stage = stem[: len(stem) - len(body)] or "P"
    return {
        "stage": stage,
        "payer": body[:4],
        "mo": body[4:9],
        "yy": body[9:11],
        "mm": body[11:13],
        "number": body[13:],
    }


def by_eye_mtr(stem: str) -> dict[str, str]:
    one, other = ("payer", "fund") if stem[0] == "A" else ("fund", "payer")
    corrected = stem[0] == "D" or (stem[0] != "R" and stem[7] >= "5")
    lead = str(int(stem[7]) % 5)
    return {
        one: stem[1:3], other: stem[3:5], "yy": stem[5:7], "lead": lead, "rest": stem[8:],
        "stage": stem[0] if stem[0] in "RD" else stem[0] + ("D" if corrected else "R"),
    }  # fmt: skip


BY_EYE: dict[str, Any] = {
    "yaroslavl": by_eye_yaroslavl,
    "federal": by_eye_federal,
    "moscow": by_eye_moscow,
    "krasnodar": by_eye_krasnodar,
    "mtr": by_eye_mtr,
}


def meaning(named: NamedFile) -> tuple[Any, ...]:
    """All that the exchange goes by, but not the letters of the name themselves."""
    parts = {name: value for name, value in named.parts.items() if name not in ("stem", "tail")}
    return named.register, named.stage, named.payer, named.period, named.number, tuple(sorted(parts.items()))


def one_name(canonical: str, profile: str) -> str:
    """A name without the liberties that a region may take."""
    stem = canonical.partition(".")[0]
    if profile == "federal":
        stem = re.sub(r"^V([PVOSUFABDR])M", r"VD\1M", stem.replace("_", ""))  # V instead of the first letter
        stem = re.sub(r"^VM", "VHM", stem)
    return stem


def check(name: str, named: NamedFile, profile: Profile) -> None:
    stem, _, ending = named.canonical.partition(".")
    assert name.isascii()
    assert name.upper() == f"{stem}.{ending}".upper()
    assert named.name == name
    assert re.fullmatch(r"20[0-9]{2}-(0[1-9]|1[0-2])", named.period)
    for part, value in BY_EYE[profile.id](stem).items():
        assert named.parts[part] == value, part
    assert named.period == f"20{named.parts['yy']}-{named.parts['mm']}"
    assert named.stage in profile.stages
    assert named.register
    again = identify(named.canonical, profile)
    assert meaning(again) == meaning(named)
    if profile.id == "federal":
        assert named.parts["kind"], "a type without a layout"
        assert named.parts["type"] in ("H", "T", "C") or DEEP.fullmatch(named.parts["type"])


def test_no_profile_is_left_out() -> None:
    assert sorted(path.name for path in (ROOT / "rules").iterdir() if (path / "profile.toml").exists()) == sorted(GOOD)


@pytest.mark.parametrize("profile", PRESENT)
def test_good_names_are_read(profile: str) -> None:
    for name in GOOD[profile]:
        check(name, identify(name, load_profile(profile, RULES)), load_profile(profile, RULES))


@pytest.mark.parametrize("name", PRESENT)
def test_a_spoiled_name_is_refused_or_read_as_by_eye(name: str) -> None:
    profile, chance = load_profile(name, RULES), random.Random(name)
    seen: Counter[str] = Counter()
    known: dict[tuple[Any, ...], str] = {}
    for number in range(times(3000)):
        some = random_name(chance) if number % 10 == 0 else mutated(chance.choice(GOOD[name]), GOOD[name], chance)
        try:
            with bounded(f"name {number}", 0.5):
                named = identify(some, profile)
        except Refusal as refusal:
            seen[refusal.code] += 1
            told = repr(refusal.problems)
            assert not any(len(piece) > 6 and piece in told for piece in re.split(r"[^0-9A-Za-z]", some)), ascii(some)
            continue
        except Ignored:
            seen["ignored"] += 1
            continue
        check(some, named, profile)
        plain = one_name(named.canonical, name)
        assert known.setdefault(meaning(named), plain) == plain, ascii(some)
        seen["read"] += 1
    print("names", name, dict(seen.most_common()))
    assert {one for one in seen if one.isupper()} <= CODES
    assert {"NAME_CHARS", "NAME_PATTERN"} <= set(seen)
    assert seen["read"] > 50


@pytest.mark.parametrize("name", PRESENT)
def test_an_endless_name_is_no_trouble(name: str) -> None:
    profile = load_profile(name, RULES)
    for piece in ("(", "1", "a-", " ", "V", "H", "копия", "~$", ".tmp", "D" * 7, "_"):
        for size in (199, 250, 20_000):
            with bounded(f"{name} {piece!r} {size}", 0.5):
                try:
                    identify((piece * size)[:size], profile)
                except (Refusal, Ignored):
                    continue
                raise AssertionError(piece)
