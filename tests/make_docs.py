"""``make docs``: the pages of the command line and of the official checks; tests hold them current."""

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


COVERAGE = ROOT / "docs/coverage.md"
COVERAGE_HEAD = """# Официальные проверки: что выполнено

Страница получена командой `make docs` из самих правил; не правьте её руками. То же скажет
 `oms-batch rules coverage --all`.

Справочник Q015 (ФЛК) версии 2.2 и Q016 (МЭК) версии 1.9, федеральная часть. Условия изложены своими словами в правилах;
номер проверки стоит в правиле (`official`) и в ответе. «Чтение» — проверку выполняет само чтение файла по раскладке.
"""


def coverage_page() -> str:
    """The page of the official checks, in Russian."""
    from oms_batch.cli.coverage import all_checks
    from oms_batch.judge.coverage import IMPLEMENTED, MISSING, NOT_APPLICABLE, counted

    checks = all_checks()
    total = counted(checks)
    parts = [COVERAGE_HEAD, "| всего | выполнено | неприменимо | нет |\n|---|---|---|---|"]
    parts.append(
        "| " + " | ".join(str(total[key]) for key in ("official", IMPLEMENTED, NOT_APPLICABLE, MISSING)) + " |\n"
    )
    for title, state in (("Нет", MISSING), ("Неприменимо", NOT_APPLICABLE)):
        rows = [one for one in checks if one.state == state]
        if rows:
            parts.append(f"## {title}\n\n| проверка | элемент | почему |\n|---|---|---|")
            parts += [f"| {one.official} | {_short(one.element)} | {one.reason} |" for one in rows]
            parts.append("")
    parts.append("## Выполнено\n\n| проверка | элемент | файлы | правило | где |\n|---|---|---|---|---|")
    for one in checks:
        if one.state == IMPLEMENTED:
            told = [f"чтение ({code})" if code.startswith("S.") else code for code in one.rules]
            where = ", ".join(one.profiles)
            parts.append(f"| {one.official} | {_short(one.element)} | {one.files} | {', '.join(told)} | {where} |")
    return "\n".join(parts) + "\n"


def _short(element: str) -> str:
    return element.removeprefix("ZL_LIST/").replace("PERS_LIST/", "L: ")


def main() -> int:
    set_language("ru")
    COVERAGE.write_text(coverage_page(), "utf-8")
    print(COVERAGE.relative_to(ROOT))
    for language, path in PAGES.items():
        path.write_text(page(language), "utf-8")
        print(path.relative_to(ROOT))
    set_language("ru")
    return 0


if __name__ == "__main__":
    sys.exit(main())
