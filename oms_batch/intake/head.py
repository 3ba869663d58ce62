"""The head of a document of the numbered exchange against its name, and its control totals."""

from __future__ import annotations

import duckdb

from oms_batch.errors import Problem
from oms_batch.exchange import Profile
from oms_batch.model import NamedFile, parse_date, roubles


def check_header(con: duckdb.DuckDBPyConnection, named: NamedFile, profile: Profile) -> list[Problem]:
    """The head of the document against its name and the profile."""
    row = con.execute("SELECT version, protocol, year, month, ogrn_mo, kpp_mo, plat_ogrn FROM register").fetchone()
    assert row is not None  # body is required, so there is one
    version, protocol, year, month, ogrn, kpp, payer_ogrn = row
    problems = []
    if protocol != profile.data["protocol"]:
        problems.append(_differs("HDR_PROTOCOL", "body/@protocol", profile.data["protocol"], protocol))
    if version not in profile.data["versions"]:
        problems.append(_differs("HDR_VERSION", "body/@version", ", ".join(profile.data["versions"]), version))
    period = f"{year:04d}-{month:02d}" if year is not None and month is not None else ""
    if period != named.period:
        problems.append(_differs("HDR_PERIOD", "body/@year, body/@month", named.period, period))
    if ((ogrn or "").zfill(13), (kpp or "").zfill(9)) != (named.ogrn_mo, named.kpp_mo):
        found = f"{ogrn or ''} {kpp or ''}"
        problems.append(_differs("HDR_SENDER", "body/@ogrn_mo, body/@kpp_mo", f"{named.ogrn_mo} {named.kpp_mo}", found))
    if profile.stages[named.stage].payers == "one":
        letters = [one for one in profile.payers if one.code == named.payer]
        expected = {one.ogrn for one in letters if _open_in(named.period, one.valid_from, one.valid_to)}
        if payer_ogrn not in expected:
            problems.append(_differs("HDR_PAYER", "bill/@ogrn_smo", ", ".join(sorted(expected)), payer_ogrn))
    return problems


def _open_in(period: str, valid_from: object, valid_to: object) -> bool:
    """Whether validity and the month touch each other."""
    first, last = parse_date(period + "-01"), period + "-31"
    return str(valid_from) <= last and (valid_to is None or str(valid_to) >= str(first))


def check_totals(con: duckdb.DuckDBPyConnection, _named: NamedFile, _profile: Profile) -> list[Problem]:
    """Claimed sums in ``account_sum`` against the accounts, per ``type_acc``; per-capita lines against number × tariff.

    A register in which some sum cannot be read is not compared: that account has its own finding.
    """
    if con.execute("SELECT count(*) FROM z_sl_sum WHERE suml IS NULL").fetchone() != (0,):
        return _per_capita(con)
    per_kind = "SELECT coalesce(type_acc, ''), CAST(sum({}) AS BIGINT) FROM {} GROUP BY 1"
    claimed = dict(con.execute(per_kind.format("suml", "z_sl_sum")).fetchall())
    stated = dict(con.execute(per_kind.format("amountl", "sum_t")).fetchall())
    problems = []
    if claimed and not stated:
        problems.append(Problem("HDR_SUM", "account_elem_t", roubles(sum(claimed.values())), ""))
    else:
        for kind in sorted({*claimed, *stated}):
            expected, found = claimed.get(kind, 0), stated.get(kind)
            if expected != (found or 0):
                place = f"account_elem_t/account_elem type_acc={kind}"
                problems.append(Problem("HDR_SUM", place, roubles(expected), _shown(found)))
    return problems + _per_capita(con)


def _per_capita(con: duckdb.DuckDBPyConnection) -> list[Problem]:
    rows = con.execute(
        "SELECT line, CAST(n_all AS BIGINT) * t_all, amountl FROM sum_f WHERE n_all * t_all IS NOT NULL"
        " AND amountl IS DISTINCT FROM CAST(n_all AS BIGINT) * t_all ORDER BY n"
    ).fetchall()
    return [
        Problem("HDR_SUM", f"account_elem_f/account_elem line {line}", roubles(expected), _shown(found))
        for line, expected, found in rows
    ]


def _shown(kopecks: int | None) -> str:
    return "" if kopecks is None else roubles(kopecks)


def _differs(code: str, place: str, expected: str, found: str | None) -> Problem:
    return Problem(code, place, expected, (found or "")[:60])
