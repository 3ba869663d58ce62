"""Refused accounts as the operator reads them: what is wrong, what to do, may it be billed again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

from oms_batch.desk.explain import Described, Explanation, defect_of, rule_titles
from oms_batch.desk.resubmit import kind, may_resubmit, resubmit_until
from oms_batch.exchange import Profile
from oms_batch.i18n import pick
from oms_batch.model import Totals

By = Literal["code", "register", "payer", "state"]


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A refused account; sums in kopecks. ``why_not`` is the code of why it may not be billed again (yet)."""

    register: str
    period: str
    payer: str
    state: str
    state_title: str
    idcase: str
    xkey: str
    usl_ok: str
    sumv: int
    withheld: int
    code: str
    rule: str
    message: str
    means: str
    advice: str
    enters_as: str
    may_resubmit: bool
    why_not: str
    until: str
    desk: str
    refused_at: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def refused_rows(
    profile: Profile, accounts: Iterable[Mapping[str, Any]], today: date, known: Iterable[Described] | None = None
) -> list[RefusedRow]:
    """Rows for ``refused``, from accounts of the ledger with the move that refused each.

    Columns of an account: ``register period payer state idcase xkey usl_ok sumv withheld desk date_z_2``; of the
    move: ``defect kod rule at``. ``known``: the rules of a loaded rulebook, whose texts are told.
    """
    rules = rule_titles(profile, known)
    states = profile.rules.toml(f"{profile.id}/desk.toml")["states"]
    defects: dict[tuple[str, ...], dict[str, str] | None] = {}
    rows = []
    for one in accounts:
        rule = rules.get(str(one["rule"]))
        day = str(one.get("date_z_2") or one["at"])[:10]
        key = (str(one["defect"]), str(one["kod"]), rule.defect if rule else "", day)
        if key not in defects:
            defects[key] = defect_of(profile.rules, {**one, "day": day}, key[2])
        rows.append(_row(profile, one, defects[key], rule, states, today))
    return rows


def grouped(rows: Iterable[RefusedRow], by: By) -> list[tuple[str, str, Totals]]:
    """(value, its text, accounts and withheld kopecks) by cause, register, payer or state; dearest first."""
    found: dict[str, tuple[str, Totals]] = {}
    for row in rows:
        value = getattr(row, by)
        text = {"code": row.message, "state": row.state_title}.get(by, value)
        before = found.get(value, (text, Totals()))[1]
        found[value] = (found.get(value, (text, before))[0], before + Totals(1, row.withheld))
    return sorted(((value, *rest) for value, rest in found.items()), key=lambda one: (-one[2].kopecks, one[0]))


def state_title(states: Mapping[str, Mapping[str, str]], state: str) -> str:
    """What a state is called, in the language in force."""
    texts = states.get(state)
    return pick(texts["title"], texts["title_en"]) if texts else state


def _row(
    profile: Profile,
    one: Mapping[str, Any],
    defect: dict[str, str] | None,
    rule: Explanation | None,
    states: Mapping[str, Mapping[str, str]],
    today: date,
) -> RefusedRow:
    allowed, why_not = may_resubmit(profile, one, defect, today)
    until = resubmit_until(one, defect)
    means = pick(defect["explain"], defect["explain_en"]) if defect else ""
    name = pick(defect["name"], defect["name_en"]) if defect else ""
    todo = pick(defect["advice"], defect["advice_en"]) if defect else ""
    return RefusedRow(
        register=str(one["register"]),
        period=str(one["period"]),
        payer=str(one["payer"]),
        state=str(one["state"]),
        state_title=state_title(states, str(one["state"])),
        idcase=str(one["idcase"]),
        xkey=str(one["xkey"]),
        usl_ok=str(one["usl_ok"]),
        sumv=int(one["sumv"]),
        withheld=int(one["withheld"]),
        code=f"{defect['osn']}" if defect else str(one["defect"] or one["kod"]),
        rule=str(one["rule"]),
        message=rule.title if rule else name,
        means=means,
        advice=(rule.advice if rule else "") or todo,
        enters_as=kind(profile, one),
        may_resubmit=allowed,
        why_not=why_not,
        until=until.isoformat() if until else "",
        desk=str(one["desk"]),
        refused_at=str(one["at"]),
    )
