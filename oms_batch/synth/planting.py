"""Registers with planted defects, and the findings that they must give: none missing, none extra."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from oms_batch.errors import SetupError
from oms_batch.exchange import Profile
from oms_batch.synth.defects import Defect, Dialect, Site, apply, broken, catalogue, insured_rows, suits
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


@dataclass(frozen=True, slots=True)
class Form:
    """A wire format as planting sees it: how persons and accounts become trees, where keys and sums stand.

    ``key`` is how the exchange knows an account; ``scene`` tells whether a pattern is of a register type; ``values``
    are places for defects that only the format knows, from the account and the person's first account; ``kind`` is
    the kind of file that defects may ask for.
    """

    patterns: Callable[[World], Patterns]
    accounts: Callable[[World], Callable[[Person, Visit], Node]]
    whole: Callable[[World, Person, list[Node]], Node]
    key: Callable[[World, Node], str]
    scene: Callable[[Node, str], bool]
    claimed: Callable[[Node], dict[str, int]]
    values: Callable[[World, Node, Node], dict[str, str]]
    dialect: Dialect
    kind: str = ""


@dataclass
class Field:
    """The state of one pass over the register: what is left to plant, and the material."""

    form: Form
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
    expected, parts = survey(ground(REESTR, world, patterns, plan))
    return Planted(blocks(_write(world, patterns, plan, parts), spec.encoding), expected)


def ground(form: Form, world: World, patterns: Patterns, plan: Plan) -> Field:
    """A fresh pass: everything is left to plant."""
    sides = (plan.side,) if plan.side == "final" else (plan.side, "both")
    chosen = [one for one in catalogue(world.profile) if one.side in sides]
    chosen = [one for one in chosen if plan.earlier is not None or not one.earlier]
    chosen = [one for one in chosen if not one.kinds or form.kind in one.kinds]
    if plan.names:
        chosen = [one for one in chosen if one.name in plan.names]
    left: Counter[str] = Counter()
    if not plan.per_mille:  # the choosiest first, so that a small register has room for all
        chosen.sort(key=lambda one: -len(one.fits))
        left.update({one.name: plan.each for one in chosen})
    return Field(form, world, patterns, plan, chosen, left)


def walk(field_: Field) -> Iterator[tuple[int, list[Visit], Site | None, Defect | None]]:
    """Persons with their accounts; a site and its defect where one is planted, not yet applied."""
    former, account = _former(field_), field_.form.accounts(field_.world)
    for who, rows in visits(field_.world, field_.patterns):
        found = None
        if _wanted(field_, who):
            found = _try(field_, person(field_.world, who), rows, account, former)
        yield (who, rows, *(found or (None, None)))


def _wanted(field_: Field, who: int) -> bool:
    if field_.plan.per_mille:
        return mix(field_.world.start ^ (who * 31 + 17)) % 1000 < field_.plan.per_mille
    return field_.left.total() > 0


def _former(field_: Field) -> Any:
    """A function that gives a person's accounts of the earlier register with their keys; ``None`` without one."""
    if field_.plan.earlier is None:
        return None
    form, world = field_.form, build(field_.world.profile, field_.plan.earlier)
    stream, account = visits(world, form.patterns(world)), form.accounts(world)
    held: dict[int, list[tuple[Node, str]]] = {}

    def give(one: Person) -> list[tuple[Node, str]]:
        while one.ordinal not in held:
            found = next(stream, None)
            if found is None:
                return []
            if found[0] == one.ordinal:
                held.clear()
                nodes = [account(one, visit) for visit in found[1]]
                held[one.ordinal] = [(node, form.key(world, node)) for node in nodes]
        return held[one.ordinal]

    return give


def _staged(field_: Field, person_: Person, rows: list[Visit], scenes: tuple[str, ...]) -> list[Visit]:
    """The same visits, with patterns of the register types that a defect asks for; none when that cannot be."""
    if not scenes:
        return rows
    if len(scenes) != len(rows):
        return []
    staged: list[Visit] = []
    for visit, scene in zip(rows, scenes, strict=True):
        pools = field_.patterns.first
        fit = [one for one in pools[person_.child, person_.male] if field_.form.scene(one.node, scene)]
        fit = fit or [one for pool in pools.values() for one in pool if field_.form.scene(one.node, scene)]
        staged.append(Visit(visit.ordinal, fit[person_.draw % len(fit)], SLOT * len(staged) + 1))
    return staged


