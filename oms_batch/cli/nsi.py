"""Commands over reference books: import, list, template."""

from __future__ import annotations

from typing import Any

import click

from oms_batch import clock, nsi
from oms_batch.cli.common import CANNOT, DONE, FOUND, command, json_wanted, opened, who
from oms_batch.cli.texts import TextGroup, argument, clean, option, print_json, print_table
from oms_batch.errors import Problem
from oms_batch.exchange import load_profile
from oms_batch.i18n import N_, _, pick
from oms_batch.judge.bookindex import Edition
from oms_batch.problems import problem_text
from oms_batch.ruledata import RuleData


@click.group("nsi", cls=TextGroup, help=N_("Reference books: take in new editions, list them, templates to fill in."))
def nsi_group() -> None:
    """Reference books."""


@command(
    "import",
    help=N_(
        "Take in reference books: official XML packets, ZIP of these, DBF, CSV.\n\n"
        "A file that is not right is refused with the row and the reason, and the old edition stays in force."
    ),
)
@argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@option("--book", default="", help=N_("Which book it is, when the file does not say: see nsi list."))
@option("--version", default="", help=N_("The number of the edition, when the file does not say it."))
@option("--date", "day", default="", help=N_("The day of the edition, when the file does not say it."))
@option("--anyway", is_flag=True, help=N_("Let an older edition follow, or one that lost many of its codes."))
@option("--try", "try_only", is_flag=True, help=N_("Only check: nothing is put into force."))
def nsi_import(files: tuple[str, ...], book: str, version: str, day: str, anyway: bool, try_only: bool) -> int:
    with opened() as site:
        told = nsi.bring_in(
            site, files, who=who(), book=book, version=version, day=day, anyway=anyway, try_only=try_only
        )
    if json_wanted():
        print_json([_as_json(one) for one in told])
    else:
        for one in told:
            _tell(one, try_only)
    refused = sum(one.state == nsi.REFUSED for one in told)
    return DONE if not refused else CANNOT if refused == len(told) else FOUND


def _as_json(one: nsi.Brought) -> dict[str, Any]:
    def row(problem: Problem) -> dict[str, str]:
        return {
            "code": problem.code, "place": problem.place, "expected": problem.expected, "found": problem.found,
            "text": problem_text(problem, RuleData()),
        }  # fmt: skip

    return {
        "file": one.file,
        "books": list(one.books),
        "edition": str(one.edition or ""),
        "read": one.read,
        "rows": one.rows,
        "state": one.state,
        "problems": [row(problem) for problem in one.problems],
        "problems_total": one.total,
        "remarks": [row(problem) for problem in one.remarks],
    }


def _shown(edition: Edition | None) -> str:
    """An edition for people: number and day."""
    return ", ".join(part for part in (edition.version, edition.day.isoformat()) if part) if edition else ""


def _tell(one: nsi.Brought, try_only: bool) -> None:
    if one.state == nsi.REFUSED:
        click.echo(_("✗ {file}: refused, the old edition stays").format(file=clean(one.file)))
    else:
        text = _("= {file}: this edition is in force already: {books}, {edition}")
        if one.state == nsi.IN:
            text = (
                _("✓ {file}: right, nothing was changed: {books}, {edition}")
                if try_only
                else _("✓ {file}: in force: {books}, {edition}")
            )
        books = ", ".join(f"{name} ({one.rows.get(name, 0)})" for name in one.books)
        click.echo(text.format(file=clean(one.file), books=books, edition=_shown(one.edition)))
    for problem in (*one.problems, *one.remarks):
        click.echo("    " + clean(problem_text(problem, RuleData())))
    if one.total > len(one.problems):
        click.echo("    " + _("… {n} faults in all").format(n=one.total))


@command("list", help=N_("All reference books: the edition in force, how old it is, who gives it."))
@option("--profile", default="", help=N_("The dialect; without it that of the home."))
def nsi_list(profile: str) -> int:
    with opened(optional=True) as site:
        chosen = load_profile(profile) if profile or not site else site.profile
        rows = nsi.listed(chosen.rules, chosen.id, clock.today(), site.overlay if site else "")
    if json_wanted():
        print_json([_listed_json(one) for one in rows])
    else:
        head = [_("book"), _("official"), _("edition"), _("days"), _("limit"), _("state"), _("what it is")]
        print_table(head, [_listed_row(one) for one in rows], right=(3, 4))
    return (
        FOUND if any((one.stale and one.watched) or (one.entry.mandatory and not one.there) for one in rows) else DONE
    )


def _listed_json(one: nsi.Listed) -> dict[str, Any]:
    return {
        "book": one.entry.name,
        "official": one.entry.official,
        "edition": str(one.edition or ""),
        "age_days": one.age,
        "limit_days": one.limit,
        "watched": one.watched,
        "stale": one.stale,
        "there": one.there,
        "empty": one.empty,
        "own": one.own,
        "kept": one.kept,
        "mandatory": one.entry.mandatory,
        "giver": one.entry.giver,
        "title": one.entry.title,
        "title_en": one.entry.title_en,
    }


def _listed_row(one: nsi.Listed) -> list[object]:
    state = _("shipped")
    if not one.there:
        state = _("not at hand")
    elif one.empty:
        state = _("empty")
    elif one.stale:
        state = _("too old: work stops") if one.watched else _("shipped, too old")
    elif one.own:
        state = _("own")
    return [
        one.entry.name,
        one.entry.official,
        _shown(one.edition),
        "" if one.age is None else one.age,
        "" if one.limit is None else one.limit,
        state,
        pick(one.entry.title, one.entry.title_en),
    ]


@command("template", help=N_("A CSV of a reference book to fill in: columns in words, a head, one example row."))
@argument("book")
@option("--profile", default="", help=N_("The dialect; without it that of the home."))
def nsi_template(book: str, profile: str) -> int:
    with opened(optional=True) as site:
        chosen = load_profile(profile) if profile or not site else site.profile
        text = nsi.template(chosen.rules, chosen.id, book, clock.today())
    if json_wanted():
        print_json({"book": book, "csv": text})
    else:
        click.echo(text, nl=False)
    return DONE


def add_to(program: click.Group) -> None:
    """Hang the group on the program."""
    for one in (nsi_import, nsi_list, nsi_template):
        nsi_group.add_command(one)
    program.add_command(nsi_group)
