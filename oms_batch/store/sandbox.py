"""Foreign bytes are read in a child process with limits: a hang or a crash of it is an answer, not an outage.

The child is ``python -m oms_batch.store.sandbox``: the order comes as JSON on its standard input, the outcome
goes as JSON to its standard output. Of an unexpected error only its type and place come back, never its text.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.abc import MetaPathFinder
from typing import Any

from oms_batch.errors import Fault, Problem, Refusal, SetupError, WrongState

_AIR_MB = 1024  # address space that libraries reserve and never touch
# Threads and Arrow otherwise reserve gigabytes of address space, which counts against the limit like memory in use.
_LEAN = {"MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
_OUT_OF_MEMORY = ("MemoryError", "OutOfMemoryException", "OutOfMemoryError", "ArrowMemoryError")


class Limit(Exception):
    """The child went over a limit or died; ``code`` PARSER_LIMIT, ``reason`` wall, cpu, memory or a signal."""

    code = "PARSER_LIMIT"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{self.code}: {reason}")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the child may use; 0 = no limit. ``isolate=False`` runs it in this process, without limits."""

    memory_mb: int = 4096
    cpu_seconds: int = 3600
    wall_seconds: float = 3600.0
    isolate: bool = True


def run(target: str, order: dict[str, Any], limits: Limits | None = None) -> dict[str, Any]:
    """Call ``"module:function"`` with the order; gives its dict.

    Raises what the function raised if it is ours (``Refusal SetupError WrongState Fault``), ``Limit`` when it went
    over a limit or was killed, and ``Fault`` with type and place for anything else.
    """
    bounds = limits if limits is not None else Limits()
    outcome = _in_child(target, order, bounds) if bounds.isolate else _outcome(target, order)
    kind = outcome.get("kind")
    if kind == "result":
        result: dict[str, Any] = outcome["result"]
        return result
    if kind == "refusal":
        raise Refusal([Problem(**row) for row in outcome["problems"]], outcome["total"])
    if kind == "setup":
        raise SetupError(outcome["text"])
    if kind == "state":
        raise WrongState(outcome["code"], outcome["text"])
    if kind == "limit":
        raise Limit(outcome["reason"])
    raise Fault(outcome["text"])


def _in_child(target: str, order: dict[str, Any], limits: Limits) -> dict[str, Any]:
    text = json.dumps({"target": target, "order": order, "limits": asdict(limits), "path": sys.path}).encode()
    command = [sys.executable, "-m", __name__ if __name__ != "__main__" else "oms_batch.store.sandbox"]
    environment = {**os.environ, **_LEAN, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    try:
        out, err = child.communicate(text, timeout=limits.wall_seconds or None)
    except subprocess.TimeoutExpired:
        return {"kind": "limit", "reason": "wall"}
    finally:
        _end(child)
    if child.returncode < 0:
        return {"kind": "limit", "reason": _signal(-child.returncode)}
    try:
        outcome: dict[str, Any] = json.loads(out)
    except ValueError:
        return _unheard(err)
    return outcome


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child with all that it started; they are a process group of their own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    child.wait()


def _signal(number: int) -> str:
    if number == signal.SIGXCPU:
        return "cpu"
    with suppress(ValueError):
        return signal.Signals(number).name
    return str(number)


def _unheard(err: bytes) -> dict[str, Any]:
    """The child ended without a word: only the type at the end of its trace may be told."""
    last = err.decode("utf-8", "replace").strip().splitlines()[-1:] or [""]
    kind = last[0].partition(":")[0].rpartition(".")[2]
    if kind in _OUT_OF_MEMORY:
        return {"kind": "limit", "reason": "memory"}
    return {"kind": "fault", "text": f"the child ended without an answer ({kind if kind.isidentifier() else '?'})"}


# ---- inside the child ----------------------------------------------------------------------------------


def _outcome(target: str, order: dict[str, Any]) -> dict[str, Any]:
    try:
        module, _, name = target.partition(":")
        return {"kind": "result", "result": getattr(importlib.import_module(module), name)(order)}
    except Refusal as error:
        return {"kind": "refusal", "problems": [asdict(row) for row in error.problems], "total": error.total}
    except SetupError as error:
        return {"kind": "setup", "text": str(error)}
    except WrongState as error:
        return {"kind": "state", "code": error.code, "text": error.detail}
    except Fault as error:
        return {"kind": "fault", "text": str(error)}
    except OSError as error:
        if error.errno in _DISK:  # not the file's fault and not ours: the job waits for the disk
            return {"kind": "state", "code": "DISK", "text": errno.errorcode[error.errno]}
        return {"kind": "fault", "text": place(error)}
    except Exception as error:
        if type(error).__name__ in _OUT_OF_MEMORY:
            return {"kind": "limit", "reason": "memory"}
        return {"kind": "fault", "text": place(error)}


def place(error: BaseException) -> str:
    """Type and innermost place of an error, without its text, which may hold a field's value."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "oms_batch" in frame.filename] or list(frames)
    where = f" at {os.path.basename(ours[-1].filename)}:{ours[-1].lineno}" if ours else ""
    return f"{type(error).__name__}{where}"


def _limit(limits: dict[str, Any]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limits["memory_mb"]:
        room = (limits["memory_mb"] + _AIR_MB) << 20
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
    if limits["cpu_seconds"]:
        resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu_seconds"], limits["cpu_seconds"] + 5))


class _Spare(MetaPathFinder):
    """Arrow loads pandas wherever it finds it, for a third of a second, and nothing here needs it."""

    def find_spec(self, name: str, *_more: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name=name)


def _main() -> None:
    """Standard output belongs to the answer: what libraries print goes to standard error."""
    answer = os.dup(1)
    os.dup2(2, 1)
    asked = json.loads(sys.stdin.buffer.read())
    _limit(asked["limits"])
    sys.meta_path.insert(0, _Spare())
    outcome = _outcome(asked["target"], asked["order"])
    with os.fdopen(answer, "wb") as out:
        out.write(json.dumps(outcome).encode())


if __name__ == "__main__":
    _main()
