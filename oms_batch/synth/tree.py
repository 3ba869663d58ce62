"""A small tree of elements with attributes: what a scene is built of and a defect changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;", "\t": "&#9;"})


@dataclass(slots=True)
class Node:
    """An element: its name, its attributes in order, its children in order."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)

    def add(self, tag: str, **attributes: str) -> Node:
        """Append a child and give it."""
        child = Node(tag, attributes)
        self.children.append(child)
        return child

    def walk(self) -> Iterator[Node]:
        """This node and all below, in document order."""
        yield self
        for child in self.children:
            yield from child.walk()

    def all(self, path: str) -> list[Node]:
        """The nodes at a path of names below this one (``manipulations/manipulation``); ``.`` is the node itself."""
        found = [self]
        for name in path.split("/"):
            if name != ".":
                found = [child for node in found for child in node.children if child.tag == name]
        return found

    def first(self, path: str) -> Node:
        """The first node at a path; ``LookupError`` when there is none."""
        found = self.all(path)
        if not found:
            raise LookupError(f"{self.tag}: no {path}")
        return found[0]

    def copy(self, change: Callable[[str], str] | None = None) -> Node:
        """A deep copy, with every attribute value passed through ``change``."""
        values = {name: change(text) for name, text in self.attributes.items()} if change else dict(self.attributes)
        return Node(self.tag, values, [child.copy(change) for child in self.children])


def render(node: Node, indent: str = "") -> str:
    """The node as XML text, one element per line, ended by a line feed."""
    values = "".join(f' {name}="{text.translate(_ESCAPES)}"' for name, text in node.attributes.items())
    if not node.children:
        return f"{indent}<{node.tag}{values}/>\n"
    inner = "".join(render(child, indent + " ") for child in node.children)
    return f"{indent}<{node.tag}{values}>\n{inner}{indent}</{node.tag}>\n"
