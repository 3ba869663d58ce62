"""What a file name says, judged by the profile's mask: who, which month, which stage, which payer.

The name is hostile text: it is matched against an allow-list and never used as a path.
A problem's place is a position in the name (from 1), never the name itself.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import date

from oms_batch.errors import Refusal, SetupError, refuse
from oms_batch.exchange import Profile
from oms_batch.model import NamedFile, last_day

LONGEST = 200
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9]|conin\$|conout\$)")
# Cyrillic letters that look like the Latin ones which a name may hold.
_TWINS = dict(zip("АВЕКМНОРСТУХЅІЈԚԜавекмнорстухѕіјԛԝ", "ABEKMHOPCTYXSIJQWABEKMHOPCTYXSIJQW", strict=True))


class Ignored(Exception):
    """Not a delivery at all: a temporary or service file that the profile tells us to leave alone."""


def identify(name: str, profile: Profile) -> NamedFile:
    """Take a file name apart.

    Raises ``Ignored`` for the profile's temporary files, else ``Refusal`` with one of
    ``NAME_CHARS``, ``NAME_HOMOGLYPH``, ``NAME_PATTERN``, ``NAME_STAGE``, ``NAME_SMO_UNKNOWN``,
    ``NAME_SMO_CLOSED``. Source: names of ``profile.toml``, ``[name]`` and ``[[stage]]``.
    """
    rules = profile.data["name"]
    separators = any(sign in name for sign in "/\\\0")
    if not separators and any(re.fullmatch(mask, name) for mask in rules["ignore"]):
        raise Ignored
    _check_length(name)
    stem, extension = _split(name, rules["extensions"])
    if any(re.fullmatch(mask, name) for mask in rules["copies"]):
        raise refuse("NAME_PATTERN", "copy")
    _check_characters(name, stem, rules.get("signs", ""))
    part = _parts(stem.upper(), profile) if extension else None
    if part is None:
        raise refuse("NAME_PATTERN", f"length {len(stem)}" if extension else "extension", expected=rules["parts"])
    year = int(rules["century"]) + int(part["yy"])
    period = f"{year:04d}-{part['mm']}"
    _check_stage(part["stage"], part["payer"], last_day(period), profile)
    return NamedFile(
        name=name,
        canonical=stem.upper() + extension,
        ogrn_mo=part.get("ogrn_mo", ""),
        kpp_mo=part.get("kpp_mo", ""),
        period=period,
        number=part["number"],
        stage=part["stage"],
        payer=part["payer"],
        extension=extension,
        parts=part,
        register_id=part.pop("register"),
    )


def build(stage: str, parts: Mapping[str, str], extension: str, profile: Profile) -> NamedFile:
    """The name of a file of this stage out of the parts of another name (and what is changed in them).

    ``SetupError`` when the profile cannot name such a file.
    """
    try:
        name = profile.stages[stage].name.format_map({**parts, "stage": stage}) + extension
        return identify(name, profile)
    except (KeyError, Refusal) as error:
        raise SetupError(f"{profile.id}: no name for a file of stage {stage}: {error}") from None


def _parts(stem: str, profile: Profile) -> dict[str, str] | None:
    """The named parts of the first form that fits, with what the profile derives from them."""
    fitting = next((form for form in profile.forms if form[0].fullmatch(stem)), None)
    if fitting is None:
        return None
    mask, stage, register = fitting
    match = mask.fullmatch(stem)
    assert match is not None
    part = {name: value or "" for name, value in match.groupdict().items()}
    part.setdefault("stage", stage)
    part.setdefault("number", "")
    part.setdefault("payer", str(profile.data["name"]["all_payers"]))
    part.setdefault("mm", str(profile.data["name"].get("month", "")))  # names that tell a year and no month
    for pair in profile.data["name"].get("pair", []):
        there, back = pair["values"], {value: key for key, value in pair["values"].items()}
        if pair["of"] in part:
            part[pair["gives"]] = there.get(part[pair["of"]], "")
        elif pair["gives"] in part:
            part[pair["of"]] = back.get(part[pair["gives"]], "")
    century = int(profile.data["name"]["century"])
    part |= {"yyyy": str(century + int(part["yy"])), "stem": stem}
    return part | {"register": register.format_map(part)}


def _check_length(name: str) -> None:
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError as error:  # bytes of another code page, kept by the file system as surrogates
        raise refuse("NAME_CHARS", f"position {error.start + 1}", found="bytes that are not UTF-8") from None
    if not name or size > LONGEST:
        raise refuse("NAME_CHARS", expected=f"1..{LONGEST}", found=size)


def _split(name: str, extensions: list[str]) -> tuple[str, str]:
    """Stem and known extension in lower case; an unknown extension leaves it empty."""
    for extension in extensions:
        if name.lower().endswith(extension):
            return name[: -len(extension)], extension
    return name, ""


def _check_characters(name: str, stem: str, signs: str) -> None:
    if _RESERVED.fullmatch(stem.split(".")[0].strip()):
        raise refuse("NAME_CHARS", found="a name reserved by Windows")
    for position, letter in enumerate(name, 1):  # first of all: it tells how the name was made
        if unicodedata.combining(letter):
            found = f"{_describe(letter)}: a letter in two parts, as macOS writes it"
            raise refuse("NAME_CHARS", f"position {position}", found=found)
    for position, letter in enumerate(name, 1):
        if letter.isascii() and (letter.isalnum() or letter == "." or letter in signs):
            continue
        place = f"position {position}"
        if letter in _TWINS:
            raise refuse("NAME_HOMOGLYPH", place, expected=_TWINS[letter], found=_describe(letter))
        if letter.isdigit():
            raise refuse("NAME_CHARS", place, expected="0-9", found=_describe(letter))
        if letter in "_-" or (letter.isalpha() and letter.isprintable()):
            raise refuse("NAME_PATTERN", place, found=_describe(letter))
        raise refuse("NAME_CHARS", place, found=_describe(letter))


def _describe(letter: str) -> str:
    return f"U+{ord(letter):04X}"


def _check_stage(code: str, payer: str, last: date, profile: Profile) -> None:
    rules = profile.data["name"]
    stage = profile.stages.get(code)
    everyone = payer == rules["all_payers"]
    if stage is not None and stage.payers == "any":
        return
    if stage is None or (stage.payers == "all") != everyone:
        raise refuse("NAME_STAGE", expected=" ".join(sorted(profile.stages)), found=code + payer)
    if everyone:
        return
    if all(payer != one.code for one in profile.payers):
        raise refuse("NAME_SMO_UNKNOWN", found=payer)
    if profile.payer_in(payer, last.replace(day=1), last) is None:
        raise refuse("NAME_SMO_CLOSED", found=payer, expected=last.isoformat())
