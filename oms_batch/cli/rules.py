"""Commands over the rules: list, stages, explain, test."""

from __future__ import annotations

import click

from oms_batch.cli.common import DONE, FOUND, command, json_wanted, opened
from oms_batch.cli.compare import rules_compare, rules_quality
from oms_batch.cli.coverage import rules_coverage
from oms_batch.cli.desk import tell_explanations
from oms_batch.cli.texts import TextGroup, argument, option, print_json, print_table
from oms_batch.desk.explain import explain
from oms_batch.doors import handbook
from oms_batch.errors import WrongState
from oms_batch.exchange import Profile, load_profile
from oms_batch.i18n import N_, _, pick
from oms_batch.judge import proof, rulebook
from oms_batch.judge.structure_proof import prove_structure
from oms_batch.judge.whole import rules_of
from oms_batch.ruledata import RuleData


class _Places(dict[str, str]):
    """Parts of a name as they are shown: ``<mo>``."""

    def __missing__(self, key: str) -> str:
        return f"<{key}>"


@click.group("rules", cls=TextGroup, help=N_("The rules: list, explain, prove on their own examples."))
def rules_group() -> None:
    """The rules."""


def _profile(named: str = "") -> Profile:
    """The profile that is named, else that of the home, else the usual one."""
    if named:
        return load_profile(named)
    with opened(optional=True) as site:
        return site.profile if site else load_profile()


_dialect = option("--profile", default="", help=N_("The dialect; without it that of the home."))


def _sets(profile: Profile) -> list[tuple[str, tuple[str, ...]]]:
    """(who runs them, rule sets) for every line of the profile that has rules."""
    return [(line.handler, line.rules) for line in (*profile.hops, *profile.sends) if line.rules]


def _all_sets(profile: Profile) -> list[str]:
    return list(dict.fromkeys(name for _handler, sets in _sets(profile) for name in sets))


@command("list", help=N_("All rules in force, with what each refuses and why."))
@option("--set", "only", default="", help=N_("Only the rules of this set, e.g. yaroslavl/fund."))
@_dialect
def rules_list(only: str, profile: str) -> int:
    return _list(_profile(profile), only)


def _list(profile: Profile, only: str) -> int:
    book = rulebook.load(profile.rules, _all_sets(profile), profile.id)
    rows = [rule for rule in book.rules if not only or rule.set_name == only]
    if only and not rows:
        raise WrongState("CODE_UNKNOWN", only)
    if json_wanted():
        print_json(
            [
                {
                    "code": rule.code,
                    "set": rule.set_name,
                    "title": rule.title,
                    "title_en": rule.title_en,
                    "severity": rule.severity,
                    "defect": rule.defect,
                    "official": list(rule.official),
                    "basis": rule.basis,
                    "status": rule.status,
                }
                for rule in rows
            ]
        )
    else:
        head = [_("code"), _("set"), _("severity"), _("defect"), _("fault")]
        print_table(
            head, [[one.code, one.set_name, one.severity, one.defect, pick(one.title, one.title_en)] for one in rows]
        )
        click.echo(_("Rules: {n}. Rulebook: {mark}").format(n=len(rows), mark=book.fingerprint[:16]))
    return DONE


@command("stages", help=N_("The stages of the exchange: which file goes from whom to whom and what happens to it."))
@_dialect
def stages(profile: str) -> int:
    return _stages(_profile(profile))


def _stages(profile: Profile) -> int:
    rows = []
    for line in profile.hops:
        stage = profile.stages[line.stage]
        known = {"payer": profile.data["name"]["all_payers"]} if stage.payers == "all" else {}
        name = stage.name.format_map(_Places(stage=stage.code, **known))
        rows.append(
            [
                stage.code,
                name,
                line.sender,
                line.receiver,
                line.handler,
                " ".join(line.emits),
                pick(stage.title, stage.title_en),
            ]
        )
    if json_wanted():
        names = ("stage", "name", "from", "to", "handler", "emits", "title")
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        print_table([_("stage"), _("name"), _("from"), _("to"), _("what happens"), _("emits"), _("what it is")], rows)
    return DONE


@command("explain", help=N_("Everything known about one rule."))
@argument("code")
@_dialect
def rules_explain(code: str, profile: str) -> int:
    chosen = _profile(profile)
    found = [one for one in explain(chosen, code, rules=rules_of(chosen)) if one.kind == "rule"]
    if not found:
        raise WrongState("CODE_UNKNOWN", code)
    tell_explanations(found)
    return DONE


@command("test", help=N_("Run every rule on its own pass and fail examples."))
@argument("codes", nargs=-1)
@_dialect
def rules_test(codes: tuple[str, ...], profile: str) -> int:
    return _test(_profile(profile), codes)


def _test(profile: Profile, codes: tuple[str, ...]) -> int:
    book = rulebook.load(profile.rules, _all_sets(profile), profile.id)
    if unknown := [code for code in codes if book.get(code) is None]:
        raise WrongState("CODE_UNKNOWN", ", ".join(unknown))
    results = proof.test_rules(book, profile.rules, codes)
    if not codes:
        results += prove_structure(profile.rules, profile.id)
    wrong = [one for one in results if not one.ok]
    if json_wanted():
        print_json(
            {
                "examples": len(results),
                "failed": [
                    {
                        "code": one.code,
                        "kind": one.kind,
                        "why": one.why,
                        "expected": one.expected,
                        "found": one.found,
                        "reason": one.reason,
                    }
                    for one in wrong
                ],
            }
        )
    else:
        for one in wrong:
            text = _("✗ {code} {kind} “{why}”: expected {expected}, found {found} {reason}")
            click.echo(
                text.format(
                    code=one.code, kind=one.kind, why=one.why, expected=one.expected, found=one.found, reason=one.reason
                )
            )
        rules = len({one.code for one in results})
        click.echo(
            _("Examples: {n} of {rules} rules; wrong: {wrong}").format(n=len(results), rules=rules, wrong=len(wrong))
        )
    return FOUND if wrong else DONE


@command("handbook", help=N_("Write the error handbook, handbook.md and handbook.html, into a folder."))
@argument("folder", type=click.Path(exists=True, file_okay=False))
def rules_handbook(folder: str) -> int:
    with opened(optional=True) as site:
        rules = site.rules if site else RuleData()
    names = handbook.write(folder, rules)
    if json_wanted():
        print_json(names)
    else:
        for name in names:
            click.echo(name)
    return DONE


def add_to(program: click.Group) -> None:
    """Hang the group on the program."""
    looking = (rules_list, stages, rules_explain, rules_handbook)
    proving = (rules_test, rules_coverage, rules_compare, rules_quality)
    for one in (*looking, *proving):
        rules_group.add_command(one)
    program.add_command(rules_group)
