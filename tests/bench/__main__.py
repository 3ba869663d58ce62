"""Print how long the fund's stage takes, as ratios to ``xmllint --stream --noout`` over the same document.

    python -m tests.bench [ACCOUNTS]        10⁴ and 10⁵ accounts, and ACCOUNTS if it is more

Everything lies in a temporary folder; another one may be named by ``OMS_BENCH_DIR`` (needed for a million accounts
when the system's own is small; then the files stay for the next run). Nothing here passes or fails by seconds.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oms_batch.exchange import load_profile
from oms_batch.synth.insured import insured_csv
from oms_batch.synth.planting import Plan, plant
from oms_batch.synth.world import Spec
from tests.bench.measure import measure, median, rounds

SIZES = (10_000, 100_000)
STEPS = ("child", "unpack", "read", "rules_load", "identify", "judge", "answer", "report", "effects", "commit")
EXPAT = "import sys, xml.parsers.expat as e; p = e.ParserCreate(); p.ParseFile(open(sys.argv[1], 'rb'))"


@dataclass
class Row:
    """What one size gave."""

    accounts: int
    megabytes: float
    stick: float
    stick_cpu: float
    whole: float
    cpu: float
    peak_mb: float
    steps: dict[str, float] = field(default_factory=dict)
    rules: dict[str, float] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


def make(folder: Path, accounts: int) -> tuple[Path, Path, Path]:
    """The register (document and ZIP, 2 % of persons with a planted defect) and its register of the insured."""
    profile = load_profile("yaroslavl")
    spec = Spec(accounts=accounts, seed="bench", bystanders=accounts // 2)
    place = folder / str(accounts)
    document, packed, insured = place / "bill.xml", place / "register.zip", place / "insured.csv"
    if insured.exists():
        return document, packed, insured
    place.mkdir(parents=True, exist_ok=True)
    planted = plant(profile, spec, Plan(per_mille=20))
    with document.open("wb") as out:
        out.writelines(planted.blocks)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.write(document, "bill.xml")
    with insured.open("wb") as out:
        out.writelines(insured_csv(profile, spec, planted.expected["insured"]))
    (place / "expected.json").write_text(json.dumps(planted.expected), encoding="utf-8")
    return document, packed, insured


def stick(document: Path) -> tuple[str, list[tuple[float, float]]]:
    """The measuring stick: its name and the wall and CPU seconds of its runs over a document."""
    times = 3 if document.stat().st_size < 500 << 20 else 1
    if shutil.which("xmllint"):
        return "xmllint --stream --noout", rounds(["xmllint", "--stream", "--noout", str(document)], times)
    return "expat without handlers (no xmllint here)", rounds([sys.executable, "-c", EXPAT, str(document)], times)


def one_size(folder: Path, accounts: int) -> tuple[str, Row]:
    """Make, run the stage in a child, measure with the stick before and after it."""
    print(f"  {accounts:,} accounts: making …", file=sys.stderr)
    document, packed, insured = make(folder, accounts)
    name, sticks = stick(document)
    print(f"  {accounts:,} accounts: the stage …", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=folder) as home:
        done = measure([sys.executable, "-m", "tests.bench.stage", home, str(packed), str(insured)])
    sticks += stick(document)[1]
    if done.code:
        raise SystemExit(f"the stage ended with code {done.code}")
    told = json.loads(done.output.splitlines()[-1])
    steps = told["seconds"]
    promised = json.loads((document.parent / "expected.json").read_text(encoding="utf-8"))
    refused = {"accounts": told["refused"][0], "kopecks": str(told["refused"][1])}
    notes = {
        f"{accounts:,} accounts": f"{refused['accounts']} refused, "
        + ("exactly as planted" if refused == promised["refused"] else f"PLANTED {promised['refused']['accounts']}")
    }
    size = document.stat().st_size / 1e6
    whole = steps.pop("whole", done.seconds)
    seconds, cpu = (median([run[place] for run in sticks]) for place in (0, 1))
    return name, Row(
        accounts,
        size,
        seconds,
        cpu,
        whole,
        done.cpu - told["before_cpu"],
        done.peak_mb,
        steps,
        told.get("rules", {}),
        notes,
    )


def table(name: str, rows: list[Row]) -> str:
    """The rows as text: seconds and ratios to the stick; growth between neighbours."""
    lines = [f"stick: {name}; {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}", ""]
    steps = [step for step in STEPS if any(step in row.steps for row in rows)]
    steps += sorted({step for row in rows for step in row.steps} - set(steps))
    head = "".join(f"{row.accounts:>22,}" for row in rows)
    lines.append(f"{'':<16}{head}")
    lines.append(f"{'document, MB':<16}" + "".join(f"{row.megabytes:>22.1f}" for row in rows))
    lines.append(f"{'stick':<16}" + "".join(f"{row.stick:>11.2f} s {'1.00':>7} ×" for row in rows))
    for step in [*steps, "whole"]:
        cells = []
        for row in rows:
            seconds = row.whole if step == "whole" else row.steps.get(step, 0.0)
            cells.append(f"{seconds:>11.2f} s {seconds / row.stick:>7.2f} ×")
        lines.append(f"{step:<16}" + "".join(cells))
    cells = [f"{row.cpu:>11.2f} s {row.cpu / row.stick_cpu:>7.2f} ×" for row in rows]
    lines.append(f"{'whole, CPU':<16}" + "".join(cells))
    lines.append(f"{'peak memory, MB':<16}" + "".join(f"{row.peak_mb:>22.0f}" for row in rows))
    for before, after in itertools.pairwise(rows):
        times = math.log(after.accounts / before.accounts)
        wall, cpu = math.log(after.whole / before.whole) / times, math.log(after.cpu / before.cpu) / times
        lines.append(
            f"growth {before.accounts:,} → {after.accounts:,}: wall ~ n^{wall:.3f}, CPU ~ n^{cpu:.3f}, "
            f"memory × {after.peak_mb / before.peak_mb:.2f}"
        )
    last = rows[-1]
    slow = sorted(last.rules.items(), key=lambda item: -item[1])[:10]
    if slow:
        lines += ["", f"slowest rules (of a scan: its first and how many more) at {last.accounts:,}:"]
        lines += [f"  {code:<14}{seconds:>9.3f} s {seconds / last.stick:>7.3f} ×" for code, seconds in slow]
    lines += ["", *(f"{key}: {value}" for row in rows for key, value in row.notes.items())]
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Measure all sizes and print the table."""
    sizes = sorted({*SIZES, *(int(text.replace("_", "")) for text in arguments)})
    if len(arguments) == 1 and int(arguments[0]) < SIZES[0]:
        sizes = [int(arguments[0])]
    kept = os.environ.get("OMS_BENCH_DIR", "")
    folder = Path(kept or tempfile.mkdtemp(prefix="oms-bench-"))
    try:
        found = [one_size(folder, accounts) for accounts in sizes]
        print(table(found[0][0], [row for _, row in found]))
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except subprocess.CalledProcessError as error:
        sys.exit(f"bench: {error}")
