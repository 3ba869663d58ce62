"""What the sources of layouts say: schemas and tables of the reference data as trees of elements with their limits."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lxml import etree

XS = "{http://www.w3.org/2001/XMLSchema}"
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
    for row in table(path):
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
    for row in table(path):
        letters = re.findall("[ОУН]", row["oblig"])
        many = "М" if "М" in row["oblig"].replace("M", "М") else ""
        if letters:
            found[row["parent"], row["element"]] = letters[-1] + many
    return found


def table(path: Path) -> list[dict[str, str]]:
    """The rows of a table with comments."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader((line for line in stream if not line.startswith("#")), delimiter=";"))
