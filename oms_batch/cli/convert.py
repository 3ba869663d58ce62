"""The command convert: from one version or dialect to another."""

from __future__ import annotations

from typing import Any

import click

from oms_batch.cli.common import DONE, FOUND, command, json_wanted
from oms_batch.cli.texts import argument, option, print_json, print_table
from oms_batch.doors import convert
from oms_batch.doors.precheck import fitting
from oms_batch.exchange import Profile
from oms_batch.i18n import N_, _
from oms_batch.store import fsio

SHOWN = 30


@command(
    "convert",
    help=N_(
        "Rewrite a file in another version (2.1, 3.1, 3.2 …) or for another exchange (federal, yaroslavl). "
        "Tells what has no place there and what to fill in."
    ),
)
@argument("file", type=click.Path(exists=True, dir_okay=False))
@option("--to", "target", required=True, help=N_("The version, or the profile, to rewrite in."))
@option(
    "--with",
    "beside",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    help=N_("For another exchange: the file's other half, or a table of what it lacks; may be repeated."),
)
@option("--mo", default="", help=N_("For another exchange: the organisation as names there tell it (OGRN-KPP, code)."))
@option("--out", default=".", show_default=True, help=N_("The folder for the new file."))
def convert_file(file: str, target: str, out: str, beside: tuple[str, ...], mo: str) -> int:
    profile = fitting(fsio.basename(file))
    report = convert.run(profile, file, target, out, beside, mo)
    if json_wanted():
        print_json(report)
    else:
        _tell(profile, report)
    return FOUND if report["broken_total"] or report["no_place"] else DONE


def _tell(profile: Profile, report: dict[str, Any]) -> None:
    click.echo(_("Written: {path}: {n} records").format(path=report["written"], n=report["records"]))
    if not report["types_confirmed"]:
        click.echo(
            _("Types not confirmed: of version {to} only the names of elements are known.").format(to=report["to"])
        )
    if report["no_place"]:
        click.echo("")
        click.echo(_("What has no place in {to}:").format(to=report["to"]))
        print_table([_("element"), _("values")], [[one["element"], str(one["values"])] for one in report["no_place"]])
    if report["fill_in"]:
        click.echo("")
        click.echo(_("What must be filled in:"))
        print_table([_("element"), _("records")], [[one["element"], str(one["records"])] for one in report["fill_in"]])
    titles = convert.titles(profile)
    rows = [
        [one["account"] or _("head"), problem["element"], titles.get(problem["code"], problem["code"])]
        for one in report["broken"]
        for problem in one["problems"]
    ]
    if rows:
        click.echo("")
        click.echo(_("Accounts that would not pass: {n}").format(n=report["broken_total"]))
        print_table([_("account"), _("element"), _("fault")], rows[:SHOWN])
    if len(rows) > SHOWN:
        click.echo(_("… and {n} more; all of them: --json").format(n=len(rows) - SHOWN))


def add_to(program: click.Group) -> None:
    """Hang the command on the program."""
    program.add_command(convert_file)
