"""Our verdict on federal documents compared with lxml's XMLSchema, over documents made from the schemas and spoiled."""

from __future__ import annotations

import copy
import dataclasses
import io
import os
import random
import re
from collections import Counter, defaultdict

import pytest
from lxml import etree

from oms_batch.formats import elements, federal_document
from oms_batch.formats.element_values import SAME_KEY
from oms_batch.formats.elements import Layout
from oms_batch.ruledata import RuleData
from tests.oracle import from_layout, generate
from tests.oracle.change_trees import mutated
from tests.oracle.change_values import probe
from tests.oracle.generate import in_namespace
from tests.oracle.mutate import CHANGES, spoil
from tests.oracle.schema import Schema, all_schemas, load
from tests.oracle.size import times
from tests.oracle.watch import bounded

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

# Where we refuse what a schema would accept, and why.
STRICTER = {
    "XML_DTD": "no DOCTYPE of any kind: entities read files and multiply",
    "XML_MIXED": "a comment, an instruction or CDATA inside a value divides a sum by a hundred in some readers",
    "XML_FOREIGN": "xsi:schemaLocation, xsi:type and stylesheets change how a document is read, and by whom",
    "XML_NAMESPACE": "a declared prefix, even unused; the order of the exchange has no attributes at all",
    "XML_ENCODING": "windows-1251 and UTF-8 are the encodings of the exchange",
    "XML_ENCODING_MISMATCH": "UTF-8 under a declaration of windows-1251 is text to a schema, and rubbish to people",
}
SAMPLES = {"H_VALID.XML": "H", "C_VALID.XML": "C", "T_VALID.XML": "T", "D_VALID_08_2021.XML": "D"}
RULES = RuleData()
CODES = {
    *RULES.toml("common/problems.toml"),
    *(RULES.toml(one)["code"] for one in RULES.list("common/structure", ".toml")),
}


def made(schema: Schema, chance: random.Random) -> etree._Element:
    root = generate.document(schema, chance)
    generate.dress(root, chance)
    return root


def layout_of(schema: Schema) -> Layout:
    """Our layout that was made from this schema."""
    rows = [row for row in elements.index(RULES, "federal") if row["source"] == f"xsd/{schema.name}.xsd"]
    (row,) = [row for row in rows if row["status"] == "confirmed"]
    return elements.load(RULES, "federal", f"{row['type']}:{row['id']}")


def explained(schema: Schema, data: bytes, codes: set[str]) -> str:
    """Why we refuse what the schema accepts; blank when nobody knows."""
    if codes <= {SAME_KEY}:
        if schema.namespace:
            return "the paths of its xs:unique name no namespace, so that they find nothing; we look all the same"
        if re.search(rb">\s*-0*(\.0*)?\s*<", data):
            return "-0 and 0 are one number, though libxml2 takes them for two keys"
    if codes == {"XML_SYNTAX"} and re.match(rb"<\?xml version='1\.[1-9]'", data):
        return "XML 1.1 knows other line ends and other control characters; the exchange is XML 1.0"
    return STRICTER.get(min(codes), "") if len(codes) == 1 else ""


def compare(schema: Schema, layout: Layout, data: bytes, what: str, seen: Counter[str]) -> str:
    """Count one document; what is wrong with the comparison, mostly nothing."""
    why = judged(schema, data)
    with bounded(f"{schema.name} {what}"):
        ours = federal_document.verdict(io.BytesIO(data), layout)
    codes = {one.rule for one in ours}
    assert codes <= CODES, f"{schema.name} {what}: {codes - CODES}"
    if bool(ours) == bool(why):
        seen["both refuse" if ours else "both accept"] += 1
    elif why or not explained(schema, data, codes):
        return f"{schema.name} {what}: schema {why or 'accepts'}, we {sorted(codes) or 'accept'}"
    else:
        seen["we refuse on purpose"] += 1
    return ""


