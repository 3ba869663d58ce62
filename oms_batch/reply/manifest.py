"""Manifests as bytes: JSON that is the same for the same content, and their text for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from oms_batch.i18n import _
from oms_batch.reply import people


def as_json(data: Mapping[str, Any]) -> bytes:
    """UTF-8 JSON in the given order of keys, Cyrillic readable, with a line end."""
    return (json.dumps(data, ensure_ascii=False, indent=2, default=_plain) + "\n").encode("utf-8", "backslashreplace")


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} does not belong into a manifest")


def reformulation_text(data: Mapping[str, Any], lang: str = "ru") -> str:
    """The manifest of a reformulation for reading: what was left out, what stayed."""
    with people.speaking(lang):
        lines = [
            _("Reformulated: {file}").format(file=data["file"]),
            _("Accounts: {before} before, {after} after").format(
                before=people.number(data["before"]["accounts"]), after=people.number(data["after"]["accounts"])
            ),
            _("Roubles: {before} before, {after} after").format(
                before=data["before"]["sum"], after=data["after"]["sum"]
            ),
            _("Kept accounts are byte for byte those of the fund's file."),
            "",
        ]
        if data["excluded"]:
            lines.append(_("Left out because the fund refused them:"))
        for one in data["excluded"]:
            row = _("  account {idcase}: defect {code}, {sum} roubles").format(
                idcase=one["idcase"], code=one["code"] or "-", sum=one["sum"]
            )
            lines.append(people.clean(row))
        return "\n".join(lines) + "\n"
