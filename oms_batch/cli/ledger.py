"""Commands over the ledger, the audit and the register of the insured."""

from __future__ import annotations

import click

from oms_batch import insurance, overview
from oms_batch.cli import side
from oms_batch.cli.common import DONE, FOUND, command, json_wanted, opened
from oms_batch.cli.show import tell_jobs, told
from oms_batch.cli.texts import Period, TextGroup, argument, option, print_json, print_table
from oms_batch.i18n import N_, _
from oms_batch.site import locked
from oms_batch.store import audit, ledger
from oms_batch.wording import bucket_names


@click.group("ledger", cls=TextGroup, help=N_("The ledger: every account and every kopeck."))
def ledger_group() -> None:
    """The ledger."""


@command("show", help=N_("All files with what became of them, oldest first."))
@option("--period", type=Period(), default="", help=N_("Only this month, YYYY-MM."))
def show(period: str) -> int:
    with opened() as site:
        rows = [
            row
            for row in ledger.job_rows(site.ledger)
            if not period or period in row["name"] or row["period"] == period
        ]
    if json_wanted():
        print_json(rows)
    else:
        tell_jobs(rows)
    return DONE


@command("verify", help=N_("Prove that nothing is lost: accounts and kopecks, receipts, answers, audit."))
def verify() -> int:
    with opened() as site:
        found = overview.totals(site)
    if json_wanted():
        print_json(found)
        return DONE if found["balanced"] else FOUND
    shown = {key: title for key, title in bucket_names().items() if key in found["accounts"]}
    rows = [[title, found["accounts"][key], told(found["sums"][key])] for key, title in shown.items()]
    print_table([_("what"), _("accounts"), _("sum")], rows, right=(1, 2))
    for problem in found["problems"]:
        click.echo(f"! {problem}")
    click.echo(_("The ledger balances.") if found["balanced"] else _("THE LEDGER DOES NOT BALANCE."))
    return DONE if found["balanced"] else FOUND


@click.group("audit", cls=TextGroup, help=N_("The hash-chained record of all that was done."))
def audit_group() -> None:
    """The audit."""


@command("verify", help=N_("Check the chain: a changed, deleted or reordered row is found."))
@option(
    "--from-anchor",
    default="",
    help=N_("An anchor written down before, as SEQ:HASH: what came before it must still be there."),
)
def audit_verify(from_anchor: str) -> int:
    with opened() as site:
        before = _anchor(from_anchor)
        problems = audit.verify(site.ledger, before)
        now = audit.anchor(site.ledger)
    if json_wanted():
        print_json({"ok": not problems, "problems": problems, "anchor": f"{now.seq}:{now.h}"})
    else:
        for problem in problems:
            click.echo(f"! {problem}")
        click.echo(
            _("The chain is whole. Anchor: {anchor}").format(anchor=f"{now.seq}:{now.h}")
            if not problems
            else _("THE CHAIN IS BROKEN.")
        )
    return FOUND if problems else DONE


def _anchor(text: str) -> audit.Anchor | None:
    if not text:
        return None
    seq, _colon, digest = text.partition(":")
    if not seq.isdigit() or len(digest) != 64:
        raise click.UsageError(_("an anchor is written SEQ:HASH"))
    return audit.Anchor(int(seq), digest)


@click.group("insured", cls=TextGroup, help=N_("The register of the insured."))
def insured_group() -> None:
    """The insured."""


@command("import", help=N_("Bring in the insured (they replace those there) or a list of policies from CSV or DBF."))
@argument("file", type=click.Path(exists=True, dir_okay=False))
@option("--skip-bad", is_flag=True, help=N_("Leave bad rows out instead of refusing the file; they are counted."))
@option(
    "--source",
    default="",
    help=N_("register, numbers (policies in force), started (new ones) or stop (cancelled); else the name tells it."),
)
@option("--edition", default="", help=N_("The day of the edition, YYYY-MM-DD; else the name tells it, or it is today."))
def insured_import(file: str, skip_bad: bool, source: str, edition: str) -> int:
    with opened() as site, locked(site):
        known = source or insurance.source_of(site, file)
        found = insurance.bring_in(site, file, skip_bad=skip_bad, source=known, edition=edition)
    if json_wanted():
        print_json(
            {"rows": found.rows, "kept": found.kept, "bad": found.bad, "places": [list(one) for one in found.places]}
        )
    else:
        click.echo(
            _("Rows read: {rows}, kept: {kept}, bad: {bad}").format(rows=found.rows, kept=found.kept, bad=found.bad)
        )
        for row, column in found.places[:20]:
            click.echo(_("  bad: row {row}, column {column}").format(row=row, column=column))
    return FOUND if found.bad else DONE


@command("stats", help=N_("What the register of the insured holds."))
def insured_stats() -> int:
    with opened() as site:
        known = insurance.known(site)
    found = known.register
    editions = [{"source": one.source, "edition": one.edition, "rows": one.rows} for one in known.editions]
    if json_wanted():
        print_json(
            {
                "rows": found.rows,
                "persons": found.persons,
                "open": found.open,
                "first": found.first,
                "last": found.last,
                "smo": dict(found.smo),
                "policies": known.policies,
                "editions": editions,
            }
        )
    else:
        click.echo(
            _("Rows: {rows}, persons: {persons}, open policies: {open}").format(
                rows=found.rows, persons=found.persons, open=found.open
            )
        )
        print_table([_("insurer"), _("open policies")], sorted(found.smo.items()), right=(1,))
        for table, count in known.policies.items():
            text = _("Cancelled policies: {n}") if table == "stopped" else _("Policies in force by the list: {n}")
            click.echo(text.format(n=count))
        rows = [[str(cell) for cell in one.values()] for one in editions]
        print_table([_("source"), _("edition"), _("rows")], rows, right=(2,))
    return DONE


def add_to(program: click.Group) -> None:
    """Hang these groups on the program."""
    ledger_group.add_command(show)
    ledger_group.add_command(verify)
    ledger_group.add_command(side.settlement)
    audit_group.add_command(audit_verify)
    insured_group.add_command(insured_import)
    insured_group.add_command(insured_stats)
    insured_group.add_command(side.ask)
    insured_group.add_command(side.answer)
    for group in (ledger_group, audit_group, insured_group):
        program.add_command(group)
