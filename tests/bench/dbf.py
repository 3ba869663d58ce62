"""Print how long DBF takes to read, as ratios to dbfread over the same file in the same run.

    python -m tests.bench.dbf [RECORDS]        10⁵ records of 40 fields, or as many as are asked for

Ways: ``bulk`` into typed Arrow batches; ``parcel`` into the tables of a DuckDB file; ``dbfread`` merely iterating, as
text and floats; ``cat`` only the bytes. Each runs in a child of its own, in turn, three times if the file is small.
Ratios are of CPU seconds, too, for a machine that others use. Nothing here passes or fails by seconds. The file lies
in a temporary folder, or in ``OMS_BENCH_DIR``.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import dbfread
import duckdb

from oms_batch.formats import dbf_bulk, dbf_gate
from oms_batch.formats.dbf_layout import load_dbf_layout
from oms_batch.formats.dbf_parcel import read_members
from tests import dbf_files
from tests.bench.measure import measure, median

RECORDS, ROUNDS, FEW = 100_000, 3, 200_000
WAYS = ("cat", "bulk", "parcel", "dbfread")
KOPECK = 2  # decimals


def read(way: str, path: Path) -> dict[str, Any]:
    """One way over one file, in this process: records, seconds, and the sum of a column where the way has one."""
    profile = dbf_files.profile(path.parent / "rules", {"P": dbf_files.layout_csv()})
    started, used, total, rows = time.perf_counter(), time.process_time(), 0, 0
    with path.open("rb") as stream:
        if way == "cat":
            while block := stream.read(1 << 20):
                rows += len(block)
        elif way == "dbfread":
            for record in dbfread.DBF(str(path), encoding="cp866", ignorecase=False):
                rows += 1
                total += round(record["S_ALL"] * 10**KOPECK)
        elif way == "bulk":
            table = dbf_gate.check(stream)
            wanted = dbf_bulk.plan(table, load_dbf_layout(profile.rules, profile.id, "P"))
            for batch in dbf_bulk.batches(stream, table, wanted):
                rows += len(batch.records)
                total += batch.tables["raw"].column("s_all").to_numpy(zero_copy_only=False).sum().item()
        else:
            with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
                con = duckdb.connect(f"{scratch}/work.duckdb", config={"memory_limit": "256MB", "threads": "2"})
                rows = read_members({"P": stream}, {"P": "P"}, profile, con).rows["raw"]
                found = con.execute("SELECT sum(s_all)::BIGINT FROM raw").fetchone()
                total = found[0] if found else 0
                con.close()
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    return {"records": rows, "seconds": seconds, "cpu": cpu, "kopecks": total}


def compare(path: Path, ways: tuple[str, ...] = WAYS, rounds: int = ROUNDS) -> dict[str, dict[str, Any]]:
    """Every way in a child of its own, in turn: median seconds, peak memory, what it counted."""
    runs: dict[str, list[tuple[dict[str, Any], float]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            done = measure([sys.executable, "-m", "tests.bench.dbf", "--read", way, str(path)])
            if done.code:
                raise SystemExit(f"{way} ended with code {done.code}")
            runs[way].append((json.loads(done.output.splitlines()[-1]), done.peak_mb))
    return {
        way: {
            **found[0][0],
            "seconds": median([one["seconds"] for one, _ in found]),
            "cpu": median([one["cpu"] for one, _ in found]),
            "mb": max(mb for _, mb in found),
        }
        for way, found in runs.items()
    }


def make(path: Path, records: int) -> None:
    """The file, unless it is there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            dbf_files.big(out, records)


def main(arguments: list[str]) -> None:
    """Measure and print."""
    if arguments[:1] == ["--read"]:
        print(json.dumps(read(arguments[1], Path(arguments[2]))))
        return
    records = int(arguments[0].replace("_", "")) if arguments else RECORDS
    kept = os.environ.get("OMS_BENCH_DIR", "")
    folder = Path(kept or tempfile.mkdtemp(prefix="oms-bench-"))
    try:
        path = folder / "dbf" / f"{records}.dbf"
        make(path, records)
        found = compare(path, rounds=ROUNDS if records <= FEW else 1)
        stick = found["dbfread"]
        size = path.stat().st_size / 1e6
        print(f"DBF: {records:,} records × {len(dbf_files.FIELDS)} fields, {size:.0f} MB, {os.cpu_count()} cores")
        for way, one in found.items():
            if one["kopecks"] not in (0, stick["kopecks"]):
                raise SystemExit(f"{way} counted {one['kopecks']} kopecks, dbfread {stick['kopecks']}")
            wall, cpu = stick["seconds"] / one["seconds"], stick["cpu"] / one["cpu"]
            print(
                f"{way:<10}{one['seconds']:>9.2f} s{wall:>8.1f} × faster{one['cpu']:>9.2f} s CPU{cpu:>8.1f} × "
                f"{one['mb']:>8.0f} MB peak"
            )
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