def judged(schema: Schema, data: bytes) -> str:
    """What lxml says: empty when the schema accepts it, ``syntax``, or the kind of the first error."""
    try:
        root = etree.fromstring(data, PARSER)
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
        assert judged(schema, in_namespace(generate.as_bytes(root), schema)) == "", f"{schema.name} {number}"
    assert len({re.sub(r"\[[0-9]+\]", "", one) for one in seen}) > 0.9 * len(list(schema.paths()))
    again = [generate.as_bytes(made(schema, random.Random(f"{schema.name} 1"))) for _ in range(2)]
    assert again[0] == again[1]


def test_every_change_is_minded_or_not_as_it_should_be() -> None:
    """A change that does nothing, or always the same by mistake, would compare nothing."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for path in SCHEMAS[5:8]:
        schema = load(path)
        for name in CHANGES:
            for number in range(15):
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


def told(schema: Schema, seen: Counter[str], wrong: list[str]) -> None:
    print(schema.name, dict(seen))
    assert not wrong, "\n".join(wrong[:20]) + f"\n{len(wrong)} in all"


@each_schema
def test_spoiled_documents_are_judged_as_the_schema_judges_them(path: str) -> None:
    schema, layout, names = load(path), layout_of(load(path)), list(CHANGES)
    seen: Counter[str] = Counter()
    wrong = []
    for number in range(times(len(names), 4)):
        chance = random.Random(f"{schema.name} spoiled {number}")
        name = names[number % len(names)]
        data = spoil(name, made(schema, chance), schema, chance)
        if data is not None:
            wrong.append(compare(schema, layout, in_namespace(data, schema), f"{name} {number}", seen))
    told(schema, seen, [one for one in wrong if one])
    assert seen["both accept"] > 10
    assert seen["both refuse"] > 20


def probed(schema: Schema, layout: Layout, number: int) -> tuple[bytes, set[int], set[int]]:
    """A document with all its values at the limits, and the lines that lxml and we find bad."""
    chance = random.Random(f"{schema.name} values {number}")
    kinds = {"/".join(steps[1:]): one for steps, one in schema.paths()}
    root = generate.document(schema, chance, whole=True)
    etree.indent(root)
    for path, kind in kinds.items():
        if kind.simple is not None:
            for one in root.findall(path):
                one.text = probe(kind.simple, chance)
    data = in_namespace(generate.as_bytes(root), schema)
    schema.judge.validate(etree.fromstring(data, PARSER))
    theirs = {one.line for one in schema.judge.error_log}  # type: ignore[attr-defined]
    return data, theirs, {one.line for one in federal_document.verdict(io.BytesIO(data), layout)}


@each_schema
def test_every_value_is_judged_as_the_schema_judges_it(path: str) -> None:
    """All values of a whole document at once are put at the limits of their types: wrong are the same lines."""
    schema, layout = load(path), layout_of(load(path))
    seen: Counter[str] = Counter()
    for number in range(times(3, 100)):
        data, theirs, ours = probed(schema, layout, number)
        lines = data.decode("cp1251").splitlines()
        assert ours == theirs, (number, [(line, lines[line - 1]) for line in sorted(ours ^ theirs)][:10])
        seen["bad values"] += len(ours)
        seen["values"] += sum(one.kids == () for one in schema.root.walk())
    told(schema, seen, [])
    assert 0 < seen["bad values"] < seen["values"]


@each_schema
def test_every_element_is_missed_and_minded_twice_as_the_schema_says(path: str) -> None:
    schema, layout = load(path), layout_of(load(path))
    chance = random.Random(schema.name)
    every = [(steps, way) for steps, _ in schema.paths() for way in ("left out", "twice", "empty") if len(steps) > 1]
    seen: Counter[str] = Counter()
    wrong = []
    for steps, way in every if times(0) else chance.sample(every, 40):
        root = generate.document(schema, chance, whole=True)
        spot = root.find("/".join(steps[1:]))
        assert spot is not None
        if way == "twice":
            spot.addnext(etree.fromstring(etree.tostring(spot, with_tail=False)))
        elif way == "empty":
            spot.text = None
        else:
            spot.getparent().remove(spot)  # type: ignore[union-attr]
        data = in_namespace(generate.as_bytes(root), schema)
        wrong.append(compare(schema, layout, data, f"{'/'.join(steps)} {way}", seen))
    told(schema, seen, [one for one in wrong if one])


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_whole_and_spoiled_are_judged_as_the_schemas_judge_them(name: str) -> None:
    with open(os.path.join(DATA, "samples", "federal", name), "rb") as stream:
        sample = stream.read()
    schemas = [load(path) for path in SCHEMAS if os.path.basename(path).startswith(SAMPLES[name])]
    schemas = [one for one in schemas if not one.namespace]
    seen: Counter[str] = Counter()
    wrong = [compare(one, layout_of(one), sample, name, seen) for one in schemas]
    assert seen["both accept"]
    chance = random.Random(name)
    for number in range(times(60)):
        schema = chance.choice(schemas)
        wrong.append(compare(schema, layout_of(schema), mutated(sample, chance), f"{name} {number}", seen))
    told(schemas[0], seen, [one for one in wrong if one])


def others() -> list[tuple[str, str, str]]:
    """Layouts made from the other schemas: between funds, and of the protocol; (profile, layout, schema)."""
    return [
        (profile, f"{row['type']}:{row['id']}", row["source"])
        for profile in ("federal", "mtr")
        if RULES.exists(f"{profile}/layouts/index.csv")
        for row in elements.index(RULES, profile)
        if row["status"] == "confirmed" and row["source"].startswith(("xsd/mtr/", "xsd/protocol/"))
    ]


@pytest.mark.parametrize(("profile", "name", "source"), others())
def test_documents_written_by_a_layout_are_judged_as_its_schema_judges_them(
    profile: str, name: str, source: str
) -> None:
    """The other way round: our layout writes the documents, so that its limits and those of the schema are tried."""
    layout = elements.load(RULES, profile, name)
    judge = etree.XMLSchema(file=os.path.join(DATA, source))
    schema = dataclasses.replace(from_layout.model(layout), judge=judge)
    names = list(CHANGES)
    seen: Counter[str] = Counter()
    wrong = []
    for number in range(times(2 * len(names), 4)):
        chance = random.Random(f"{name} {number}")
        change = names[number // 2 % len(names)]
        root = made(schema, chance)
        data = spoil(change, root, schema, chance) if number % 2 else generate.as_bytes(root)
        if data is not None:
            wrong.append(compare(schema, layout, data, f"{change} {number}", seen))
    told(schema, seen, [one for one in wrong if one])
    assert seen["both accept"] > 40
    assert seen["both refuse"] > 20


@pytest.mark.parametrize("way", ["longer", "shorter", "digits", "fraction", "bound", "listed"])
def test_a_limit_that_is_wrong_by_one_is_seen(way: str) -> None:
    """The comparison is worth something only if it finds a layout table with one wrong cell."""
    schema = next(load(path) for path in SCHEMAS if path.endswith("to_smo/H32.xsd"))
    layout = copy.deepcopy(layout_of(schema))
    limits = [(one, one.facets) for one in layout.elements.values() if one.facets is not None]
    if way in ("longer", "shorter"):
        limits = [(one, old) for one, old in limits if old.longest > 0 and old.shortest > 0]
        change = {"longest": 1} if way == "longer" else {"shortest": 1}
    elif way == "digits":
        limits = [(one, old) for one, old in limits if old.number and old.total > 0 and not old.values]
        change = {"total": -1}
    elif way == "fraction":
        limits, change = [(one, old) for one, old in limits if old.fraction > 0], {"fraction": 1}
    elif way == "bound":
        limits, change = [(one, old) for one, old in limits if old.type == "date"], {}
    else:
        limits, change = [(one, old) for one, old in limits if len(old.values) > 1], {}
    assert limits
    missed = []
    for one, old in limits[:: max(1, len(limits) // 4)]:
        new = {name: getattr(old, name) + more for name, more in change.items()}
        if way == "bound":
            new["high_in"] = True
        elif way == "listed":
            new["values"] = old.values[1:]
        one.facets = dataclasses.replace(old, **new)
        if all(theirs == ours for _, theirs, ours in (probed(schema, layout, number) for number in range(300))):
            missed.append(one.path)
        one.facets = old
    assert missed == []
