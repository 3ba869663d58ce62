"""Registers with planted defects, and the findings that they must give: none missing, none extra."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from oms_batch.errors import SetupError
from oms_batch.exchange import Profile
from oms_batch.synth.defects import Defect, Site, apply, broken, catalogue, insured_rows, suits
from oms_batch.synth.numbers import enp, mix
from oms_batch.synth.people import Person, patient, person
from oms_batch.synth.register import TAIL, Visit, blocks, fillings, frame, head, visits
from oms_batch.synth.scenes import SLOT, Patterns, work_out
from oms_batch.synth.tree import Node, render
from oms_batch.synth.world import Spec, World, build


@dataclass(frozen=True, slots=True)
class Plan:
    """What to plant: ``each`` of every defect, or ``per_mille`` of the persons in rotation.

    ``names`` narrows the catalogue; ``earlier`` is the order of a register billed before (same seed, same year):
    without it the defects that need history are left out.
    """

    side: str = "fund"
    each: int = 1
    per_mille: int = 0
    names: tuple[str, ...] = ()
    earlier: Spec | None = None


@dataclass(frozen=True, slots=True)
class Planted:
    """A register as blocks of bytes, and what its receiver must find in it (JSON-ready)."""

    blocks: Iterator[bytes]
    expected: dict[str, Any]


@dataclass
class _Field:
    """The state of one pass over the register: what is left to plant, and the material."""

    world: World
    patterns: Patterns
    plan: Plan
    defects: list[Defect]
    left: Counter[str] = field(default_factory=Counter)
    turn: int = 0


def plant(profile: Profile, spec: Spec, plan: Plan) -> Planted:
    """A register with defects. ``SetupError`` when the register is too small to hold what was asked for.

    ``expected`` holds ``accounts`` (xkey → rows of rule, severity, count), ``by_rule``, ``refused`` and ``register``
    (accounts, kopecks), ``planted`` (xkey → name of the defect), ``earlier`` (xkey → state that an account of the
    register billed before must have had), ``insured`` (what differs in the register of the insured).
    """
    world = build(profile, spec)
    patterns = work_out(world)
    expected, parts = _survey(world, patterns, plan)
    return Planted(blocks(_write(world, patterns, plan, parts), spec.encoding), expected)


def _field(world: World, patterns: Patterns, plan: Plan) -> _Field:
    sides = (plan.side,) if plan.side == "final" else (plan.side, "both")
    chosen = [one for one in catalogue(world.profile) if one.side in sides]
    chosen = [one for one in chosen if plan.earlier is not None or not one.earlier]
    if plan.names:
        chosen = [one for one in chosen if one.name in plan.names]
    left: Counter[str] = Counter()
    if not plan.per_mille:  # the choosiest first, so that a small register has room for all
        chosen.sort(key=lambda one: -len(one.fits))
        left.update({one.name: plan.each for one in chosen})
    return _Field(world, patterns, plan, chosen, left)


def _walk(ground: _Field) -> Iterator[tuple[int, list[Visit], Site | None, Defect | None]]:
    """Persons with their accounts; a site and its defect where one is planted, not yet applied."""
    fill = fillings(ground.world)
    former = _former(ground)
    for who, rows in visits(ground.world, ground.patterns):
        found = None
        if _wanted(ground, who):
            found = _try(ground, person(ground.world, who), rows, fill, former)
        yield (who, rows, *(found or (None, None)))


def _wanted(ground: _Field, who: int) -> bool:
    if ground.plan.per_mille:
        return mix(ground.world.start ^ (who * 31 + 17)) % 1000 < ground.plan.per_mille
    return ground.left.total() > 0


def _former(ground: _Field) -> Any:
    """A function that gives a person's accounts of the earlier register; ``None`` without one."""
    if ground.plan.earlier is None:
        return None
    world = build(ground.world.profile, ground.plan.earlier)
    patterns, fill = work_out(world), fillings(world)
    stream = visits(world, patterns)
    held: dict[int, list[Node]] = {}

    def give(who: int) -> list[Node]:
        while who not in held:
            found = next(stream, None)
            if found is None:
                return []
            if found[0] == who:
                held.clear()
                held[who] = [visit.pattern.node.copy(_filler(fill(visit))) for visit in found[1]]
        return held[who]

    return give


def _filler(values: dict[str, str]) -> Any:
    return lambda text: text % values


def _staged(ground: _Field, person_: Person, rows: list[Visit], scenes: tuple[str, ...]) -> list[Visit]:
    """The same visits, with patterns of the register types that a defect asks for; none when that cannot be."""
    if not scenes:
        return rows
    if len(scenes) != len(rows):
        return []
    staged: list[Visit] = []
    for visit, vg in zip(rows, scenes, strict=True):
        pools = ground.patterns.first
        fit = [one for one in pools[person_.child, person_.male] if one.node.attributes["vg"] == vg]
        fit = fit or [one for pool in pools.values() for one in pool if one.node.attributes["vg"] == vg]
        staged.append(Visit(visit.ordinal, fit[person_.draw % len(fit)], SLOT * len(staged) + 1))
    return staged


