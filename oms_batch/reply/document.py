"""The answer: the received document minus accounts, with marks put in and totals made anew."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import duckdb

from oms_batch.errors import Fault
from oms_batch.model import roubles
from oms_batch.reply.answers import Part
from oms_batch.reply.marks import (
    Account,
    Codes,
    Texts,
    as_text,
    person_element,
    rewrite_account,
    rewrite_patient_end,
)
from oms_batch.reply.splice import Edit, bytes_of, gap_start, splice
from oms_batch.reply.tags import children, element, set_attribute

BATCH = 2048
NOTHING = Texts()


@dataclass(frozen=True, slots=True)
class HeadChange:
    """Attributes of the bill's start tag to be set: ``plat_ogrn`` (``ogrn_smo``) and others by name."""

    plat_ogrn: str = ""
    bill: dict[str, str] = field(default_factory=dict)

    def attributes(self) -> dict[str, str]:
        return {**({"ogrn_smo": self.plat_ogrn} if self.plat_ogrn else {}), **self.bill}


def write_part(
    con: duckdb.DuckDBPyConnection,
    source: BinaryIO,
    out: BinaryIO,
    *,
    keep: str,
    head: HeadChange | None = None,
    mark: bool = False,
    flk: bytes | Iterable[bytes] | None = None,
    texts: Texts = NOTHING,
    codes: Codes | None = None,
    encoding: str = "windows-1251",
    empty_patients: bool = False,
) -> Part:
    """Write the accounts for which ``keep`` holds, and everything around them, as they were sent.

    ``keep`` is a SQL boolean over ``z_sl`` and, where there are verdicts, ``v``. With ``mark`` an
    account that is refused, withheld from, found faulty or has another policy is rewritten
    (``codes`` and ``texts`` are needed then). A patient whose accounts all go, goes too; one that
    came without any stays only when ``empty_patients``. ``flk``: ``None`` leaves it, empty bytes
    remove it. ``account_elem_t`` is written anew only where its values change.
    """
    if mark and codes is None:
        raise Fault("marks need the codes of the profile")
    totals = part_totals(con, keep, mark)
    spots = {
        what: (int(start), int(end))
        for what, start, end in con.execute("SELECT what, byte_from, byte_to FROM spot").fetchall()
    }
    edits = list(_head_edits(con, source, spots, head or HeadChange(), totals, encoding))
    if flk is not None:
        start, end = spots["flk"]
        edits.append(Edit(gap_start(source, 0, start) if flk == b"" and start < end else start, end, flk))
    edits.sort(key=lambda edit: (edit.start, edit.end))
    inside = _patient_edits(con, source, spots, keep, texts, codes if mark else None, encoding, empty_patients)
    splice(source, heapq.merge(edits, inside, key=lambda edit: edit.start), out)
    return totals


def part_totals(con: duckdb.DuckDBPyConnection, keep: str, mark: bool = False) -> Part:
    """What a part comes to, before it is written."""
    parts = _parts(con, keep, mark)
    accounts = con.execute(f"{parts} SELECT count(*) FROM part WHERE keep").fetchone()
    rows = con.execute(
        f"""{parts} SELECT COALESCE(type_acc, ''), CAST(sum(suml) AS BIGINT), CAST(sum(accepted) AS BIGINT)
        FROM elem GROUP BY 1 ORDER BY 1"""
    ).fetchall()
    types = {str(code): (int(claimed), int(accepted)) for code, claimed, accepted in rows}
    claimed, accepted = (sum(pair[side] for pair in types.values()) for side in (0, 1))
    return Part(int(accounts[0]) if accounts else 0, claimed, accepted, types)


