"""The answer of the search: the policy of each account, its payer, what differs, and the vector that says it."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from oms_batch.judge.books import LAST_DAY
from oms_batch.judge.person import Spelling
from oms_batch.judge.search import MONTH_END, MONTH_START, NAMES, PERSONAL, Search, Vector
from oms_batch.judge.tables import IDENT, create_table

_MADE = ("vector", "person_differs", "policy_differs", "differs")  # from what the rest of a row says
_COLUMNS = ", ".join(name for name in IDENT if name not in _MADE)
RIGHT = ("vpolis", "spolis", "npolis", *PERSONAL, "smo", "date_from", "date_to")


def _differs(column: str, spelling: Spelling) -> str:
    if column in NAMES:
        return spelling.differs(f"w.{column}", f"i.{column}")
    return f"(w.{column} IS DISTINCT FROM i.{column})"


def _named(parts: dict[str, str]) -> str:
    """SQL: the names of what differs, with a space between."""
    return "concat_ws(' ', " + ", ".join(f"CASE WHEN {test} THEN '{name}' END" for name, test in parts.items()) + ")"


def _any(parts: Mapping[str, str]) -> str:
    return " OR ".join(f"differs_{name}" for name in parts)


def doubts(con: duckdb.DuckDBPyConnection, insured: str, search: Search) -> None:
    """Table ``doubts``: a person of the register beside the insured who fits partly, for a person to decide."""
    right = ", ".join(f"i.{name} AS {name}_right" for name in RIGHT)
    told = _named({name.upper(): _differs(name, search.spelling) for name in PERSONAL})
    con.execute(
        f"""CREATE OR REPLACE TABLE doubts AS
        SELECT w.pers_n, m.step, {search.spelling.pair("w", "i")} AS pair, {told} AS differs, {right}
        FROM (SELECT pers_n, step, insured_n FROM met WHERE NOT exact AND NOT ambiguous
          UNION ALL SELECT d.pers_n, d.step, d.insured_n FROM doubt d ANTI JOIN met USING (pers_n)) m
        JOIN who w ON w.pers_n = m.pers_n JOIN {insured} i ON i.n = m.insured_n"""
    )


def write(con: duckdb.DuckDBPyConnection, search: Search) -> None:
    """One row per account: the period that covers the first of its days that any covers, else the nearest; the
    latest of several."""
    spelling = search.spelling
    person = {name: _differs(name, spelling) for name in PERSONAL}
    shown = "CASE WHEN i.vpolis = '3' THEN COALESCE(i.enp, i.npolis) ELSE i.npolis END"
    policy = {
        "vpolis": "w.vpolis IS DISTINCT FROM i.vpolis",
        "npolis": f"w.npolis IS DISTINCT FROM {shown}",
        "spolis": "i.vpolis = '1' AND COALESCE(w.spolis, '') <> COALESCE(i.spolis, '')",
    }
    theirs = "insured_n IS NOT NULL AND step <> 'decided'"  # what was agreed on is no difference any more
    flags = ", ".join(f"{test} AS differs_{name}" for name, test in {**person, **policy}.items())
    named = _named({name.upper(): f"differs_{name}" for name in (*person, *policy)})
    con.execute(create_table("ident", IDENT))
    con.execute(
        f"""INSERT INTO ident BY NAME SELECT {_COLUMNS}, {_vector(search)} AS vector,
          {theirs} AND ({_any(person)}) AS person_differs, {theirs} AND ({_any(policy)}) AS policy_differs,
          CASE WHEN insured_n IS NOT NULL THEN {named} END AS differs FROM (
        SELECT a.z_sl_n, a.pers_n, m.step, i.n AS insured_n, COALESCE(i.smo, m.listed_smo) AS smo,
          CASE WHEN i.n IS NOT NULL OR m.listed_smo IS NOT NULL THEN COALESCE(p.code, fund.code) END AS payer,
          i.n IS NOT NULL OR m.listed_smo IS NOT NULL AS found, COALESCE(m.ambiguous, FALSE) AS ambiguous,
          COALESCE(i.place < {len(search.days)}, FALSE) OR m.listed_smo IS NOT NULL AS in_force,
          {shown} AS npolis_right, CASE WHEN i.vpolis <> '3' THEN i.spolis END AS spolis_right,
          i.vpolis AS vpolis_right, i.date_from AS begin_right, i.date_to AS end_right,
          i.fam AS fam_right, i.im AS im_right, i.ot AS ot_right, i.dr AS dr_right, i.w AS w_right,
          {flags},
          COALESCE(s.date_end < a.care AND NOT (i.key = w.key AND i.place < {len(search.days)}), s.date_end < a.care,
            FALSE) AS cancelled, s.date_end AS cancelled_on,
          CASE WHEN lists.numbers THEN w.key IN (SELECT key FROM listed) END AS listed,
          w.pers_n IN (SELECT pers_n FROM doubts) AS doubt, a.day AS paid_on,
          {_state(search)} AS state, {_same(search)},
          COALESCE(m.by_number, FALSE) AS by_number, w.fam IS NULL AND w.im IS NULL OR w.dr IS NULL AS incomplete
        FROM ({_accounts(search)}) a
        LEFT JOIN met m ON m.pers_n = a.pers_n
        LEFT JOIN who w ON w.pers_n = a.pers_n
        LEFT JOIN ({_chosen(search)}) i ON i.z_sl_n = a.z_sl_n
        LEFT JOIN (SELECT key, max(date_end) AS date_end FROM stop WHERE gone GROUP BY key) s ON s.key = w.key
        LEFT JOIN book_payers p ON p.smo = COALESCE(i.smo, m.listed_smo) AND a.day >= p.live_from AND a.day <= p.live_to
        LEFT JOIN (SELECT code, live_from, live_to FROM book_payers WHERE kind = 'fund') fund
          ON a.day >= fund.live_from AND a.day <= fund.live_to
        CROSS JOIN lists)"""
    )


def _day(name: str) -> str:
    """SQL: a day of an account ``z``: a column of it, or a day of the month of the register."""
    if name not in (MONTH_END, MONTH_START):
        return f"z.{name}"
    month = "SELECT min(TRY(make_date(CAST(year AS BIGINT), CAST(month AS BIGINT), 1))) FROM register"
    first = f"COALESCE(({month}), date_trunc('month', z.date_z_2))"
    return f"CAST(last_day({first}) AS DATE)" if name == MONTH_END else f"CAST({first} AS DATE)"


def _accounts(search: Search) -> str:
    return f"SELECT z.n AS z_sl_n, z.pers_n, z.{search.day} AS care, {_day(search.days[0])} AS day FROM z_sl z"


def _chosen(search: Search) -> str:
    """The period of each account; ``place`` is the place in ``days`` of the first day that it covers."""
    last = f"COALESCE(r.date_to, {LAST_DAY})"
    cases = " ".join(
        f"WHEN COALESCE(z.d{at} >= r.date_from AND z.d{at} <= {last}, FALSE) THEN {at}"
        for at in range(len(search.days))
    )
    days = ", ".join(f"{_day(name)} AS d{at}" for at, name in enumerate(search.days))
    place = f"CASE {cases} ELSE {len(search.days)} END"
    gap = f"CASE WHEN z.d0 < r.date_from THEN r.date_from - z.d0 ELSE z.d0 - {last} END"
    return f"""SELECT z.z_sl_n, r.*, {place} AS place
    FROM (SELECT z.n AS z_sl_n, z.pers_n, {days} FROM z_sl z) z JOIN period_of r ON r.pers_n = z.pers_n
    QUALIFY row_number() OVER (PARTITION BY z.z_sl_n ORDER BY {place},
      CASE WHEN {place} < {len(search.days)} THEN 0 ELSE {gap} END, r.date_from DESC, r.made, r.n) = 1"""


def _state(search: Search) -> str:
    return f"""CASE WHEN COALESCE(m.ambiguous, FALSE) THEN 'ambiguous' WHEN m.listed_smo IS NOT NULL THEN 'in_force'
      WHEN i.n IS NULL THEN 'unknown' WHEN i.place = 0 THEN 'in_force' WHEN i.place < {len(search.days)} THEN 'ended'
      WHEN i.date_from > a.day THEN 'later' ELSE 'before' END"""


def _same(search: Search) -> str:
    """One column for each sign that vectors speak of: what is equal in the account and in the register."""
    name = search.spelling.name
    parts = {one: f"NOT {_differs(one, search.spelling)}" for one in PERSONAL}
    parts |= {f"{one}1": f"left({name(f'w.{one}')}, 1) = left({name(f'i.{one}')}, 1)" for one in ("im", "ot")}
    parts["year"] = "year(w.dr) = year(i.dr)"
    used = {one for vector in search.vectors for one in vector.same}
    return (
        ", ".join(f"COALESCE({test}, FALSE) AS same_{one}" for one, test in parts.items() if one in used) or "0 AS none"
    )


def _vector(search: Search) -> str:
    cases = " ".join(f"WHEN {_when(one)} THEN '{one.code}'" for one in search.vectors)
    return f"CASE {cases} END" if cases else "CAST(NULL AS VARCHAR)"


def _when(one: Vector) -> str:
    if one.state == "incomplete":
        return "incomplete"
    parts = [f"state = '{one.state}'", *(f"same_{sign}" for sign in one.same)]
    if one.by:
        parts.append("by_number" if one.by == "number" else "NOT by_number")
    return " AND ".join(parts)
