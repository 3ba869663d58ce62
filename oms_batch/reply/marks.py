"""What is written into one account or one patient of an answer.

The marks are those of the layout "Reestr" (``smo/@pay``, ``an_mes``, ``an_sum``, ``an_ps``,
``an_p``). Which code means what is data of the profile and comes in as values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from oms_batch.errors import Fault
from oms_batch.model import roubles
from oms_batch.reply.tags import TAG, children, element, set_attribute, spaces_before

_DIAGNOSIS = re.compile(r"[A-Z]\d{2}(\.\d{1,2})?")
_CONFLICT = ("date_1", "provcode", "provname", "n_pp", "curestart", "cureend", "doctor")


@dataclass(frozen=True, slots=True)
class Codes:
    """The profile's values for ``pay``, and for a policy or a person put right."""

    refused: str
    partly: str
    accepted: str
    policy: str = "1"
    person: str = "1"

    @staticmethod
    def of(profile: Mapping[str, Any]) -> Codes:
        """From the profile's data, table ``[pay]``."""
        known = {key: str(value) for key, value in profile["pay"].items()}
        return Codes(**{key: known[key] for key in Codes.__slots__ if key in known})


@dataclass(frozen=True, slots=True)
class RuleText:
    """What an answer says of one rule. ``defect`` is the key of its defect, not yet its number; ``official`` the
    numbers by which those who receive the answer know the check."""

    code: str
    title: str
    title_en: str = ""
    advice: str = ""
    advice_en: str = ""
    mark: str = "flk"
    defect: str = ""
    element: str = ""
    expression: str = ""
    official: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Texts:
    """Rules by code, and defects by key: ``(valid_from, valid_to, number, kod)`` in rising order.

    ``grounds`` by federal code: what is said of a decision that no rule made. ``steps`` by name: how a
    person was found.
    """

    rules: Mapping[str, RuleText] = field(default_factory=dict)
    defects: Mapping[str, Sequence[tuple[date, date | None, str, str]]] = field(default_factory=dict)
    grounds: Mapping[str, RuleText] = field(default_factory=dict)
    steps: Mapping[str, str] = field(default_factory=dict)

    def rule(self, code: str) -> RuleText:
        """The rule, or one that has only its code."""
        return self.rules.get(code) or RuleText(code, code)

    def defect(self, key: str, day: date | None) -> tuple[str, str]:
        """Number and federal code of a defect on the day of an account; empty when there is none."""
        if day is not None:
            for valid_from, valid_to, number, kod in self.defects.get(key, ()):
                if valid_from <= day and (valid_to is None or day <= valid_to):
                    return number, kod
        return "", ""

    def marked(self, *marks: str) -> list[str]:
        """Codes of the rules that show themselves in one of these marks."""
        return sorted(code for code, rule in self.rules.items() if rule.mark in marks)


@dataclass(frozen=True, slots=True)
class Account:
    """What the verdicts say of one account. Money in kopecks, ``sums`` in document order."""

    sumv: int
    gone: int
    refused: bool
    defect: str
    rule: str
    day: date | None
    ds1: str
    sums: Sequence[int]
    findings: Sequence[Mapping[str, str]]
    policy: Mapping[str, str] | None

    @property
    def marked(self) -> bool:
        return self.refused or self.gone > 0 or bool(self.findings) or self.policy is not None


def rewrite_account(raw: bytes, account: Account, texts: Texts, codes: Codes, encoding: str) -> bytes:
    """The bytes of an account with its accepted sums and its ``smo`` put in; all else is as sent."""
    smo = smo_element(account, texts, codes, encoding)
    inside = list(children(raw))
    parts: list[bytes] = []
    done, at, placed = 0, 0, False
    for child in inside:
        if child.name == b"sum" and (account.refused or account.gone):
            new, at = _accepted(raw[child.start : child.end], account.sums, at, encoding)
            parts += [raw[done : child.start], new]
            done = child.end
        elif child.name == b"smo" and not placed:
            parts += [raw[done : child.start], smo]
            done, placed = child.end, True
    if (account.refused or account.gone) and at != len(account.sums):
        raise Fault(f"an account with {len(account.sums)} sums in the table shows {at} in the document")
    if not placed:
        parts += _at_the_end(raw, done, inside[-1].start if inside else -1, smo)
        return b"".join(parts)
    return b"".join([*parts, raw[done:]])


def _at_the_end(raw: bytes, done: int, last: int, smo: bytes) -> list[bytes]:
    if last < 0 and raw.endswith(b"/>"):
        head = raw[:-2].rstrip()
        return [head, b">", smo, b"</personal_account>"]
    end = spaces_before(raw, raw.rindex(b"</"))
    gap = raw[spaces_before(raw, last) : last] if last >= 0 else b""
    return [raw[done:end], gap, smo, raw[end:]]


