"""Synthetic parcels of linked tables: patients, services, operations, departments and staff of one organisation.

Equal orders give equal bytes. What is done, by whom, and which errors can be planted is material of the profile
(``synth/scenes.toml``, ``synth/defects.toml``); values are texts as they stand in the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from oms_batch.exchange import Profile
from oms_batch.model import last_day as last_day_of
from oms_batch.synth.numbers import base, enp, mix
from oms_batch.synth.world import Names, name_lists

Row = dict[str, str]
KEYED = ("R", "S", "HO")  # tables whose records an answer of errors names


@dataclass(frozen=True, slots=True)
class Order:
    """An order for a parcel; empty text means the profile's own default.

    ``each``: how many times every defect that fits is planted; ``only``: these defects and no others;
    ``services``: at least so many clean services (0: a zero parcel with empty tables of patients and services).
    """

    services: int = -1
    seed: int | str = 1
    period: str = ""
    mo: str = ""
    payer: str = ""
    each: int = 0
    only: tuple[str, ...] = ()


@dataclass
class Parcel:
    """Rows by layout; ``expected``: (table, RECID, error code) that the payer must write; ``warned``: rule codes."""

    mo: str
    payer: str
    period: str
    tables: dict[str, list[Row]] = field(default_factory=dict)
    expected: set[tuple[str, str, str]] = field(default_factory=set)
    warned: dict[str, int] = field(default_factory=dict)

    @property
    def services(self) -> int:
        return len(self.tables["S"])


@dataclass
class _Maker:
    """What all patients of a parcel share."""

    data: dict[str, Any]
    parcel: Parcel
    start: int
    first: date
    last: date
    male: Names
    female: Names
    serial: int = 0

    def day(self, text: str) -> str:
        """``+n`` and ``-n`` are days from the first of the period; anything else stays."""
        if text[:1] in "+-" and text[1:].isdecimal():
            return (self.first + timedelta(days=int(text))).isoformat()
        return text


@dataclass
class _Patient:
    """One patient with his rows by table."""

    rows: dict[str, list[Row]]
    serial: int
    policy: str
    other: str


def parcel(profile: Profile, order: Order) -> Parcel:
    """The rows of a parcel with the errors that were planted in it."""
    data = profile.rules.toml(f"{profile.id}/synth/scenes.toml")
    chosen = data["defaults"]
    period = order.period or str(chosen["period"])
    made = Parcel(order.mo or str(chosen["mo"]), order.payer or str(chosen["payer"]), period)
    last = last_day_of(period)
    male, female = name_lists(profile.rules.toml("common/synth/names.toml"))
    maker = _Maker(data, made, base(order.seed), last.replace(day=1), last, male, female)
    made.tables = {"R": [], "S": [], "HO": [], **_lists(maker)}
    wanted = int(chosen["services"]) if order.services < 0 else order.services
    while made.services < wanted:
        _put(maker, _clean(maker))
    defects = profile.rules.toml(f"{profile.id}/synth/defects.toml")["defect"]
    for one in [row for row in defects for _ in range(order.each)]:
        if _fits(one, maker) and (not order.only or one["name"] in order.only):
            _plant(maker, one)
    return made


def _fits(defect: Mapping[str, Any], maker: _Maker) -> bool:
    made = maker.parcel
    here = defect.get("mo", made.mo) == made.mo and defect.get("payer", made.payer) == made.payer
    return here and (defect["base"] != "stay" or _beds(maker))


def _beds(maker: _Maker) -> bool:
    return bool(maker.data["organisation"][maker.parcel.mo]["stays"])


def _lists(maker: _Maker) -> dict[str, list[Row]]:
    """Departments, staff and versions of books of the organisation."""
    mo, data = maker.parcel.mo, maker.data
    both = {"LPU_ID": mo, "FIL_ID": mo}
    more = {"MCOD": str(data["organisation"][mo]["mcod"])}
    staff = [
        {**_texts(one), **both, "SN_POL": enp("77", date(1970, 5, place), one["W"] == "1", place)}
        | {"DR": "197005" + f"{place:02d}", "D_SER": maker.day(one["D_SER"]), "D_PRIK": maker.day(one["D_SER"])}
        | {"C_OGRN": "1027700000000"}
        for place, one in enumerate(data["staff"], 1)
    ]
    departments = [{**_texts(one), **both, **more} for one in data["department"]]
    versions = [{"SCOD": code, "CUR_VER": version} for code, version in data["defaults"]["versions"]]
    for rows in (departments, versions):
        for place, row in enumerate(rows, 1):
            row["RECID"] = f"{place:06d}"
    return {"D": departments, "NV": staff, "SPR": versions}


def _texts(row: Mapping[str, Any]) -> Row:
    return {name: str(value) for name, value in row.items() if not isinstance(value, list)}


def _clean(maker: _Maker) -> _Patient:
    """A patient with nothing wrong: a stay, or visits on different days for different things."""
    one = _patient(maker)
    draw = mix(maker.start ^ mix(one.serial))
    chance = maker.data["defaults"]
    if _beds(maker) and draw % 1000 < int(chance["stay_per_mille"]):
        _stay(maker, one, maker.data["stay"][(draw >> 12) % len(maker.data["stay"])], draw)
        return one
    scenes = maker.data["visit"]
    for place in range(1 + (draw >> 12) % 3):
        _visit(maker, one, scenes[((draw >> 16) + place) % len(scenes)], mix(draw + place), place)
    return one


def _patient(maker: _Maker) -> _Patient:
    maker.serial += 1
    serial, made = maker.serial, maker.parcel
    draw = mix(maker.start + serial * 7919)
    male = draw % 2 == 0
    lists = maker.male if male else maker.female
    born = date(maker.first.year - 25 - (draw >> 8) % 60, 1 + (draw >> 20) % 12, 1 + (draw >> 26) % 28)
    policy = enp("77", born, male, serial % 100000)
    other = enp("77", born, male, (serial + 50000) % 100000)
    row = {
        "SN_POL": policy,
        "TIP_P": "П",
        "QQ": made.payer,
        "ENP": policy,
        "FAM": lists.surnames[(draw >> 32) % len(lists.surnames)],
        "IM": lists.names[(draw >> 40) % len(lists.names)],
        "OT": lists.patronymics[(draw >> 48) % len(lists.patronymics)],
        "W": "1" if male else "2",
        "DR": born.isoformat(),
        "D_TYPE": "0",
        "SV": "110",
        "PRIK": made.mo if draw % 3 == 0 else "0",
        "C_T": "76",
        "C_A": "76",
        "GOR": "ГОРОД ПРИМЕРСК",
        "UL": "УЛИЦА ПЕРВАЯ",
        "SN_PASP": "7801 123456",
        "Q_PASP": "2",
    }
    chance, defaults = (draw >> 5) % 1000, maker.data["defaults"]
    if chance < int(defaults["old_policy_per_mille"]):
        row |= {"TIP_P": "С", "SN_POL": f"770012 1{serial:09d}"}
    elif chance < int(defaults["old_policy_per_mille"]) + int(defaults["temporary_per_mille"]):
        nonresident = made.payer == "IN"
        row |= {
            "TIP_P": "В",
            "SN_POL": f"{serial:09d}" if nonresident else f"{made.payer}012 {serial:09d}",
            "SV": "010",
        }
    return _Patient({"R": [row], "S": [], "HO": []}, serial, policy, other)


def _service(maker: _Maker, one: _Patient, scene: Mapping[str, Any], draw: int, day: date, result: str) -> Row:
    mo = maker.parcel.mo
    row = {
        **{name: str(scene[name]) for name in ("COD", "IOTD", "PCOD", "PRVS")},
        "SN_POL": one.rows["R"][0]["SN_POL"],
        "C_I": str(1000 + one.serial),
        "D_U": day.isoformat(),
        "DS": scene["DS"][(draw >> 4) % len(scene["DS"])],
        "DET": "0",
        "K_U": str(scene.get("K_U", 1)),
        "TIP": str(scene.get("TIP", "")),
        "D_TYPE": "0",
        "RSLT": result,
        "ISHOD": result,
        "ORD": "0",
        "LPU_ID": mo,
        "FIL_ID": mo,
    }
    one.rows["S"].append(row)
    return row


def _visit(maker: _Maker, one: _Patient, scene: Mapping[str, Any], draw: int, place: int) -> Row:
    day = maker.first + timedelta(days=place * 9 + draw % 9)
    return _service(maker, one, scene, draw, day, "301")


def _stay(maker: _Maker, one: _Patient, scene: Mapping[str, Any], draw: int) -> Row:
    day = maker.first + timedelta(days=(draw >> 24) % 27)
    row = _service(maker, one, scene, draw, day, "101")
    row |= {"ORD": "1", "LPU_ORD": str(maker.data["defaults"]["from_polyclinic"]), "DS_0": row["DS"]}
    row["DATE_ORD"] = (maker.first - timedelta(days=40)).isoformat()
    if "CODHO" in scene:
        operation = {"SN_POL": row["SN_POL"], "C_I": row["C_I"], "CODHO": str(scene["CODHO"]), "K_HO": "1"}
        one.rows["HO"].append(operation | {"COD": row["COD"]})
    return row


def _plant(maker: _Maker, defect: Mapping[str, Any]) -> None:
    """A patient of his own with the defect's changes; what the payer must find is remembered."""
    one = _patient(maker)
    one.rows["R"][0] |= {"TIP_P": "П", "SN_POL": one.policy, "SV": "110"}
    draw = mix(maker.start ^ mix(one.serial))
    if defect["base"] == "stay":
        _stay(maker, one, maker.data["stay"][0], draw)
    else:
        _visit(maker, one, maker.data["visit"][0], draw, 0)
    born = (date(1930, 1, 1) + timedelta(days=one.serial * 37 % 25000)).isoformat()
    values = {"serial": f"{one.serial:05d}", "policy": one.policy, "other": one.other, "born": born}
    for table, change in defect.get("set", {}).items():
        _change(maker, one.rows[table][0], change, values)
    for table, rows in defect.get("add", {}).items():
        for change in rows:
            row = dict(one.rows[table][0])
            one.rows[table].append(row)
            _change(maker, row, change, values)
    numbers = _put(maker, one)
    for text in defect["expect"]:
        where, _, error = text.partition(":")
        table = where.rstrip("0123456789")
        place = int(where[len(table) :] or 1)
        maker.parcel.expected.add((table, numbers[table][place - 1], error))
    if rule := defect.get("warns"):
        maker.parcel.warned[rule] = maker.parcel.warned.get(rule, 0) + 1


def _change(maker: _Maker, row: Row, change: Mapping[str, Any], values: Mapping[str, str]) -> None:
    for name, text in change.items():
        row[name] = maker.day(str(text).format_map(values))


def _put(maker: _Maker, one: _Patient) -> dict[str, list[str]]:
    """Number the rows of a patient and put them into the tables; gives the numbers by table."""
    found: dict[str, list[str]] = {}
    for table in KEYED:
        listed = maker.parcel.tables[table]
        for row in one.rows[table]:
            row["RECID"] = f"{len(listed) + 1:07d}"
            listed.append(row)
            found.setdefault(table, []).append(row["RECID"])
    return found
