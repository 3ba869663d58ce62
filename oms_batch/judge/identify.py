"""Who the person of an account is, and who pays: search in the register of the insured, step by step.

The steps are data (``rules/<profile>/identification.toml``). Each step is a hash join of the persons not found
yet; then one row of the person is chosen for each account by its day of care.

The register of the insured is a table with columns ``n enp vpolis spolis npolis fam im ot dr w snils smo
date_from date_to person_key person``, several periods per person allowed; numbers without spaces in upper case,
``person_key`` made by ``Spelling.number``, ``person`` the same text in all rows of one person.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from oms_batch.errors import SetupError
from oms_batch.exchange import Profile
from oms_batch.judge.books import LAST_DAY, check_unique
from oms_batch.judge.person import Spelling, digits, load_spelling, number
from oms_batch.judge.tables import IDENT, create_table
from oms_batch.ruledata import RuleData

INSURED_COLUMNS: Mapping[str, str] = {
    "n": "BIGINT",
    "enp": "VARCHAR",
    "vpolis": "VARCHAR",
    "spolis": "VARCHAR",
    "npolis": "VARCHAR",
    "fam": "VARCHAR",
    "im": "VARCHAR",
    "ot": "VARCHAR",
    "dr": "DATE",
    "w": "VARCHAR",
    "snils": "VARCHAR",
    "smo": "VARCHAR",
    "date_from": "DATE",
    "date_to": "DATE",
    "person_key": "UBIGINT",
    "person": "VARCHAR",
}
_NAMES = ("fam", "im", "ot")
_WORD = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)


@dataclass(frozen=True)
class Step:
    """One way to search: ``match`` maps columns of the insured to columns of the person."""

    name: str
    kinds: tuple[str, ...]
    match: tuple[tuple[str, str], ...]
    person: bool
    ties: str


@dataclass(frozen=True)
class Search:
    """The order of search of a profile."""

    day: str
    compare: tuple[str, ...]
    differences: int
    spelling: Spelling
    steps: tuple[Step, ...]


def load_search(rules: RuleData, profile: str) -> Search:
    """Read identification.toml; ``SetupError`` names the key that is wrong."""
    file = f"{profile}/identification.toml"
    data = rules.toml(file)
    try:
        steps = tuple(
            Step(
                str(row["name"]),
                tuple(row.get("kinds", ())),
                tuple(sorted(row.get("match", {}).items())),
                bool(row.get("person", False)),
                str(row.get("ties", "")),
            )
            for row in data["step"]
        )
        found = Search(
            data["day"],
            tuple(data["same_person"]["compare"]),
            int(data["same_person"]["differences"]),
            load_spelling(rules, profile),
            steps,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SetupError(f"{file}: {error}") from None
    for step in steps:
        columns = {name for name, _ in step.match} | ({step.ties} if step.ties else set())
        if columns - set(INSURED_COLUMNS) or bool(step.match) == step.person:
            raise SetupError(f"{file}: step {step.name}: match columns of the insured, or person = true")
    if not set(found.compare) <= {*_NAMES, "dr", "w"} or not _WORD.fullmatch(found.day):
        raise SetupError(f"{file}: day, same_person.compare: not columns")
    return found


def attach(con: duckdb.DuckDBPyConnection, path: str) -> str:
    """Open the database file of the insured for reading; gives the name of its table."""
    con.execute("ATTACH '" + path.replace("'", "''") + "' AS insured_db (READ_ONLY)")
    return "insured_db.insured"


def detach(con: duckdb.DuckDBPyConnection) -> None:
    """Close the database file of the insured."""
    con.execute("DETACH DATABASE IF EXISTS insured_db")


def identify(con: duckdb.DuckDBPyConnection, insured: str | None, profile: Profile) -> bool:
    """Make the table ``ident``, one row per account, from the insured in the database file ``insured``.

    Needs the tables of the register and ``book_payers``. Without a file (the insurer's side) there is no
    ``ident`` and the answer is ``False``. The file is closed again.
    """
    if not insured:
        return False
    search = load_search(profile.rules, profile.id)
    table = attach(con, insured)
    try:
        identify_in(con, table, search)
    finally:
        detach(con)
    return True


def identify_in(con: duckdb.DuckDBPyConnection, insured: str, search: Search) -> None:
    """The same against a table that ``con`` sees under the name ``insured``."""
    check_payers(con)
    _persons(con)
    con.execute("CREATE OR REPLACE TEMP TABLE met (pers_n BIGINT, step VARCHAR, one VARCHAR, ambiguous BOOLEAN)")
    for step in search.steps:
        con.execute(_step_sql(step, insured, search))
    _periods(con, insured)
    _answer(con, search)
    for name in ("who", "met", "period_of"):
        con.execute(f"DROP TABLE IF EXISTS {name}")


def check_payers(con: duckdb.DuckDBPyConnection) -> None:
    """``SetupError`` when an insurer's code or the fund has two letters on one day."""
    check_unique(con, "book_payers", ["smo"], "payers")
    check_unique(con, "book_payers", ["ogrn"], "payers")
    twice = con.execute(
        "SELECT count(*) FROM book_payers a JOIN book_payers b ON a.kind = 'fund' AND b.kind = 'fund' "
        "AND a.code < b.code AND a.live_from <= b.live_to AND b.live_from <= a.live_to"
    ).fetchone()
    if twice and twice[0]:
        raise SetupError("payers: two letters of the fund on one day")


def _persons(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE who AS SELECT pers_n, vpolis, spolis, npolis, npolis AS enp,
        fam, im, ot, dr, w, snils FROM (SELECT n AS pers_n, vpolis, {number("spolis")} AS spolis,
          {number("npolis")} AS npolis, fam, im, ot, dr, w, {digits("snils")} AS snils FROM pers)"""
    )


def _differs(column: str, left: str, right: str, spelling: Spelling) -> str:
    if column in _NAMES:
        return spelling.differs(f"{left}.{column}", f"{right}.{column}")
    return f"({left}.{column} IS DISTINCT FROM {right}.{column})"


def _step_sql(step: Step, insured: str, search: Search) -> str:
    """Persons not met yet whom this step finds; more than one person found is ambiguous unless ``ties`` decides."""
    if step.person:
        on = f"i.person_key = {search.spelling.number('w.fam', 'w.im', 'w.ot', 'w.dr')}"
        # The key is a hash: the names themselves decide.
        equal = [f"NOT {_differs(column, 'w', 'i', search.spelling)}" for column in (*_NAMES, "dr")]
        differences = " AND ".join(equal)
    else:
        # Equal, or both absent: a policy without a series has none in the register either.
        plain = [pair for pair in step.match if pair[0] != "spolis"]
        on = " AND ".join(f"i.{theirs} = w.{ours}" for theirs, ours in plain)
        if len(plain) < len(step.match):
            on += " AND COALESCE(i.spolis, '') = COALESCE(w.spolis, '')"
        count = " + ".join(
            f"CAST({_differs(column, 'w', 'i', search.spelling)} AS INTEGER)" for column in search.compare
        )
        differences = f"({count}) <= {search.differences}"
    kinds = ", ".join("'" + kind.replace("'", "''") + "'" for kind in step.kinds)
    only = f"AND w.vpolis IN ({kinds})" if kinds else ""
    tie = "FALSE"
    if step.ties:
        theirs = digits(f"i.{step.ties}") if step.ties == "snils" else f"i.{step.ties}"
        tie = f"COALESCE(w.{step.ties} = {theirs}, FALSE)"
    return f"""INSERT INTO met
    SELECT pers_n, '{step.name}', CASE WHEN a = b THEN a WHEN ta = tb THEN ta END,
      NOT (a = b OR COALESCE(ta = tb, FALSE))
    FROM (SELECT pers_n, min(one) AS a, max(one) AS b, min(one) FILTER (tie) AS ta, max(one) FILTER (tie) AS tb
      FROM (SELECT w.pers_n, i.person AS one, {tie} AS tie
        FROM (SELECT * FROM who ANTI JOIN met USING (pers_n)) w JOIN {insured} i ON {on}
        WHERE {differences} {only}) GROUP BY pers_n)"""


def _periods(con: duckdb.DuckDBPyConnection, insured: str) -> None:
    """All periods of every person found: an old policy may have been replaced by the day of care."""
    listed = ", ".join(f"i.{name}" for name in INSURED_COLUMNS)
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE period_of AS SELECT m.pers_n, {listed}
        FROM {insured} i JOIN (SELECT pers_n, one FROM met WHERE one IS NOT NULL) m ON i.person = m.one"""
    )


def _answer(con: duckdb.DuckDBPyConnection, search: Search) -> None:
    """One row per account: the period that covers its day, else the nearest; the latest of several."""
    spelling = search.spelling
    differs = " OR ".join(_differs(column, "w", "i", spelling) for column in (*_NAMES, "dr", "w"))
    shown = "CASE WHEN i.vpolis = '3' THEN COALESCE(i.enp, i.npolis) ELSE i.npolis END"
    con.execute(create_table("ident", IDENT))
    con.execute(
        f"""INSERT INTO ident BY NAME
        SELECT a.z_sl_n, a.pers_n, m.step, i.n AS insured_n, i.smo,
          CASE WHEN i.n IS NOT NULL THEN COALESCE(p.code, fund.code) END AS payer,
          i.n IS NOT NULL AS found, COALESCE(m.ambiguous, FALSE) AS ambiguous,
          COALESCE(i.covers, FALSE) AS in_force,
          {shown} AS npolis_right, CASE WHEN i.vpolis <> '3' THEN i.spolis END AS spolis_right,
          i.vpolis AS vpolis_right,
          i.date_from AS begin_right, i.date_to AS end_right,
          i.fam AS fam_right, i.im AS im_right, i.ot AS ot_right, i.dr AS dr_right, i.w AS w_right,
          i.n IS NOT NULL AND ({differs}) AS person_differs,
          i.n IS NOT NULL AND (w.vpolis IS DISTINCT FROM i.vpolis OR w.npolis IS DISTINCT FROM {shown}
            OR (i.vpolis = '1' AND COALESCE(w.spolis, '') <> COALESCE(i.spolis, ''))) AS policy_differs
        FROM (SELECT n AS z_sl_n, pers_n, {search.day} AS day FROM z_sl) a
        LEFT JOIN met m ON m.pers_n = a.pers_n
        LEFT JOIN who w ON w.pers_n = a.pers_n
        LEFT JOIN ({_chosen(search.day)}) i ON i.z_sl_n = a.z_sl_n
        LEFT JOIN book_payers p ON p.smo = i.smo AND a.day >= p.live_from AND a.day <= p.live_to
        LEFT JOIN (SELECT code, live_from, live_to FROM book_payers WHERE kind = 'fund') fund
          ON a.day >= fund.live_from AND a.day <= fund.live_to"""
    )


def _chosen(day: str) -> str:
    covers = f"COALESCE(z.{day} >= r.date_from AND z.{day} <= COALESCE(r.date_to, {LAST_DAY}), FALSE)"
    after = f"z.{day} - COALESCE(r.date_to, {LAST_DAY})"
    gap = f"CASE WHEN z.{day} < r.date_from THEN r.date_from - z.{day} ELSE {after} END"
    return f"""SELECT z.n AS z_sl_n, r.*, {covers} AS covers FROM z_sl z JOIN period_of r ON r.pers_n = z.pers_n
    QUALIFY row_number() OVER (PARTITION BY z.n ORDER BY CASE WHEN {covers} THEN 0 ELSE 1 END,
      CASE WHEN {covers} THEN 0 ELSE {gap} END, r.date_from DESC, r.n) = 1"""
