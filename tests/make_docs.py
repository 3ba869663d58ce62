"""``make docs``: the pages of the command line, made from the commands themselves; a test holds them current."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from oms_batch.i18n import set_language
from tests.source import ROOT

PAGES = {"en": ROOT / "docs/cli.md", "ru": ROOT / "docs/cli.ru.md"}
HEADS = {
    "en": "# The command line\n\nMade by `make docs` from the commands themselves; do not edit.\n",
    "ru": "# Командная строка\n\nСтраница получена командой `make docs` из самих команд; не правьте её руками.\n",
}


def commands(language: str) -> Iterator[tuple[str, click.Command, str]]:
    """All commands, depth first: (full name, command, its help in that language, 100 columns wide)."""
    from oms_batch.cli.main import program

    set_language(language)

    def walk(
        name: str, command: click.Command, parent: click.Context | None
    ) -> Iterator[tuple[str, click.Command, str]]:
        context = click.Context(
            command, info_name=name.rsplit(" ", 1)[-1], parent=parent, terminal_width=100, max_content_width=100
        )
        yield name, command, command.get_help(context)
        if isinstance(command, click.Group):
            for child in command.list_commands(context):
                found = command.get_command(context, child)
                if found is not None and not found.hidden:
                    yield from walk(f"{name} {child}", found, context)

    yield from walk("oms-batch", program, None)


def page(language: str) -> str:
    """The whole page in one language."""
    parts = [HEADS[language]]
    for name, _command, text in commands(language):
        lines = "\n".join(line.rstrip() for line in text.splitlines())
        parts.append(f"## {name}\n\n```text\n{lines}\n```\n")
    return "\n".join(parts)


def main() -> int:
    for language, path in PAGES.items():
        path.write_text(page(language), "utf-8")
        print(path.relative_to(ROOT))
    set_language("ru")
    return 0


if __name__ == "__main__":
    sys.exit(main())