def _try(ground: _Field, one: Person, rows: list[Visit], fill: Any, former: Any) -> tuple[Site, Defect] | None:
    earlier = former(one.ordinal) if former else []
    turn = mix(one.draw + 3) % len(rows)
    order = ground.defects
    for step in range(len(order)):
        defect = order[(ground.turn * bool(ground.plan.per_mille) + step) % len(order)]
        if not ground.plan.per_mille and not ground.left[defect.name]:
            continue
        staged = _staged(ground, one, rows, defect.scenes)
        nodes = [visit.pattern.node.copy(_filler(fill(visit))) for visit in staged]
        at = int(defect.fits["turn"]) - 1 if "turn" in defect.fits else turn
        if at >= len(nodes) or (defect.unit == "person" and len(nodes) > 1) or (defect.earlier and at >= len(earlier)):
            continue
        others = [node for place, node in enumerate(nodes) if place != at]
        whole = patient(ground.world, one, nodes)
        site = Site(whole, nodes[at], others, _values(ground.world, one, nodes[at], nodes[0], at))
        site.former = earlier[at] if at < len(earlier) else None
        site.values["former_key"] = site.former.attributes["xkey"] if site.former else ""
        if suits(defect, site):
            ground.left[defect.name] -= not ground.plan.per_mille
            ground.turn += step + 1
            return site, defect
    return None


def _values(world: World, one: Person, account: Node, first: Node, at: int) -> dict[str, str]:
    stranger = person(world, one.ordinal + 3_000_000)
    later = [payer for payer in world.profile.payers if payer.kind != "fund" and payer.ogrn != one.ogrn_smo]
    return {
        "turn": str(at + 1),
        "previous_code": f"{one.ordinal:09d}",
        "first_start": first.attributes["curestart"],
        "first_end": first.attributes["cureend"],
        "first_key": first.attributes["xkey"],
        "first_position": first.attributes["n_pp"],
        "d1": account.attributes["curestart"],
        "d2": account.attributes["cureend"],
        "first": world.first.isoformat(),
        "last": world.last.isoformat(),
        "born": one.born.isoformat(),
        "begin": one.begin.isoformat(),
        "own": "1" if one.smo else "0",
        "child": "1" if one.child else "0",
        "sex": "1" if one.male else "2",
        "other_sex": "2" if one.male else "1",
        "age": str(world.first.year - one.born.year),
        "enp": stranger.enp,
        "own_enp": one.enp,
        "enp_namesake": enp(one.region, one.born, one.male, (one.ordinal + 50001) % 100000),
        "enp_namesake_2": enp(one.region, one.born, one.male, (one.ordinal + 50002) % 100000),
        "snils_third": person(world, one.ordinal + 3_100_000).snils,
        "smo_other": later[0].smo,
        "enp_broken": broken(one.enp),
        "snils": stranger.snils,
        "snils_broken": one.snils[:-2] + f"{(int(one.snils[-2:]) + 1) % 97:02d}",
        "fam": stranger.fam,
        "im": stranger.im,
        "ogrn_other": later[0].ogrn,
        "fund": world.fund.ogrn,
        "mo": world.ogrn_mo,
        "key": account.attributes["xkey"][:23],
    }


def claimed(account: Node) -> dict[str, int]:
    """Kopecks claimed by an account per part, as its document says; what is no sum counts nothing."""
    found: dict[str, int] = {}
    for elem in account.all("sum/elem"):
        text = elem.attributes.get("suml", "")
        whole, dot, rest = text.partition(".")
        if whole.isdigit() and len(rest) <= 2 and (not dot or rest.isdigit()):
            kind = elem.attributes.get("type_acc", "")
            found[kind] = found.get(kind, 0) + int(whole) * 100 + int(rest.ljust(2, "0") or "0")
    return found


def _survey(world: World, patterns: Patterns, plan: Plan) -> tuple[dict[str, Any], Counter[str]]:
    ground = _field(world, patterns, plan)
    accounts: dict[str, list[dict[str, Any]]] = {}
    planted: dict[str, str] = {}
    earlier: dict[str, str] = {}
    differ: dict[str, list[dict[str, str]]] = {}
    by_rule: Counter[str] = Counter()
    parts: Counter[str] = Counter()
    refused = kopecks = count = 0
    for _, rows, site, defect in _walk(ground):
        own = Counter({"1": sum(one.pattern.base for one in rows), "2": sum(one.pattern.extra for one in rows)})
        count += len(rows)
        if site is not None and defect is not None:
            apply(defect, site)
            now = claimed(site.account)
            own = sum((Counter(claimed(node)) for node in site.others), Counter(now))
            key = site.account.attributes.get("xkey", "")
            accounts[key] = [
                {"rule": code, "severity": severity, "count": times} for code, severity, times in defect.gives
            ]
            if defect.state and site.former is not None:
                earlier[site.former.attributes["xkey"]] = defect.state
            if (changed := insured_rows(defect, site)) is not None:
                differ[site.values["own_enp"]] = changed
            planted[key] = defect.name
            by_rule.update({code: times for code, _, times in defect.gives})
            if defect.rejects:
                refused += 1
                kopecks += sum(now.values())
        parts.update(own)
    if missing := sorted(name for name, times in ground.left.items() if times):
        raise SetupError(f"synth: no room to plant {', '.join(missing)}")
    return {
        "side": plan.side,
        "accounts": accounts,
        "planted": planted,
        "earlier": earlier,
        "insured": differ,
        "by_rule": dict(sorted(by_rule.items())),
        "refused": {"accounts": refused, "kopecks": str(kopecks)},
        "register": {"accounts": count, "kopecks": str(parts.total()), "period": world.period},
    }, +parts


def _write(world: World, patterns: Patterns, plan: Plan, parts: Counter[str]) -> Iterator[str]:
    yield head(world, parts)
    fill = fillings(world)
    for who, rows, site, defect in _walk(_field(world, patterns, plan)):
        if site is not None and defect is not None:
            apply(defect, site)
            yield render(site.patient, "  ")
            continue
        before, after = frame(world, person(world, who))
        yield before
        for visit in rows:
            yield visit.pattern.text % fill(visit)
        yield after
    yield TAIL
