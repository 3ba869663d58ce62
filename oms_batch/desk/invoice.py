"""«Счёт на оплату»: one per register and payer, from the sums of the accounts that the payer accepted.

The document is Russian whatever the language of the screen: it is a paper for the accountants.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from oms_batch import textform
from oms_batch.errors import WrongState
from oms_batch.exchange import Payer, Profile
from oms_batch.model import NamedFile, Totals


@dataclass(frozen=True, slots=True)
class Party:
    """A side of the invoice; what is empty is left as a line to write on."""

    name: str
    ogrn: str
    kpp: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """Accounts of one kind of care."""

    care: str
    totals: Totals


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice: ``number`` and ``day`` of the paper, the register it stands on, its lines and total."""

    number: str
    day: date
    period: str
    register: str
    payer: str
    seller: Party
    buyer: Party
    lines: tuple[Line, ...]
    basis: str = ""

    @property
    def total(self) -> Totals:
        return sum((one.totals for one in self.lines), Totals())


def invoice_number(profile: Profile, named: NamedFile, payer: str) -> str:
    """The default number. Unique per organisation and year: period, register number and payer are in it."""
    pattern: str = profile.rules.toml(f"{profile.id}/desk.toml")["invoice"]["number"]
    return pattern.format(yy=named.period[2:4], mm=named.period[5:], register=named.number, payer=payer)


def make_invoice(
    profile: Profile,
    named: NamedFile,
    payer: str,
    rows: Iterable[Mapping[str, Any]] | None,
    day: date,
    seller: str,
    *,
    number: str = "",
    basis: str = "",
) -> Invoice:
    """The invoice to one payer.

    ``rows`` are the accounts that the payer accepted at the first stage, one each or summed up: ``usl_ok``,
    ``kopecks`` (accepted), ``accounts`` (1 when absent). ``None``: the file of accepted accounts is not in,
    ``WrongState("STAGE_ORDER")``. Empty: a zero invoice. ``basis`` names that file.
    """
    if rows is None:
        raise WrongState("STAGE_ORDER", f"{named.register} {payer}")
    buyer = payer_on(profile, payer, day, named.period)
    care = names_of(profile, "usl_ok")
    found: dict[str, Totals] = {}
    for row in rows:
        code = str(row["usl_ok"])
        found[code] = found.get(code, Totals()) + Totals(int(row.get("accounts", 1)), int(row["kopecks"]))
    lines = tuple(Line(care.get(code, code), totals) for code, totals in sorted(found.items()))
    return Invoice(
        number or invoice_number(profile, named, payer),
        day,
        named.period,
        named.register,
        payer,
        Party(seller, named.ogrn_mo, named.kpp_mo),
        Party(buyer.name, buyer.ogrn, code=buyer.smo),
        lines,
        basis,
    )


def invoice_html(invoice: Invoice) -> bytes:
    """The invoice as one self-contained page for A4 paper, UTF-8."""
    page = render_page("invoice.html.j2", invoice=invoice, total=invoice.total)
    return page.encode()


def payer_on(profile: Profile, code: str, day: date, period: str) -> Payer:
    """The payer of a letter on a day, or in the period when it has closed since; ``WrongState`` when unknown."""
    year, month = map(int, period.split("-"))
    found = profile.payer(code, day) or profile.payer(code, date(year, month, 1))
    if found is None:
        raise WrongState("PAYER_UNKNOWN", code)
    return found


def names_of(profile: Profile, book: str) -> dict[str, str]:
    """Code → name of a small reference book, the profile's own or the common one; empty when there is none."""
    for folder in (profile.id, "common"):
        path = f"{folder}/books/{book}.csv"
        if profile.rules.exists(path):
            return {row["code"]: row["name"] for row in profile.rules.table(path)}
    return {}


def render_page(template: str, **values: Any) -> str:
    """A page of the desk; everything in it is escaped, and an unknown name is a fault."""
    pages = Environment(
        loader=PackageLoader("oms_batch.desk"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.globals["t"] = textform
    return pages.get_template(template).render(**values)


def check_numbers(invoices: Sequence[Invoice]) -> None:
    """``WrongState("INVOICE_NUMBER")`` when two invoices of one year carry one number."""
    seen: dict[tuple[int, str], str] = {}
    for one in invoices:
        key = (one.day.year, one.number)
        if seen.setdefault(key, one.register + one.payer) != one.register + one.payer:
            raise WrongState("INVOICE_NUMBER", one.number)
