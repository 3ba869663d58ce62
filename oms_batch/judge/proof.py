"""Rules prove themselves: every pass and fail example is run, and every pass example again with each
column that may be empty made empty, where the rule must still decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import duckdb

from oms_batch.errors import SetupError
from oms_batch.judge import caps, facts_view
from oms_batch.judge.books import load_for
from oms_batch.judge.engine import dated_source, span_of
from oms_batch.judge.example import (
    STRIDE,
    Bases,
    Document,
    columns_of,
    document,
    insert_sql,
    known,
    load_bases,
    numbered,
)
from oms_batch.judge.rule import Example, Rule
from oms_batch.judge.rulebook import COMMON, Rulebook
from oms_batch.judge.scan import Span, applies, make_ready, select_scan, wide_scan
from oms_batch.judge.sqlguard import expression_parts
from oms_batch.judge.tables import ACCOUNT, PERSON, REGISTER, create_table
from oms_batch.ruledata import RuleData

_REQUIRES = re.compile(r"(\w+)\.(\w+) IS NULL", re.ASCII)
_KEYS = {"n", "up_n", "z_sl_n", "pers_n", "line"}
_ALWAYS = _KEYS | {"date_z_2", "year", "month"}


@dataclass(frozen=True)
class ExampleResult:
    """One example of one rule: ``kind`` is pass, fail or empty (a column emptied); ``ok`` says it came out as told."""

    code: str
    kind: str
    why: str
    ok: bool
    expected: int
    found: int
    reason: str = ""


@dataclass(frozen=True)
class _Case:
    kind: str
    why: str
    expected: int | None  # None: any number, but decided
    rows: Document


def test_rules(
    rulebook: Rulebook,
    rules: RuleData,
    codes: Iterable[str] = (),  # noqa: PT028
) -> list[ExampleResult]:
    """Run all examples of all rules (or of these codes); nothing is raised for an example that comes out wrong."""
    wanted = set(codes)
    con = proving_ground(rulebook, rules)
    bases = load_bases(rules, rulebook.profile)
    found: list[ExampleResult] = []
    for rule in rulebook.rules:
        if rule.built_in or rule.status == "retired" or (wanted and rule.code not in wanted):
            continue
        found.extend(prove(con, rule, rulebook, bases))
    con.close()
    return found


test_rules.__test__ = False  # type: ignore[attr-defined]  # the name is the job's, not a test of ours


def proving_ground(rulebook: Rulebook, rules: RuleData) -> duckdb.DuckDBPyConnection:
    """An empty register of the rulebook's layout with all its books, in memory."""
    con = duckdb.connect(":memory:")
    con.execute("SET threads = 1")
    for table in rulebook.tables.columns:
        con.execute(rulebook.tables.ddl(table))
    for table in ("ident", "facts", "book_volumes"):
        con.execute(create_table(table, columns_of(table, rulebook.tables) or {}))
    if {PERSON, REGISTER, ACCOUNT, "usl"} <= set(rulebook.tables.columns):
        facts_view.make_here(con)
    load_for(con, rules, rulebook)
    return con


def prove(con: duckdb.DuckDBPyConnection, rule: Rule, rulebook: Rulebook, bases: Bases) -> list[ExampleResult]:
    """All examples of one rule on an empty register ``con``, which is left empty again."""
    try:
        cases = _cases(rule, rulebook, bases)
    except SetupError as error:
        return [ExampleResult(rule.code, "pass", "", False, 0, 0, str(error))]
    if rule.set_name.split("/")[0] == COMMON and bases.partial:
        if rulebook.tables.lacks(rule.on, rule.parts()):
            return []
        # what a rule takes from `here` stands in the tables wherever the layout keeps it, or nowhere
        spoken = rule.parts().tables if "here" in rule.needs else rule.parts().names | rule.parts().tables
        cases = [replace(case, rows=known(case.rows, rulebook.tables, spoken)) for case in cases]
    examples = (*rule.passes, *rule.fails)
    alone = bool(rule.select) or rule.on == REGISTER or rule.parts().subquery or any(map(_own_register, examples))
    results: list[ExampleResult] = []
    for group in [[case] for case in cases] if alone else [cases]:
        try:
            counts, undecided = _try_cases(con, rule, rulebook, group)
        except (duckdb.Error, SetupError) as error:
            text = str(error).splitlines()[0]
            results += [_result(rule, case, 0, text) for case in group]
            continue
        for i, case in enumerate(group):
            results.append(_result(rule, case, counts.get(i, 0), "undecided" if i in undecided else ""))
    return results


def _own_register(example: Example) -> bool:
    return REGISTER in example.rows or "param" in example.rows


def _result(rule: Rule, case: _Case, found: int, reason: str) -> ExampleResult:
    expected = found if case.expected is None else case.expected
    return ExampleResult(rule.code, case.kind, case.why, not reason and found == expected, expected, found, reason)


