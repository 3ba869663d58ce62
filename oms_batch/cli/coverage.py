"""``rules coverage``: which official checks rules carry, which are not applicable and why, which are missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import click

from oms_batch.cli.common import DONE, FOUND, command, json_wanted
from oms_batch.cli.texts import option, print_json, print_table
from oms_batch.exchange import load_profile, shipped
from oms_batch.i18n import N_, _, pick
from oms_batch.judge import rulebook
from oms_batch.judge.coverage import IMPLEMENTED, MISSING, NOT_APPLICABLE, Check, counted, coverage


def all_checks() -> list[Check]:
    """The coverage over every exchange that asks official checks."""
    books = []
    for name in shipped():
        profile = load_profile(name)
        if profile.data.get("official"):
            sets = list(dict.fromkeys(one for line in (*profile.hops, *profile.sends) for one in line.rules))
            books.append(rulebook.load(profile.rules, sets, profile.id))
    return coverage(profile.rules, books)


@command(
    "coverage", help=N_("The official checks (Q015, Q016): carried by which rule, not applicable and why, missing.")
)
@option("--all", "every", is_flag=True, help=N_("Every check, not only those that no rule carries."))
def rules_coverage(every: bool) -> int:
    checks = all_checks()
    total = counted(checks)
    if json_wanted():
        print_json({**total, "checks": [_as_json(one) for one in checks]})
    else:
        _tell(checks, total, every)
    return FOUND if total[MISSING] else DONE


def _as_json(one: Check) -> dict[str, object]:
    return {
        "official": one.official,
        "book": one.book,
        "element": one.element,
        "state": one.state,
        "rules": list(one.rules),
        "profiles": list(one.profiles),
        "reason": pick(one.reason, one.reason_en),
    }


def _tell(checks: Sequence[Check], total: dict[str, int], every: bool) -> None:
    heads = [_("checks"), _("all"), _("implemented"), _("not applicable"), _("missing")]
    kinds = {one.official[:4]: one.book for one in checks}
    number = Counter((one.official[:4], one.state) for one in checks)
    states = (IMPLEMENTED, NOT_APPLICABLE, MISSING)
    rows = []
    for kind, book in kinds.items():
        each = [number[kind, state] for state in states]
        rows.append([f"{book} {kind}", str(sum(each)), *map(str, each)])
    rows.append([_("all"), *(str(total[key]) for key in ("official", *states))])
    print_table(heads, rows, right=range(1, 5))
    shown = [one for one in checks if every or one.state != IMPLEMENTED]
    words = {IMPLEMENTED: _("implemented"), NOT_APPLICABLE: _("not applicable"), MISSING: _("missing")}
    if shown:
        click.echo()
    for one in shown:
        said = ", ".join(one.rules) or pick(one.reason, one.reason_en)
        click.echo(f"{one.official}  {one.element}\n    {words[one.state]}{': ' if said else ''}{said}")
