"""Federal registers: a main document (H, C, T, D*) and the document of its persons (L*), as streams of bytes.

The same persons and the same way of being treated as in any other register; only the wire format is its own.
Origin of the format: order 79 of 07.04.2011, appendix D.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from oms_batch.errors import SetupError
from oms_batch.exchange import Profile
from oms_batch.model import Totals, roubles
from oms_batch.synth.federal_shape import Shape, grow, read_shapes, write
from oms_batch.synth.people import Person, person
from oms_batch.synth.register import Visit, blocks, fillings, totals, visits
from oms_batch.synth.scenes import Pattern, Patterns, doctor_of, lines, stay, work_out
from oms_batch.synth.tree import Node
from oms_batch.synth.world import Spec, World, build

_CODES = 100  # packets of one kind, organisation and month that SCHET/CODE tells apart


@dataclass(frozen=True, slots=True)
class Register:
    """A pair of documents: bytes of both in blocks, names without extension, what stands in the account."""

    main: Iterator[bytes]
    persons: Iterator[bytes]
    name: str
    persons_name: str
    totals: Totals
    code: str


@dataclass(frozen=True, slots=True)
class Again:
    """Accounts of an earlier register that go once more: its order, and ordinals from 0 of the accounts."""

    earlier: Spec
    ordinals: tuple[int, ...]


@dataclass(frozen=True)
class Ground:
    """A world with the shapes of its documents and the patterns of its accounts."""

    world: World
    file: Mapping[str, Any]
    shapes: Mapping[str, Shape]
    patterns: Patterns

    @property
    def name(self) -> str:
        """The name of the main document, without extension."""
        return _name(self.world, self.world.kind)

    @property
    def persons_name(self) -> str:
        return _name(self.world, str(self.file["persons"]))

    @property
    def code(self) -> str:
        """SCHET/CODE: unique over months, kinds and packets of an organisation."""
        return f"{self.world.first:%y%m}{self.file['code']}{int(self.world.number) % _CODES:02d}"

    def key(self, idcase: str) -> str:
        """How the exchange knows an account: CODE_MO-YEAR+MONTH-CODE-IDCASE."""
        return f"{self.world.ogrn_mo}-{self.world.first:%Y%m}-{self.code}-{idcase}"


def _name(world: World, kind: str) -> str:
    return f"{kind}M{world.ogrn_mo}T{world.fund.code}_{world.first:%y%m}{world.number}"


def prepare(profile: Profile, spec: Spec) -> Ground:
    """Everything to write the register of a spec; ``SetupError`` when the profile has no such file in that month."""
    world = build(profile, spec)
    file = file_of(world)
    shapes = read_shapes(profile.rules, profile.id, (str(file["shape"]), f"L-{file['persons_version']}"))
    return Ground(world, file, shapes, work_out(world, _maker(shapes)))


def file_of(world: World) -> Mapping[str, Any]:
    """The line of ``[[file]]`` for this kind, month and, where ordered, version."""
    for row in world.data["file"]:
        wanted = not world.spec.version or row["version"] == world.spec.version
        if row["kind"] == world.kind and wanted and row["from"] <= world.period:
            return dict(row)
    raise SetupError(f"synth: no file {world.kind} {world.spec.version} in {world.period}")


def _maker(shapes: Mapping[str, Shape]) -> Callable[[World, dict[str, Any], int], Pattern]:
    inner = shapes["ZAP"].inner
    shape = inner["Z_SL"] if "Z_SL" in inner else inner["SLUCH"]

    def make(world: World, scene: dict[str, Any], draw: int) -> Pattern:
        length, mkb = stay(scene, draw)
        values = {name: str(value) for name, value in world.defaults.items() if isinstance(value, str)}
        values |= {name: value for name, value in scene.items() if isinstance(value, str)}
        for place, name in enumerate(("rslt", "ishod", "rslt_d")):
            values[name] = scene[name][(draw >> 14 + 3 * place) % len(scene[name])] if name in scene else ""
        other = scene.get("mkb_other", [])[: (draw >> 40) % 2]
        values |= {"n": "%(n)s", "card": "%(c)s", "d1": "%(d1)s", "d2": "%(d2)s", "mo": world.ogrn_mo, "mkb": mkb}
        values |= {"doctor": doctor_of(scene["prvs"], draw), "division": str((draw >> 22) % 9 + 1)}
        values |= {"det": "1" if scene["who"] == "child" else "0", "mkb_other": "".join(other)}
        values |= {"npr_date": "%(d0)s" if values.get("npr_mo") else "", "tal_d": "%(d0)s", "tal_p": "%(d1)s"}
        values |= {"vmp_day": "%(d0)s" if values.get("vid_hmp") else ""}
        values |= {
            "napr_date": "%(d1)s" if values.get("napr_v") else "",
        }
        services, kopecks = _services(world, scene, draw)
        values |= {"sumv": roubles(kopecks), "tarif": roubles(kopecks), "quantity": "1.00"}
        values |= {"kd": str(max(length - 1, 1)) if values.get("p_per") else ""}
        if scene.get("ksg"):
            group = services[0]["code_usl"]
            values |= {"ksg": group, "ksg_koef": scene["ksg"][scene["service"].index(group)], "ksg_one": "1.00000"}
            values |= {"ksg_zero": "0", "ver_ksg": str(world.first.year), "ksg_rate": roubles(kopecks)}
        node = grow(shape, values, {"USL": services})
        return Pattern(node, write(node, shape, "  "), length, kopecks, 0)

    return make


def _services(world: World, scene: Mapping[str, Any], draw: int) -> tuple[list[dict[str, str]], int]:
    rows, total = [], 0
    for line in lines(world, scene, draw):
        row = {"line": str(line.number), "code_usl": line.code, "kol_usl": f"{line.quantity}.00"}
        row |= {"price": roubles(line.kopecks // line.quantity), "sumv_usl": roubles(line.kopecks)}
        rows.append(row | {"date_in": line.first, "date_out": line.last})
        total += line.kopecks
    return rows, total


# ---- persons ----------------------------------------------------------------------------------------


def pacient(ground: Ground, one: Person) -> Node:
    """What an account says of its person: PACIENT."""
    return grow(ground.shapes["ZAP"].inner["PACIENT"], _person_values(ground, one))


def pers(ground: Ground, one: Person) -> Node:
    """The person in the document of persons: PERS."""
    return grow(ground.shapes["PERS"], _person_values(ground, one))


def _person_values(ground: Ground, one: Person) -> dict[str, str]:
    world = ground.world
    values = {"id_pac": f"{one.ordinal + 1:09d}", "vpolis": one.vpolis, "spolis": one.spolis, "npolis": one.npolis}
    new = one.vpolis == "3"
    values |= {"enp": one.npolis if new else "", "npolis_old": "" if new else one.npolis}
    foreign = f"{one.region}099" if one.ogrn_smo else ""
    okato = str(world.data["okato"][one.region])
    values |= {"smo": one.smo or foreign, "st_okato": okato}
    if not values["smo"]:  # an insurer without a code is named by words and territory
        values |= {"smo_nam": str(world.defaults["smo_nam"]), "smo_ok": okato}
    values |= {"fam": one.fam, "im": one.im, "ot": one.ot, "w": "1" if one.male else "2", "dr": one.born.isoformat()}
    values |= {"dost": "" if one.ot else "1", "snils": one.snils, "okatog": str(world.defaults["okatog"])}
    young = one.born.year >= world.first.year - 14
    series = f"{world.defaults['doc_adult_series']} {one.draw % 20 + 1:02d}"
    values |= {"doctype": str(world.defaults["doc_child" if young else "doc_adult"])}
    values |= {"docser": str(world.defaults["doc_child_series"]) if young else series}
    values |= {"docnum": f"{one.ordinal % 1000000:06d}", "docorg": str(world.defaults["doc_org"])}
    issued = one.born + timedelta(days=20 if young else 14 * 366 + one.draw % 90)
    return values | {"docdate": issued.isoformat()}


# ---- documents --------------------------------------------------------------------------------------


def register(profile: Profile, spec: Spec) -> Register:
    """A valid pair of documents; memory does not grow with the number of accounts."""
    ground = prepare(profile, spec)
    _, accounts, kopecks, _ = totals(ground.world, ground.patterns)
    whole = Totals(accounts, kopecks)
    return pair(ground, whole, _main(ground, whole), _persons(ground))


def pair(ground: Ground, whole: Totals, main: Iterator[str], persons: Iterator[str]) -> Register:
    """Both documents out of their text."""
    encoding = ground.world.spec.encoding
    texts = blocks(main, encoding), blocks(persons, encoding)
    return Register(*texts, ground.name, ground.persons_name, whole, ground.code)


def head(ground: Ground, whole: Totals, first: Ground | None = None) -> str:
    """The main document up to its first ZAP; ``first``: the register whose accounts it gives once more."""
    world = ground.world
    values = {"version": str(ground.file["version"]), "made": world.last.isoformat(), "main_name": ground.name}
    values |= {"accounts": str(whole.accounts), "code": ground.code, "mo": world.ogrn_mo, "year": str(world.first.year)}
    values |= {"month": str(world.first.month), "plat": world.billed.code, "sum": roubles(whole.kopecks)}
    values |= {"nschet": f"{world.kind}-{world.first:%y%m}-{world.number}", "disp": str(ground.file.get("disp", ""))}
    if first is not None:
        past = first.world.first
        values |= {"first_code": first.code, "first_year": str(past.year), "first_month": str(past.month)}
    shape = ground.shapes["ZL_LIST"]
    return _opened(ground, write(grow(shape, values), shape))


def persons_head(ground: Ground) -> str:
    """The document of persons up to its first PERS."""
    values = {"persons_version": str(ground.file["persons_version"]), "made": ground.world.last.isoformat()}
    values |= {"persons_name": ground.persons_name, "main_name": ground.name}
    shape = ground.shapes["PERS_LIST"]
    return _opened(ground, write(grow(shape, values), shape))


def _opened(ground: Ground, text: str) -> str:
    """A written root without its end tag, with the declaration before it."""
    encoding = ground.world.spec.encoding.lower()
    name = "windows-1251" if encoding in ("windows-1251", "cp1251") else "utf-8"
    return f'<?xml version="1.0" encoding="{name}"?>\n' + text[: text.rindex("</")]


NO_PATRONYMIC = "2"
TAIL, PERSONS_TAIL = "</ZL_LIST>\n", "</PERS_LIST>\n"


def again(profile: Profile, spec: Spec, what: Again) -> Register:
    """Accounts of an earlier register, corrected, in a packet of their own: PR_NOV 1 and the link to the former ones.

    SCHET/REF names one account, so a packet holds corrected accounts of one earlier register and nothing else.
    """
    ground, former = prepare(profile, spec), prepare(profile, what.earlier)
    if ground.file["shape"] != former.file["shape"]:
        raise SetupError("synth: the account given once more would be of another version")
    chosen = frozenset(what.ordinals)
    kopecks = [visit.pattern.base for _, rows in _chosen(former, chosen) for visit in rows]
    if len(kopecks) != len(chosen):
        raise SetupError("synth: the earlier register has no such account")
    whole = Totals(len(kopecks), sum(kopecks))

    def main() -> Iterator[str]:
        yield head(ground, whole, former)
        fill, shape, place = fillings(former.world), former.shapes["ZAP"], 0
        for who, rows in _chosen(former, chosen):
            for visit in rows:
                place += 1
                node = zap(former, person(former.world, who), visit, fill(visit))
                _renumber(node, place)
                yield write(node, shape, " ")
        yield TAIL

    def persons() -> Iterator[str]:
        yield persons_head(ground)
        for who, _ in _chosen(former, chosen):
            yield write(pers(former, person(former.world, who)), former.shapes["PERS"], " ")
        yield PERSONS_TAIL

    return pair(ground, whole, main(), persons())


def _chosen(ground: Ground, ordinals: frozenset[int]) -> Iterator[tuple[int, list[Visit]]]:
    for who, rows in visits(ground.world, ground.patterns):
        if found := [visit for visit in rows if visit.ordinal in ordinals]:
            yield who, found


def _renumber(node: Node, place: int) -> None:
    account = node.first("Z_SL")
    account.attributes |= {"FIRST_IDCASE": account.attributes["IDCASE"], "IDCASE": str(place)}
    node.attributes |= {"N_ZAP": str(place), "PR_NOV": "1"}


def zap(ground: Ground, one: Person, visit: Visit, values: Mapping[str, str]) -> Node:
    """An account as a tree: ZAP with PACIENT and Z_SL."""
    account = special(visit.pattern.node.copy(lambda text: text % values), one)
    return Node("ZAP", {"N_ZAP": values["n"], "PR_NOV": "0"}, [pacient(ground, one), account])


def special(account: Node, one: Person) -> Node:
    """The account Z_SL of somebody without a patronymic says so (OS_SLUCH)."""
    if account.tag == "Z_SL" and not one.ot:
        account.attributes["OS_SLUCH"] = NO_PATRONYMIC
    return account


def _main(ground: Ground, whole: Totals) -> Iterator[str]:
    yield head(ground, whole)
    for who, rows in visits(ground.world, ground.patterns):
        yield from accounts_of(ground, person(ground.world, who), rows)
    yield TAIL


def accounts_of(ground: Ground, one: Person, rows: list[Visit]) -> Iterator[str]:
    """The ZAP elements of a person, the quick way: patterns with their places filled."""
    fill = fillings(ground.world)
    who = write(pacient(ground, one), ground.shapes["ZAP"].inner["PACIENT"], "  ")
    for visit in rows:
        values = fill(visit)
        number, text = values["n"], visit.pattern.text % values
        if not one.ot:
            text = text.replace("<SL>", f"<OS_SLUCH>{NO_PATRONYMIC}</OS_SLUCH>\n   <SL>", 1)
        yield f" <ZAP>\n  <N_ZAP>{number}</N_ZAP>\n  <PR_NOV>0</PR_NOV>\n{who}{text} </ZAP>\n"


def _persons(ground: Ground) -> Iterator[str]:
    yield persons_head(ground)
    for who, _ in visits(ground.world, ground.patterns):
        yield write(pers(ground, person(ground.world, who)), ground.shapes["PERS"], " ")
    yield PERSONS_TAIL
