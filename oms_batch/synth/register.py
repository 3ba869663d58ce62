"""A whole register as a stream of bytes: head with true totals, patients, accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from oms_batch.exchange import Profile
from oms_batch.model import Totals, roubles
from oms_batch.synth.numbers import base, mix
from oms_batch.synth.people import Person, patient, person, traits
from oms_batch.synth.scenes import SLOT, Pattern, Patterns, work_out
from oms_batch.synth.tree import Node, render
from oms_batch.synth.world import Spec, World, build

_MARK = Node("personal_account")
_BLOCK = 1 << 18
_OFTEN = (1, 1, 1, 1, 1, 2, 2, 2, 3, 3)  # accounts of one person


@dataclass(frozen=True, slots=True)
class Visit:
    """One account to be written: its ordinal from 0, its pattern and its first day's number in the month."""

    ordinal: int
    pattern: Pattern
    day: int


def crowd(world: World) -> Iterator[tuple[int, int]]:
    """Persons' ordinals with how many accounts each has, until the ordered number of accounts is reached."""
    done, who = 0, world.person_from
    while done < world.spec.accounts:
        draw, child, male = traits(world, who)
        count = min(_OFTEN[(draw >> 50) % 10], world.spec.accounts - done, world.room[child, male])
        if count:
            yield who, count
        done += count
        who += 1


def visits(world: World, patterns: Patterns) -> Iterator[tuple[int, list[Visit]]]:
    """The same persons with their accounts."""
    done = 0
    for who, count in crowd(world):
        draw, child, male = traits(world, who)
        rows = []
        for turn in range(count):
            more = mix(draw + turn + 7)
            pool = (patterns.later if turn else patterns.first)[child, male]
            pattern = pool[more % len(pool)]
            rows.append(Visit(done + turn, pattern, SLOT * turn + 1 + (more >> 32) % (SLOT - pattern.length + 1)))
        yield who, rows
        done += count


def fillings(world: World) -> Callable[[Visit], dict[str, str]]:
    """A function that gives the values of a pattern's places for a visit.

    Keys are unique over the months, organisations and registers of one seed.
    """
    days = [(world.first + timedelta(days=shift)).isoformat() for shift in range(-3, 40)]
    own = mix(world.start ^ mix(base(f"{world.ogrn_mo}{world.kpp_mo}{world.period}{world.number}")))
    front, back = f"{own >> 32:08x}-", f"-{own & 0xFFFF:04x}"
    period = f"{world.first:%y%m}"

    def fill(visit: Visit) -> dict[str, str]:
        one = visit.ordinal
        start = visit.day + 2
        return {
            "k": f"{front}{one >> 16 & 0xFFFF:04x}-{one & 0xFFFF:04x}{back}",
            "n": str(one + 1),
            "c": f"{period}-{one + 1}",
            "d0": days[start - 3],
            "d1": days[start],
            "d2": days[start + visit.pattern.length - 1],
        }

    return fill


def totals(world: World, patterns: Patterns) -> tuple[int, int, int, int]:
    """Persons, accounts and the kopecks of both parts of a register, without writing it."""
    persons = accounts = first = second = 0
    for _, rows in visits(world, patterns):
        persons += 1
        for visit in rows:
            accounts += 1
            first += visit.pattern.base
            second += visit.pattern.extra
    return persons, accounts, first, second


def head(world: World, parts: Mapping[str, int]) -> str:
    """The document up to ``<patients>`` with the kopecks of each part (type_acc)."""
    name = "windows-1251" if world.spec.encoding.lower() in ("windows-1251", "cp1251") else "utf-8"
    made = world.last.isoformat()
    body = {"version": str(world.defaults["version"]), "protocol": str(world.profile.data["protocol"])}
    body |= {"creator": str(world.defaults["creator"]), "telcreator": str(world.defaults["telcreator"])}
    body |= {"ogrn_mo": world.ogrn_mo, "kpp_mo": world.kpp_mo}
    body |= {"year": str(world.first.year), "month": str(world.first.month), "date_1": made}
    bill = {"t_opl": "1", "ogrn_smo": world.billed.ogrn, "date_2": made, "n_out": world.number, "date_in": made}
    total = Node("account_sum")
    elements = total.add("account_elem_t")
    for kind, kopecks in sorted(parts.items()):
        elements.add("account_elem", type_acc=kind, amountl=roubles(kopecks), amount=roubles(kopecks))
    opened = [render(Node(tag, values)).replace("/>\n", ">\n") for tag, values in (("body", body), ("bill", bill))]
    return f'<?xml version="1.0" encoding="{name}"?>\n<package>\n{"".join(opened)}{render(total)}<patients>\n'


TAIL = "</patients>\n</bill>\n</body>\n</package>\n"


def frame(world: World, one: Person) -> tuple[str, str]:
    """The text of a person's ``patient`` element before and after his accounts."""
    before, after = render(patient(world, one, [_MARK]), "  ").split(" " * 4 + "<personal_account/>\n")
    return before, after


def blocks(parts: Iterator[str], encoding: str) -> Iterator[bytes]:
    """Text pieces as encoded blocks of about a quarter of a megabyte."""
    held: list[str] = []
    size = 0
    for part in parts:
        held.append(part)
        size += len(part)
        if size >= _BLOCK:
            yield "".join(held).encode(encoding)
            held, size = [], 0
    if held:
        yield "".join(held).encode(encoding)


def register(profile: Profile, spec: Spec) -> Iterator[bytes]:
    """A valid register as blocks of bytes; memory does not grow with the number of accounts."""
    world = build(profile, spec)
    patterns = work_out(world)
    return blocks(_parts(world, patterns), spec.encoding)


def _parts(world: World, patterns: Patterns) -> Iterator[str]:
    _, _, first, second = totals(world, patterns)
    yield head(world, {"1": first, "2": second})
    fill = fillings(world)
    for who, rows in visits(world, patterns):
        before, after = frame(world, person(world, who))
        yield before
        for visit in rows:
            yield visit.pattern.text % fill(visit)
        yield after
    yield TAIL


def sent(profile: Profile, spec: Spec) -> Totals:
    """Accounts and kopecks of the register of a spec."""
    world = build(profile, spec)
    _, accounts, first, second = totals(world, work_out(world))
    return Totals(accounts, first + second)
