"""Federal registers with planted defects: the pair of documents, and the findings that they must give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from oms_batch.exchange import Profile
from oms_batch.model import Totals, roubles
from oms_batch.synth.defects import Dialect, apply
from oms_batch.synth.federal import (
    PERSONS_TAIL,
    TAIL,
    Ground,
    Register,
    accounts_of,
    head,
    pair,
    pers,
    persons_head,
    prepare,
    zap,
)
from oms_batch.synth.federal_shape import write
from oms_batch.synth.people import Person, person
from oms_batch.synth.planting import Form, Plan, ground, survey, walk
from oms_batch.synth.register import Visit, fillings
from oms_batch.synth.tree import Node
from oms_batch.synth.world import Spec, World

ACCOUNT, PERSON = "ZAP", "PERS"


def _resum(root: Node) -> None:
    """SUM_M of each SL and SUMV become true sums again."""
    whole = 0
    for sl in root.all("Z_SL/SL"):
        total = sum(kopecks(service.attributes["SUMV_USL"]) for service in sl.all("USL"))
        sl.attributes |= {"SUM_M": roubles(total), "TARIF": roubles(total)}
        whole += total
    root.first("Z_SL").attributes["SUMV"] = roubles(whole)


DIALECT = Dialect(
    dates=(
        "DATE_Z_1", "DATE_Z_2", "DATE_1", "DATE_2", "DATE_IN", "DATE_OUT", "NPR_DATE", "NAPR_DATE", "TAL_D", "TAL_P",
    ),
    identity=((".", "N_ZAP"), ("Z_SL/SL", "NHISTORY"), ("Z_SL", "IDCASE")),
    stem=0,
    start=("Z_SL", "DATE_Z_1"),
    end=("Z_SL", "DATE_Z_2"),
    polis="ZAP/PACIENT",
    resum=_resum,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PlantedPair:
    """A register as a pair of documents, and what its receiver must find in it (JSON-ready)."""

    register: Register
    expected: dict[str, Any]


def kopecks(text: str) -> int:
    """A sum as written, in kopecks; what is no sum counts nothing."""
    whole, _, rest = text.partition(".")
    return int(whole) * 100 + int(rest.ljust(2, "0") or "0") if whole.isdigit() and len(rest) <= 2 else 0


def _claimed(account: Node) -> dict[str, int]:
    found = account.all("Z_SL")
    return {"1": kopecks(found[0].attributes.get("SUMV", ""))} if found else {}


def _order(world: World) -> tuple[str, str, str]:
    return world.kind, world.period, world.number


def _form(base: Ground) -> Form:
    known = {_order(base.world): base}

    def other(world: World) -> Ground:
        found = known.get(_order(world))
        if found is None:
            found = known[_order(world)] = prepare(world.profile, world.spec)
        return found

    def accounts(world: World) -> Callable[[Person, Visit], Node]:
        place, fill = other(world), fillings(world)
        return lambda one, visit: zap(place, one, visit, fill(visit))

    def whole(_world: World, one: Person, nodes: list[Node]) -> Node:
        return Node("person", {}, [pers(base, one), *nodes])

    def key(world: World, account: Node) -> str:
        return other(world).key(account.first("Z_SL").attributes.get("IDCASE", ""))

    def values(_world: World, account: Node, first: Node) -> dict[str, str]:
        own, before = account.first("Z_SL").attributes, first.first("Z_SL").attributes
        return {
            "first_start": before["DATE_Z_1"],
            "first_end": before["DATE_Z_2"],
            "first_key": before["IDCASE"],
            "first_position": first.attributes["N_ZAP"],
            "d1": own["DATE_Z_1"],
            "d2": own["DATE_Z_2"],
            "key": own["IDCASE"],
            "id_pac": account.first("PACIENT").attributes["ID_PAC"],
        }

    def scene(pattern: Node, wanted: str) -> bool:
        """USL_OK, or USL_OK and PROFIL: ``1``, ``3.78``."""
        conditions, profile = pattern.attributes.get("USL_OK", ""), pattern.first("SL").attributes.get("PROFIL", "")
        return wanted in (conditions, f"{conditions}.{profile}")

    shape = str(base.file["shape"])
    return Form(lambda world: other(world).patterns, accounts, whole, key, scene, _claimed, values, DIALECT, shape)


def plant(profile: Profile, spec: Spec, plan: Plan) -> PlantedPair:
    """A register with defects; ``expected`` as in ``planting.plant``, accounts by CODE_MO-YEAR+MONTH-CODE-IDCASE.

    ``SetupError`` when the register is too small to hold what was asked for.
    """
    base = prepare(profile, spec)
    form = _form(base)
    expected, _ = survey(ground(form, base.world, base.patterns, plan))
    whole = Totals(int(expected["register"]["accounts"]), int(expected["register"]["kopecks"]))
    expected["code"] = base.code
    return PlantedPair(pair(base, whole, _main(base, form, plan, whole), _persons(base, form, plan)), expected)


def _main(base: Ground, form: Form, plan: Plan, whole: Totals) -> Iterator[str]:
    yield head(base, whole)
    for who, rows, site, defect in walk(ground(form, base.world, base.patterns, plan)):
        if site is None or defect is None:
            yield from accounts_of(base, person(base.world, who), rows)
            continue
        apply(defect, site)
        yield from (write(node, base.shapes[ACCOUNT], " ") for node in site.patient.all(ACCOUNT))
    yield TAIL


def _persons(base: Ground, form: Form, plan: Plan) -> Iterator[str]:
    yield persons_head(base)
    for who, _, site, defect in walk(ground(form, base.world, base.patterns, plan)):
        if site is None or defect is None:
            yield write(pers(base, person(base.world, who)), base.shapes[PERSON], " ")
            continue
        apply(defect, site)
        yield from (write(node, base.shapes[PERSON], " ") for node in site.patient.all(PERSON))
    yield PERSONS_TAIL
