"""Accounts put aside because they do not fit under the caps: their bytes as they are kept, and what is told of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from oms_batch.desk import fragment
from oms_batch.desk.sources import AccountPart, PatientPart
from oms_batch.errors import Fault
from oms_batch.model import Totals


@dataclass(frozen=True, slots=True)
class CapLine:
    """One line of the caps as it is shown: what it is cut by, its caps (``None``: none) and what came under it.

    ``used``: billed in the month before; ``kept`` and ``over``: of this register, in it and beyond.
    """

    number: int
    usl_ok: str
    vidpom: str
    profil: str
    volume: int | None
    money: int | None
    used: Totals
    kept: Totals
    over: Totals


@dataclass(frozen=True, slots=True)
class Beyond:
    """An account beyond the caps: its key, what lacks (volume, money), the line, its conditions, last day and sum."""

    xkey: str
    what: str
    line: int
    shown: str
    usl_ok: str
    date_z_2: str
    sumv: int


@dataclass(frozen=True, slots=True)
class Measured:
    """A register held against the caps of its month; no lines: nobody gave caps for it."""

    lines: tuple[CapLine, ...]
    beyond: tuple[Beyond, ...]

    @property
    def total(self) -> Totals:
        """Accounts and kopecks beyond the caps."""
        return Totals(len(self.beyond), sum(one.sumv for one in self.beyond))


def written(patients: Iterable[PatientPart], encoding: str) -> bytes:
    """Patients with their accounts as one JSON document; the same patients give the same bytes."""
    rows = [
        {
            "head": patient.head.decode(encoding),
            "tail": patient.tail.decode(encoding),
            "accounts": [
                {
                    "account": part.data.decode(encoding),
                    "xkey": part.xkey,
                    "number": part.number,
                    "sums": {name: list(pair) for name, pair in sorted(part.sums.items())},
                }
                for part in patient.accounts
            ],
        }
        for patient in patients
    ]
    return json.dumps({"encoding": encoding, "patients": rows}, ensure_ascii=False, sort_keys=True).encode()


def read(content: bytes, wanted: Collection[str], encoding: str, label: str) -> Iterator[PatientPart]:
    """The patients of such a document who have wanted accounts, with these only, in another code page if need be."""
    document = json.loads(content)
    kept_in = str(document["encoding"])

    def turned(text: str) -> bytes:
        return fragment.transcode(text.encode(kept_in), kept_in, encoding)

    for row in document["patients"]:
        parts = [_part(one, turned, f"{label} {one['xkey']}") for one in row["accounts"] if one["xkey"] in wanted]
        if parts:
            yield PatientPart(turned(row["head"]), turned(row["tail"]), parts, label)


def _part(row: dict[str, Any], turned: Any, place: str) -> AccountPart:
    sums = {name: (int(claimed), int(accepted)) for name, (claimed, accepted) in row["sums"].items()}
    return AccountPart(turned(row["account"]), row["xkey"], row["number"], sums, place)


def totals_of(patients: Iterable[PatientPart]) -> Totals:
    """Accounts and claimed kopecks of patients."""
    parts = [part for patient in patients for part in patient.accounts]
    return Totals(len(parts), sum(claimed for part in parts for claimed, _accepted in part.sums.values()))


def check_nothing_lost(before: Totals, after: Totals, aside: Totals, again: Totals) -> None:
    """``Fault`` unless the whole register is what it keeps and what was put aside (of new cases, of those again)."""
    if before != after + aside + again:
        raise Fault("putting accounts aside lost some of them")
