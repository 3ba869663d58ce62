"""What a synthetic register is made of: the order for it (``Spec``) and the material of a profile (``World``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import Any

from oms_batch.errors import SetupError
from oms_batch.exchange import Payer, Profile
from oms_batch.synth import numbers


@dataclass(frozen=True, slots=True)
class Spec:
    """An order for a register. Equal orders give equal bytes on any machine.

    ``payers``: letter → weight; the fund's letter stands for those insured elsewhere.
    ``payer``: the letter of the one payer that the whole register is billed to; empty: the fund, for all of them.
    ``kind`` and ``version``: which kind of file and which version of it, where a profile has several.
    Empty text and an empty mapping mean the profile's own default.
    """

    accounts: int = 1000
    seed: int | str = 1
    period: str = ""
    ogrn_mo: str = ""
    kpp_mo: str = ""
    number: str = ""
    encoding: str = "windows-1251"
    payers: Mapping[str, int] = field(default_factory=dict)
    bystanders: int = 0
    payer: str = ""
    kind: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Names:
    """Name lists of one sex: surnames, first names, patronymics."""

    surnames: tuple[str, ...]
    names: tuple[str, ...]
    patronymics: tuple[str, ...]


@dataclass(frozen=True)
class World:
    """A spec with everything of the profile that is needed to fill it."""

    profile: Profile
    spec: Spec
    start: int
    first: date
    last: date
    defaults: dict[str, Any]
    shares: dict[str, int]
    scenes: tuple[dict[str, Any], ...]
    tariffs: dict[str, int]
    letters: tuple[str, ...]  # 1000 entries: the payer letter of a draw
    payers: dict[str, Payer]
    fund: Payer
    male: Names
    female: Names
    data: dict[str, Any] = field(default_factory=dict)  # the whole scenes.toml
    kind: str = ""

    @cached_property
    def person_from(self) -> int:
        """The ordinal of the first person: kinds of files that share no person begin far from each other."""
        return next(
            (int(row.get("person_from", 0)) for row in self.data.get("file", ()) if row["kind"] == self.kind), 0
        )

    @cached_property
    def room(self) -> dict[tuple[bool, bool], int]:
        """How many accounts a person of a group (child, male) may have: none, one, or any number (3)."""
        groups = [(child, male) for child in (True, False) for male in (True, False)]
        fit = {group: [scene for scene in self.scenes if fits(scene, *group)] for group in groups}
        return {
            group: 3 if any(not scene.get("at_most_one") for scene in fit[group]) else min(len(fit[group]), 1)
            for group in groups
        }

    @property
    def ogrn_mo(self) -> str:
        return self.spec.ogrn_mo or str(self.defaults["ogrn_mo"])

    @property
    def kpp_mo(self) -> str:
        return self.spec.kpp_mo or str(self.defaults["kpp_mo"])

    @property
    def number(self) -> str:
        return self.spec.number or str(self.defaults["number"])

    @property
    def billed(self) -> Payer:
        """Whom the head of the register names as payer."""
        return self.payers[self.spec.payer] if self.spec.payer else self.fund

    @property
    def period(self) -> str:
        return f"{self.first:%Y-%m}"

    def file_name(self, stage: str, payer: str, extension: str) -> str:
        """The canonical name of this register's file at a stage, with the extension (``.zip``)."""
        return f"{self.ogrn_mo}{self.kpp_mo}{self.first:%y%m}{self.number}{stage}{payer}{extension}"


def fits(scene: Mapping[str, Any], child: bool, male: bool) -> bool:
    """Whether a scene is for such a person."""
    who = scene["who"] in ("any", "child" if child else "adult")
    return who and scene.get("sex", "") in ("", "1" if male else "2")


def build(profile: Profile, spec: Spec) -> World:
    """Read the generator's material of a profile; ``SetupError`` when the spec cannot be filled from it."""
    data = profile.rules.toml(f"{profile.id}/synth/scenes.toml")
    names = profile.rules.toml("common/synth/names.toml")
    kind = spec.kind or str(data["defaults"].get("kind", ""))
    scenes = tuple(one for one in data["scene"] if one.get("kind", "") == kind)
    if not scenes:
        raise SetupError(f"synth: no scenes for files of kind {kind}")
    year, month = (int(part) for part in (spec.period or data["defaults"]["period"]).split("-"))
    first = date(year, month, 1)
    last = date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
    weights = dict(spec.payers) or ({spec.payer: 1} if spec.payer else dict(data["payers"]))
    payers: dict[str, Payer] = {}
    for letter in weights:
        payer = profile.payer(letter, last)
        if payer is None:
            raise SetupError(f"synth: payer {letter} is not open on {last}")
        payers[letter] = payer
    fund = next((one for one in profile.payers if one.kind == "fund" and one.open_on(last)), None)
    fund = fund or next(iter(payers.values()), None)  # between funds nobody is "the" fund
    if fund is None:
        raise SetupError("synth: the payers' book has no fund")
    return World(
        profile,
        spec,
        numbers.base(spec.seed),
        first,
        last,
        data["defaults"],
        data["shares"],
        scenes,
        _tariffs(profile, last),
        _spread(weights),
        payers,
        fund,
        *name_lists(names),
        data,
        kind,
    )


def _tariffs(profile: Profile, day: date) -> dict[str, int]:
    """Service code → kopecks on a day, from the profile's book of tariffs."""
    on = day.isoformat()
    return {
        row["code"]: int(row["price"])
        for row in profile.rules.table(f"{profile.id}/books/tariffs.csv")
        if row["valid_from"] <= on and (not row["valid_to"] or on <= row["valid_to"])
    }


def _spread(weights: Mapping[str, int]) -> tuple[str, ...]:
    total = sum(weights.values())
    edges, so_far = [], 0
    for letter in sorted(weights):
        so_far += weights[letter]
        edges.append((so_far * 1000 // total, letter))
    return tuple(next(letter for edge, letter in edges if draw < edge) for draw in range(1000))


def feminine(surname: str) -> str:
    """The feminine form of a masculine Russian surname, part by part at a hyphen."""
    if "-" in surname:
        return "-".join(feminine(part) for part in surname.split("-"))
    if surname.endswith(("ов", "ев", "ёв", "ин", "ын")):
        return surname + "а"
    if surname.endswith(("ский", "цкий")):
        return surname[:-2] + "ая"
    return surname[:-2] + "ая" if surname.endswith(("ой", "ый")) else surname


def patronymic(father: str, irregular: Mapping[str, list[str]]) -> tuple[str, str]:
    """The masculine and the feminine patronymic of a father's name."""
    if father in irregular:
        his, hers = irregular[father]
        return his, hers
    if father.endswith(("й", "ь")):
        return father[:-1] + "евич", father[:-1] + "евна"
    return father + "ович", father + "овна"


def name_lists(data: dict[str, Any]) -> tuple[Names, Names]:
    surnames = tuple(dict.fromkeys(data["surnames"].split()))
    fathers = [patronymic(father, data["patronymic"]) for father in data["male"].split()]
    male = Names(surnames, tuple(data["male"].split()), tuple(his for his, _ in fathers))
    female = Names(
        tuple(feminine(one) for one in surnames), tuple(data["female"].split()), tuple(hers for _, hers in fathers)
    )
    return male, female
