"""Who the person of an account is, and who pays: search in the register of the insured, step by step.

The steps are data (``rules/<profile>/identification.toml``). Each step is a hash join of the persons not found
yet; then one row of the person is chosen for each account by the days on which a policy is looked for
(``answer``). A cancelled policy is never a key of the search, in whatever order the steps stand: its owner is
looked for as a person (``policies``). Whom a step finds with a difference is a doubt: a person decides, and
what was decided about two records (``decided``) goes before every step.

The register of the insured is a table with columns ``n enp vpolis spolis npolis fam im ot dr w snils smo
date_from date_to person_key person``, several periods per person allowed; numbers without spaces in upper case,
``person_key`` made by ``Spelling.number``, ``person`` the same text in all rows of one person.
"""

from __future__ import annotations

import duckdb

from oms_batch.errors import SetupError
from oms_batch.exchange import Profile
from oms_batch.judge import answer, policies
from oms_batch.judge.books import check_unique
from oms_batch.judge.person import Spelling, digits, number
from oms_batch.judge.search import INSURED_COLUMNS as INSURED_COLUMNS
from oms_batch.judge.search import NAMES, NUMBER_LIST, Search, Step
from oms_batch.judge.search import load_search as load_search

DECIDED = "decided"  # the step of a pair that a person has decided on


def attach(con: duckdb.DuckDBPyConnection, path: str) -> str:
    """Open the database file of the insured for reading; gives the name of its table."""
    con.execute("ATTACH '" + path.replace("'", "''") + "' AS insured_db (READ_ONLY)")
    return "insured_db.insured"


def detach(con: duckdb.DuckDBPyConnection) -> None:
    """Close the database file of the insured."""
    con.execute("DETACH DATABASE IF EXISTS insured_db")


def identify(con: duckdb.DuckDBPyConnection, insured: str | None, profile: Profile, decided: str = "") -> bool:
    """Make the table ``ident``, one row per account, from the insured in the database file ``insured``.

    Needs the tables of the register and ``book_payers``. ``decided``: a Parquet file of pairs that a person has
    decided on (``pair``, ``yes``). Beside ``ident`` stands ``doubts``: who fits partly and nobody has decided yet.
    Without a file (the insurer's side) there is no ``ident`` and the answer is ``False``. The file is closed again.
    """
    if not insured:
        return False
    search = load_search(profile.rules, profile.id)
    table = attach(con, insured)
    try:
        identify_in(con, table, search, decided)
    finally:
        detach(con)
    return True


def identify_in(con: duckdb.DuckDBPyConnection, insured: str, search: Search, decided: str = "") -> None:
    """The same against a table that ``con`` sees under the name ``insured``."""
    check_payers(con)
    _persons(con)
    policies.make_lists(con, insured)
    source = (
        "read_parquet('" + decided.replace("'", "''") + "')" if decided else "(SELECT '' AS pair, TRUE AS yes LIMIT 0)"
    )
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE decided AS SELECT pair, bool_and(yes) AS yes FROM {source} GROUP BY pair"
    )
    con.execute(
        """CREATE OR REPLACE TEMP TABLE met (pers_n BIGINT, step VARCHAR, by_number BOOLEAN, one VARCHAR,
        ambiguous BOOLEAN, insured_n BIGINT, exact BOOLEAN, listed_smo VARCHAR)"""
    )
    con.execute("CREATE OR REPLACE TEMP TABLE doubt (pers_n BIGINT, step VARCHAR, one VARCHAR, insured_n BIGINT)")
    for step in search.steps:
        if step.source == NUMBER_LIST:
            con.execute(_listed_sql(step, insured))
        elif con.execute(f"SELECT 1 FROM {_left(step)} LIMIT 1").fetchall():  # a step reads all of the insured
            con.execute(_found_sql(step, insured, search))
            con.execute(_met_sql(step, search))
    _periods(con, insured)
    policies.replaced(con)
    answer.doubts(con, insured, search)
    answer.write(con, search)
    for name in ("who", "met", "doubt", "decided", "found", "period_of"):
        con.execute(f"DROP TABLE IF EXISTS {name}")
    policies.forget(con)


