"""Changes of markup: attributes, namespaces, comments, CDATA, references, encodings."""

from __future__ import annotations

from lxml import etree

from tests.oracle.generate import as_bytes
from tests.oracle.scene import Scene, change

XSI = "http://www.w3.org/2001/XMLSchema-instance"
DECLARATION = b"<?xml version='1.0' encoding='windows-1251'?>\n"


@change
def attribute(scene: Scene) -> bool:
    spot = scene.pick()
    if spot is not None:
        spot.node.set(scene.chance.choice(("a", "ID", "ЦЕНА", "N_ZAP")), scene.chance.choice(("", "1")))
    return spot is not None


@change
def attribute_of_xml(scene: Scene) -> bool:
    spot = scene.pick()
    if spot is not None:
        name = scene.chance.choice(("lang", "space", "id", "base"))
        spot.node.set("{http://www.w3.org/XML/1998/namespace}" + name, "preserve" if name == "space" else "ru")
    return spot is not None


@change
def xsi_nil(scene: Scene) -> bool:
    spot = scene.pick()
    if spot is None:
        return False
    spot.node.set(f"{{{XSI}}}nil", scene.chance.choice(("true", "true", "1", "false", "0", "yes", " true ")))
    if scene.chance.randrange(3):
        spot.node.text = None
        for one in list(spot.node):
            spot.node.remove(one)
    return True


@change
def xsi_other(scene: Scene) -> bool:
    spot = scene.pick() if scene.chance.randrange(2) else scene.spots[0]
    assert spot is not None
    name, text = scene.chance.choice(
        (
            ("schemaLocation", "urn:x file:///nowhere/x.xsd"),
            ("noNamespaceSchemaLocation", "file:///nowhere/x.xsd"),
            ("type", "VNOV_M"),
            ("type", "nonsense"),
            ("odd", "1"),
        )
    )
    spot.node.set(f"{{{XSI}}}{name}", text)
    return True


@change
def namespace(scene: Scene) -> bool | bytes:
    """A namespace, in one of the ways that there are."""
    spot = scene.pick() if scene.chance.randrange(2) else scene.spots[0]
    assert spot is not None
    way = scene.chance.randrange(3)
    if way == 0:  # a prefix that nothing uses: no difference for a schema
        data = as_bytes(scene.root)
        name = scene.root.tag.encode("cp1251")
        return data.replace(b"<" + name, b"<" + name + b" xmlns:p='urn:x'", 1)
    for one in spot.node.iter() if way == 1 else [spot.node]:
        if isinstance(one.tag, str):
            one.tag = "{urn:ffoms:odd}" + one.tag
    return True


def _mark(scene: Scene) -> etree._Element:
    return scene.chance.choice(
        (
            etree.Comment(scene.chance.choice(("", " 0 ", "<SUMV>1</SUMV>"))),
            etree.ProcessingInstruction("go", "on"),
        )
    )


@change
def comment_in_a_value(scene: Scene) -> bool:
    spot = scene.leaf()
    if spot is None:
        return False
    text = spot.node.text or ""
    at = scene.chance.randint(0, len(text))
    mark = _mark(scene)
    spot.node.insert(0, mark)
    spot.node.text, mark.tail = text[:at], text[at:]
    return True


@change
def comment_in_a_group(scene: Scene) -> bool:
    spot = scene.group()
    if spot is not None:
        spot.node.insert(scene.chance.randint(0, len(spot.node)), _mark(scene))
    return spot is not None


@change
def comment_outside(scene: Scene) -> bool:
    (scene.root.addprevious if scene.chance.randrange(2) else scene.root.addnext)(_mark(scene))
    return True


@change
def cdata_value(scene: Scene) -> bool:
    spot = scene.leaf()
    if spot is None or not spot.node.text:
        return False
    spot.node.text = etree.CDATA(spot.node.text)
    return True


@change
def cdata_in_a_value(scene: Scene) -> bytes | None:
    """Part of a value as CDATA, or an empty one beside it."""
    spot = scene.leaf()
    if spot is None:
        return None
    text = spot.node.text or ""
    at = scene.chance.randint(0, len(text))
    spot.node.text = text[:at] + "@@CUT@@" + text[at:]
    inside = scene.chance.choice((b"", b"1", b" ", b"<"))
    return as_bytes(scene.root).replace(b"@@CUT@@", b"<![CDATA[" + inside + b"]]>")


