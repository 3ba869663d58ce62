"""Official checks that reading itself decides (``structure.csv``), each proved on an ok and a bad text of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from oms_batch.errors import SetupError
from oms_batch.formats import elements
from oms_batch.formats.element_values import MISSING, judge
from oms_batch.judge.proof import ExampleResult
from oms_batch.ruledata import RuleData

FILE = "common/official/structure.csv"
ABSENT, PRESENT = "-", "+"
UNKNOWN_VERSION = "HDR_VERSION"


def official_by_structure(rules: RuleData) -> dict[str, list[dict[str, str]]]:
    """Official number -> the lines of the table that carry it."""
    found: dict[str, list[dict[str, str]]] = {}
    for row in rules.table(FILE):
        for number in row["official"].split("|"):
            found.setdefault(number.strip(), []).append(row)
    return found


def prove_structure(rules: RuleData, profile: str) -> Iterator[ExampleResult]:
    """The examples of all lines about layouts of this profile; ``SetupError`` when a line names no such element."""
    for row in rules.table(FILE):
        owner, _, file = row["layout"].partition("/")
        if owner != profile:
            continue
        if row["finding"] == UNKNOWN_VERSION:
            yield from _versions(rules, profile, file, row)
            continue
        layouts = _confirmed(rules, profile, file, row["path"])
        if not layouts:
            raise SetupError(f"{FILE}: {row['path']}: no confirmed layout of {row['layout']} has it")
        for kind, text, expected in (("pass", row["ok"], ""), ("fail", row["bad"], row["finding"])):
            for one in layouts:
                said = _verdict(one, text)
                code = row["official"].split("|")[0]
                why = f"{one.path}: {kind}"
                yield ExampleResult(code, kind, why, said == expected, int(bool(expected)), int(bool(said)), said)


def _versions(rules: RuleData, profile: str, file: str, row: Mapping[str, str]) -> Iterator[ExampleResult]:
    """A version that no layout of the file has refuses it before any element is read."""
    known = {one["version"] for one in elements.index(rules, profile) if one["file"] == file}
    for kind, text, expected in (("pass", row["ok"], ""), ("fail", row["bad"], UNKNOWN_VERSION)):
        said = "" if text in known else UNKNOWN_VERSION
        yield ExampleResult(
            row["official"], kind, row["path"], said == expected, int(bool(expected)), int(bool(said)), said
        )


def _confirmed(rules: RuleData, profile: str, file: str, path: str) -> list[elements.Element]:
    """The element in every layout of the file whose limits are known: of the days of the checks, else of before."""
    found: dict[bool, list[elements.Element]] = {False: [], True: []}
    for row in elements.index(rules, profile):
        if row["file"] == file and row["status"] == "confirmed":
            one = elements.load(rules, profile, f"{row['type']}:{row['id']}").elements.get(path)
            if one is not None:
                found[row["version"].startswith("2")].append(one)
    return found[False] or found[True]


def _verdict(one: elements.Element, text: str) -> str:
    if text == ABSENT:
        return MISSING if one.least else ""
    if text == PRESENT or one.facets is None:
        return ""
    return judge(one.facets, text)[1]
