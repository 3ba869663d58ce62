"""What a small job costs: ``python -m tests.bench.start [PROFILE …]``.

A register of twenty accounts is judged in a child process as every file is; printed are the CPU seconds of the child,
of its imports, and of loading rules and books. Nearly all of it is fixed: it is what a day of small files pays.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from oms_batch.doors import precheck
from oms_batch.exchange import Profile, load_profile
from oms_batch.ruledata import RuleData
from oms_batch.store import sandbox
from oms_batch.synth import federal
from oms_batch.synth.register import register
from oms_batch.synth.world import Spec, build

ACCOUNTS = 20
ROUNDS = 3
STAGE = "oms_batch.stages.precheck"


def packed(profile: Profile, accounts: int, folder: str) -> Path:
    """A small register as an organisation sends it."""
    spec = Spec(accounts=accounts, seed="start")
    if profile.data["format"] == "federal_xml":
        made = federal.register(profile, spec)
        path = Path(folder) / f"{made.name}.zip"
        members = {f"{made.name}.XML": b"".join(made.main), f"{made.persons_name}.XML": b"".join(made.persons)}
    else:
        stage, everyone = str(profile.data["deadline"]["stage"]), str(profile.data["name"]["all_payers"])
        path = Path(folder) / build(profile, spec).file_name(stage, everyone, ".zip")
        members = {"bill.xml": b"".join(register(profile, spec))}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def spent(work: Callable[[], object]) -> float:
    """CPU seconds of the children that this starts."""
    before = _used()
    work()
    return _used() - before


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def start_cost(profile: Profile) -> tuple[float, float]:
    """The least CPU seconds, of some rounds, of a child that only imports, and of one that judges a small register."""
    imports, whole = [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            order = precheck._order(None, profile, str(packed(profile, ACCOUNTS, folder)), folder).as_json()
            whole.append(spent(lambda order=order: sandbox.run(f"{STAGE}:work", order)))
            imports.append(spent(lambda: subprocess.run([sys.executable, "-c", f"import {STAGE}"], check=True)))
    return min(imports), min(whole)


def main(names: list[str]) -> int:
    for name in names or ["federal", "yaroslavl"]:
        imports, whole = start_cost(load_profile(name, RuleData()))
        print(
            f"{name}: a register of {ACCOUNTS} accounts in a child: {whole:.2f} s of CPU, imports {imports:.2f} s of it"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
