"""The package as others get it: complete, and working away from its checkout."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.source import PACKAGE, ROOT, imports, modules

CONFIG = configparser.ConfigParser()
CONFIG.read(ROOT / "setup.cfg", "utf-8")
SUFFIXES_OF_DATA = {".po", ".j2", ".html", ".css", ".mako", ".sql", ".typed"}


def _listed(section: str, key: str) -> set[str]:
    return set(CONFIG[section][key].split())


def test_every_package_of_the_tree_is_listed() -> None:
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")}
    assert len(folders) > 8
    assert _listed("options", "packages") == folders | {"oms_batch.rules"}


def test_every_data_file_of_the_package_is_shipped() -> None:
    others = {
        path.suffix or path.name for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert others - {".py"} <= SUFFIXES_OF_DATA, "a new kind of file: name it in setup.cfg and here"
    shipped = CONFIG["options.package_data"]["oms_batch"].split()
    assert {f".{one.rsplit('.', 1)[1]}" for one in shipped} == SUFFIXES_OF_DATA


def test_every_data_file_of_the_rules_is_shipped() -> None:
    kinds = {path.suffix for path in (ROOT / "rules").rglob("*") if path.is_file()}
    shipped = {f".{one.rsplit('.', 1)[1]}" for one in CONFIG["options.package_data"]["oms_batch.rules"].split()}
    assert {".toml", ".csv"} <= kinds <= shipped
    assert not list((ROOT / "rules").rglob("*.py")), "rules are data"


def test_the_build_file_says_nothing_else() -> None:
    assert set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))) == {"build-system"}


def test_nothing_called_cli_is_installed_at_the_top() -> None:
    assert "py_modules" not in CONFIG["options"]
    assert all(one.split(".")[0] == "oms_batch" for one in _listed("options", "packages"))


# import name → name on the index, where they differ
_ON_INDEX = {"google": "", "pydantic_core": "pydantic"}


def test_every_library_in_use_is_declared() -> None:
    declared = {line.split()[0] for line in CONFIG["options"]["install_requires"].strip().splitlines()}
    used = {name.split(".")[0] for module in modules() for _line, name in imports(module)}
    foreign = {_ON_INDEX.get(one, one) for one in used - set(sys.stdlib_module_names) - {"oms_batch"}}
    assert {"click", "duckdb", "pydantic"} <= foreign
    assert foreign <= declared, "name it in install_requires"
    # tzdata is asked by zoneinfo on machines that have no time zones
    assert declared - {"tzdata"} <= foreign, "nothing uses it any more"
    bounds = CONFIG["options"]["install_requires"].strip().splitlines()
    assert all(">=" in line and "==" not in line and "<" not in line for line in bounds), "lower bounds only"


@pytest.mark.parametrize("script", ["run-demo", "run-tests", ".ci/run", ".ci/venv.sh"])
def test_the_scripts_are_plain_shell(script: str) -> None:
    path = ROOT / script
    subprocess.run(["sh", "-n", str(path)], check=True)
    if script != ".ci/venv.sh":
        assert os.access(path, os.X_OK), f"{script} must be executable"
        assert path.read_text("utf-8").startswith("#!/bin/sh\n")


def test_the_scripts_say_what_is_missing_without_python(tmp_path: Path) -> None:
    """On a machine without Python 3.11 the message says so, in both languages, and nothing is left behind."""
    for name in ("run-demo", ".ci/venv.sh", "setup.cfg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("cksum", "tr", "cat", "dirname", "rm", "pwd"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    sh = shutil.which("sh")
    assert sh is not None
    done = subprocess.run([sh, "./run-demo"], cwd=tmp_path, env={"PATH": str(tools)}, capture_output=True, text=True)
    assert done.returncode == 3
    assert "Нужен Python 3.11" in done.stderr
    assert "Python 3.11 or newer" in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.slow
def test_an_installed_wheel_reads_its_rules_without_a_checkout(tmp_path: Path) -> None:
    source, target, away = tmp_path / "source", tmp_path / "target", tmp_path / "away"
    quiet = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, source / "oms_batch", ignore=quiet)
    shutil.copytree(ROOT / "rules", source / "rules", ignore=quiet)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "cli.py"):
        shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), "."]
    subprocess.run(build, cwd=source, check=True, timeout=300)
    (wheel,) = tmp_path.glob("oms_batch-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        packed.extractall(target)
    for path in (ROOT / "rules").rglob("*"):
        if path.is_file():
            assert f"oms_batch/rules/{path.relative_to(ROOT / 'rules').as_posix()}" in names
    for path in PACKAGE.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert f"oms_batch/{path.relative_to(PACKAGE).as_posix()}" in names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"oms_batch"}

    away.mkdir()
    code = (
        "import oms_batch, sys\n"
        "from oms_batch.exchange import load_profile\n"
        "from oms_batch.deadlines import deadline\n"
        "from oms_batch.i18n import _\n"
        "assert oms_batch.__file__.startswith(sys.argv[1]), oms_batch.__file__\n"
        "print(deadline(load_profile('yaroslavl'), '2018-09').isoformat(), _('is missing'))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(target), "PYTHONUTF8": "1"}
    command = [sys.executable, "-P", "-c", code, str(target)]
    done = subprocess.run(command, cwd=away, env=environment, check=True, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "2018-10-03T12:00:00+03:00 не указано"
