"""Who may send which stage to whom: a file's name and folder become one line of the profile.

Default is deny: what no line of the profile allows is refused (ROLE_STAGE), and what comes
through another organisation's folder is set aside (SENDER_MISMATCH).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from oms_batch.errors import Problem, Refusal, refuse
from oms_batch.exchange import FUND, INSURER, MO, PAYER, ROLES, Hop, Profile
from oms_batch.model import NamedFile
from oms_batch.settings import Partner, Party, Settings

Direction = Literal["in", "out"]


class SetAside(Refusal):
    """A file that is kept for the operator and answered to nobody."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a file belongs: the line of the profile, and the partner at its other end."""

    hop: Hop
    direction: Direction
    partner: Partner | None

    @property
    def sender(self) -> str:
        return "self" if self.direction == "out" else (self.partner.folder if self.partner else "operator")

    @property
    def receiver(self) -> str:
        return "self" if self.direction == "in" else (self.partner.folder if self.partner else "operator")


def route(named: NamedFile, folder: str, settings: Settings, profile: Profile) -> Route:
    """The line for a file found in ``inbox/<folder>`` (empty: the operator's own drop).

    Raises ``Refusal`` ROLE_STAGE and ``SetAside`` SENDER_MISMATCH.
    """
    if folder:
        partner = settings.by_folder(folder)
        if partner is None:
            raise SetAside(Problem("SENDER_MISMATCH", folder))
        _sender_is_owner(named, partner, settings)
        hop = _incoming(named, _parties(partner, partner.role, named), settings, profile)
        if hop is None:
            raise refuse("ROLE_STAGE", named.suffix)
        return Route(hop, "in", partner)
    return _operators(named, settings, profile)


def _operators(named: NamedFile, settings: Settings, profile: Profile) -> Route:
    """The operator's own drop: a partner's file brought by hand, else a register of our own to send."""
    for partner in settings.partner:
        if _owner_problem(named, partner, settings):
            continue
        hop = _incoming(named, _parties(partner, partner.role, named), settings, profile)
        if hop is not None:
            return Route(hop, "in", partner)
    for party in own_parties(named, settings):
        line = profile.send(named.stage, party)
        if line is not None and (party == MO or not line.source):
            if party == MO and named.mo not in settings.own.mo_codes:
                raise SetAside(Problem("SENDER_MISMATCH", "own"))
            return Route(line, "out", recipient(line, named, settings))
    raise refuse("ROLE_STAGE", named.suffix)


def recipient(line: Hop, named: NamedFile, settings: Settings) -> Partner | None:
    """The partner who gets a file of this line: by party, by payer letter, or by the MO's codes."""
    for partner in settings.partner:
        if line.receiver not in _parties(partner, partner.role, named):
            continue
        if line.receiver == MO and named.mo not in partner.mo_codes:
            continue
        return partner
    return None


def own_parties(named: NamedFile, settings: Settings) -> tuple[str, ...]:
    """As whom we may act on this file: our role, and *payer* where the letter is ours."""
    return _parties(settings.own, settings.role, named)


def _parties(one: Party, role: str, named: NamedFile) -> tuple[str, ...]:
    party = ROLES[role]
    acts_as_payer = party in (FUND, INSURER) and named.payer in one.payer_codes
    # a name that tells another fund makes this one a payer at most
    other = party == FUND and bool(one.code) and named.parts.get("fund", one.code) != one.code
    return (*(() if other else (party,)), *((PAYER,) if acts_as_payer else ()))


def _incoming(named: NamedFile, senders: tuple[str, ...], settings: Settings, profile: Profile) -> Hop | None:
    receivers = own_parties(named, settings)
    lines = (profile.hop(named.stage, sender, receiver) for sender in senders for receiver in receivers)
    return next((line for line in lines if line is not None), None)


def _sender_is_owner(named: NamedFile, partner: Partner, settings: Settings) -> None:
    if problem := _owner_problem(named, partner, settings):
        raise SetAside(problem)


def _owner_problem(named: NamedFile, partner: Partner, settings: Settings) -> Problem | None:
    """The codes in the name must be the folder owner's: the MO's own, ours at the MO, the payer's, the fund's."""
    party, role = ROLES[partner.role], ROLES[settings.role]
    whose = partner if party == MO else settings.own if role == MO else None
    if whose is not None and named.has_mo and named.mo not in whose.mo_codes:
        return Problem("SENDER_MISMATCH", partner.folder)
    if party == INSURER and named.payer not in partner.payer_codes:
        return Problem("SENDER_MISMATCH", partner.folder)
    if party == role == FUND:  # between funds a name tells both: the one that sends is one of them
        return None if _parties(partner, partner.role, named) else Problem("SENDER_MISMATCH", partner.folder)
    fund = partner if party == FUND else settings.own if role == FUND else None
    if fund is not None and fund.code and named.parts.get("fund", fund.code) != fund.code:
        return Problem("SENDER_MISMATCH", partner.folder)
    return None
