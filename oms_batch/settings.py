"""Settings of one participant: ``oms-batch.toml`` of its home folder, read once and then only looked at.

Every fault is told with its key and its reason, in the language in force, and never with
the value that stood there.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from oms_batch.errors import SetupError
from oms_batch.i18n import _, language

FILE_NAME = "oms-batch.toml"

Ogrn = Annotated[str, StringConstraints(pattern="^([0-9]{13})?$")]
Kpp = Annotated[str, StringConstraints(pattern="^([0-9]{9})?$")]
Letter = Annotated[str, StringConstraints(pattern="^[A-Z]?$")]
# What names of files call an organisation where they do not say its OGRN and KPP.
Code = Annotated[str, StringConstraints(pattern="^[0-9A-Z]{0,13}$")]
SmoCode = Annotated[str, StringConstraints(pattern="^([0-9]{2,5})?$")]
# A folder of a partner: one plain name, so that it can never lead out of inbox/ or outbox/.
FolderName = Annotated[str, StringConstraints(pattern="^[a-z0-9][a-z0-9_-]{0,62}$")]
Role = Literal["mo", "tfoms", "smo"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True)


class Party(_Table):
    """An organisation: whose codes must stand in the names and in the content of its files."""

    ogrn: Ogrn = ""
    kpp: Kpp = ""
    smo: SmoCode = ""
    letter: Letter = ""
    code: Code = ""
    name: str = ""

    @model_validator(mode="after")
    def _has_codes(self) -> Party:
        if not self.ogrn and not self.code:
            raise ValueError(_("ogrn: 13 digits are needed, in quotes; or code: what names of files call it"))
        return self

    @property
    def payer_codes(self) -> frozenset[str]:
        """What names of files call this organisation as a payer."""
        return frozenset({self.letter, self.code, self.smo} - {""})

    @property
    def mo_codes(self) -> frozenset[str]:
        """What names of files call this organisation as a medical organisation."""
        return frozenset({self.code, f"{self.ogrn}-{self.kpp}" if self.ogrn and self.kpp else ""} - {""})


class Partner(Party):
    """A party that we exchange with; ``folder`` is its name below ``inbox/`` and ``outbox/``."""

    folder: FolderName
    role: Role


class Limits(_Table):
    """What one file may cost. A file that costs more is refused or put into quarantine; the work goes on."""

    memory_mb: int = Field(default=2048, ge=256, le=1_048_576)
    workers: int = Field(default=2, ge=1, le=64)
    cpu_seconds: int = Field(default=3600, ge=1)
    wall_seconds: int = Field(default=3600, ge=1)
    packed_mb: int = Field(default=512, ge=1)
    raw_mb: int = Field(default=4096, ge=1)
    isolate: bool = True
    findings: int = Field(default=100_000, ge=1)


class Brake(_Table):
    """When an answer is held for a person: the refused share of a sender's register is by more than ``points`` per cent
    above that of his last ``registers``, which had at least ``accounts`` accounts. 0 points: never.
    """

    points: int = Field(default=25, ge=0, le=100)
    registers: int = Field(default=6, ge=1, le=1000)
    accounts: int = Field(default=200, ge=1)


class Settings(_Table):
    """All that ``oms-batch.toml`` says, with ``home`` set by the program."""

    home: str = Field(default="", exclude=True)
    role: Role
    profile: str = Field(default="yaroslavl", pattern="^[a-z][a-z0-9_]*$")
    lang: Literal["ru", "en"] = "ru"
    own: Party
    partner: tuple[Partner, ...] = ()
    limits: Limits = Limits()
    brake: Brake = Brake()
    settle_seconds: int = Field(default=5, ge=0)
    poll_seconds: int = Field(default=0, ge=0)
    sweep_seconds: int = Field(default=60, ge=1)
    give_up_minutes: int = Field(default=60, ge=1)
    zip_level: int = Field(default=6, ge=0, le=9)
    closed_through: str = Field(default="", pattern="^(20[0-9]{2}-(0[1-9]|1[0-2]))?$")
    reformulate_at_night: bool = True

    @model_validator(mode="after")
    def _parties_agree(self) -> Settings:
        if self.role == "mo" and not self.own.mo_codes:
            raise ValueError(_("own.kpp: a medical organisation needs its KPP, or a code of its own"))
        if self.role != "mo" and not (self.own.letter or self.own.code):
            raise ValueError(_("own.letter: a fund and an insurer need their payer letter, or a code of their own"))
        seen: set[str] = set()
        for number, one in enumerate(self.partner, 1):
            if one.folder in seen:
                raise ValueError(_("partner {number}: this folder stands twice").format(number=number))
            seen.add(one.folder)
            if one.role == "mo" and not one.mo_codes:
                raise ValueError(
                    _("partner {number}: a medical organisation needs its KPP, or a code of its own").format(
                        number=number
                    )
                )
            if one.role != "mo" and not (one.letter or one.code):
                raise ValueError(
                    _("partner {number}: a fund and an insurer need their payer letter, or a code of their own").format(
                        number=number
                    )
                )
            if _codes(one, one.role) == _codes(self.own, self.role) and one.role == self.role:
                raise ValueError(_("partner {number}: this is the own organisation").format(number=number))
        keys = [(one.role, *_codes(one, one.role)) for one in self.partner]
        if len(set(keys)) != len(keys):
            raise ValueError(_("partner: two partners have the same codes"))
        return self

    def by_folder(self, folder: str) -> Partner | None:
        """The partner whose folder this is."""
        return next((one for one in self.partner if one.folder == folder), None)


def _codes(one: Party, role: str) -> tuple[str, ...]:
    """By which codes an organisation of this role is told from others."""
    return (one.ogrn, one.kpp, one.code) if role == "mo" else (one.letter, one.code)


def load_settings(text: bytes, home: str) -> Settings:
    """Settings from the bytes of ``oms-batch.toml``; ``SetupError`` lists every fault: key and reason."""
    try:
        data = tomllib.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise SetupError(_("{file}: not UTF-8").format(file=FILE_NAME)) from None
    except tomllib.TOMLDecodeError as error:
        # The parser's message may quote the text; its place is enough.
        place = _toml_place(str(error))
        raise SetupError(_("{file}: not valid TOML, {place}").format(file=FILE_NAME, place=place)) from None
    try:
        if "home" in data:
            raise SetupError(_("{file}: key home: not known").format(file=FILE_NAME))
        # The strict mode wants tuples for tuples; TOML gives lists.
        if isinstance(data.get("partner"), list):
            data["partner"] = tuple(data["partner"])
        return Settings(home=home, **data)
    except ValidationError as error:
        raise SetupError(
            "\n".join(_fault(row) for row in error.errors(include_input=False, include_url=False))
        ) from None


def _toml_place(message: str) -> str:
    start = message.rfind("(at ")
    return message[start + 4 : -1] if start >= 0 and message.endswith(")") else _("place unknown")


def _fault(row: Any) -> str:
    key = ".".join(str(part + 1) if isinstance(part, int) else str(part) for part in row["loc"])
    reason = _reason(str(row["type"]), dict(row.get("ctx") or {}), key.rsplit(".", 1)[-1])
    return _("{file}: key {key}: {reason}").format(file=FILE_NAME, key=key, reason=reason) if key else reason


def _reason(kind: str, ctx: dict[str, Any], field: str) -> str:
    """A fault of pydantic in our own words; ``ctx`` holds limits and patterns only, never the value."""
    if kind == "missing":
        return _("is missing")
    if kind == "extra_forbidden":
        return _("not known")
    if kind == "value_error":
        return str(ctx["error"])
    if kind == "literal_error":
        return _("must be one of: {allowed}").format(allowed=str(ctx["expected"]).replace(" or ", ", "))
    if kind == "string_pattern_mismatch":
        return _form(field)
    if kind == "greater_than_equal":
        return _("must be at least {bound}").format(bound=ctx["ge"])
    if kind == "less_than_equal":
        return _("must be at most {bound}").format(bound=ctx["le"])
    if kind == "string_too_short":
        return _("is empty")
    return _("has the wrong type; needed: {type}").format(type=kind.split("_", 1)[0])


def _form(field: str) -> str:
    """What a code must look like, for people."""
    forms = {
        "ogrn": _("13 digits are needed, in quotes"),
        "kpp": _("9 digits are needed, in quotes"),
        "letter": _("one capital Latin letter is needed"),
        "smo": _("2 to 5 digits are needed, in quotes"),
        "code": _("digits or capital Latin letters are needed, in quotes"),
        "folder": _("a plain name is needed: small Latin letters, digits, - and _"),
        "closed_through": _("a month is needed, as YYYY-MM"),
        "profile": _("a plain name is needed: small Latin letters, digits, - and _"),
    }
    return forms.get(field, _("has the wrong form"))


def template(
    role: Role,
    *,
    own: Mapping[str, str] | None = None,
    partners: Sequence[Mapping[str, str]] | None = None,
    profile: str = "yaroslavl",
    **options: int | bool | str,
) -> str:
    """The text of an ``oms-batch.toml`` for ``init``, with comments in the language in force.

    ``own`` and ``partners`` hold the fields of ``Party`` and ``Partner``; codes that are not given
    stay empty and loading says so. ``options`` overrides top-level numbers and keys of ``[limits]``.
    """
    defaults = Settings.model_fields
    limits = Limits.model_fields
    who = {"mo": _("medical organisation"), "tfoms": _("territorial fund"), "smo": _("insurer")}[role]
    lines = [
        "# " + _("Settings of one participant of the exchange; every key is explained in docs/admin.md."),
        f"role = {_quoted(role)}  # {who}",
        f"profile = {_quoted(profile)}",
        f"lang = {_quoted(language())}",
        "",
        "# " + _("A file must stay unchanged for so long before it is taken."),
        _line("settle_seconds", options, defaults),
        "# " + _("0: the system tells of new files; more: look every so many seconds (network shares)."),
        _line("poll_seconds", options, defaults),
        "# " + _("A full look through the folders, whatever the system told."),
        _line("sweep_seconds", options, defaults),
        "# " + _("A file that is still growing after so long is told to the operator."),
        _line("give_up_minutes", options, defaults),
        "# " + _("0 to 9: how hard answers are packed."),
        _line("zip_level", options, defaults),
        "# " + _("The last closed month, YYYY-MM: its registers and older ones are refused; empty: none is closed."),
        _line("closed_through", options, defaults),
        "# " + _("Whether the nightly run sends on reformulated registers by itself (MO)."),
        _line("reformulate_at_night", options, defaults),
        "",
        "[own]",
        "# " + _("Our own codes: they must stand in the names and in the content of our files."),
    ]
    lines += [f"{key} = {_quoted((own or {}).get(key, ''))}" for key in _own_keys(role, own)]
    lines += [
        "",
        "[limits]",
        "# " + _("What one file may cost; a file that costs more is put aside, the work goes on."),
    ]
    lines += [_line(key, options, limits) for key in limits]
    lines += [
        "",
        "[brake]",
        "# " + _("An answer is held for a person when so many points more are refused than usually; 0: never."),
        *(_line(key, {}, Brake.model_fields) for key in Brake.model_fields),
    ]
    rows = partners if partners is not None else [{"role": other} for other in ("mo", "tfoms", "smo") if other != role]
    for row in rows:
        keys = ["folder", "role", *_own_keys(row["role"], row)]
        lines += ["", "[[partner]]", *(f"{key} = {_quoted(row.get(key, ''))}" for key in keys)]
    return "\n".join(lines) + "\n"


def _own_keys(role: str, given: Mapping[str, str] | None) -> tuple[str, ...]:
    """Organisations that names of files call by a code have it beside what is known of them."""
    if given and given.get("code"):
        return tuple(key for key in ("code", "ogrn", "kpp", "smo", "name") if key == "name" or given.get(key))
    return ("ogrn", "kpp", "name") if role == "mo" else ("ogrn", "letter", "smo", "name")


def _line(key: str, options: Mapping[str, int | bool | str], fields: Mapping[str, Any]) -> str:
    value = options.get(key, fields[key].default)
    if isinstance(value, str):
        return f"{key} = {_quoted(value)}"
    return f"{key} = {str(value).lower() if isinstance(value, bool) else value}"


def _quoted(text: str) -> str:
    """A TOML basic string."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(f"\\u{ord(sign):04x}" if ord(sign) < 32 or ord(sign) == 127 else sign for sign in plain) + '"'