@change
def cdata_in_a_group(scene: Scene) -> bytes | None:
    spot = scene.group()
    if spot is None:
        return None
    spot.node.text = "@@CUT@@"
    return as_bytes(scene.root).replace(b"@@CUT@@", b"<![CDATA[" + scene.chance.choice((b"", b" ", b"x")) + b"]]>")


@change
def character_reference(scene: Scene) -> bytes | None:
    """A value written by numbers: the same to any reader."""
    spot = scene.leaf()
    if spot is None or not spot.node.text:
        return None
    codes = "".join(f"&#{ord(one)};" if scene.chance.randrange(2) else f"&#x{ord(one):X};" for one in spot.node.text)
    spot.node.text = "@@CUT@@"
    return as_bytes(scene.root).replace(b"@@CUT@@", codes.encode())


@change
def reference_of_nothing(scene: Scene) -> bytes | None:
    spot = scene.leaf()
    if spot is None:
        return None
    spot.node.text = "@@CUT@@"
    odd = scene.chance.choice(
        (b"&nbsp;", b"&#0;", b"&#1;", b"&#xD800;", b"&", b"&#x110000;", b"\0", b"\x98", b"<", b"]]>")
    )
    return as_bytes(scene.root).replace(b"@@CUT@@", odd)


@change
def doctype(scene: Scene) -> bytes:
    name = scene.root.tag.encode("cp1251")
    data = as_bytes(scene.root).removeprefix(DECLARATION)
    inside = scene.chance.choice((b"", b" []", b' [<!ENTITY a "1">]', b' SYSTEM "file:///nowhere/x.dtd"'))
    return DECLARATION + b"<!DOCTYPE " + name + inside + b">" + data


@change
def mojibake(scene: Scene) -> bytes:
    """UTF-8 under a declaration of windows-1251."""
    for spot in scene.spots:
        if spot.kind.simple is not None and spot.kind.simple.base == "string" and spot.kind.simple.longest > 40:
            spot.node.text = "Областная больница"
    return as_bytes(scene.root, "utf-8").replace(b"encoding='utf-8'", b"encoding='windows-1251'")


@change
def another_encoding(scene: Scene) -> bytes:
    encoding = scene.chance.choice(("utf-8", "UTF-8", "utf-16", "koi8-r", "iso-8859-5", "us-ascii", "cp866"))
    return as_bytes(scene.root, encoding)


@change
def byte_mark(scene: Scene) -> bytes:
    if scene.chance.randrange(2):
        return b"\xef\xbb\xbf" + as_bytes(scene.root, "utf-8")
    return b"\xef\xbb\xbf" + as_bytes(scene.root)


@change
def no_declaration(scene: Scene) -> bytes:
    return etree.tostring(scene.root, encoding="utf-8")


@change
def cut(scene: Scene) -> bytes:
    data = as_bytes(scene.root)
    return data[: scene.chance.randrange(1, len(data))]


@change
def more_behind(scene: Scene) -> bytes:
    tail = scene.chance.choice((b"\n\n", b" ", b"x", b"\0", b"<ZAP/>", b"<!---->", b"\x1a", as_bytes(scene.root)))
    return as_bytes(scene.root) + tail


@change
def tag_forms(scene: Scene) -> bytes | None:
    """Blanks inside tags, an end tag written out or not: the same to any reader."""
    spot = scene.pick()
    assert spot is not None
    name = str(spot.node.tag).encode("cp1251")
    data = as_bytes(scene.root)
    forms = ((b"</" + name + b">", b"</" + name + b" \n>"), (b"<" + name + b">", b"<" + name + b"\t>"))
    return data.replace(*scene.chance.choice(forms))


@change
def line_ends(scene: Scene) -> bytes:
    return as_bytes(scene.root).replace(b"\n", scene.chance.choice((b"\r\n", b"\r", b"\n\n")))


@change
def another_xml_version(scene: Scene) -> bytes:
    return as_bytes(scene.root).replace(b"1.0", scene.chance.choice((b"1.1", b"2.0", b"1.b", b"1")), 1)
