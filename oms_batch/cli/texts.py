"""click with helps in the language in force, and one way to print: for people or for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import click
from click.formatting import HelpFormatter

from oms_batch.cli.click_texts import SHOW_HELP
from oms_batch.i18n import _
from oms_batch.model import parse_date


class TextOption(click.Option):
    """An option whose help is translated when it is shown."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        if record is None or not self.help:
            return record
        return record[0], record[1].replace(self.help, _(self.help), 1)


class TextCommand(click.Command):
    """A command whose help is translated when it is shown."""

    def get_help_option_names(self, ctx: click.Context) -> list[str]:
        return ["-h", "--help"]

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        found = super().get_help_option(ctx)
        if found is not None:
            found.help = _(SHOW_HELP)
        return found

    def format_help_text(self, ctx: click.Context, formatter: HelpFormatter) -> None:
        formatter.write_paragraph()
        with formatter.indentation():
            for paragraph in _(self.help or "").split("\n\n"):
                formatter.write_text(paragraph)
                formatter.write_paragraph()

    def get_short_help_str(self, limit: int = 45) -> str:
        first = _(self.help or "").split("\n\n")[0]
        return first if len(first) <= limit else first[: limit - 1] + "…"


class TextGroup(TextCommand, click.Group):
    """A group of such commands; the list shows whole first sentences."""

    command_class = TextCommand

    def format_commands(self, ctx: click.Context, formatter: HelpFormatter) -> None:
        rows = [
            (name, command.get_short_help_str(limit=100))
            for name in self.list_commands(ctx)
            if (command := self.get_command(ctx, name)) is not None and not command.hidden
        ]
        with formatter.section(_("Commands")):
            formatter.write_dl(rows)


TextGroup.group_class = TextGroup

option = partial(click.option, cls=TextOption)


class Period(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A month, written YYYY-MM."""

    name = "YYYY-MM"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value and parse_date(f"{value}-01") is None:
            self.fail(_("a month is written YYYY-MM"), param, ctx)
        return str(value)


def argument(name: str, **settings: Any) -> Callable[[Any], Any]:
    """A click argument; its name is shown as it is."""
    return click.argument(name, **settings)


def print_json(document: object) -> None:
    """One JSON document on stdout, the same bytes for the same content."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def clean(text: object) -> str:
    """Text for a terminal: control characters and direction marks cannot forge the screen."""
    return "".join(char if char.isprintable() or char in "\n\u00a0\u202f" else "�" for char in str(text))


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[int] = ()) -> None:
    """A plain table, columns as wide as their longest cell; ``right``: numbers of right-aligned columns."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [
        max(len(head[at]), *(len(row[at]) for row in cells)) if cells else len(head[at]) for at in range(len(head))
    ]

    def line(row: Sequence[str]) -> str:
        parts = [
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(parts).rstrip()

    click.echo(line(list(head)))
    click.echo("  ".join("─" * width for width in widths))
    for row in cells:
        click.echo(line(row))
