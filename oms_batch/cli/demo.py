"""Commands to begin with: demo, init, generate."""

from __future__ import annotations

from typing import Any

import click

from oms_batch import homes
from oms_batch.cli.common import DONE, FOUND, command, json_wanted
from oms_batch.cli.texts import Period, argument, option, print_json
from oms_batch.doors import demo, generate
from oms_batch.exchange import load_profile
from oms_batch.i18n import N_, _
from oms_batch.settings import Role


@command("demo", help=N_("A whole month of three participants on one disk, told as it goes. DIR must be new."))
@argument("folder", metavar="DIR", type=click.Path(file_okay=False))
@option(
    "--accounts", default=400, type=click.IntRange(min=1), show_default=True, help=N_("Accounts in the main register.")
)
@option("--seed", default=7, show_default=True, help=N_("Another seed gives another month."))
@option("--profile", default="yaroslavl", show_default=True, help=N_("The dialect of the exchange."))
def play(folder: str, accounts: int, seed: int, profile: str) -> int:
    def tell(line: str) -> None:
        click.echo(line, err=json_wanted())

    proofs = demo.run(folder, tell, accounts=accounts, seed=seed, profile=profile)
    balanced = all(one["balanced"] for one in proofs.values())
    if json_wanted():
        print_json(proofs)
    else:
        click.echo("")
        click.echo(
            _("Look around: these are homes like real ones: {folders}.").format(
                folders=", ".join(f"{folder}/{name}" for name in proofs)
            )
        )
        click.echo(_("For example: oms-batch --home {folder} status").format(folder=f"{folder}/{next(iter(proofs))}"))
    return DONE if balanced else FOUND


@command("init", help=N_("Make a participant's home: folders and settings, to be filled in."))
@argument("folder", metavar="DIR", type=click.Path(file_okay=False))
@option("--role", type=click.Choice(["mo", "tfoms", "smo"]), required=True, help=N_("Who this is."))
@option("--ogrn", default="", help=N_("Own OGRN."))
@option("--kpp", default="", help=N_("Own KPP (MO)."))
@option("--letter", default="", help=N_("Own payer letter (fund, insurer)."))
@option("--smo", default="", help=N_("Own federal code (fund, insurer)."))
@option("--code", default="", help=N_("Own code in names of files (where the dialect has it)."))
@option("--name", default="", help=N_("Own name."))
@option("--profile", default="yaroslavl", show_default=True, help=N_("The dialect of the exchange."))
def init(folder: str, role: Role, profile: str, **own: str) -> int:
    load_profile(profile)
    path = homes.init(folder, role, own=own, profile=profile)
    if json_wanted():
        print_json({"settings": path})
    else:
        click.echo(
            _("Made: {path}. Fill in the codes and the partners, then: oms-batch --home {folder} status").format(
                path=path, folder=folder
            )
        )
    return DONE


@command(
    "generate",
    help=N_("A synthetic register with the insured that fit it; with planted defects and what must be found."),
)
@argument("folder", metavar="DIR", type=click.Path(file_okay=False))
@option("--accounts", default=1000, type=click.IntRange(min=0), show_default=True, help=N_("Accounts in the register."))
@option("--seed", default="1", show_default=True, help=N_("The same seed gives the same bytes."))
@option("--period", type=Period(), default="", help=N_("The month, YYYY-MM."))
@option("--payer", "payers", multiple=True, help=N_("Payer letter and weight, e.g. P=9; may be repeated."))
@option(
    "--defects",
    default="none",
    type=click.Choice(["none", "each", "share"]),
    show_default=True,
    help=N_("Plant one of each defect, or a share of accounts."),
)
@option("--per-mille", default=30, show_default=True, help=N_("The share for --defects share."))
@option(
    "--side",
    default="fund",
    type=click.Choice(["fund", "insurer"]),
    show_default=True,
    help=N_("Whose rules must find the defects."),
)
@option(
    "--encoding",
    default="windows-1251",
    type=click.Choice(["windows-1251", "utf-8"]),
    show_default=True,
    help=N_("Code page of the register."),
)
@option(
    "--container",
    default=".zip",
    type=click.Choice([".zip", ".7z", ".xml"]),
    show_default=True,
    help=N_("Extension of the file's name."),
)
@option("--profile", default="yaroslavl", show_default=True, help=N_("The dialect of the exchange."))
@option("--kind", default="", help=N_("The kind of file, where the dialect has several, e.g. C."))
@option("--version", default="", help=N_("The version of the file, where the dialect has several, e.g. 3.1."))
@option("--cases", is_flag=True, help=N_("Also the source cases as CSV."))
@option("--dbf", is_flag=True, help=N_("The insured as DBF, too."))
def make(folder: str, payers: tuple[str, ...], **chosen: Any) -> int:
    parts = [one.partition("=") for one in payers]
    if any(not (weight or "1").isascii() or not (weight or "1").isdigit() for _letter, _eq, weight in parts):
        raise click.UsageError(_("a payer is written LETTER=WEIGHT, e.g. P=9"))
    weights = {letter.upper(): int(weight or "1") for letter, _eq, weight in parts}
    made = generate.run(folder, payers=weights, **chosen)
    if json_wanted():
        print_json(made)
    else:
        for what, path in made["files"].items():
            click.echo(f"{what}: {path}")
        if "accounts" in made:
            click.echo(_("Accounts: {n} for {sum}").format(n=made["accounts"], sum=made["sum"]))
    return DONE


def add_to(program: click.Group) -> None:
    """Hang these commands on the program."""
    for one in (play, init, make):
        program.add_command(one)
