"""Small registers in memory for the tests of judging, and rules laid over the shipped ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from oms_batch.judge.books import load_for
from oms_batch.judge.engine import run
from oms_batch.judge.example import document, insert_sql, load_bases, numbered
from oms_batch.judge.rule import Example
from oms_batch.judge.rulebook import Rulebook, load
from oms_batch.judge.tables import FACTS, FINDINGS, IDENT, create_table
from oms_batch.model import PlanRow
from oms_batch.ruledata import RuleData

SET = "yaroslavl/mine"
RULE: dict[str, Any] = {
    "code": "K.76.9010",
    "title": "Сумма не та",
    "severity": "reject",
    "defect": "sum_wrong",
    "basis": "test",
    "checked_on": "2026-11-21",
    "run_pass": "sense",
    "on": "z_sl",
    "element": "z_sl.sumv",
    "fails_when": "COALESCE(z_sl.sumv, 0) > 100000",
    "pass": "[[pass]]\nwhy = 'ok'\n",
    "fail": "[[fail]]\nwhy = 'much'\n[fail.z_sl]\nsumv = 100001\n",
}


def put(folder: Path, name: str, text: str) -> None:
    """A file of rule data in an overlay folder."""
    target = folder.joinpath(*name.split("/"))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def put_rule(folder: Path, tail: str = "", **changes: Any) -> str:
    """A rule file in the set of the tests: ``RULE`` with changes (``None`` leaves a key out); gives its code."""
    data = {key: value for key, value in {**RULE, **changes}.items() if value is not None}
    examples = data.pop("pass", "") + data.pop("fail", "")
    lines = [f"{key} = {_toml(key, value)}" for key, value in data.items()]
    name = f"{SET}/{str(data['code']).replace('.', '_')}_is_wrong.toml"
    put(folder, name, "\n".join(lines) + "\n" + tail + "\n" + examples)
    return str(data["code"])


def _toml(key: str, value: Any) -> str:
    if key in ("valid_from", "valid_to", "checked_on"):
        return str(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(f"'{item}'" for item in value) + "]"
    return f"'''{value}'''"


def book(folder: Path) -> tuple[RuleData, Rulebook]:
    rules = RuleData(str(folder))
    return rules, load(rules, [SET])


def register(rules: RuleData, rulebook: Rulebook, *examples: dict[str, Any]) -> duckdb.DuckDBPyConnection:
    """A register in memory: each example is one person with accounts, numbers from index * 1000 + 1."""
    con = duckdb.connect(":memory:")
    for table in rulebook.tables.columns:
        con.execute(rulebook.tables.ddl(table))
    for name, columns in (("ident", IDENT), ("facts", FACTS), ("findings", FINDINGS)):
        con.execute(create_table(name, columns))
    load_for(con, rules, rulebook)
    bases = load_bases(rules, rulebook.profile)
    for i, example in enumerate(examples or ({},)):
        rows = document(Example.model_validate({"why": "test", **example}), bases, "test")
        for table, listed in numbered(rows, i, rulebook.tables, "test").items():
            if listed and not (table == "register" and i):
                columns = IDENT if table == "ident" else rulebook.tables.columns[table]
                con.execute(insert_sql(table, listed, columns))
    return con


def judged(
    folder: Path, *examples: dict[str, Any], **options: Any
) -> tuple[duckdb.DuckDBPyConnection, dict[str, PlanRow]]:
    """Run the rules of the test set over a register; the plan by code."""
    rules, rulebook = book(folder)
    con = register(rules, rulebook, *examples)
    plan = {row.code: row for row in run(con, rulebook, **options)}
    return con, plan
