"""The answer of the federal form: the received main and persons' documents with accounts left out and marks put in.

Order 79, tables Д: what a fund or an insurer fills in of H, C, T, D (OPLATA, SUMP, SANK, SANK_IT, sums of the
bill). Which element says what is data (``answers.toml``); where it stands, and what there is, is the layout's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, BinaryIO

import duckdb

from oms_batch.errors import Fault
from oms_batch.exchange import Member
from oms_batch.formats import federal_xml, strict
from oms_batch.formats.elements import Layout, nearest
from oms_batch.formats.members import name_of
from oms_batch.model import NamedFile, roubles
from oms_batch.reply import federal_accounts, federal_edits
from oms_batch.reply.answers import Ask, OpenOut, Part
from oms_batch.reply.federal_shape import load_answers, order, place
from oms_batch.reply.federal_tree import content, inside, leaf, put
from oms_batch.reply.splice import Edit, bytes_of, splice

MAIN, PERSONS = "main", "persons"
_Spots = Mapping[str, tuple[int, int]]


def write(con: duckdb.DuckDBPyConnection, sources: Mapping[str, BinaryIO], open_out: OpenOut, ask: Ask) -> Part:
    """Write one answer: the received documents without the accounts that are not kept, byte for byte otherwise.

    ``sources``: the main document and, where there was one, that of the persons, seekable; their offsets are in
    ``spot``, ``zap``, ``z_sl``, ``l_pers``. With ``mark`` each kept account says what is paid and why not more, and
    a patient whose insurer was found names him; sums of the bill are made anew. Raises ``Fault`` where offsets do
    not hold, ``SetupError`` where the profile has no layout for the answer or no kind of control for a refusal.
    """
    answers = load_answers(ask.profile.rules, ask.profile.id)
    spots = {what: (int(start), int(end)) for what, start, end in con.execute("FROM spot").fetchall()}
    names = {one.role: _stem(name_of(one, ask.told.parts)) for one in ask.profile.members_of(ask.stage)}
    main = sources[MAIN]
    layout = layout_of(main, ask, MAIN)
    day = ask.received_at.date()
    sums = federal_accounts.prepare(
        con,
        ask.keep,
        mark=ask.mark,
        texts=ask.texts,
        answers=answers,
        layout=layout,
        final=ask.profile.data.get("final", {}),
        day=day,
    )
    facts: dict[str, tuple[str, bool]] = {  # what it says, and whether it is put in where it was not
        "name": (names[MAIN], True),
        "persons_name": (names.get(PERSONS, ""), True),
        "accounts": (str(sums.accounts), True),
        "claimed": (roubles(sums.claimed), True),
        "accepted": (roubles(sums.accepted), ask.mark),
    }
    facts |= {what: (roubles(taken), ask.mark and taken > 0) for what, taken in sums.taken.items()}
    if ask.mark or names[MAIN] != ask.named.stem:
        facts["day"] = (day.isoformat(), True)
    if ask.payer is not None:
        facts["payer"] = (ask.payer.smo or ask.payer.code, True)

    with open_out(name_of(_member(ask, MAIN), ask.told.parts)) as out:
        splice(main, _main(con, main, spots, layout, answers, facts, ask), out)
    if PERSONS in sources:
        source = sources[PERSONS]
        of_persons = layout_of(source, ask, PERSONS)
        with open_out(name_of(_member(ask, PERSONS), ask.told.parts)) as out:
            splice(source, _persons(con, source, spots, of_persons, answers, facts, ask), out)
    return Part(sums.accounts, sums.claimed, sums.accepted)


def layout_of(source: BinaryIO, ask: Ask, role: str) -> Layout:
    """The layout that this member of the answer has, by the version and period that the received document says."""
    return _layout(source, ask, ask.told, _member(ask, role))


def received_layout(source: BinaryIO, ask: Ask, role: str) -> Layout:
    """The layout that the received document has."""
    return _layout(source, ask, ask.named, next(one for one in ask.profile.members if one.role == role))


def _layout(source: BinaryIO, ask: Ask, name: NamedFile, member: Member) -> Layout:
    said = federal_xml.sniff(source, tuple(ask.profile.data["encodings"]))
    side = {"layout": ask.profile.stages[name.stage].layout}
    kind, _colon, direction = member.layout.format_map({**name.parts, **side}).partition(":")
    rules, profile = ask.profile.rules, ask.profile.id
    version = next((said[path] for path in load_answers(rules, profile)["places"]["version"] if path in said), "")
    return nearest(rules, profile, kind, direction, version, _period(said) or ask.named.period)


def _period(said: Mapping[str, str]) -> str:
    """The month of the bill as the document says it; empty where it does not."""
    year, month = (
        next((text for path, text in said.items() if path.endswith(one)), "") for one in ("SCHET/YEAR", "SCHET/MONTH")
    )
    return f"{year}-{month:0>2}" if re.fullmatch(r"\d{4}/\d{1,2}", f"{year}/{month}", re.ASCII) else ""


def _member(ask: Ask, role: str) -> Member:
    found = next((one for one in ask.profile.members_of(ask.stage) if one.role == role), None)
    if found is None:
        raise Fault(f"a file of stage {ask.stage} has no member {role}")
    return found


def _encoding(source: BinaryIO, ask: Ask) -> str:
    source.seek(0)
    return strict.encoding_of(source.read(strict.HEAD), tuple(ask.profile.data["encodings"]))


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _main(
    con: duckdb.DuckDBPyConnection,
    source: BinaryIO,
    spots: _Spots,
    layout: Layout,
    answers: Mapping[str, Any],
    facts: Mapping[str, tuple[str, bool]],
    ask: Ask,
) -> Iterator[Edit]:
    for spot, what in (("zglv", "head"), ("schet", "bill")):
        sequence = order(place(layout, answers["places"][what]))
        yield from head_edit(source, spots[spot], sequence, answers[what], facts, _encoding(source, ask))
    yield from federal_edits.records(con, source, spots["list"][0], layout, answers, ask)


def _persons(
    con: duckdb.DuckDBPyConnection,
    source: BinaryIO,
    spots: _Spots,
    layout: Layout,
    answers: Mapping[str, Any],
    facts: Mapping[str, tuple[str, bool]],
    ask: Ask,
) -> Iterator[Edit]:
    sequence = order(place(layout, answers["places"]["persons_head"]))
    yield from head_edit(source, spots["l_zglv"], sequence, answers["persons_head"], facts, _encoding(source, ask))
    yield from federal_edits.persons(con, source, spots["l_list"][0])


def head_edit(
    source: BinaryIO,
    spot: tuple[int, int],
    sequence: tuple[str, ...],
    told: Mapping[str, str],
    facts: Mapping[str, tuple[str, bool]],
    encoding: str,
) -> Iterator[Edit]:
    """The change of a head, if anything of it changes; a sum written another way but equal stays as it was sent."""
    raw = bytes_of(source, *spot)
    said = {child.name.decode("ascii"): content(raw, child, encoding) for child in inside(raw)}
    new: dict[str, list[bytes]] = {}
    for name, what in told.items():
        value, wanted = facts.get(what, ("", False))
        if value and name in sequence and (not _same(said[name], value) if name in said else wanted):
            new[name] = [leaf(name, value, encoding)]
    if new:
        yield Edit(*spot, put(raw, new, sequence))


def _same(one: str, two: str) -> bool:
    if one == two:
        return True
    if not re.fullmatch(r"\d+(\.\d+)?", two):
        return False
    try:
        return Decimal(one) == Decimal(two)
    except InvalidOperation:
        return False
