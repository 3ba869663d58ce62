"""Commands of the MO's desk: refused, correct, resubmit, invoice, sums, why, explain."""

from __future__ import annotations

from collections.abc import Sequence

import click

from oms_batch import clock, office
from oms_batch.cli.common import DONE, FOUND, command, json_wanted, opened, who
from oms_batch.cli.texts import Period, argument, clean, option, print_json, print_table
from oms_batch.desk.explain import Explanation, as_lines, explain, labels
from oms_batch.desk.refused import RefusedRow
from oms_batch.desk.resubmit import kind_title
from oms_batch.desk.story import heading, story
from oms_batch.desk.sums import sums_xlsx
from oms_batch.errors import Problem, WrongState
from oms_batch.exchange import Profile, load_profile, shipped
from oms_batch.i18n import N_, _, pick
from oms_batch.judge.whole import rules_of
from oms_batch.model import roubles
from oms_batch.problems import problem_row
from oms_batch.site import Site, locked
from oms_batch.store import fsio, ledger
from oms_batch.textform import money


@command("refused", help=N_("Refused accounts of all months: why, what to do, whether they may be billed again."))
@option("--register", default="", help=N_("Only this register."))
@option("--period", type=Period(), default="", help=N_("Only this month, YYYY-MM."))
@option("--payer", default="", help=N_("Only this payer letter."))
@option("--defect", default="", help=N_("Only this defect, e.g. 1.4.4."))
@option("--open", "only_open", is_flag=True, help=N_("Only those not put into a next register yet."))
def refused(register: str, period: str, payer: str, defect: str, only_open: bool) -> int:
    with opened() as site:
        rows = office.refused_list(
            site, register=register, period=period, payer=payer.upper(), defect=defect, open=only_open
        )
    if json_wanted():
        print_json([{**row.as_json(), "sumv": roubles(row.sumv), "withheld": roubles(row.withheld)} for row in rows])
        return FOUND if rows else DONE
    head = [_("account"), _("month"), _("payer"), _("sum"), _("defect"), _("what is wrong"), _("next register")]
    print_table(head, [_refused_row(row, site) for row in rows], right=(3,))
    click.echo(_("Refused: {n} for {sum}").format(n=len(rows), sum=money(sum(row.withheld for row in rows))))
    return FOUND if rows else DONE


def _refused_row(row: RefusedRow, site: Site) -> Sequence[object]:
    place = kind_title(site.profile, row.enters_as)
    if not row.may_resubmit:
        why = problem_row(Problem(row.why_not), site.rules)
        place += f" ({pick(why['title'], why['title_en'])})"
    return [row.idcase, row.period, row.payer, money(row.withheld), row.code, row.message, place]


@command("correct", help=N_("Correct fields of a refused account: correct ACCOUNT pers.npolis=… --why “…”."))
@argument("account")
@argument("changes", nargs=-1)
@option(
    "--from",
    "source",
    default=None,
    type=click.Path(dir_okay=False, exists=True),
    help=N_("Take the whole case from this register XML of the MIS."),
)
@option("--why", default="", help=N_("Why, for the record."))
def correct(account: str, changes: tuple[str, ...], source: str | None, why: str) -> int:
    pairs = [(name, value) for name, sign, value in (one.partition("=") for one in changes) if sign]
    if len(pairs) != len(changes) or not (pairs or source):
        raise click.UsageError(_("write changes as FIELD=VALUE, or give --from FILE"))
    with opened() as site, locked(site):
        if source:
            office.correct_from(site, account, source, who(), why)
        if pairs:
            office.correct(site, account, pairs, who(), why)
    if json_wanted():
        print_json({"account": account, "corrected": len(pairs), "source": bool(source)})
    else:
        click.echo(_("Corrected. Into the next register: oms-batch resubmit {account}").format(account=account))
    return DONE


@command(
    "resubmit",
    help=N_("Put corrected refused accounts into the next register (F8): primary after 1 and 6, repeat after 2."),
)
@argument("accounts", nargs=-1, required=True)
@option(
    "--force",
    default="",
    metavar="REASON",
    help=N_("Although it is not corrected or its defect forbids; the reason is recorded."),
)
def resubmit(accounts: tuple[str, ...], force: str) -> int:
    done = []
    with opened() as site, locked(site):
        for account in accounts:
            done.append({"account": account, "kind": office.put_into_next(site, account, who(), force)})
    if json_wanted():
        print_json(done)
    else:
        for one in done:
            text = _("{account}: into the next register as {kind}")
            click.echo(text.format(account=one["account"], kind=kind_title(site.profile, one["kind"])))
    return DONE


