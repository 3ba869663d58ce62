"""The changes below the heads of the federal documents: records left out, patients and accounts marked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import duckdb

from oms_batch.errors import Fault, SetupError
from oms_batch.formats.elements import Layout
from oms_batch.reply.answers import Ask
from oms_batch.reply.document import BATCH, has_table
from oms_batch.reply.federal_marks import marker, marks, told
from oms_batch.reply.federal_shape import order, place
from oms_batch.reply.federal_tree import leaf, put
from oms_batch.reply.splice import Edit, bytes_of, gap_start

_COLUMN = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)


def records(
    con: duckdb.DuckDBPyConnection, source: BinaryIO, first: int, layout: Layout, answers: Mapping[str, Any], ask: Ask
) -> Iterator[Edit]:
    """Edits of the main document from its first record on, in rising order.

    A record whose accounts all go, goes with the white space before it. Needs ``answer_account`` and
    ``answer_sank``; ``first`` is where the list of records begins.
    """
    patient = place(layout, answers["places"]["person"])
    person = {name: what for name, what in answers["person"].items() if name in patient.kids}
    account, sanction = (place(layout, answers["places"][what]) for what in ("account", "sanction"))
    how = marker(account, sanction, answers, ask) if ask.mark else None
    con.execute(_records(con, person if ask.mark else {}, ask.mark), {"first": first})
    while rows := con.fetchmany(BATCH):
        for kind, start, end, gap, *more in rows:
            about: Mapping[str, Any] = next((one for one in more if one is not None), {})
            if kind == "drop":
                yield Edit(gap_start(source, gap, start), end)
            elif kind == "person":
                begun, ended, raw = _find(bytes_of(source, start, end), patient.name)
                said = {name: [leaf(name, about[name], ask.encoding)] for name in person if about[name] is not None}
                yield Edit(start + begun, start + ended, put(raw, said, order(patient)))
            elif how is not None:
                yield Edit(start, end, put(bytes_of(source, start, end), marks(about, how), how.order))


def _records(con: duckdb.DuckDBPyConnection, person: Mapping[str, str], mark: bool) -> str:
    placed = """WITH placed AS (
            SELECT a.*, z.byte_from AS zap_from FROM answer_account a ASOF JOIN zap z ON a.byte_from >= z.byte_from
        ), record AS (
            SELECT z.byte_from, z.byte_to, lag(z.byte_to, 1, $first) OVER (ORDER BY z.byte_from) AS gap,
                COALESCE(p.kept, 0) = 0 AS gone, p.first_account, p.z_sl_n
            FROM zap z LEFT JOIN (
                SELECT zap_from, count(*) FILTER (keep) AS kept, min(byte_from) AS first_account,
                    min(n) FILTER (keep) AS z_sl_n FROM placed GROUP BY zap_from
            ) p ON p.zap_from = z.byte_from
        )"""
    parts = [
        "SELECT 'drop' AS kind, byte_from, byte_to, gap FROM record WHERE gone",
        """SELECT 'drop' AS kind, a.byte_from, a.byte_to, a.gap FROM (
            SELECT *, lag(byte_to, 1, zap_from) OVER (PARTITION BY zap_from ORDER BY byte_from) AS gap FROM placed) a
        JOIN record r ON r.byte_from = a.zap_from WHERE NOT a.keep AND NOT r.gone""",
    ]
    if person and has_table(con, "ident"):
        parts.append(_found(person))
    if mark:
        parts.append(
            f"""SELECT 'mark' AS kind, a.byte_from, a.byte_to, 0::BIGINT AS gap, t.account
            FROM answer_account a JOIN ({told(con)}) t ON t.n = a.n"""
        )
    return f"{placed} SELECT * FROM ({' UNION ALL BY NAME '.join(parts)}) ORDER BY byte_from"


def _found(person: Mapping[str, str]) -> str:
    """Patients of whom the search knows other than what they came with: element → column of ``ident``."""
    for name in (*person.values(), *(element.lower() for element in person)):
        if not _COLUMN.fullmatch(name):
            raise SetupError("answers.toml: [person] names columns of ident")
    known = ", ".join(f"'{element}': CAST(i.{column} AS VARCHAR)" for element, column in person.items())
    differs = " OR ".join(
        f"(i.{column} IS NOT NULL AND CAST(i.{column} AS VARCHAR) IS DISTINCT FROM p.{element.lower()})"
        for element, column in person.items()
    )
    return f"""SELECT 'person' AS kind, r.byte_from, r.first_account AS byte_to, 0::BIGINT AS gap,
            {{{known}}} AS person
        FROM record r JOIN answer_account a ON a.n = r.z_sl_n JOIN ident i ON i.z_sl_n = a.n
            JOIN pers p ON p.n = a.pers_n
        WHERE NOT r.gone AND i.found AND NOT i.ambiguous AND ({differs})"""


def persons(con: duckdb.DuckDBPyConnection, source: BinaryIO, first: int) -> Iterator[Edit]:
    """Persons of whom no account is kept go, with the white space before them; ``first``: where their list begins."""
    con.execute(
        """SELECT byte_from, byte_to, gap FROM (
            SELECT l.*, lag(byte_to, 1, $first) OVER (ORDER BY byte_from) AS gap FROM l_pers l) l
        ANTI JOIN (SELECT DISTINCT p.id_pac FROM answer_account a JOIN pers p ON p.n = a.pers_n WHERE a.keep) k
            ON k.id_pac = l.id_pac
        ORDER BY byte_from""",
        {"first": first},
    )
    while rows := con.fetchmany(BATCH):
        for start, end, gap in rows:
            yield Edit(gap_start(source, gap, start), end)


def _find(raw: bytes, tag: str) -> tuple[int, int, bytes]:
    """The element of this name in the beginning of a record."""
    name = re.escape(tag.encode("ascii"))
    found = re.search(rb"<" + name + rb"(?:\s[^<>]*)?>.*?</" + name + rb"\s*>", raw, re.S)
    if found is None:
        raise Fault("a record has no patient before its first account")
    return found.start(), found.end(), found[0]
