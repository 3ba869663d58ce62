"""The protocol of processing between funds (A): what the paying fund decided of each account, and nothing more.

Order 79, appendix Е: S_IST 2 in the protocol of a main part, 4 in that of a corrected part. It is made of the tables:
which element holds what is data (``[processing]`` of ``answers.toml`` and the layout of the version received).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, BinaryIO

import duckdb

from oms_batch.errors import Fault
from oms_batch.formats import federal_xml
from oms_batch.formats.elements import Element, Layout, nearest
from oms_batch.formats.members import name_of
from oms_batch.model import roubles
from oms_batch.reply.answers import Ask, OpenOut, Part
from oms_batch.reply.document import BATCH
from oms_batch.reply.federal_marks import fitted, oplata
from oms_batch.reply.federal_shape import load_answers
from oms_batch.reply.federal_tree import group, leaf

ENCODING = "windows-1251"
_Values = Mapping[str, Any]


def write(con: duckdb.DuckDBPyConnection, sources: Mapping[str, BinaryIO], open_out: OpenOut, ask: Ask) -> Part:
    """Write the protocol of the accounts for which ``ask.keep`` holds, record by record in document order.

    Needs ``register``, ``zap``, ``z_sl`` (with ``held``: what the issuing fund had withheld itself), ``sl`` and
    ``verdicts``. Claimed is what the issuing fund claims, accepted what is left of it after our sanctions.
    """
    how = load_answers(ask.profile.rules, ask.profile.id)["processing"]
    (member,) = ask.profile.members_of(ask.stage)
    layout = _layout(next(iter(sources.values())), ask, member.layout)
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE answer_account AS SELECT z_sl.n, z_sl.sumv - z_sl.held AS claimed,
            CAST(COALESCE(v.withheld, 0) - z_sl.held AS BIGINT) AS gone, v.refused, v.rule, v.kod
        FROM z_sl JOIN verdicts v ON v.z_sl_n = z_sl.n WHERE {ask.keep}"""
    )
    row = con.execute(
        """SELECT count(*), CAST(COALESCE(sum(claimed), 0) AS BIGINT), CAST(COALESCE(sum(gone), 0) AS BIGINT)
        FROM answer_account"""
    ).fetchone()
    if row is None:
        raise Fault("a protocol has no sums")
    accounts, claimed, gone = (int(value) for value in row)
    head = {"VERSION": layout.version, "DATA": ask.received_at.date(), **_one(con, how["head"])}
    bill = {**_one(con, how["bill"]), "SUMMAV": claimed, "SUMMAP": claimed - gone}
    bill |= {how["sum_of_bill"]: gone} if gone else {}
    with open_out(name_of(member, ask.told.parts)) as out:
        for piece in _document(con, layout, how, head, bill, ask):
            out.write(piece)
    return Part(accounts, claimed, claimed - gone)


def _layout(source: BinaryIO, ask: Ask, wanted: str) -> Layout:
    """The layout of the protocol: that of the version received, else of the nearest before it."""
    side = {**ask.told.parts, "layout": ask.profile.stages[ask.stage].layout}
    kind, _colon, direction = wanted.format_map(side).partition(":")
    rules, profile = ask.profile.rules, ask.profile.id
    said = federal_xml.sniff(source, tuple(ask.profile.data["encodings"]))
    version = next((said[path] for path in load_answers(rules, profile)["places"]["version"] if path in said), "")
    return nearest(rules, profile, kind, direction, version, ask.named.period)


def _one(con: duckdb.DuckDBPyConnection, columns: Mapping[str, str]) -> dict[str, Any]:
    row = con.execute(f"SELECT {', '.join(columns.values())} FROM register g").fetchone() or ()
    return dict(zip(columns, row, strict=True))


