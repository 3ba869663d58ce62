"""Our verdict on federal documents compared with lxml's XMLSchema, over documents made from the schemas and spoiled."""

from __future__ import annotations

import os
import random
from collections import Counter, defaultdict

import pytest
from lxml import etree

from tests.oracle import generate
from tests.oracle.mutate import CHANGES, spoil
from tests.oracle.schema import Schema, all_schemas, load
from tests.oracle.size import times

DATA = os.environ.get("OMS_REFERENCE_DATA", "")
SCHEMAS = all_schemas(DATA)
needs_data = pytest.mark.skipif(
    not SCHEMAS, reason="OMS_REFERENCE_DATA is not set: nothing is compared with the schemas"
)
pytestmark = [needs_data, pytest.mark.fuzz]
each_schema = pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: load(path).name)
PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)

# Changes that no schema minds, and those that every document suffers from.
NEVER_MINDED = {
    *("comment_in_a_value", "comment_in_a_group", "comment_outside", "cdata_value", "character_reference", "doctype"),
    *("another_encoding", "no_declaration", "tag_forms", "line_ends", "zeros_before"),
}
ALWAYS_MINDED = {
    *("add_unknown", "child_in_a_leaf", "empty_group", "text_in_a_group", "value_instead_of_group", "attribute"),
    *("attribute_of_xml", "reference_of_nothing", "cut", "letters_in_a_number", "exponent_and_other_numerals"),
    *("rename_root", "date_in_a_number_and_back"),
}
MOSTLY_MINDED = {"another_form_of_date", "mojibake", "rename", "double_far", "move", "swap_with_next", "add_known"}
SELDOM_MINDED = {"another_valid_value", "letters_of_other_alphabets"}


def made(schema: Schema, chance: random.Random) -> etree._Element:
    root = generate.document(schema, chance)
    generate.dress(root, chance)
    return root


def into(namespace: str, data: bytes) -> bytes:
    """The same document in the namespace that a schema asks for."""
    root = etree.fromstring(data, PARSER)
    for one in root.iter(etree.Element):
        if not one.tag.startswith("{"):
            one.tag = f"{{{namespace}}}{one.tag}"
    return etree.tostring(root)


def judged(schema: Schema, data: bytes) -> str:
    """What lxml says: empty when the schema accepts it, ``syntax``, or the kind of the first error."""
    try:
        root = etree.fromstring(into(schema.namespace, data) if schema.namespace else data, PARSER)
    except etree.XMLSyntaxError:
        return "syntax"
    if schema.judge.validate(root):
        return ""
    return str(schema.judge.error_log).split(": ")[0].rpartition("SCHEMAV_")[2]


def test_the_schemas_are_all_there() -> None:
    assert len(SCHEMAS) == 36
    assert [load(path).name for path in SCHEMAS if load(path).namespace] == ["to_mo/HW32"]


@each_schema
def test_a_generated_document_is_valid_and_all_of_the_schema_comes_up(path: str) -> None:
    schema = load(path)
    seen: set[str] = set()
    for number in range(times(30, 40)):
        root = made(schema, random.Random(f"{schema.name} {number}"))
        tree = root.getroottree()
        seen.update(tree.getelementpath(one) for one in root.iter())
        assert judged(schema, generate.as_bytes(root)) == "", f"{schema.name} {number}"
    assert len({"/".join(step.partition("[")[0] for step in one.split("/")) for one in seen}) > 0.9 * len(
        generate.full_paths(schema)
    )
    again = [generate.as_bytes(made(schema, random.Random(f"{schema.name} 1"))) for _ in range(2)]
    assert again[0] == again[1]


def test_every_change_is_minded_or_not_as_it_should_be() -> None:
    """A change that does nothing, or always the same by mistake, would compare nothing."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for path in SCHEMAS[:6]:
        schema = load(path)
        for name in CHANGES:
            for number in range(12):
                chance = random.Random(f"{schema.name} {name} {number}")
                data = spoil(name, made(schema, chance), schema, chance)
                if data is not None:
                    found[name]["bad" if judged(schema, data) else "good"] += 1
    wrong = {}
    for name in CHANGES:
        always = {"good"} if name in NEVER_MINDED else {"bad"} if name in ALWAYS_MINDED else set()
        usual = {"bad"} if name in MOSTLY_MINDED else {"good"} if name in SELDOM_MINDED else {"good", "bad"}
        seen = set(found[name])
        if seen != always if always else not usual <= seen:
            wrong[name] = seen
    assert wrong == {}
