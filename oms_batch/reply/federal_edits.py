"""The changes below the heads of the federal documents: records left out, patients and accounts marked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import duckdb

from oms_batch.errors import Fault, SetupError
from oms_batch.formats.elements import Layout
from oms_batch.model import roubles
from oms_batch.reply.answers import Ask
from oms_batch.reply.document import BATCH, has_table
from oms_batch.reply.federal_shape import order, place, size
from oms_batch.reply.federal_tree import group, leaf, put
from oms_batch.reply.marks import Codes, Texts
from oms_batch.reply.splice import Edit, bytes_of, gap_start

_COLUMN = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Marker:
    """What the marks of one answer share. ``account`` and ``sanction``: element → what it says; ``out``: what goes."""

    account: Mapping[str, str]
    out: tuple[str, ...]
    sanction: Mapping[str, str]
    order: tuple[str, ...]
    sanction_order: tuple[str, ...]
    sanction_name: str
    sizes: Mapping[str, int]
    code: str
    shared: Mapping[str, str]
    texts: Texts
    codes: Codes
    encoding: str


def marker(layout: Layout, answers: Mapping[str, Any], ask: Ask) -> Marker:
    """How accounts of this layout are marked."""
    account = place(layout, answers["places"]["account"])
    sanction = place(layout, answers["places"]["sanction"])
    said = answers["sanctions"]
    demanded = {name for name, one in account.kids.items() if one.least}
    regional = {name: what for name, what in answers["regional"].items() if what and name in demanded}
    return Marker(
        {name: what for name, what in (answers["account"] | regional).items() if name in account.kids},
        tuple(name for name in answers["regional"] if name not in account.kids),
        {name: what for name, what in answers["sanction"].items() if name in sanction.kids},
        order(account),
        order(sanction),
        sanction.name,
        {name: size(one) for name, one in sanction.kids.items()},
        said["code"],
        {
            "stage": ask.stage,
            "day": ask.received_at.date().isoformat(),
            "act": ask.told.stem,
            "source": said["source"],
        },
        ask.texts,
        ask.codes,
        ask.encoding,
    )


def records(
    con: duckdb.DuckDBPyConnection, source: BinaryIO, first: int, layout: Layout, answers: Mapping[str, Any], ask: Ask
) -> Iterator[Edit]:
    """Edits of the main document from its first record on, in rising order.

    A record whose accounts all go, goes with the white space before it. Needs ``answer_account`` and
    ``answer_sank``; ``first`` is where the list of records begins.
    """
    patient = place(layout, answers["places"]["person"])
    person = {name: what for name, what in answers["person"].items() if name in patient.kids}
    how = marker(layout, answers, ask) if ask.mark else None
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
        parts.append(_marked(con))
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


def _marked(con: duckdb.DuckDBPyConnection) -> str:
    """Kept accounts with their sanctions, and the cases in which the reason of each was found."""
    none = "(SELECT NULL::BIGINT AS n, NULL::BIGINT AS z_sl_n, NULL::VARCHAR AS sl_id WHERE false)"
    cases = "sl" if has_table(con, "sl") else none
    return f"""SELECT 'mark' AS kind, a.byte_from, a.byte_to, 0::BIGINT AS gap, {{
            'idcase': COALESCE(a.idcase, ''), 'sumv': a.sumv, 'gone': a.gone, 'refused': a.refused,
            'sanctions': COALESCE(s.sanctions, []), 'cases': COALESCE(c.cases, [])}} AS account
        FROM answer_account a
        LEFT JOIN (
            SELECT k.z_sl_n, list({{'nth': k.nth, 'rule': k.rule, 'kod': k.kod, 'tip': k.tip, 's_sum': k.s_sum,
                'cases': COALESCE(h.cases, [])}} ORDER BY k.nth) AS sanctions
            FROM answer_sank k LEFT JOIN (
                SELECT h.z_sl_n, h.rule, list(DISTINCT s.sl_id ORDER BY s.sl_id) AS cases
                FROM answer_hit h JOIN {cases} s ON s.n = h.sl_n GROUP BY h.z_sl_n, h.rule
            ) h ON h.z_sl_n = k.z_sl_n AND h.rule = k.rule
            GROUP BY k.z_sl_n
        ) s ON s.z_sl_n = a.n
        LEFT JOIN (SELECT z_sl_n, list(sl_id ORDER BY n) AS cases FROM {cases} GROUP BY z_sl_n) c ON c.z_sl_n = a.n
        WHERE a.keep"""


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


def marks(about: Mapping[str, Any], how: Marker) -> dict[str, list[bytes]]:
    """The elements of one account: by name, those that its layout has; an empty list takes the old ones out."""
    sumv, gone = int(about["sumv"]), int(about["gone"])
    sanctions = [sanction(one, about, how) for one in about["sanctions"]]
    facts: dict[str, list[bytes] | str] = {
        "oplata": oplata(sumv, gone, bool(about["refused"]), how.codes),
        "accepted": roubles(sumv - gone),
        "sanctions": sanctions,
        "withheld": roubles(gone) if sanctions else "",
        "idcase": about["idcase"],
    }
    new = {name: _elements(name, facts[what], how.encoding) for name, what in how.account.items()}
    return new | {name: [] for name in how.out}


def oplata(sumv: int, gone: int, refused: bool, codes: Codes) -> str:
    """Paid whole, not at all, or in part, as codes of the profile."""
    if (refused or gone > 0) and gone >= sumv:
        return codes.refused
    return codes.partly if gone else codes.accepted


def sanction(one: Mapping[str, Any], about: Mapping[str, Any], how: Marker) -> bytes:
    """One block of sanctions in the order of the layout."""
    numbers = {"stage": how.shared["stage"], "idcase": about["idcase"], "nth": one["nth"]}
    said = how.texts.rule(one["rule"]) if one["rule"] else how.texts.grounds.get(one["kod"])
    facts: dict[str, list[bytes] | str | list[str]] = {
        **how.shared,
        "code": how.code.format_map(numbers),
        "sum": roubles(int(one["s_sum"])),
        "control": one["tip"],
        "kod": one["kod"],
        "comment": said.title if said else "",
        "cases": one["cases"] or about["cases"],
    }
    parts: list[bytes] = []
    for name in how.sanction_order:
        value = facts.get(how.sanction.get(name, ""), "")
        values = [value] if isinstance(value, str) else value
        size = how.sizes[name]
        parts += [leaf(name, cut(text, size), how.encoding) for text in values if isinstance(text, str) and text]
    return group(how.sanction_name, b"".join(parts))


def cut(value: str, size: int) -> str:
    """A text that fits its element; what is longer is cut with a sign that it was."""
    return value if not size or len(value) <= size else value[: size - 1] + "…"


def _elements(name: str, value: list[bytes] | str, encoding: str) -> list[bytes]:
    if isinstance(value, str):
        return [leaf(name, value, encoding)] if value else []
    return value


def _find(raw: bytes, tag: str) -> tuple[int, int, bytes]:
    """The element of this name in the beginning of a record."""
    name = re.escape(tag.encode("ascii"))
    found = re.search(rb"<" + name + rb"(?:\s[^<>]*)?>.*?</" + name + rb"\s*>", raw, re.S)
    if found is None:
        raise Fault("a record has no patient before its first account")
    return found.start(), found.end(), found[0]
