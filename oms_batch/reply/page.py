"""The HTML twin of an answer: one file that needs nothing else, to be read and printed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, BinaryIO

import duckdb
from jinja2 import Environment, PackageLoader, StrictUndefined

from oms_batch.i18n import _, language
from oms_batch.model import PlanRow
from oms_batch.reply import people
from oms_batch.reply.marks import Texts
from oms_batch.reply.rows import About, Row, causes, facts_of, plan_rows, refused_rows

LIMIT = 5000


def write_page(
    con: duckdb.DuckDBPyConnection,
    out: BinaryIO,
    about: About,
    texts: Texts,
    plan: Sequence[PlanRow],
    *,
    keep: str = "true",
    lang: str = "ru",
    limit: int = LIMIT,
) -> None:
    """Write the page to ``out``, UTF-8: head, causes with counts and sums, the first ``limit`` accounts, the plan."""
    with people.speaking(lang):
        found = causes(con, texts, keep=keep)
        total = sum(one.accounts for one in found)
        values = {
            "about": about,
            "facts": facts_of(about),
            "causes": found,
            "total": total,
            "lost": sum(one.kopecks for one in found),
            "limit": limit,
            "accounts": _accounts(refused_rows(con, texts, about.period, keep=keep, limit=limit)),
            "plan": plan_rows(plan, texts),
        }
        render("answer.html.j2", values, out)


def _accounts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    number = 0

    def turn(row: Row) -> int:
        nonlocal number
        number += row.first
        return number

    for _number, group in groupby(rows, key=turn):
        yield list(group)


def render(template: str, values: dict[str, Any], out: BinaryIO) -> None:
    """Fill a template of this folder into ``out``; every value is escaped."""
    helpers = {"_": _, "money": people.money, "number": people.number, "lang": language()}
    for piece in _templates().get_template(template).generate({**values, **helpers}):
        out.write(piece.encode("utf-8", "xmlcharrefreplace"))


@lru_cache(maxsize=1)
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("oms_batch.reply", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
