"""Changes of whole elements, attributes and values that leave a document well-formed."""

from __future__ import annotations

import copy
import random

from lxml import etree

from tests.oracle.change_bytes import bytewise, tokenwise

ODD = (
    *("", " ", "0", "1", "-1", "00", "1.5", "1.05", "1.005", "-0.01", "1e3", "NaN", "1,5", "1 000", "+1", "9" * 13),
    *(
        "9" * 40,
        "2018-09-31",
        "2018-09-30",
        "2020-02-29",
        "2018-9-1",
        "20180930",
        "30.09.2018",
        "0000-01-01",
        "1900-01-01",
    ),
    *(
        "2018-09-30 ",
        "\u00a01",
        "Ё",
        "ё" * 300,
        "x\ty",
        "a\nb",
        "\u2028",
        "\u0663",
        "<&>\"'",
        "ИВАНОВ",
        "\u202e1",
        "NULL",
    ),
)


def treewise(data: bytes, chance: random.Random) -> bytes:
    """One to three changes of elements, attributes and texts."""
    root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
    encoding = root.getroottree().docinfo.encoding or "utf-8"
    for _ in range(chance.choice((1, 1, 2, 3))):
        every = list(root.iter(etree.Element))
        _change(chance.choice(every), chance.choice(every), root, chance)
    return bytes(etree.tostring(root, encoding=encoding, xml_declaration=True))  # type: ignore[arg-type]


def _change(one: etree._Element, other: etree._Element, root: etree._Element, chance: random.Random) -> None:
    above, kind = one.getparent(), chance.randrange(12)
    if kind < 5:
        _value(one, chance)
    elif kind == 5:
        one.set(chance.choice(("odd", "XKEY", "n")), "1")
    elif kind == 6:
        etree.SubElement(one, chance.choice(("odd", other.tag))).text = None
    elif above is None:
        pass
    elif kind == 7:
        above.remove(one)
    elif kind == 8:
        one.addnext(copy.deepcopy(one))
    elif kind == 9:
        above.insert(chance.randint(0, len(above)), one)
    elif kind == 10:
        one.tag = chance.choice((one.tag.swapcase(), other.tag))
    elif one not in [other, *other.iterancestors()] and other is not root:
        other.append(copy.deepcopy(one))


def _value(one: etree._Element, chance: random.Random) -> None:
    """A text or an attribute: dropped, odd, or with one letter changed."""
    names = sorted(one.attrib)
    if not names and len(one):
        return
    name = chance.choice(names) if names else None
    before = (one.get(name) if name is not None else one.text) or ""
    if name is not None and chance.randrange(6) == 0:
        del one.attrib[name]
        return
    after = chance.choice(ODD)
    if before and chance.randrange(2):
        at = chance.randrange(len(before))
        after = before[:at] + chance.choice("0123456789.-AЯ ") + before[at + 1 :]
    if name is not None:
        one.set(name, after)
    else:
        one.text = after


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A change of any kind, half of them such that the document stays well-formed; never the document given."""
    while True:
        made = chance.choice((bytewise, tokenwise, treewise, treewise))(data, chance)
        if made != data:
            return made
