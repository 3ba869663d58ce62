"""Registers between funds: a main part (R) and a corrected part (D) of accounts that were refused, as streams of bytes.

The same persons and ways of being treated as in any other register; the persons stand in the records themselves.
Origin of the format: order 79 of 07.04.2011, appendix Е.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from oms_batch.exchange import Profile
from oms_batch.model import roubles
from oms_batch.synth.federal import TAIL, Ground, pacient, prepare, special
from oms_batch.synth.federal_shape import grow, write
from oms_batch.synth.insured import Changes
from oms_batch.synth.numbers import base, mix
from oms_batch.synth.people import Person, person
from oms_batch.synth.register import Visit, blocks, fillings, visits
from oms_batch.synth.tree import Node
from oms_batch.synth.world import Spec, World

MAIN, CORRECTED = "R", "D"
NO_PROFILE = "999"


@dataclass(frozen=True, slots=True)
class Part:
    """A document: bytes in blocks, name without extension, accounts, kopecks billed and claimed."""

    name: str
    document: Iterator[bytes]
    accounts: int
    billed: int
    claimed: int


@dataclass(frozen=True, slots=True)
class Order:
    """What a part is made of beside its spec.

    ``held``: ordinal of an account (from 0) → kopecks that the issuing fund withholds from the organisation itself.
    ``spoiled``: ordinals of accounts with a profile of care that does not exist, which the payer refuses.
    ``earlier`` and ``ordinals``: the main part whose accounts go once more, and which of them; then it is a D.
    """

    held: Mapping[int, int] = field(default_factory=dict)
    spoiled: Sequence[int] = ()
    earlier: Spec | None = None
    ordinals: Sequence[int] = ()


def part(profile: Profile, spec: Spec, order: Order | None = None) -> Part:
    """A valid R, or the D of an earlier one; memory does not grow with the number of accounts."""
    order = order or Order()
    ground = prepare(profile, spec)
    source = prepare(profile, order.earlier) if order.earlier is not None else ground
    rows = [visit for _who, found in _chosen(source, order) for visit in found]
    billed = sum(visit.pattern.base for visit in rows)
    held = sum(order.held.get(visit.ordinal, 0) for visit in rows)
    text = _document(ground, source, order, billed, held)
    name = name_of(ground.world, CORRECTED if order.earlier is not None else MAIN)
    return Part(name, blocks(text, spec.encoding), len(rows), billed, billed - held)


def name_of(world: World, letter: str) -> str:
    """The name of a part: codes of both funds, year, number."""
    (payer,) = world.payers
    return f"{letter}{world.defaults['fund']}{payer}{world.first:%y}{int(world.number):04d}"


def strangers(profile: Profile, spec: Spec, every: int) -> tuple[Changes, tuple[int, ...]]:
    """Every n-th person is unknown to the paying fund: the change of its insured, the ordinals of their accounts."""
    ground = prepare(profile, spec)
    changes: dict[str, list[Mapping[str, str]]] = {}
    ordinals: list[int] = []
    for place, (who, rows) in enumerate(visits(ground.world, ground.patterns)):
        if place % every == every - 1:
            changes[person(ground.world, who).enp] = []
            ordinals += [visit.ordinal for visit in rows]
    return changes, tuple(ordinals)


def share(spec: Spec, per_mille: int, salt: int) -> tuple[int, ...]:
    """About so many of a thousand accounts of a spec, the same for the same seed."""
    start = base(spec.seed) + salt
    return tuple(one for one in range(spec.accounts) if mix(start + one * 7919) % 1000 < per_mille)


def _chosen(source: Ground, order: Order) -> Iterator[tuple[int, list[Visit]]]:
    wanted = frozenset(order.ordinals)
    for who, rows in visits(source.world, source.patterns):
        found = [visit for visit in rows if order.earlier is None or visit.ordinal in wanted]
        if found:
            yield who, found


def _document(ground: Ground, source: Ground, order: Order, billed: int, held: int) -> Iterator[str]:
    world, bill = ground.world, source.world
    (payer,) = world.payers.values()
    values = {"version": str(source.file["version"]), "made": world.last.isoformat(), "code": ground.code}
    values |= {"from": str(world.defaults["okato_fund"]), "to": str(world.data["okato"][payer.code])}
    values |= {"year": str(bill.first.year), "month": str(bill.first.month), "billed": bill.last.isoformat()}
    values |= {"nschet": f"{world.defaults['fund']}-{bill.first:%y%m}-{bill.number}"}
    values |= {"sum": roubles(billed), "claimed": roubles(billed - held), "held": roubles(held) if held else ""}
    shape = source.shapes["ZL_LIST"]
    text = write(grow(shape, values), shape)
    yield '<?xml version="1.0" encoding="windows-1251"?>\n' + text[: text.rindex("</")]
    fill = fillings(bill)
    for who, rows in _chosen(source, order):
        one = person(bill, who)
        for visit in rows:
            node = _record(source, one, visit, fill(visit), order)
            yield write(node, source.shapes["ZAP"], " ")
    yield TAIL


def _record(source: Ground, one: Person, visit: Visit, values: Mapping[str, str], order: Order) -> Node:
    """ZAP with PACIENT and the account; its numbers are those of the main part."""
    account = special(visit.pattern.node.copy(lambda text: text % values), one)
    held = order.held.get(visit.ordinal, 0)
    if visit.ordinal in order.spoiled:
        for node in (account, *(one for one in account.children if one.tag == "SL")):
            if "PROFIL" in node.attributes:
                node.attributes["PROFIL"] = NO_PROFILE
    if held:
        left, all_of_it = visit.pattern.base - held, held >= visit.pattern.base
        account.attributes |= {"OPLATA": "2" if all_of_it else "3", "SUMP": roubles(left), "SANK_IT": roubles(held)}
        told: dict[str, Any] = {"nth": f"F-{values['n']}", "held": roubles(held), "case": f"{values['n']}-1"}
        told |= {"day": source.world.last.isoformat(), "act": "1", "source": "3" if order.earlier is not None else "1"}
        told |= {name: str(value) for name, value in source.world.data["sanction"].items()}
        account.children.append(grow(source.shapes["SANK"], told))
    return Node("ZAP", {"N_ZAP": values["n"]}, [pacient(source, one), account])
