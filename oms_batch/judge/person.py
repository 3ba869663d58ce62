"""One way to write a person down for comparing, as SQL: names, numbers, the key of a person.

The same expressions make the keys of the insured register when it is imported, so both sides agree.
"""

from __future__ import annotations

from dataclasses import dataclass

from oms_batch.errors import SetupError
from oms_batch.ruledata import RuleData


@dataclass(frozen=True)
class Spelling:
    """Letters that count as others and signs that count as a space (``[names]`` of identification.toml)."""

    replace_from: str
    replace_to: str
    blank: str

    def name(self, column: str) -> str:
        """SQL: a name in upper case, with the signs and letters made equal; never NULL."""
        source = _quoted(self.replace_from + self.blank)
        target = _quoted(self.replace_to + " " * len(self.blank))
        text = f"translate(upper(COALESCE({column}, '')), {source}, {target})"
        # The regular expression costs most of it and is seldom needed.
        return f"trim(CASE WHEN contains({text}, '  ') THEN regexp_replace({text}, ' +', ' ', 'g') ELSE {text} END)"

    def joined(self, fam: str, im: str, ot: str, dr: str) -> str:
        """SQL: names and birth date as one text; NULL when there is no birth date."""
        names = ", '|', ".join(self.name(column) for column in (fam, im, ot))
        return f"CASE WHEN {dr} IS NOT NULL THEN concat({names}, '|', CAST({dr} AS VARCHAR)) END"

    def key(self, fam: str, im: str, ot: str, dr: str) -> str:
        """SQL: the person as 32 hex digits, for the history of accounts."""
        return f"md5({self.joined(fam, im, ot, dr)})"

    def number(self, fam: str, im: str, ot: str, dr: str) -> str:
        """SQL: the person as UBIGINT, for the register of the insured: small and quick to join."""
        return f"md5_number_lower({self.joined(fam, im, ot, dr)})"

    def pair(self, asked: str, insured: str) -> str:
        """SQL: a person of a register and one of the insured as one hash: neither can be told from it."""
        names = ", '|', ".join(self.name(f"{asked}.{column}") for column in ("fam", "im", "ot"))
        more = f"COALESCE(CAST({asked}.dr AS VARCHAR), ''), '|', COALESCE({asked}.w, '')"
        return f"sha256(concat({names}, '|', {more}, '||', {insured}.person))"

    def differs(self, left: str, right: str) -> str:
        """SQL: two names are not one; most are told equal without the costly spelling."""
        same = f"upper({left}) = upper({right})"
        return f"(CASE WHEN {same} THEN FALSE ELSE {self.name(left)} <> {self.name(right)} END)"


def number(column: str) -> str:
    """SQL: a series or number in upper case without spaces and signs; NULL when nothing is left."""
    plain = f"NULLIF(regexp_replace(upper({column}), '[^0-9A-ZА-ЯЁ]', '', 'g'), '')"
    return f"CASE WHEN regexp_full_match({column}, '[0-9]+') THEN {column} ELSE {plain} END"


def digits(column: str) -> str:
    """SQL: the digits only; NULL when there are none."""
    return f"NULLIF(regexp_replace({column}, '[^0-9]', '', 'g'), '')"


def load_spelling(rules: RuleData, profile: str) -> Spelling:
    """``[names]`` of the profile's identification.toml."""
    file = f"{profile}/identification.toml"
    names = rules.toml(file).get("names", {})
    found = Spelling(str(names.get("from", "")), str(names.get("to", "")), str(names.get("blank", "")))
    if len(found.replace_from) != len(found.replace_to):
        raise SetupError(f"{file}: names: from and to must be of one length")
    return found


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
