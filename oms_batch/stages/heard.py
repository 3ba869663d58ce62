"""What a received answer says of each account: paid or not, how much, which defect."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import duckdb

from oms_batch.errors import Fault, Problem
from oms_batch.exchange import Hop, Profile
from oms_batch.judge import books
from oms_batch.model import Totals
from oms_batch.reply.document import has_table
from oms_batch.reply.marks import Codes
from oms_batch.stages.workbench import Bench, key_of

_BOOK = re.compile(r"\bbook_([a-z0-9_]+)")


def prepare(con: duckdb.DuckDBPyConnection, profile: Profile, codes: Codes, last: date) -> None:
    """Make the table ``heard``: one row per account of the answer.

    ``withheld`` is in kopecks, ``defect`` the number as the answer writes it (or, where it writes the federal code,
    that code's number), ``coded`` whether it is in the book of defects on the day of the account (``last`` where it
    has no day that can be read). ``marked``: the answer says something of it.
    """
    own = _own_text(profile)
    books.load_books(con, profile.rules, profile.id, sorted({"defects", *_BOOK.findall(own)}))
    said = own or _said(con)
    con.execute(
        f"""CREATE OR REPLACE TABLE heard AS
        WITH said AS ({said}), first AS (
            SELECT z_sl_n, arg_min(COALESCE(defect, ''), (rank, n)) AS defect,
                arg_min(COALESCE(kod, ''), (rank, n)) AS kod,
                arg_min(rule, (rank, n)) FILTER (rule <> '') AS rule FROM said GROUP BY z_sl_n
        ), account AS (
            SELECT z.* REPLACE ({key_of("z")} AS xkey),
                row_number() OVER (PARTITION BY {key_of("z")} ORDER BY z.n) AS nth,
                COALESCE(z.pay, '') AS paid, first.defect AS said_defect, first.kod AS said_kod,
                first.rule AS said_rule
            FROM z_sl z LEFT JOIN first ON first.z_sl_n = z.n
        ), coded AS (
            -- several rows of the book may be in force for one number: the account stays one
            SELECT a.n, min(d.kod) AS kod, min(d.osn) AS osn FROM account a JOIN book_defects d
                ON ((d.osn = a.said_defect AND COALESCE(a.date_z_2, $last) >= d.valid_from)
                    -- a federal code stands for one ground for ever; it may be that of the act, which comes later
                    OR (a.said_defect = '' AND d.kod = a.said_kod))
                AND (d.valid_to IS NULL OR COALESCE(a.date_z_2, $last) <= d.valid_to)
            GROUP BY a.n
        )
        SELECT a.n, a.xkey, a.nth, a.idcase, a.line, COALESCE(a.sumv, 0) AS sumv, a.digest,
            a.x_key2, a.usl_ok, a.vidpom, a.pr_nov, a.date_z_1, a.date_z_2,
            a.pay IS NOT NULL AS marked,
            a.paid IN ($refused, $partly) AS refused,
            a.paid = $refused AS whole,
            CASE a.paid WHEN $refused THEN COALESCE(a.sumv, 0)
                WHEN $partly THEN COALESCE(a.sumv, 0) - COALESCE(a.sump, 0) ELSE 0 END AS withheld,
            COALESCE(NULLIF(a.said_defect, ''), d.osn, '') AS defect, COALESCE(d.kod, '') AS kod,
            COALESCE(a.said_rule, '') AS rule,
            d.kod IS NOT NULL AS coded, {_payer(con)} AS payer, {_held(con)} AS held
        FROM account a LEFT JOIN coded d ON d.n = a.n""",
        {"refused": codes.refused, "partly": codes.partly, "last": last},
    )


def own_problems(con: duckdb.DuckDBPyConnection, profile: Profile) -> list[Problem]:
    """What refuses an answer beyond its accounts, by the profile's own SELECT (code, place, expected, found)."""
    name = f"{profile.id}/heard_check.sql"
    if not profile.rules.exists(name):
        return []
    return [Problem(*row) for row in con.execute(profile.rules.read(name).decode("utf-8")).fetchall()]


