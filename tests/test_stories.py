"""The golden stories: every file that left a participant, every screen and every ledger, byte for byte."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import golden

ROOT = golden.STORIES


def test_there_are_stories_and_nothing_else() -> None:
    assert len(golden.stories()) >= 7
    folders = sorted(path.name for path in ROOT.iterdir() if path.is_dir())
    assert folders == golden.stories()
    assert sorted(path.name for path in ROOT.iterdir() if path.is_file()) == [".gitattributes", "README.md"]


@pytest.mark.parametrize("name", golden.stories())
def test_a_story_ends_as_it_is_written(name: str, tmp_path: Path) -> None:
    found = golden.play(name, tmp_path)
    lines = golden.differences(golden.expected(name), found)
    assert not lines, "\n".join([f"{name}: python -m tests.golden {name}", *lines])


@pytest.mark.parametrize("name", golden.stories())
def test_a_story_has_no_stray_file_and_is_told(name: str) -> None:
    assert golden.strays(name) == []
    text = (ROOT / name / "README.md").read_text("utf-8")
    assert text.startswith("# ")
    assert "На что смотреть" in text
    assert 5 <= len(text.splitlines()) <= 25


@pytest.mark.parametrize("name", golden.stories())
def test_every_ledger_of_a_story_balances(name: str) -> None:
    for path in (ROOT / name / "expect").glob("*/ledger.json"):
        assert '"balanced": true' in path.read_text("utf-8"), path


def test_a_changed_a_missing_and_a_stray_file_are_shown(tmp_path: Path) -> None:
    want = {"a.xml": b"one\ntwo\n", "b.xml": b"x\n", "c.txt": b"same"}
    found = {"a.xml": b"one\n2\n", "c.txt": b"same", "d.txt": b""}
    lines = golden.differences(want, found)
    assert "-two" in lines
    assert "+2" in lines
    assert "only expected: b.xml" in lines
    assert "not expected: d.txt" in lines
    assert golden.differences({"a": b"one\r\n"}, {"a": b"one\n"}) == ["a: line ends or encoding differ"]


def test_what_is_said_shorter_is_only_what_every_rule_changes() -> None:
    plan = b'<flk comment="' + b"0" * 64 + b'"><plan><test code="A" category="passed"/>'
    plan += b'<test code="B" category="found" condition="x" expression="y" count_fail="1" ns="2"/></plan></flk>'
    short = golden.folded(plan)
    assert b'comment="{rulebook}"' in short
    assert b'"A"' not in short
    assert b'<test code="B" category="found" count_fail="1"/>' in short
    document = (ROOT / "05_one_account" / "in").glob("*.xml")
    content = next(document).read_bytes()
    assert golden.folded(content) == content


def test_the_stories_hold_both_encodings_and_a_packed_register() -> None:
    heads = [path.read_bytes()[:60] for path in ROOT.glob("*/expect/*/*/*.xml")]
    assert any(b"windows-1251" in head for head in heads)
    assert any(b"utf-8" in head for head in heads)
    assert list(ROOT.glob("*/expect/*/*/*.7z.xml"))


def test_no_path_and_no_moment_of_the_machine_stands_in_the_expected_files() -> None:
    for path in ROOT.glob("*/expect/**/*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"/tmp" not in content, path
            assert not re.search(rb"20(19|2\d)-\d\d-\d\dT", content), path
