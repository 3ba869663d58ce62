"""oms-batch: the command line. Global options, exit codes, and the groups of commands."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import click

from oms_batch import __version__, i18n
from oms_batch.cli import click_texts, convert, demo, desk, exchange, identify, ledger, nsi, persons, registers, rules
from oms_batch.cli.common import CANNOT, DONE, OUR_FAULT, Options
from oms_batch.cli.texts import TextGroup, TextOption, clean, option
from oms_batch.errors import Fault, Problem, Refusal, SetupError, WrongState
from oms_batch.i18n import N_, _
from oms_batch.problems import problem_text
from oms_batch.ruledata import RuleData


class Program(TextGroup):
    """Turns every kind of trouble into its exit code and one clear message."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except click.exceptions.Abort:
            code = CANNOT
        except click.ClickException as error:
            error.show()
            code = error.exit_code
        except Refusal as error:
            for problem in error.problems[:20]:
                click.echo(clean(problem_text(problem, RuleData())), err=True)
            code = CANNOT
        except WrongState as error:
            click.echo(clean(problem_text(Problem(error.code, error.detail), RuleData())), err=True)
            code = CANNOT
        except SetupError as error:
            click.echo(_("Set-up: {text}").format(text=clean(error)), err=True)
            code = CANNOT
        except Exception as error:  # noqa: BLE001 - the last net: type and place only, never a value
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{place.filename.rpartition('/')[2]}:{place.lineno}"
            text = _("Our own fault ({kind}, {where}). Nothing was sent. Please report it.")
            click.echo(text.format(kind=type(error).__name__, where=where), err=True)
            if isinstance(error, Fault):
                click.echo(clean(error), err=True)
            code = OUR_FAULT
        sys.exit(code if isinstance(code, int) else DONE)


def _language(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    i18n.set_language(value)
    return value


@click.group(
    cls=Program,
    help=N_(
        "Exchange of registers of medical accounts in compulsory medical insurance.\n\n"
        "Exit codes: 0 done, nothing refused; 1 done, something refused or found; 2 usage; "
        "3 this could not be done; 70 our own fault."
    ),
)
@option(
    "--home",
    envvar="OMS_BATCH_HOME",
    default=".",
    help=N_("The participant's home folder (default: $OMS_BATCH_HOME, else the current folder)."),
)
@option(
    "--lang",
    type=click.Choice(i18n.LANGUAGES),
    default="ru",
    envvar="OMS_BATCH_LANG",
    is_eager=True,
    callback=_language,
    help=N_("Language of messages: ru or en."),
)
@option("--json", "as_json", is_flag=True, help=N_("One JSON document on stdout."))
@click.version_option(
    __version__, "-V", "--version", prog_name="oms-batch", cls=TextOption, help=click_texts.SHOW_VERSION
)
@click.pass_context
def program(ctx: click.Context, home: str, lang: str, as_json: bool) -> None:
    """Global options; each command takes them from the context."""
    asked = ctx.get_parameter_source("lang") is not click.core.ParameterSource.DEFAULT
    ctx.obj = Options(home, lang if asked else "", as_json)


click_texts.install()
for group in (demo, exchange, registers, desk, persons, identify, convert, rules, nsi, ledger):
    group.add_to(program)


def main() -> None:
    """The entry point of the installed command and of ``cli.py``."""
    program()
