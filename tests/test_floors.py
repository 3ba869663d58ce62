"""The floors of the house: a module imports lower floors and its own room, nothing else."""

from __future__ import annotations

import pytest

from tests.source import Module, imports, modules, parse

# From the ground up. Rooms on one floor do not import each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "clock", "i18n"),
    ("model",),
    ("ruledata", "logs", "textform"),
    ("exchange", "settings"),
    ("control", "deadlines", "problems", "routing"),
    ("formats",),
    ("intake", "judge", "reply", "desk", "store", "synth"),
    ("homes", "site", "stages", "foreign"),
    ("work",),
    ("companions", "wording"),
    ("conductor", "insurance", "nsi", "overview", "requests"),
    ("building",),
    ("office",),
    ("doors",),
    ("cli",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# Data folders and the version, which anyone may ask for.
FREE = {"__version__"}


def broken_floors(module: Module) -> list[str]:
    """The imports of a module that go up, or across its floor."""
    faults = []
    if module.room not in FLOOR:
        return [f"{module.name} has no floor"]
    for line, name in imports(module):
        if name.split(".")[0] != "oms_batch":
            continue
        parts = name.split(".")
        target = parts[1] if len(parts) > 1 else ""
        if target in FREE or target == module.room:
            continue
        if target not in FLOOR:
            faults.append(f"{module.name}:{line}: {name} has no floor")
        elif FLOOR[target] >= FLOOR[module.room]:
            faults.append(f"{module.name}:{line}: {module.room} must not import {target}")
    return faults


def test_the_guard_sees_the_files() -> None:
    names = {module.name for module in modules()}
    assert {"model", "errors", "clock", "exchange", "i18n", "settings", "cli.main", "store.fsio"} <= names
    assert len(names) > 20
    assert any("oms_batch.i18n" in name for module in modules() for _line, name in imports(module))


def test_every_module_has_a_floor() -> None:
    assert {module.room for module in modules()} <= set(FLOOR), "put the new room into FLOORS"


def test_every_floor_has_a_module() -> None:
    """A name that stands for nothing guards nothing."""
    optional: set[str] = set()
    assert set(FLOOR) - optional <= {module.room for module in modules()}


def test_no_module_imports_upwards_or_across() -> None:
    assert [fault for module in modules() for fault in broken_floors(module)] == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("model", "from oms_batch.judge.engine import run"),
        ("model", "from oms_batch import settings"),
        ("model", "import oms_batch.settings"),
        ("intake.names", "from oms_batch.judge import engine"),
        ("intake.names", "def f():\n    from oms_batch.store.fsio import read"),
        ("intake.names", "if True:\n    import oms_batch.reply.page as page"),
        ("intake.names", "from ..judge import engine"),
        ("formats.container", "from oms_batch.intake.names import identify"),
        ("stages.take_in", "from oms_batch.conductor import sweep"),
        ("settings", "from oms_batch.exchange import Profile"),
        ("doors.daemon", "from oms_batch.cli import main"),
        ("judge.engine", "from oms_batch.newroom import thing"),
        ("judge.engine", "import oms_batch"),
    ],
)
def test_the_guard_can_fail(name: str, text: str) -> None:
    assert broken_floors(parse(name, text)) != []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("conductor", "from oms_batch.judge.engine import run"),
        ("intake.names", "from oms_batch.intake import register"),
        ("intake.names", "from . import register"),
        ("cli.main", "from oms_batch import __version__"),
        ("intake.names", "import os.path"),
    ],
)
def test_the_guard_lets_pass_what_is_right(name: str, text: str) -> None:
    assert broken_floors(parse(name, text)) == []
