"""An answer of the federal form, written in a test: the profile's part of it and where its members go."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any, BinaryIO

import duckdb
import pytest
from lxml import etree

from oms_batch.exchange import Payer, Profile
from oms_batch.intake import names
from oms_batch.reply import federal
from oms_batch.reply.answers import Ask, Part
from oms_batch.reply.marks import Codes, RuleText, Texts
from oms_batch.ruledata import RuleData
from tests.federal_documents import PROFILE, Pair

XSD = os.environ.get("OMS_REFERENCE_DATA", "") + "/xsd"
needs_schemas = pytest.mark.skipif(
    not os.path.isdir(XSD), reason="OMS_REFERENCE_DATA is not set: answers are not held against the schemas"
)
PARTIES = {
    "TM": "T76M760001",
    "MS": "M760001S76001",
    "SM": "S76001M760001",
    "ST": "S76001T76",
    "TS": "T76S76001",
    "VMT": "M760001T76",
    "AMT": "M760001T76",
}
CODES = Codes(refused="2", partly="3", accepted="1")
TEXTS = Texts(
    {
        "K.1": RuleText("K.1", "Диагноз не оплачивается", mark="an_mes", defect="not_paid", element="sl.ds1"),
        "K.2": RuleText("K.2", "Повтор " + "я" * 300, mark="an_sum", defect="double", element="z_sl.idcase"),
        "F.1": RuleText("F.1", "Пол <указан> & неверно", mark="flk", defect="wrong", element="pers.w"),
    },
    {
        "not_paid": [(date(2011, 1, 1), date(2021, 5, 24), "5.3.1", "61"), (date(2021, 5, 25), None, "1.6.1", "211")],
        "double": [(date(2021, 5, 25), None, "1.10.1", "221")],
        "wrong": [(date(2021, 5, 25), None, "1.4.4", "207")],
    },
    {"255": RuleText("255", "Не выполнены вмешательства")},
)
AT = datetime(2026, 2, 5, 7, 30, tzinfo=UTC)
PAYER = Payer("76001", "76001", "1027600000405", "Пример", "insurer", date(2011, 1, 1), None)


def profile(combine: str, rules: RuleData | None, final: Mapping[str, str] | None = None) -> Profile:
    """The federal profile, with what counts of several decisions."""
    return Profile(PROFILE.id, {**PROFILE.data, "final": {"combine": combine, **(final or {})}}, rules or PROFILE.rules)


def answer(
    con: duckdb.DuckDBPyConnection,
    pair: Pair,
    *,
    stage: str = "TM",
    name: str = "",
    keep: str = "true",
    mark: bool = True,
    payer: Payer | None = None,
    combine: str = "sum",
    encoding: str = "windows-1251",
    rules: RuleData | None = None,
    final: Mapping[str, str] | None = None,
) -> tuple[bytes, bytes, Part]:
    """Both documents of the answer, and what they come to."""
    made: dict[str, bytes] = {}

    @contextmanager
    def open_out(member: str) -> Iterator[BinaryIO]:
        out = io.BytesIO()
        yield out
        made[member] = out.getvalue()

    stem = name or f"{pair.kind}{PARTIES[stage]}_26011"
    ask = Ask(
        named=names.identify(f"{pair.name}.zip", PROFILE),
        told=names.identify(f"{stem}.zip", PROFILE),
        keep=keep,
        mark=mark,
        payer=payer,
        profile=profile(combine, rules, final),
        texts=TEXTS,
        codes=CODES,
        received_at=AT,
        own={},
        encoding=encoding,
    )
    sources = {"main": io.BytesIO(pair.main), "persons": io.BytesIO(pair.persons)}
    part = federal.write(con, sources, open_out, ask)
    assert ask.stage == stage
    assert list(made) == [f"{stem}.XML", f"L{'' if pair.kind == 'H' else pair.kind[-1]}{stem[len(pair.kind) :]}.XML"]
    main, persons = made.values()
    return main, persons, part


def accepted_by(schema: str, raw: bytes) -> str:
    """Empty, or why a schema of the reference data does not accept a document."""
    known = etree.XMLSchema(etree.parse(f"{XSD}/{schema}.xsd"))
    valid = known.validate(etree.ElementTree(etree.fromstring(raw)))
    return "" if valid else str(known.error_log)


def parsed(raw: bytes) -> Any:
    """The tree of a document, as another parser sees it."""
    return etree.fromstring(raw)
