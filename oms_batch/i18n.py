"""Texts for people: Russian by default, English as written in the source.

The catalogue is a gettext ``.po`` read with babel; a test holds it complete.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import lru_cache
from importlib.resources import files

from babel.messages.pofile import read_po

LANGUAGES = ("ru", "en")
_lang: ContextVar[str] = ContextVar("lang", default="ru")


def set_language(code: str) -> None:
    """Choose the language of all texts that follow, ``ru`` or ``en``."""
    _lang.set(code if code in LANGUAGES else "ru")


def language() -> str:
    """The language in force."""
    return _lang.get()


def _(msgid: str) -> str:
    """The text in the language in force; placeholders stay for ``str.format``."""
    return _catalogue(_lang.get()).get(msgid, msgid)


def pick(ru: str, en: str) -> str:
    """The text of a data row that carries both languages."""
    return en if _lang.get() == "en" and en else ru


@lru_cache(maxsize=4)
def _catalogue(code: str) -> dict[str, str]:
    if code == "en":
        return {}
    source = files("oms_batch").joinpath("locale", code, "LC_MESSAGES", "oms_batch.po")
    if not source.is_file():
        return {}
    with source.open("rb") as stream:
        return {str(entry.id): str(entry.string) for entry in read_po(stream) if entry.id and entry.string}


def N_(msgid: str) -> str:  # noqa: N802 - the customary name
    """Mark a text that is translated later, when it is shown."""
    return msgid
