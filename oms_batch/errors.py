"""Three kinds of trouble, told apart in one place: their file, our set-up, our fault.

Texts of problem codes are data (``rules/common/problems.toml``); a problem carries
only its code, its place and counts. It never carries a field value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a file cannot be judged.

    ``code`` is stable (``XML_SYNTAX``); ``place`` says where (byte, line, member, element);
    ``expected`` and ``found`` hold counts, sums, sizes or codes, never personal data.
    """

    code: str
    place: str = ""
    expected: str = ""
    found: str = ""


class Refusal(Exception):
    """Their file: it is answered with a protocol, and its bytes are kept."""

    def __init__(self, problems: Problem | Sequence[Problem], total: int | None = None) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        self.total = len(self.problems) if total is None else total
        super().__init__(", ".join(problem.code for problem in self.problems[:5]))

    @property
    def code(self) -> str:
        return self.problems[0].code


def refuse(code: str, place: str = "", *, expected: object = "", found: object = "") -> Refusal:
    """A refusal with one problem; ``raise refuse("ZIP_CRC", member)``."""
    return Refusal(Problem(code, place, str(expected), str(found)))


class SetupError(Exception):
    """Our set-up: a setting, a rule, a reference book. Nothing is answered until it is mended."""


class WrongState(Exception):
    """What was asked cannot be done now; ``code`` says why (``STAGE_ORDER``)."""

    def __init__(self, code: str, detail: str = "") -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}" if detail else code)


class Fault(Exception):
    """Our own fault: a broken invariant. The job stops, nothing leaves."""