def _accepted(raw: bytes, sums: Sequence[int], at: int, encoding: str) -> tuple[bytes, int]:
    parts: list[bytes] = []
    done = 0
    for found in TAG.finditer(raw):
        if found[2] == b"elem" and not found[1]:
            if at >= len(sums):
                raise Fault("an account shows more sums than its table has")
            parts += [raw[done : found.start()], set_attribute(found[0], "sum", roubles(sums[at]), encoding)]
            done, at = found.end(), at + 1
    return b"".join([*parts, raw[done:]]), at


def smo_element(account: Account, texts: Texts, codes: Codes, encoding: str) -> bytes:
    """The element ``smo``: pay, then ``an_pss``, ``an_sums``, ``an_mess`` as the layout orders them."""
    groups: dict[str, list[bytes]] = {"an_pss": [], "an_sums": [], "an_mess": []}
    policies: list[dict[str, str]] = []
    for finding in account.findings:
        rule = texts.rule(finding["rule"])
        number = texts.defect(rule.defect, account.day)[0]
        if not number:
            number = account.defect if finding["rule"] == account.rule and account.defect else rule.code
        if rule.mark == "an_ps":
            policies.append({"an_ps": number, **_commented(account.policy or {}, texts, rule.title)})
        elif rule.mark == "an_sum":
            groups["an_sums"].append(_mark("an_sum", number, _conflict(finding["value"]), rule.title, encoding))
        else:
            mkb = _diagnosis(finding, account.ds1)
            groups["an_mess"].append(_mark("an_mes", number, {"mkb": mkb}, rule.title, encoding))
    if account.policy is not None and not policies:
        policies.append({"an_ps": codes.policy, **_commented(account.policy, texts)})
    groups["an_pss"] = [element("an_ps", policy, encoding) for policy in policies]
    explained = groups["an_sums"] or groups["an_mess"] or any(policy["an_ps"] == account.defect for policy in policies)
    if (account.refused or account.gone) and not explained:
        title = texts.rule(account.rule).title
        groups["an_mess"].append(_mark("an_mes", account.defect or account.rule, {}, title, encoding))
    content = b"".join(element(name, {}, encoding, b"".join(inside)) for name, inside in groups.items() if inside)
    return element("smo", {"pay": pay_of(account, codes)}, encoding, content)


def pay_of(account: Account, codes: Codes) -> str:
    """Refused, partly or accepted, as a code of the profile."""
    if account.refused and account.gone >= account.sumv:
        return codes.refused
    return codes.partly if account.gone else codes.accepted


def _mark(name: str, code: str, more: Mapping[str, str], comment: str, encoding: str) -> bytes:
    return element(name, {name: code, **more, "comment": comment}, encoding)


def _diagnosis(finding: Mapping[str, str], ds1: str) -> str:
    place = finding["element"].split(".")
    if place[0] not in ("ds", "usl_ds") and not place[-1].startswith(("ds", "mkb")):
        return ""
    return finding["value"] if _DIAGNOSIS.fullmatch(finding["value"]) else ds1


def _conflict(value: str) -> dict[str, str]:
    """The conflicting account that a finding carries as JSON; nothing when it carries none."""
    if not value.startswith("{"):
        return {}
    try:
        known = json.loads(value)
    except ValueError:
        return {}
    return {key: str(known[key]) for key in _CONFLICT if known.get(key) is not None}


def person_element(right: Mapping[str, str], texts: Texts, codes: Codes, encoding: str) -> bytes:
    """The element ``an_p`` with the right data of a person."""
    return element("an_p", {"an_p": codes.person, **_commented(right, texts)}, encoding)


def _commented(right: Mapping[str, str], texts: Texts, title: str = "") -> dict[str, str]:
    """The right data, with the step of the search that found them in the comment."""
    known = dict(right)
    how = texts.steps.get(known.pop("step", ""), "")
    comment = "; ".join(part for part in (title, how) if part)
    return {**known, "comment": comment} if comment else known


def rewrite_patient_end(raw: bytes, an_p: bytes) -> bytes:
    """The end of a patient, from ``</register_accounts>`` to ``</patient>``, with ``an_p`` in it."""
    found = [tag for tag in TAG.finditer(raw) if tag[2] == b"an_p"]
    if found:
        return raw[: found[0].start()] + an_p + raw[found[-1].end() :]
    end = raw.rindex(b"</")
    return raw[:end] + an_p + raw[end:]


def as_text(row: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Columns as attribute texts, those that are NULL left out."""
    return {key: str(value) for key, value in row if value is not None}
