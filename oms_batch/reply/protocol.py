"""The answer to a file that cannot be judged: an ``FLK_P`` protocol and a page for people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from oms_batch.errors import Problem, Refusal, SetupError
from oms_batch.i18n import N_, _, pick
from oms_batch.reply import people
from oms_batch.reply.flk_p import Fault, Form, document, load_form
from oms_batch.reply.page import render
from oms_batch.ruledata import RuleData

TEXTS = "common/problems.toml"
LIMIT = 1000
_ACCOUNT = re.compile(r"\bpersonal_account n_pp=(\w{1,12})", re.ASCII)
_WORD = re.compile(r"\b(line|byte|column|position|length) (\d+)", re.ASCII)
_WORDS = {
    "line": N_("line {n}"),
    "byte": N_("byte {n}"),
    "column": N_("column {n}"),
    "position": N_("position {n}"),
    "length": N_("length {n}"),
}
_ELEMENT = re.compile(r"(?P<element>[A-Za-z_]\w{0,40})(?:[./@]+(?P<field>[A-Za-z_]\w{0,40}))?")


@dataclass(frozen=True, slots=True)
class Told:
    """A problem with its texts in the language in force."""

    code: str
    title: str
    advice: str
    place: str
    expected: str
    found: str


def load_texts(rules: RuleData) -> Mapping[str, Mapping[str, Any]]:
    """Texts of the problem codes; none when the rule data has no such file."""
    try:
        return rules.toml(TEXTS)
    except SetupError:
        if rules.exists(TEXTS):
            raise
        return {}


def told(problem: Problem, texts: Mapping[str, Mapping[str, Any]]) -> Told:
    """A problem in the language in force, its place too; one without texts is shown by its code."""
    row = texts.get(problem.code, {})
    title = pick(str(row.get("title", "")), str(row.get("title_en", ""))) or problem.code
    advice = pick(str(row.get("advice", "")), str(row.get("advice_en", "")))
    place, expected, found = (people.clean(_(one)) for one in (problem.place, problem.expected, problem.found))
    place = _ACCOUNT.sub(lambda one: _("account no. {n}").format(n=one[1]), place)
    place = _WORD.sub(_translated, place)
    return Told(problem.code, title, advice, place, expected, found)


def _translated(found: re.Match[str]) -> str:
    word = _WORDS[found[1]]
    return _(word).format(n=found[2])


def flk_p(
    refusal: Refusal,
    file: str,
    protocol: str,
    texts: Mapping[str, Mapping[str, Any]],
    limit: int = LIMIT,
    *,
    sha256: str = "",
    form: Form | None = None,
) -> bytes:
    """The protocol of a file refused as a whole: one ``PR`` per problem, none of them with a record; always in Russian.

    ``OSHIB`` is the federal code where the texts name one (``oshib``), else our own where the form takes it. The
    field is named only when the place names one; what does not fit is in ``COMMENT``. ``sha256`` of the refused
    file tells its sender which of his files of that name is meant.
    """
    with people.speaking("ru"):
        rows = [
            _fault(one, told(one, texts), str(texts.get(one.code, {}).get("oshib", "")))
            for one in refusal.problems[:limit]
        ]
        if refusal.total > len(rows):
            more = _("{shown} of {total} problems are listed").format(shown=len(rows), total=refusal.total)
            rows.append(Fault("MORE", comment=more))
    return b"".join(document(form or load_form(RuleData(), ""), file, protocol, rows, sha256=sha256))


def _fault(problem: Problem, one: Told, oshib: str) -> Fault:
    element = _ELEMENT.fullmatch(problem.place)
    account = _ACCOUNT.search(problem.place)
    where = "" if element else one.place
    values = "; ".join(
        f"{name}: {value}" for name, value in ((_("expected"), one.expected), (_("found"), one.found)) if value
    )
    return Fault(
        code=problem.code,
        official=oshib,
        field=(element["field"] or "") if element else "",
        base=element["element"] if element else "",
        account=account[1] if account else "",
        comment=". ".join(part.rstrip(". ") for part in (one.title, where, values, one.advice) if part),
    )


def write_protocol_page(
    refusal: Refusal,
    out: BinaryIO,
    file: str,
    facts: Sequence[tuple[str, str]],
    texts: Mapping[str, Mapping[str, Any]],
    *,
    lang: str = "ru",
    limit: int = LIMIT,
) -> None:
    """The page: file, place, code, what to do; at most ``limit`` problems and how many there are."""
    with people.speaking(lang):
        problems = [told(one, texts) for one in refusal.problems[:limit]]
        values = {"file": file, "facts": list(facts), "problems": problems, "total": max(refusal.total, len(problems))}
        render("protocol.html.j2", values, out)
