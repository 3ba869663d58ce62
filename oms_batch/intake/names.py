"""What a file name says, judged by the profile's mask: who, which month, which stage, which payer.

The name is hostile text: it is matched against an allow-list and never used as a path.
A problem's place is a position in the name (from 1), never the name itself.
"""

from __future__ import annotations

import re
import unicodedata
from calendar import monthrange
from datetime import date

from oms_batch.errors import refuse
from oms_batch.exchange import Profile
from oms_batch.model import NamedFile

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
    _check_characters(name, stem)
    match = profile.mask.fullmatch(stem.upper())
    if match is None or not extension:
        raise refuse("NAME_PATTERN", f"length {len(stem)}" if extension else "extension", expected=rules["parts"])
    part = match.groupdict()
    year = int(rules["century"]) + int(part["yy"])
    period = f"{year:04d}-{part['mm']}"
    last_day = date(year, int(part["mm"]), monthrange(year, int(part["mm"]))[1])
    _check_stage(part["stage"], part["payer"], last_day, profile)
    return NamedFile(
        name=name,
        canonical=stem.upper() + extension,
        ogrn_mo=part["ogrn_mo"],
        kpp_mo=part["kpp_mo"],
        period=period,
        number=part["number"],
        stage=part["stage"],
        payer=part["payer"],
        extension=extension,
    )


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


def _check_characters(name: str, stem: str) -> None:
    if _RESERVED.fullmatch(stem.split(".")[0].strip()):
        raise refuse("NAME_CHARS", found="a name reserved by Windows")
    for position, letter in enumerate(name, 1):  # first of all: it tells how the name was made
        if unicodedata.combining(letter):
            found = f"{_describe(letter)}: a letter in two parts, as macOS writes it"
            raise refuse("NAME_CHARS", f"position {position}", found=found)
    for position, letter in enumerate(name, 1):
        if letter.isascii() and (letter.isalnum() or letter == "."):
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


def _check_stage(digit: str, payer: str, last_day: date, profile: Profile) -> None:
    rules = profile.data["name"]
    stage = profile.stages.get(digit)
    everyone = payer == rules["all_payers"]
    if stage is None or (stage.payers == "all") != everyone:
        raise refuse("NAME_STAGE", expected=" ".join(sorted(profile.stages)), found=digit + payer)
    if everyone:
        return
    if all(payer != one.code for one in profile.payers):
        raise refuse("NAME_SMO_UNKNOWN", found=payer)
    if profile.payer_in(payer, last_day.replace(day=1), last_day) is None:
        raise refuse("NAME_SMO_CLOSED", found=payer, expected=last_day.isoformat())