def _document(
    con: duckdb.DuckDBPyConnection, layout: Layout, how: Mapping[str, Any], head: _Values, bill: _Values, ask: Ask
) -> Iterator[bytes]:
    at = {
        what: next((layout.elements[path] for path in paths if path in layout.elements), None)
        for what, paths in how["places"].items()
    }
    root = layout.root.name.encode("ascii")
    yield b'<?xml version="1.0" encoding="windows-1251"?>\n<' + root + b">\n"
    for what, values in (("head", head), ("bill", bill)):
        yield _filled(_there(at, what), values) + b"\n"
    con.execute(_select(how))
    for _number, rows in groupby(_fetched(con), key=lambda row: row[0]):
        accounts = list(rows)
        _n, record, person, *_rest = accounts[0]
        blocks = [_account(at, row[3], row[4], row[5], how, ask) for row in accounts]
        inner = {_there(at, "person").name: [_filled(_there(at, "person"), person)]}
        yield _filled(_there(at, "record"), record, inner | {_there(at, "account").name: blocks}) + b"\n"
    yield b"</" + root + b">\n"


def _there(at: Mapping[str, Element | None], what: str) -> Element:
    found = at[what]
    if found is None:
        raise Fault(f"the layout of a protocol has no place for its {what}")
    return found


def _fetched(con: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := con.fetchmany(BATCH):
        yield from rows


def _select(how: Mapping[str, Any]) -> str:
    def struct(what: str) -> str:
        return "{" + ", ".join(f"'{name}': {sql}" for name, sql in how[what].items()) + "}"

    return f"""SELECT r.n, {struct("record")}, {struct("person")}, {struct("account")}, COALESCE(c.cases, []),
            {{'idcase': z.idcase, 'sumv': z.sumv, 'claimed': a.claimed, 'gone': a.gone, 'refused': a.refused,
            'rule': COALESCE(a.rule, ''), 'kod': COALESCE(a.kod, '')}}
        FROM answer_account a JOIN z_sl z ON z.n = a.n JOIN zap r ON r.n = z.up_n CROSS JOIN register g
            LEFT JOIN (SELECT s.z_sl_n, list({struct("case")} ORDER BY s.n) AS cases FROM sl s GROUP BY s.z_sl_n) c
                ON c.z_sl_n = z.n
        ORDER BY r.n, z.n"""


def _account(
    at: Mapping[str, Element | None],
    values: _Values,
    cases: Sequence[_Values],
    about: _Values,
    how: Mapping[str, Any],
    ask: Ask,
) -> bytes:
    """One account: as it was claimed, what is accepted of it, and the sanction of the paying fund."""
    account, case, sanction = _there(at, "account"), at["case"], _there(at, "sanction")
    sumv, gone = int(about["sumv"]), int(about["gone"])
    accepted = int(about["claimed"]) - gone
    told = {**values, "OPLATA": oplata(sumv, sumv - accepted, bool(about["refused"]), ask.codes), "SUMP": accepted}
    blocks: dict[str, list[bytes]] = {case.name: [_filled(case, one) for one in cases]} if case is not None else {}
    if gone or about["refused"]:
        told["SANK_IT"] = gone
        blocks[sanction.name] = [_sanction(sanction, about, cases, how, ask)]
    return _filled(account, told, blocks)


def _sanction(one: Element, about: _Values, cases: Sequence[_Values], how: Mapping[str, Any], ask: Ask) -> bytes:
    facts: dict[str, Any] = {
        "code": how["code"].format_map({"stage": ask.stage, "idcase": about["idcase"]}),
        "sum": int(about["gone"]),
        "control": how["control"],
        "cases": [case["SL_ID"] for case in cases],
        "kod": about["kod"],
        "day": ask.received_at.date(),
        "act": ask.told.stem,
        "comment": ask.texts.rule(about["rule"]).title,
        "source": how["source"][ask.stage],
    }
    return _filled(one, {name: facts[what] for name, what in how["sanction"].items()})


def _filled(one: Element, values: _Values, blocks: Mapping[str, Sequence[bytes]] | None = None) -> bytes:
    """An element with its children in the order of the layout: ready blocks, and leaves of the values known."""
    parts: list[bytes] = []
    for name, kid in one.kids.items():
        if blocks and name in blocks:
            parts += blocks[name]
            continue
        value = values.get(name)
        several = value if isinstance(value, list) else [value]
        texts = (fitted(kid, _text(kid, each)) for each in several if each is not None)
        parts += [leaf(name, text, ENCODING) for text in texts if text]
    return group(one.name, b"".join(parts))


def _text(one: Element, value: Any) -> str:
    return roubles(value) if one.type == "money" and isinstance(value, int) else str(value)
