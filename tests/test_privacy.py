"""No personal data outside the files of the exchange: canaries in every personal field, planted defects, a whole month.

The archive, the answers and the reports of the MO may hold them: they are the exchange. The ledger, its audit, file
names, logs, exceptions and what the commands print may not.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from oms_batch.cli.main import program
from oms_batch.synth.planting import Plan, plant
from tests.bad_inputs import log_of, spec
from tests.participants import Exchange

# Every attribute of the wire document that says something of a person.
FIELDS = {
    "surname": "Канарейкина",
    "name": "Щеглина",
    "patronymic": "Свиристелевна",
    "surname_p": "Дроздова",
    "name_p": "Иволга",
    "patronymic_p": "Зябликовна",
    "birthdate": "1961-07-13",
    "birthdate_p": "1931-05-17",
    "ss": "999-888-777 66",
    "polisnum": "7612345678901234",
    "docser": "КН-АР",
    "docnum": "987651",
    "kladr": "7699912345678",
    "n_card": "карта-канарейки",
    "mr": "город Канарейск",
}


def canaries(text: str) -> tuple[str, list[str]]:
    """The document with canaries in the first, third, … of each field; the others stay, so that some are identified."""
    used = []
    for field, token in FIELDS.items():
        found = list(re.finditer(rf'(\s){field}="[^"]*"', text))
        for place in reversed(found[::2]):
            text = f'{text[: place.start()]}{place[1]}{field}="{token}"{text[place.end() :]}'
        used += [token] if found else []
    return text, used


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Exchange, list[str], str]:
    """A month over a register with defects of every cause and canaries; what was logged meanwhile."""
    exchange = Exchange(tmp_path_factory.mktemp("privacy"))
    chosen = spec(1, 60)
    for name in ("tfoms", "smo-p"):
        exchange.insure(name, chosen)
    planted = plant(exchange.profile, chosen, Plan(side="fund", each=0, per_mille=400))
    text, used = canaries(b"".join(planted.blocks).decode("cp1251"))
    name = exchange.generated(chosen)[0]
    with log_of() as log:
        exchange.put("mo", "", name, text.encode("cp1251"))
        exchange.month()
        # and files that are refused as a whole, for each reason that reads into the document
        for number, broken in enumerate(
            (
                text.replace("windows-1251", "koi8-r", 1),
                text.replace("</bill>", "x</bill>"),
                text.replace('="6.15"', '="9"'),
            ),
            2,
        ):
            exchange.put("tfoms", "mo", name.replace("13X", f"{number}3X"), broken.encode("cp1251"))
        exchange.sweep("tfoms")
    return exchange, used, log.getvalue()


def test_the_canaries_went_through_the_exchange(played: tuple[Exchange, list[str], str]) -> None:
    """Else nothing is proved: they are in the answers, and accounts were refused and accepted."""
    exchange, used, log = played
    assert len(used) >= 12
    archived = b"".join(path.read_bytes() for path in (exchange.root / "tfoms/archive").rglob("*3X.xml*"))
    assert all(token.encode("cp1251") in archived for token in used)
    totals = exchange.totals("mo")["accounts"]
    assert totals["refused_1"] > 5
    assert totals["accepted_5"] > 5
    assert log.count('"answered"') > 5


def hits(text: str, used: list[str]) -> list[str]:
    return [token for token in used if token in text or token.encode("unicode_escape").decode() in text]


def test_logs_hold_none(played: tuple[Exchange, list[str], str]) -> None:
    _exchange, used, log = played
    assert hits(log, used) == []


def test_file_names_hold_none(played: tuple[Exchange, list[str], str]) -> None:
    exchange, used, _log = played
    assert hits("\n".join(str(path) for path in exchange.root.rglob("*")), used) == []


def test_the_ledger_and_its_audit_hold_none(played: tuple[Exchange, list[str], str]) -> None:
    """Every text column of every table, and the raw bytes of the file with its journal."""
    exchange, used, _log = played
    for who in exchange.names:
        path = exchange.root / who / "ledger.db"
        with sqlite3.connect(path) as con:
            tables = [row[0] for row in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            assert {"accounts", "audit", "jobs", "moves"} <= set(tables)
            for table in tables:
                text = "\n".join(repr(row) for row in con.execute(f"SELECT * FROM {table}"))
                assert hits(text, used) == [], (who, table)
        raw = b"".join(one.read_bytes() for one in path.parent.glob("ledger.db*"))
        assert [token for token in used if token.encode() in raw] == []


def test_protocols_hold_none(played: tuple[Exchange, list[str], str]) -> None:
    """The answer to a file that cannot be judged names places and counts, not values."""
    exchange, used, _log = played
    pages = list((exchange.root / "tfoms/outbox/mo").glob("*.protocol.*"))
    assert len(pages) == 6
    for page in pages:
        text = page.read_bytes().decode("utf-8" if page.suffix == ".html" else "cp1251")
        assert hits(text, used) == [], page.name


def test_what_commands_print_holds_none(
    played: tuple[Exchange, list[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Lists for the eye and for scripts; the value found in a field is the answer's and the report's alone."""
    exchange, used, _log = played
    for who in exchange.names:
        for command in (
            ["status"],
            ["ledger", "show"],
            ["ledger", "verify"],
            ["refused"],
            ["nightly"],
            ["audit", "verify"],
        ):
            if who != "mo" and command == ["refused"]:
                continue
            for more in ([], ["--json"]):
                with pytest.raises(SystemExit):
                    program.main(["--home", str(exchange.root / who), *more, *command])
                said = capsys.readouterr()
                assert hits(said.out + said.err, used) == [], (who, command)


def test_our_own_faults_hold_none(played: tuple[Exchange, list[str], str], tmp_path: Path) -> None:
    """A bug that trips over a value: of the exception only type and place are kept."""
    from oms_batch.store import sandbox

    outcome = sandbox._outcome("tests.test_privacy:trip", {"value": FIELDS["surname"]})
    assert outcome["kind"] == "fault"
    assert hits(outcome["text"], list(FIELDS.values())) == []


def trip(order: dict[str, str]) -> None:
    raise ValueError(f"cannot read {order['value']}")
