"""The log carries codes and counts, and nothing else gets in."""

from __future__ import annotations

import ast
import io
import json
import logging
from collections.abc import Iterator

import pytest

from oms_batch import logs
from tests.source import dotted, modules


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    logger = logging.getLogger("oms_batch")
    before = list(logger.handlers), logger.level, logger.propagate
    stream = io.StringIO()
    logs.start(stream)
    yield stream
    logger.handlers[:], logger.level, logger.propagate = before[0], before[1], before[2]


def test_an_event_is_one_json_line(written: io.StringIO) -> None:
    logs.event("answered", job=7, accounts=120, stage="3", file="1027600000108760401001180913X.7z")
    logs.event("file_access", level="error", errno=13)
    first, second = map(json.loads, written.getvalue().splitlines())
    assert first["event"] == "answered"
    assert first["job"] == 7
    assert first["file"] == "1027600000108760401001180913X.7z"
    assert second["level"] == "error"


def test_personal_data_does_not_get_in(written: io.StringIO) -> None:
    logs.event("Иванов", surname="IVANOV", code="Иванов Иван", file="a b\n{}", partner="x" * 81)
    text = written.getvalue()
    assert "IVANOV" not in text
    record = json.loads(text)
    assert (record["event"], record["code"], record["file"], record["partner"]) == ("?", "?", "?", "?")
    assert "surname" not in record
    assert len(text.splitlines()) == 1


def test_every_call_in_the_source_uses_listed_keys() -> None:
    seen = 0
    faults = []
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and dotted(node.func) == "logs.event":
                seen += 1
                faults += [
                    f"{module.name}:{node.lineno}: {key.arg}"
                    for key in node.keywords
                    if key.arg != "level" and key.arg not in logs.KEYS
                ]
    assert seen > 5, "the guard sees no calls"
    assert faults == []


def test_nobody_logs_or_prints_another_way() -> None:
    faults = [
        f"{module.name}:{node.lineno}"
        for module in modules()
        if module.name != "logs"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and (dotted(node.func) == "print" or dotted(node.func).startswith(("logging.", "warnings.")))
    ]
    assert faults == []
