"""Makes the layout tables of the XML formats out of the reference data; a developer runs it when a source changes.

``python -m tests.make_layouts [reference data]`` writes ``rules/{federal,mtr}/layouts/<TYPE>.csv``. What goes where
(which schema, which version) is said in ``index.csv`` beside them: ``source`` names the schema or the table.
"""

from __future__ import annotations

import csv
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from fnmatch import fnmatchcase
from pathlib import Path

from tests.layout_sources import Element, marks, read_schema, read_table, table

RULES = Path(__file__).parent.parent / "rules"
FACTS = Path(__file__).parent / "layout_facts"
COLUMNS = [
    "path",
    "in",
    "min",
    "max",
    "type",
    "size",
    "values",
    "pattern",
    "range",
    "nil",
    "unique",
    "mark",
    "table",
    "column",
    "note",
]
PREFIX = {"L": "l_", "A": "a_", "FLK_P": "flk_", "Y": "flk_"}
TABLES = frozenset(("ZAP", "Z_SL", "SLUCH", "SL", "USL", "SANK", "ONK_SL", "PERS"))  # rows even where they stand once
NAMED = {
    "SANK/SL_ID": "sank_sl_id",
    "SANK/CODE_EXP": "sank_exp",
    "ONK_USL/LEK_PR": "onk_lek_pr",
    "LEK_PR/INJ": "onk_inj",
    "USL/CODE_MES1": "usl_code_mes1",
}
INTS = frozenset(
    ("YEAR", "MONTH", "SD_Z", "KD_Z", "COL_INJ", "K_FR", "HEI", "FIRST_YEAR", "FIRST_MONTH", "S_YEAR", "S_MONTH")
)
QUANTITIES = frozenset(("KD", "ED_COL", "KOL_USL"))
MONEY = re.compile(r"SUM.*|S_SUM|S_FINE|SANK_.*|TARIF|BZTSZ|.*_SUM|SHTRAF")


@dataclass
class Line:
    """One line of a table: the path, what it says and in which layouts."""

    path: str
    facets: dict[str, str]
    layouts: list[str]


def merge(path: str, nodes: dict[str, Element]) -> Iterator[Line]:
    """Lines of the children of one element, for all layouts at once; the order holds for each of them."""
    slots: list[tuple[str, dict[str, Element]]] = []
    for layout, node in nodes.items():
        names = [name for name, _ in slots]
        own = [kid.name for kid in node.kids]
        grown: list[tuple[str, dict[str, Element]]] = []
        for kind, a, b, c, d in SequenceMatcher(None, names, own, autojunk=False).get_opcodes():
            grown += slots[a:b]
            if kind == "equal":
                for (_, holders), kid in zip(slots[a:b], node.kids[c:d], strict=True):
                    holders[layout] = kid
            else:
                grown += [(kid.name, {layout: kid}) for kid in node.kids[c:d]]
        slots = grown
    done: set[str] = set()
    for name, holders in slots:
        below = f"{path}/{name}"
        forms: list[Line] = []
        for layout, kid in holders.items():
            same = next((one for one in forms if one.facets == kid.facets), None)
            if same is None:
                forms.append(Line(below, kid.facets, [layout]))
            else:
                same.layouts.append(layout)
        yield from forms
        if name not in done:
            done.add(name)
            every = {layout: kid for other, held in slots if other == name for layout, kid in held.items()}
            yield from merge(below, {layout: every[layout] for layout in nodes if layout in every})


def shorten(wanted: list[str], every: list[str]) -> str:
    """Names of layouts as few patterns as possible; blank = all."""
    if set(wanted) == set(every):
        return ""
    globs = {
        "[!2]*",
        "[2-6].*",
        "[3-6].*",
        "[4-6].*",
        "[5-6].*",
        *(one[: one.rindex("_")] + "*" for one in every if "_" in one),
    }
    globs |= {"*" + one[one.rindex("_") :] for one in every if "_" in one}
    globs |= {f"*_{match[1]}*" for one in every if (match := re.search("_([0-9][^_]*)", one))}
    globs |= {one.partition("_")[0] + "_*" for one in every if "_" in one}
    hits = {glob: {one for one in every if fnmatchcase(one, glob)} for glob in sorted(globs)}
    hits = {glob: hit for glob, hit in hits.items() if hit <= set(wanted)}
    left, found = set(wanted), []
    while hits:
        best = max(hits, key=lambda glob: len(hits[glob] & left))
        if len(hits[best] & left) < 2:
            break
        found.append(best)
        left -= hits.pop(best)
    return "|".join([*found, *(one for one in wanted if one in left)])


def typed(name: str, facets: dict[str, str]) -> str:
    """Which kind of column keeps it: numbers that only name something are codes."""
    if "type" in facets:
        return facets["type"]
    if facets["base"] == "date":
        return "date"
    if facets["base"] == "string":
        return (
            "text"
            if re.fullmatch("FAM.*|IM|IM_P|OT.*|MR|.*COM.*|SMO_NAM|DOCORG|TEL|ZAKL|VIVOD|FIO|ZN_POL", name)
            else "code"
        )
    if name in INTS:
        return "int"
    if MONEY.fullmatch(name):
        return "money"
    if name in QUANTITIES:
        return "quantity"
    return "code" if facets["size"].endswith(".0") or facets["size"].endswith(".") else "quantity"


def table_of(kind: str, line: Line, lines: list[Line]) -> str:
    """The table that an element starts, blank when it starts none."""
    parts, prefix = line.path.split("/"), PREFIX.get(kind, "")
    if len(parts) == 1:
        return prefix + "register"
    group = "type" in line.facets
    own = [one.facets for one in lines if one.path == line.path] if group else [line.facets]
    if any(one["max"] == "*" for one in own) or (group and parts[-1] in TABLES) or "/".join(parts[-2:]) in NAMED:
        return prefix + NAMED.get("/".join(parts[-2:]), parts[-1].lower())
    return ""


