"""Changes of elements: dropped, doubled, moved, renamed, added."""

from __future__ import annotations

import copy

from lxml import etree

from tests.oracle.generate import value
from tests.oracle.scene import Scene, change


@change
def drop(scene: Scene) -> bool:
    spot = scene.inner()
    if spot is not None:
        spot.parent.remove(spot.node)
    return spot is not None


@change
def drop_all_of_a_kind(scene: Scene) -> bool:
    spot = scene.inner()
    if spot is None:
        return False
    above = spot.parent
    for one in above.findall(spot.node.tag):
        above.remove(one)
    return True


@change
def double(scene: Scene) -> bool:
    spot = scene.inner()
    if spot is not None:
        spot.node.addnext(copy.deepcopy(spot.node))
    return spot is not None


@change
def double_far(scene: Scene) -> bool:
    """The same element once more, other elements between."""
    spot = scene.inner()
    if spot is None:
        return False
    spot.parent.append(copy.deepcopy(spot.node))
    return True


@change
def double_other_value(scene: Scene) -> bool:
    spot = scene.pick(lambda one: one.kind.simple and one.node.getparent() is not None)
    if spot is None or spot.kind.simple is None:
        return False
    twin = copy.deepcopy(spot.node)
    twin.text = value(spot.kind.simple, scene.chance)
    spot.node.addnext(twin)
    return True


@change
def move(scene: Scene) -> bool:
    """To another place among its brothers."""
    spot = scene.inner()
    if spot is None or len(spot.parent) < 2:
        return False
    above = spot.parent
    at = above.index(spot.node)
    above.remove(spot.node)
    above.insert(scene.chance.choice([i for i in range(len(above) + 1) if i != at]), spot.node)
    return True


@change
def swap_with_next(scene: Scene) -> bool:
    spot = scene.pick(lambda one: one.node.getnext() is not None)
    if spot is not None:
        after = spot.node.getnext()
        assert after is not None
        after.addnext(spot.node)
    return spot is not None


@change
def move_into_another(scene: Scene) -> bool:
    spot, other = scene.inner(), scene.group()
    if spot is None or other is None or spot.node in [other.node, *other.node.iterancestors()]:
        return False
    other.node.insert(scene.chance.randint(0, len(other.node)), spot.node)
    return True


@change
def rename(scene: Scene) -> bool:
    spot = scene.inner()
    if spot is None:
        return False
    known = scene.chance.choice([one.name for one in scene.schema.root.walk()])
    new = scene.chance.choice((spot.node.tag.lower(), spot.node.tag + "1", spot.node.tag[:-1] or "X", known, "ЦЕНА"))
    same, spot.node.tag = new == spot.node.tag, new
    return not same


@change
def rename_root(scene: Scene) -> bool:
    scene.root.tag = scene.chance.choice(("ZL_LIST", "PERS_LIST", "zl_list", "ROOT", "ZAP"))
    return scene.root.tag != scene.schema.root.name


@change
def add_unknown(scene: Scene) -> bool:
    spot = scene.group()
    if spot is None:
        return False
    odd = etree.Element(scene.chance.choice(("ODD", "N_ZAP2", "sumv")))
    odd.text = scene.chance.choice((None, "1"))
    spot.node.insert(scene.chance.randint(0, len(spot.node)), odd)
    return True


@change
def add_known(scene: Scene) -> bool:
    """A declared child of this group, anywhere in it."""
    spot = scene.group()
    if spot is None:
        return False
    kind = scene.chance.choice(spot.kind.kids)
    new = etree.Element(kind.name)
    if kind.simple is not None:
        new.text = value(kind.simple, scene.chance)
    spot.node.insert(scene.chance.randint(0, len(spot.node)), new)
    return True


@change
def child_in_a_leaf(scene: Scene) -> bool:
    spot = scene.leaf()
    if spot is not None:
        etree.SubElement(spot.node, scene.chance.choice(("B", spot.node.tag)))
    return spot is not None


@change
def empty_group(scene: Scene) -> bool:
    spot = scene.group()
    if spot is not None:
        for one in list(spot.node):
            spot.node.remove(one)
        spot.node.text = scene.chance.choice((None, " ", "\n"))
    return spot is not None


@change
def text_in_a_group(scene: Scene) -> bool:
    spot = scene.group()
    if spot is None:
        return False
    text = scene.chance.choice(("x", "0", " . ", "\u00a0", "Я"))
    if len(spot.node) and scene.chance.randrange(2):
        scene.chance.choice(list(spot.node)).tail = text
    else:
        spot.node.text = text
    return True


@change
def value_instead_of_group(scene: Scene) -> bool:
    spot = scene.group()
    if spot is not None:
        for one in list(spot.node):
            spot.node.remove(one)
        spot.node.text = "1"
    return spot is not None
