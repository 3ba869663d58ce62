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
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lxml import etree

XS = "{http://www.w3.org/2001/XMLSchema}"
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
DATES = (r"\d{4}-\d{2}-\d{2}", "((000[1-9])|")
INTEGER = r"[+\-]?[0-9]+"


@dataclass
class Element:
    """One element of one schema: ``facets`` are the cells of its line, ``kids`` in the order of the sequence."""

    name: str
    facets: dict[str, str] = field(default_factory=dict)
    kids: list[Element] = field(default_factory=list)


def read_schema(path: Path) -> Element:
    """The tree of a schema's first element."""
    root: Any = etree.parse(str(path)).getroot()
    types: dict[str, Any] = {}
    for part in (
        root,
        *(etree.parse(str(path.parent / one.get("schemaLocation"))).getroot() for one in root.iter(XS + "include")),
    ):
        types.update(
            {one.get("name"): one for one in part.iter(XS + "simpleType", XS + "complexType") if one.get("name")}
        )
    made = _element(root.find(XS + "element"), types)
    for unique in root.iter(XS + "unique"):
        _add_unique(made, root, unique)
    return made


def _element(one: Any, types: dict[str, Any]) -> Element:
    many = one.get("maxOccurs", "1")
    made = Element(one.get("name"), {"min": one.get("minOccurs", "1"), "max": "*" if many == "unbounded" else many})
    if one.get("nillable") == "true":
        made.facets["nil"] = "nil"
    complex_type = one.find(XS + "complexType")
    parts = complex_type.find(XS + "sequence") if complex_type is not None else None
    if complex_type is not None and parts is not None:
        choice = parts.find(XS + "choice")
        made.facets["type"] = "choice" if choice is not None else "mixed" if complex_type.get("mixed") else "group"
        made.kids = [
            _element(kid, types) for kid in (choice if choice is not None else parts).iterchildren(XS + "element")
        ]
        assert len({kid.name for kid in made.kids}) == len(made.kids) > 0, made.name
        return made
    if one.get("fixed") is not None:
        made.facets.update(base="string", size="0..", values=one.get("fixed"), nil="empty")
        return made
    named = one.get("type")
    extension = next(one.iter(XS + "extension"), None)
    simple = one.find(XS + "simpleType")
    if extension is not None:
        named = extension.get("base")
    made.facets.update(_simple(simple if simple is not None else _named(named, types), types))
    if made.facets["nil"] == "" and one.get("nillable") == "true":
        made.facets["nil"] = "nil"
    return made


def _named(name: str, types: dict[str, Any]) -> Any:
    if name.startswith(("xs:", "xsd:")):
        made = etree.Element(XS + "simpleType")
        etree.SubElement(made, XS + "restriction", base=name)
        return made
    return types[name.split(":")[-1]]


def _simple(one: Any, types: dict[str, Any]) -> dict[str, str]:
    """The facets of a simple type as cells."""
    union = one.find(XS + "union")
    if union is not None:
        first, nothing = union.get("memberTypes").split()
        assert nothing == "empty-string"
        return _simple(types[first], types) | {"nil": "empty"}
    restriction = one.find(XS + "restriction")
    base = restriction.get("base").split(":")[-1]
    assert base in ("string", "decimal", "date", "integer", "nonNegativeInteger"), base
    found = {
        kind: [each.get("value") for each in restriction.iterchildren(XS + kind)]
        for kind in (
            "minLength",
            "maxLength",
            "totalDigits",
            "fractionDigits",
            "pattern",
            "enumeration",
            "whiteSpace",
            "minInclusive",
            "minExclusive",
            "maxInclusive",
            "maxExclusive",
        )
    }
    facts = {kind: values[0] for kind, values in found.items() if values}
    known = {XS + kind for kind in (*found, "annotation")}
    assert {each.tag for each in restriction.iterchildren(tag=etree.Element)} <= known
    assert len(found["pattern"]) < 2 and facts.get("whiteSpace", "collapse") == "collapse"
    made = {
        "base": base,
        "values": "|".join(found["enumeration"]),
        "pattern": facts.get("pattern", ""),
        "range": "",
        "nil": "",
    }
    low = "[" + facts["minInclusive"] if "minInclusive" in facts else "(" + facts.get("minExclusive", "")
    high = facts["maxInclusive"] + "]" if "maxInclusive" in facts else facts.get("maxExclusive", "") + ")"
    if base == "nonNegativeInteger":
        low = "[0"
    if (low, high) != ("(", ")"):
        made["range"] = f"{low},{high}"
    if base == "string":
        made["size"] = f"{facts.get('minLength', '0')}..{facts.get('maxLength', '')}" + (
            " trim" if "whiteSpace" in facts else ""
        )
    elif base == "date":
        assert made["pattern"].startswith(DATES), made
        made.update(pattern="", size="")
    else:
        total, decimals = facts.get("totalDigits", ""), facts.get("fractionDigits", "")
        made["size"] = f"{total}.{decimals}"
        if base != "decimal":
            made["base"], made["pattern"] = "decimal", made["pattern"] or INTEGER
        if total and made["range"] == f"[0,{10 ** (int(total) - int(decimals or 0))})":
            made["range"] = "+"
    return made


