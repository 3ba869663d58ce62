"""Commands that make registers: register build, reformulate, verify-reformulation, experts, final."""

from __future__ import annotations

from typing import Any

import click

from oms_batch import office, requests
from oms_batch.cli.common import DONE, FOUND, command, json_wanted, opened, who
from oms_batch.cli.exchange import code_of
from oms_batch.cli.show import handled_json, tell_handled
from oms_batch.cli.texts import Period, TextGroup, argument, option, print_json, print_table
from oms_batch.conductor import publish
from oms_batch.doors import proofs
from oms_batch.i18n import N_, _
from oms_batch.model import roubles
from oms_batch.site import locked
from oms_batch.stages import billed_again
from oms_batch.textform import money
from oms_batch.work import Handled


@click.group("register", cls=TextGroup, help=N_("The MO's main register."))
def register_group() -> None:
    """The main register."""


@command(
    "build",
    help=N_(
        "Build the main register from source cases (CSV, register XML of a MIS, federal H and L) and accounts "
        "to be billed again."
    ),
)
@option("--period", type=Period(), required=True, help=N_("The month, YYYY-MM."))
@option(
    "--source",
    "sources",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    help=N_("A file of cases, or a table of what they lack; may be repeated."),
)
@option("--number", default="1", show_default=True, help=N_("Number of the register in its month, one digit."))
@option("--zero", is_flag=True, help=N_("A register without accounts is meant."))
@option(
    "--sequester",
    is_flag=True,
    help=N_("Put aside for a later register what does not fit under the caps of volume and money of the month."),
)
def build(period: str, sources: tuple[str, ...], number: str, zero: bool, sequester: bool) -> int:
    with opened() as site, locked(site):
        if billed_again.in_tables(site.profile):  # new cases come from the MIS as archives of their own
            if sequester:
                raise click.UsageError(_("here the MIS makes the registers; check FILE says what does not fit"))
            built = office.build_again(site, period)
        else:
            built = [office.build_register(site, period, sources, number=number, zero=zero, fit=sequester, who=who())]
    if json_wanted():
        documents = [_built_json(made) for made in built]
        print_json(documents[0] if len(documents) == 1 else documents)
        return DONE
    for made in built:
        report = made.report
        text = _("Built: {path}: {n} accounts of {persons} persons for {sum}; billed again: {again}")
        shown = {
            "n": report.accounts,
            "persons": report.persons,
            "sum": money(report.kopecks),
            "again": len(report.lineage),
        }
        click.echo(text.format(path=made.path, **shown))
        if lost := _no_place(made):
            click.echo(_("What of the source has no place in the register:"))
            print_table([_("element"), _("values")], [[one["element"], str(one["values"])] for one in lost])
        _tell_caps(made)
    click.echo(_("The next sweep sends it: oms-batch run --once"))
    return DONE


def _no_place(made: office.Built) -> list[dict[str, Any]]:
    """Columns of a register of another exchange that were left behind, with the number of their values."""
    told = made.report.told
    both = {**told.lost, **told.left} if told is not None else {}
    return [{"element": name, "values": count} for name, count in sorted(both.items())]


def _tell_caps(made: office.Built) -> None:
    """How the register stands to the caps of its month, line by line, where there are caps."""
    beyond = made.caps.total
    if made.report.joined:
        click.echo(_("Accounts put aside before that are in now: {n}").format(n=len(made.report.joined)))
    if not beyond.accounts:
        return
    head = [_("conditions"), _("kind"), _("profile"), _("cap"), _("billed before"), _("in this register"), _("beyond")]
    rows = []
    for line in made.caps.lines:
        for cap, unit in ((line.volume, "accounts"), (line.money, "kopecks")):
            if cap is not None:
                as_text = str if unit == "accounts" else money
                counts = [getattr(one, unit) for one in (line.used, line.kept, line.over)]
                cut = [one or _("any") for one in (line.usl_ok, line.vidpom, line.profil)]
                rows.append([*cut, as_text(cap), *map(as_text, counts)])
    print_table(head, rows, right=(3, 4, 5, 6))
    shown = {"n": beyond.accounts, "sum": money(beyond.kopecks)}
    if made.aside.accounts or made.report.aside:
        click.echo(_("Put aside for a later register: {n} for {sum}").format(**shown))
    else:
        text = _("WARNING: beyond the caps: {n} for {sum}; they will be refused. To put them aside: --sequester")
        click.echo(text.format(**shown))


def _caps_json(made: office.Built) -> dict[str, Any]:
    lines = [
        {
            "usl_ok": line.usl_ok,
            "vidpom": line.vidpom,
            "profil": line.profil,
            "volume": line.volume,
            "money": None if line.money is None else roubles(line.money),
            **{
                name: {"accounts": one.accounts, "sum": roubles(one.kopecks)}
                for name, one in (("used", line.used), ("kept", line.kept), ("over", line.over))
            },
        }
        for line in made.caps.lines
    ]
    beyond = [{"account": one.xkey, "what": one.what, "line": one.shown} for one in made.caps.beyond]
    aside = {"accounts": made.aside.accounts, "sum": roubles(made.aside.kopecks)}
    return {"lines": lines, "beyond": beyond, "put_aside": aside, "taken_in": made.report.joined}


