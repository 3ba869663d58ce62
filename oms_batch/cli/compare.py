"""``rules compare`` and ``rules quality``: rules looked at by what they did and would do to registers."""

from __future__ import annotations

from typing import Any

import click

from oms_batch.cli.common import DONE, FOUND, command, json_wanted, opened
from oms_batch.cli.texts import Period, option, print_json, print_table
from oms_batch.doors import compare, quality
from oms_batch.doors.replay import NOW
from oms_batch.i18n import N_, _


@command(
    "compare", help=N_("Judge archived registers under other rules, books or versions: who newly loses money, and why.")
)
@option("--old", default=NOW, help=N_("now, shipped, a folder of rules, book@version, version=3.2; commas between."))
@option("--new", required=True, help=N_("The same for the other side."))
@option(
    "--over", multiple=True, required=True, help=N_("A file or a folder of the archive; may be said several times.")
)
def rules_compare(old: str, new: str, over: tuple[str, ...]) -> int:
    with opened() as site:
        told = compare.run(site, old, new, list(over))
    if json_wanted():
        print_json(told)
    else:
        _tell_compared(told)
    return FOUND if told["newly_lost"]["accounts"] or told["unreadable"] else DONE


def _tell_compared(told: dict[str, Any]) -> None:
    heads = ["", _("judged by"), _("accounts"), _("refused"), _("withheld"), _("share, %")]
    columns = ("side", "accounts", "refused", "withheld", "share")
    sides = (("old", _("before")), ("new", _("after")))
    rows = [[title, *(told[side][column] for column in columns)] for side, title in sides]
    print_table(heads, rows, right=range(2, 6))
    text = _(
        "Registers: {n}. Newly lost: {lost} accounts, {sum}. No longer: {won} accounts, {won_sum}. Points: {points}."
    )
    click.echo(
        text.format(
            n=told["registers"],
            lost=told["newly_lost"]["accounts"],
            sum=told["newly_lost"]["sum"],
            won=told["no_longer_lost"]["accounts"],
            won_sum=told["no_longer_lost"]["sum"],
            points=told["points"],
        )
    )
    if told["by_rule"]:
        why = [[one["rule"], one["osn"], one["accounts"], one["sum"], one["title"]] for one in told["by_rule"]]
        print_table([_("rule"), _("ground"), _("accounts"), _("sum"), _("fault")], why, right=(2, 3))
    for name in told["unreadable"]:
        click.echo(_("✗ {name} could not be read under one of the sides").format(name=name))


@command("quality", help=N_("What the rules say of registers that were sent, against what fund and insurer decided."))
@option("--period", type=Period(), default="", help=N_("Only registers of this month, YYYY-MM."))
def rules_quality(period: str) -> int:
    with opened() as site:
        told = quality.run(site, period)
    if json_wanted():
        print_json(told)
    else:
        _tell_quality(told)
    return FOUND if told["missed"] or any(one["false_alarms"]["accounts"] for one in told["rules"]) else DONE


def _tell_quality(told: dict[str, Any]) -> None:
    text = _("Registers: {n}. Accounts decided: {decided}, not yet: {undecided}.")
    click.echo(text.format(n=told["registers"], decided=told["decided"], undecided=told["undecided"]))
    rows = [
        [one["rule"], one["caught"]["accounts"], one["caught"]["sum"], one["false_alarms"]["accounts"],
         one["false_alarms"]["sum"], one["right"], one["title"]]
        for one in told["rules"]
    ]  # fmt: skip
    heads = [_("rule"), _("caught"), _("sum"), _("false alarms"), _("sum"), _("right, %"), _("fault")]
    if rows:
        print_table(heads, rows, right=range(1, 6))
    if told["missed"]:
        click.echo(_("Refused without any rule of ours having warned:"))
        missed = [[one["defect"], one["rule"], one["accounts"], one["sum"]] for one in told["missed"]]
        print_table([_("ground"), _("rule of the answer"), _("accounts"), _("sum")], missed, right=(2, 3))
    for name in told["unreadable"]:
        click.echo(_("✗ {name} could not be read").format(name=name))
