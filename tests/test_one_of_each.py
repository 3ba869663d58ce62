"""A register with one defect of each official check gets exactly the expected codes, wherever they are asked."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import duckdb
import pytest

from oms_batch.doors.one_of_each import Planted, one_of_each, together
from oms_batch.errors import Refusal, SetupError
from oms_batch.exchange import Profile, load_profile
from oms_batch.formats import canon, federal_xml, reestr_xml
from oms_batch.formats.layout import load_layout
from oms_batch.intake.names import identify as name_of
from oms_batch.judge import books, engine, rulebook
from oms_batch.judge.example import columns_of, insert_sql
from oms_batch.judge.rulebook import Rulebook
from oms_batch.judge.tables import FACTS, IDENT, REGISTER, create_table
from oms_batch.ruledata import RuleData

RULES = RuleData()
# The sets with which an account is looked at by itself; who is insured and who pays is the matter of other tests.
ASIDE = ("fund", "insurer", "across", "final", "payer")
# What reading says of a place before any rule is asked about it.
READING = ("S.00.", "HDR_")
NOT_IN_A_FILE = {
    "M.03.0090": "asked of organisations whose attached persons are laid in: the book names one that does not exist",
}
COMPANIONS = Path(__file__).parent / "companions.csv"
# read with files of organisations only: between funds there is no generator of documents
EXCHANGES = ("federal", "yaroslavl")


def book_of(profile: Profile) -> Rulebook:
    sets = list(dict.fromkeys(one for hop in profile.hops for one in hop.rules))
    return rulebook.load(RULES, [one for one in sets if one.split("/")[1] not in ASIDE], profile.id)


def companions(name: str) -> dict[str, frozenset[str]]:
    """Codes that come with a code, because what breaks it breaks them too."""
    lines = (line for line in COMPANIONS.read_text("utf-8").splitlines() if not line.startswith("#"))
    rows = csv.DictReader(lines, delimiter=";")
    return {row["code"]: frozenset(row["with"].split()) for row in rows if row["profile"] == name}


def found_in(profile: Profile, book: Rulebook, planted: Planted) -> dict[str, set[str]]:
    """What judging finds, by the planted code; findings of no single account under an empty one."""
    con = duckdb.connect()
    try:
        return _judged(con, profile, book, planted)
    except Refusal as error:  # a head that nothing of this version can be is told by reading
        return {code: {error.code} for code in planted.codes}
    finally:
        con.close()


def _judged(con: duckdb.DuckDBPyConnection, profile: Profile, book: Rulebook, planted: Planted) -> dict[str, set[str]]:
    engine.prepare(con)
    if profile.data["format"] == "federal_xml":
        _read_elements(con, profile, planted)
    else:
        layout = load_layout(profile.rules, profile.id, profile.data["layout"])
        reestr_xml.read(io.BytesIO(planted.documents["main"]), layout, con)
    if received := planted.rows[REGISTER][0].get("received"):  # the day of receipt stands in no document
        con.execute("UPDATE register SET received = ?", [received])
    books.load_for(con, profile.rules, book)
    for table, columns in (("ident", IDENT), ("facts", FACTS)):
        con.execute(create_table(table, columns))
        if rows := planted.rows.get(table):
            con.execute(insert_sql(table, rows, columns_of(table, book.tables) or {}))
    try:
        engine.run(con, book)
    except SetupError as error:  # without its period a register cannot be judged: reading has refused it
        return {code: {f"{type(error).__name__}: {error}"[:150]} for code in planted.codes}
    accounts = con.execute("SELECT n, pers_n FROM z_sl ORDER BY n").fetchall()
    whose = {n: code for (n, _), code in zip(accounts, planted.codes, strict=True)}
    persons = {pers_n: whose[n] for n, pers_n in accounts}
    done: dict[str, set[str]] = {code: set() for code in planted.codes}
    for rule, n, pers_n in con.execute("SELECT rule, z_sl_n, pers_n FROM findings").fetchall():
        done.setdefault(whose.get(n) or persons.get(pers_n) or "", set()).add(rule)
    return done


def _read_elements(con: duckdb.DuckDBPyConnection, profile: Profile, planted: Planted) -> None:
    named = name_of(planted.name + ".zip", profile)
    streams = {role: io.BytesIO(data) for role, data in planted.documents.items()}
    layouts = {"main": f"{named.parts['kind']}:from_mo", "persons": "L:from_mo"}
    federal_xml.read_members(streams, layouts, profile, con)
    canon.apply(con, profile.rules, profile.id, named)


def all_told(profile: Profile) -> dict[str, set[str]]:
    """By each planted rule the codes that judging its account gave."""
    book = book_of(profile)
    found: dict[str, set[str]] = {}
    for type_md, rules in ((one, rules) for one in book.types for rules in together(profile, book, one)):
        done = found_in(profile, book, one_of_each(profile, book, type_md, rules))
        alone = done.get("", set()) if len(rules) == 1 else set()
        found |= {rule.code: done[rule.code] | alone for rule in rules}
    return found


@pytest.mark.parametrize("name", EXCHANGES)
def test_one_defect_of_each_gives_exactly_its_codes(name: str) -> None:
    told, along = all_told(load_profile(name, RULES)), companions(name)
    assert len(told) > 100
    off = {
        code: f"{' '.join(sorted(codes))} | expected {' '.join(sorted(along.get(code, {code})))}"
        for code, codes in told.items()
        if codes != along.get(code, {code})
    }
    assert off == {}
    assert along.keys() <= told.keys()


@pytest.mark.parametrize("name", EXCHANGES)
def test_a_check_that_is_told_by_others_only_is_known(name: str) -> None:
    silent = {code: codes for code, codes in companions(name).items() if code not in codes}
    by_reading = {code for code, codes in silent.items() if any(one.startswith(READING) for one in codes)}
    assert silent.keys() - by_reading <= NOT_IN_A_FILE.keys()
