"""Elements of federal documents as small trees: leaves are attributes of their parent until they are written.

Which elements there are, their order and what stands in them is data (``rules/<profile>/synth/shape.csv``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from oms_batch.errors import SetupError
from oms_batch.ruledata import RuleData
from oms_batch.synth.tree import Node

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
TEXT = ""  # the attribute that holds the own text of a leaf which stands several times


@dataclass(slots=True)
class Shape:
    """An element: what is filled into it (a leaf), or the elements below it in their order."""

    name: str
    value: str | None = None
    inner: dict[str, Shape] = field(default_factory=dict)


class _Values(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return ""


def read_shapes(rules: RuleData, profile: str, which: Sequence[str]) -> dict[str, Shape]:
    """The shapes with these ids (``H-3.2``, ``L-3.2``) by the name of their outermost element."""
    roots = Shape("")
    for row in rules.table(f"{profile}/synth/shape.csv"):
        marks = row["in"].split()
        if marks and not any(one == mark or one.startswith(mark + "-") for one in which for mark in marks):
            continue
        at = roots
        for name in row["path"].split("/"):
            at = at.inner.setdefault(name, Shape(name))
        at.value = row["value"]
    if not roots.inner:
        raise SetupError(f"{profile}/synth/shape.csv: no such shape")
    return roots.inner


def grow(
    shape: Shape, values: Mapping[str, str], many: Mapping[str, Sequence[Mapping[str, str]]] | None = None
) -> Node:
    """A node with everything that the values fill; ``many``: for an element that repeats, the values of each."""
    node = Node(shape.name)
    for name, inner in shape.inner.items():
        if inner.value is not None:
            text = inner.value.format_map(_Values(values))
            if text:
                node.attributes[name] = text
            continue
        for own in (many or {}).get(name, [{}]):
            child = grow(inner, {**values, **own}, many)
            if child.attributes or child.children:
                node.children.append(child)
    return node


def write(node: Node, shape: Shape, indent: str = "") -> str:
    """The node as XML text: leaves and children in the order of the shape, what it does not know at the end."""
    if TEXT in node.attributes:
        return f"{indent}<{node.tag}>{_text(node.attributes[TEXT])}</{node.tag}>\n"
    order = {name: place for place, name in enumerate(shape.inner)}
    last = len(order)
    below = indent + " "
    pieces = [
        (order.get(name, last), f"{below}<{name}>{_text(text)}</{name}>\n") for name, text in node.attributes.items()
    ]
    for child in node.children:
        known = shape.inner.get(child.tag, Shape(child.tag))
        pieces.append((order.get(child.tag, last), write(child, known, below)))
    pieces.sort(key=lambda piece: piece[0])
    return f"{indent}<{node.tag}>\n{''.join(text for _, text in pieces)}{indent}</{node.tag}>\n"


def _text(text: str) -> str:
    return text.translate(_ESCAPES)
