"""Personal accounts of a synthetic month as rows of tables, an archive for each payer; equal orders, equal rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from oms_batch.exchange import Profile
from oms_batch.model import Totals, roubles
from oms_batch.synth.numbers import mix
from oms_batch.synth.people import Person, person
from oms_batch.synth.register import crowd
from oms_batch.synth.scenes import SLOT, doctor_of, lines, stay
from oms_batch.synth.world import Spec, World, build, fits

Row = dict[str, Any]
Scene = dict[str, Any]
SN_STEP = 1_000_000  # personal accounts of one register
_OF_P = ("CODE_MO", "NS", "SN", "ISTI", "MKBX", "DOC_SS", "SPEC", "PROFIL", "VMP")  # what services repeat of P
BED = ("1", "2")  # conditions of care (V006) that keep a bed


@dataclass
class Account:
    """One personal account: its record of P, its services, prescriptions and the directions that it gave."""

    person: Person
    p: Row
    u: list[Row] = field(default_factory=list)
    r: list[Row] = field(default_factory=list)
    n: list[Row] = field(default_factory=list)

    @property
    def key(self) -> str:
        """How the exchange knows the account: CODE_MO-NS-SN."""
        return f"{self.p['CODE_MO']}-{self.p['NS']}-{self.p['SN']}"


@dataclass
class Archive:
    """The tables of one archive in the order of its accounts; rows are field → text or date (``YYYY-MM-DD``)."""

    payer: str
    accounts: list[Account] = field(default_factory=list)
    doctors: list[Row] = field(default_factory=list)
    stray: list[Row] = field(default_factory=list)  # services that belong to no account

    def rows(self) -> dict[str, list[Row]]:
        """Role of the member → its rows."""
        found: dict[str, list[Row]] = {"P": [], "U": [], "D": list(self.doctors), "N": [], "R": []}
        for one in self.accounts:
            found["P"].append(one.p)
            found["U"] += one.u
            found["R"] += one.r
            found["N"] += one.n
        found["U"] += self.stray
        return found

    @property
    def totals(self) -> Totals:
        """Accounts and kopecks claimed."""
        claimed = sum(kopecks(row["SUMM"]) for one in self.accounts for row in one.u)
        return Totals(len(self.accounts), claimed)


def kopecks(text: str) -> int:
    """Roubles with two digits as kopecks."""
    return int(text.replace(".", ""))


def mo_of(world: World) -> str:
    """The code of the organisation."""
    return world.spec.ogrn_mo or str(world.defaults["mo"])


def number_of(world: World) -> str:
    """The number of the month's register: YYMMN."""
    return f"{world.first:%y%m}{world.number}"


def name_parts(world: World, payer: str) -> dict[str, str]:
    """The parts of an archive's name."""
    year, month = f"{world.first:%y}", f"{world.first:%m}"
    return {"payer": payer, "mo": mo_of(world), "yy": year, "mm": month, "number": world.number}


def archives(profile: Profile, spec: Spec) -> dict[str, Archive]:
    """A month of an organisation: payer → its archive; every one of them is valid."""
    world = build(profile, spec)
    found: dict[str, Archive] = {}
    for one in accounts(world):
        found.setdefault(one.person.letter, Archive(one.person.letter)).accounts.append(one)
    for archive in found.values():
        settle(world, archive)
    return dict(sorted(found.items()))


def settle(world: World, archive: Archive) -> None:
    """Numbers that are unique in the archive, and the list of its doctors."""
    for role, column in (("U", "UID"), ("R", "RID")):
        for number, row in enumerate(archive.rows()[role], 1):
            row[column] = str(number)
    listed = {row["DOC_SS"] for one in archive.accounts for row in (one.p, *one.u, *one.n)}
    archive.doctors = [_doctor(world, number) for number in sorted(listed)]


def _doctor(world: World, number: str) -> Row:
    draw = mix(world.start ^ int(number.replace("-", "").replace(" ", "")))
    male = bool(draw & 1)
    names = world.male if male else world.female
    return {
        "CODE_MO": mo_of(world),
        "SNILS": number,
        "FIO": names.surnames[(draw >> 8) % len(names.surnames)],
        "IMA": names.names[(draw >> 24) % len(names.names)],
        "OTCH": names.patronymics[(draw >> 40) % len(names.patronymics)],
        "POL": "М" if male else "Ж",
        "DATR": f"{1955 + (draw >> 16) % 40}-0{1 + draw % 9}-1{(draw >> 4) % 10}",
        "DATN": f"{world.first.year - 3}-02-01",
    }


def accounts(world: World) -> Iterator[Account]:
    """The accounts of a month in the order of their persons."""
    at = 0
    for who, count in crowd(world):
        one = person(world, who)
        for turn in range(count):
            at += 1
            yield _account(world, one, turn, at)


