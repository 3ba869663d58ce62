"""The judging that the fund and the insurer share: rules, identification, verdicts, and what is told of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from oms_batch.desk import defects as defect_book
from oms_batch.errors import Fault, Problem, Refusal, SetupError
from oms_batch.exchange import Hop, Profile
from oms_batch.i18n import _, pick
from oms_batch.judge import books, bookwatch, caps, engine, facts_view, identify, rulebook, verdict
from oms_batch.judge.person import load_spelling
from oms_batch.model import PlanRow, Totals, WorkResult, last_day
from oms_batch.reply.marks import Codes, RuleText, Texts
from oms_batch.stages import doubts
from oms_batch.stages.workbench import Bench, effects_path, key_of, save

LISTED = 1000


@dataclass(frozen=True)
class Judged:
    """The outcome of judging; findings, verdicts and ident stay in the bench's tables."""

    book: rulebook.Rulebook
    editions: dict[str, str]
    plan: list[PlanRow]
    spent: dict[str, float]
    texts: Texts
    codes: Codes


def judge(bench: Bench, line: Hop, payer: str = "") -> Judged:
    """Run the rules of a line over the register on the bench.

    ``payer``: the letter that all accounts have; empty: identification finds it for each account.
    Raises ``Refusal`` when a rule refuses the register as a whole, ``RuleFailed`` when one did not run.
    """
    con, order, profile = bench.con, bench.order, bench.profile
    with bench.timed("rules_load"):
        book = rulebook.load(profile.rules, line.rules, profile.id)
        bookwatch.check(profile.rules, profile.id, book.books, last_day(bench.named.period))
        editions = books.load_for(con, profile.rules, book)
        facts_view.make_person_keys(con, load_spelling(profile.rules, profile.id))
        editions |= caps.load(con, profile.rules, profile.id)
        facts_view.load_facts(con, order.facts, bench.named.register, lost_states(profile))
    with bench.timed("identify"):
        known = identify.identify(con, order.options.get("insured"), profile, order.options.get("decided", ""))
        if line.identifies and not known and not order.options.get("without_insured"):
            raise SetupError(_("there is no register of the insured; bring it in: oms-batch insured import FILE"))
        engine.seal(con, folders=[order.scratch])
    with bench.timed("judge"):
        spent: dict[str, float] = {}
        plan = engine.run(con, book, spent=spent)
        _whole_register(bench, book)
        by_act = profile.data.get("final", {}).get("code_on") == "act"
        verdict.decide(con, book, payer=payer, act=bench.received_at.date() if by_act else None)
        # answers name a defect by its number, rules by its key
        con.execute("UPDATE verdicts SET defect = osn")
    return Judged(book, editions, plan, spent, texts_of(bench, book), Codes.of(profile.data))


def lost_states(profile: Profile) -> list[str]:
    """States in which an account does not stand: refused by somebody, or never sent."""
    return sorted(state for state, bucket in profile.buckets.items() if bucket not in ("waiting", "accepted_5"))


def _whole_register(bench: Bench, book: rulebook.Rulebook) -> None:
    """A finding that refuses the register refuses the file: it is answered with a protocol."""
    rows = bench.con.execute(
        """SELECT rule, element, line FROM findings WHERE severity = 'reject'
        AND (refuses = 'register' OR (z_sl_n IS NULL AND pers_n IS NULL)) ORDER BY line, rule"""
    ).fetchall()
    if rows:
        problems = [Problem(code, f"{element}, line {at}") for code, element, at in rows[:LISTED]]
        raise Refusal(problems, len(rows))


def texts_of(bench: Bench, book: rulebook.Rulebook) -> Texts:
    """Rules and defects as the answer speaks of them."""
    rules = {
        rule.code: RuleText(
            rule.code,
            rule.title,
            rule.title_en,
            rule.advice,
            rule.advice_en,
            rule.mark or "flk",
            rule.defect,
            rule.element,
            " ".join((rule.fails_when or rule.select).split()),
            rule.official,
        )
        for rule in book.rules
    }
    defects: dict[str, list[tuple[date, date | None, str, str]]] = {}
    for key, since, until, number, kod in bench.con.execute(
        "SELECT key, valid_from, valid_to, osn, kod FROM book_defects ORDER BY key, valid_from"
    ).fetchall():
        defects.setdefault(key, []).append((since, until, number, kod))
    grounds = {
        row["kod"]: RuleText(row["kod"], row["name"], row["name_en"], row["advice"], row["advice_en"])
        for row in defect_book.rows(bench.profile.rules)
        if row["key"].startswith(defect_book.EXPERTS)
    }
    search = bench.profile.rules.toml(f"{bench.profile.id}/identification.toml")
    found_by = [*search["step"], {"name": identify.DECIDED, **search.get("doubt", {"title": ""})}]
    steps = {row["name"]: search["told"].format(step=row["title"]) for row in found_by}
    return Texts(rules, defects, grounds, steps)


