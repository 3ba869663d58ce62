"""Changes of values: too long, not a number, another form of a date, a key twice."""

from __future__ import annotations

import copy
import random
from datetime import timedelta
from decimal import Decimal

from tests.oracle.generate import decimal_text, value, word
from tests.oracle.scene import Scene, change, set_text
from tests.oracle.schema import MANY, Simple


@change
def empty_value(scene: Scene) -> bool:
    return set_text(scene.leaf(), lambda _: "")


@change
def blanks_only(scene: Scene) -> bool:
    return set_text(scene.leaf(), lambda _: scene.chance.choice((" ", "  ", "\n", "\t", "\u00a0")))


@change
def blanks_around(scene: Scene) -> bool:
    before, after = (scene.chance.choice(("", " ", "\n", "\t", "  \r\n ", "\u00a0")) for _ in range(2))
    return set_text(scene.leaf(), lambda text: before + text + after)


@change
def blanks_within(scene: Scene) -> bool:
    return set_text(scene.leaf(), lambda text: text[:1] + scene.chance.choice((" ", "\n", "\t")) + text[1:])


@change
def length_at_the_edge(scene: Scene) -> bool:
    spot = scene.pick(lambda one: one.kind.simple is not None and one.kind.simple.base == "string")
    if spot is None or spot.kind.simple is None:
        return False
    kind = spot.kind.simple
    size = max(0, scene.chance.choice((kind.longest, kind.longest + 1, kind.shortest, kind.shortest - 1)))
    return set_text(spot, lambda _: word(scene.chance, size))


@change
def letters_of_other_alphabets(scene: Scene) -> bool:
    return set_text(
        scene.leaf("string"), lambda _: scene.chance.choice(("\U0001f600", "ß漢", "é" * 3, "\u0435\u0308", "٣"))
    )


@change
def letters_in_a_number(scene: Scene) -> bool:
    letter = scene.chance.choice("OxЗl,'_\u00a0٣३：")
    return set_text(scene.leaf("decimal"), lambda text: scene.chance.choice((text + letter, letter, text[:1] + letter)))


@change
def more_decimals(scene: Scene) -> bool:
    tails = ("0", "00", "5", "001", "000000", ".0", ".5", ".", ".00")
    return set_text(scene.leaf("decimal"), lambda text: text + scene.chance.choice(tails))


@change
def more_digits(scene: Scene) -> bool:
    def made(text: str) -> str:
        more = scene.chance.choice(("9", "1" * 10, "0", "9" * 30, "0." + "0" * 30 + "1"))
        return scene.chance.choice((more + text, text + more if "." not in text else text.replace(".", more + ".")))

    return set_text(scene.leaf("decimal"), made)


@change
def edge_of_a_number(scene: Scene) -> bool:
    spot = scene.leaf("decimal")
    if spot is None or spot.kind.simple is None:
        return False
    kind = spot.kind.simple
    step = Decimal(1).scaleb(-kind.fraction)
    most = Decimal(10) ** kind.total
    edges = (kind.below, kind.below - step, kind.lowest, kind.lowest - step, (most - 1) * step, most * step, most - 1)
    return set_text(spot, lambda _: decimal_text(scene.chance.choice(edges)))


@change
def sign(scene: Scene) -> bool:
    made = scene.chance.choice(("-{}", "+{}", "--{}", "- {}", "{}-", "-0", "+0", "-0.00", "+", "-"))
    return set_text(scene.leaf("decimal"), lambda text: made.format(text))


@change
def exponent_and_other_numerals(scene: Scene) -> bool:
    numerals = ("1e0", "1E2", "1e", "NaN", "INF", "inf", "0x1", "1_0", "1,0", "1 000", "IV", "true", "½", "1.0.0", "..")
    return set_text(scene.leaf("decimal"), lambda _: scene.chance.choice(numerals))


@change
def zeros_before(scene: Scene) -> bool:
    return set_text(scene.leaf("decimal"), lambda text: "0" * scene.chance.choice((1, 2, 5, 30)) + text)


@change
def short_fraction(scene: Scene) -> bool:
    return set_text(scene.leaf("decimal"), lambda _: scene.chance.choice((".5", "5.", ".0", "0.", ".", "00.50", "-.5")))


@change
def not_in_the_list(scene: Scene) -> bool:
    spot = scene.pick(lambda one: one.kind.simple is not None and one.kind.simple.values)
    if spot is None or spot.kind.simple is None:
        return False
    listed = scene.chance.choice(spot.kind.simple.values)
    odd = ("9", "", "7", "-1", "01", "1.0", "1.5", f"0{listed}", f"{listed}.0", f" {listed}", "10", "а", f"+{listed}")
    return set_text(spot, lambda _: scene.chance.choice(odd))


