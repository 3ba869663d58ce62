"""What each rule costs: ``python -m tests.bench.rules [ACCOUNTS] [PROFILE]``.

A register is read and judged as the fund does it; then every rule runs alone over the same tables. Printed: judging
as a ratio to reading, time per rule, the slowest ten, the peak of memory. A rule that takes more than ``SHARE`` of the
time of reading the register, or judging that takes more than ``JUDGING`` readings, fails the build (exit code 1).
The files made lie in ``OMS_BENCH_DIR``, if it is named, and stay there for the next run.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from oms_batch.exchange import Profile, load_profile
from oms_batch.formats import reestr_xml
from oms_batch.formats.layout import load_layout
from oms_batch.judge import books, engine, rulebook
from oms_batch.judge.identify import identify
from oms_batch.judge.person import load_spelling
from oms_batch.judge.rule import Rule
from oms_batch.judge.rulebook import Rulebook
from oms_batch.judge.scan import applies, make_ready, select_scan, wide_scan
from oms_batch.judge.tables import FACTS, create_table
from oms_batch.ruledata import RuleData
from oms_batch.store.insured import import_csv
from oms_batch.store.tables import open_tables
from oms_batch.synth import federal
from oms_batch.synth.insured import insured_csv
from oms_batch.synth.register import register
from oms_batch.synth.world import Spec
from tests import federal_judged, judged

ACCOUNTS = 20_000
SHARE = (
    0.10  # of the time of reading; a thousand rules in wide scans share one pass, so none may cost a tenth of a reading
)
JUDGING = 2.0  # as a whole, of the time of reading
INSURED_PER_ACCOUNT = 5


@dataclass(frozen=True)
class Cost:
    """Seconds of reading, of judging as a whole, and of every rule alone by its code."""

    accounts: int
    reading: float
    identifying: float
    judging: float
    rules: dict[str, float]
    peak_mb: float


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def make(folder: Path, profile: Profile, accounts: int) -> tuple[Path, ...]:
    """The documents of a register and its register of the insured as files, made once; they stay for the next run."""
    place = folder / f"{profile.id}-{accounts}"
    paths = (place / "main.xml", place / "persons.xml", place / "name.txt", place / "insured.csv")
    if paths[-1].exists():
        return paths
    spec = Spec(accounts=accounts, seed="bench", bystanders=accounts * (INSURED_PER_ACCOUNT - 1))
    place.mkdir(parents=True, exist_ok=True)
    if profile.data["format"] == "federal_xml":
        made = federal.register(profile, spec)
        _write(paths[0], made.main)
        _write(paths[1], made.persons)
        paths[2].write_text(made.name, encoding="utf-8")
    else:
        _write(paths[0], register(profile, spec))
    fresh = place / "insured.part"
    _write(fresh, insured_csv(profile, spec))
    fresh.rename(paths[-1])
    return paths


def _write(path: Path, blocks: Iterable[bytes]) -> None:
    with path.open("wb") as out:
        out.writelines(blocks)


def measured(profile: Profile, accounts: int, memory_mb: int = 2048) -> Cost:
    """Make a register with its insured, read it, judge it, run each rule alone."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("OMS_BENCH_DIR") or None) as folder:
        kept = os.environ.get("OMS_BENCH_DIR") or folder
        main, persons, name, insured = make(Path(kept), profile, accounts)
        con = open_tables(f"{folder}/tables.duckdb", {"memory_mb": memory_mb, "workers": 2})
        key = load_spelling(profile.rules, profile.id).number("fam", "im", "ot", "dr")
        import_csv(f"{folder}/insured.duckdb", insured, key)
        with main.open("rb") as first:
            if profile.data["format"] == "federal_xml":
                with persons.open("rb") as second:
                    documents = {"main": first, "persons": second}
                    called = name.read_text(encoding="utf-8")
                    reading = timed(lambda: federal_judged.read_streams(con, profile, documents, called))
                sets = federal_judged.rule_sets(profile, "fund")
            else:
                layout = load_layout(profile.rules, profile.id, profile.data["layout"])
                reading = timed(lambda: reestr_xml.read(first, layout, con))
                sets = judged.rule_sets(profile, "fund")
        book = rulebook.load(profile.rules, sets, profile.id)
        books.load_for(con, profile.rules, book)
        con.execute(create_table("facts", FACTS))
        identifying = timed(lambda: identify(con, f"{folder}/insured.duckdb", profile))
        judging = timed(lambda: engine.run(con, book))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rules = {rule.code: seconds for rule in book.rules if (seconds := _alone(con, rule, book)) is not None}
        con.close()
    return Cost(accounts, reading, identifying, judging, rules, peak)


def _alone(con: duckdb.DuckDBPyConnection, rule: Rule, book: Rulebook) -> float | None:
    """Seconds of one rule by itself; ``None`` where it is not asked here."""
    if rule.built_in or rule.status == "retired" or book.tables.lacks(rule.on, rule.parts()):
        return None
    span = engine.span_of(con)
    live = applies(rule, book.tables, span)
    if live is None or set(rule.needs) - {"ident", "facts"}:
        return None
    query = (
        select_scan(rule, 0)
        if rule.select
        else wide_scan(rule.on, [make_ready(0, rule, book.tables, span, live)], book.tables)
    )
    return timed(lambda: con.execute(f"CREATE OR REPLACE TEMP TABLE bench_hits AS {query}"))


def told(cost: Cost, name: str) -> list[str]:
    """The lines that are printed."""
    slow = sorted(cost.rules.items(), key=lambda one: -one[1])[:10]
    lines = [
        f"{name}: {cost.accounts:,} accounts, {len(cost.rules)} rules, {cost.accounts * INSURED_PER_ACCOUNT:,} insured",
        f"  reading {cost.reading:.2f} s; judging {cost.judging:.2f} s = {cost.judging / cost.reading:.2f} x reading",
        f"  identification {cost.identifying:.2f} s = {cost.identifying / cost.reading:.2f} x reading",
        f"  peak of memory {cost.peak_mb:.0f} MB",
        f"  all rules one by one {sum(cost.rules.values()):.2f} s; the slowest ten, of reading (limit {SHARE:.0%}):",
    ]
    return [*lines, *(f"    {code}  {seconds / cost.reading:6.1%}  {seconds:.3f} s" for code, seconds in slow)]


def over(cost: Cost, share: float = SHARE) -> list[str]:
    """Codes of the rules that take more than their share; ``judging`` when the whole does."""
    slow = [code for code, seconds in cost.rules.items() if seconds > share * cost.reading]
    return slow + (["judging"] if cost.judging > JUDGING * cost.reading else [])


def main(arguments: list[str]) -> int:
    accounts = int(arguments[0]) if arguments else ACCOUNTS
    names = arguments[1:] or ["federal", "yaroslavl"]
    failed = False
    for name in names:
        cost = measured(load_profile(name, RuleData()), accounts)
        print("\n".join(told(cost, name)))
        if slow := over(cost):
            failed = True
            print("  MORE THAN ITS SHARE: " + ", ".join(slow))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
