"""``make rule CODE=F.76.0100 NAME=what_is_wrong SET=yaroslavl/form``: the skeleton of one rule.

It comes out as a draft that does not prove itself yet: its examples must be written first.
"""

from __future__ import annotations

import re
import sys
from datetime import date

from tests.source import ROOT

PASSES = {"F": "form", "K": "sense", "S": "form", "I": "sense", "E": "sense"}
SKELETON = """\
code = "{code}"
title = ""            # names the fault, not the cure, one line
title_en = ""
advice = ""           # what to do
advice_en = ""
official = []         # ids of Q015/Q016 that this rule stands for
severity = "reject"   # reject | warn | info
defect = ""           # key into the book of defects
basis = ""            # order, appendix, item
valid_from = 2011-01-01
checked_on = {today}
status = "draft"      # draft | active | retired
run_pass = "{run_pass}"
on = "z_sl"           # the table whose rows are looked at
refuses = "account"   # account | person | register
element = "z_sl."     # what is wrong, as table.column
fails_when = "FALSE"  # SQL over the row, its parents and lookups; true = the fault

# [[lookup]]
# name = "found"
# book = ""
# on = {{ code = "z_sl." }}
# date = "z_sl.date_z_2"

[[pass]]
why = ""
[pass.z_sl]

[[fail]]
why = ""
expect = 1
[fail.z_sl]
"""


def skeleton(code: str, today: date) -> str:
    """The text of a new rule."""
    return SKELETON.format(code=code, today=today, run_pass=PASSES[code[0]])


def main(arguments: list[str]) -> int:
    if len(arguments) != 3 or not all(arguments):
        print("make rule CODE=F.76.0100 NAME=what_is_wrong SET=yaroslavl/form", file=sys.stderr)
        return 2
    code, name, rule_set = arguments
    folder = ROOT / "rules" / rule_set
    if not re.fullmatch(r"[FKSIE]\.\d\d\.\d{4}", code) or not re.fullmatch(r"[a-z][a-z0-9_]+", name):
        print("CODE is like F.76.0100, NAME is small letters, digits and _, and says what is wrong", file=sys.stderr)
        return 2
    if not folder.is_dir():
        print(f"no folder rules/{rule_set}", file=sys.stderr)
        return 2
    stem = code.replace(".", "_")
    if taken := [path.name for path in (ROOT / "rules").rglob(f"{stem}_*.toml")]:
        print(f"the code is taken: {taken[0]}", file=sys.stderr)
        return 3
    path = folder / f"{stem}_{name}.toml"
    path.write_text(skeleton(code, date.today()), "utf-8")
    print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