@change
def another_form_of_date(scene: Scene) -> bool:
    forms = (
        *("2021-02-30", "2021-13-01", "2021-00-10", "2021-01-00", "2021-02-29", "2020-02-29", "2100-02-29"),
        *("2021-1-5", "20210105", "05.01.2021", "2021/01/05", "21-01-05", "2021-01", "2021-01-05Z", "2021-01-05+03:00"),
        *("2021-01-05T00:00:00", "2021-01-05 00:00", "0000-01-01", "-2021-01-05", "12021-01-05", "٢٠٢١-01-05"),
        *("2021-01-05-", "2021‑01‑05", "+2021-01-05", "2021-01-5 ", "2021-04-31", "0001-01-01", "9999-12-31", "44197"),
    )
    return set_text(scene.leaf("date"), lambda _: scene.chance.choice(forms))


@change
def edge_of_a_date(scene: Scene) -> bool:
    spot = scene.leaf("date")
    if spot is None or spot.kind.simple is None:
        return False
    kind, one = spot.kind.simple, timedelta(days=1)
    edges = (kind.after, kind.after + one, kind.before, kind.before - one, kind.after - one, kind.before + one)
    return set_text(spot, lambda _: scene.chance.choice(edges).isoformat())


@change
def another_valid_value(scene: Scene) -> bool:
    spot = scene.leaf()
    if spot is None or spot.kind.simple is None:
        return False
    kind = spot.kind.simple
    return set_text(spot, lambda _: value(kind, scene.chance))


@change
def date_in_a_number_and_back(scene: Scene) -> bool:
    return set_text(scene.leaf("date", "decimal"), lambda text: "2021-01-05" if "-" not in text else "20210105")


@change
def key_twice(scene: Scene) -> bool:
    """Two keys of an xs:unique equal, as text or as a number."""
    rules = [(spot, rule) for spot in scene.spots for rule in spot.kind.uniques]
    scene.chance.shuffle(rules)
    for spot, rule in rules:
        keys = [key for place in spot.node.findall(rule.selector) for key in place.findall(rule.field)]
        if len(keys) > 1 and keys[0].text is not None:
            first, other = scene.chance.sample(keys, 2)
            form = scene.chance.choice(("{}", "{}", "0{}", " {}", "{}.0", "+{}", "{}\n"))
            other.text = form.format(first.text)
            return True
    return False


@change
def key_of_two_parents(scene: Scene) -> bool:
    """The key of one parent under another: no fault where it is unique within the parent only."""
    groups = [spot for spot in scene.spots if spot.kind.most == MANY and spot.kind.kids]
    scene.chance.shuffle(groups)
    for spot in groups:
        twin = copy.deepcopy(spot.node)
        spot.node.addnext(twin)
        leaf = twin[0] if len(twin) else None
        if leaf is not None and not len(leaf):
            leaf.text = str(scene.chance.randrange(100, 999))
        return True
    return False


def probe(kind: Simple, chance: random.Random) -> str:
    """A value at or just beyond one of the limits of a type, on one line."""
    some = value(kind, chance)
    forms = [some, some, "", " ", f" {some}", f"{some} ", f"{some}\u00a0"]
    if kind.base == "string":
        sizes = {kind.shortest - 1, kind.shortest, kind.longest, kind.longest + 1}
        return chance.choice([*forms, *(word(chance, size) for size in sizes if size >= 0)])
    if kind.base == "date":
        one = timedelta(days=1)
        days = (kind.after, kind.after + one, kind.before, kind.before - one)
        odd = ("2021-02-29", "2021-1-5", "2021-01-05Z", "05.01.2021", "0000-01-01", "12021-01-05", "2021-04-31")
        return chance.choice([*forms, *(day.isoformat() for day in days), *odd])
    step = Decimal(1).scaleb(-kind.fraction)
    top = Decimal(10) ** (kind.total - kind.fraction)
    edges = (kind.below, kind.below - step, kind.lowest, kind.lowest - step, top, top - step, top - 1, step, step / 10)
    numerals = ("1e0", "NaN", "+1", "-0", "007", "1.", ".5", "1,5", "1.0", "--1", "1" * 30, "0" * 30)
    listed = [str(int(Decimal(one)) + more) for one in kind.values for more in (-1, 0, 1)]
    return chance.choice([*forms, *map(decimal_text, edges), *numerals, *listed])
