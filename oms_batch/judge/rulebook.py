"""The rulebook: every rule of some sets, after the overlay of the region, as one frozen object.

One TOML file is one rule, one line of ``fields.csv`` is one rule; structure rules
(``common/structure``) carry titles and defects of what reading finds by itself.
The fingerprint goes into every answer: the same fingerprint means the same rules.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oms_batch.errors import SetupError
from oms_batch.judge.fieldlines import field_rules
from oms_batch.judge.officiallines import WORDS, is_official, official_rules
from oms_batch.judge.rule import Rule, checked, parse_all, read_rule
from oms_batch.judge.tables import ACCOUNT, Tables, load_tables
from oms_batch.judge.translate import translated
from oms_batch.ruledata import RuleData

COMMON = "common"
STRUCTURE = "common/structure"
# Books that judging itself needs, whatever the rules say.
ALWAYS_BOOKS = frozenset({"defects", "payers"})


@dataclass(frozen=True)
class Rulebook:
    """Effective rules sorted by code, parameters by name, and the tables that they speak of.

    ``types``: the types of file that this exchange has (TYPE_MD); rules for other types are not in the book.
    """

    profile: str
    sets: tuple[str, ...]
    rules: tuple[Rule, ...]
    params: tuple[tuple[str, str], ...]
    tables: Tables
    fingerprint: str
    types: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def get(self, code: str) -> Rule | None:
        """The rule with this code, if it is in the book."""
        return next((rule for rule in self.rules if rule.code == code), None)

    @property
    def books(self) -> frozenset[str]:
        """Names of the reference books that judging with this rulebook needs."""
        return ALWAYS_BOOKS.union(*(rule.books() for rule in self.asked()))

    def asked(self) -> Iterator[Rule]:
        """The rules that work: neither retired nor speaking of what this layout has not."""
        for rule in self.rules:
            if rule.status != "retired" and (rule.mandatory or not self.tables.lacks(rule.on, rule.parts())):
                yield rule


def load(rules: RuleData, sets: Sequence[str], profile: str = "") -> Rulebook:
    """Read the rules of these sets (``common/form``, ``yaroslavl/fund``) and the structure rules.

    ``profile`` (layout, overlay) is the root of the sets that is not ``common``, unless given.
    ``SetupError`` names the file and the key when anything is amiss.
    """
    owner = profile or _owner(sets)
    tables = load_tables(rules, owner)
    types = tuple(rules.toml(f"{owner}/profile.toml").get("official", {}).get("types", ()))
    found: list[Rule] = []
    for name in dict.fromkeys((STRUCTURE, *sets)):
        found.extend(_rules_of_set(rules, name, tables, types))
    _unique(found)
    params = _params(rules, (COMMON, owner))
    if rules.exists(f"{owner}/overlay.toml"):
        found, params = _overlaid(found, params, rules.toml(f"{owner}/overlay.toml"), f"{owner}/overlay.toml")
    effective = tuple(sorted(found, key=lambda rule: rule.code))
    mark = _mark(effective, params)
    return Rulebook(owner, tuple(sets), effective, tuple(sorted(params.items())), tables, mark, types)


def _owner(sets: Sequence[str]) -> str:
    owners = {name.split("/")[0] for name in sets} - {COMMON}
    if len(owners) != 1:
        raise SetupError("rule sets: exactly one profile besides common is needed")
    return owners.pop()


def _rules_of_set(rules: RuleData, set_name: str, tables: Tables, types: tuple[str, ...]) -> Iterable[Rule]:
    found = [
        _rule_file(rules, file, set_name) for file in rules.list(set_name, ".toml") if not file.endswith(f"/{WORDS}")
    ]
    if is_official(rules, set_name):
        found.extend(official_rules(rules, set_name, tables.columns, tables.parents))
    elif rules.exists(f"{set_name}/fields.csv"):
        found.extend(field_rules(rules, f"{set_name}/fields.csv", set_name, tables.columns))
    parse_all(found)
    asked = [rule for rule in map(checked, found) if _asked(rule, tables, types)]
    if set_name.split("/")[0] == COMMON:
        asked = [translated(rule, tables) for rule in asked]
        parse_all(asked)
    return [_fitted(rule, tables) for rule in asked]


def _asked(rule: Rule, tables: Tables, types: tuple[str, ...]) -> bool:
    """Whether the rule is for a type of file that this exchange has.

    Where one file carries accounts of several types (``type_of``), what stands above the account is of the first.
    """
    above = bool(tables.type_of) and ACCOUNT not in tables.chain(tables.same.get(rule.on, rule.on))
    asked = set(types[:1]) if above and rule.on in tables.columns else set(types)
    return not rule.files or not types or bool(set(rule.files) & asked)


def _fitted(rule: Rule, tables: Tables) -> Rule:
    """The rule as this layout can ask it, checked against its tables."""
    rule = _where_possible(rule, tables)
    if not rule.built_in:
        _known_table(rule, tables)
    return rule


def _rule_file(rules: RuleData, file: str, set_name: str) -> Rule:
    rule = read_rule(rules.toml(file), file, set_name)
    stem = file.rsplit("/", 1)[-1]
    if not stem.startswith(rule.code.replace(".", "_") + "_"):
        raise SetupError(f"{file}: code: the file name must start with the code and say what is wrong")
    if rule.checked_on is None:
        raise SetupError(f"{file}: checked_on: the day a person compared the rule with its basis")
    return rule


def _where_possible(rule: Rule, tables: Tables) -> Rule:
    """A rule that all profiles share is asked only where the layout has what it speaks of."""
    shared = rule.set_name.split("/")[0] == COMMON
    return rule.model_copy(update={"mandatory": False}) if shared and tables.lacks(rule.on, rule.parts()) else rule


def _known_table(rule: Rule, tables: Tables) -> None:
    """``on`` and the tables of an expression must be the unit's row, its ancestors or its lookups."""
    if rule.on not in tables.columns:
        if rule.mandatory:
            raise SetupError(f"{rule.file}: on: no such table in the layout")
        return
    if not rule.fails_when:
        return
    near = {*tables.chain(rule.on), *(one.name for one in rule.lookup), *rule.needs}
    if not rule.parts().subquery:
        strange = {table for table, _ in rule.parts().columns} - near
        if strange:
            raise SetupError(f"{rule.file}: {min(strange)} is neither the unit, nor above it, nor a lookup")


