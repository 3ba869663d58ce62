"""The group identify: who the persons of files are and who pays; the queue of partial matches; answers to requests."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from oms_batch.cli.common import DONE, FOUND, command, json_wanted, opened, who
from oms_batch.cli.texts import TextGroup, argument, option, print_json, print_table
from oms_batch.doors import identify as door
from oms_batch.i18n import N_, _
from oms_batch.site import locked

SHOWN = 50
STATES = {
    "open": N_("waits for a decision"),
    "decided": N_("decided"),
    "appealed": N_("appealed"),
    "accepted": N_("the same person"),
    "rejected": N_("another person"),
    "asked": N_("asked"),
    "agreed": N_("told to the payer"),
    "": "",
}


class FilesFirst(TextGroup):
    """A group whose first word may be a file: ``identify FILE`` is ``identify file FILE``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["file", *args]
        return super().parse_args(ctx, args)


@click.group(
    "identify",
    cls=FilesFirst,
    help=N_(
        "Who the persons of registers are and who pays: identify FILE…\n\n"
        "Partial matches wait for a person: identify queue list. Requests of others: identify answer REQUEST TABLE."
    ),
)
def identify_group() -> None:
    """Identification."""


@command("file", help=N_("Look for the persons of registers among the insured; nothing changes without --ask."))
@argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@option("--csv", "keep", default="", help=N_("Write the whole answer of the one file as a table with “;” between."))
@option("--ask", is_flag=True, help=N_("Put partial matches into the queue for a person."))
def files_(files: tuple[str, ...], keep: str, ask: bool) -> int:
    if keep and len(files) > 1:
        raise click.UsageError(_("--csv takes the answer of one file"))
    with opened() as site:
        if ask:
            with locked(site):
                seen = [door.look(site, file, ask=True, author=who(), keep=keep) for file in files]
        else:
            seen = [door.look(site, file, keep=keep) for file in files]
    if json_wanted():
        print_json([_seen_json(one) for one in seen])
    else:
        for one in seen:
            _tell(one)
    return DONE if all(one.counts["found"] == one.counts["accounts"] and not _open(one) for one in seen) else FOUND


def _open(one: door.Seen) -> int:
    return one.counts["doubts"]


_HIDDEN = ("vpolis", "spolis", "npolis", "begin", "end")  # in the table only: it is a person's own


def _seen_json(one: door.Seen) -> dict[str, Any]:
    rows = [{name: value for name, value in row.items() if name not in _HIDDEN} for row in one.rows]
    asked = [made.id for made in one.asked]
    return {"file": one.file, **one.counts, "asked": asked, "rows": rows}


def _tell(one: door.Seen) -> None:
    text = _("{file}: {accounts} accounts, found {found}, partial matches {doubts}, cancelled policies {cancelled}")
    click.echo(text.format(file=one.file, **{name: one.counts[name] for name in _COUNTS}))
    by_step = Counter((row["step"], row["payer"]) for row in one.rows)
    counted = [[step or "-", payer or "-", str(count)] for (step, payer), count in sorted(by_step.items())]
    print_table([_("step"), _("payer"), _("accounts")], counted, right=(2,))
    told = [row for row in one.rows if row["found"] != "1" or row["cancelled"] == "1" or _differs(row)]
    if told:
        click.echo(_("What to look at:"))
        head = [_("account"), _("found"), _("step"), _("differs"), _("vector"), _("payer"), _("cancelled")]
        print_table(head, [_line(row) for row in told[:SHOWN]])
    if len(told) > SHOWN:
        click.echo(_("… and {n} more: --csv TABLE").format(n=len(told) - SHOWN))
    if one.asked:
        new = sum(made.new for made in one.asked)
        click.echo(_("Put into the queue: {n}; asked before: {old}").format(n=new, old=len(one.asked) - new))


def _differs(row: dict[str, str]) -> bool:
    """What was agreed on is nothing to look at any more."""
    return bool(row["differs"]) and row["step"] != door.DECIDED


_COUNTS = ("accounts", "found", "doubts", "cancelled")


def _line(row: dict[str, str]) -> list[str]:
    found = _("partly") if row["doubt"] == "1" else _("yes") if row["found"] == "1" else _("no")
    cells = [row["account"], found, row["step"], row["differs"], row["vector"], row["payer"]]
    return [*cells, row["cancelled_on"] if row["cancelled"] == "1" else ""]


@command("answer", help=N_("Answer a request about persons (a table) from our insured: answer REQUEST TABLE."))
@argument("request", type=click.Path(exists=True, dir_okay=False))
@argument("table", type=click.Path(dir_okay=False))
def answer(request: str, table: str) -> int:
    with opened() as site:
        told = door.answer(site, request, table)
    if json_wanted():
        print_json({"table": table, **told})
    else:
        click.echo(
            _("{n} persons asked about, found {found}: {path}").format(
                n=told["persons"], found=told["found"], path=table
            )
        )
    return DONE if told["found"] == told["persons"] else FOUND


@click.group("queue", cls=TextGroup, help=N_("Partial matches that wait for a person."))
def queue_group() -> None:
    """The work queue."""


