"""Pages that cannot go stale: commands, paths, settings, exit codes and choices are compared with the source."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import tomllib
from datetime import date
from functools import cache
from pathlib import Path

import click
import pytest

from oms_batch.exchange import load_profile
from oms_batch.settings import Brake, Limits, Party, Settings
from tests import make_docs, make_rule
from tests.source import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*box/*.md"))]
README, OPERATOR, ADMIN = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.ru.md", "docs/admin.md"))


@cache
def _commands() -> dict[str, click.Command]:
    return {name.removeprefix("oms-batch").strip(): command for name, command, _help in make_docs.commands("en")}


def _leaves() -> list[str]:
    return sorted(name for name, command in _commands().items() if not isinstance(command, click.Group))


# ---- commands ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_page_of_commands_is_current(language: str) -> None:
    assert make_docs.PAGES[language].read_text("utf-8") == make_docs.page(language), "make docs"


def test_every_command_of_the_design_exists() -> None:
    wanted = (
        "demo, init, run, nightly, check, submit, register build, reformulate, refused, resubmit, invoice, sums, "
        "experts, status, why, explain, rules list, rules stages, rules explain, rules test, insured import, "
        "ledger show, ledger verify, audit verify, verify-reformulation, generate"
    )
    assert set(wanted.split(", ")) <= set(_leaves())


def mentioned_commands(text: str) -> set[str]:
    """What stands after ``oms-batch`` or ``cli.py`` in code of a page, options and their values left out."""
    found = set()
    for code in re.findall(r"`([^`\n]+)`|^((?:\S+/)?(?:oms-batch|python cli\.py)[^\n]*)$", text, re.M):
        line = code[0] or code[1]
        if match := re.search(r"(?:oms-batch|cli\.py)((?:\s+--\w+\s+\S+)*)((?:\s+[a-z][a-z-]+)+)", line):
            found.add(match[2].strip())
    return found


def test_commands_in_the_pages_exist() -> None:
    known = set(_commands())
    faults, seen = [], 0
    for page in PAGES:
        for words in mentioned_commands(page.read_text("utf-8")):
            seen += 1
            parts = words.split()
            if not any(" ".join(parts[:length]) in known for length in (1, 2)):
                faults.append(f"{page.relative_to(ROOT)}: oms-batch {words}")
    assert seen > 20, "the guard sees no commands"
    assert faults == []


def test_the_guard_of_commands_can_fail() -> None:
    assert mentioned_commands("do `oms-batch --home DIR nonsense now`") == {"nonsense now"}
    assert mentioned_commands("cd x\n/opt/bin/oms-batch ledger verify\n") == {"ledger verify"}


def test_operators_are_told_of_every_command_of_theirs() -> None:
    wanted = "register check submit refused reformulate resubmit sums invoice why explain status ledger audit"
    assert [name for name in wanted.split() if f"oms-batch {name}" not in OPERATOR] == []


def test_exit_codes_are_those_of_the_program() -> None:
    from oms_batch.cli import common

    codes = {common.DONE, common.FOUND, common.USAGE, common.CANNOT, common.OUR_FAULT}
    for text in (README, OPERATOR):
        assert {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.M)} == codes


# ---- paths and links ----------------------------------------------------------------------------------

# Made by the user or written as an example in a recipe.
_EXAMPLES = re.compile(r".*(<|\*|…|what_is_wrong|\.spool|YYYY|ГГГГ).*")


def missing_paths(text: str, folder: Path) -> list[str]:
    """Links and backticked paths of a page that lead nowhere."""
    links = [
        one.split("#")[0] for one in re.findall(r"\]\(([^)]+)\)", text) if not one.startswith(("http", "#", "mailto"))
    ]
    paths = re.findall(r"`((?:oms_batch|rules|tests|docs|fixtures|\.ci)/[^`\s]*)`", text)
    faults = [one for one in links if one and not (folder / one).exists()]
    return faults + [one for one in paths if not _EXAMPLES.fullmatch(one) and not (ROOT / one).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    assert missing_paths(page.read_text("utf-8"), page.parent) == []


def test_the_guard_of_paths_can_fail() -> None:
    assert missing_paths("see [x](nowhere.md) and `oms_batch/nowhere.py`", ROOT) == [
        "nowhere.md",
        "oms_batch/nowhere.py",
    ]


# ---- facts ----------------------------------------------------------------------------------------------


def test_the_two_commands_of_the_readme_are_there() -> None:
    for text in (README, OPERATOR):
        block = re.search(r"```sh\n(.*?)```", text, re.S)
        assert block is not None
        assert [line.split()[0] for line in block[1].splitlines()] == ["./run-demo", "./run-tests"]


def test_every_place_marked_as_chosen_is_listed() -> None:
    section = README.split("## What we had to choose")[1].split("\n## ")[0]
    chosen = [path for path in (ROOT / "rules").rglob("*") if path.is_file() and "CHOSEN" in path.read_text("utf-8")]
    assert len(chosen) > 5, "the guard sees no marks"
    told = section + "".join(page.read_text("utf-8") for page in sorted((ROOT / "docs").glob("choices*.md")))
    names = {str(path.relative_to(ROOT)) for path in chosen}
    missing = sorted(name for name in names if name not in told and name.rsplit("/", 1)[1] not in told)
    assert missing == [], 'list it under "What we had to choose" in README.md'


def test_every_setting_is_explained() -> None:
    top = set(Settings.model_fields) - {"home", "own", "partner", "limits", "brake"}
    keys = top | {f"own.{key}" for key in Party.model_fields}
    keys |= {f"limits.{key}" for key in Limits.model_fields} | {"partner.folder", "partner.role"}
    keys |= {f"brake.{key}" for key in Brake.model_fields}
    told = set(
        re.findall(
            r"[a-z_]+(?:\.[a-z_]+)?", " ".join(re.findall(r"`[^`]+`", re.sub(r"```.*?```", "", ADMIN, flags=re.S)))
        )
    )
    assert sorted(keys - told) == []


def test_operators_are_told_every_stage() -> None:
    stages = load_profile("yaroslavl").stages
    rows = re.findall(r"^\| `([0-9]+)X?`", OPERATOR, re.M)
    assert {row[-1] for row in rows} == set(stages)


def test_the_glossary_names_fields_that_exist() -> None:
    glossary = README.split("## Glossary")[1].split("\n## ")[0]
    for word in ("ОМС", "МО", "ТФОМС", "СМО", "ФЛК", "МЭК", "F6", "F8", "код дефекта", "переформирование"):
        assert word in glossary
    with (ROOT / "rules/yaroslavl/layouts/reestr_6_15.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader((line for line in stream if not line.startswith("#")), delimiter=";"))
    names = {row[key] for row in rows for key in ("name", "table", "column")}
    wanted = {
        "xkey",
        "id_pac",
        "idserv",
        "npolis",
        "pr_nov",
        "z_sl",
        "pers",
        "usl",
        "register",
        "personal_account",
        "manipulation",
    }
    wanted |= {
        "ogrn_mo",
        "kpp_mo",
        "ogrn_smo",
        "plat_ogrn",
        "suml",
        "polisnum",
        "type_r",
        "patient",
        "expertise",
        "flk",
    }
    assert sorted(wanted - names) == []
    assert sorted(one for one in wanted if f"`{one}`" not in glossary and one not in glossary) == []


def test_the_changelog_names_the_version() -> None:
    from oms_batch import __version__

    assert f"## {__version__} — " in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_service_gives_away_no_rights() -> None:
    unit = (ROOT / "docs/oms-batch.service").read_text("utf-8")
    for line in (
        "ProtectSystem=strict",
        "PrivateNetwork=yes",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "LimitCORE=0",
        "UMask=0027",
    ):
        assert f"\n{line}\n" in unit
    if tool := shutil.which("systemd-analyze"):
        command = [tool, "security", "--offline=yes", "--threshold=20", str(ROOT / "docs/oms-batch.service")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout[-300:] + done.stderr[-300:]


def test_the_pages_speak_of_the_project_only() -> None:
    """No folder of anybody's machine, no person, no other tool's memory."""
    words = "|".join(
        ("/wo" + "rk/", "/ho" + "me/", "/tm" + "p/", "share" + "d/design", "sub" + "agent", "CONT" + "RACT")
    )
    faults = []
    for path in [*PAGES, *sorted((ROOT / "rules").rglob("*.*")), *sorted((ROOT / "oms_batch").rglob("*.py"))]:
        if path.is_file() and (found := re.search(words, path.read_text("utf-8"))):
            faults.append(f"{path.relative_to(ROOT)}: {found[0]}")
    assert faults == []


# ---- make ---------------------------------------------------------------------------------------------------


def test_every_make_command_in_the_pages_exists() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    told = {name for page in PAGES for name in re.findall(r"`make ([a-z-]+)", page.read_text("utf-8"))}
    assert {"rule", "golden", "texts"} <= told <= targets
    modules = re.findall(r"-m (tests\.[a-z_]+)", makefile)
    assert len(modules) >= 5
    for module in modules:
        base = ROOT / module.replace(".", "/")
        assert base.with_suffix(".py").is_file() or (base / "__main__.py").is_file(), module


def test_the_skeleton_of_a_rule_has_all_that_a_rule_needs() -> None:
    data = tomllib.loads(make_rule.skeleton("K.76.0100", date(2026, 11, 21)))
    wanted = (
        "code title title_en advice advice_en official severity defect basis valid_from checked_on status run_pass on "
        "refuses element fails_when pass fail"
    )
    assert set(wanted.split()) <= set(data)
    assert (data["code"], data["run_pass"], data["status"]) == ("K.76.0100", "sense", "draft")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["F.76.0100"],
        ["F.76.1", "x", "yaroslavl"],
        ["F.76.0100", "What", "yaroslavl"],
        ["F.76.0100", "what", "nowhere"],
    ],
)
def test_a_wrong_order_for_a_rule_makes_no_file(arguments: list[str]) -> None:
    before = sorted((ROOT / "rules").rglob("*"))
    assert make_rule.main(arguments) == 2
    assert sorted((ROOT / "rules").rglob("*")) == before
