"""Running something in a child and measuring its wall time and the memory of its process tree."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Measured:
    """Wall seconds, the highest sum of resident memory over the tree (sampled), standard output, exit code."""

    seconds: float
    peak_mb: float
    output: str
    code: int


def measure(command: Sequence[str], every: float = 0.05) -> Measured:
    """Run a command to its end; its standard error goes through."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        watched = psutil.Process(child.pid)
        peak = 0
        while child.poll() is None:
            peak = max(peak, _tree(watched))
            time.sleep(every)
        seconds = time.perf_counter() - started
        output = child.stdout.read() if child.stdout else ""
    return Measured(seconds, peak / 2**20, output, child.returncode)


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


def best(command: Sequence[str], rounds: int) -> float:
    """The median wall time of a command, without sampling."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return sorted(times)[len(times) // 2]


def largest_child_mb() -> float:
    """The greatest resident memory that any one finished child of this process had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 2**20
