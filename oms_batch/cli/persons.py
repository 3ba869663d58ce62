"""The commands request and persons: who is insured where, before billing."""

from __future__ import annotations

import click

from oms_batch.cli.common import DONE, FOUND, command, json_wanted, opened
from oms_batch.cli.texts import argument, print_json
from oms_batch.doors import persons
from oms_batch.i18n import N_, _


@command(
    "request",
    help=N_("Write a request about the persons of registers that are not sent yet: who is insured where."),
)
@argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
def request(files: tuple[str, ...]) -> int:
    with opened() as site:
        made = persons.request(site, files)
    if json_wanted():
        print_json(made)
    else:
        for one in made:
            click.echo(_("Request about {n} persons: {path}").format(n=one["persons"], path=one["path"]))
    return DONE


@command(
    "persons", help=N_("Look up the persons of a request or a register among our insured; a table for its sender.")
)
@argument("file", type=click.Path(exists=True, dir_okay=False))
def look_up(file: str) -> int:
    with opened() as site:
        told = persons.persons(site, file)
    if json_wanted():
        print_json(told)
    else:
        text = _("{n} persons, found {found}, several fit {ambiguous}: {path}")
        shown = {key: told[key] for key in ("found", "ambiguous", "path")}
        click.echo(text.format(n=told["persons"], **shown))
    return DONE if told["found"] == told["persons"] else FOUND


def add_to(program: click.Group) -> None:
    """Hang the commands on the program."""
    program.add_command(request)
    program.add_command(look_up)
