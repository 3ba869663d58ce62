"""Changes of file names, as people, programs and disks make them."""

from __future__ import annotations

import random
import unicodedata

TWINS = dict(zip("ABEKMHOPCTYXaeopcyx", "АВЕКМНОРСТУХаеорсух", strict=True))
ODD = (
    *(
        " ",
        "_",
        "-",
        ".",
        "\0",
        "/",
        "\\",
        ":",
        "\n",
        "\t",
        "\x1b[0m",
        "\u202e",
        "\u200b",
        "\ufeff",
        "\u00a0",
        "é",
        "e\u0301",
    ),
    *(
        "٣",
        "３",
        "²",
        "Ⅷ",
        "ı",
        "ß",
        "ſ",
        "K",
        "𝟗",
        "\udc90",
        "漢",
        "😀",
        "%",
        "*",
        "?",
        "|",
        "<",
        '"',
        "'",
        "$",
        "{",
        "}",
        "(1)",
    ),
)
ENDINGS = (
    *(
        ".zip",
        ".ZIP",
        ".xml",
        ".Xml",
        ".7z",
        ".oms",
        ".dbf",
        ".rar",
        "",
        ".",
        ".zip.",
        ".zip ",
        ".zip.xml",
        ".tmp",
        ".part",
    ),
    *(".report.html", ".xml~", ".zip::$DATA", " (2).zip", " - копия.zip", "_copy.zip", ".7z.filepart"),
)
HEADS = (
    "../",
    "/",
    "C:",
    "~$",
    ".",
    " ",
    "Копия ",
    "Copy of ",
    "V",
    "A",
    "L",
    "E",
    "H",
    "D",
    "0",
    "CON.",
    "-",
    "T" * 300,
)


def mutated(name: str, others: list[str], chance: random.Random) -> str:
    """Another name, mostly close to the one given."""
    stem, dot, ending = name.partition(".")
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.randrange(len(stem)) if stem else 0
        kind = chance.randrange(16)
        here = stem[at : at + 1]
        if kind < 3:  # another digit or letter of the same kind
            pool = "0123456789" if here.isdigit() else "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
            stem = stem[:at] + chance.choice(pool) + stem[at + 1 :]
        elif kind == 3:
            stem = stem[:at] + stem[at + 1 :]
        elif kind == 4:
            stem = stem[:at] + here + stem[at:]
        elif kind == 5:
            stem = stem[:at] + chance.choice("0123456789ABDHLMSTVX_") + stem[at:]
        elif kind == 6:
            stem = stem[:at] + stem[at : at + 2][::-1] + stem[at + 2 :]
        elif kind == 7:
            stem = stem[:at] + chance.choice(ODD) + stem[at + chance.randrange(2) :]
        elif kind == 8:
            stem = stem[:at] + TWINS.get(here, here) + stem[at + 1 :]
        elif kind == 9:
            stem = stem.swapcase()
        elif kind == 10:
            dot, ending = "", chance.choice(ENDINGS)
        elif kind == 11:
            stem = chance.choice(HEADS) + stem
        elif kind == 12:
            other = chance.choice(others).partition(".")[0]
            stem = stem[:at] + other[min(at, len(other)) :]
        elif kind == 13:
            stem = unicodedata.normalize(chance.choice(("NFD", "NFKD")), stem.replace("I", "Й"))
        elif kind == 14:
            stem = stem * chance.choice((2, 5)) if chance.randrange(3) == 0 else stem[: at + 1]
        else:
            stem = stem.replace("_", chance.choice(("", "__", "-", " ")))
    return stem + dot + ending


def random_name(chance: random.Random) -> str:
    """Signs without sense."""
    signs = [*"0123456789ABCDHLMSTVX_.abc", *ODD]
    return "".join(chance.choice(signs) for _ in range(chance.randrange(0, 60)))
