"""The MO takes in an answer: 1 from the fund, 6 and 5 together, 2 at the end.

What happens, in order: read · compare with what we sent · hear the verdicts · effects.
An answer that adds, drops or changes an account is refused whole, and nothing of it is taken in.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from oms_batch.errors import Problem, Refusal, WrongState
from oms_batch.exchange import Hop, Profile, load_profile
from oms_batch.intake import names
from oms_batch.model import Totals, WorkOrder, WorkResult
from oms_batch.reply.marks import Codes
from oms_batch.reply.reformulate import check_flags
from oms_batch.ruledata import RuleData
from oms_batch.stages import heard
from oms_batch.stages.judging import status_of
from oms_batch.stages.workbench import Bench, effects_path, hop_of, last_day, save, workbench
from oms_batch.store import tables

LISTED = 1000  # problems named in a protocol; the total is said


def work(data: dict[str, Any]) -> dict[str, Any]:
    """Take in the file of the order, with its sibling where the answer stands in two files.

    Raises ``Refusal`` SET_NOT_SUBSET, SET_CHANGED, SET_PARTITION, SET_INCOMPLETE, FLAG_SUM, DEFECT_CODE;
    ``WrongState`` when the other half of the answer is still to come.
    """
    order = WorkOrder.from_json(data)
    profile = load_profile(order.profile, RuleData(order.options.get("overlay", "")))
    line = hop_of(order, profile)
    with ExitStack() as stack:
        parts = [(stack.enter_context(workbench(order)), line)]
        if "with" in order.related:
            other = names.identify(order.related["with_name"], profile)
            other_line = profile.hop(line.with_, line.sender, line.receiver)
            assert other_line is not None
            bench = stack.enter_context(workbench(order, order.related["with"], "sibling", other))
            parts.append((bench, other_line))
        for bench, one in parts:
            _compare(bench, one, profile)
        _complete(order, profile, line, parts)
        return _result(order, parts).as_json()


def _compare(bench: Bench, line: Hop, profile: Profile) -> None:
    """Every account is one that we sent and that waits for this answer; what is unmarked is byte-equal."""
    con, codes = bench.con, Codes.of(profile.data)
    tables.load_parquet(con, "known", bench.order.known)
    con.execute("DELETE FROM known WHERE payer NOT IN ('', ?)", [bench.named.payer])
    heard.prepare(con, profile, codes, last_day(bench.named.period))
    open_states = sources(profile, line)
    problems = [
        *_rows(con, "SET_NOT_SUBSET", "SELECT h.idcase, h.line FROM heard h ANTI JOIN known k USING (xkey, nth)"),
        *_rows(
            con,
            "SET_NOT_SUBSET",
            "SELECT h.idcase, h.line, k.state FROM heard h JOIN known k USING (xkey, nth) WHERE k.state NOT IN $states",
            {"states": open_states},
        ),
        *_rows(
            con,
            "SET_CHANGED",
            """SELECT h.idcase, h.line FROM heard h JOIN known k USING (xkey, nth)
            WHERE h.sumv IS DISTINCT FROM k.sumv
                OR (($unmarked OR NOT h.marked) AND h.digest IS DISTINCT FROM k.digest)""",
            # where the digest leaves the marks out, marked accounts must agree too
            {"unmarked": bool(profile.data.get("mark", {}).get("digest_without_marks"))},
        ),
        *check_flags(con, codes, LISTED),
        *_rows(
            con, "DEFECT_CODE", "SELECT idcase, line, defect FROM heard WHERE refused AND NOT coded AND withheld > held"
        ),
    ]
    problems += heard.own_problems(con, profile)
    wrong = "refused" if not line.refused else "NOT refused" if not line.passed else "FALSE"
    problems += _rows(con, "SET_PARTITION", f"SELECT idcase, line FROM heard WHERE {wrong}")
    if problems:
        raise Refusal(problems[:LISTED], len(problems))


def sources(profile: Profile, line: Hop) -> list[str]:
    """The states from which this answer may take an account."""
    targets = {line.passed, line.refused} - {""}
    return [state for state, follow in profile.life.items() if targets & set(follow)]


def _complete(order: WorkOrder, profile: Profile, line: Hop, parts: list[tuple[Bench, Hop]]) -> None:
    """The two files of one answer must not overlap and must together be what we sent; so must be one that says all."""
    first = parts[0][0].con
    open_states = sources(profile, line)
    if not line.with_:
        _nothing_left_out(first, order, profile, line, open_states)
        return
    for bench, one in parts[1:]:
        keys = bench.con.sql("SELECT xkey, nth, idcase, line FROM heard").to_arrow_table()
        first.register("other_half", keys)
        problems = _rows(
            first, "SET_PARTITION", "SELECT h.idcase, h.line FROM heard h JOIN other_half o USING (xkey, nth)"
        )
        if problems:
            raise Refusal(problems[:LISTED], len(problems))
        open_states = sorted({*open_states, *sources(profile, one)})
    halves = "SELECT xkey, nth FROM heard" + (" UNION ALL SELECT xkey, nth FROM other_half" if len(parts) > 1 else "")
    missing = first.execute(
        f"SELECT count(*) FROM known k ANTI JOIN ({halves}) USING (xkey, nth) WHERE k.state IN $states",
        {"states": open_states},
    ).fetchone()
    if missing and missing[0]:
        if len(parts) == 1:
            raise WrongState("AFTER", line.with_)
        raise Refusal(Problem("SET_PARTITION", "", found=f"{missing[0]}"))


def _nothing_left_out(con: Any, order: WorkOrder, profile: Profile, line: Hop, open_states: list[str]) -> None:
    """An answer that says paid and refused leaves out no account of its payer: there will be no second one for it."""
    if line.holds or not (line.passed and line.refused):
        return
    waiting = [state for state in open_states if profile.buckets[state] == "waiting"]
    everyone = profile.stages[line.stage].payers == "all"
    problems = _rows(
        con,
        "SET_INCOMPLETE",
        """SELECT k.xkey, 0 FROM known k ANTI JOIN heard h USING (xkey, nth)
        WHERE k.state IN $states AND ($everyone OR k.payer = $payer)""",
        {"states": waiting, "everyone": everyone, "payer": order.named.payer},
    )
    if problems:
        raise Refusal(problems[:LISTED], len(problems))


def _rows(con: Any, code: str, sql: str, parameters: dict[str, Any] | None = None) -> list[Problem]:
    rows = con.execute(sql + " ORDER BY 2", parameters or {}).fetchall()
    return [
        Problem(code, f"personal_account n_pp={row[0]}, line {row[1]}", found=str(row[2] or "") if len(row) > 2 else "")
        for row in rows
    ]


def _result(order: WorkOrder, parts: list[tuple[Bench, Hop]]) -> WorkResult:
    path = effects_path(order)
    everyone = order.named.payer == parts[0][0].profile.data["name"]["all_payers"]
    payer = "" if everyone else order.named.payer
    save(path, [(bench.con, heard.effects_sql(line, payer)) for bench, line in parts])
    sent = sum((heard.totals(bench)[0] for bench, _line in parts), Totals())
    refused = sum((heard.totals(bench)[1] for bench, _line in parts), Totals())
    causes = [row for bench, _line in parts for row in heard.summary(bench)]
    seconds = {step: spent for bench, _line in parts for step, spent in bench.seconds.items()}
    return WorkResult(
        status_of(sent, refused), sent, refused, [], effects=path, seconds=seconds, notes={"causes": causes}
    )
