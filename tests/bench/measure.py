"""Running something in a child and measuring its wall time and the memory of its process tree."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Measured:
    """Wall and CPU seconds, the highest sum of resident memory over the tree (sampled), standard output, exit code."""

    seconds: float
    cpu: float
    peak_mb: float
    output: str
    code: int


def measure(command: Sequence[str], every: float = 0.05) -> Measured:
    """Run a command to its end; its standard error goes through."""
    started, before = time.perf_counter(), _cpu()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        watched = psutil.Process(child.pid)
        peak = 0
        while child.poll() is None:
            peak = max(peak, _tree(watched))
            time.sleep(every)
        seconds = time.perf_counter() - started
        output = child.stdout.read() if child.stdout else ""
    return Measured(seconds, _cpu() - before, peak / 2**20, output, child.returncode)


def _tree(root: psutil.Process) -> int:
    """Resident memory of a process and all below it; what several share is counted for each."""
    total = 0
    try:
        listed = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    for one in listed:
        try:
            total += one.memory_info().rss
        except psutil.Error:
            continue
    return total


def _cpu() -> float:
    """CPU seconds of all finished children and theirs: steadier than wall time on a machine that others use."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rounds(command: Sequence[str], times: int) -> list[tuple[float, float]]:
    """Wall and CPU seconds of each of several runs of a command, without sampling."""
    found = []
    for _ in range(times):
        started, before = time.perf_counter(), _cpu()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found.append((time.perf_counter() - started, _cpu() - before))
    return found


def median(values: Sequence[float]) -> float:
    """The middle one of an odd number of values, the upper of the two middle ones of an even number."""
    return sorted(values)[len(values) // 2]