def _own_text(profile: Profile) -> str:
    """The profile's own SELECT of all that an answer tells; empty where it marks as the numbered exchange does."""
    own = f"{profile.id}/heard.sql"
    return profile.rules.read(own).decode("utf-8") if profile.rules.exists(own) else ""


def _said(con: duckdb.DuckDBPyConnection) -> str:
    """Every defect that the answer names: in the account's own marks first, then in the protocol."""
    parts = [
        f"SELECT z_sl_n, {rank} AS rank, n, {name} AS defect, '' AS kod, '' AS rule FROM {name}"
        for rank, name in enumerate(("an_mes", "an_sum", "an_ps"))
    ]
    if has_table(con, "flk_fact"):
        parts.append(
            """SELECT z.n, CASE WHEN f.defect_code IS NULL THEN 9 ELSE 5 END, f.n, f.defect_code, '', f.test
            FROM flk_fact f JOIN z_sl z ON z.xkey = f.acc"""
        )
    return " UNION ALL ".join(parts)


def totals(bench: Bench) -> tuple[Totals, Totals]:
    """Accounts and claimed kopecks of the file; accounts refused and kopecks withheld."""
    row = bench.con.execute(
        """SELECT count(*), CAST(COALESCE(sum(sumv), 0) AS BIGINT), count(*) FILTER (whole),
            CAST(COALESCE(sum(withheld), 0) AS BIGINT) FROM heard"""
    ).fetchone()
    if row is None:
        raise Fault("heard: no row")
    return Totals(int(row[0]), int(row[1])), Totals(int(row[2]), int(row[3]))


def _payer(con: duckdb.DuckDBPyConnection) -> str:
    """Who pays an account, where an answer for all payers says so itself."""
    names = {row[0] for row in con.execute("DESCRIBE z_sl").fetchall()}
    return "COALESCE(a.payer, '')" if "payer" in names else "''"


def _held(con: duckdb.DuckDBPyConnection) -> str:
    """What we had withheld ourselves before we billed it: that needs no ground of the one who answers."""
    names = {row[0] for row in con.execute("DESCRIBE z_sl").fetchall()}
    return "COALESCE(a.held, 0)" if "held" in names else "0"


def effects_sql(line: Hop, payer: str, where: str = "TRUE") -> str:
    """The effects of an answer as a SELECT over ``heard``, in the ledger's columns; ``payer`` empty: as it says."""
    passed, refused = line.passed or line.refused, line.refused or line.passed
    who = f"'{payer}'" if payer else "payer"
    return f"""SELECT xkey, COALESCE(x_key2, '') AS x_key2, COALESCE(idcase, '') AS idcase,
        COALESCE(usl_ok, '') AS usl_ok,
        COALESCE(vidpom, '') AS vidpom, COALESCE(pr_nov, '') AS pr_nov, CAST(date_z_1 AS VARCHAR) AS date_z_1,
        CAST(date_z_2 AS VARCHAR) AS date_z_2, CAST(sumv AS BIGINT) AS sumv, {who} AS payer,
        CASE WHEN whole THEN '{refused}' ELSE '{passed}' END AS state, '{line.stage}' AS stage,
        CAST(withheld AS BIGINT) AS withheld, CASE WHEN refused THEN defect ELSE '' END AS defect,
        CASE WHEN refused THEN kod ELSE '' END AS kod, CASE WHEN refused THEN rule ELSE '' END AS rule,
        COALESCE(digest, '') AS digest
    FROM heard WHERE {where} ORDER BY n"""


def summary(bench: Bench, limit: int = 50) -> list[dict[str, Any]]:
    """Refusals by defect: number, accounts, kopecks; the largest sums first."""
    rows = bench.con.execute(
        f"""SELECT defect, count(*), CAST(sum(withheld) AS BIGINT) FROM heard WHERE refused
        GROUP BY defect ORDER BY 3 DESC, 1 LIMIT {int(limit)}"""
    ).fetchall()
    return [{"defect": defect, "accounts": int(count), "kopecks": int(kopecks)} for defect, count, kopecks in rows]