def rows(
    kind: str, lines: list[Line], layouts: list[str], signs: dict[tuple[str, str], str]
) -> Iterator[dict[str, str]]:
    """Lines → rows of the table."""
    tables: dict[str, str] = {}
    taken: dict[tuple[str, str], dict[str, set[str]]] = {}  # of a column: which path has it in which layouts
    present: dict[str, set[str]] = {"": set(layouts)}
    for line in lines:
        present.setdefault(line.path, set()).update(line.layouts)
    for line in lines:
        above, _, name = line.path.rpartition("/")
        table = table_of(kind, line, lines)
        tables.setdefault(line.path, table)
        column = ""
        if "type" not in line.facets:
            owner = above
            while not (table or tables[owner]):
                owner = owner.rpartition("/")[0]
            table, column = table or tables[owner], name.lower()
            held = taken.setdefault((table, column), {})
            if above.endswith("/ZGLV") and f"{above[:-4]}SCHET/{name}" in present:
                column = f"zglv_{column}"  # the account's own year and month are the register's
                held = taken.setdefault((table, column), {})
            if any(other != line.path and there & set(line.layouts) for other, there in held.items()):
                column = f"{above.rpartition('/')[2].lower()}_{column}"
            else:
                held.setdefault(line.path, set()).update(line.layouts)
        known = {key: line.facets.get(key, "") for key in COLUMNS}
        every = [one for one in layouts if one in present[above]]
        mark = signs.get((above.rpartition("/")[2], name), "")
        yield known | {
            "path": line.path,
            "in": shorten(line.layouts, every),
            "type": typed(name, line.facets),
            "mark": mark or ("О" if line.facets["min"] != "0" else "У") + ("М" if line.facets["max"] == "*" else ""),
            "table": table,
            "column": column,
        }


def add_later(tree: Element, additions: list[dict[str, str]], layout: str) -> Element:
    """A copy of a tree with the elements that later versions are known to have, behind what is there."""
    made = replace(tree, kids=[add_later(kid, [], layout) for kid in tree.kids], facets=dict(tree.facets))
    for row in additions:
        if layout not in row["in"].split("|"):
            continue
        at = made
        *above, name = row["path"].split("/")[1:]
        for step in above:
            at = next(kid for kid in at.kids if kid.name == step)
        if any(kid.name == name for kid in at.kids):
            continue
        facets = {"min": "0", "max": row["max"]}
        if row["type"] == "group":
            facets["type"] = "group"
        else:
            facets |= {"code": {"base": "string", "size": "0.."}, "date": {"base": "date"}}.get(
                row["type"], {"base": "decimal", "size": "4.1"}
            )
        at.kids.append(Element(name, facets))
    return made


def weaken(tree: Element, other: Element | None) -> None:
    """Ask only for what both trees ask for, and let stand what the other has besides."""
    theirs = {kid.name: kid for kid in other.kids} if other is not None else {}
    for kid in tree.kids:
        if kid.name not in theirs or theirs[kid.name].facets["min"] == "0":
            kid.facets["min"] = "0"
        weaken(kid, theirs.get(kid.name))
    known = {kid.name for kid in tree.kids}
    for name, kid in theirs.items():
        if name not in known:
            kid.facets["min"] = "0"
            tree.kids.append(kid)


def _source(name: str, root: str, data: Path) -> Element:
    """The tree that a schema, a table of the reference data or a table of our facts tells."""
    path = FACTS / name if (FACTS / name).is_file() else data / name
    return read_schema(path) if path.suffix == ".xsd" else read_table(path, root)


def make(profile: str, data: Path, target: Path | None = None) -> None:
    """Write all tables of one profile, beside its ``index.csv`` or into another folder."""
    folder = RULES / profile / "layouts"
    index = table(folder / "index.csv")
    additions = table(FACTS / "later.csv")
    for file in dict.fromkeys(row["file"] for row in index):
        entries = list({row["id"]: row for row in index if row["file"] == file}.values())
        trees: dict[str, Element] = {}
        for row in entries:
            tree, *others = (_source(one, row["root"], data) for one in row["source"].split("+"))
            for other in others:
                weaken(tree, other)
            own = [each for each in additions if file in each["file"].split("|")]
            trees[row["id"]] = add_later(tree, own, row["id"]) if row["status"] == "elements_only" else tree
        signs: dict[tuple[str, str], str] = {}
        for row in reversed(entries):
            signs |= marks(data / row["marks"] if row["marks"] else None)
        top = next(iter(trees.values()))
        assert {tree.name for tree in trees.values()} == {top.name}
        lines = [Line(top.name, {"min": "1", "max": "1", "type": "group"}, list(trees)), *merge(top.name, trees)]
        sources = dict.fromkeys(one for row in entries for one in row["source"].split("+"))
        head = f"# {profile}: elements of {file}, one line per element in document order; see README.md here\n"
        used = list(dict.fromkeys(row["marks"] for row in entries if row["marks"]))
        head += f"# origin: facts of {', '.join(sources)}{'; marks of ' if used else ''}{', '.join(used)}\n"
        with ((target or folder) / f"{file}.csv").open("w", encoding="utf-8", newline="") as stream:
            stream.write(head)
            writer = csv.DictWriter(stream, COLUMNS, delimiter=";", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows(file, lines, list(trees), signs))


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ["OMS_REFERENCE_DATA"])
    for each in ("federal", "mtr"):
        make(each, where)
