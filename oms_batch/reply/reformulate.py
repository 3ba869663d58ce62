"""Reformulation: the fund's file minus the accounts that it flagged, and nothing else."""

from __future__ import annotations

import hashlib
import re
from typing import Any, BinaryIO

import duckdb

from oms_batch.errors import Fault, Problem
from oms_batch.model import roubles
from oms_batch.reply.answers import Part
from oms_batch.reply.document import has_table, part_totals, write_part
from oms_batch.reply.marks import Codes
from oms_batch.reply.splice import CHUNK, splice

ALL = "true"


def reformulate(
    con: duckdb.DuckDBPyConnection,
    source: BinaryIO,
    out: BinaryIO,
    *,
    refused_pay: str,
    encoding: str = "windows-1251",
    register: str = "",
    file: str = "",
) -> dict[str, Any]:
    """Write the document without the accounts whose ``smo/@pay`` is ``refused_pay``; give the manifest.

    Where nothing is flagged the bytes are the source's. Else the kept accounts are byte-equal,
    ``account_elem_t`` is made anew and the protocol ``flk``, which speaks of accounts that are no
    longer there, is left out. Done twice it changes nothing more. Sums are text in roubles.
    """
    if not re.fullmatch(r"\w{1,20}", refused_pay, re.ASCII):
        raise Fault("reformulation needs the code of a refused account")
    keep = f"z_sl.pay IS DISTINCT FROM '{refused_pay}'"
    before, after = part_totals(con, ALL), part_totals(con, keep)
    excluded = _excluded(con, f"NOT ({keep})")
    target = _Hashing(out)
    if excluded:
        write_part(con, source, target, keep=keep, flk=b"", encoding=encoding, empty_patients=True)  # type: ignore[arg-type]
    else:
        splice(source, (), target)  # type: ignore[arg-type]
    return {
        "register": register,
        "file": file,
        "excluded": excluded,
        **_totals("before", before),
        **_totals("after", after),
        "sha256_before": _sha256(source),
        "sha256_after": target.digest.hexdigest(),
        "kept_byte_equal": True,
    }


def check_flags(con: duckdb.DuckDBPyConnection, codes: Codes, limit: int = 1000) -> list[Problem]:
    """Accounts of a received answer whose flag and accepted sum contradict each other (``FLAG_SUM``).

    Refused means nothing accepted, partly means something but not all, everything else means all.
    Where nothing is said of what is accepted, only partly contradicts it.
    """
    rows = con.execute(
        """SELECT idcase, line, COALESCE(pay, ''), COALESCE(sumv, 0), COALESCE(sump, 0) FROM z_sl
        WHERE CASE COALESCE(pay, '') WHEN $refused THEN sump <> 0
            WHEN $partly THEN NOT (COALESCE(sump, 0) > 0 AND sump < sumv)
            ELSE sump <> COALESCE(sumv, 0) END
        ORDER BY n LIMIT $limit""",
        {"refused": codes.refused, "partly": codes.partly, "limit": limit},
    ).fetchall()
    found: list[Problem] = []
    for idcase, line, pay, sumv, sump in rows:
        right = (
            "0.00" if pay == codes.refused else f"0.01 … {roubles(sumv - 1)}" if pay == codes.partly else roubles(sumv)
        )
        place = f"personal_account n_pp={idcase} pay={pay or '-'}, line {line}"
        found.append(Problem("FLAG_SUM", place, right, roubles(sump)))
    return found


def _excluded(con: duckdb.DuckDBPyConnection, where: str) -> list[dict[str, str]]:
    codes = []
    for order, (table, code, key) in enumerate(
        (("an_mes", "an_mes", "z_sl_n"), ("an_sum", "an_sum", "z_sl_n"), ("an_ps", "an_ps", "z_sl_n"))
    ):
        if has_table(con, table):
            codes.append(f"SELECT {key} AS z_sl_n, {order} AS rank, n, {code} AS code FROM {table}")
    if has_table(con, "flk_fact"):
        codes.append(
            """SELECT z_sl.n, 9, f.n, f.defect_code FROM flk_fact f JOIN z_sl ON z_sl.xkey = f.acc
            WHERE f.defect_code IS NOT NULL"""
        )
    said = " UNION ALL ".join(codes) or "SELECT NULL::BIGINT AS z_sl_n, 0 AS rank, 0 AS n, '' AS code WHERE false"
    rows = con.execute(
        f"""WITH said AS ({said}), first AS (
            SELECT z_sl_n, arg_min(code, (rank, n)) AS code FROM said GROUP BY z_sl_n)
        SELECT z_sl.xkey, z_sl.idcase, COALESCE(first.code, ''), COALESCE(z_sl.sumv, 0)
        FROM z_sl LEFT JOIN first ON first.z_sl_n = z_sl.n WHERE {where} ORDER BY z_sl.n"""
    ).fetchall()
    return [
        {"account": xkey or "", "idcase": str(idcase or ""), "code": code, "sum": roubles(sumv)}
        for xkey, idcase, code, sumv in rows
    ]


def _totals(when: str, part: Part) -> dict[str, Any]:
    types = {code: {"claimed": roubles(one), "accepted": roubles(two)} for code, (one, two) in part.types.items()}
    return {when: {"accounts": part.accounts, "sum": roubles(part.claimed), "types": types}}


class _Hashing:
    """A stream that is written through to another one and hashed on the way."""

    def __init__(self, out: BinaryIO) -> None:
        self.out = out
        self.digest = hashlib.sha256()

    def write(self, piece: bytes) -> int:
        self.digest.update(piece)
        return self.out.write(piece)


def _sha256(source: BinaryIO) -> str:
    source.seek(0)
    digest = hashlib.sha256()
    while piece := source.read(CHUNK):
        digest.update(piece)
    return digest.hexdigest()
