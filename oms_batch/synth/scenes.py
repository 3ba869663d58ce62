"""Patterns of accounts: every scene of the profile worked out many times, ready for a person and dates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from oms_batch.model import roubles
from oms_batch.synth.numbers import mix, snils
from oms_batch.synth.tree import Node, render
from oms_batch.synth.world import World, fits

SLOT = 9  # days of the month that one account of a person may use: nothing of one person ever overlaps
VARIANTS = 8  # patterns per unit of a scene's share


@dataclass(frozen=True, slots=True)
class Pattern:
    """An account without its person.

    Places in its text: ``%(k)s`` key, ``%(n)s`` position, ``%(c)s`` card, ``%(d0)s %(d1)s %(d2)s`` dates.
    """

    node: Node
    text: str
    length: int
    base: int  # kopecks of type_acc 1
    extra: int  # kopecks of type_acc 2


@dataclass(frozen=True, slots=True)
class Patterns:
    """Patterns by group (child, male); a ``later`` account never repeats what may stand once per person."""

    first: Mapping[tuple[bool, bool], tuple[Pattern, ...]]
    later: Mapping[tuple[bool, bool], tuple[Pattern, ...]]


@dataclass(frozen=True, slots=True)
class Line:
    """A service of an account: number from 1, code, quantity, kopecks; the places of its first and last day."""

    number: int
    code: str
    quantity: int
    kopecks: int
    first: str
    last: str


Make = Callable[[World, dict[str, Any], int], Pattern]


def work_out(world: World, make: Make | None = None) -> Patterns:
    """All patterns of a world, weighted by the scenes' shares; ``make`` writes one out of a scene and a draw."""
    make = make or _pattern
    groups = [(child, male) for child in (True, False) for male in (True, False)]
    first: dict[tuple[bool, bool], list[Pattern]] = {group: [] for group in groups}
    later: dict[tuple[bool, bool], list[Pattern]] = {group: [] for group in groups}
    for index, scene in enumerate(world.scenes):
        turns = range(int(scene["share"]) * VARIANTS)
        made = [make(world, scene, mix(world.start + index * 1009 + turn)) for turn in turns]
        for child, male in groups:
            if fits(scene, child, male):
                first[child, male] += made
                if not scene.get("at_most_one"):
                    later[child, male] += made
    return Patterns(
        {group: tuple(rows) for group, rows in first.items()}, {group: tuple(rows) for group, rows in later.items()}
    )


def stay(scene: Mapping[str, Any], draw: int) -> tuple[int, str]:
    """Days of care and the main diagnosis of a draw."""
    low, high = scene["days"]
    return low + draw % (high - low + 1), scene["mkb"][(draw >> 10) % len(scene["mkb"])]


def doctor_of(speciality: str, draw: int) -> str:
    """The insurance number of a doctor of this speciality."""
    return snils(200000003 + (int(speciality) * 1000 + (draw >> 4) % 40) * 37)


def lines(world: World, scene: Mapping[str, Any], draw: int) -> Iterator[Line]:
    """The services of a draw: the first on the first day, the rest on the last one, or each for the whole stay."""
    codes = scene["service"]
    count = 1 + (draw >> 26) % min(scene["lines"], len(codes))
    start = (draw >> 32) % len(codes)
    for line in range(count):
        code = codes[(start + line) % len(codes)]
        quantity = 1 + (draw >> (36 + line)) % 2 if scene.get("many") else 1
        whole = scene.get("whole", False) or count == 1
        first = "%(d1)s" if whole or line == 0 else "%(d2)s"
        last = "%(d1)s" if not whole and line == 0 else "%(d2)s"
        yield Line(line + 1, code, quantity, world.tariffs[code] * quantity, first, last)


def _pattern(world: World, scene: dict[str, Any], draw: int) -> Pattern:
    length, mkb = stay(scene, draw)
    doctor = doctor_of(scene["spec"], draw)
    node = Node("personal_account", {"help_type": scene["help_type"], "help_cond": scene["help_cond"], "n_pp": "%(n)s"})
    node.attributes |= {"xkey": "%(k)s-000000000000", "n_card": "%(c)s", "curestart": "%(d1)s", "cureend": "%(d2)s"}
    node.attributes |= {"doctor": doctor, "spec": scene["spec"]}
    node.attributes |= {"result": scene["result"][(draw >> 14) % len(scene["result"])]}
    node.attributes |= {"outcome": scene["outcome"][(draw >> 17) % len(scene["outcome"])], "vg": scene["vg"]}
    if scene.get("direction"):
        _direction(world, scene, node, mkb, doctor)
    base, extra = _services(world, scene, node, draw, doctor)
    diagnoses = node.add("diagnoses")
    diagnoses.add("diagnose", type="1", mkb=mkb)
    for other in scene.get("mkb_other", [])[: (draw >> 40) % 2]:
        diagnoses.add("diagnose", type="2", mkb=other)
    additionals = node.add("additionals")
    additionals.add(
        "additional",
        division=str((draw >> 22) % 9 + 1),
        finsource=str(world.defaults["finsource"]),
        type_r=str(world.profile.data["account_kind"]["primary"]),
    )
    if "fold" in scene:
        additionals.add(scene["fold"], **{name: str(value) for name, value in scene.get("attributes", {}).items()})
    _sums(node, base, extra)
    return Pattern(node, render(node, " " * 6), length, base, extra)


def _direction(world: World, scene: dict[str, Any], node: Node, mkb: str, doctor: str) -> None:
    values = {"xkey": "%(k)s-d00000000001", "direction": "1", "number": "%(c)s", "date_1": "%(d0)s"}
    values |= {"ogrn_lpu": world.ogrn_mo, "kpp_lpu": world.kpp_mo, "direction_type": "1", "reason": "1", "mkb": mkb}
    node.add("directions").add("direction", **values, spec=scene["spec"], snils=doctor)


def _services(world: World, scene: dict[str, Any], node: Node, draw: int, doctor: str) -> tuple[int, int]:
    """Add the services of an account; give the sums of both parts."""
    manipulations = node.add("manipulations")
    base = extra = 0
    for line in lines(world, scene, draw):
        part = line.kopecks * int(world.defaults["additional_part"]) // 100
        base, extra = base + line.kopecks - part, extra + part
        service = manipulations.add("manipulation", xkey=f"%(k)s-{line.number:012d}", prof_oms=scene["prof"])
        service.attributes |= {"det": "1" if scene["who"] == "child" else "0", "service": line.code}
        service.attributes |= {"quantity": f"{line.quantity}.00", "doctor": doctor, "spec": scene["spec"]}
        service.attributes |= {"date_1": line.first, "date_2": line.last}
        _sums(service, line.kopecks - part, part)
        additionals = service.add("additionals")
        additionals.add("additional", ogrn_lpu=world.ogrn_mo, kpp_lpu=world.kpp_mo, **scene.get("service_extra", {}))
        if scene.get("tooth"):
            tooth = f"{(draw >> 44) % 4 + 1}{(draw >> 46) % 8 + 1}"
            additionals.add("stomats").add("stomat", n_tooth=tooth, p_tooth="1")
    return base, extra


def _sums(node: Node, base: int, extra: int) -> None:
    sums = node.add("sum")
    for kind, kopecks in (("1", base), ("2", extra)):
        sums.add("elem", type_acc=kind, suml=roubles(kopecks), sum=roubles(kopecks))
