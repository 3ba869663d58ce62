"""The layout holds the whole structure of the protocol, and a broken layout does not load."""

from __future__ import annotations

import csv
import os

import duckdb
import pytest

from oms_batch.errors import SetupError
from oms_batch.formats.layout import load_layout
from oms_batch.ruledata import RuleData
from tests.read_docs import LAYOUT, RULES

STRUCTURE = os.environ.get("OMS_REFERENCE_DATA", "") + "/regional/yaroslavl_reestr_6.15_structure.csv"
PATIENTS = "/package/body/bill/patients"


@pytest.mark.skipif(not os.path.isfile(STRUCTURE), reason="OMS_REFERENCE_DATA is not set: the layout is not compared")
def test_every_element_and_attribute_of_the_structure_is_there() -> None:
    with open(STRUCTURE, encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if not row["path"].startswith("#")]
    assert len(rows) > 500
    seen = set()
    for row in rows:
        path = (PATIENTS if row["path"].startswith("/patient") else "") + row["path"]
        node = LAYOUT.nodes[path]
        seen.add(path)
        if row["kind"] == "attribute":
            assert node.fields[row["attribute"]].required == (row["required"] == "1"), path
            seen.add(f"{path}@{row['attribute']}")
            continue
        # A zero register has no patients at all, so their presence is not required.
        assert node.required == (row["required"] == "1") or node.name == "patient", path
        assert node.multiple or row["multiple"] != "1", path
        kinds = (row["only_for"] or "").partition("=")[2]
        assert node.vg == frozenset(filter(None, kinds.split("|"))), path
    ours = {*LAYOUT.nodes, *(f"{path}@{name}" for path, node in LAYOUT.nodes.items() for name in node.fields)}
    assert ours == seen


def test_what_the_seed_of_the_exchange_needs_is_there() -> None:
    account = LAYOUT.nodes[PATIENTS + "/patient/register_accounts/personal_account"]
    assert (account.table, account.multiple, account.fields["xkey"].column) == ("z_sl", True, "xkey")
    assert account.fields["help_cond"].column == "usl_ok"
    assert account.kids["smo"].fields["pay"].table == "z_sl"
    assert (
        LAYOUT.nodes[account.path + "/manipulations/manipulation/an_tariffs/an_tariff"].fields["сomment"].column
        == "comment"
    )
    assert account.kids["consiliums"].vg == {"1", "2"}
    assert {"register", "sum_t", "pers", "z_sl", "z_sl_sum", "ds", "usl", "usl_sum", "an_ps", "flk_fact"} <= set(
        LAYOUT.tables
    )


def test_the_tables_can_be_written_in_sql_without_quotes() -> None:
    con = duckdb.connect()
    for table, fields in LAYOUT.tables.items():
        con.execute(f"CREATE TABLE {table} (n BIGINT, {', '.join(f'{one.column} VARCHAR' for one in fields)})")
        con.execute(f"SELECT {', '.join(f'{table}.{one.column}' for one in fields)} FROM {table}")


HEAD = "path;kind;name;table;column;type;size;mark;multiple;vg;note\n"
GOOD = "/a;element;a;t;;;;О;;;\n/a;attribute;x;t;x;text;5;О;;;\n"


@pytest.mark.parametrize(
    "line",
    [
        "/a;attribute;x;t;y;text;5;О;;;",  # the attribute again
        "/a;attribute;y;t;x;text;5;О;;;",  # the column again
        "/a;attribute;y;t;y;float;5;О;;;",  # no such type
        "/a;attribute;y;t;y;text;;О;;;",  # no size
        "/a;attribute;y;t;y;quantity;5;О;;;",  # no decimals
        "/a;attribute;y;t;y;text;5;X;;;",  # no such mark
        "/a;attribute;y;other;y;text;5;О;;;",  # no such table
        "/b/c;element;c;;;;;О;;;",  # no parent
        "/a/c;element;d;;;;;О;;;",  # another name
        "/a;element;a;t;;;;О;;;",  # the element again
        "/a/c;element;c;;;;;О;1;;\n/a/c;attribute;y;t;y;text;5;О;;;",  # repeats without a table
        "/a/c;element;c;u;;;;О;;;\n/a/c;attribute;y;t;y;text;5;О;;;",  # into another row
        "/a;attr;y;t;y;text;5;О;;;",
    ],
)
def test_a_broken_layout_does_not_load(tmp_path: object, line: str) -> None:
    folder = f"{tmp_path}/p/layouts"
    os.makedirs(folder)
    for body, good in ((HEAD + GOOD, True), (HEAD + GOOD + line + "\n", False)):
        with open(f"{folder}/l.csv", "w", encoding="utf-8") as stream:
            stream.write(body)
        if good:
            assert load_layout(RuleData(str(tmp_path)), "p", "l").root.fields["x"].size == 5
        else:
            with pytest.raises(SetupError):
                load_layout(RuleData(str(tmp_path)), "p", "l")
    assert RULES.exists("yaroslavl/layouts/reestr_6_15.csv")
