"""Run a rulebook over the tables of one register: findings, and the plan that says what became of each rule.

Four outcomes per rule: passed, found, skipped (with the reason), failed to run. A mandatory rule that
failed means no answer at all (``RuleFailed``): a check that could not decide must never let money pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

import duckdb

from oms_batch import clock
from oms_batch.errors import SetupError
from oms_batch.i18n import N_
from oms_batch.judge import caps, facts_view
from oms_batch.judge.hits import HITS, store_hits
from oms_batch.judge.rule import Rule
from oms_batch.judge.rulebook import Rulebook
from oms_batch.judge.scan import FEW_ROWS, SCAN_RULES, Ready, Span, applies, chunks, make_ready, select_scan, wide_scan
from oms_batch.judge.sense import hide_refused, show_all
from oms_batch.judge.tables import ACCOUNT, FINDINGS, PERSON, REGISTER, Tables, create_table
from oms_batch.model import PlanRow

Outcome = Literal["passed", "found", "skipped", "failed"]
KEPT_PER_RULE = 200_000
# Reasons are translated where they are shown.
NOT_IN_LAYOUT = N_("no such element in this layout")
NOT_IN_FORCE = N_("not in force on these days")
NOT_AT_HAND = N_("what it compares with is not at hand")
RETIRED = N_("retired")
OTHER_FILES = N_("not for files of this type")
REGISTER_REFUSED = N_("the register is refused as a whole")


class RuleFailed(SetupError):
    """Mandatory rules that did not run; ``failed`` holds (code, reason) without any value of the register."""

    def __init__(self, failed: Sequence[tuple[str, str]]) -> None:
        self.failed = tuple(failed)
        super().__init__("rules failed to run: " + ", ".join(f"{code} ({why})" for code, why in failed))


@dataclass
class _Run:
    """The state of one run: which rule came to what."""

    con: duckdb.DuckDBPyConnection
    tables: Tables
    span: Span
    rules: list[Rule]
    width: int
    type_md: frozenset[str] = frozenset()
    plan: dict[str, PlanRow] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)

    def put(self, rule: Rule, outcome: Outcome, found: int = 0, total: int = 0, reason: str = "") -> None:
        self.plan[rule.code] = PlanRow(rule.code, outcome, found, total, reason)


def prepare(con: duckdb.DuckDBPyConnection, memory_mb: int = 1500, threads: int = 2, spill: str = "") -> None:
    """Settings for judging: bounded memory, spilling to ``spill`` (a folder), no order kept for its own sake."""
    con.execute(f"SET memory_limit = '{int(memory_mb)}MB'")
    con.execute(f"SET threads = {int(threads)}")
    con.execute("SET preserve_insertion_order = false")
    con.execute("SET python_enable_replacements = false")
    con.execute("SET autoinstall_known_extensions = false")
    con.execute("SET autoload_known_extensions = false")
    if spill:
        con.execute("SET temp_directory = '" + spill.replace("'", "''") + "'")


def seal(con: duckdb.DuckDBPyConnection, folders: Iterable[str] = (), files: Iterable[str] = ()) -> None:
    """From here on no SQL of this database reaches a file, but in these folders; cannot be undone.

    Attach the database of the insured before, or name its file.
    """
    for setting, names in (("allowed_directories", folders), ("allowed_paths", files)):
        listed = ", ".join("'" + name.replace("'", "''") + "'" for name in names)
        if listed:
            con.execute(f"SET {setting} = [{listed}]")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")


def run(
    con: duckdb.DuckDBPyConnection,
    rulebook: Rulebook,
    *,
    pass_order: Sequence[str] = ("form", "sense", "limits"),
    kept: int = KEPT_PER_RULE,
    width: int = SCAN_RULES,
    spent: dict[str, float] | None = None,
) -> list[PlanRow]:
    """Judge the register in ``con``: appends to ``findings``, gives one plan row per rule, sorted by code.

    Expects the tables of the register, ``book_*``, ``param`` and, for rules that need them, ``ident`` and
    ``facts``. A pass does not see accounts that reading or an earlier pass rejected: what is refused anyway takes no
    room under the caps of volume and money, which come last.
    ``found`` counts all findings; of a rule at most ``kept`` are stored, and beyond that one per unit that a
    rejecting rule refuses, so that no refusal is lost. ``width``: rules in one scan. ``spent`` is given the
    seconds of each ``select`` rule, and of each scan under the code of its first rule and how many more it has.
    ``RuleFailed`` when a mandatory rule did not run.
    """
    con.execute(create_table("findings", FINDINGS).replace("CREATE OR REPLACE TABLE", "CREATE TABLE IF NOT EXISTS"))
    spent = {} if spent is None else spent
    state = _Run(con, rulebook.tables, span_of(con), list(rulebook.rules), width, _types(con, rulebook), spent=spent)
    con.execute(HITS)
    if any("here" in rule.needs for rule in rulebook.rules):
        facts_view.keep_here(con)
    try:
        _built_in(state)
        for run_pass in pass_order:
            refused_whole = False
            if run_pass != pass_order[0]:
                refused_whole = hide_refused(con, rulebook.tables)
            _one_pass(state, run_pass, kept, refused_whole)
            failed = [
                (rule.code, state.plan[rule.code].reason)
                for rule in state.rules
                if rule.run_pass == run_pass and state.plan[rule.code].outcome == "failed" and _binding(rule)
            ]
            if failed:
                raise RuleFailed(failed)
    finally:
        show_all(con)
        con.execute("DROP TABLE IF EXISTS hits")
    return [state.plan[rule.code] for rule in state.rules if rule.code in state.plan]


def span_of(con: duckdb.DuckDBPyConnection) -> Span:
    """First and last end of care of the register, and the last day of its period."""
    row = con.execute(
        "SELECT min(date_z_2), max(date_z_2), "
        "(SELECT last_day(try_cast(concat(year, '-', lpad(CAST(month AS VARCHAR), 2, '0'), '-01') AS DATE)) "
        f'FROM "{REGISTER}" LIMIT 1) FROM "{ACCOUNT}"'
    ).fetchone()
    first, last, period_end = row if row else (None, None, None)
    if period_end is None and last is None:
        raise SetupError("judging: the register has neither a period nor a dated account")
    end: date = period_end or last
    # Undated accounts are judged by the last day of the period, so it belongs to the span.
    return Span(min(first or end, end), max(last or end, end), end)


def _types(con: duckdb.DuckDBPyConnection, rulebook: Rulebook) -> frozenset[str]:
    """The types of this file (TYPE_MD): what its head says, else all that the exchange has."""
    if "type_md" in rulebook.tables.columns.get(REGISTER, {}):
        row = con.execute(f'SELECT type_md FROM "{REGISTER}" LIMIT 1').fetchone()
        if row is None or row[0] not in rulebook.types:
            raise SetupError("judging: the type of the file is none of [official] types of the profile")
        return frozenset({row[0]})
    return frozenset(rulebook.types)


def _binding(rule: Rule) -> bool:
    # "not mandatory" forgives an element or a table that is not there, never a rule that broke
    return rule.status == "active"


def _built_in(state: _Run) -> None:
    """Plan rows of what reading checked: counted, not run."""
    counts = dict(state.con.execute("SELECT rule, count(*) FROM findings GROUP BY rule").fetchall())
    total = _totals(state, ACCOUNT, [""])[""]
    for rule in state.rules:
        if rule.built_in:
            found = counts.get(rule.code, 0)
            state.put(rule, "found" if found else "passed", found, total)


def _one_pass(state: _Run, run_pass: str, kept: int, refused_whole: bool) -> None:
    live: dict[str, list[tuple[int, Rule, str]]] = {}
    if any("over_cap" in rule.needs for rule in state.rules if rule.run_pass == run_pass):
        caps.hold_known(state.con)
    names = "SELECT table_name FROM duckdb_tables() UNION SELECT view_name FROM duckdb_views()"
    present = {row[0] for row in state.con.execute(names).fetchall()}
    for index, rule in enumerate(state.rules):
        if rule.built_in or rule.run_pass != run_pass:
            continue
        condition = applies(rule, state.tables, state.span)
        missing = ({rule.on, *rule.needs} | rule.parts().tables | {f"book_{book}" for book in rule.books()}) - present
        if rule.status == "retired":
            state.put(rule, "skipped", reason=RETIRED)
        elif rule.files and state.type_md and not state.type_md & set(rule.files):
            state.put(rule, "skipped", reason=OTHER_FILES)
        elif refused_whole:
            state.put(rule, "skipped", reason=REGISTER_REFUSED)
        elif condition is None:
            state.put(rule, "skipped", reason=NOT_IN_FORCE)
        elif not rule.mandatory and state.tables.lacks(rule.on, rule.parts()):
            state.put(rule, "skipped", reason=NOT_IN_LAYOUT)
        elif missing:
            needs = missing & set(rule.needs)
            if rule.mandatory:
                state.put(rule, "failed", reason=f"needs {', '.join(sorted(needs))}" if needs else NOT_IN_LAYOUT)
            else:
                state.put(rule, "skipped", reason=NOT_AT_HAND if needs else NOT_IN_LAYOUT)
        else:
            live.setdefault(rule.on, []).append((index, rule, condition))
    for table, listed in sorted(live.items()):
        _one_table(state, table, listed, kept)


def _one_table(state: _Run, table: str, listed: list[tuple[int, Rule, str]], kept: int) -> None:
    state.con.execute("DELETE FROM hits")
    broken: dict[int, str] = {}
    ready = [
        make_ready(index, rule, state.tables, state.span, condition)
        for index, rule, condition in listed
        if rule.fails_when
    ]
    narrow = bool(ready) and _totals(state, table, [""])[""] > FEW_ROWS
    for group in chunks(ready, state.width):
        started = clock.monotonic()
        broken.update(_scan(state, table, group, narrow))
        more = f" +{len(group) - 1}" if len(group) > 1 else ""
        state.spent[group[0].rule.code + more] = clock.monotonic() - started
    for index, rule, condition in listed:
        if rule.select:
            started = clock.monotonic()
            reason = _select(state, table, index, rule, condition)
            state.spent[rule.code] = clock.monotonic() - started
            if reason:
                broken[index] = reason
    hits = state.con.execute("SELECT r, undecided, count(*) FROM hits GROUP BY ALL").fetchall()
    undecided = {index: count for index, open_, count in hits if open_}
    counts = {index: count for index, open_, count in hits if not open_}
    totals = _totals(state, table, sorted({one for *_, one in listed}))  # many rules share their days of validity
    for index, rule, condition in listed:
        found = counts.get(index, 0)
        total = totals[condition]
        if index in broken:
            lacking = broken[index] == NOT_IN_LAYOUT and not rule.mandatory
            state.put(rule, "skipped" if lacking else "failed", reason=broken[index])
        elif index in undecided:
            state.put(rule, "failed", found, total, f"undecided on {undecided[index]} of {table}")
        else:
            state.put(rule, "found" if found else "passed", found, total)
    good = [(index, rule) for index, rule, _ in listed if state.plan[rule.code].outcome == "found"]
    if good:
        store_hits(state.con, state.tables, table, good, kept)


def _scan(state: _Run, table: str, group: Sequence[Ready], narrow: bool) -> dict[int, str]:
    """One wide scan; when it breaks, each rule alone, to name the one that broke it."""
    reason = _try(state, f"INSERT INTO hits BY NAME {wide_scan(table, group, state.tables, narrow)}")
    if not reason:
        return {}
    if len(group) == 1:
        return {group[0].index: reason}
    broken: dict[int, str] = {}
    half = len(group) // 2
    for part in (group[:half], group[half:]):
        broken.update(_scan(state, table, part, narrow))
    return broken


def _select(state: _Run, table: str, index: int, rule: Rule, condition: str) -> str:
    """Run one ``select`` rule; its keys must be rows of its table."""
    reason = _try(state, f"INSERT INTO hits BY NAME {select_scan(rule, index)}")
    if reason or not state.con.fetchall()[0][0]:
        return reason
    stray = state.con.execute(
        f'SELECT count(*) FROM hits ANTI JOIN "{table}" ON "{table}".n = hits.n WHERE hits.r = {index}'
    ).fetchone()
    if stray and stray[0]:
        return f"returned {stray[0]} keys that are not rows of {table}"
    if condition:
        dated = f'SELECT "{table}".n {dated_source(table)} WHERE {condition}'
        state.con.execute(f"DELETE FROM hits WHERE r = {index} AND n NOT IN ({dated})")
    return ""


def dated_source(table: str) -> str:
    """FROM: a table and, below the account, its account."""
    if table in (ACCOUNT, PERSON, REGISTER):
        return f'FROM "{table}"'
    return f'FROM "{table}" LEFT JOIN "{ACCOUNT}" ON "{ACCOUNT}".n = "{table}".z_sl_n'


def _try(state: _Run, query: str) -> str:
    """Run; the reason of a failure, without texts that could carry a value."""
    try:
        state.con.execute(query)
    except duckdb.BinderException as error:
        text = str(error)
        return NOT_IN_LAYOUT if "not found" in text or "does not have a column" in text else "SQL does not bind"
    except duckdb.Error as error:
        return type(error).__name__
    return ""


def _totals(state: _Run, table: str, conditions: Sequence[str]) -> dict[str, int]:
    """How many rows of the table satisfy each of the conditions (none: all), in one pass."""
    counted = ", ".join(f"count(*) FILTER (WHERE {one})" if one else "count(*)" for one in conditions)
    row = state.con.execute(f"SELECT {counted} {dated_source(table)}").fetchone()
    return dict(zip(conditions, row or (0,) * len(conditions), strict=True))
