"""What a federal answer says of one account: payment, accepted sum, sanctions, as elements of a layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from oms_batch.errors import SetupError
from oms_batch.formats.elements import Element
from oms_batch.model import roubles
from oms_batch.reply.answers import Ask
from oms_batch.reply.document import has_table
from oms_batch.reply.federal_shape import order, size
from oms_batch.reply.federal_tree import group, leaf
from oms_batch.reply.marks import Codes, Texts


@dataclass(frozen=True, slots=True)
class Marker:
    """What the marks of one answer share. ``account`` and ``sanction``: element → what it says; ``out``: what goes."""

    account: Mapping[str, str]
    out: tuple[str, ...]
    sanction: Mapping[str, str]
    order: tuple[str, ...]
    sanction_order: tuple[str, ...]
    sanction_name: str
    elements: Mapping[str, Element]
    code: str
    shared: Mapping[str, str]
    texts: Texts
    codes: Codes
    encoding: str
    needs_expert: Callable[[str], bool]


def marker(account: Element, sanction: Element, answers: Mapping[str, Any], ask: Ask) -> Marker:
    """How accounts are marked whose layout has these elements."""
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
        sanction.kids,
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
        answers["control"]["needs_expert"],
    )


def told(con: duckdb.DuckDBPyConnection) -> str:
    """SQL: ``n`` of each kept account, and ``account``: its sums, its sanctions and in which cases each was found."""
    none = "(SELECT NULL::BIGINT AS n, NULL::BIGINT AS z_sl_n, NULL::VARCHAR AS sl_id WHERE false)"
    cases = "sl" if has_table(con, "sl") else none
    return f"""SELECT a.n, {{
            'idcase': COALESCE(a.idcase, ''), 'sumv': a.sumv, 'gone': a.gone, 'refused': a.refused,
            'sanctions': COALESCE(s.sanctions, []), 'cases': COALESCE(c.cases, [])}} AS account
        FROM answer_account a
        LEFT JOIN (
            SELECT k.z_sl_n, list({{'nth': k.nth, 'rule': k.rule, 'kod': k.kod, 'tip': k.tip, 's_sum': k.s_sum,
                'act': k.act, 'day': k.act_day, 'expert': k.expert,
                'cases': COALESCE(h.cases, [])}} ORDER BY k.nth) AS sanctions
            FROM answer_sank k LEFT JOIN (
                SELECT h.z_sl_n, h.rule, list(DISTINCT s.sl_id ORDER BY s.sl_id) AS cases
                FROM answer_hit h JOIN {cases} s ON s.n = h.sl_n GROUP BY h.z_sl_n, h.rule
            ) h ON h.z_sl_n = k.z_sl_n AND h.rule = k.rule
            GROUP BY k.z_sl_n
        ) s ON s.z_sl_n = a.n
        LEFT JOIN (SELECT z_sl_n, list(sl_id ORDER BY n) AS cases FROM {cases} GROUP BY z_sl_n) c ON c.z_sl_n = a.n
        WHERE a.keep"""


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
    """One block of sanctions in the order of the layout; ``SetupError`` when its expert is demanded and not known."""
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
        "act": one["act"] or how.shared["act"],
        "day": one["day"] or how.shared["day"],
        "expert": one["expert"],
    }
    parts: list[bytes] = []
    for name in how.sanction_order:
        value = facts.get(how.sanction.get(name, ""), "")
        values = [value] if isinstance(value, str) else value
        fitting = [fitted(how.elements[name], text) for text in values if isinstance(text, str)]
        if how.sanction.get(name) == "expert" and not any(fitting) and how.needs_expert(str(one["tip"])):
            raise SetupError("an expertise of quality has no expert whose code its element can hold")
        parts += [leaf(name, text, how.encoding) for text in fitting if text]
    return group(how.sanction_name, b"".join(parts))


def fitted(one: Element, value: str) -> str:
    """A text that its element can hold: what is longer is cut, a code that need not be there is left out instead."""
    longest = size(one)
    if not longest or len(value) <= longest:
        return value
    if one.type == "text":
        return value[: longest - 1] + "…"
    return value[:longest] if one.least else ""


def _elements(name: str, value: list[bytes] | str, encoding: str) -> list[bytes]:
    if isinstance(value, str):
        return [leaf(name, value, encoding)] if value else []
    return value
