"""The answer as every format writes it: what is asked of a writer, and what it tells back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO

from oms_batch.exchange import Payer, Profile
from oms_batch.model import NamedFile
from oms_batch.reply.marks import Codes, Texts

OpenOut = Callable[[str], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True, slots=True)
class Ask:
    """One file of an answer.

    ``name`` is what it will be called, ``told`` the parts of that name; ``keep`` a SQL boolean over ``z_sl`` and
    verdicts ``v``; with ``mark`` the verdicts are put in. ``payer`` where the file is for one.
    """

    named: NamedFile
    told: NamedFile
    keep: str
    mark: bool
    payer: Payer | None
    profile: Profile
    texts: Texts
    codes: Codes
    received_at: datetime
    own: Mapping[str, str]
    encoding: str = "windows-1251"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stage(self) -> str:
        return self.told.stage


@dataclass(frozen=True, slots=True)
class Part:
    """Accounts and kopecks of a part: claimed and accepted, and both per ``type_acc`` where the format has it."""

    accounts: int
    claimed: int
    accepted: int
    types: dict[str, tuple[int, int]] = field(default_factory=dict)
