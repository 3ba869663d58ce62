"""Commands for tables beside the exchange: a question about persons, its answer, the settlement of a month."""

from __future__ import annotations

from dataclasses import asdict

import click

from oms_batch.cli.common import DONE, FOUND, command, json_wanted, opened
from oms_batch.cli.texts import Period, argument, option, print_json, print_table
from oms_batch.doors import side_tables
from oms_batch.i18n import N_, _


@command("ask", help=N_("Write the question about the persons of a register: ask REGISTER TABLE."))
@argument("register", type=click.Path(exists=True, dir_okay=False))
@argument("table", type=click.Path(dir_okay=False))
def ask(register: str, table: str) -> int:
    with opened() as site:
        path = side_tables.persons_request(site, register, table)
    if json_wanted():
        print_json({"table": path})
    else:
        click.echo(path)
    return DONE


@command("answer", help=N_("Tell an answer about persons: who is insured where, by the vector of each record."))
@argument("table", type=click.Path(exists=True, dir_okay=False))
def answer(table: str) -> int:
    with opened() as site:
        found = side_tables.persons_answer(site, table)
    if json_wanted():
        print_json([asdict(one) for one in found])
    else:
        rows = [[one.recid, one.vector, _("yes") if one.positive else _("no"), one.payer, one.meaning] for one in found]
        print_table([_("record"), _("vector"), _("insured"), _("payer"), _("meaning")], rows)
    return DONE if all(one.positive for one in found) else FOUND


@command("settlement", help=N_("Write the settlement of a month for the fund: settlement YYYY-MM FOLDER."))
@argument("period", type=Period())
@argument("folder", type=click.Path(exists=True, file_okay=False))
@option(
    "--money",
    default="",
    help=N_("A table of sums that no register tells: advance, sum per head, fines."),
)
def settlement(period: str, folder: str, money: str) -> int:
    with opened() as site:
        made = side_tables.settlement(site, period, folder, money)
    if json_wanted():
        print_json({"tables": made})
    else:
        for path in made:
            click.echo(path)
    return DONE