@command("list", help=N_("What waits for a decision, the oldest first, and what is late."))
@option("--all", "every", is_flag=True, help=N_("Decided ones too."))
def list_(every: bool) -> int:
    with opened() as site:
        rows = door.waiting(site, every)
    if json_wanted():
        print_json([{name: row[name] for name in _LISTED} for row in rows])
        return FOUND if any(row["late"] for row in rows) else DONE
    if not rows:
        click.echo(_("Nothing waits for a decision."))
        return DONE
    head = ["№", _("register"), _("account"), _("payer"), _("step"), _("differs"), _("state"), _("until")]
    print_table(head, [_question(row) for row in rows])
    return FOUND if any(row["late"] for row in rows) else DONE


_LISTED = (
    "id", "state", "verdict", "register", "xkey", "period", "mo", "payer", "step", "differs", "asked_at", "due",
    "agree_by", "agreed_at", "late",
)  # fmt: skip


def _question(row: dict[str, Any]) -> list[str]:
    state = _(STATES[row["verdict"] if row["state"] == "decided" else row["state"]])
    until = _("{day}, LATE").format(day=row["due"]) if row["late"] else row["due"]
    return [str(row["id"]), row["register"], row["xkey"], row["payer"], row["step"], row["differs"], state, until]


def tell_reminders(rows: list[dict[str, Any]]) -> None:
    """What a person has to do about questions of identification, for the summary of the night."""
    what = {
        "answer": _("decide on question {n}"),
        "appeal": _("hear the appeal about question {n}"),
        "agree": _("tell the payer what was decided on question {n}"),
    }
    for one in rows[:SHOWN]:
        text = _("OVERDUE: {what}, due {until}") if one["late"] else _("To do: {what}, until {until}")
        click.echo(text.format(what=what[one["what"]].format(n=one["question"]), until=one["until"]))
    if len(rows) > SHOWN:
        click.echo(_("… and {n} more: oms-batch identify queue list").format(n=len(rows) - SHOWN))


@command("show", help=N_("One question: what differs, what was decided, by whom and why; where the two sides lie."))
@argument("number", type=int)
def show(number: int) -> int:
    with opened() as site:
        row = door.show(site, number)
    if json_wanted():
        print_json(row)
        return DONE
    click.echo(_("Question {n}: register {register}, account {account}").format(
        n=number, register=row["register"], account=row["xkey"]))  # fmt: skip
    click.echo(_("Found by: {step}; differs: {differs}").format(step=row["step"], differs=row["differs"] or "-"))
    click.echo(_("Answer until {due}, tell the payer {payer} until {agree}").format(
        due=row["due"] or "-", payer=row["payer"] or "-", agree=row["agree_by"] or "-"))  # fmt: skip
    click.echo(_("Both sides: {path}").format(path=row["case"] or "-"))
    moves = [[one["at"][:16], _(STATES[one["action"]]), one["author"], one["reason"]] for one in row["moves"]]
    print_table([_("when"), _("what"), _("author"), _("reason")], moves)
    return DONE


@command("decide", help=N_("Record a decision with its author and reason; the next search keeps to it."))
@argument("number", type=int)
@option("--accept/--reject", "accept", default=None, help=N_("The two are one person, or they are not."))
@option("--author", default="", help=N_("Who decided."))
@option("--reason", default="", help=N_("Why: the document that was looked at."))
def decide(number: int, accept: bool | None, author: str, reason: str) -> int:
    if accept is None:
        raise click.UsageError(_("say --accept or --reject"))
    with opened() as site, locked(site):
        door.decide(site, number, accept, author, reason)
        row = door.show(site, number)
    if json_wanted():
        print_json(row)
    else:
        text = _("Question {n}: {verdict}. Tell the payer {payer} until {agree}: oms-batch identify queue agree TABLE")
        verdict = _(STATES[row["verdict"]])
        click.echo(text.format(n=number, verdict=verdict, payer=row["payer"] or "-", agree=row["agree_by"] or "-"))
    return DONE


@command("appeal", help=N_("Record an appeal against a decision; the decision holds until it is heard."))
@argument("number", type=int)
@option("--author", default="", help=N_("Who appeals."))
@option("--reason", default="", help=N_("Why."))
def appeal(number: int, author: str, reason: str) -> int:
    with opened() as site, locked(site):
        due = door.appeal(site, number, author, reason)
        row = door.show(site, number)
    if json_wanted():
        print_json(row)
    else:
        click.echo(_("Question {n}: the appeal is to be heard until {due}.").format(n=number, due=due))
    return DONE


@command("agree", help=N_("Write the decisions that the payer has not been told yet into a table for him."))
@argument("table", type=click.Path(dir_okay=False))
def agree(table: str) -> int:
    with opened() as site, locked(site):
        count = door.agreement(site, table, who())
    if json_wanted():
        print_json({"table": table, "decisions": count})
    else:
        click.echo(_("Decisions: {n}: {path}").format(n=count, path=table))
    return DONE


@command("take", help=N_("Take decisions of the insurer of the persons from his table; our next search keeps to them."))
@argument("table", type=click.Path(exists=True, dir_okay=False))
def take(table: str) -> int:
    with opened() as site, locked(site):
        new, known = door.take_agreement(site, table)
    if json_wanted():
        print_json({"new": new, "known": known})
    else:
        click.echo(_("Decisions: {new} new, {known} known already.").format(new=new, known=known))
    return DONE


def add_to(program: click.Group) -> None:
    """Hang the group on the program."""
    for one in (list_, show, decide, appeal, agree, take):
        queue_group.add_command(one)
    for made in (files_, answer, queue_group):
        identify_group.add_command(made)
    program.add_command(identify_group)
