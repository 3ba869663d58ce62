"""Both languages are complete: every text of the source, every help of a command, every row of the data."""

from __future__ import annotations

import csv
import io
import re
import string
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from oms_batch import i18n
from oms_batch.i18n import _, pick, set_language
from tests.make_texts import CATALOGUE, ROOT, as_bytes, merged, read_catalogue, scan, scan_source, scan_template

FOUND = scan()
KNOWN = {str(entry.id): str(entry.string) for entry in read_catalogue(CATALOGUE) if entry.id}
CYRILLIC = re.compile("[а-яё]", re.I)
# Texts that are the same in both languages: signs, codes and placeholders only.
SAME = re.compile(r"(\{[^}]*\}|[^A-Za-zА-Яа-яЁё]|\b(XML|ZIP|7z|JSON|XLSX|HTML|CSV|DBF|TOML|SHA-256|OGRN|KPP)\b)*")


def placeholders(text: str) -> set[tuple[str, str, str]]:
    """Names, conversions and formats of ``str.format`` placeholders."""
    return {
        (name, spec or "", kind or "") for _text, name, spec, kind in string.Formatter().parse(text) if name is not None
    }


def test_the_scan_sees_the_texts() -> None:
    assert len(FOUND.texts) > 60
    assert "is missing" in FOUND.texts
    assert any(place.startswith("oms_batch/cli/") for place in FOUND.texts.values())


def test_every_text_is_written_out_in_the_call() -> None:
    """``_(f"…")`` and ``_("…" + x)`` cannot be translated: format comes after."""
    assert FOUND.unreadable == []


def test_every_text_has_a_russian_translation() -> None:
    missing = sorted(text for text in FOUND.texts if not KNOWN.get(text))
    assert missing == [], "make texts, then fill in"


def test_no_translation_is_left_over() -> None:
    assert sorted(set(KNOWN) - set(FOUND.texts)) == [], "make texts takes them out"


def test_nothing_is_fuzzy() -> None:
    assert [entry.id for entry in read_catalogue(CATALOGUE) if entry.id and entry.fuzzy] == []


@pytest.mark.parametrize("text", sorted(KNOWN))
def test_a_translation_is_russian_and_has_the_same_placeholders(text: str) -> None:
    russian = KNOWN[text]
    assert placeholders(russian) == placeholders(text)
    assert not CYRILLIC.search(text), "the msgid is English"
    assert CYRILLIC.search(russian) or SAME.fullmatch(text), "not Russian"


def test_the_catalogue_is_in_its_stored_form() -> None:
    assert as_bytes(merged(FOUND, [CATALOGUE])) == CATALOGUE.read_bytes(), "make texts"


def test_the_guards_can_fail() -> None:
    assert scan_source("_('a'); _(f'b{c}'); _('d' + e)", "x").unreadable == ["x:1", "x:1"]
    assert set(scan_source("_('a'); i18n._('b'); N_('c')", "x").texts) == {"a", "b", "c"}
    assert scan_template("{{ _('In the page') }}") == ["In the page"]
    assert placeholders("{n} of {total:d}") != placeholders("{n} of {total}")


def test_russian_is_the_default_and_english_is_as_written() -> None:
    assert _("is missing") == "не указано"
    set_language("en")
    assert _("is missing") == "is missing"
    assert pick("рус", "eng") == "eng"
    assert pick("рус", "") == "рус"
    set_language("fr")
    assert i18n.language() == "ru", "an unknown language is the default one"


# ---- helps of the command line --------------------------------------------------------------------------


def _commands() -> Iterator[tuple[str, click.Command, click.Context]]:
    from oms_batch.cli.main import program

    def walk(
        name: str, command: click.Command, parent: click.Context | None
    ) -> Iterator[tuple[str, click.Command, click.Context]]:
        context = click.Context(command, info_name=name.rsplit(" ", 1)[-1], parent=parent)
        yield name, command, context
        if isinstance(command, click.Group):
            for child in command.list_commands(context):
                found = command.get_command(context, child)
                assert found is not None
                yield from walk(f"{name} {child}", found, context)

    yield from walk("oms-batch", program, None)


def test_every_command_and_option_has_a_help_in_both_languages() -> None:
    faults = []
    seen = 0
    for name, command, _context in _commands():
        texts = [("", command.help or "")]
        texts += [(one.opts[-1], one.help or "") for one in command.params if isinstance(one, click.Option)]
        for option, text in texts:
            seen += 1
            if not text:
                faults.append(f"{name} {option}: no help")
            elif not KNOWN.get(text):
                faults.append(f"{name} {option}: not in the catalogue: {text[:50]!r}")
    assert seen > 30, "the guard sees no commands"
    assert faults == []


