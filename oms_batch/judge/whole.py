"""All rules that a profile runs on any of its lines, whoever runs them: for lists, texts and pages about rules."""

from __future__ import annotations

from oms_batch.exchange import Profile
from oms_batch.judge import rulebook
from oms_batch.judge.rule import Rule


def rules_of(profile: Profile) -> tuple[Rule, ...]:
    """The rules of all lines of a profile after its overlay, sorted by code.

    ``SetupError`` as the rulebook raises it.
    """
    sets = list(dict.fromkeys(name for line in (*profile.hops, *profile.sends) for name in line.rules))
    return rulebook.load(profile.rules, sets, profile.id).rules if sets else ()
