"""The same accounts as files of other hands: source cases of an organisation (CSV), decisions of experts (CSV).

The form of source cases is that of ``docs/source_csv.md``: a line per row of a table, nested by order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from oms_batch.exchange import Profile
from oms_batch.model import roubles
from oms_batch.synth.numbers import base, mix, snils
from oms_batch.synth.people import patient, person
from oms_batch.synth.register import blocks, fillings, visits
from oms_batch.synth.scenes import work_out
from oms_batch.synth.tree import Node
from oms_batch.synth.world import Spec, build

_LINES = {"pers": "person", "z_sl": "account", "usl": "service", "ds": "diagnosis"}
_KEYS = {"pers": "id_pac", "z_sl": "xkey", "usl": "idserv"}
DECISIONS = ("xkey", "kod", "withheld", "act_no", "act_date", "expert")


@dataclass(frozen=True, slots=True)
class _Layout:
    """Below ``patient``: which element starts a row of which table, which attribute is which column."""

    tables: dict[str, str]
    columns: dict[tuple[str, str], tuple[str, str]]


def _layout(profile: Profile) -> _Layout:
    tables: dict[str, str] = {}
    columns: dict[tuple[str, str], tuple[str, str]] = {}
    for row in profile.rules.table(f"{profile.id}/layouts/{profile.data['layout']}.csv"):
        _, found, path = row["path"].partition("/patients/")
        if not found:
            continue
        if row["kind"] == "element":
            tables[path] = row["table"]
        else:
            columns[path, row["name"]] = (row["table"], row["column"])
    return _Layout(tables, columns)


def source_csv(profile: Profile, spec: Spec) -> Iterator[bytes]:
    """The accounts of a register as source cases; UTF-8, ``;``, in blocks of bytes.

    The header has every column that the accounts of the generator may fill.
    """
    world = build(profile, spec)
    patterns = work_out(world)
    layout = _layout(profile)
    fill = fillings(world)

    def rows() -> Iterator[list[tuple[str, str, dict[str, str]]]]:
        for who, listed in visits(world, patterns):
            nodes = []
            for visit in listed:
                values = fill(visit)
                nodes.append(visit.pattern.node.copy(lambda text, values=values: text % values))  # type: ignore[misc]
            yield list(_rows(layout, patient(world, person(world, who), nodes)))

    header = ["row", "up", *dict.fromkeys(name for lines in rows() for _, _, values in lines for name in values)]

    def lines() -> Iterator[str]:
        yield ";".join(header) + "\n"
        for listed in rows():
            for kind, up, values in listed:
                yield ";".join([kind, up, *(values.get(name, "") for name in header[2:])]) + "\n"

    return blocks(lines(), "utf-8")


def _rows(layout: _Layout, root: Node) -> Iterator[tuple[str, str, dict[str, str]]]:
    """(kind of line, key of the line above, column → value) of a patient, in document order."""
    yield from _below(layout, root, root.tag, "", {})


def _below(
    layout: _Layout, node: Node, path: str, up: str, into: dict[str, str]
) -> Iterator[tuple[str, str, dict[str, str]]]:
    table = layout.tables[path]
    values: dict[str, str] = {} if table else into
    for name, text in node.attributes.items():
        values[layout.columns[path, name][1]] = text
    if not table:
        for child in node.children:
            yield from _below(layout, child, f"{path}/{child.tag}", up, into)
        return
    key = up
    if table in _KEYS:
        key = values[_KEYS[table]]
    inner: list[tuple[str, str, dict[str, str]]] = []
    for child in node.children:
        inner += _below(layout, child, f"{path}/{child.tag}", key, values)
    yield _LINES.get(table, table), up, values
    yield from inner


def experts_csv(
    accounts: Iterable[tuple[str, int]], codes: Iterable[str], act_date: str, seed: int | str = 1, per_mille: int = 50
) -> Iterator[bytes]:
    """Decisions of experts on a share of accepted accounts, as a ``;`` table with a head (``DECISIONS``).

    ``accounts``: xkey and accepted kopecks; ``codes``: federal codes of defects to draw from; ``withheld`` is the
    whole sum or a half of it, in roubles. Each act holds twenty accounts and has one expert.
    """
    listed = tuple(codes)
    start = base(seed)

    def lines() -> Iterator[str]:
        yield ";".join(DECISIONS) + "\n"
        number = 0
        for place, (xkey, kopecks) in enumerate(accounts):
            draw = mix(start + place)
            if draw % 1000 >= per_mille:
                continue
            act = number // 20 + 1
            number += 1
            withheld = kopecks if draw >> 10 & 1 else kopecks // 2
            kod = listed[(draw >> 12) % len(listed)]
            expert = snils(300000007 + act * 41)
            yield f"{xkey};{kod};{roubles(withheld)};{act}/{act_date[:4]};{act_date};{expert}\n"

    return blocks(lines(), "utf-8")
