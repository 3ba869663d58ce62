"""The canonical tables of a profile, read from its layout: columns, types, who is whose parent.

The layout (``rules/<profile>/layouts/<layout>.csv``) is the only source: an element row with a
table starts a row of that table, an attribute row is a column of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from oms_batch.errors import SetupError
from oms_batch.formats import canon
from oms_batch.judge.sqlguard import Parts
from oms_batch.ruledata import RuleData

ACCOUNT, PERSON, REGISTER = "z_sl", "pers", "register"
SQL_TYPES = {
    "text": "VARCHAR",
    "code": "VARCHAR",
    "date": "DATE",
    "money": "BIGINT",
    "quantity": "DECIMAL(12,2)",
    "int": "BIGINT",
}
_KEYS = {"n": "BIGINT", "up_n": "BIGINT", "z_sl_n": "BIGINT", "line": "INTEGER"}
# Columns that reading derives and no attribute carries.
_DERIVED: dict[str, dict[str, str]] = {
    PERSON: {"byte_from": "BIGINT", "byte_to": "BIGINT", "accounts_from": "BIGINT", "accounts_to": "BIGINT"},
    ACCOUNT: {
        "ds1": "VARCHAR",
        "sumv": "BIGINT",
        "sump": "BIGINT",
        "pers_n": "BIGINT",
        "byte_from": "BIGINT",
        "byte_to": "BIGINT",
        "digest": "VARCHAR",
    },
    "usl": {"sumv_usl": "BIGINT", "sump_usl": "BIGINT"},
}
# What the judge itself puts beside the register.
IDENT: dict[str, str] = {
    "z_sl_n": "BIGINT",
    "pers_n": "BIGINT",
    "step": "VARCHAR",
    "insured_n": "BIGINT",
    "smo": "VARCHAR",
    "payer": "VARCHAR",
    "found": "BOOLEAN",
    "ambiguous": "BOOLEAN",
    "in_force": "BOOLEAN",
    "npolis_right": "VARCHAR",
    "spolis_right": "VARCHAR",
    "vpolis_right": "VARCHAR",
    "begin_right": "DATE",
    "end_right": "DATE",
    "fam_right": "VARCHAR",
    "im_right": "VARCHAR",
    "ot_right": "VARCHAR",
    "dr_right": "DATE",
    "w_right": "VARCHAR",
    "person_differs": "BOOLEAN",
    "policy_differs": "BOOLEAN",
    "differs": "VARCHAR",
    "vector": "VARCHAR",
    "cancelled": "BOOLEAN",
    "cancelled_on": "DATE",
    "listed": "BOOLEAN",
    "doubt": "BOOLEAN",
    "paid_on": "DATE",
}
FACTS: dict[str, str] = {
    "ogrn_mo": "VARCHAR",
    "kpp_mo": "VARCHAR",
    "register": "VARCHAR",
    "xkey": "VARCHAR",
    "x_key2": "VARCHAR",
    "person_key": "VARCHAR",
    "npolis": "VARCHAR",
    "usl_ok": "VARCHAR",
    "date_z_1": "DATE",
    "date_z_2": "DATE",
    "ds1": "VARCHAR",
    "profil": "VARCHAR",
    "sumv": "BIGINT",
    "state": "VARCHAR",
    "pr_nov": "VARCHAR",
    "seq": "BIGINT",
    # Since the second edition of facts; older files have NULL here.
    "period": "VARCHAR",  # YYYY-MM of the register
    "payer": "VARCHAR",
    "lpu": "VARCHAR",
    "podr": "VARCHAR",
    "vidpom": "VARCHAR",
    "for_pom": "VARCHAR",
    "kind": "VARCHAR",  # kind of register where the exchange has one (vg)
    "disp": "VARCHAR",  # type of check-up
    "p_cel": "VARCHAR",
    "idsp": "VARCHAR",
    "n_ksg": "VARCHAR",
    "codes": "VARCHAR",  # codes of its services, sorted, with | between
    "det": "VARCHAR",
    "novor": "VARCHAR",
    "prvs": "VARCHAR",
    "iddokt": "VARCHAR",
    "nhistory": "VARCHAR",
    "kd": "BIGINT",  # days of stay as billed
    "rslt": "VARCHAR",
    "rslt_d": "VARCHAR",
    "ishod": "VARCHAR",
    "money": "BIGINT",  # kopecks claimed without what the sender withheld itself
    "live": "BOOLEAN",  # stands as far as we know: not refused
}
# The accounts of the register that is judged, told as facts will tell them: all columns but those of the outcome.
OUTCOME = ("register", "state", "seq", "payer", "live")
HERE: dict[str, str] = {"z_sl_n": "BIGINT", **{name: kind for name, kind in FACTS.items() if name not in OUTCOME}}
# Caps of one organisation and month, as the book ``volumes`` says them, and the accounts that do not fit under them.
VOLUMES: dict[str, str] = {
    "mo": "VARCHAR",
    "usl_ok": "VARCHAR",
    "vidpom": "VARCHAR",
    "profil": "VARCHAR",
    "month": "VARCHAR",
    "volume": "BIGINT",
    "money": "BIGINT",
}
OVER_CAP: dict[str, str] = {"z_sl_n": "BIGINT", "what": "VARCHAR", "line": "BIGINT", "shown": "VARCHAR"}
FINDINGS: dict[str, str] = {
    "rule": "VARCHAR",
    "run_pass": "VARCHAR",
    "severity": "VARCHAR",
    "unit": "VARCHAR",
    "n": "BIGINT",
    "z_sl_n": "BIGINT",
    "pers_n": "BIGINT",
    "element": "VARCHAR",
    "value": "VARCHAR",
    "line": "INTEGER",
    "refuses": "VARCHAR",
}
IDENT_AND_FACTS = ("ident", "facts", "person_of", "param", "here", "over_cap")
PARAM: dict[str, str] = {"name": "VARCHAR", "value": "VARCHAR"}


@dataclass(frozen=True)
class Tables:
    """Tables of one layout: ``columns[table][column] -> SQL type``, ``parents[table] -> table``.

    ``optional`` holds (table, column) of what the layout does not require. ``same`` maps tables and ``table.column`` of
    the shared rules to what stands for them here (``[same]`` of the profile). ``attributes``: ``patient/@surname`` ->
    ``pers.fam``, where elements have other names in the file. ``type_of``: SQL over the account that gives its type
    (TYPE_MD), where one file carries accounts of several.
    """

    columns: Mapping[str, Mapping[str, str]]
    parents: Mapping[str, str]
    optional: frozenset[tuple[str, str]]
    same: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    type_of: str = ""

    def chain(self, table: str) -> list[str]:
        """The table and its ancestors, nearest first: ``usl, z_sl, pers, register``."""
        found = [table]
        while (above := self.parents.get(found[-1])) and above not in found:
            found.append(above)
        return found

    def name_of(self, table: str, element: str) -> str:
        """``table.column`` of an element as findings of reading name it."""
        return self.attributes.get(element) or f"{table}.{element.rsplit('/', 1)[-1].lower()}"

    def lacks(self, on: str, parts: Parts) -> bool:
        """Whether a text speaks of a table or column that this layout has not."""
        beside = set(IDENT_AND_FACTS)
        missing = {on, *(table for table in parts.tables if not table.startswith("book_"))} - set(self.columns) - beside
        known = ((table, column) for table, column in parts.columns if table in self.columns)
        return bool(missing) or any(column not in self.columns[table] for table, column in known)

    def ddl(self, table: str) -> str:
        """``CREATE TABLE`` of one table."""
        return create_table(table, self.columns[table])


def create_table(table: str, columns: Mapping[str, str]) -> str:
    """``CREATE OR REPLACE TABLE`` with these columns."""
    inner = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
    return f'CREATE OR REPLACE TABLE "{table}" ({inner})'


@lru_cache(maxsize=8)
def load_tables(rules: RuleData, profile: str) -> Tables:
    """Tables of the layout that the profile names; ``SetupError`` when the layout is not there."""
    if canon.has_canon(rules, profile):
        return _canonical(canon.describe(rules, profile), rules.toml(f"{profile}/profile.toml").get("same", {}))
    data = rules.toml(f"{profile}/profile.toml")
    layout = data.get("layout", "")
    name = f"{profile}/layouts/{layout}.csv"
    rows = rules.table(name)
    elements = {row["path"]: row["table"] for row in rows if row["kind"] == "element" and row["table"]}
    columns: dict[str, dict[str, str]] = {table: dict(_KEYS) for table in elements.values()}
    optional: set[tuple[str, str]] = set()
    attributes: dict[str, str] = {}
    loose = {row["path"] for row in rows if row["kind"] == "element" and (row["mark"] != "О" or row["vg"])}
    for row in rows:
        if row["kind"] != "attribute" or not row["table"]:
            continue
        kind = SQL_TYPES.get(row["type"])
        if kind is None:
            raise SetupError(f"{name}: {row['path']}: unknown type")
        columns.setdefault(row["table"], dict(_KEYS))[row["column"]] = kind
        attributes[f"{row['path'].rsplit('/', 1)[-1]}/@{row['name']}"] = f"{row['table']}.{row['column']}"
        if row["mark"] != "О" or _folded_loosely(row["path"], elements, loose):
            optional.add((row["table"], row["column"]))
    for table, derived in _DERIVED.items():
        if table in columns:
            columns[table].update(derived)
            optional.update((table, column) for column in derived if column.startswith(("sum", "ds")))
    type_of = data.get("official", {}).get("type_of", "")
    parents = {table: above for path, table in elements.items() if (above := _above(path, elements)) and above != table}
    return Tables(columns, parents, frozenset(optional), data.get("same", {}), attributes, type_of)


def _canonical(found: canon.Canon, same: Mapping[str, str]) -> Tables:
    """Tables that a script makes: anything in them but the keys may be absent."""
    optional = {(table, name) for table, columns in found.columns.items() for name in columns if name not in _KEYS}
    return Tables(found.columns, found.parents, frozenset(optional), same)


def _folded_loosely(path: str, elements: Mapping[str, str], loose: set[str]) -> bool:
    """Whether a required attribute belongs to an element that may itself be absent from the row above it."""
    while path not in elements and "/" in path:
        if path in loose:
            return True
        path = path.rsplit("/", 1)[0]
    return False


def _above(path: str, elements: Mapping[str, str]) -> str:
    while "/" in path:
        path = path.rsplit("/", 1)[0]
        if path in elements:
            return elements[path]
    return ""
