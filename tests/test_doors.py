"""The doors: one sweep, the daemon with its signals, the night, and what commands say to people and to scripts."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oms_batch import clock, overview
from oms_batch.cli.main import program
from oms_batch.doors import daemon, nightly
from oms_batch.site import locked
from tests.bad_inputs import MO, good_file, spec
from tests.participants import Exchange

MAIN = "from oms_batch.cli.main import main; main()"
REGISTER = "1027600000108-760401001-201809-1"


@pytest.fixture(autouse=True)
def _log_as_found() -> Iterator[None]:
    """Doors that run unattended take the log over; other tests want it back."""
    logger = logging.getLogger("oms_batch")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before[0], before[1], before[2]


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error of a command."""
    with pytest.raises(SystemExit) as caught:
        program.main(list(arguments))
    said = capsys.readouterr()
    return int(caught.value.code or 0), said.out, said.err


# ---- daemon ----------------------------------------------------------------------------------------


def started(home: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", MAIN, "--home", str(home), "run", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def appears(path: Path, seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if path.exists():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("more", [(), ("--poll",)])
def test_the_daemon_answers_while_it_runs_and_ends_when_asked(tmp_path: Path, more: tuple[str, ...]) -> None:
    exchange = Exchange(tmp_path, ("mo", "tfoms"), {"settle_seconds": 1, "sweep_seconds": 2, "poll_seconds": 1})
    exchange.insure("tfoms", spec(1))
    home = tmp_path / "tfoms"
    process = started(home, *more)
    try:
        assert appears(home / "daemon.lock")
        time.sleep(1)
        exchange.put("tfoms", "mo", *good_file(exchange, 1))
        answer = home / "outbox/mo" / f"{MO}180913X.receipt.json"
        assert appears(answer), process.poll()
        assert (home / "outbox/mo" / f"{MO}180911P.xml").exists()  # the receipt comes last
        second = started(home, "--once")
        assert second.wait(20) == 3
        assert b"LOCKED" in second.communicate()[1]
    finally:
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        out, err = process.communicate(timeout=15)
    assert time.monotonic() - began < 10
    assert process.returncode == 0
    assert out == b""
    assert all(json.loads(line)["event"] for line in err.splitlines())
    assert exchange.totals("tfoms")["balanced"]


def test_a_dead_watcher_is_noticed_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """watchdog says that it lives after its emitters died; we look at them."""

    class Dead:
        emitters: tuple[Any, ...] = ()

        def __init__(self, alive: bool) -> None:
            self.alive = alive
            self.emitters = (self,)

        def is_alive(self) -> bool:
            return self.alive

        def stop(self) -> None: ...

        def join(self, timeout: float = 0) -> None: ...

    class Observer(Dead):
        def is_alive(self) -> bool:
            return True

        def __init__(self, alive: bool) -> None:
            self.emitters = (Dead(alive),)

    made: list[bool] = []

    def watch(*_arguments: object, **_more: object) -> Observer:
        made.append(bool(made))
        return Observer(made[-1])

    sweeps: list[int] = []

    def sweep(*_arguments: object, **_more: object) -> list[object]:
        sweeps.append(1)
        if len(sweeps) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return []

    monkeypatch.setattr(daemon, "_watch", watch)
    monkeypatch.setattr(daemon, "sweep", sweep)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    exchange = Exchange(tmp_path, ("mo", "tfoms"), {"sweep_seconds": 1})
    try:
        with exchange.at("tfoms") as site:
            daemon.run(site)
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
    assert len(sweeps) == 3
    assert made == [False, True]  # the first one was dead, its successor lives


# ---- nightly ---------------------------------------------------------------------------------------


def test_the_night_reminds_of_what_is_overdue_and_sums_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exchange = Exchange(tmp_path, ("mo", "tfoms"))
    sent, later = clock.parse("2018-10-02T10:00:00+03:00"), clock.parse("2018-10-20T02:00:00+03:00")
    clock.set_wall(lambda: sent)
    exchange.put("mo", "", *good_file(exchange, 1))
    with exchange.at("mo") as site:
        night = nightly.run(site)
        assert night.outcomes == {"answered": 1}
        assert (len(night.awaited), night.overdue) == (1, [])
    clock.set_wall(lambda: later)
    home = str(tmp_path / "mo")
    code, out, _err = call(capsys, "--home", home, "nightly")
    assert code == 1
    assert "ПРОСРОЧЕНО" in out.upper()
    assert REGISTER in out
    assert "tfoms" in out or "fund" in out
    code, out, _err = call(capsys, "--home", home, "--json", "nightly")
    told = json.loads(out)
    assert [(item["stage"], item["until"]) for item in told["overdue"]] == [("1", "2018-10-05")]
    assert told["verify"]["balanced"] is True
    exchange.put("mo", "", "nonsense.xml", b"<a/>")
    assert call(capsys, "--home", home, "nightly")[0] == 1


def test_the_night_and_the_daemon_have_one_lock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exchange = Exchange(tmp_path, ("mo", "tfoms"))
    path = exchange.put("mo", "", *good_file(exchange, 1))
    with exchange.at("mo") as site, locked(site):
        for command in (["nightly"], ["run"], ["run", "--once"]):
            code, out, err = call(capsys, "--home", str(tmp_path / "mo"), *command)
            assert (code, out) == (3, ""), command
            assert "LOCKED" in err
    assert path.exists()


# ---- the command line -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Exchange:
    """A played month with one account refused by the fund."""
    exchange = Exchange(tmp_path_factory.mktemp("month"))
    chosen = spec(1, 4)
    for name in ("tfoms", "smo-p"):
        exchange.insure(name, chosen)
    name, data = exchange.generated(chosen)
    (exchange.root / name).write_bytes(data.replace(b' outcome="', b' outcome="9', 1))
    (exchange.root / f"good-{name}").mkdir()
    (exchange.root / f"good-{name}" / name).write_bytes(data)
    exchange.put("mo", "", name, data.replace(b' outcome="', b' outcome="9', 1))
    exchange.month()
    return exchange


COMMANDS: list[tuple[str, int, list[str]]] = [
    ("mo", 0, ["status"]),
    ("mo", 0, ["status", "--period", "2018-09"]),
    ("mo", 0, ["run", "--once"]),
    ("mo", 0, ["nightly"]),
    ("mo", 1, ["check", "{root}/{name}"]),
    ("mo", 1, ["refused"]),
    ("mo", 0, ["why", "1"]),
    ("mo", 0, ["explain", "HDR_SUM"]),
    ("mo", 0, ["invoice"]),
    ("mo", 0, ["sums", REGISTER]),
    ("mo", 0, ["reformulate"]),
    ("mo", 0, ["ledger", "show"]),
    ("mo", 0, ["ledger", "verify"]),
    ("mo", 0, ["audit", "verify"]),
    ("mo", 0, ["rules", "stages"]),
    ("mo", 0, ["rules", "explain", "F.00.0240"]),
    ("mo", 0, ["rules", "list", "--set", "yaroslavl/fund"]),
    ("mo", 0, ["rules", "test", "F.00.0240"]),
    ("tfoms", 0, ["insured", "stats"]),
    ("tfoms", 0, ["identify", "queue", "list"]),
    ("tfoms", 0, ["status"]),
    ("smo-p", 0, ["final"]),
    ("mo", 0, ["submit", "{root}/{name}"]),
    ("mo", 0, ["generate", "{root}/generated", "--accounts", "3"]),
    ("mo", 0, ["init", "{root}/new-home", "--role", "mo"]),
]


def test_every_command_says_one_json_document(month: Exchange, capsys: pytest.CaptureFixture[str]) -> None:
    """And its exit code is by meaning: 0 done, 1 something refused or found."""
    name = f"{MO}180913X.xml"
    wrong = []
    for who, expected, arguments in COMMANDS:
        words = [word.format(root=month.root, name=name) for word in arguments]
        code, out, err = call(capsys, "--home", str(month.root / who), "--json", *words)
        try:
            json.loads(out)
        except ValueError:
            wrong.append(f"{arguments}: exit {code}, not one JSON document: {out[:200]!r} {err[:200]!r}")
            continue
        if code != expected:
            wrong.append(f"{arguments}: exit {code}: {out[:200]} {err[:200]}")
    assert not wrong, "\n".join(wrong)


def test_every_command_of_the_program_is_in_that_table() -> None:
    """What changes the books and is tested elsewhere is named here."""
    elsewhere = {
        "nsi",
        "release",
        "convert",
        "request",
        "persons",
        "demo",
        "experts",
        "register",
        "correct",
        "resubmit",
        "verify-reformulation",
        "insured",
        "rules",
        "ledger",
        "audit",
    }
    assert {arguments[0] for _, _, arguments in COMMANDS} | elsewhere >= set(program.commands)


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (2, ["run", "--nonsense"]),
        (2, ["nonsense"]),
        (2, ["check", "/nowhere/file.xml"]),
        (3, ["invoice", "--register", "nonsense"]),
        (3, ["submit", "{root}/mo/oms-batch.toml"]),
        (3, ["reformulate", "--register", "nonsense"]),
    ],
)
def test_exit_codes_of_what_cannot_be_done(
    month: Exchange, capsys: pytest.CaptureFixture[str], code: int, arguments: list[str]
) -> None:
    words = [word.format(root=month.root) for word in arguments]
    found, out, err = call(capsys, "--home", str(month.root / "mo"), *words)
    assert (found, out) == (code, ""), err
    assert err.strip()


def test_a_home_that_is_none_is_a_set_up_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "--home", str(tmp_path), "status")
    assert (code, out) == (3, "")
    assert "oms-batch init" in err


def test_our_own_fault_is_70_and_tells_no_value(
    month: Exchange, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise KeyError("Канарейкина")

    monkeypatch.setattr(overview, "registers", broken)
    code, out, err = call(capsys, "--home", str(month.root / "mo"), "--json", "status")
    assert (code, out) == (70, "")
    assert "Канарейкина" not in err
    assert "KeyError" in err
