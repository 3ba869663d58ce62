"""One rule, as its TOML file (or its line of ``fields.csv``) says it; frozen, unknown keys forbidden."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from oms_batch.errors import SetupError
from oms_batch.judge.sqlguard import Parts, expression_parts, parse_ahead, select_parts
from oms_batch.model import Severity

CODE = r"[A-Z]\.\d{2}\.\d{4}"
PASSES = ("structure", "form", "sense", "limits")


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else (value,) if isinstance(value, dict | str) else value


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Lookup(_Frozen):
    """A row of a reference book: columns of the book = expressions, on the day of ``date``."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    book: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    on: dict[str, str]
    date: str = ""


class Example(_Frozen):
    """Rows that differ from a base document, by table; ``empty`` lists ``table.column`` to be NULL in every row."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)
    why: Annotated[str, Field(min_length=1)]
    base: str = ""
    expect: int = 0
    empty: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()

    @property
    def rows(self) -> dict[str, dict[str, Any] | list[dict[str, Any]]]:
        return dict(self.model_extra or {})


class Rule(_Frozen):
    """A rule; ``file`` and ``set_name`` say where it stands, ``passes`` and ``fails`` are its examples.

    ``files``: the types of file (TYPE_MD, book Q019) that it is for; empty: for all.
    """

    code: Annotated[str, Field(pattern=rf"^{CODE}$")]
    title: Annotated[str, Field(min_length=1)]
    title_en: str = ""
    advice: str = ""
    advice_en: str = ""
    official: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    files: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    severity: Severity
    defect: str = ""
    basis: Annotated[str, Field(min_length=1)]
    valid_from: date = date(1900, 1, 1)
    valid_to: date | None = None
    checked_on: date | None = None
    status: Literal["draft", "active", "retired"] = "active"
    run_pass: Literal["structure", "form", "sense", "limits"]
    on: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] = "register"
    refuses: Literal["account", "person", "register"] = "account"
    element: str = ""
    mark: Literal["", "an_mes", "an_sum", "an_ps", "an_p", "flk"] = ""
    fails_when: str = ""
    select: str = ""
    value: str = ""
    needs: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    mandatory: bool = True
    built_in: bool = False
    lookup: Annotated[tuple[Lookup, ...], BeforeValidator(_listed)] = ()
    passes: Annotated[tuple[Example, ...], Field(alias="pass")] = ()
    fails: Annotated[tuple[Example, ...], Field(alias="fail")] = ()
    file: str = ""
    set_name: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Rule:
        if self.built_in:
            if self.fails_when or self.select:
                raise ValueError("built_in: has no SQL of its own")
        elif bool(self.fails_when) == bool(self.select):
            raise ValueError("exactly one of fails_when and select")
        elif not self.passes or not self.fails:
            raise ValueError("at least one [[pass]] and one [[fail]] example")
        if not self.built_in and self.run_pass == "structure":
            raise ValueError("run_pass structure belongs to built_in rules")
        if self.severity == "reject" and not self.defect:
            raise ValueError("a rejecting rule names its defect")
        if self.valid_to is not None and self.valid_to < self.valid_from:
            raise ValueError("valid_to is before valid_from")
        if self.select and (self.lookup or self.value):
            raise ValueError("lookup and value belong to fails_when")
        if len({one.name for one in self.lookup}) != len(self.lookup):
            raise ValueError("two lookups with one name")
        return self

    @property
    def effective(self) -> Severity:
        """The severity that counts: a draft runs, but never rejects."""
        return "warn" if self.status == "draft" and self.severity == "reject" else self.severity

    def expressions(self) -> list[str]:
        """Every expression over the unit's row: the condition, the value, the keys of lookups."""
        found = [self.fails_when, self.value] if self.fails_when else []
        for one in self.lookup:
            found += [*one.on.values(), one.date]
        return [text for text in found if text]

    def parts(self) -> Parts:
        """Tables, columns and subqueries of all SQL of the rule."""
        return _together(self.select, tuple(self.expressions()))

    def books(self) -> frozenset[str]:
        """Reference books that the rule looks into."""
        named = {table.removeprefix("book_") for table in self.parts().tables if table.startswith("book_")}
        return frozenset(named | {one.book for one in self.lookup})


@lru_cache(maxsize=8192)
def _together(select: str, expressions: tuple[str, ...]) -> Parts:
    pieces = [select_parts(select)] if select else [expression_parts(text) for text in expressions]
    return Parts(
        frozenset().union(*(one.tables for one in pieces)),
        frozenset().union(*(one.columns for one in pieces)),
        frozenset().union(*(one.bare for one in pieces)),
        frozenset().union(*(one.names for one in pieces)),
        any(one.subquery for one in pieces),
        any(one.star for one in pieces),
    )


def parse_all(rules: Iterable[Rule]) -> None:
    """Have the SQL of many rules parsed at once, so that asking each for its parts costs little."""
    listed = list(rules)
    expressions = (text for rule in listed if not rule.select for text in rule.expressions())
    parse_ahead(expressions, (rule.select for rule in listed if rule.select))


def make_rule(data: dict[str, Any], file: str, set_name: str) -> Rule:
    """A checked rule; ``SetupError`` names the file and the key, never a value."""
    return checked(read_rule(data, file, set_name))


def read_rule(data: dict[str, Any], file: str, set_name: str) -> Rule:
    """The same without a look at its SQL: that is for ``checked``, after ``parse_all``."""
    try:
        return Rule.model_validate({**data, "file": file, "set_name": set_name})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "rule"
        raise SetupError(f"{file}: {place}: {first['msg']}") from None


def checked(rule: Rule) -> Rule:
    """The rule, if its SQL is what the guard lets through; ``SetupError`` names the file."""
    try:
        parts = rule.parts()
    except SetupError as error:
        raise SetupError(f"{rule.file}: {error}") from None
    if parts.bare:
        raise SetupError(f"{rule.file}: column {min(parts.bare)} is written without its table")
    return rule