@command("invoice", help=N_("Make invoices from the sums of the accepted accounts (file 5); before it there are none."))
@option("--register", default="", help=N_("Only this register."))
@option("--payer", default="", help=N_("Only this payer letter."))
@option("--number", default="", help=N_("Another number than the default one."))
def invoice(register: str, payer: str, number: str) -> int:
    with opened() as site, locked(site):
        made = office.invoices(site, register, payer, number)
    if json_wanted():
        print_json(
            [
                {
                    "number": paper.number,
                    "date": paper.day.isoformat(),
                    "register": paper.register,
                    "payer": paper.payer,
                    "accounts": paper.total.accounts,
                    "sum": roubles(paper.total.kopecks),
                    "file": path,
                }
                for paper, path in made
            ]
        )
        return DONE
    for paper, path in made:
        text = _("Invoice {number} to {payer}: {n} accounts for {sum}: {path}")
        total = paper.total
        shown = {"n": total.accounts, "sum": money(total.kopecks)}
        click.echo(text.format(number=paper.number, payer=paper.payer, path=path, **shown))
    return DONE


@command("sums", help=N_("Sums for invoices: what each payer accepted, by conditions of care."))
@argument("register")
@option("--xlsx", default="", type=click.Path(dir_okay=False), help=N_("Also write a workbook."))
def sums(register: str, xlsx: str) -> int:
    with opened() as site:
        table = office.sum_table(site, register)
        if xlsx:
            fsio.write_bytes_durable(fsio.absolute(xlsx), sums_xlsx(table, clock.today()))
    if json_wanted():
        rows = [
            {
                "payer": one.payer,
                "usl_ok": one.usl_ok,
                "accounts": one.totals.accounts,
                "sum": roubles(one.totals.kopecks),
            }
            for one in table.rows
        ]
        total = {"accounts": table.total.accounts, "sum": roubles(table.total.kopecks)}
        print_json({"register": table.register, "rows": rows, "total": total})
        return DONE
    head = [_("payer"), _("conditions of care"), _("accounts"), _("sum")]
    print_table(
        head,
        [[one.payer, one.care, one.totals.accounts, money(one.totals.kopecks)] for one in table.rows],
        right=(2, 3),
    )
    click.echo(_("Total: {n} accounts for {sum}").format(n=table.total.accounts, sum=money(table.total.kopecks)))
    return DONE


@command("why", help=N_("The whole life of an account: from its first register to the next one."))
@argument("account")
def why(account: str) -> int:
    with opened() as site:
        found = ledger.life(site.ledger, account)
        if not found:
            raise WrongState("ACC_UNKNOWN", account)
        stories = [(one, story(site.profile, one, rules_of(site.profile))) for one in found]
    if json_wanted():
        print_json(
            [
                {
                    "account": one["xkey"],
                    "register": one["register"],
                    "idcase": one["idcase"],
                    "state": one["state"],
                    "sum": roubles(one["sumv"]),
                    "events": [{"at": event.at, "what": event.what, "detail": list(event.detail)} for event in events],
                }
                for one, events in stories
            ]
        )
        return DONE
    for one, events in stories:
        click.echo(clean(heading(one)))
        for event in events:
            click.echo(clean(f"  {event.day:<10}  {event.what}"))
            for line in event.detail:
                click.echo(clean(f"              {line}"))
    return DONE


@command("explain", help=N_("Everything known about a code: of a rule, a defect, a problem of a file."))
@argument("code")
def explain_code(code: str) -> int:
    with opened(optional=True) as site:
        # without a home every exchange is meant, the usual one first
        profiles = [site.profile] if site else [load_profile(name) for name in shipped()]
    tell_explanations(_first_that_knows(code, profiles))
    return DONE


def _first_that_knows(code: str, profiles: Sequence[Profile]) -> list[Explanation]:
    unknown: WrongState | None = None
    for profile in profiles:
        try:
            return explain(profile, code, rules=rules_of(profile))
        except WrongState as error:
            unknown = unknown or error
    raise unknown or WrongState("CODE_UNKNOWN", code)


def tell_explanations(found: Sequence[Explanation]) -> None:
    """Explanations for people or for scripts."""
    if json_wanted():
        print_json([{name: getattr(one, name) for name in one.__slots__} for one in found])
        return
    names = labels()
    for one in found:
        click.echo(clean(f"{one.code}: {one.title}"))
        for label, text in as_lines(one, names):
            click.echo(f"  {label}: {clean(text)}")


def add_to(program: click.Group) -> None:
    """Hang these commands on the program."""
    for one in (refused, correct, resubmit, invoice, sums, why, explain_code):
        program.add_command(one)