def effects_sql(line: Hop) -> str:
    """The verdicts as effects, in the ledger's columns."""
    return f"""SELECT {key_of("z")} AS xkey, COALESCE(z.x_key2, '') AS x_key2, COALESCE(z.idcase, '') AS idcase,
        COALESCE(z.usl_ok, '') AS usl_ok, COALESCE(z.vidpom, '') AS vidpom, COALESCE(z.pr_nov, '') AS pr_nov,
        COALESCE(CAST(z.date_z_1 AS VARCHAR), '') AS date_z_1, COALESCE(CAST(z.date_z_2 AS VARCHAR), '') AS date_z_2,
        CAST(COALESCE(z.sumv, 0) AS BIGINT) AS sumv, COALESCE(v.payer, '') AS payer,
        CASE WHEN v.refused THEN '{line.refused}' ELSE '{line.passed}' END AS state, '{line.stage}' AS stage,
        CAST(CASE WHEN v.refused THEN COALESCE(z.sumv, 0) ELSE COALESCE(v.withheld, 0) END AS BIGINT) AS withheld,
        COALESCE(v.defect, '') AS defect, COALESCE(v.kod, '') AS kod, COALESCE(v.rule, '') AS rule,
        COALESCE(z.digest, '') AS digest
    FROM z_sl z JOIN verdicts v ON v.z_sl_n = z.n ORDER BY z.n"""


def result(bench: Bench, line: Hop, judged: Judged) -> WorkResult:
    """Save effects and facts, count what was sent and refused, and tell the conductor."""
    with bench.timed("effects"):
        save(effects_path(bench.order), [(bench.con, effects_sql(line))])
        sql = facts_view.select_facts(bench.named.register, int(bench.order.options["job"]), line.passed, line.refused)
        save(f"{bench.order.box}/facts.parquet", [(bench.con, sql)])
        doubts.write(bench)
    sent, refused = bench.totals(), refused_totals(bench)
    return WorkResult(
        status_of(sent, refused),
        sent,
        refused,
        bench.replies,
        effects=effects_path(bench.order),
        rulebook=judged.book.fingerprint,
        books=judged.editions,
        plan=judged.plan,
        seconds=bench.seconds | {f"rule {code}": spent for code, spent in judged.spent.items()},
        notes={"causes": causes(bench, judged.texts)},
    )


def status_of(sent: Totals, refused: Totals) -> Literal["accepted", "partly", "refused"]:
    """What a register came to as a whole."""
    if refused == Totals():
        return "accepted"
    return "refused" if refused.accounts == sent.accounts else "partly"


def refused_totals(bench: Bench) -> Totals:
    """Accounts refused and kopecks withheld."""
    row = bench.con.execute(
        """SELECT count(*) FILTER (v.refused), CAST(COALESCE(sum(CASE WHEN v.refused THEN COALESCE(z.sumv, 0)
            ELSE COALESCE(v.withheld, 0) END), 0) AS BIGINT) FROM verdicts v JOIN z_sl z ON z.n = v.z_sl_n"""
    ).fetchone()
    if row is None:
        raise Fault("verdicts: no row")
    return Totals(int(row[0]), int(row[1]))


def causes(bench: Bench, texts: Texts, limit: int = 50) -> list[dict[str, Any]]:
    """Refusals by cause: rule, title, defect, accounts, kopecks; the largest sums first."""
    rows = bench.con.execute(
        f"""SELECT v.rule, v.defect, count(*), CAST(sum(COALESCE(z.sumv, 0)) AS BIGINT)
        FROM verdicts v JOIN z_sl z ON z.n = v.z_sl_n WHERE v.refused
        GROUP BY ALL ORDER BY 4 DESC, 1 LIMIT {int(limit)}"""
    ).fetchall()
    return [
        {
            "rule": code,
            "title": pick(texts.rule(code).title, texts.rule(code).title_en),
            "defect": defect,
            "accounts": int(count),
            "kopecks": int(kopecks),
        }
        for code, defect, count, kopecks in rows
    ]