def _cases(rule: Rule, rulebook: Rulebook, bases: Bases) -> list[_Case]:
    found = []
    shared = rule.set_name.split("/")[0] == COMMON
    unknown = {one.base for one in (*rule.passes, *rule.fails)} - {"", *bases.base}
    if unknown and not (shared and bases.partial):
        raise SetupError(f"{rule.file}: base: there is no base document {min(unknown)}")
    passing = [document(one, bases, f"{rule.file}: pass") for one in rule.passes]
    for one, rows in zip(rule.passes, passing, strict=True):
        found.append(_Case("pass", one.why, 0, rows))
    for one in rule.fails:
        rows = document(one, bases, f"{rule.file}: fail")
        if rows in passing:
            raise SetupError(f"{rule.file}: fail: the same rows as a pass example")
        found.append(_Case("fail", one.why, one.expect or 1, rows))
    if rule.fails_when:
        for one, rows in zip(rule.passes, passing, strict=True):
            found.extend(_emptied(rule, rulebook, one, rows))
    return found


def _emptied(rule: Rule, rulebook: Rulebook, one: Example, rows: Document) -> Iterable[_Case]:
    """The passing document with one column empty: in the form pass any column, after it those not required."""
    names = {column for _, column in rule.parts().columns} - _KEYS
    sure = _never_empty(rulebook) if rule.run_pass == "sense" else set()
    for table in sorted({*rulebook.tables.chain(rule.on), *rule.parts().tables} & set(rows)):
        for column in sorted(names & set(columns_of(table, rulebook.tables) or {})):
            may = rule.run_pass == "form" or (table, column) in rulebook.tables.optional - sure
            if may and table not in (REGISTER, "facts", "param", "ident"):
                changed = {**rows, table: [{**row, column: None} for row in rows[table]]}
                yield _Case("empty", f"{one.why}; {table}.{column} empty", None, changed)


def _never_empty(rulebook: Rulebook) -> set[tuple[str, str]]:
    """Columns that the form pass of this rulebook requires whatever the account: the sense pass finds them filled."""
    found = set()
    for rule in rulebook.rules:
        match = _REQUIRES.fullmatch(rule.fails_when.strip())
        if match and rule.run_pass == "form" and rule.effective == "reject" and rule.status == "active":
            found.add((match[1], match[2]))
    return found


def _try_cases(
    con: duckdb.DuckDBPyConnection, rule: Rule, rulebook: Rulebook, cases: Sequence[_Case]
) -> tuple[dict[int, int], set[int]]:
    """Load the cases as accounts side by side and run the rule: findings per case, cases left undecided."""
    tables = rulebook.tables
    parts = rule.parts()
    all_told = parts.star or "here" in rule.needs  # it shows more of the tables than the rule's SQL says
    of_type = expression_parts(tables.type_of).names if tables.type_of else frozenset()
    named = None if all_told else parts.names | of_type | _ALWAYS | {rule.element.split(".")[-1]}
    used = {REGISTER, PERSON, ACCOUNT, *tables.chain(rule.on), *parts.tables, *rule.needs}
    filled: Document = {}
    for i, case in enumerate(cases):
        copy = {table: [dict(row) for row in rows] for table, rows in case.rows.items()}
        for table, rows in numbered(copy, i, tables, rule.file).items():
            if table in used and not (table == REGISTER and i):
                kept = [{name: value for name, value in row.items() if named is None or name in named} for row in rows]
                filled.setdefault(table, []).extend(kept)
    if filled.pop("param", []):
        raise SetupError(f"{rule.file}: param: an example cannot change parameters")
    try:
        for table, rows in filled.items():
            if rows and any(rows):
                con.execute(insert_sql(table, rows, columns_of(table, tables) or {}))
        if "over_cap" in rule.needs:
            facts_view.count_used(con)
            caps.hold(con)
        span = span_of(con)
        # a rule of past or coming days is proved on the documents of today
        day = max(rule.valid_from, rule.valid_to or rule.valid_from)
        if applies(rule, tables, span) is None:
            span = Span(day, day, day)
        live = applies(rule, tables, span) or ""
        if rule.select:
            dated = f'SELECT "{rule.on}".n AS n {dated_source(rule.on)} WHERE {live or "TRUE"}'
            query = f"SELECT s.* FROM ({select_scan(rule, 0)}) s SEMI JOIN ({dated}) k ON k.n = s.n"
        else:
            query = wide_scan(rule.on, [make_ready(0, rule, tables, span, live)], tables)
        rows_found = con.execute(f"SELECT n, undecided FROM ({query})").fetchall()
    finally:
        for table in filled:
            con.execute(f'DELETE FROM "{table}"')
    counts: dict[int, int] = {}
    for n, undecided in rows_found:
        if n is None:
            raise SetupError(f"{rule.file}: select: n is empty")
        if not undecided:
            counts[(n - 1) // STRIDE] = counts.get((n - 1) // STRIDE, 0) + 1
    return counts, {(n - 1) // STRIDE for n, undecided in rows_found if undecided}
