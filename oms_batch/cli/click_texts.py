"""click's own words in the language in force: headings, the two options that every command has, usage errors.

click asks ``gettext`` for them, which knows compiled catalogues of the machine only; here it is given ours.
"""

from __future__ import annotations

import click.core
import click.decorators
import click.exceptions
import click.formatting
import click.parser
import click.types

from oms_batch.i18n import N_, _

SHOW_HELP = N_("Show this message and exit.")
SHOW_VERSION = N_("Show the version and exit.")
WORDS = (
    SHOW_HELP,
    SHOW_VERSION,
    N_("Options"),
    N_("Usage:"),
    N_("Error: {message}"),
    N_("Try '{command} {option}' for help."),
    N_("Missing argument"),
    N_("Missing option"),
    N_("Missing parameter"),
    N_("Missing command."),
    N_("Invalid value: {message}"),
    N_("Invalid value for {param_hint}: {message}"),
    N_("No such option {name!r}."),
    N_("No such command {name!r}."),
    N_("Option {name!r} does not take a value."),
    N_("Choose from:\n\t{choices}"),
    N_("{value!r} is not a valid {number_type}."),
    N_("{name} {filename!r} does not exist."),
    N_("{name} {filename!r} is a file."),
    N_("{name} {filename!r} is a directory."),
    N_("{name} {filename!r} is not readable."),
    N_("required"),
    N_("default: {default}"),
    N_("env var: {var}"),
    N_("Aborted!"),
    N_("Got unexpected extra argument ({args})"),
    N_("Got unexpected extra arguments ({args})"),
    N_("{value!r} is not {choice}."),
    N_("{value!r} is not one of {choices}."),
)


def install() -> None:
    """Let click speak through our catalogue; what stands in no catalogue stays as click wrote it."""
    for module in (click.core, click.decorators, click.exceptions, click.formatting, click.parser, click.types):
        for name, function in (("_", _), ("ngettext", _plural)):
            if hasattr(module, name):
                setattr(module, name, function)


def _plural(one: str, many: str, count: int) -> str:
    text = one if count == 1 else many
    return _(text)
