"""A register with one defect of each official check: the fail examples of the rules, written as documents.

An example is one person with his accounts; persons are told apart, so that no two examples look like one case twice.
Rules of the head have a register of their own each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from oms_batch.exchange import Profile
from oms_batch.formats import elements
from oms_batch.formats.layout import load_layout
from oms_batch.judge.example import STRIDE, Bases, Document, Row, document, known, load_bases, numbered
from oms_batch.judge.rule import Example, Rule
from oms_batch.judge.rulebook import Rulebook
from oms_batch.judge.tables import ACCOUNT, PERSON, REGISTER
from oms_batch.synth.numbers import enp
from oms_batch.synth.written import attribute_document, element_document

SET = "common/official"
_WHO = ("fam", "im", "ot", "dr", "w", "enp", "npolis", "vpolis")
_PARTS = ("pi", "ni", "pp", "np", "yy", "mm")
_LETTERS = "абвгдежзик"


@dataclass(frozen=True)
class Planted:
    """One register: its documents by role, the rule that each of its accounts breaks, in their order, its rows, and
    the name of its main document without extension (blank where the exchange has one form)."""

    type_md: str
    documents: dict[str, bytes]
    codes: tuple[str, ...]
    rows: Document
    name: str = ""


def plantable(book: Rulebook) -> list[Rule]:
    """Official checks of this exchange that an account can break in a file."""
    return [
        rule
        for rule in book.rules
        if rule.set_name == SET and rule.status == "active" and not book.tables.lacks(rule.on, rule.parts())
    ]


def together(profile: Profile, book: Rulebook, type_md: str) -> list[list[Rule]]:
    """The rules of one type of file by registers: one head serves them and one pass asks; each of the head is alone."""
    bases = load_bases(profile.rules, profile.id)
    found: dict[object, list[Rule]] = {}
    for rule in plantable(book):
        head = _example(rule, rule.fails[0], bases, book)[REGISTER][0]
        kind = head.get("type_md")
        if type_md == (kind if kind in book.types else next(one for one in book.types if one in rule.files)):
            alone = rule.code if rule.on == REGISTER else ""
            key = (str(rule.valid_to), rule.run_pass, sorted(head.items(), key=str), alone)
            found.setdefault(str(key), []).append(rule)
    return list(found.values())


def one_of_each(profile: Profile, book: Rulebook, type_md: str, rules: Sequence[Rule]) -> Planted:
    """The register of one type of file with the first fail example of each of these rules."""
    bases = load_bases(profile.rules, profile.id)
    base = bases.base.get(rules[0].fails[0].base or bases.default) or bases.base[bases.default]
    usual = {**bases.defaults[REGISTER], **base[REGISTER][0]}
    last = rules[0].valid_to
    rows: Document = {}
    codes: list[str] = []
    for i, rule in enumerate(rules):
        made = _example(rule, rule.fails[0], bases, book)
        if last is not None:
            _moved(made, last)
        if rule.run_pass == "sense" and rule.element == f"{ACCOUNT}.sumv":
            _parts_agree(made)
        for table, listed in numbered(_apart(made, bases, i, rule), i, book.tables, rule.code).items():
            rows.setdefault(table, []).extend(listed if table != REGISTER else listed[: 1 - min(i, 1)])
        codes += [rule.code] * len(made[ACCOUNT])
    head = rows[REGISTER][0]
    if not any(rule.on == REGISTER for rule in rules):
        head |= {"summav": sum(row.get("sumv") or 0 for row in rows[ACCOUNT]), "sd_z": len(rows[ACCOUNT])}
    if last is not None:
        usual |= {"year": last.year, "month": last.month, "filename": _of_month(usual.get("filename", ""), last)}
    _named(head, usual)
    write = _elements if profile.data["format"] == "federal_xml" else _attributes
    documents = write(profile, type_md, rows, usual)
    return Planted(type_md, documents, tuple(codes), rows, usual.get("filename", ""))


def _example(rule: Rule, example: Example, bases: Bases, book: Rulebook) -> Document:
    made = document(example, bases, rule.code)
    return known(made, book.tables, frozenset()) if bases.partial else made


def _apart(made: Document, bases: Bases, i: int, rule: Rule) -> Document:
    """The example with a person of his own, where the example leaves him as he is in the base, and keys of its own."""
    usual = bases.defaults[PERSON]
    for n, row in enumerate(made.get(PERSON, []), 1):
        if all(row.get(name) == usual.get(name) for name in _WHO if name not in ("dr", "w")) and row.get("dr"):
            number = enp(str(usual["npolis"])[:2], row["dr"], row["w"] == "1", 100 + i * 3 + n)
            row |= {name: number for name in ("enp", "npolis") if name in row}
            row["fam"] = f"{row['fam']}{_word(i * 3 + n)}"
        if row.get("id_pac") == usual.get("id_pac"):
            row["id_pac"] = f"{i + 1}-{n}"
        if row.get("docnum") == usual.get("docnum"):
            row["docnum"] = f"{100000 + i * 3 + n}"
    account = bases.defaults[ACCOUNT]
    for n, row in enumerate(made.get(ACCOUNT, []), 1):
        key = i * 10 + n
        if (row.get("idcase") or "").isdigit() and rule.element != "z_sl.idcase":
            row["idcase"] = str(key)
        own = {"nhistory": f"2026-{key}", "xkey": f"{account['xkey'][:-12]}{key:012d}"}
        row |= {name: value for name, value in own.items() if row.get(name) == account.get(name)}
    return made


def _parts_agree(made: Document) -> None:
    """Parts and services of an account with a wrong sum: the sums of form must not speak before those of sense."""
    total = made[ACCOUNT][0]["sumv"]
    for table, columns in (("sl", ("tarif", "sum_m")), ("usl", ("tarif", "sumv_usl"))):
        for row in made.get(table, [])[:1]:
            row |= dict.fromkeys(columns, total)


def _moved(made: Document, last: date) -> None:
    """The example in the last days of a rule that is no longer in force: care ends on ``last``."""
    ends = [row["date_z_2"] for row in made[ACCOUNT] if row.get("date_z_2")]
    shift = max(ends) - last if ends else timedelta()
    for table, listed in made.items():
        for row in listed if table != PERSON else []:
            row |= {name: value - shift for name, value in row.items() if isinstance(value, date)}
    for row in made.get("sl", []):
        if ends and row.get("ver_ksg") == str(max(ends).year):
            row["ver_ksg"] = str(last.year)
    for row in made.get(REGISTER, []):
        row |= {"year": last.year, "month": last.month}
        if "filename" in row:
            row["filename"] = _of_month(row["filename"], last)


def _of_month(filename: str, day: date) -> str:
    return re.sub(r"_\d{4}", f"_{day:%y%m}", filename or "")


def _named(head: Row, usual: Row) -> None:
    """FILENAME out of its parts, where an example states those."""
    stated = [head.get(part) for part in _PARTS]
    if "pi" in head and stated != [usual.get(part) for part in _PARTS]:
        kind = re.match("[A-Z]*?(?=[MTS])", usual["filename"])
        name = "{}{}{}{}{}_{}{}1".format(kind[0] if kind else "", *stated)
        head["filename"] = name


def _word(number: int) -> str:
    return "".join(_LETTERS[int(digit)] for digit in str(number))


def _attributes(profile: Profile, _type_md: str, rows: Document, _usual: Row) -> dict[str, bytes]:
    layout = load_layout(profile.rules, profile.id, profile.data["layout"])
    head = rows[REGISTER][0]
    people = [{**row, "up_n": head["n"]} for row in rows[PERSON]]
    return {"main": attribute_document(layout, {**rows, PERSON: people, "ds": list(_diagnoses(rows))})}


def _diagnoses(rows: Document) -> Iterable[Row]:
    """Rows of diagnoses, where an example says the main one of its account only."""
    main = {row["n"]: row.get("ds1") for row in rows[ACCOUNT]}
    for row in rows.get("ds", []):
        if row.get("ds_type") != "1":
            yield row
        elif main[row["up_n"]] is not None:
            yield {**row, "mkb": main[row["up_n"]]}


def _elements(profile: Profile, type_md: str, rows: Document, usual: Row) -> dict[str, bytes]:
    """Main document and file L; every account is a record with its person."""
    kind = {"X": "D"}.get(type_md, type_md)
    period = f"{usual['year']}-{usual['month']:02d}"
    version = rows[REGISTER][0].get("version")
    known = {row["version"] for row in elements.index(profile.rules, profile.id)}
    main = elements.nearest(profile.rules, profile.id, kind, "from_mo", version if version in known else "3.2", period)
    stated = {name: value for name, value in rows[REGISTER][0].items() if value != usual.get(name)}
    l_version = str(stated.get("l_version") or "3.2")
    persons = elements.nearest(profile.rules, profile.id, "L", "from_mo", l_version, period)
    by_n = {row["n"]: row for row in rows[PERSON]}
    spread: Document = {table: [dict(row) for row in listed] for table, listed in rows.items() if table != PERSON}
    head = spread[REGISTER][0]
    head |= {"n": 1, "up_n": 0}
    if head.get("version") == usual.get("version"):
        head["version"] = main.version
    spread["zap"] = []
    for n, account in enumerate(spread[ACCOUNT], 1):
        person = by_n[account["up_n"]]
        record = {**person, "n": account["n"], "up_n": 1, "npolis": _policy(person, main)}
        record["n_zap"] = str(n) if person.get("n_zap") == "1" else person.get("n_zap")
        record.setdefault("pr_nov", account.get("pr_nov") or "0")
        spread["zap"].append(record)
        account["up_n"] = account["n"]
        _into_first_case(account, spread, main)
    _services(spread, main)
    listed = {REGISTER: spread[REGISTER], "l_register": [_persons_head(spread[REGISTER][0], persons.version, stated)]}
    listed["l_pers"] = [{**row, "up_n": 1} for row in _once(rows[PERSON])]
    listed["l_dost"] = list(_letters(rows[PERSON], "dost"))
    listed["l_dost_p"] = list(_letters(rows[PERSON], "dost_p"))
    return {"main": element_document(main, spread), "persons": element_document(persons, listed)}


def _policy(person: Row, layout: elements.Layout) -> Any:
    """NPOLIS: where the layout has ENP, a single policy is said there."""
    if "npolis_own" in person:
        return person["npolis_own"]
    has_enp = any(one.name == "ENP" for one in layout.elements.values())
    return None if has_enp and person.get("vpolis") == "3" else person.get("npolis")


def _into_first_case(account: Row, spread: Document, layout: elements.Layout) -> None:
    """What an example says of the account, and the document says of its case, goes into the first case."""
    own = {one.column for one in layout.elements.values() if one.table == ACCOUNT}
    cases = [row for row in spread.get("sl", []) if row["z_sl_n"] == account["n"]]
    for row in cases[:1]:
        for column in ("ds1", "prvs", "profil", "iddokt", "nhistory", "det", "p_cel", "c_zab", "ds_onk", "comentsl"):
            if column not in own and account.get(column) is not None and column not in row:
                row[column] = account[column]


def _services(spread: Document, layout: elements.Layout) -> None:
    """Since 3.2 who gave a service stands in a group of its own."""
    if not any(one.table == "mr_usl_n" for one in layout.elements.values()) or spread.get("mr_usl_n"):
        return
    spread["mr_usl_n"] = [
        {"n": row["n"], "up_n": row["n"], "mr_n": 1, "prvs": row.get("prvs"), "code_md": row.get("code_md")}
        for row in spread.get("usl", [])
        if row.get("prvs") or row.get("code_md")
    ]


def _persons_head(head: Row, version: str, stated: Row) -> Row:
    usual = {
        "version": version,
        "data": head["data"],
        "filename": f"L{(head['filename'] or '')[1:]}",
        "filename1": head["filename"],
    }
    own = {"version": "l_version", "data": "l_data", "filename": "l_filename", "filename1": "l_main"}
    return {"n": 1, "up_n": 0, **{name: stated.get(own[name], value) for name, value in usual.items()}}


def _once(listed: Iterable[Row]) -> Iterable[Row]:
    return {row["id_pac"]: row for row in listed}.values()


def _letters(listed: Iterable[Row], column: str) -> Iterable[Row]:
    """``12`` of a column is two rows below the person."""
    for row in listed:
        for place, letter in enumerate(row.get(column) or "", 1):
            yield {"n": row["n"] * STRIDE + place, "up_n": row["n"], column: letter}