def has_table(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether a table or view of this name is there."""
    found = con.execute("SELECT 1 FROM information_schema.tables WHERE table_name = ?", [name]).fetchone()
    return found is not None


def verdicts_or_none(con: duckdb.DuckDBPyConnection) -> str:
    """The verdicts to join as ``v``; where nothing was judged, an empty table of the same columns."""
    if has_table(con, "verdicts"):
        return "verdicts"
    return """(SELECT NULL::BIGINT AS z_sl_n, NULL::BIGINT AS pers_n, false AS refused, NULL::VARCHAR AS rule,
        NULL::VARCHAR AS defect, NULL::VARCHAR AS kod, NULL::BIGINT AS withheld, NULL::VARCHAR AS payer WHERE false)"""


def _parts(con: duckdb.DuckDBPyConnection, keep: str, mark: bool) -> str:
    """CTEs ``part`` (one row per account) and ``elem`` (one per sum of a kept account).

    Where a sender leaves out what is accepted, all that is claimed counts as accepted.
    """
    gone = """CASE WHEN v.refused AND COALESCE(v.withheld, z_sl.sumv, 0) >= COALESCE(z_sl.sumv, 0)
        THEN COALESCE(z_sl.sumv, 0) ELSE COALESCE(v.withheld, 0) END"""
    return f"""WITH part AS (
        SELECT z_sl.n, z_sl.pers_n, z_sl.byte_from, z_sl.byte_to, z_sl.ds1, z_sl.date_z_2,
            COALESCE(({keep}), false) AS keep, COALESCE(z_sl.sumv, 0) AS sumv,
            {"COALESCE(v.refused, false)" if mark else "false"} AS refused, v.rule, v.defect,
            {gone if mark else "0"} AS gone
        FROM z_sl LEFT JOIN {verdicts_or_none(con)} v ON v.z_sl_n = z_sl.n
    ), elem AS (
        SELECT s.z_sl_n, s.n, s.type_acc, COALESCE(s.suml, 0) AS suml,
            CASE WHEN p.refused OR p.gone > 0 THEN greatest(0, least(COALESCE(s.suml, 0), p.sumv - p.gone - COALESCE(
                sum(s.suml) OVER (PARTITION BY s.z_sl_n ORDER BY s.suml DESC NULLS LAST, s.n
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)))
            ELSE COALESCE(s.sum_acc, s.suml, 0) END AS accepted
        FROM z_sl_sum s JOIN part p ON p.n = s.z_sl_n WHERE p.keep
    )"""


# ---- head -----------------------------------------------------------------------------------


def _head_edits(
    con: duckdb.DuckDBPyConnection,
    source: BinaryIO,
    spots: dict[str, tuple[int, int]],
    head: HeadChange,
    totals: Part,
    encoding: str,
) -> Iterator[Edit]:
    start, end = spots["bill_tag"]
    tag = new = bytes_of(source, start, end)
    for name, value in head.attributes().items():
        new = set_attribute(new, name, value, encoding)
    if new != tag:
        yield Edit(start, end, new)
    said = con.execute(
        "SELECT COALESCE(type_acc, ''), COALESCE(amountl, 0), COALESCE(amount, 0) FROM sum_t ORDER BY ALL"
    ).fetchall()
    if said != [(code, *sums) for code, sums in sorted(totals.types.items())]:
        start, end = spots["account_sum"]
        yield Edit(start, end, new_account_sum(bytes_of(source, start, end), totals.types, encoding))


def new_account_sum(raw: bytes, types: dict[str, tuple[int, int]], encoding: str) -> bytes:
    """The element ``account_sum`` with its block ``account_elem_t`` replaced; other blocks stay."""
    rows = b"".join(
        element("account_elem", {"type_acc": code, "amountl": roubles(claimed), "amount": roubles(accepted)}, encoding)
        for code, (claimed, accepted) in types.items()
    )
    block = b"<account_elem_t>" + rows + b"</account_elem_t>" if rows else b"<account_elem_t/>"
    if not raw:
        return b"<account_sum>" + block + b"</account_sum>"
    for child in children(raw):
        if child.name == b"account_elem_t":
            return raw[: child.start] + block + raw[child.end :]
    if raw.endswith(b"/>"):
        return raw[:-2].rstrip() + b">" + block + b"</account_sum>"
    first = raw.index(b">", raw.index(b"account_sum")) + 1
    return raw[:first] + block + raw[first:]


# ---- patients and accounts ----------------------------------------------------------------------


def _patient_edits(
    con: duckdb.DuckDBPyConnection,
    source: BinaryIO,
    spots: dict[str, tuple[int, int]],
    keep: str,
    texts: Texts,
    codes: Codes | None,
    encoding: str,
    empty_patients: bool,
) -> Iterator[Edit]:
    marking = codes is not None
    fields = {"first": spots["patients"][0], "empty": empty_patients}
    lists = {"in_account": texts.marked("an_mes", "an_sum", "an_ps"), "in_person": texts.marked("an_p")}
    con.execute(
        f"""{_parts(con, keep, marking)}, patient AS (
            SELECT p.n, p.byte_from, p.byte_to, p.accounts_from, p.accounts_to,
                lag(p.byte_to, 1, $first) OVER (ORDER BY p.byte_from) AS gap,
                count(a.n) FILTER (a.keep) = 0 AND (count(a.n) > 0 OR NOT $empty) AS gone
            FROM pers p LEFT JOIN part a ON a.pers_n = p.n
            GROUP BY p.n, p.byte_from, p.byte_to, p.accounts_from, p.accounts_to
        ), account AS (
            SELECT a.*, lag(a.byte_to, 1, p.accounts_from) OVER (PARTITION BY a.pers_n ORDER BY a.byte_from) AS gap
            FROM part a JOIN patient p ON p.n = a.pers_n WHERE NOT p.gone
        ), sums AS (
            SELECT z_sl_n, list(CAST(accepted AS BIGINT) ORDER BY n) AS sums FROM elem GROUP BY z_sl_n
        ), {_marks(con) if marking else _NO_MARKS}
        SELECT kind, byte_from, byte_to, gap, marks, person FROM (
            SELECT 'drop' AS kind, byte_from, byte_to, gap FROM patient WHERE gone
            UNION ALL BY NAME
            SELECT 'drop' AS kind, byte_from, byte_to, gap FROM account WHERE NOT keep
            UNION ALL BY NAME
            SELECT 'mark' AS kind, a.byte_from, a.byte_to, {{'sumv': a.sumv, 'gone': a.gone, 'refused': a.refused,
                'defect': COALESCE(a.defect, ''), 'rule': COALESCE(a.rule, ''), 'day': a.date_z_2,
                'ds1': COALESCE(a.ds1, ''), 'sums': COALESCE(s.sums, []), 'findings': COALESCE(f.findings, []),
                'policy': i.policy}} AS marks
            FROM account a LEFT JOIN sums s ON s.z_sl_n = a.n LEFT JOIN found f ON f.z_sl_n = a.n
                LEFT JOIN policy i ON i.z_sl_n = a.n
            WHERE a.keep AND (a.refused OR a.gone > 0 OR f.z_sl_n IS NOT NULL OR i.z_sl_n IS NOT NULL)
            UNION ALL BY NAME
            SELECT 'person' AS kind, p.accounts_to AS byte_from, p.byte_to, w.person
            FROM patient p JOIN wrong w ON w.pers_n = p.n WHERE NOT p.gone
        ) ORDER BY byte_from""",
        {**fields, **lists} if marking else fields,
    )
    while rows := con.fetchmany(BATCH):
        for kind, start, end, gap, marks, person in rows:
            if kind == "drop":
                yield Edit(gap_start(source, gap, start), end)
                continue
            assert codes is not None
            raw = bytes_of(source, start, end)
            if kind == "mark":
                policy = marks["policy"] and as_text(marks["policy"].items())
                account = Account(**{**marks, "policy": policy})
                yield Edit(start, end, rewrite_account(raw, account, texts, codes, encoding))
            else:
                an_p = person_element(as_text((person or {}).items()), texts, codes, encoding)
                yield Edit(start, end, rewrite_patient_end(raw, an_p))


_NO_MARKS = """found AS (SELECT NULL::BIGINT AS z_sl_n, NULL::STRUCT(rule VARCHAR)[] AS findings WHERE false),
    policy AS (SELECT NULL::BIGINT AS z_sl_n, NULL::STRUCT(polisnum VARCHAR) AS policy WHERE false),
    wrong AS (SELECT NULL::BIGINT AS pers_n, NULL::STRUCT(surname VARCHAR) AS person WHERE false)"""


def _marks(con: duckdb.DuckDBPyConnection) -> str:
    """CTEs ``found`` and ``policy`` (one row per account), ``wrong`` (one per patient with other data)."""
    policy = """SELECT z_sl_n, {'polisser': spolis_right, 'polisnum': npolis_right,
        'begin_date': CAST(begin_right AS VARCHAR), 'end_date': CAST(end_right AS VARCHAR), 'step': step} AS policy
        FROM ident WHERE policy_differs"""
    person = """SELECT pers_n, {'surname': fam_right, 'name': im_right, 'patronymic': ot_right,
        'birthdate': CAST(dr_right AS VARCHAR), 'sex': CAST(w_right AS VARCHAR), 'step': step} AS person, z_sl_n
        FROM ident WHERE person_differs"""
    if not has_table(con, "ident"):
        policy = "SELECT NULL::BIGINT AS z_sl_n, NULL::STRUCT(polisnum VARCHAR) AS policy WHERE false"
        person = "SELECT NULL::BIGINT AS pers_n, NULL::STRUCT(surname VARCHAR) AS person, 0 AS z_sl_n WHERE false"
    return f"""hit AS (
            SELECT a.n AS z_sl_n, a.pers_n, f.rule, f.element, f.value, f.line
            FROM findings f JOIN account a ON a.n = f.z_sl_n
            WHERE a.keep AND f.severity IN ('reject', 'warn')
            UNION ALL
            SELECT a.n, a.pers_n, f.rule, f.element, f.value, f.line
            FROM findings f JOIN account a ON a.pers_n = f.pers_n
            WHERE f.z_sl_n IS NULL AND a.keep AND f.severity IN ('reject', 'warn')
        ), found AS (
            SELECT z_sl_n, list({{'rule': rule, 'element': COALESCE(element, ''), 'value': COALESCE(value, '')}}
                ORDER BY rule, line, element, value) AS findings
            FROM hit WHERE list_contains($in_account, rule) GROUP BY z_sl_n
        ), policy AS ({policy}), wrong AS (
            SELECT pers_n, arg_min(person, z_sl_n) FILTER (person IS NOT NULL) AS person FROM (
                SELECT i.* FROM ({person}) i JOIN account a ON a.n = i.z_sl_n WHERE a.keep
                UNION ALL BY NAME
                SELECT pers_n, z_sl_n FROM hit WHERE list_contains($in_person, rule)
            ) GROUP BY pers_n
        )"""
