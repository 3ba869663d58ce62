"""The protocol of medical-economic control (A): what was decided of each account, without repeating the register.

Regulation of one region, 2018-2022. It is made of the tables: which element holds which column, and what it is
called, is data (``[mek]`` of ``answers.toml`` and the layout).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import duckdb

from oms_batch.formats.elements import Element, Layout, nearest
from oms_batch.formats.members import name_of
from oms_batch.model import roubles
from oms_batch.reply import federal_accounts
from oms_batch.reply.answers import Ask, OpenOut, Part
from oms_batch.reply.document import BATCH
from oms_batch.reply.federal import MAIN, received_layout
from oms_batch.reply.federal_marks import Marker, fitted, marker, marks, told
from oms_batch.reply.federal_shape import load_answers
from oms_batch.reply.federal_tree import group, leaf

ENCODING = "windows-1251"


def write(con: duckdb.DuckDBPyConnection, sources: Mapping[str, BinaryIO], open_out: OpenOut, ask: Ask) -> Part:
    """Write the protocol of the accounts for which ``ask.keep`` holds, one record per account in document order."""
    rules, profile = ask.profile.rules, ask.profile.id
    answers = load_answers(rules, profile)
    (member,) = ask.profile.members_of(ask.stage)
    kind, _colon, side = member.layout.format_map(
        {**ask.told.parts, "layout": ask.profile.stages[ask.stage].layout}
    ).partition(":")
    layout = nearest(rules, profile, kind, side, "", ask.named.period)
    day = ask.received_at.date()
    sums = federal_accounts.prepare(
        con,
        ask.keep,
        mark=True,
        texts=ask.texts,
        answers=answers,
        layout=received_layout(sources[MAIN], ask, MAIN),
        final=ask.profile.data.get("final", {}),
        day=day,
    )
    facts = _register(con, answers["mek"]["register"]) | {
        "version": layout.version,
        "day": day.isoformat(),
        "name": ask.told.stem,
        "claimed": roubles(sums.claimed),
        "accepted": roubles(sums.accepted),
        "accept": answers["mek"]["accept"],
        **{what: roubles(taken) for what, taken in sums.taken.items()},
    }
    with open_out(name_of(member, ask.told.parts)) as out:
        for piece in _document(con, layout, answers, facts, ask):
            out.write(piece)
    return Part(sums.accounts, sums.claimed, sums.accepted)


def _register(con: duckdb.DuckDBPyConnection, columns: Mapping[str, str]) -> dict[str, str]:
    listed = ", ".join(f"CAST({sql} AS VARCHAR)" for sql in columns.values())
    row = con.execute(f"SELECT {listed} FROM register g").fetchone() or ()
    return {name: str(value) for name, value in zip(columns, row, strict=True) if value is not None}


def _document(
    con: duckdb.DuckDBPyConnection, layout: Layout, answers: Mapping[str, Any], facts: Mapping[str, str], ask: Ask
) -> Iterator[bytes]:
    mek = answers["mek"]
    at = {what: layout.elements[path] for what, path in mek["places"].items()}
    root = layout.root.name.encode("ascii")
    yield b'<?xml version="1.0" encoding="windows-1251"?>\n<' + root + b">\n"
    for what in ("head", "bill"):
        values = {name: facts.get(fact, "") for name, fact in mek[what].items()}
        yield _filled(at[what], values) + b"\n"
    how = marker(at["account"], at["sanction"], answers, ask)
    con.execute(_select(con, mek))
    while rows := con.fetchmany(BATCH):
        for record, person, account, cases, about in rows:
            yield _record(at, record, person, account, cases, about, how) + b"\n"
    yield b"</" + root + b">\n"


def _select(con: duckdb.DuckDBPyConnection, mek: Mapping[str, Any]) -> str:
    def struct(what: str) -> str:
        return "{" + ", ".join(f"'{name}': {sql}" for name, sql in mek[what].items()) + "}"

    return f"""SELECT {struct("record")}, {struct("person")}, {struct("account")}, COALESCE(c.cases, []), t.account
        FROM ({told(con)}) t JOIN z_sl z ON z.n = t.n ASOF JOIN zap r ON z.byte_from >= r.byte_from
            LEFT JOIN (SELECT s.z_sl_n, list({struct("case")} ORDER BY s.n) AS cases FROM sl s GROUP BY s.z_sl_n) c
                ON c.z_sl_n = z.n
        ORDER BY z.n"""


def _record(
    at: Mapping[str, Element],
    record: Mapping[str, Any],
    person: Mapping[str, Any],
    account: Mapping[str, Any],
    cases: list[Mapping[str, Any]],
    about: Mapping[str, Any],
    how: Marker,
) -> bytes:
    blocks = {at["case"].name: [_filled(at["case"], one) for one in cases], **marks(about, how)}
    inner = {
        at["person"].name: [_filled(at["person"], person)],
        at["account"].name: [_filled(at["account"], account, blocks)],
    }
    return _filled(at["record"], record, inner)


def _filled(one: Element, values: Mapping[str, Any], blocks: Mapping[str, list[bytes]] | None = None) -> bytes:
    """An element with its children in the order of the layout: ready blocks, and leaves of the values known."""
    parts: list[bytes] = []
    for name, kid in one.kids.items():
        if blocks and name in blocks:
            parts += blocks[name]
        elif values.get(name) not in (None, ""):
            parts.append(leaf(name, _text(kid, values[name]), ENCODING))
    return group(one.name, b"".join(parts))


def _text(one: Element, value: Any) -> str:
    if one.type == "money" and isinstance(value, int):
        return roubles(value)
    return fitted(one, str(value))
