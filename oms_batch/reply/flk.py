"""The protocol of format and logic control inside the answer: the element ``body/flk``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

import duckdb

from oms_batch.model import PlanRow
from oms_batch.reply.document import BATCH, verdicts_or_none
from oms_batch.reply.marks import Texts
from oms_batch.reply.tags import element

# Sizes of the layout; what is longer is cut with a sign that it was.
_SIZES = {"condition": 2000, "expression": 4000, "fact": 2000, "element": 250, "category": 250, "comment": 1000}


@dataclass(frozen=True, slots=True)
class FlkHead:
    """Who made the protocol and when; ``datetime`` is the moment of receipt, never the clock."""

    version: str
    year: str
    month: str
    type: str
    creator: str
    org_name: str
    org_ogrn: str
    org_kpp: str
    datetime: str
    comment: str = ""


def flk_element(
    con: duckdb.DuckDBPyConnection,
    head: FlkHead,
    plan: Iterable[PlanRow],
    texts: Texts,
    *,
    filename: str,
    provider: str,
    day: date | None,
    keep: str = "true",
    encoding: str = "windows-1251",
) -> Iterator[bytes]:
    """Pieces of ``flk``: one ``test`` per check of the plan, one ``fact`` per finding of a kept account.

    The plan tells of the whole register, the facts only of accounts for which ``keep`` holds
    (as in ``document.write_part``) and of their persons. ``day`` dates the defects of the plan;
    a fact's defect is dated by its account. Nothing is read before the first piece is asked for.
    """
    about = {name: getattr(head, name) for name in FlkHead.__slots__}
    yield element("flk", about, encoding).removesuffix(b"/>") + b">"
    yield b"<plan>"
    for ns, row in enumerate(plan, 1):
        rule = texts.rule(row.code)
        yield _element(
            "test",
            {
                "code": row.code,
                "category": row.outcome + (f": {row.reason}" if row.reason else ""),
                "element": rule.element,
                "condition": rule.title,
                "expression": rule.expression,
                "defect_code": texts.defect(rule.defect, day)[0],
                "count_total": str(row.total),
                "count_fail": str(row.found),
                "ns": str(ns),
            },
            encoding,
        )
    yield b"</plan>"
    about = {"filename": filename, "creator": head.creator, "provider": provider}
    yield element("register", about, encoding).removesuffix(b"/>") + b">"
    yield from _facts(con, texts, keep, encoding)
    yield b"</register></flk>"


def _facts(con: duckdb.DuckDBPyConnection, texts: Texts, keep: str, encoding: str) -> Iterator[bytes]:
    con.execute(
        f"""WITH account AS (
            SELECT z_sl.n, z_sl.pers_n, z_sl.xkey, z_sl.date_z_2, v.rule AS leading, v.defect
            FROM z_sl LEFT JOIN {verdicts_or_none(con)} v ON v.z_sl_n = z_sl.n WHERE {keep}
        ), hit AS (
            SELECT f.rule, f.unit, f.n, f.line, f.value, a.n AS account_n, a.pers_n, a.xkey, a.date_z_2 AS day,
                CASE WHEN a.leading = f.rule THEN a.defect END AS defect
            FROM findings f JOIN account a ON a.n = f.z_sl_n
            UNION ALL
            SELECT f.rule, f.unit, f.n, f.line, f.value, NULL, f.pers_n, NULL, a.day, NULL
            FROM findings f JOIN (SELECT pers_n, max(date_z_2) AS day FROM account GROUP BY pers_n) a
                ON a.pers_n = f.pers_n
            WHERE f.z_sl_n IS NULL
            UNION ALL
            SELECT f.rule, f.unit, f.n, f.line, f.value, NULL, NULL, NULL, NULL, NULL
            FROM findings f WHERE f.z_sl_n IS NULL AND f.pers_n IS NULL
        )
        SELECT r.nschet, p.id_pac, h.xkey, u.idserv, h.rule, h.value, h.defect, h.day
        FROM hit h LEFT JOIN pers p ON p.n = h.pers_n
            LEFT JOIN usl u ON h.unit = 'usl' AND u.n = h.n
            CROSS JOIN (SELECT any_value(nschet) AS nschet FROM register) r
        ORDER BY h.pers_n NULLS FIRST, h.account_n NULLS FIRST, h.line, h.rule, h.n, h.value"""
    )
    ns = 0
    while rows := con.fetchmany(BATCH):
        pieces: list[bytes] = []
        for bill, pat, acc, man, code, value, defect, day in rows:
            ns += 1
            number = texts.defect(texts.rule(code).defect, day)[0] or defect or ""
            fact = {"bill": bill, "pat": pat, "acc": acc, "man": man, "test": code, "fact": value}
            known = {key: str(one) for key, one in fact.items() if one is not None}
            pieces.append(_element("fact", {**known, "defect_code": number, "ns": str(ns)}, encoding))
        yield b"".join(pieces)


def _element(name: str, attributes: dict[str, str], encoding: str) -> bytes:
    cut = {
        key: value if len(value) <= _SIZES.get(key, len(value)) else value[: _SIZES[key] - 1] + "…"
        for key, value in attributes.items()
    }
    return element(name, cut, encoding)