def test_the_help_that_is_shown_is_russian_by_default() -> None:
    """What a person sees, not what stands in the source: no line of help is English only."""
    faults = []
    for name, command, context in _commands():
        set_language("ru")
        russian = command.get_help(context)
        set_language("en")
        english = command.get_help(context)
        same = set(russian.splitlines()) & set(english.splitlines())
        # A usage line or an empty line may be equal; a line with two words of English may not.
        for line in same:
            plain = re.sub(r"[A-Z][A-Z_.…|]+|--?[a-z][a-z-]*|\[[^\]]*\]|oms-batch[ a-z-]*", "", line)
            if re.search(r"[a-z]{3,} [a-z]{2,}", plain):
                faults.append(f"{name}: {line.strip()}")
        if not CYRILLIC.search(russian):
            faults.append(f"{name}: no Russian at all")
        if CYRILLIC.search(english):
            faults.append(f"{name}: Russian in the English help")
    assert faults == []


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["explain"], ["status", "--nonsense"], ["--lang", "de", "status"], ["status", "more", "words"]],
)
def test_a_usage_error_is_told_in_the_language_in_force(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from oms_batch.cli.main import program

    with pytest.raises(SystemExit) as ended:
        program.main(arguments, prog_name="oms-batch")
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "Ошибка: " in told
    assert not re.search(r"\b(Usage|Error|Missing|No such|Invalid|Try|unexpected)\b", told), told


def test_every_word_of_click_is_one_that_click_says() -> None:
    """A new version of click may say it differently; then our translation would silently stop working."""
    from oms_batch.cli.click_texts import WORDS

    said = "".join(path.read_text("utf-8") for path in Path(click.__file__).parent.glob("*.py"))
    assert [word for word in WORDS if word.replace("\n", "\\n").replace("\t", "\\t") not in said] == []


# ---- rows of data that carry both languages ---------------------------------------------------------------

RULES = ROOT / "rules"


def _tables(node: object, place: str) -> Iterator[tuple[str, dict[str, object]]]:
    if isinstance(node, dict):
        yield place, node
        for key, value in node.items():
            yield from _tables(value, f"{place}.{key}")
    elif isinstance(node, list):
        for number, value in enumerate(node, 1):
            yield from _tables(value, f"{place}[{number}]")


def one_language(place: str, row: dict[str, object]) -> list[str]:
    """Fields ``x`` and ``x_en`` of one row of data: both or none, Russian and English."""
    faults = []
    pairs = {key.removesuffix("_en") for key in row if key.endswith("_en")} | ({"title", "advice"} & set(row))
    for key in sorted(pairs):
        russian, english = str(row.get(key, "")), str(row.get(f"{key}_en", ""))
        if bool(russian.strip()) != bool(english.strip()):
            faults.append(f"{place}: {key} in one language only")
        elif CYRILLIC.search(english):
            faults.append(f"{place}: {key}_en is not English")
        elif re.search("[a-z]{4}", russian) and not CYRILLIC.search(russian):
            faults.append(f"{place}: {key} is not Russian")
    return faults


def _rows_of_data() -> Iterator[tuple[str, dict[str, object]]]:
    for path in sorted(RULES.rglob("*.toml")):
        yield from _tables(tomllib.loads(path.read_text("utf-8")), str(path.relative_to(RULES)))
    for path in sorted(RULES.rglob("*.csv")):
        lines = [line for line in path.read_text("utf-8").splitlines(keepends=True) if not line.startswith("#")]
        if lines and "_en" in lines[0]:
            for number, row in enumerate(csv.DictReader(io.StringIO("".join(lines)), delimiter=";"), 1):
                yield f"{path.relative_to(RULES)}:{number}", dict(row)


def test_every_row_of_data_has_both_languages() -> None:
    rows = list(_rows_of_data())
    assert len(rows) > 50, "the guard sees no data"
    assert [fault for place, row in rows for fault in one_language(place, row)] == []


@pytest.mark.parametrize(
    "row",
    [
        {"title": "Пол указан неверно"},
        {"title": "Пол указан неверно", "title_en": ""},
        {"title": "Пол указан неверно", "title_en": "Пол"},
        {"title": "sex is wrong", "title_en": "sex is wrong"},
        {"text_en": "sex is wrong"},
    ],
)
def test_the_guard_of_data_can_fail(row: dict[str, object]) -> None:
    assert one_language("x", row) != []


def test_english_is_no_folder_of_its_own() -> None:
    """English stands in the source; the only catalogue is the Russian one."""
    folders = sorted(path.name for path in (ROOT / "oms_batch/locale").iterdir() if path.is_dir())
    assert folders == ["ru"]
    assert Path(CATALOGUE).is_file()
