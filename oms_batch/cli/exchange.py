"""Commands that move files: run, nightly, check, submit, status."""

from __future__ import annotations

from typing import Any

import click

from oms_batch import clock, logs, nsi, overview, requests
from oms_batch.cli.common import DONE, FOUND, OUR_FAULT, command, json_wanted, opened, who
from oms_batch.cli.identify import tell_reminders
from oms_batch.cli.show import handled_json, tell_handled, tell_status
from oms_batch.cli.texts import Period, argument, clean, option, print_json
from oms_batch.conductor import settling_of, sweep
from oms_batch.doors import daemon, nightly, precheck
from oms_batch.i18n import N_, _
from oms_batch.site import locked
from oms_batch.store import brake
from oms_batch.work import Handled

REFUSED = ("refused", "quarantined", "failed", "rejected")


def code_of(handled: list[Handled]) -> int:
    """0: nothing refused, 1: something was, 70: a job stopped by our own fault."""
    if any(one.outcome == "failed" for one in handled):
        return OUR_FAULT
    bad = any(one.outcome in REFUSED or one.refused.accounts for one in handled)
    return FOUND if bad else DONE


@command("run", help=N_("Watch the folders and answer what comes. --once: one sweep and out."))
@option("--once", is_flag=True, help=N_("One sweep of all folders, then stop."))
@option("--poll", is_flag=True, help=N_("Look by listing only, for network shares."))
def run(once: bool, poll: bool) -> int:
    with opened() as site, locked(site):
        if not once:
            logs.start()
            daemon.run(site, poll=poll or site.settings.poll_seconds > 0)
            return DONE
        nsi.ready(site)
        handled: list[Handled] = []
        settling = settling_of(site)
        for one in sweep(site, settling):
            handled.append(one)
            if not json_wanted():
                tell_handled(one)
        if settling.settle_seconds > 0 and settling.seen:
            # a file counts as whole after two equal looks
            clock.sleep(settling.settle_seconds)
            for one in sweep(site, settling):
                handled.append(one)
                if not json_wanted():
                    tell_handled(one)
        if json_wanted():
            print_json([handled_json(one) for one in handled])
        elif not handled:
            click.echo(_("Nothing new in the folders."))
        return code_of(handled)


@command("nightly", help=N_("The night's work for cron: sweep, due reformulations, proof of the ledger, summary."))
def night() -> int:
    logs.start()
    with opened() as site, locked(site):
        summary = nightly.run(site)
        if json_wanted():
            print_json(
                {
                    "handled": [handled_json(one) for one in summary.handled],
                    "outcomes": summary.outcomes,
                    "overdue": [_awaited(item) for item in summary.overdue],
                    "awaited": [_awaited(item) for item in summary.awaited],
                    "parked": summary.parked,
                    "doubts": summary.doubts,
                    "verify": summary.verify,
                }
            )
        else:
            _tell_night(summary)
        late = summary.overdue or any(one["late"] for one in summary.doubts)
        bad = code_of(summary.handled) or late or not summary.verify["balanced"]
        return FOUND if bad else DONE


def _awaited(item: overview.Awaited) -> dict[str, Any]:
    return {
        "register": item.register,
        "payer": item.payer,
        "stage": item.stage,
        "from": item.who,
        "until": item.until.isoformat(),
    }


def _tell_night(summary: nightly.Summary) -> None:
    for one in summary.handled:
        tell_handled(one)
    click.echo(
        _("Files handled: {n}. Waiting for other files: {parked}.").format(
            n=len(summary.handled), parked=summary.parked
        )
    )
    for item in summary.overdue:
        text = _("OVERDUE: {register}: file {stage}{payer} from {who}, due {until}")
        click.echo(
            text.format(register=item.register, stage=item.stage, payer=item.payer, who=item.who, until=item.until)
        )
    for item in summary.awaited:
        text = _("Expected: {register}: file {stage}{payer} from {who}, until {until}")
        click.echo(
            text.format(register=item.register, stage=item.stage, payer=item.payer, who=item.who, until=item.until)
        )
    tell_reminders(summary.doubts)
    balanced = summary.verify["balanced"]
    click.echo(_("Ledger: balanced.") if balanced else _("Ledger: DOES NOT BALANCE. See: oms-batch ledger verify"))


@command("check", help=N_("Judge registers without any effect, by the rules of whoever will receive them."))
@argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@option("--limit", default=200, show_default=True, help=N_("How many findings to show; the total is always said."))
def check(files: tuple[str, ...], limit: int) -> int:
    results = []
    with opened(optional=True) as site:
        for file in files:
            results.append(precheck.check(site, file))
    if json_wanted():
        print_json(results[0] if len(results) == 1 else results)
    else:
        for found in results:
            _tell_check(found, limit)
    return FOUND if any(found["status"] != "accepted" for found in results) else DONE


def _tell_check(found: dict[str, Any], limit: int) -> None:
    titles = {
        "accepted": _("nothing to refuse"),
        "partly": _("some accounts would be refused"),
        "refused": _("would be refused"),
    }
    click.echo(f"{found['file']}: {titles[found['status']]}")
    text = _("Accounts: {n} for {sum}; would be refused: {bad} for {bad_sum}")
    click.echo(
        text.format(n=found["accounts"], sum=found["sum"], bad=found["refused_accounts"], bad_sum=found["refused_sum"])
    )
    for one in found["findings"][:limit]:
        mark = {"reject": "✗", "warn": "!", "info": "·"}[one["severity"]]
        place = _("line {line}").format(line=one["line"])
        where = f"{one['account']} {one['element']} ({place})"
        click.echo(clean(f"  {mark} {one['code']} [{one['defect'] or '-'}] {where}: {one['message']}"))
    if len(found["findings"]) > limit:
        click.echo(_("  … and {n} more findings").format(n=len(found["findings"]) - limit))


@command("submit", help=N_("Put files into the inbox safely: whole or not at all."))
@argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
def submit(files: tuple[str, ...]) -> int:
    with opened() as site:
        placed = [requests.submit(site, file) for file in files]
    if json_wanted():
        print_json({"submitted": placed})
    else:
        for path in placed:
            click.echo(_("In the inbox: {path}").format(path=path))
    return DONE


@command("status", help=N_("Where every register stands: counts, sums, what is waited for and until when."))
@option("--period", type=Period(), default="", help=N_("Only this month, YYYY-MM."))
def status(period: str) -> int:
    with opened() as site:
        rows = overview.registers(site, period)
    if json_wanted():
        print_json(rows)
    else:
        tell_status(rows)
    return DONE


@command("release", help=N_("Let a job go that the brake holds, because far more was refused than usual."))
@argument("numbers", nargs=-1, required=True, type=int)
def release(numbers: tuple[int, ...]) -> int:
    with opened() as site:
        for number in numbers:
            brake.release(site.ledger, number, who())
    if json_wanted():
        print_json({"released": list(numbers)})
    else:
        click.echo(_("Let go; the next sweep answers it."))
    return DONE


def add_to(program: click.Group) -> None:
    """Hang this group's commands on the program."""
    for one in (run, night, check, submit, status, release):
        program.add_command(one)