def _add_unique(made: Element, root: Any, unique: Any) -> None:
    steps = []
    owner = unique.getparent()
    while owner is not None and owner is not root:
        if owner.tag == XS + "element":
            steps.append(owner.get("name"))
        owner = owner.getparent()
    path = [*steps[::-1], *unique.find(XS + "selector").get("xpath").split("/"), unique.find(XS + "field").get("xpath")]
    at = made
    for name in path[1:]:
        at = next((kid for kid in at.kids if kid.name == name), Element(""))
    at.facets["unique"] = "/".join(steps[::-1])


def read_table(path: Path, root: str) -> Element:
    """The tree of an order's table: parent, element, mark, format (of the protocol: kind, size, mark)."""
    made = {root: Element(root, {"min": "1", "max": "1", "type": "group"})}
    for row in _table(path):
        parent, name, mark, form, last = [*row.values(), ""][:5]
        if mark in ("Char", "Num", "S"):
            mark, form = last, "S" if mark == "S" else f"{mark.replace('Char', 'T')}({form})"
        mark = mark.replace("M", "М")
        one = Element(name, {"min": str(int("О" in mark)), "max": "*" if "М" in mark else "1"})
        if form == "S":
            one.facets["type"] = "group"
            made.setdefault(name, one)
        else:
            one.facets.update(_form(form, "О" in mark))
        made[parent].kids.append(one)
    return made[root]


def _form(form: str, required: bool) -> dict[str, str]:
    kind, digits = form[0], re.sub(r"[^0-9.]", "", form)
    none = {"values": "", "pattern": "", "range": "", "nil": ""}
    if kind == "D":
        return {**none, "base": "date", "size": ""}
    if kind == "N":
        return {**none, "base": "decimal", "size": digits if "." in digits else digits + ".0", "range": "+"}
    return {**none, "base": "string", "size": f"{int(required)}..{digits}"}


def marks(path: Path | None) -> dict[tuple[str, str], str]:
    """(parent, element) → О/У/Н with М, out of an order's table."""
    if path is None:
        return {}
    found = {}
    for row in _table(path):
        letters = re.findall("[ОУН]", row["oblig"])
        many = "М" if "М" in row["oblig"].replace("M", "М") else ""
        if letters:
            found[row["parent"], row["element"]] = letters[-1] + many
    return found


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
    left, found = set(wanted), []
    stems = sorted({one[: i + 1] + "*" for one in every for i in range(len(one)) if one[i] == "_" or one[i].isdigit()})
    tails = sorted({"*" + one[one.rindex("_") :] for one in every if "_" in one})
    versions = sorted(
        {"*_" + re.split("_(?=[0-9])", one, maxsplit=1)[1] + "*" for one in every if re.search("_[0-9]", one)}
    )
    for glob in sorted((*versions, *tails, *stems), key=lambda glob: -sum(fnmatchcase(one, glob) for one in left)):
        hit = {one for one in every if fnmatchcase(one, glob)}
        if len(hit & left) > 1 and hit <= set(wanted):
            found.append(glob)
            left -= hit
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
        at = made
        *above, name = row["path"].split("/")[1:]
        for step in above:
            at = next(kid for kid in at.kids if kid.name == step)
        if layout not in row["in"].split("|") or any(kid.name == name for kid in at.kids):
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


def make(profile: str, data: Path, target: Path | None = None) -> None:
    """Write all tables of one profile, beside its ``index.csv`` or into another folder."""
    folder = RULES / profile / "layouts"
    index = _table(folder / "index.csv")
    additions = _table(FACTS / "later.csv")
    for file in dict.fromkeys(row["file"] for row in index):
        entries = list({row["id"]: row for row in index if row["file"] == file}.values())
        trees: dict[str, Element] = {}
        for row in entries:
            source = FACTS / row["source"] if (FACTS / row["source"]).is_file() else data / row["source"]
            tree = read_schema(source) if source.suffix == ".xsd" else read_table(source, row["root"])
            own = [each for each in additions if file in each["file"].split("|")]
            trees[row["id"]] = add_later(tree, own, row["id"]) if row["status"] == "elements_only" else tree
        signs: dict[tuple[str, str], str] = {}
        for row in reversed(entries):
            signs |= marks(data / row["marks"] if row["marks"] else None)
        top = next(iter(trees.values()))
        assert {tree.name for tree in trees.values()} == {top.name}
        lines = [Line(top.name, {"min": "1", "max": "1", "type": "group"}, list(trees)), *merge(top.name, trees)]
        sources = dict.fromkeys(row["source"] for row in entries)
        head = f"# {profile}: elements of {file}, one line per element in document order; see README.md here\n"
        head += (
            "# origin: facts of "
            + ", ".join(sources)
            + "; marks of "
            + ", ".join(dict.fromkeys(row["marks"] for row in entries if row["marks"]))
            + "\n"
        )
        with ((target or folder) / f"{file}.csv").open("w", encoding="utf-8", newline="") as stream:
            stream.write(head)
            writer = csv.DictWriter(stream, COLUMNS, delimiter=";", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows(file, lines, list(trees), signs))


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader((line for line in stream if not line.startswith("#")), delimiter=";"))


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ["OMS_REFERENCE_DATA"])
    for each in ("federal", "mtr"):
        make(each, where)