def _left(step: Step) -> str:
    """SQL: whom this step looks for: those not met yet; nobody is asked about by two steps."""
    asked = " ANTI JOIN (SELECT DISTINCT pers_n FROM doubt) USING (pers_n)" if step.doubt else ""
    return f"who ANTI JOIN met USING (pers_n){asked}"


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
        fam, im, ot, dr, w, snils, {policies.key("vpolis", "spolis", "npolis")} AS key
        FROM (SELECT n AS pers_n, vpolis, {number("spolis")} AS spolis,
          {number("npolis")} AS npolis, fam, im, ot, dr, w, {digits("snils")} AS snils FROM pers)"""
    )


def differs(column: str, left: str, right: str, spelling: Spelling) -> str:
    """SQL: a column of two persons is not one."""
    if column in NAMES:
        return spelling.differs(f"{left}.{column}", f"{right}.{column}")
    return f"({left}.{column} IS DISTINCT FROM {right}.{column})"


def _found_sql(step: Step, insured: str, search: Search) -> str:
    """Pairs of a person not met yet and one whom this step finds, without those that a person has ruled out."""
    if step.person:
        on = f"i.person_key = {search.spelling.number('w.fam', 'w.im', 'w.ot', 'w.dr')}"
        # The key is a hash: the names themselves decide.
        equal = [f"NOT {differs(column, 'w', 'i', search.spelling)}" for column in (*NAMES, "dr")]
        alike = " AND ".join(equal)
    else:
        on = " AND ".join(_equal(theirs, ours, search.spelling) for theirs, ours in step.match)
        count = " + ".join(
            f"CAST({differs(column, 'w', 'i', search.spelling)} AS INTEGER)" for column in search.compare
        )
        alike = f"({count}) <= {step.differences}"
    kinds = ", ".join("'" + kind.replace("'", "''") + "'" for kind in step.kinds)
    only = f"AND w.vpolis IN ({kinds})" if kinds else ""
    live = "ANTI JOIN (SELECT key FROM stop WHERE gone) USING (key)" if step.by_number else ""
    tie = "FALSE"
    if step.ties:
        theirs = digits(f"i.{step.ties}") if step.ties == "snils" else f"i.{step.ties}"
        tie = f"COALESCE(w.{step.ties} = {theirs}, FALSE)"
    # To spell every name of the register is dear: only of those born on a day that is looked for.
    days = f"SEMI JOIN (SELECT dr FROM {_left(step)}) USING (dr)"
    born = dict(step.match).get("dr") == "dr" and any(theirs in NAMES for theirs, _ in step.match)
    them = f"(SELECT * FROM {insured} {days})" if born else insured
    exact = " AND ".join(f"NOT ({_against(column, search.spelling)})" for column in search.doubts) or "TRUE"
    return f"""CREATE OR REPLACE TEMP TABLE found AS
    SELECT f.pers_n, f.one, f.tie, f.insured_n, f.exact, COALESCE(d.yes, FALSE) AS yes
    FROM (SELECT w.pers_n, i.person AS one, {tie} AS tie, i.n AS insured_n, {exact} AS exact,
        CASE WHEN NOT ({exact}) OR {step.doubt} THEN {search.spelling.pair("w", "i")} END AS pair
      FROM (SELECT * FROM {_left(step)} {live}) w JOIN {them} i ON {on}
      WHERE {alike} {only}) f
    LEFT JOIN decided d ON d.pair = f.pair WHERE d.yes IS DISTINCT FROM FALSE"""


def _equal(theirs: str, ours: str, spelling: Spelling) -> str:
    if theirs in NAMES:
        return f"{spelling.name(f'i.{theirs}')} = {spelling.name(f'w.{ours}')}"
    if theirs == "snils":
        return f"translate(i.snils, '- ', '') = w.{ours}"
    # Equal, or both absent: a policy without a series has none in the register either.
    return f"COALESCE(i.spolis, '') = COALESCE(w.{ours}, '')" if theirs == "spolis" else f"i.{theirs} = w.{ours}"


def _against(column: str, spelling: Spelling) -> str:
    """SQL: the register says something else; what it does not know does not count."""
    known = "" if column in NAMES else f"i.{column} IS NOT NULL AND "
    return f"{known}{differs(column, 'w', 'i', spelling)}"


def _met_sql(step: Step, search: Search) -> str:
    """More than one person found is ambiguous unless a decision or ``ties`` decides.

    A step of doubt meets only whom a person has accepted; the others wait in ``doubt``, unless too many fit.
    """
    grouped = """SELECT pers_n, min(one) AS a, max(one) AS b, min(one) FILTER (tie) AS ta, max(one) FILTER (tie) AS tb,
      min(one) FILTER (yes) AS ya, max(one) FILTER (yes) AS yb, bool_or(exact) AS exact,
      arg_min(insured_n, (NOT yes, NOT tie, NOT exact, insured_n)) AS insured_n FROM found GROUP BY pers_n"""
    chosen = "CASE WHEN ya = yb THEN ya WHEN a = b THEN a WHEN ta = tb THEN ta END"
    name = step.name.replace("'", "''")
    if step.doubt:
        return f"""INSERT INTO met SELECT pers_n, '{DECIDED}', FALSE, ya, FALSE, insured_n, TRUE, NULL
        FROM ({grouped}) WHERE ya = yb;
        INSERT INTO doubt SELECT f.pers_n, '{name}', f.one, min(f.insured_n)
        FROM (SELECT f.* FROM found f ANTI JOIN met USING (pers_n)) f
        GROUP BY f.pers_n, f.one QUALIFY count(*) OVER (PARTITION BY f.pers_n) <= {search.most}"""
    return f"""INSERT INTO met SELECT pers_n, CASE WHEN ya = yb THEN '{DECIDED}' ELSE '{name}' END, {step.by_number},
      {chosen}, {chosen} IS NULL, insured_n, exact OR COALESCE(ya = yb, FALSE), NULL FROM ({grouped})"""


def _listed_sql(step: Step, insured: str) -> str:
    """Whose policy is in force by the list while the register of the insured knows neither person nor policy."""
    return f"""INSERT INTO met SELECT w.pers_n, '{step.name.replace("'", "''")}', TRUE, NULL, FALSE, NULL, TRUE, l.smo
    FROM (SELECT * FROM who ANTI JOIN met USING (pers_n)) w JOIN listed l ON l.key = w.key
    ANTI JOIN doubt d ON d.pers_n = w.pers_n
    ANTI JOIN (SELECT key FROM stop WHERE gone) s ON s.key = w.key
    ANTI JOIN {insured} i ON i.npolis = w.npolis ANTI JOIN {insured} e ON e.enp = w.npolis"""


def _periods(con: duckdb.DuckDBPyConnection, insured: str) -> None:
    """All periods of every person found: an old policy may have been replaced by the day of care."""
    listed = ", ".join(f"i.{name}" for name in INSURED_COLUMNS)
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE period_of AS SELECT m.pers_n, {listed},
          CASE WHEN i.vpolis = '3' THEN concat('3|', COALESCE(i.enp, i.npolis))
            ELSE {policies.key("i.vpolis", "i.spolis", "i.npolis")} END AS key, FALSE AS made
        FROM {insured} i JOIN (SELECT pers_n, one FROM met WHERE one IS NOT NULL) m ON i.person = m.one"""
    )