def _account(world: World, one: Person, turn: int, at: int) -> Account:
    draw = mix(one.draw + turn + 7)
    scene = _scene(world, one, draw)
    length, mkb = stay(scene, draw)
    start = world.first + timedelta(days=SLOT * turn + (draw >> 32) % (SLOT - length + 1))
    end = start + timedelta(days=length - 1)
    doctor = doctor_of(scene["spec"], draw)
    found = Account(one, _record(world, one, at))
    found.p |= {
        "ISTI": f"{world.first:%y%m}-{at % 100000}",
        "DATN": start.isoformat(),
        "DATO": end.isoformat(),
        "ISHL": scene["outcome"][(draw >> 17) % len(scene["outcome"])],
        "ISHOB": scene["result"][(draw >> 14) % len(scene["result"])],
        "MP": "1" if scene.get("urgent") else "3",
        "DOC_SS": doctor,
        "SPEC": scene["spec"],
        "PROFIL": scene["prof"],
        "VMP": scene["vmp"],
        "KSO": scene["ksp"],
        "P_CEL": "1",
        "PR_D_N": "0",
        "MKBX": mkb,
    }
    if scene["vp"][0] == BED[0] and not scene.get("urgent"):
        other = str(world.defaults["other_mo"])
        planned = (start - timedelta(days=3)).isoformat()
        found.p |= {"NAPR_MO": other, "NAPR_N": f"{other}_{at:07d}", "NAPR_D": planned, "NAPR_DP": start.isoformat()}
    _services(world, scene, found, draw, (start, end))
    if scene.get("prescribes"):
        _prescribed(world, found, at)
    return found


def _scene(world: World, one: Person, draw: int) -> Scene:
    pool = [scene for scene in world.scenes if fits(scene, one.child, one.male)]
    place = (draw >> 20) % sum(int(scene["share"]) for scene in pool)
    for scene in pool:
        place -= int(scene["share"])
        if place < 0:
            return scene
    return pool[-1]


def _record(world: World, one: Person, at: int) -> Row:
    """The record of P but for the care: register, payer, person."""
    values = world.defaults
    own = one.region == str(values["region"])
    document = str(values["doc_child"] if one.born.year > world.first.year - 14 else values["doc_adult"])
    adult = document == str(values["doc_adult"])
    row: Row = {
        "NS": str(int(number_of(world))),
        "VS": str(values["primary"]),
        "DATS": world.last.isoformat(),
        "SN": str(int(number_of(world)) * SN_STEP + at),
        "DATPS": world.last.isoformat(),
        "CODE_MO": mo_of(world),
        "PL_OGRN": world.payers[one.letter].ogrn,
        "FIO": one.fam,
        "IMA": one.im,
        "OTCH": one.ot,
        "POL": "М" if one.male else "Ж",
        "DATR": one.born.isoformat(),
        "KAT": "3" if one.child else "1",
        "SNILS": one.snils,
        "OKATO_OMS": str(values["territory"] if own else values["other_territories"][one.region]),
        "SPV": one.vpolis,
        "SPS": one.spolis,
        "SPN": one.npolis,
        "NOVOR": "0",
        "C_DOC": document,
        "S_DOC": f"{values['doc_adult_series']} {one.draw % 20 + 1:02d}" if adult else str(values["doc_child_series"]),
        "N_DOC": f"{one.ordinal % 1000000:06d}",
    }
    return row | (_representative(world, one) if one.child else {})


def _representative(world: World, one: Person) -> Row:
    draw, lists = mix(one.draw + 1), world.female
    return {
        "FAMP": lists.surnames[draw % len(lists.surnames)],
        "IMP": lists.names[(draw >> 12) % len(lists.names)],
        "OTP": lists.patronymics[(draw >> 24) % len(lists.patronymics)],
        "POLP": "Ж",
        "DATRP": (one.born - timedelta(days=20 * 365 + draw % 5000)).isoformat(),
    }


def _services(world: World, scene: Scene, found: Account, draw: int, care: tuple[date, date]) -> None:
    start, end = care
    days = {"%(d1)s": start.isoformat(), "%(d2)s": end.isoformat()}
    stays = scene["vp"][0] in BED
    others = scene.get("mkb_other", [])[: (draw >> 40) % 2]
    for line in lines(world, scene, draw):
        price = world.tariffs[line.code]
        row = {key: found.p[key] for key in _OF_P}
        row |= {
            "KOTD": str(world.defaults["department"]),
            "KPK": scene["bed"] if stays else "",
            "MKBXS": others[0] if others else "",
            "VP": scene["vp"],
            "KUSL": line.code,
            "KOLU": str(line.quantity),
            "KD": str((end - start).days or 1) if stays else "0",
            "DATN": days[line.first],
            "DATO": days[line.last],
            "TARU": roubles(price),
            "SUMM": roubles(price * line.quantity),
            "IS_OUT": "0",
        }
        found.u.append(row)


def _prescribed(world: World, found: Account, at: int) -> None:
    """After a check-up: a consultation, and a direction to another organisation."""
    row = {key: found.p[key] for key in ("CODE_MO", "NS", "SN")}
    found.r.append(row | {"NAZR": "1", "SPEC": found.p["SPEC"]})
    day, doctor = found.p["DATO"], found.p["DOC_SS"]
    direction = {"CODE_MO": found.p["CODE_MO"], "NAPR_N": f"{found.p['CODE_MO']}_{at:07d}"}
    found.n.append(direction | {"NAPR_MO": str(world.defaults["other_mo"]), "NAPR_D": day, "DOC_SS": doctor})
