"""A delivered file as a whole: header against name, control totals against accounts, texts of all problem codes."""

from __future__ import annotations

import ast
import io
from datetime import datetime, timezone

import duckdb
import pytest

from oms_batch.errors import Problem, Refusal
from oms_batch.formats.container import pack
from oms_batch.intake.names import identify
from oms_batch.intake.register import Taken, read_register
from tests.read_docs import PROFILE, RULES
from tests.source import modules
from tests.test_read import ACCOUNT, HEAD, PERSON, TAIL

NAME = "1027600000108760401001180913X.7z"
SUM = '<sum><elem type_acc="1" suml="10.50" sum="10.50"/><elem type_acc="2" suml="0.07" sum="0.07"/></sum>'
TOTAL = (
    '<account_sum><account_elem_t><account_elem type_acc="1" amountl="21.00" amount="21.00"/>'
    '<account_elem type_acc="2" amountl="0.14" amount="0.14"/></account_elem_t>{}</account_sum>'
)


def document(*changes: tuple[str, str], total: str = TOTAL.format(""), accounts: int = 2) -> str:
    inside = f"{ACCOUNT}>{SUM}</personal_account>" * accounts
    person = f"{PERSON}<register_accounts>{inside}</register_accounts></patient>" if accounts else ""
    text = f"{HEAD}{total}<patients>{person}</patients>{TAIL}"
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def taken(text: str, name: str = NAME, kind: str = "zip") -> Taken:
    out = io.BytesIO()
    pack(kind, "bill.xml", io.BytesIO(text.encode("cp1251")), out, datetime(2018, 10, 3, tzinfo=timezone.utc))
    size = out.seek(0, 2)
    return read_register(out, size, identify(name, PROFILE), PROFILE, duckdb.connect())


def problems(text: str, name: str = NAME) -> list[tuple[str, str, str]]:
    with pytest.raises(Refusal) as caught:
        taken(text, name)
    return [(one.code, one.expected, one.found) for one in caught.value.problems]


@pytest.mark.parametrize("kind", ["zip", "7z", "xml"])
def test_a_good_register_is_taken(kind: str) -> None:
    found = taken(document(), kind=kind)
    assert (found.kind, found.result.accounts, found.result.persons) == (kind, 2, 1)


def test_a_zero_register_is_taken_with_and_without_totals() -> None:
    zero = TOTAL.format("").replace("21.00", "0.00").replace("0.14", "0")
    for total in ("", zero, "<account_sum/>"):
        assert taken(document(total=total, accounts=0)).result.accounts == 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (('version="6.15"', 'version="6.16"'), ("HDR_VERSION", "6.15", "6.16")),
        (('version="6.15"', ""), ("HDR_VERSION", "6.15", "")),
        (('protocol="Reestr"', 'protocol="Other"'), ("HDR_PROTOCOL", "Reestr", "Other")),
        (('month="09"', 'month="10"'), ("HDR_PERIOD", "2018-09", "2018-10")),
        (('year="2018"', 'year="2O18"'), ("HDR_PERIOD", "2018-09", "")),
        (('ogrn_mo="1027600000108"', 'ogrn_mo="1027600000207"'),
         ("HDR_SENDER", "1027600000108 760401001", "1027600000207 760401001")),
        (('kpp_mo="760401001"', 'kpp_mo="760401002"'),
         ("HDR_SENDER", "1027600000108 760401001", "1027600000108 760401002")),
    ],
)  # fmt: skip
def test_the_header_must_fit_the_name(change: tuple[str, str], expected: tuple[str, str, str]) -> None:
    assert problems(document(change)) == [expected]


def test_all_problems_of_a_header_are_told_at_once() -> None:
    found = problems(document(('month="09"', 'month="10"'), ('version="6.15"', 'version="1"'), ("21.00", "21.01")))
    assert [code for code, _, _ in found] == ["HDR_VERSION", "HDR_PERIOD", "HDR_SUM"]


def test_a_file_for_one_payer_names_that_payer() -> None:
    for letter, ogrn in (("P", "1027600000405"), ("R", "1027700000503"), ("F", "1027600000306")):
        name = NAME.replace("3X", "1" + letter)
        assert taken(document(('ogrn_smo="1"', f'ogrn_smo="{ogrn}"')), name).result.accounts == 2
        assert problems(document(), name) == [("HDR_PAYER", ogrn, "1")]


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (TOTAL.format("").replace('amountl="21.00"', 'amountl="21.01"'), [("HDR_SUM", "21.00", "21.01")]),
        (TOTAL.format("").replace('amountl="21.00" ', ""), [("HDR_SUM", "21.00", "")]),
        (
            TOTAL.format("").replace('type_acc="2"', 'type_acc="3"'),
            [("HDR_SUM", "0.14", ""), ("HDR_SUM", "0.00", "0.14")],
        ),
        ("", [("HDR_SUM", "21.14", "")]),
        ("<account_sum/>", [("HDR_SUM", "21.14", "")]),
    ],
)
def test_control_totals(total: str, expected: list[tuple[str, str, str]]) -> None:
    assert problems(document(total=total)) == expected


def test_per_capita_is_number_times_tariff() -> None:
    line = '<account_elem_f><account_elem type_acc="1" amountl="{}" n_all="300" t_all="10.10"/></account_elem_f>'
    assert taken(document(total=TOTAL.format(line.format("3030.00")))).result.accounts == 2
    assert problems(document(total=TOTAL.format(line.format("3030.01")))) == [("HDR_SUM", "3030.00", "3030.01")]
    assert problems(document(total=TOTAL.format(line.format("")))) == [("HDR_SUM", "3030.00", "")]


def test_an_unreadable_sum_is_a_finding_of_its_account_not_of_the_register() -> None:
    found = taken(document(('suml="10.50"', 'suml="10,50"')))
    assert found.result.findings == 2


def codes_raised(tree: ast.AST) -> set[str]:
    """First texts of ``refuse(…)`` and ``Problem(…)``, both branches of a choice."""
    found: set[str] = set()
    for call in ast.walk(tree):
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and call.func.id in ("refuse", "Problem")
            and call.args
        ):
            found |= {
                part.value
                for part in ast.walk(call.args[0])
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
            }
    return {code for code in found if code.isupper()}


def test_every_code_that_is_raised_has_texts() -> None:
    table = RULES.toml("common/problems.toml")
    raised = set().union(*(codes_raised(module.tree) for module in modules()))
    assert len(raised) > 40
    assert raised - set(table) == set()
    for code, row in table.items():
        assert set(row) == {"outcome", "title", "title_en", "advice", "advice_en"}, code
        assert row["outcome"] in ("REF", "QUA", "WAIT", "PARK", "DUP", "SAY"), code
        assert all(row.values()), code


def test_the_search_for_codes_sees_them() -> None:
    tree = ast.parse('raise refuse("A_B" if x else "C_D", f"line {n}")\nProblem("E_F", "place")\nother("G_H")')
    assert codes_raised(tree) == {"A_B", "C_D", "E_F"}
    assert Problem("X").code == "X"
