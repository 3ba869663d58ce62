"""File names: the good ones in any case, and every bad one with its own reason."""

from __future__ import annotations

import os
import unicodedata

import pytest

from oms_batch.errors import Refusal
from oms_batch.intake.names import Ignored, identify
from tests.read_docs import PROFILE

STEM = "1027600000108760401001"


def code(name: str) -> str:
    with pytest.raises(Refusal) as caught:
        identify(name, PROFILE)
    return caught.value.code


def test_a_main_register_taken_apart() -> None:
    named = identify(STEM + "180913x.7Z", PROFILE)
    assert (named.ogrn_mo, named.kpp_mo, named.period) == ("1027600000108", "760401001", "2018-09")
    assert (named.number, named.stage, named.payer, named.extension) == ("1", "3", "X", ".7z")
    assert named.name == STEM + "180913x.7Z"
    assert named.canonical == STEM + "180913X.7z"
    assert named.suffix == "3X"
    assert named.register == "1027600000108-760401001-201809-1"


@pytest.mark.parametrize(
    "ending", ["3X.7z", "3X.zip", "3X.xml", "1P.7z", "1R.7z", "1F.7z", "6P.zip", "5P.xml", "2R.7z"]
)
def test_every_stage_has_its_names(ending: str) -> None:
    assert identify(STEM + "18091" + ending, PROFILE).stage == ending[0]


@pytest.mark.parametrize("digit", "0123456789")
def test_any_register_number(digit: str) -> None:
    assert identify(STEM + "1809" + digit + "3X.7z", PROFILE).number == digit


def test_a_cyrillic_letter_is_named_with_its_place() -> None:
    with pytest.raises(Refusal) as caught:
        identify(STEM + "180913х.7z", PROFILE)
    problem = caught.value.problems[0]
    assert (problem.code, problem.place, problem.expected, problem.found) == (
        "NAME_HOMOGLYPH",
        "position 29",
        "X",
        "U+0445",
    )


@pytest.mark.parametrize("twin", "АВЕКМНОРСТУХавеморстух"[:20])
def test_all_cyrillic_twins(twin: str) -> None:
    assert code(STEM + "18091" + "1" + twin + ".7z") == "NAME_HOMOGLYPH"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (STEM + "180917A.7z", "NAME_STAGE"),  # no such stage
        (STEM + "180917P.7z", "NAME_STAGE"),
        (STEM + "180913P.7z", "NAME_STAGE"),  # a main register is for all payers
        (STEM + "180911X.7z", "NAME_STAGE"),  # an answer is for one
        (STEM + "180911Q.7z", "NAME_SMO_UNKNOWN"),
        (STEM + "180911Z.7z", "NAME_SMO_CLOSED"),  # closed at the end of 2017
        ("../" + STEM + "180913X.7z", "NAME_CHARS"),
        ("/" + STEM + "180913X.7z", "NAME_CHARS"),
        ("C:\\" + STEM + "180913X.7z", "NAME_CHARS"),
        (STEM + "180913X.7z\n", "NAME_CHARS"),
        (STEM + "180913X\x1b[31m.7z", "NAME_CHARS"),
        (STEM + "180913X\u202e.7z", "NAME_CHARS"),
        (STEM + "180913X\0.7z", "NAME_CHARS"),
        ("1" * 300 + ".7z", "NAME_CHARS"),
        ("", "NAME_CHARS"),
        (os.fsdecode("реестр.7z".encode("cp1251")), "NAME_CHARS"),
        (STEM + "18091٣X.7z", "NAME_CHARS"),  # an Arabic digit
        (STEM + "18091３X.7z", "NAME_CHARS"),  # a full-width digit
        ("и\u0306" + STEM + "180913X.7z", "NAME_CHARS"),
        (unicodedata.normalize("NFD", STEM + "180913Й.7z"), "NAME_CHARS"),
        ("1\u0306" + STEM + "80913X.7z", "NAME_CHARS"),  # a letter in two parts
        ("CON.7z", "NAME_CHARS"),
        ("nul", "NAME_CHARS"),
        ("LPT1.xml", "NAME_CHARS"),
        (STEM + "180913X.7z.", "NAME_PATTERN"),
        (STEM + "180913X.7z ", "NAME_CHARS"),
        (STEM + "180913X.7z:a", "NAME_CHARS"),
        (STEM + "180913X (2).7z", "NAME_PATTERN"),
        (STEM + "180913X — копия.7z", "NAME_PATTERN"),
        ("Копия " + STEM + "180913X.7z", "NAME_PATTERN"),
        (STEM + "180913X.rar", "NAME_PATTERN"),
        (STEM + "180913X", "NAME_PATTERN"),
        (STEM + "181313X.7z", "NAME_PATTERN"),  # month 13
        (STEM[1:] + "180913X.7z", "NAME_PATTERN"),
        (STEM + "1180913X.7z", "NAME_PATTERN"),
        ("FLK_P_" + STEM + ".xml", "NAME_PATTERN"),  # a protocol of another system
    ],
)
def test_a_bad_name_has_its_own_reason(name: str, expected: str) -> None:
    assert code(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "~$" + STEM + "180913X.7z",
        STEM + ".tmp",
        STEM + ".part",
        STEM + "180913X.7z.filepart",
        "Thumbs.db",
        "desktop.ini",
        ".a",
    ],
)
def test_temporary_files_are_left_alone(name: str) -> None:
    with pytest.raises(Ignored):
        identify(name, PROFILE)


def test_the_payer_is_judged_on_the_last_day_of_the_month() -> None:
    assert identify(STEM + "171211Z.7z", PROFILE).payer == "Z"
    assert code(STEM + "180111Z.7z") == "NAME_SMO_CLOSED"


def test_the_name_itself_is_never_told() -> None:
    with pytest.raises(Refusal) as caught:
        identify("Иванов_Иван.7z", PROFILE)
    assert "ванов" not in repr(caught.value.problems)
