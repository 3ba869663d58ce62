"""Findings → verdicts: a finding is not yet a decision.

One row per account: refused or not, by which rule, with which defect code on the account's own day, how many
kopecks are withheld, and who pays.
"""

from __future__ import annotations

from datetime import date

import duckdb

from oms_batch.errors import SetupError
from oms_batch.judge.engine import span_of
from oms_batch.judge.identify import check_payers
from oms_batch.judge.rule import PASSES
from oms_batch.judge.rulebook import Rulebook
from oms_batch.judge.sense import person_wide, register_wide
from oms_batch.model import Totals


def decide(con: duckdb.DuckDBPyConnection, rulebook: Rulebook, *, payer: str = "", act: date | None = None) -> Totals:
    """Make the table ``verdicts`` from ``findings``; gives accounts and kopecks withheld.

    Columns: ``z_sl_n pers_n xkey idcase sumv refused rule defect kod osn withheld payer``. Every rejecting
    finding refuses what its rule says: the account, all accounts of the person, the register; the whole sum of
    an account is withheld once, of the others what the sender withheld itself (``z_sl.held``). The leading rule is
    the first by pass and code. ``payer`` is the letter of the only payer (the insurer's side); without it the payer
    is that of ``ident``, else the one that the register names, else the fund. ``act``: the day on which grounds have
    their codes, where it is that of the act and not that of the care. ``SetupError`` when a rule has no defect on
    that day, or a finding no rule.
    """
    _leading(con, rulebook)
    last = f"DATE '{span_of(con).period_end.isoformat()}'"
    coded = f"DATE '{act.isoformat()}'" if act is not None else _day("book_defects", last)
    con.execute(
        f"""CREATE OR REPLACE TABLE verdicts AS
        SELECT a.n AS z_sl_n, a.pers_n, a.xkey, a.idcase, a.sumv, l.z_sl_n IS NOT NULL AS refused,
          l.rule, l.defect, d.kod, d.osn,
          CASE WHEN l.z_sl_n IS NOT NULL THEN COALESCE(a.sumv, 0) ELSE {_held(con)} END AS withheld,
          {_payer(con, payer, last)} AS payer
        FROM z_sl a
        LEFT JOIN leading_rule l ON l.z_sl_n = a.n
        LEFT JOIN book_defects d ON d.key = l.defect
          AND {coded} >= d.live_from AND {coded} <= d.live_to
        {_payer_joins(con, payer, last)}"""
    )
    con.execute("DROP TABLE leading_rule")
    _check(con)
    row = con.execute("SELECT count(*), COALESCE(sum(withheld), 0) FROM verdicts WHERE refused").fetchone()
    return Totals(int(row[0]), int(row[1])) if row else Totals()


def _leading(con: duckdb.DuckDBPyConnection, rulebook: Rulebook) -> None:
    """Every refused account with the rule that leads."""
    con.execute("CREATE OR REPLACE TEMP TABLE rejecting (rule VARCHAR, defect VARCHAR)")
    named = {rule.code: rule.defect for rule in rulebook.rules if rule.defect}
    lists = [list(named), list(named.values())]
    con.execute("INSERT INTO rejecting SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[])", lists)
    stray = con.execute(
        "SELECT min(f.rule) FROM findings f ANTI JOIN rejecting r ON r.rule = f.rule WHERE f.severity = 'reject'"
    ).fetchone()
    if stray and stray[0] is not None:
        raise SetupError(f"verdict: rule {stray[0]} rejects, but the rulebook has no such rule with a defect")
    order = " ".join(f"WHEN '{name}' THEN {place}" for place, name in enumerate(PASSES))
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE leading_rule AS
        WITH refusing AS (
          SELECT DISTINCT rule, CASE run_pass {order} END AS place, z_sl_n, pers_n,
            {register_wide()} AS whole, {person_wide()} AS person
          FROM findings WHERE severity = 'reject'),
        met AS (
          SELECT z_sl_n, place, rule FROM refusing WHERE NOT whole AND NOT COALESCE(person, FALSE)
          UNION ALL SELECT a.n, r.place, r.rule FROM refusing r JOIN z_sl a ON a.pers_n = r.pers_n
            WHERE NOT r.whole AND r.person
          UNION ALL SELECT a.n, r.place, r.rule FROM (SELECT DISTINCT place, rule FROM refusing WHERE whole) r
            CROSS JOIN z_sl a)
        SELECT m.z_sl_n, m.rule, r.defect FROM (
          SELECT z_sl_n, rule FROM met
          QUALIFY row_number() OVER (PARTITION BY z_sl_n ORDER BY place, rule) = 1
        ) m JOIN rejecting r ON r.rule = m.rule"""
    )
    con.execute("DROP TABLE rejecting")


def _held(con: duckdb.DuckDBPyConnection) -> str:
    columns = {row[0] for row in con.execute("DESCRIBE z_sl").fetchall()}
    return "COALESCE(a.held, 0)" if "held" in columns else "0"


def _identified(con: duckdb.DuckDBPyConnection) -> bool:
    return bool(con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'ident'").fetchall())


def _payer(con: duckdb.DuckDBPyConnection, payer: str, last: str) -> str:
    if payer:
        return "'" + payer.replace("'", "''") + "'"
    if _identified(con):
        return "COALESCE(i.payer, named.code, fund.code)"
    return "COALESCE(named.code, fund.code)"


def _day(book: str, last: str) -> str:
    """The account's day of care; one without it, or before the book begins, counts as the period's last day.

    Such an account is refused anyway, and it must not keep the others from their answer.
    """
    return f"(CASE WHEN a.date_z_2 >= (SELECT min(live_from) FROM {book}) THEN a.date_z_2 ELSE {last} END)"


def _payer_joins(con: duckdb.DuckDBPyConnection, payer: str, last: str) -> str:
    if payer:
        return ""
    check_payers(con)
    ident = "LEFT JOIN ident i ON i.z_sl_n = a.n" if _identified(con) else ""
    day = _day("book_payers WHERE kind = 'fund'", last)
    return f"""{ident}
        LEFT JOIN pers p ON p.n = a.pers_n
        LEFT JOIN book_payers named ON named.ogrn = p.smo_ogrn AND {day} >= named.live_from AND {day} <= named.live_to
        LEFT JOIN (SELECT code, live_from, live_to FROM book_payers WHERE kind = 'fund') fund
          ON {day} >= fund.live_from AND {day} <= fund.live_to"""


def _check(con: duckdb.DuckDBPyConnection) -> None:
    """One verdict per account, each refusal with a code, each account with a payer: else no answer."""
    counts = con.execute("SELECT (SELECT count(*) FROM z_sl), (SELECT count(*) FROM verdicts)").fetchone()
    if counts and counts[0] != counts[1]:
        raise SetupError("verdict: not exactly one verdict per account")
    row = con.execute("SELECT min(rule) FROM verdicts WHERE refused AND kod IS NULL").fetchone()
    if row and row[0] is not None:
        raise SetupError(f"verdict: the defect of rule {row[0]} has no code on the day of an account")
    row = con.execute("SELECT count(*) FROM verdicts WHERE payer IS NULL").fetchone()
    if row and row[0]:
        raise SetupError(f"verdict: no payer on the day of care for {row[0]} accounts")
