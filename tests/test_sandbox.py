"""The child process: what it returns, what it raises, and that nothing it does hurts us."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from oms_batch.errors import Fault, Problem, Refusal, SetupError, WrongState
from oms_batch.store import sandbox

SECRET = "Иванов Иван"  # stands for a field's value


def act(order: dict[str, Any]) -> dict[str, Any]:
    """What the child is told to do."""
    what = order["act"]
    if what == "echo":
        print("noise on standard output")
        return {"pid": os.getpid(), "said": order["say"]}
    if what == "refuse":
        raise Refusal([Problem("XML_SYNTAX", "line 7", "1", "2"), Problem("ZIP_CRC")], total=1007)
    if what == "setup":
        raise SetupError("a book is missing")
    if what == "state":
        raise WrongState("STAGE_ORDER", "5")
    if what == "fault":
        raise Fault("invariant")
    if what == "leak":
        int(SECRET)
    if what == "hang":
        time.sleep(600)
    if what == "spin":
        while True:
            pass
    if what == "eat":
        return {"size": len(bytearray(8 << 30))}
    if what == "abort":
        os.abort()
    if what == "segfault":
        ctypes.string_at(1)
    if what == "exit":
        os._exit(3)
    if what == "child":
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(order["file"]).write_text(str(process.pid))
        time.sleep(600)
    if what == "threads":
        return {"reserved_mb": _reserved_by_threads()}
    return {}


def _reserved_by_threads() -> int:
    """Address space that twelve threads with small Arrow arrays came to, in MB."""
    gate = threading.Barrier(12)

    def small() -> int:
        gate.wait()
        return len(pa.array(range(20_000)).take(pa.array([1])))

    before = _address_space()
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: small(), range(12)))
    return _address_space() - before


def _address_space() -> int:
    peak = re.search(r"VmPeak:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(peak[1]) >> 10 if peak else 0


TARGET = f"{__name__}:act"
SMALL = sandbox.Limits(memory_mb=512, cpu_seconds=1, wall_seconds=20)


def test_the_result_comes_back_from_another_process() -> None:
    result = sandbox.run(TARGET, {"act": "echo", "say": SECRET}, SMALL)
    assert result["said"] == SECRET and result["pid"] != os.getpid()
    assert sandbox.run(TARGET, {"act": "echo", "say": 1}, sandbox.Limits(isolate=False))["pid"] == os.getpid()


@pytest.mark.parametrize("isolate", [True, False])
@pytest.mark.parametrize(
    ("what", "kind"), [("refuse", Refusal), ("setup", SetupError), ("state", WrongState), ("fault", Fault)]
)
def test_our_own_errors_cross_the_border(what: str, kind: type[Exception], isolate: bool) -> None:
    with pytest.raises(kind) as caught:
        sandbox.run(TARGET, {"act": what}, sandbox.Limits(isolate=isolate))
    if isinstance(caught.value, Refusal):
        assert caught.value.problems[0] == Problem("XML_SYNTAX", "line 7", "1", "2") and caught.value.total == 1007
    if isinstance(caught.value, WrongState):
        assert (caught.value.code, caught.value.detail) == ("STAGE_ORDER", "5")


@pytest.mark.parametrize("isolate", [True, False])
def test_of_other_errors_only_type_and_place(isolate: bool, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Fault, match=r"^ValueError at \w+\.py:\d+$") as caught:
        sandbox.run(TARGET, {"act": "leak"}, sandbox.Limits(isolate=isolate))
    assert SECRET not in str(caught.value) and SECRET not in "".join(capfd.readouterr())
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("what", "reasons"),
    [("spin", {"cpu"}), ("eat", {"memory"}), ("abort", {"SIGABRT"}), ("segfault", {"SIGSEGV"})],
)
def test_limits_and_deaths_are_answers(what: str, reasons: set[str]) -> None:
    with pytest.raises(sandbox.Limit) as caught:
        sandbox.run(TARGET, {"act": what}, SMALL)
    assert caught.value.reason in reasons and caught.value.code == "PARSER_LIMIT"


def test_a_hang_ends_with_all_it_started(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(sandbox.Limit) as caught:
        sandbox.run(TARGET, {"act": "child", "file": str(tmp_path / "pid")}, sandbox.Limits(wall_seconds=4))
    assert caught.value.reason == "wall" and time.monotonic() - started < 15
    grandchild = int((tmp_path / "pid").read_text())
    for _ in range(50):
        if not alive(grandchild):
            return
        time.sleep(0.1)
    os.kill(grandchild, signal.SIGKILL)
    raise AssertionError("the grandchild lives on")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_a_child_that_ends_without_a_word_is_our_fault() -> None:
    with pytest.raises(Fault, match="without an answer"):
        sandbox.run(TARGET, {"act": "exit"}, SMALL)
    with pytest.raises(Fault, match="ModuleNotFoundError"):
        sandbox.run("no.such.module:act", {}, SMALL)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_threads_do_not_use_up_the_limit_by_reserving() -> None:
    """The limit counts address space; allocators that reserve some per thread would end a healthy job."""
    told = sandbox.run(TARGET, {"act": "threads"}, sandbox.Limits(memory_mb=4096))
    assert told["reserved_mb"] < 400  # of which the threads' stacks are some 8 MB each