def _unique(found: Iterable[Rule]) -> None:
    seen: dict[str, str] = {}
    for rule in found:
        if rule.code in seen:
            raise SetupError(f"{rule.file}: code {rule.code} is taken by {seen[rule.code]}")
        seen[rule.code] = rule.file


def _params(rules: RuleData, roots: Sequence[str]) -> dict[str, str]:
    """``params.toml``: ``[[param]] name value title basis``; the profile's values win."""
    found: dict[str, str] = {}
    for root in roots:
        name = f"{root}/params.toml"
        if not rules.exists(name):
            continue
        for row in rules.toml(name).get("param", []):
            if missing := {"name", "value", "title", "basis"} - set(row):
                raise SetupError(f"{name}: param: {min(missing)} is missing")
            found[str(row["name"])] = str(row["value"])
    return found


def _overlaid(
    found: list[Rule], params: dict[str, str], overlay: Mapping[str, Any], file: str
) -> tuple[list[Rule], dict[str, str]]:
    """The three verbs of a region: retune a severity, retire a rule, set a parameter."""
    if unknown := set(overlay) - {"retune", "retire", "set"}:
        raise SetupError(f"{file}: {min(unknown)}: only retune, retire and set")
    by_code = {rule.code: rule for rule in found}
    for verb, needed in (("retune", "severity"), ("retire", ""), ("set", "value")):
        for row in overlay.get(verb, []):
            key = "param" if verb == "set" else "code"
            if missing := {key, "because", "basis", *filter(None, [needed])} - set(row):
                raise SetupError(f"{file}: {verb}: {min(missing)} is missing")
            if verb == "set":
                if row["param"] not in params:
                    raise SetupError(f"{file}: set: unknown param {row['param']}")
                params = {**params, str(row["param"]): str(row["value"])}
            elif row["code"] in by_code:
                by_code[row["code"]] = _changed(by_code[row["code"]], verb, row, file)
    return list(by_code.values()), params


def _changed(rule: Rule, verb: str, row: Mapping[str, Any], file: str) -> Rule:
    if verb == "retire":
        return rule.model_copy(update={"status": "retired"})
    if row["severity"] not in ("reject", "warn", "info"):
        raise SetupError(f"{file}: retune: severity is reject, warn or info")
    if row["severity"] == "reject" and not rule.defect:
        raise SetupError(f"{file}: retune: {rule.code} has no defect to reject with")
    return rule.model_copy(update={"severity": row["severity"]})


def _mark(rules: Sequence[Rule], params: Mapping[str, str]) -> str:
    """SHA-256 of what decides: examples, texts and places of files do not count."""
    silent = {"passes", "fails", "file", "title", "title_en", "advice", "advice_en", "checked_on"}
    live = [rule.model_dump(mode="json", exclude=silent) for rule in rules if rule.status != "retired"]
    text = json.dumps([live, sorted(params.items())], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
