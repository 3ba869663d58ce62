"""What all commands share: the opened home, ``--json`` before or after the command, exit codes."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from oms_batch.cli.texts import TextCommand, option
from oms_batch.errors import SetupError
from oms_batch.i18n import N_, set_language
from oms_batch.site import Site, open_site

DONE, FOUND, USAGE, CANNOT, OUR_FAULT = 0, 1, 2, 3, 70


@dataclass
class Options:
    """What stands before the command; ``json`` may also stand after it."""

    home: str = "."
    lang: str = ""
    json: bool = False


def options() -> Options:
    """The global options of the running command."""
    found = click.get_current_context().find_object(Options)
    return found if found is not None else Options()


def json_wanted() -> bool:
    """Whether the answer is to be one JSON document."""
    return options().json


def who() -> str:
    """The name of the person at the keyboard, for the audit."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"


def command(name: str, help: str) -> Callable[[Callable[..., int]], TextCommand]:  # noqa: A002 - click's own word
    """A command with ``--json``; what it returns is the exit code."""

    def decorate(body: Callable[..., int]) -> TextCommand:
        @wraps(body)
        def run(*args: Any, as_json: bool, **kwargs: Any) -> int:
            options().json |= as_json
            return body(*args, **kwargs)

        wrapped = option("--json", "as_json", is_flag=True, help=N_("One JSON document on stdout."))(run)
        made: TextCommand = click.command(name, cls=TextCommand, help=help)(wrapped)
        return made

    return decorate


@contextmanager
def opened(optional: bool = False) -> Iterator[Any]:
    """The home of the global options. ``optional``: ``None`` where there is no home."""
    chosen = options()
    try:
        with open_site(chosen.home) as site:
            _speak(chosen, site)
            yield site
            return
    except SetupError:
        if not optional or _has_home(chosen.home):
            raise
    yield None


def _has_home(folder: str) -> bool:
    from oms_batch.store import fsio
    from oms_batch.store.spool import Home

    return fsio.exists(Home.at(fsio.absolute(folder)).settings)


def _speak(chosen: Options, site: Site) -> None:
    set_language(chosen.lang or site.settings.lang)