def _try(field_: Field, one: Person, rows: list[Visit], account: Any, former: Any) -> tuple[Site, Defect] | None:
    form, world, plan = field_.form, field_.world, field_.plan
    earlier = former(one) if former else []
    turn = mix(one.draw + 3) % len(rows)
    order = field_.defects
    for step in range(len(order)):
        defect = order[(field_.turn * bool(plan.per_mille) + step) % len(order)]
        if not plan.per_mille and not field_.left[defect.name]:
            continue
        nodes = [account(one, visit) for visit in _staged(field_, one, rows, defect.scenes)]
        at = int(defect.fits["turn"]) - 1 if "turn" in defect.fits else turn
        if at >= len(nodes) or (defect.unit == "person" and len(nodes) > 1) or (defect.earlier and at >= len(earlier)):
            continue
        others = [node for place, node in enumerate(nodes) if place != at]
        values = _values(world, one, at) | form.values(world, nodes[at], nodes[0])
        site = Site(form.whole(world, one, nodes), nodes[at], others, values, dialect=form.dialect)
        site.former, former_key = earlier[at] if at < len(earlier) else (None, "")
        site.values["former_key"] = former_key
        if suits(defect, site):
            field_.left[defect.name] -= not plan.per_mille
            field_.turn += step + 1
            return site, defect
    return None


def _values(world: World, one: Person, at: int) -> dict[str, str]:
    stranger = person(world, one.ordinal + 3_000_000)
    later = [payer for payer in world.profile.payers if payer.kind != "fund" and payer.ogrn != one.ogrn_smo]
    return {
        "turn": str(at + 1),
        "previous_code": f"{one.ordinal:09d}",
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
    }


def _accounts(world: World) -> Callable[[Person, Visit], Node]:
    fill = fillings(world)

    def account(_one: Person, visit: Visit) -> Node:
        values = fill(visit)
        return visit.pattern.node.copy(lambda text: text % values)

    return account


def _account_values(_world: World, account: Node, first: Node) -> dict[str, str]:
    return {
        "first_start": first.attributes["curestart"],
        "first_end": first.attributes["cureend"],
        "first_key": first.attributes["xkey"],
        "first_position": first.attributes["n_pp"],
        "d1": account.attributes["curestart"],
        "d2": account.attributes["cureend"],
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


REESTR = Form(
    work_out,
    _accounts,
    patient,
    lambda _world, account: account.attributes.get("xkey", ""),
    lambda pattern, vg: pattern.attributes["vg"] == vg,
    claimed,
    _account_values,
    Dialect(),
)


def survey(field_: Field) -> tuple[dict[str, Any], Counter[str]]:
    """What a receiver must find (see ``plant``), and the kopecks of the whole register by part."""
    form, world = field_.form, field_.world
    accounts: dict[str, list[dict[str, Any]]] = {}
    planted: dict[str, str] = {}
    earlier: dict[str, str] = {}
    differ: dict[str, list[dict[str, str]]] = {}
    by_rule: Counter[str] = Counter()
    parts: Counter[str] = Counter()
    refused = kopecks = count = 0
    for _, rows, site, defect in walk(field_):
        own = Counter({"1": sum(one.pattern.base for one in rows), "2": sum(one.pattern.extra for one in rows)})
        count += len(rows)
        if site is not None and defect is not None:
            apply(defect, site)
            now = form.claimed(site.account)
            own = sum((Counter(form.claimed(node)) for node in site.others), Counter(now))
            key = form.key(world, site.account)
            accounts[key] = [
                {"rule": code, "severity": severity, "count": times} for code, severity, times in defect.gives
            ]
            if defect.state and site.former is not None:
                earlier[site.values["former_key"]] = defect.state
            if (changed := insured_rows(defect, site)) is not None:
                differ[site.values["own_enp"]] = changed
            planted[key] = defect.name
            by_rule.update({code: times for code, _, times in defect.gives})
            if defect.rejects:
                refused += 1
                kopecks += sum(now.values())
        parts.update(own)
    if missing := sorted(name for name, times in field_.left.items() if times):
        raise SetupError(f"synth: no room to plant {', '.join(missing)}")
    return {
        "side": field_.plan.side,
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
    for who, rows, site, defect in walk(ground(REESTR, world, patterns, plan)):
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
