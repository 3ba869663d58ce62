"""What a federal answer says of its accounts: kept or not, how much of each is paid, which sanctions.

Temporary tables of the connection, made by ``prepare`` and read by the writers of answers:
``answer_account`` (one row per account) and ``answer_sank`` (one row per sanction, the leading first).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from oms_batch.errors import Fault, SetupError
from oms_batch.formats.elements import Layout
from oms_batch.reply.document import has_table, verdicts_or_none
from oms_batch.reply.federal_shape import rows_above
from oms_batch.reply.marks import Texts

CASE = "sl"
_COMBINE = {"sum": "sum", "largest": "max"}


@dataclass(frozen=True, slots=True)
class Sums:
    """Kept accounts, kopecks claimed and accepted, and what each kind of control took (by the profile's names)."""

    accounts: int
    claimed: int
    accepted: int
    taken: Mapping[str, int]


def prepare(
    con: duckdb.DuckDBPyConnection,
    keep: str,
    *,
    mark: bool,
    texts: Texts,
    answers: Mapping[str, Any],
    layout: Layout,
    final: Mapping[str, Any],
    day: date,
) -> Sums:
    """Make ``answer_account`` and ``answer_sank``; gives the sums of what is kept.

    ``keep``: SQL boolean over ``z_sl`` and verdicts ``v``. Without ``mark`` sums and sanctions are those that
    the accounts already carry. ``final``: the profile's ``[final]``: ``combine`` (``sum`` or ``largest`` of several
    decisions), ``code_on`` (``act``: codes of grounds are those of the day of the act, else of the day of care).
    ``day`` dates the acts. ``SetupError`` when ``combine`` is unknown or a refusal has no kind of control.
    """
    if (combine := str(final.get("combine", "sum"))) not in _COMBINE:
        raise SetupError("profile: [final] combine is sum or largest")
    _accounts(con, keep, mark)
    _cases(con, layout)
    if mark:
        _control(con, answers["control"], day)
        on = f"DATE '{day.isoformat()}'" if final.get("code_on") == "act" else "a.day"
        _sanctions(con, texts, answers["sanctions"]["others"] == "zero", _COMBINE[combine], on)
        if answers["sanctions"]["others"] == "never":
            con.execute(f"DELETE FROM answer_sank WHERE s_sum = 0 AND ({_within(answers['control']['sums']['mek'])})")
    else:
        _carried(con)
    taken = {name: _taken(con, ranges) for name, ranges in answers["control"]["sums"].items()}
    row = con.execute(
        """SELECT count(*), CAST(COALESCE(sum(sumv), 0) AS BIGINT), CAST(COALESCE(sum(sumv - gone), 0) AS BIGINT)
        FROM answer_account WHERE keep"""
    ).fetchone()
    if row is None:
        raise Fault("an answer has no sums")
    return Sums(int(row[0]), int(row[1]), int(row[2]), taken)


def _accounts(con: duckdb.DuckDBPyConnection, keep: str, mark: bool) -> None:
    gone = """CASE WHEN v.refused THEN COALESCE(v.withheld, z_sl.sumv, 0) ELSE COALESCE(v.withheld, 0) END"""
    carried = "COALESCE(z_sl.sumv, 0) - COALESCE(z_sl.sump, z_sl.sumv, 0)"
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE answer_account AS
        SELECT z_sl.n, z_sl.pers_n, z_sl.byte_from, z_sl.byte_to, z_sl.idcase, z_sl.xkey, z_sl.date_z_2 AS day,
            COALESCE(z_sl.sumv, 0) AS sumv, COALESCE(({keep}), false) AS keep,
            {"COALESCE(v.refused, false)" if mark else "false"} AS refused,
            CAST(greatest(0, least(COALESCE(z_sl.sumv, 0), {gone if mark else carried})) AS BIGINT) AS gone,
            COALESCE(v.rule, '') AS rule, v.defect, v.kod
        FROM z_sl LEFT JOIN {verdicts_or_none(con)} v ON v.z_sl_n = z_sl.n"""
    )


def _carried(con: duckdb.DuckDBPyConnection) -> None:
    """The sanctions that the kept accounts came with."""
    source = """SELECT s.z_sl_n, s.n AS nth, '' AS rule, '' AS osn, s.s_osn AS kod, s.s_tip AS tip,
        COALESCE(s.s_sum, 0) AS s_sum, COALESCE(s.s_sum, 0) AS counted
        FROM sank s JOIN answer_account a ON a.n = s.z_sl_n WHERE a.keep"""
    none = """SELECT 0::BIGINT AS z_sl_n, 0 AS nth, '' AS rule, '' AS osn, '' AS kod, '' AS tip, 0::BIGINT AS s_sum,
        0::BIGINT AS counted WHERE false"""
    con.execute(f"CREATE OR REPLACE TEMP TABLE answer_sank AS {source if has_table(con, 'sank') else none}")


def _decided(con: duckdb.DuckDBPyConnection) -> str:
    """SQL: the experts' decisions on kept accounts, each with what it takes itself."""
    if not has_table(con, "decision"):
        nothing = ", ".join(f"'' AS {name}" for name in ("kod", "osn", "act", "act_day", "expert", "kind"))
        return f"SELECT 0::BIGINT AS z_sl_n, {nothing}, 0::BIGINT AS own, 0::BIGINT AS gone WHERE false"
    known = {row[0] for row in con.execute("DESCRIBE decision").fetchall()}
    taken, kind = ("counted" if "counted" in known else "withheld"), ("d.kind" if "kind" in known else "''")
    return f"""SELECT a.n AS z_sl_n, d.kod, d.defect AS osn, least(d.{taken}, a.sumv) AS own, a.gone, d.act,
            d.act_day, d.expert, {kind} AS kind
        FROM answer_account a JOIN decision d ON d.xkey = a.xkey WHERE a.keep AND a.rule = ''"""


def _sanctions(con: duckdb.DuckDBPyConnection, texts: Texts, others: bool, combine: str, on: str) -> None:
    """One sanction per ground: that of the verdict, or each expert's decision; further rules with a sum of 0.

    ``on``: SQL of the day on which a rule's ground has its code.
    """
    _grounds(con, texts)
    decided = _decided(con)
    # several decisions: each says its own sum, cut where they would take more than the account has; with
    # "largest" only that one counts in the sums of the bill
    before = """COALESCE(sum(own) OVER (PARTITION BY z_sl_n ORDER BY own DESC, kod, osn
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)"""
    first = "row_number() OVER (PARTITION BY z_sl_n ORDER BY own DESC, kod, osn)"
    own, counted = f"greatest(0, least(own, gone - {before}))", f"greatest(0, least(own, gone - {before}))"
    if combine == "max":
        own, counted = "own", f"CASE WHEN {first} = 1 THEN gone ELSE 0 END"
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE answer_sank AS
        WITH decided AS ({decided}), said AS (
            SELECT z_sl_n, 0 AS place, '' AS rule, osn, kod, {own} AS s_sum, {counted} AS counted, own, act,
                act_day, expert, kind FROM decided
            UNION ALL BY NAME
            SELECT a.n AS z_sl_n, 0 AS place, a.rule, a.defect AS osn, a.kod, a.gone AS s_sum, a.gone AS counted,
                a.gone AS own
            FROM answer_account a ANTI JOIN decided d ON d.z_sl_n = a.n WHERE a.keep AND (a.refused OR a.gone > 0)
            UNION ALL BY NAME
            SELECT DISTINCT a.n AS z_sl_n, 1 AS place, h.rule, g.osn, g.kod, 0 AS s_sum, 0 AS counted, 0 AS own
            FROM answer_account a JOIN answer_hit h ON h.z_sl_n = a.n JOIN answer_ground g ON g.rule = h.rule
                AND {on} >= g.day_from AND {on} <= g.day_to
            WHERE {others} AND a.keep AND (a.refused OR a.gone > 0) AND h.rule <> a.rule
        )
        SELECT s.z_sl_n, CAST(row_number() OVER (PARTITION BY s.z_sl_n ORDER BY s.place, s.own DESC, s.rule, s.kod)
                AS INTEGER) AS nth, s.rule, COALESCE(s.osn, '') AS osn, COALESCE(s.kod, '') AS kod,
            COALESCE(NULLIF(s.kind, ''), (SELECT arg_min(c.tip, c.place) FROM answer_control c
                WHERE (s.rule <> '') = c.by_rule AND regexp_full_match(COALESCE(s.osn, ''), c.ground))) AS tip,
            CAST(s.s_sum AS BIGINT) AS s_sum, CAST(s.counted AS BIGINT) AS counted, COALESCE(s.act, '') AS act,
            COALESCE(s.act_day, '') AS act_day, COALESCE(s.expert, '') AS expert
        FROM said s"""
    )
    row = con.execute("SELECT count(*) FROM answer_sank WHERE tip IS NULL OR kod = ''").fetchone()
    if row and row[0]:
        raise SetupError(f"answers.toml: {row[0]} sanctions have no kind of control or no federal code")


def _grounds(con: duckdb.DuckDBPyConnection, texts: Texts) -> None:
    """``answer_ground``: number and federal code of each rule's defect, with the days on which they hold."""
    con.execute(
        """CREATE OR REPLACE TEMP TABLE answer_ground (rule VARCHAR, osn VARCHAR, kod VARCHAR, day_from DATE,
        day_to DATE)"""
    )
    rows = [
        [code, number, kod, since, until or date.max]
        for code, rule in texts.rules.items()
        for since, until, number, kod in texts.defects.get(rule.defect, ())
    ]
    if rows:
        con.executemany("INSERT INTO answer_ground VALUES (?, ?, ?, ?, ?)", rows)


def _control(con: duckdb.DuckDBPyConnection, control: Mapping[str, Any], day: date) -> None:
    """``answer_control``: kinds of control in force on the day of the act, the first that fits a ground wins."""
    con.execute(
        """CREATE OR REPLACE TEMP TABLE answer_control (place INTEGER, by_rule BOOLEAN, ground VARCHAR, tip VARCHAR)"""
    )
    rows: list[list[Any]] = [[0, True, ".*", control["rule"]]]
    for place, one in enumerate(control["decision"], 1):
        if one.get("valid_from", date.min) <= day <= one.get("valid_to", date.max):
            rows.append([place, False, one["ground"], one["code"]])
    con.executemany("INSERT INTO answer_control VALUES (?, ?, ?, ?)", rows)


def _cases(con: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    """``answer_hit``: which rule found a fault in which account, and in which of its cases (NULL: in all of it)."""
    con.execute(
        """CREATE OR REPLACE TEMP TABLE answer_hit (z_sl_n BIGINT, rule VARCHAR, sl_n BIGINT);
        CREATE OR REPLACE TEMP TABLE answer_finding AS
        SELECT f.z_sl_n, f.rule, f.unit, f.n FROM findings f WHERE f.z_sl_n IS NOT NULL AND f.severity = 'reject'
        UNION ALL SELECT a.n, f.rule, '', NULL FROM findings f JOIN answer_account a ON a.pers_n = f.pers_n
        WHERE f.z_sl_n IS NULL AND f.severity = 'reject'"""
    )
    units = [str(row[0]) for row in con.execute("SELECT DISTINCT unit FROM answer_finding ORDER BY 1").fetchall()]
    for unit in units:
        con.execute(
            f"""INSERT INTO answer_hit SELECT DISTINCT f.z_sl_n, f.rule, {row_in(con, layout, unit, CASE)}
            FROM answer_finding f WHERE f.unit = ?""",
            [unit],
        )


def row_in(con: duckdb.DuckDBPyConnection, layout: Layout, unit: str, above: str) -> str:
    """SQL: the number of the row of ``above`` in which row ``f.n`` of the table ``unit`` lies; NULL where in none."""
    chain = [unit, *rows_above(layout, unit)]
    if above not in chain:
        return "NULL"
    chain = chain[: chain.index(above) + 1]
    if not all(has_table(con, table) for table in chain):
        return "NULL"
    steps = "".join(
        f' JOIN "{upper}" t{place} ON t{place}.n = t{place - 1}.up_n AND t{place}.z_sl_n = f.z_sl_n'
        for place, upper in enumerate(chain[1:], 1)
    )
    return f'(SELECT t{len(chain) - 1}.n FROM "{chain[0]}" t0{steps} WHERE t0.n = f.n)'


def _within(ranges: Sequence[Sequence[int]]) -> str:
    """SQL: the kind of control lies in one of these ranges."""
    spans = " OR ".join(f"TRY_CAST(tip AS INTEGER) BETWEEN {int(low)} AND {int(high)}" for low, high in ranges)
    return spans or "false"


def _taken(con: duckdb.DuckDBPyConnection, ranges: Sequence[Sequence[int]]) -> int:
    row = con.execute(
        f"SELECT CAST(COALESCE(sum(counted), 0) AS BIGINT) FROM answer_sank WHERE {_within(ranges)}"
    ).fetchone()
    return int(row[0]) if row else 0
