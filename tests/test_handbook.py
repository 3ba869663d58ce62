"""The error handbook: made from the data, whole, current, and one page that needs nothing else."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from oms_batch.desk import defects, handbook
from oms_batch.desk.explain import Explanation
from oms_batch.desk.handbook import RuleEntry
from oms_batch.doors import handbook as pages
from oms_batch.exchange import load_profile, shipped
from oms_batch.i18n import set_language
from oms_batch.judge.whole import rules_of
from oms_batch.ruledata import RuleData
from tests.source import ROOT

RULES = RuleData()
CYRILLIC = re.compile("[А-Яа-яЁё]")


@pytest.fixture(scope="module")
def russian() -> handbook.Handbook:
    set_language("ru")
    return pages.gather(RULES)


@pytest.fixture
def english() -> Iterator[None]:
    set_language("en")
    yield
    set_language("ru")


def test_the_committed_pages_are_current(russian: handbook.Handbook) -> None:
    assert (ROOT / "docs/handbook.md").read_text("utf-8") == handbook.markdown(russian), "oms-batch rules handbook docs"
    assert (ROOT / "docs/handbook.html").read_text("utf-8") == "".join(handbook.html(russian))


def test_every_rule_code_and_problem_stands_in_the_book_once(russian: handbook.Handbook) -> None:
    told = [entry.code for section in russian.rules for entry in section.entries]
    known = {rule.code for name in shipped(RULES) for rule in rules_of(load_profile(name, RULES))}
    assert len(told) == len(set(told))
    assert known - set(told) == {
        rule.code
        for name in shipped(RULES)
        for rule in rules_of(load_profile(name, RULES))
        if rule.status == "retired" and rule.code not in told
    }
    codes = {one.kod for entry in russian.codes.entries for one in entry.codes}
    assert codes == {row["kod"] for row in defects.rows(RULES)}
    assert {entry.code for entry in russian.problems.entries} == {
        code for code, row in RULES.toml("common/problems.toml").items() if isinstance(row, dict)
    }


def test_every_set_of_rules_has_a_heading_in_both_languages(russian: handbook.Handbook) -> None:
    words = RULES.toml(handbook.HEADINGS)
    for section in russian.rules:
        _rules, owner, part = section.anchor.split("-", 2)
        assert owner in words["owner"] and part in words["part"], section.anchor
    pairs = [pair for name in ("part", "owner", "severity") for pair in words[name].values()]
    assert all(CYRILLIC.search(ru) and en and not CYRILLIC.search(en) for ru, en in pairs)


def test_a_rule_is_told_with_its_numbers_examples_and_codes_old_and_new(russian: handbook.Handbook) -> None:
    entries = {entry.code: entry for section in russian.rules for entry in section.entries}
    assert "001F.00.0700" in dict(entries["F.00.0110"].lines)["Официальные проверки"]
    lines = dict(entries["F.00.0740"].lines)
    assert lines["Что делать"] and lines["Неверно"] and lines["Верно"]
    assert lines["Если ошибка есть"] == "отказ: 5.1.3 (52) → 1.4.3 (206)"
    for entry in entries.values():
        labels = {label for label, _text in entry.lines}
        assert {"Неверно", "Верно", "Что делать"} <= labels or entry.code.startswith("S."), entry.code


def test_a_code_is_told_with_all_that_a_clinic_asks(russian: handbook.Handbook) -> None:
    for entry in russian.codes.entries:
        lines = dict(entry.lines)
        wanted = (
            "Что это значит",
            "Что делать",
            "Кто исправляет",
            "Можно подать снова",
            "Неверно",
            "Верно",
            "Основание",
        )
        assert all(lines.get(label) for label in wanted), entry.title
        assert lines["Где находят"], entry.title


class _Page(HTMLParser):
    """Tags that stay open, addresses of other files, anchors and links to them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "input", "br"):
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href") and not str(value).startswith("#"):
                self.outside.append(str(value))
            if name == "href":
                self.links.append(str(value).removeprefix("#"))
            if name == "id":
                self.ids.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(russian: handbook.Handbook) -> None:
    page = _Page()
    page.feed("".join(handbook.html(russian)))
    assert (page.open, page.outside) == ([], [])
    assert len(page.ids) == len(set(page.ids))
    assert set(page.links) <= set(page.ids)


def test_texts_of_rules_cannot_break_the_pages() -> None:
    about = Explanation("rule", "F.99.0001", "<b> & `x", "", "1 | 2 * 3 _4_", severity="warn")
    book = handbook.gather(RULES, [RuleEntry(about, "common/form", ("federal",))])
    assert "&lt;b&gt; &amp; " in "".join(handbook.html(book)) and "<b> &" not in "".join(handbook.html(book))
    assert "1 \\| 2 \\* 3 \\_4\\_" in handbook.markdown(book)


def test_the_book_is_made_quickly_into_a_folder(tmp_path: Path) -> None:
    start = time.monotonic()
    names = pages.write(str(tmp_path), RULES)
    assert time.monotonic() - start < 30
    assert sorted(Path(name).name for name in names) == ["handbook.html", "handbook.md"]
    assert all((tmp_path / name).stat().st_size > 100_000 for name in ("handbook.html", "handbook.md"))


@pytest.mark.usefixtures("english")
def test_the_book_speaks_english_too() -> None:
    book = pages.gather(RULES)
    for entry in book.codes.entries:
        said = [entry.title, *(one.title for one in entry.codes), *(text for _label, text in entry.lines)]
        assert [text for text in said if CYRILLIC.search(text)] == []
    for section in book.rules:
        for entry in section.entries:
            assert not CYRILLIC.search(entry.title), entry.code
