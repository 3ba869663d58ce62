"""How results are shown: lines for people, plain values for scripts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from oms_batch.cli.texts import clean, print_table
from oms_batch.i18n import _
from oms_batch.model import roubles
from oms_batch.problems import problem_text
from oms_batch.ruledata import RuleData
from oms_batch.textform import money as pretty
from oms_batch.wording import in_words
from oms_batch.work import Handled


def handled_json(one: Handled) -> dict[str, Any]:
    """One handled file for scripts."""
    return {
        "file": one.name,
        "partner": one.folder,
        "outcome": one.outcome,
        "code": one.code,
        "job": one.job,
        "register": one.register,
        "status": one.status,
        "accounts": one.sent.accounts,
        "sum": roubles(one.sent.kopecks),
        "refused_accounts": one.refused.accounts,
        "refused_sum": roubles(one.refused.kopecks),
        "waits_for": one.waits_for,
        "problems": [asdict(problem) for problem in one.problems],
        "notes": one.notes,
    }


def tell_handled(one: Handled) -> None:
    """One handled file for people: what became of it, and what to do."""
    click.echo(clean(in_words(one)))
    for problem in one.problems[:20]:
        click.echo("    " + clean(problem_text(problem, RuleData())))
    if one.notes.get("note"):
        click.echo("    " + clean(one.notes["note"]))


def told(sum_: str) -> str:
    """A sum of the JSON documents as people read it."""
    return pretty(int(sum_.replace(".", "")))


def tell_status(rows: list[dict[str, Any]]) -> None:
    """The registers as a table, then what is awaited."""
    if not rows:
        click.echo(_("No registers yet."))
        return
    states = {
        "parked": _("parked"),
        "to_do": _("your turn"),
        "waiting": _("waiting"),
        "closed": _("closed"),
        "rejected": _("rejected"),
    }
    head = [
        _("register"),
        _("state"),
        _("sent"),
        _("sum"),
        _("refused 1"),
        _("refused 6"),
        _("accepted 5"),
        _("refused 2"),
        _("waiting"),
    ]
    names = ("refused_1", "refused_6", "accepted_5", "refused_2", "waiting")
    print_table(
        head,
        [
            [
                row["name"],
                states[row["state"]],
                row["accounts"]["sent"],
                told(row["sums"]["sent"]),
                *(f"{row['accounts'][name]} / {told(row['sums'][name])}" for name in names),
            ]
            for row in rows
        ],
        right=(2, 3, 4, 5, 6, 7, 8),
    )
    for row in rows:
        for item in row["waits_for"]:
            text = _("{register}: file {stage}{payer} from {who} until {until}")
            mine = _("{register}: make the file {stage}{payer} until {until}")
            shown = (mine if item["from"] == "self" else text).format(
                register=row["name"],
                stage=item["stage"],
                payer=item["payer"],
                who=item["from_name"],
                until=item["until"],
            )
            click.echo(("! " if item["overdue"] else "  ") + shown)
        for item in row["rejected"]:
            text = _(
                "! {file}: refused as a whole by {who} [{codes}]; correct it and send it again under the same name"
            )
            click.echo(text.format(file=item["file"], who=item["by"], codes=item["codes"]))
        for item in row["parked"]:
            click.echo(
                "  "
                + _("{file} waits: {reason} {stage}").format(
                    file=item["file"], reason=item["reason"], stage=item["waits_for"]
                )
            )


def tell_jobs(rows: list[dict[str, Any]]) -> None:
    """All files with what became of them."""
    states = {
        "answered": _("answered"),
        "refused": _("refused"),
        "parked": _("waits"),
        "quarantined": _("set aside"),
        "failed": _("stopped"),
        "rejected": _("rejected"),
        "new": _("new"),
        "working": _("in work"),
    }
    head = ["№", _("file"), _("from"), _("to"), _("state"), _("accounts"), _("sum"), _("refused"), _("code")]
    print_table(
        head,
        [
            [
                row["id"],
                row["name"],
                row["sender"],
                row["receiver"],
                states[row["state"]],
                row["accounts"],
                pretty(row["kopecks"]),
                row["refused_accounts"],
                "" if row["state"] == "answered" else row["reason"],
            ]
            for row in rows
        ],
        right=(0, 5, 6, 7),
    )
