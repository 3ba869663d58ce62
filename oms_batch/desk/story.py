"""The life of an account in words: from its first register through refusals and corrections to the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from oms_batch import textform
from oms_batch.desk.explain import Described, Explanation, defect_of, rule_titles
from oms_batch.desk.refused import state_title
from oms_batch.exchange import Profile
from oms_batch.i18n import _, language, pick
from oms_batch.model import roubles


@dataclass(frozen=True, slots=True)
class Event:
    """One event: ``at`` is the moment as kept, ``day`` as shown; ``detail`` may have several lines."""

    at: str
    day: str
    what: str
    detail: tuple[str, ...] = ()


def story(profile: Profile, account: Mapping[str, Any], known: Iterable[Described] | None = None) -> list[Event]:
    """The events of one account in order of time, from what the ledger knows of it.

    ``account``: its columns with ``register``, ``moves`` (``stage to_state withheld defect kod rule at file``),
    ``corrections`` (``field who why at``), ``resubmission`` (``kind at who``) or ``None``, ``successor`` and
    ``predecessor`` as (register, xkey) or ``None``, ``decisions`` (``kod withheld act_no act_date``).
    ``known``: the rules of a loaded rulebook.
    """
    desk = profile.rules.toml(f"{profile.id}/desk.toml")
    rules = rule_titles(profile, known)
    events: list[tuple[str, int, Event]] = []
    if account.get("predecessor"):
        register, xkey = account["predecessor"]
        text = _("Billed again: it was account {xkey} of register {register}").format(xkey=xkey, register=register)
        events.append(("", 0, Event("", "", text)))
    for move in account["moves"]:
        events.append((str(move["at"]), 1, _move(profile, desk["states"], rules, account, move)))
    for fix in account["corrections"]:
        text = _("Corrected: {field}").format(field=fix["field"])
        events.append((str(fix["at"]), 2, _event(str(fix["at"]), text, _by(fix["who"]), str(fix["why"]))))
    if back := account.get("resubmission"):
        kind = desk["kinds"][back["kind"]]
        text = _("Put on the list for the next register as {kind}").format(kind=pick(kind["title"], kind["title_en"]))
        events.append((str(back["at"]), 3, _event(str(back["at"]), text, _by(back["who"]))))
    for one in account.get("decisions", ()):
        text = _("Decision of experts: act {act} of {day}, {sum} withheld").format(
            act=one["act_no"], day=_day(str(one["act_date"])), sum=_sum(int(one["withheld"]))
        )
        fine = _("Fine: {sum}").format(sum=_sum(int(one["fine"]))) if one.get("fine") else ""
        events.append((str(one.get("imported_at", "")), 4, _event(str(one.get("imported_at", "")), text, fine)))
    if account.get("successor"):
        register, xkey = account["successor"]
        text = _("Lives on as account {xkey} of register {register}").format(xkey=xkey, register=register)
        events.append(("9999", 5, Event("", "", text)))
    return [event for _at, _rank, event in sorted(events, key=lambda one: one[:2])]


def heading(account: Mapping[str, Any]) -> str:
    """One line that says which account this is."""
    return _("Account {xkey}, number {number}, register {register}, {sum}").format(
        xkey=account["xkey"], number=account["idcase"], register=account["register"], sum=_sum(int(account["sumv"]))
    )


def _move(
    profile: Profile,
    states: Mapping[str, Mapping[str, str]],
    rules: Mapping[str, Explanation],
    account: Mapping[str, Any],
    move: Mapping[str, Any],
) -> Event:
    detail: list[str] = []
    if move.get("file"):
        detail.append(_("File {name}").format(name=move["file"]))
    if move["withheld"]:
        detail.append(_("{sum} withheld").format(sum=_sum(int(move["withheld"]))))
    if move["defect"] or move["kod"]:
        rule = rules.get(str(move["rule"]))
        row = defect_of(profile.rules, {**move, "date_z_2": account.get("date_z_2", "")}, rule.defect if rule else "")
        name = pick(row["name"], row["name_en"]) if row else ""
        code = row["osn"] if row else move["defect"] or move["kod"]
        detail.append(_("Cause {code}: {text}").format(code=code, text=rule.title if rule else name))
        advice = (rule.advice if rule else "") or (pick(row["advice"], row["advice_en"]) if row else "")
        if advice:
            detail.append(_("What to do: {advice}").format(advice=advice))
    title = state_title(states, str(move["to_state"]))
    return _event(str(move["at"]), title[:1].upper() + title[1:], *detail)


def _event(at: str, what: str, *detail: str) -> Event:
    return Event(at, _day(at), what, tuple(line for line in detail if line))


def _by(who: object) -> str:
    return _("by {who}").format(who=who) if who else ""


def _day(at: str) -> str:
    if len(at) < 10:
        return at
    return textform.day(at) if language() == "ru" else at[:10]


def _sum(kopecks: int) -> str:
    return _("{sum} roubles").format(sum=textform.money(kopecks) if language() == "ru" else roubles(kopecks))
