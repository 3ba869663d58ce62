"""All faults found in a register as ``PR`` rows of the protocol ``FLK_P``: what, where, in which record."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import duckdb

from oms_batch.errors import Fault as OurFault
from oms_batch.formats.elements import Element, Layout
from oms_batch.formats.members import name_of
from oms_batch.reply.answers import Ask, OpenOut, Part
from oms_batch.reply.document import BATCH, has_table, verdicts_or_none
from oms_batch.reply.federal import MAIN, PERSONS, received_layout
from oms_batch.reply.federal_accounts import row_in
from oms_batch.reply.flk_p import Fault, document, load_form
from oms_batch.reply.marks import Texts


def write(con: duckdb.DuckDBPyConnection, sources: Mapping[str, BinaryIO], open_out: OpenOut, ask: Ask) -> Part:
    """Write the protocol of all faults of the accounts for which ``ask.keep`` holds, and of the register itself."""
    form = load_form(ask.profile.rules, ask.profile.id)
    layouts = [received_layout(sources[role], ask, role) for role in (MAIN, PERSONS) if role in sources]
    (member,) = ask.profile.members_of(ask.stage)
    with open_out(name_of(member, ask.told.parts)) as out:
        rows = faults(con, ask.texts, layouts, ask.keep, form.data)
        for piece in document(form, ask.named.stem, ask.told.stem, rows):
            out.write(piece)
    row = con.execute(
        f"""SELECT count(*), CAST(COALESCE(sum(z_sl.sumv), 0) AS BIGINT) FROM z_sl
        LEFT JOIN {verdicts_or_none(con)} v ON v.z_sl_n = z_sl.n WHERE {ask.keep}"""
    ).fetchone()
    if row is None:
        raise OurFault("a protocol counts no accounts")
    return Part(int(row[0]), int(row[1]), int(row[1]))


def faults(
    con: duckdb.DuckDBPyConnection,
    texts: Texts,
    layouts: Sequence[Layout],
    keep: str,
    data: Mapping[str, Any],
) -> Iterator[Fault]:
    """Faults in document order: those of the register first, then by record; ``layouts`` name the elements.

    ``data`` is that of the form: which severities are told, what an official number looks like, elements of
    columns that the layout does not have. A fault of a person in L stands once, in the first of his records.
    """
    official = re.compile(data["official"])
    con.execute(
        _select(con, layouts[0], keep), {"severities": list(data["severities"]), "passes": list(data["passes"])}
    )
    known: dict[str, tuple[str, str]] = {}
    while batch := con.fetchmany(BATCH):
        for rule, element, value, bill, record, person, account, case, service in batch:
            if element not in known:
                known[element] = place_of(data["elements"].get(element, element), layouts)
            told = texts.rule(rule)
            field, base = known[element]
            yield Fault(
                code=rule,
                official=next((one for one in told.official if official.fullmatch(one)), ""),
                field=field,
                value=value,
                bill=bill,
                base=base,
                record=record,
                person=person,
                account=account,
                case=case,
                service=service,
                comment=told.title,
            )


def _select(con: duckdb.DuckDBPyConnection, layout: Layout, keep: str) -> str:
    units = [str(row[0]) for row in con.execute("SELECT DISTINCT unit FROM findings ORDER BY 1").fetchall()]
    lies = {
        above: "CASE unit "
        + " ".join(f"WHEN '{unit}' THEN {row_in(con, layout, unit, above)}" for unit in units)
        + " END"
        for above in ("sl", "usl")
    }
    case, service = (lies[above] if units and has_table(con, above) else "NULL" for above in ("sl", "usl"))
    joined = {
        "sl_id": "LEFT JOIN sl c ON c.n = h.sl_n" if has_table(con, "sl") else "",
        "idserv": "LEFT JOIN usl u ON u.n = h.usl_n" if has_table(con, "usl") else "",
    }
    return f"""WITH account AS (
            SELECT z_sl.n, z_sl.pers_n, z_sl.idcase FROM z_sl
                LEFT JOIN {verdicts_or_none(con)} v ON v.z_sl_n = z_sl.n WHERE {keep}
        ), told AS (
            SELECT f.*, {case} AS sl_n, {service} AS usl_n FROM findings f
            WHERE list_contains($severities, f.severity) AND list_contains($passes, f.run_pass)
        ), hit AS (
            SELECT t.*, a.pers_n AS of_n, a.idcase FROM told t JOIN account a ON a.n = t.z_sl_n
            UNION ALL BY NAME
            SELECT t.*, t.pers_n AS of_n, NULL AS idcase FROM told t SEMI JOIN account a ON a.pers_n = t.pers_n
            WHERE t.z_sl_n IS NULL
            QUALIFY NOT starts_with(t.unit, 'l_')
                OR row_number() OVER (PARTITION BY t.rule, t.unit, t.n, t.element, t.line ORDER BY t.pers_n) = 1
            UNION ALL BY NAME
            SELECT t.*, NULL AS of_n, NULL AS idcase FROM told t WHERE t.z_sl_n IS NULL AND t.pers_n IS NULL
        )
        SELECT h.rule, COALESCE(h.element, ''), COALESCE(h.value, ''), COALESCE(r.nschet, ''), COALESCE(p.n_zap, ''),
            COALESCE(p.id_pac, ''), COALESCE(h.idcase, ''), {"COALESCE(c.sl_id, '')" if joined["sl_id"] else "''"},
            {"COALESCE(u.idserv, '')" if joined["idserv"] else "''"}
        FROM hit h LEFT JOIN pers p ON p.n = h.of_n {joined["sl_id"]} {joined["idserv"]}
            CROSS JOIN (SELECT any_value(nschet) AS nschet FROM register) r
        ORDER BY h.of_n NULLS FIRST, h.z_sl_n NULLS FIRST, h.line, h.rule, h.n, h.element, h.value"""


def place_of(element: str, layouts: Sequence[Layout]) -> tuple[str, str]:
    """Name of an element and of the one around it, from a path or from ``table.column`` of the tables."""
    if "/" in element:
        base, _slash, field = element.rpartition("/")
        return field, base.rpartition("/")[2]
    table, _dot, column = element.partition(".")
    every = [one for layout in layouts for one in layout.elements.values()]
    for one in every:
        if one.column == column and one.table == table and column:
            return _names(one)
    # a canonical table that the layout does not have: its columns keep the names of the elements
    named = [one for one in every if column and one.column == column]
    if named:
        return _names(named[0])
    group = next((one for one in every if one.starts_row and one.table == table), None)
    return column.upper(), group.name if group is not None else ""


def _names(one: Element) -> tuple[str, str]:
    return one.name, one.parent.name if one.parent is not None else ""
