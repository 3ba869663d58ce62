"""The two seams: files are touched in ``store`` only, time enters in ``clock`` only. And what is never allowed.

Each guard is a function from a parsed module to its faults, so that broken examples can prove that it sees.
"""

from __future__ import annotations

import ast
import re

import pytest

from tests.source import Module, dotted, imports, modules, names_used, parse

# Where files may be touched at all: the door to the disk, and the read-only data of the package.
DISK = {"store.fsio", "store.sandbox", "ruledata", "i18n"}
DISK_NAMES = re.compile(
    r"open|io\.(open|FileIO|open_code)|os\.(?!(path\.(basename|join|splitext|dirname)|environ|fspath|PathLike|SEEK_\w+)\b).+"
    r"|shutil(\..+)?|tempfile(\..+)?|glob(\..+)?|pathlib\.(?!Pure).+|fcntl(\..+)?|mmap\.(?!ACCESS).+"
    r"|(?!formatter\.)(.+\.)?(read_bytes|write_bytes|read_text|write_text|unlink|rmdir|mkdir|touch|iterdir|rglob|symlink_to|hardlink_to)"
)
PROCESS = {"store.sandbox"}
PROCESS_NAMES = re.compile(
    r"subprocess(\..+)?|multiprocessing(\..+)?|concurrent\.futures(\..+)?|os\.(system|fork|exec\w+|spawn\w+|popen)"
)
SIGNAL_NAMES = re.compile(r"signal(\..+)?")
NETWORK_NAMES = re.compile(r"(socket|urllib\.request|http|ftplib|smtplib|requests|httpx|aiohttp|xmlrpc)(\..+)?")
CLOCK_NAMES = re.compile(
    r"(datetime\.)*(datetime|date)\.(now|today|utcnow|fromtimestamp|utcfromtimestamp)|time\.(?!struct_time).+|uuid\.uuid1|random\..+|secrets\..+|uuid\.uuid4"
)
NEVER_NAMES = re.compile(
    r"eval|exec|compile|__import__|pickle(\..+)?|marshal(\..+)?|shelve(\..+)?|yaml(\..+)?|dill(\..+)?|importlib\.import_module"
)

# module → (what of the above, why). Everything here is a line to defend.
ALLOWED: dict[str, dict[str, str]] = {
    "formats.container": {
        "process": "threads of this process deflate blocks of one ZIP; the bytes do not depend on them",
    },
    "store.fsio": {
        "clock": "chance in names of temporary files, which no answer ever carries",
        "signal": "the crash points of the tests kill the process as a power cut would",
    },
    "store.spool": {"clock": "chance in names of temporary files and of claims"},
    "store.sandbox": {"never": "the child imports the handler that its parent names"},
    "formats.reestr_xml": {
        "process": "a pool of parsers over pieces of one stream; no file of ours",
        "never": "the layout on its way to our own worker processes",
    },
    "formats.dbf_bulk": {
        "process": "threads of this process read batches of one table; what they give does not depend on them",
    },
    "formats.piecework": {"never": "the layout as our own parent process packed it"},
}


def _matching(module: Module, pattern: re.Pattern[str]) -> list[str]:
    named = [*names_used(module), *imports(module)]
    # What goes through a module of ours is looked at in that module.
    return sorted(
        {
            f"{module.name}:{line}: {name}"
            for line, name in named
            if pattern.fullmatch(name) and not name.startswith("oms_batch.")
        }
    )


def _excused(module: Module, what: str) -> bool:
    return what in ALLOWED.get(module.name, {})


def touches_disk(module: Module) -> list[str]:
    """Uses of files outside the store and the data readers."""
    if module.name in DISK or module.room == "store" or _excused(module, "disk"):
        return []
    return _matching(module, DISK_NAMES)


def starts_processes(module: Module) -> list[str]:
    return [] if module.name in PROCESS or _excused(module, "process") else _matching(module, PROCESS_NAMES)


def takes_signals(module: Module) -> list[str]:
    """Signals come in through the doors, and end children in the sandbox."""
    if module.room == "doors" or module.name in PROCESS or _excused(module, "signal"):
        return []
    return _matching(module, SIGNAL_NAMES)


def uses_network(module: Module) -> list[str]:
    return _matching(module, NETWORK_NAMES)


