"""Persons by their ordinal: the same ordinal of the same seed is the same person in any month."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from oms_batch.synth.numbers import enp, mix, snils
from oms_batch.synth.tree import Node
from oms_batch.synth.world import World

_PRIME = 899999963  # spreads ordinals over nine-digit numbers without meeting


@dataclass(frozen=True, slots=True)
class Person:
    """One insured person. ``smo`` is the insurer's federal code, empty when insured elsewhere."""

    ordinal: int
    male: bool
    child: bool
    fam: str
    im: str
    ot: str
    born: date
    enp: str
    snils: str
    region: str
    letter: str
    smo: str
    ogrn_smo: str
    vpolis: str
    spolis: str
    npolis: str
    begin: date
    end: date | None
    draw: int


def traits(world: World, ordinal: int) -> tuple[int, bool, bool]:
    """The draw of a person, whether a child, whether male: all that choosing his accounts needs."""
    draw = mix(world.start ^ (ordinal * 0xD1B54A32D192ED03 & 0xFFFFFFFFFFFFFFFF))
    return draw, draw % 1000 < world.shares["child"], bool(draw >> 10 & 1)


def person(world: World, ordinal: int) -> Person:
    """The person with this ordinal (from 0). Full name, policy and insurance numbers are unique over 6 million."""
    draw, child, male = traits(world, ordinal)
    more = mix(draw)
    lists = world.male if male else world.female
    place = (ordinal * 7919 + world.start) % (len(lists.surnames) * len(lists.names) * len(lists.patronymics))
    place, surname = divmod(place, len(lists.surnames))
    patronymic, name = divmod(place, len(lists.names))
    born = _born(world, ordinal, child, more)
    letter = world.letters[(draw >> 20) % 1000]
    payer = world.payers[letter]
    own = payer.kind != "fund"
    regions = world.defaults["other_regions"]
    region = str(world.defaults["region"]) if own else str(regions[(draw >> 32) % len(regions)])
    number = enp(region, born, male, ordinal % 100000)
    kind, series, policy, begin, end = _policy(world, ordinal, own, born, number, more)
    foreign = str(world.defaults["foreign_ogrn"]) if draw >> 45 & 1 else ""
    return Person(
        ordinal,
        male,
        child,
        lists.surnames[surname],
        lists.names[name],
        "" if (more >> 40) % 1000 < world.shares["no_patronymic"] else lists.patronymics[patronymic],
        born,
        number,
        snils(100000001 + (ordinal * 7919 + world.start) % _PRIME),
        region,
        letter,
        payer.smo if own else "",
        payer.ogrn if own else foreign,
        kind,
        series,
        policy,
        begin,
        end,
        draw,
    )


def _born(world: World, ordinal: int, child: bool, draw: int) -> date:
    """A birth date; persons whose ordinals differ by 100 000 never share one, so that policy numbers differ."""
    year = world.first.year
    start = date(year - 16, 1, 1) if child else date(year - 90, 1, 1)
    days = 14 * 365 if child else 70 * 365
    offset = (draw >> 8) % days
    return start + timedelta(days=offset - offset % 64 + ordinal // 100000 % 64)


def _policy(
    world: World, ordinal: int, own: bool, born: date, number: str, draw: int
) -> tuple[str, str, str, date, date | None]:
    chance = (draw >> 30) % 1000
    since = max(date.fromisoformat(str(world.defaults["enp_from"])), born + timedelta(days=20))
    if own and chance < world.shares["old"] and born.year < since.year:
        begin = max(born, date.fromisoformat(str(world.defaults["old_policy_from"])))
        return "1", str(world.defaults["old_policy_series"]), f"{ordinal % 10_000_000_000:010d}", begin, None
    if own and chance < world.shares["old"] + world.shares["temporary"]:
        before, after = world.first - timedelta(days=3), world.last + timedelta(days=9)
        return "2", "", f"{ordinal % 1_000_000_000:09d}", before, after
    span = max((date(world.first.year, 1, 1) - since).days - 40, 1)
    return "3", "", number, since + timedelta(days=(draw >> 16) % min(span, 3000)), None


def patient(world: World, one: Person, accounts: list[Node]) -> Node:
    """The ``patient`` element of a person with his accounts."""
    node = Node("patient", {"patientcod": f"{one.ordinal + 1:09d}", "surname": one.fam, "name": one.im})
    if one.ot:
        node.attributes["patronymic"] = one.ot
    node.attributes |= {"birthdate": one.born.isoformat(), "sex": "1" if one.male else "2", "ss": one.snils}
    if one.child:
        _guardian(world, one, node)
    polis = {"region_oms": one.region, "type_polis": one.vpolis}
    if one.spolis:
        polis["polisser"] = one.spolis
    polis |= {"polisnum": one.npolis, "begin_p": one.begin.isoformat()}
    if one.end:
        polis["end_p"] = one.end.isoformat()
    if one.ogrn_smo:
        polis["ogrn_smo"] = one.ogrn_smo
    node.add("polises").add("polis", **polis)
    kind = str(world.defaults["doc_child"] if one.born.year > world.first.year - 14 else world.defaults["doc_adult"])
    series = str(world.defaults["doc_child_series"])
    if kind != str(world.defaults["doc_child"]):
        series = f"{world.defaults['doc_adult_series']} {one.draw % 20 + 1:02d}"
    node.add("docs").add("doc", doctype=kind, docser=series, docnum=f"{one.ordinal % 1000000:06d}")
    kladr = world.defaults["kladr"]
    node.add("addresses").add(
        "address",
        type_adress="1",
        kladr=str(kladr[one.draw % len(kladr)]),
        dom=str(one.draw % 120 + 1),
        kvart=str(one.draw // 120 % 200 + 1),
    )
    node.add("additional_data", socialstat=str(world.defaults["socialstat"]))
    node.children.append(Node("register_accounts", {}, accounts))
    return node


def _guardian(world: World, one: Person, node: Node) -> None:
    draw = mix(one.draw + 1)
    lists = world.female
    parent = {
        "surname_p": lists.surnames[draw % len(lists.surnames)],
        "name_p": lists.names[(draw >> 12) % len(lists.names)],
        "patronymic_p": lists.patronymics[(draw >> 24) % len(lists.patronymics)],
        "birthdate_p": (one.born - timedelta(days=20 * 365 + draw % 5000)).isoformat(),
        "sex_p": "2",
    }
    node.add("lawful_repr", **parent)
