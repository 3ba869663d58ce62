"""The register of the insured that fits a synthetic register: its persons and as many bystanders as ordered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import count

from oms_batch.exchange import Profile
from oms_batch.formats.dbf_gate import Column
from oms_batch.formats.dbf_write import pieces
from oms_batch.synth.people import Person, person
from oms_batch.synth.register import blocks, crowd
from oms_batch.synth.world import Spec, build

Changes = Mapping[str, Sequence[Mapping[str, str]]]
COLUMNS = ("ENP", "VPOLIS", "SPOLIS", "NPOLIS", "FAM", "IM", "OT", "DR", "W", "SNILS", "SMO", "DATE_FROM", "DATE_TO")
STOP = "STOP"  # in a change: the day on which the person's own policy was cancelled
STOP_COLUMNS = ("ENP", "Q", "DATE_END", "ENPZ")
UNKNOWN_SMO = "00000"
_WIDTHS = (16, 1, 10, 20, 40, 40, 40, 8, 1, 14, 5, 8, 8)
_DATES = (7, 11, 12)
_WRITTEN = date(2026, 1, 1)


def row(one: Person) -> tuple[str, ...]:
    """One insured person as text in the order of ``COLUMNS``; dates ``YYYY-MM-DD``, empty where open."""
    return (
        one.enp,
        one.vpolis,
        one.spolis,
        one.npolis,
        one.fam,
        one.im,
        one.ot,
        one.born.isoformat(),
        "1" if one.male else "2",
        one.snils,
        one.smo,
        one.begin.isoformat(),
        one.end.isoformat() if one.end else "",
    )


def insured(profile: Profile, spec: Spec, changes: Changes | None = None) -> Iterator[tuple[str, ...]]:
    """Rows of the register of the insured, ``COLUMNS`` in order: all own persons of the register, then bystanders.

    ``changes`` (the promise of ``plant`` has them): ENP → the rows that stand for this person, each as column → value
    where it differs; no rows: the person is missing.
    """
    world = build(profile, spec)
    left = spec.bystanders
    last = -1
    for ordinal in (who for who, _ in crowd(world)):
        yield from _rows(person(world, ordinal), changes)
        last = ordinal
    for ordinal in count(max(last + 1, world.person_from)):
        if left <= 0:
            return
        one = person(world, ordinal)
        left -= bool(one.smo)
        yield from _rows(one, changes)


def _rows(one: Person, changes: Changes | None) -> Iterator[tuple[str, ...]]:
    """The rows that stand for a person; none for those insured elsewhere."""
    if not one.smo:
        return
    if not changes or one.enp not in changes:
        yield row(one)
        return
    for change in changes[one.enp]:
        yield tuple(change.get(name, value) for name, value in zip(COLUMNS, row(one), strict=True))


def stopped(changes: Changes | None) -> list[dict[str, str]]:
    """Rows of the stop list for persons whose change names a day under ``STOP``: their own number was cancelled on it,
    the number of the change replaced it."""
    found = []
    for enp, rows in sorted((changes or {}).items()):
        for one in rows:
            if day := one.get(STOP):
                found.append({"ENP": enp, "Q": one.get("SMO", UNKNOWN_SMO), "DATE_END": day, "ENPZ": one["ENP"]})
    return found


def stop_csv(changes: Changes | None) -> bytes:
    """The same as a ``;`` table; empty when nobody's policy was cancelled."""
    rows = stopped(changes)
    if not rows:
        return b""
    return "".join(";".join(row) + "\n" for row in [STOP_COLUMNS, *(tuple(one.values()) for one in rows)]).encode()


def insured_csv(profile: Profile, spec: Spec, changes: Changes | None = None) -> Iterator[bytes]:
    """The register of the insured as a ``;`` table in UTF-8 with a head, in blocks of bytes."""
    lines = (";".join(values) + "\n" for values in insured(profile, spec, changes))
    yield (";".join(COLUMNS) + "\n").encode()
    yield from blocks(lines, "utf-8")


def insured_dbf(profile: Profile, spec: Spec, changes: Changes | None = None) -> Iterator[bytes]:
    """The same register as a dBASE III table in code page 866, in blocks of bytes; dates are of type D."""
    total = sum(1 for _ in insured(profile, spec, changes))
    fields = [
        Column(name, "D" if place in _DATES else "C", width)
        for place, (name, width) in enumerate(zip(COLUMNS, _WIDTHS, strict=True))
    ]
    yield from pieces(fields, insured(profile, spec, changes), "cp866", _WRITTEN, total)