def reads_clock(module: Module) -> list[str]:
    """The wall clock, sleeping, and chance, which spoils repetition as the clock does."""
    return [] if module.name == "clock" or _excused(module, "clock") else _matching(module, CLOCK_NAMES)


def runs_text(module: Module) -> list[str]:
    """Code or objects made from text."""
    return [] if _excused(module, "never") else _matching(module, NEVER_NAMES)


def uses_pandas(module: Module) -> list[str]:
    """pandas is for reports only: its NaN and dtypes must not reach a verdict."""
    return (
        [] if module.name in ("reply.workbook", "reply.analysis") else _matching(module, re.compile(r"pandas(\..+)?"))
    )


def _is_decimal(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and dotted(node.func) == "Decimal"


def money_as_float(module: Module) -> list[str]:
    """``float(…)`` or a division with ``/`` in a line that speaks of money."""
    faults = []
    lines = module.text.splitlines()
    for node in ast.walk(module.tree):
        is_float = isinstance(node, ast.Call) and dotted(node.func) == "float"
        is_division = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and not _is_decimal(node.left)
        if is_float or is_division:
            line = lines[node.lineno - 1]
            if re.search(r"kopeck|sum[vp]\b|sum[lt]\b|amount|tarif|withheld|money|price|\bsum\b", line, re.I):
                faults.append(f"{module.name}:{node.lineno}: money through a float")
    return faults


GUARDS = (
    touches_disk,
    starts_processes,
    takes_signals,
    uses_network,
    reads_clock,
    runs_text,
    uses_pandas,
    money_as_float,
)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_the_seams_hold(guard) -> None:
    seen = modules()
    assert len(seen) > 20, "the guard sees no files"
    assert [fault for module in seen for fault in guard(module)] == []


def test_the_guards_see_the_seams_themselves() -> None:
    """Without its exception each seam would be found: so the patterns match what is really written."""
    by_name = {module.name: module for module in modules()}
    assert _matching(by_name["clock"], CLOCK_NAMES)
    assert _matching(by_name["store.fsio"], DISK_NAMES)
    assert _matching(by_name["store.sandbox"], PROCESS_NAMES)


def test_every_exception_is_needed() -> None:
    """An exception for a module that is gone, or that no longer needs it, is taken out."""
    guards = {
        "signal": SIGNAL_NAMES,
        "disk": DISK_NAMES,
        "process": PROCESS_NAMES,
        "clock": CLOCK_NAMES,
        "never": NEVER_NAMES,
    }
    by_name = {module.name: module for module in modules()}
    for name, kinds in ALLOWED.items():
        assert name in by_name, name
        for kind in kinds:
            assert _matching(by_name[name], guards[kind]), f"{name} does not need {kind}"


BROKEN = [
    (touches_disk, "open('x')"),
    (touches_disk, "import os\nos.remove('x')"),
    (touches_disk, "from os import remove as r\nr('x')"),
    (touches_disk, "import os as o\no.listdir('.')"),
    (touches_disk, "from pathlib import Path"),
    (touches_disk, "def f(p):\n    return p.read_text()"),
    (touches_disk, "def f():\n    import shutil"),
    (touches_disk, "import tempfile"),
    (touches_disk, "import os\nos.path.exists('x')"),
    (starts_processes, "import subprocess"),
    (starts_processes, "from concurrent.futures import ProcessPoolExecutor"),
    (takes_signals, "import signal"),
    (uses_network, "import socket"),
    (uses_network, "from urllib.request import urlopen"),
    (reads_clock, "from datetime import datetime\ndatetime.now()"),
    (reads_clock, "import datetime as d\nd.datetime.utcnow()"),
    (reads_clock, "from datetime import date\ndate.today()"),
    (reads_clock, "import time\ntime.sleep(1)"),
    (reads_clock, "from time import monotonic"),
    (reads_clock, "import random\nrandom.random()"),
    (runs_text, "eval('1')"),
    (runs_text, "import pickle"),
    (runs_text, "from yaml import load"),
    (uses_pandas, "import pandas as pd"),
    (uses_pandas, "def f():\n    from pandas import DataFrame"),
    (money_as_float, "x = float(row.sumv)"),
    (money_as_float, "rest = kopecks / 100"),
]


@pytest.mark.parametrize(("guard", "text"), BROKEN, ids=lambda value: getattr(value, "__name__", value))
def test_the_guards_can_fail(guard, text: str) -> None:
    assert guard(parse("judge.engine", text)) != []


FINE = [
    (touches_disk, "import os\nos.path.basename('x')"),
    (touches_disk, "def f(stream):\n    return stream.read(3)"),
    (touches_disk, "from pathlib import PurePosixPath"),
    (reads_clock, "from datetime import date\ndate.fromisoformat('2018-01-01')"),
    (money_as_float, "rest = kopecks // 100"),
    (money_as_float, "share = seconds / total"),
    (money_as_float, "cell = Decimal(kopecks) / 100"),
    (touches_disk, "from oms_batch.store import fsio\nfsio.unlink('x')"),
    (runs_text, "import re\nre.compile('x')"),
]


@pytest.mark.parametrize(("guard", "text"), FINE, ids=lambda value: getattr(value, "__name__", value))
def test_the_guards_let_pass_what_is_right(guard, text: str) -> None:
    assert guard(parse("judge.engine", text)) == []


# ---- size -------------------------------------------------------------------------------------------

LINES, FUNCTION_LINES = 400, 70
# module or module:function → why it is longer
LONG: dict[str, str] = {
    "store.migrations.versions.v0001_ledger:upgrade": "the tables of the ledger, one after another",
}


def too_long(module: Module) -> list[str]:
    """Modules over 400 lines and functions over 70, unless listed with a reason."""
    faults = []
    if (length := len(module.text.splitlines())) > LINES and module.name not in LONG:
        faults.append(f"{module.name}: {length} lines")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES and f"{module.name}:{node.name}" not in LONG:
                faults.append(f"{module.name}:{node.name}: {length} lines")
    return faults


def test_modules_and_functions_stay_readable() -> None:
    assert [fault for module in modules() for fault in too_long(module)] == []


def test_every_long_one_is_still_there() -> None:
    names = {module.name for module in modules()}
    assert {name.split(":")[0] for name in LONG} <= names


def test_the_size_guard_can_fail() -> None:
    assert too_long(parse("judge.engine", "x = 1\n" * 401))
    assert too_long(parse("judge.engine", "def f():\n" + "    x = 1\n" * 70))
    assert not too_long(parse("judge.engine", "def f():\n" + "    x = 1\n" * 69))


# ---- facts of the exchange are data --------------------------------------------------------------------

STAGE_TEXTS = {"1", "2", "3", "5", "6", "13", "X", "13X", "13x", "X7", "F"}
STAGE_NAMES = re.compile(r"(stage|suffix|digit|payer|letter|region|territory|profile(_id|_name)?|hop)$", re.I)


def knows_stages(module: Module) -> list[str]:
    """Comparisons of a stage, suffix, payer, region or profile with a text written in Python."""
    faults = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.Match):
            sides = [
                node.subject,
                *(case.pattern.value for case in node.cases if isinstance(case.pattern, ast.MatchValue)),
            ]
        else:
            continue
        named = any(STAGE_NAMES.search(dotted(side)) for side in sides if dotted(side))
        texts = [text for side in sides for text in _texts(side)]
        if named and any(text in STAGE_TEXTS or text == "yaroslavl" for text in texts):
            faults.append(f"{module.name}:{node.lineno}: a stage, payer or region decided in Python")
    return faults


def _texts(node: ast.expr) -> list[str]:
    return [leaf.value for leaf in ast.walk(node) if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)]


def test_no_stage_or_region_is_decided_in_python() -> None:
    # Synthetic worlds and the demo tell a story of given files; they decide nothing.
    assert [fault for module in modules() if module.room != "synth" for fault in knows_stages(module)] == []


@pytest.mark.parametrize(
    "text",
    [
        "if named.stage == '6': pass",
        "if '13x' == suffix: pass",
        "if named.payer in ('X', 'F'): pass",
        "if profile == 'yaroslavl': pass",
        "match hop.stage:\n    case '5':\n        pass",
    ],
)
def test_the_stage_guard_can_fail(text: str) -> None:
    assert knows_stages(parse("conductor", text)) != []


def test_the_stage_guard_lets_pass_what_is_right() -> None:
    assert (
        knows_stages(parse("conductor", "if named.stage == profile.data['deadline']['stage']: pass\nif x == '6': pass"))
        == []
    )