@command("sequestered", help=N_("Accounts that were put aside because of the caps and wait for a register."))
def sequestered() -> int:
    with opened() as site:
        rows = office.waiting_aside(site)
    if json_wanted():
        names = ("xkey", "register", "period", "what", "line", "usl_ok", "date_z_2")
        print_json([{**{name: row[name] for name in names}, "sum": roubles(row["sumv"])} for row in rows])
        return DONE
    head = [_("account"), _("month"), _("conditions"), _("care ended"), _("sum"), _("cap")]
    print_table(
        head,
        [[row["xkey"], row["period"], row["usl_ok"], row["date_z_2"], money(row["sumv"]), row["line"]] for row in rows],
        right=(4,),
    )
    total = sum(row["sumv"] for row in rows)
    click.echo(_("Waiting: {n} for {sum}").format(n=len(rows), sum=money(total)))
    return DONE


def _built_json(made: office.Built) -> dict[str, Any]:
    report = made.report
    return {
        "file": made.path,
        "accounts": report.accounts,
        "persons": report.persons,
        "sum": roubles(report.kopecks),
        "billed_again": [{"from": old, "account": new, "kind": kind} for old, new, kind in report.lineage],
        "no_place": _no_place(made),
        "caps": _caps_json(made),
    }


def _show(handled: list[Handled]) -> None:
    if json_wanted():
        documents = [one.notes.get("manifest") or handled_json(one) for one in handled]
        print_json(documents[0] if len(documents) == 1 else documents)
        return
    for one in handled:
        tell_handled(one)
        for row in one.notes.get("manifest", {}).get("excluded", [])[:50]:
            text = _("    left out: account {n}, defect {code}, {sum}")
            click.echo(text.format(n=row["idcase"], code=row["code"] or "-", sum=row["sum"]))
    if not handled:
        click.echo(_("Nothing to do: all of it went out before."))


@command(
    "reformulate",
    help=N_("Leave out what the fund flagged and send the rest to the insurer (F6). Nothing else changes."),
)
@option("--register", default="", help=N_("Only this register."))
@option("--payer", default="", help=N_("Only this payer letter."))
def reformulate(register: str, payer: str) -> int:
    with opened() as site, locked(site):
        handled = list(requests.reformulate(site, register, payer))
        publish(site)
    _show(handled)
    return FOUND if any(one.notes.get("manifest", {}).get("excluded") for one in handled) else code_of(handled)


@command("verify-reformulation", help=N_("Prove that NEW is OLD minus the flagged accounts and nothing else."))
@argument("old", type=click.Path(exists=True, dir_okay=False))
@argument("new", type=click.Path(exists=True, dir_okay=False))
def verify_reformulation(old: str, new: str) -> int:
    found: dict[str, Any] = proofs.reformulation(old, new)
    if json_wanted():
        print_json(found)
    else:
        text = _("Accounts: {before} before, {after} after; sums {sum_before} and {sum_after}; left out: {n}")
        click.echo(
            text.format(
                before=found["before"]["accounts"],
                after=found["after"]["accounts"],
                sum_before=found["before"]["sum"],
                sum_after=found["after"]["sum"],
                n=len(found["excluded"]),
            )
        )
        for problem in found["problems"]:
            click.echo(f"! {problem['code']}: {problem['place']}")
        click.echo(
            _("PROVED: only flagged accounts are left out.")
            if found["kept_byte_equal"] and not found["problems"]
            else _("NOT PROVED.")
        )
    return DONE if found["kept_byte_equal"] and not found["problems"] else FOUND


@command(
    "experts",
    help=N_(
        "Bring in decisions of experts: xkey;kod;withheld;act_no;act_date;expert, perhaps kind (S_TIP) and fine. "
        "Without a sum the share of the code counts."
    ),
)
@argument("file", type=click.Path(exists=True, dir_okay=False))
def experts(file: str) -> int:
    with opened() as site, locked(site):
        new, known = office.bring_decisions(site, file, who())
        fines = office.open_fines(site)
    if json_wanted():
        print_json({"new": new, "known": known, "fines": fines.accounts, "fines_sum": roubles(fines.kopecks)})
    else:
        click.echo(
            _("Decisions: {new} new, {known} known already. The final answer: oms-batch final").format(
                new=new, known=known
            )
        )
        if fines.accounts:
            text = _("Fines, paid apart from the accounts: {n} for {sum}")
            click.echo(text.format(n=fines.accounts, sum=money(fines.kopecks)))
    return DONE


@command("final", help=N_("Make the final answer from the accepted accounts and the experts' decisions."))
@option("--register", default="", help=N_("Only this register."))
@option("--payer", default="", help=N_("Only this payer letter."))
def final(register: str, payer: str) -> int:
    with opened() as site, locked(site):
        handled = list(requests.finalise(site, register, payer))
        publish(site)
    _show(handled)
    return code_of(handled)


def add_to(program: click.Group) -> None:
    """Hang these commands on the program."""
    register_group.add_command(build)
    register_group.add_command(sequestered)
    for one in (register_group, reformulate, verify_reformulation, experts, final):
        program.add_command(one)
