"""A register is judged and answered: by the fund per payer and to the MO, by the payer in one file or in two.

What happens, in order: read · is it what was let through before · identify · judge · every file of the answer ·
report · receipt · effects. Which files an answer has, and which accounts stand in each, is data of the profile.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from oms_batch.errors import Fault, SetupError, WrongState
from oms_batch.exchange import FUND, MO, PAYER, ROLES, Hop, Payer
from oms_batch.intake import names
from oms_batch.model import NamedFile, WorkOrder, last_day
from oms_batch.stages import judging, proving, telling
from oms_batch.stages.workbench import Bench, hop_of, workbench


def work(data: dict[str, Any]) -> dict[str, Any]:
    """Answer the register of the order; raises ``Refusal`` when it is refused as a whole."""
    order = WorkOrder.from_json(data)
    with workbench(order) as bench:
        line = hop_of(order, bench.profile)
        proving.nothing_flagged(bench, line)
        proving.proved(bench)
        judged = judging.judge(bench, line, payer=_only_payer(bench))
        _from_closed_payers(bench)
        with bench.timed("answer"):
            for stage in line.emits:
                _answer(bench, judged, line, stage)
        with bench.timed("report"):
            telling.report(bench, judged)
            telling.receipt(bench, judged, line)
        return judging.result(bench, line, judged).as_json()


def _only_payer(bench: Bench) -> str:
    """The payer that the file itself names; empty: identification finds it for each account."""
    everyone = bench.profile.data["name"]["all_payers"]
    return "" if bench.named.payer == everyone else bench.named.payer


def _answer(bench: Bench, judged: judging.Judged, line: Hop, stage: str) -> None:
    """All files of one stage of the answer; together they hold every account that this stage is for."""
    told = _told(bench, line, stage)
    which = _kept(told)
    accounts = 0
    for payer, where in _payers(bench, stage):
        if not bench.profile.stages[stage].empty and not _count(bench, f"{which} AND {where}"):
            continue
        named = _name(bench, stage, payer)
        partner = _partner(bench, line, told, named)
        accounts += telling.answer(bench, judged, named, partner, f"{which} AND {where}", payer).accounts
    payers = " OR ".join(where for _payer, where in _payers(bench, stage)) or "FALSE"
    if accounts != _count(bench, f"{which} AND ({payers})"):
        raise Fault("the answers do not hold every account of the register")


def _count(bench: Bench, where: str) -> int:
    row = bench.con.execute(f"SELECT count(*) FROM verdicts v WHERE {where}").fetchone()
    return int(row[0]) if row else 0


def _told(bench: Bench, line: Hop, stage: str) -> Hop:
    """The line of the profile for the file that we emit: who gets it, and what it says of an account."""
    ours = {line.receiver, *({PAYER} if line.receiver != MO else ())}
    for one in bench.profile.hops:
        if one.stage == stage and one.sender in ours:
            return one
    raise Fault(f"no line of the profile for an answer of stage {stage}")


def _kept(told: Hop) -> str:
    """Which accounts a file of this stage holds: the refused, the passed, or both."""
    if told.holds:
        return {"passed": "NOT v.refused", "refused": "v.refused", "all": "TRUE"}[told.holds]
    if bool(told.passed) == bool(told.refused):
        return "TRUE"
    return "NOT v.refused" if told.passed else "v.refused"


def _payers(bench: Bench, stage: str) -> list[tuple[Payer | None, str]]:
    """The payers of this stage's files with the condition on their accounts; of a zero register all that are told."""
    described, named, profile = bench.profile.stages[stage], bench.named, bench.profile
    if described.payers != "one":
        return [(None, "TRUE")]
    day = last_day(named.period)
    if only := _only_payer(bench):
        return [(profile.payer_in(only, day.replace(day=1), day), "TRUE")]
    return [(one, f"v.payer = '{one.code}'") for one in _found_payers(bench) if one.kind in described.kinds]


def _found_payers(bench: Bench) -> Iterator[Payer]:
    profile, day = bench.profile, last_day(bench.named.period)
    codes = _told_payers(bench)
    for code in codes:
        if (found := profile.payer_in(code, day.replace(day=1), day)) is not None:
            yield found
    if not codes:
        kind = profile.data["zero"]["answer_to"]
        yield from sorted(
            (one for one in profile.payers if one.kind == kind and one.open_on(day)), key=lambda one: one.code
        )


def _told_payers(bench: Bench) -> list[str]:
    rows = bench.con.execute("SELECT DISTINCT payer FROM verdicts WHERE payer IS NOT NULL ORDER BY 1").fetchall()
    return [str(row[0]) for row in rows]


def _from_closed_payers(bench: Bench) -> None:
    """An account of an earlier month may belong to a payer who has closed since, and no file of this month may carry
    that name: the fund answers for it. ``SetupError`` where the month has no fund."""
    profile, last = bench.profile, last_day(bench.named.period)
    first = last.replace(day=1)
    closed = (
        [] if _only_payer(bench) else [one for one in _told_payers(bench) if not profile.payer_in(one, first, last)]
    )
    fund = next((one.code for one in profile.payers if one.kind == "fund" and one.open_in(first, last)), "")
    if closed and not fund:
        raise SetupError(f"{profile.id}: payers.csv: no fund in {bench.named.period}")
    for code in closed:
        bench.con.execute("UPDATE verdicts SET payer = ? WHERE payer = ?", [fund, code])


def _name(bench: Bench, stage: str, payer: Payer | None) -> NamedFile:
    parts = dict(bench.named.parts)
    if payer is not None:
        parts["payer"] = payer.code
    elif bench.profile.stages[stage].payers == "all":
        parts["payer"] = bench.profile.data["name"]["all_payers"]
    extension = bench.profile.data["name"].get("answers_in", bench.named.extension)
    return names.build(stage, parts, extension, bench.profile)


def _partner(bench: Bench, line: Hop, told: Hop, named: NamedFile) -> str:
    """The folder of who gets this file: he who sent us the register, or another partner by his codes."""
    if told.receiver == line.sender:
        return bench.order.partner
    for one in bench.order.options["partners"]:
        role = ROLES[one["role"]]
        codes = {one.get(key, "") for key in ("letter", "code", "smo")} - {""}
        fits = {
            MO: role == MO and named.mo in codes | {f"{one['ogrn']}-{one['kpp']}"},
            FUND: role == FUND,
            PAYER: role != MO and named.payer in codes,
        }
        if fits[told.receiver]:
            return str(one["folder"])
    raise WrongState("PARTNER_UNKNOWN", named.suffix)
