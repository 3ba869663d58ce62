"""SQL of the engine: many conditions over one table as one wide scan with shared joins.

A scan reads its table once. Rows on which no rule fires leave it at once (``WHERE c1 OR c2 …`` narrows
vector by vector); only the few others get a list of what fired, with the value to show.
Undecided (NULL) comes out too, marked: the engine treats it as a rule that did not run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from oms_batch.judge.rule import Lookup, Rule
from oms_batch.judge.tables import ACCOUNT, REGISTER, Tables

SCAN_RULES = 48
FEW_ROWS = 2000
IDENT_TABLE = "ident"
# "this row has rows of that table below it": a shared join instead of a subquery for every rule that asks
_HAS_BELOW = re.compile(r"EXISTS \(SELECT 1 FROM ([a-z0-9_]+) WHERE \1\.up_n = ([a-z0-9_]+)\.n\)", re.ASCII)
_TOKENS = r"('(?:[^']|'')*')|(\"[^\"]*\")|(?<![\w.])({names})(?=\s*\.)"


@dataclass(frozen=True)
class Span:
    """The days of a register: first and last end of care, and the last day of its period."""

    first: date
    last: date
    period_end: date


@dataclass(frozen=True)
class Ready:
    """A rule made ready for a scan: texts with shared aliases, the tables it needs joined."""

    index: int
    rule: Rule
    condition: str
    value: str
    tables: frozenset[str]
    lookups: tuple[tuple[str, str], ...]  # (alias, join text)


def day_of(table: str, tables: Tables, span: Span) -> str:
    """The day by which a row of this table is judged: its account's end of care, else the period's last day."""
    last = f"DATE '{span.period_end.isoformat()}'"
    return f"COALESCE({ACCOUNT}.date_z_2, {last})" if ACCOUNT in tables.chain(table) else last


def in_force(rule: Rule, day: str, span: Span, by_account: bool) -> str | None:
    """The rule's validity as a condition on the day; empty: always in force here; ``None``: never."""
    first, last = (span.first, span.last) if by_account else (span.period_end, span.period_end)
    if rule.valid_from > last or (rule.valid_to is not None and rule.valid_to < first):
        return None
    parts = []
    if rule.valid_from > first:
        parts.append(f"{day} >= DATE '{rule.valid_from.isoformat()}'")
    if rule.valid_to is not None and rule.valid_to < last:
        parts.append(f"{day} <= DATE '{rule.valid_to.isoformat()}'")
    return " AND ".join(parts)


def applies(rule: Rule, tables: Tables, span: Span) -> str | None:
    """When a rule is asked, as a condition: in force, and the account is of a type that it is for; ``None``: never."""
    by_account = ACCOUNT in tables.chain(rule.on)
    found = in_force(rule, day_of(rule.on, tables, span), span, by_account)
    if found is None or not (rule.files and tables.type_of and by_account):
        return found
    listed = ", ".join(f"'{one}'" for one in rule.files)
    of_type = f"COALESCE(({tables.type_of}) IN ({listed}), FALSE)"
    return f"{found} AND {of_type}" if found else of_type


def make_ready(index: int, rule: Rule, tables: Tables, span: Span, live: str) -> Ready:
    """Compile one ``fails_when`` rule; ``live`` is its validity condition (may be empty)."""
    chain = set(tables.chain(rule.on))
    aliases = {one.name: _alias(one) for one in rule.lookup}
    used = {table for table, _ in rule.parts().columns} & (chain | {IDENT_TABLE})
    joins = []
    for one in rule.lookup:
        joins.append((aliases[one.name], _lookup_join(one, aliases[one.name], span, tables, rule.on)))
        if one.date:
            used |= {table for table in chain if f"{table}." in one.date}
    text = renamed(rule.fails_when, aliases)
    for child, above in dict.fromkeys(_HAS_BELOW.findall(text)):
        if above in chain:
            text = text.replace(_exists(child, above), f"(has_{child}_{above}.up_n IS NOT NULL)")
            join = f'LEFT JOIN (SELECT DISTINCT up_n FROM "{child}") AS has_{child}_{above} '
            joins.append((f"has_{child}_{above}", join + f'ON has_{child}_{above}.up_n = "{above}".n'))
            used.add(above)
    condition = f"(\n{text}\n)"
    if live:
        condition = f"CASE WHEN {live} THEN {condition} ELSE FALSE END"
        used |= {ACCOUNT} & chain
    value = f"CAST((\n{renamed(rule.value, aliases)}\n) AS VARCHAR)" if rule.value else _own_value(rule, chain)
    if "." in value and not rule.value:
        used.add(rule.element.split(".")[0])
    return Ready(index, rule, condition, value, frozenset(used), tuple(joins))


def _exists(child: str, above: str) -> str:
    return f"EXISTS (SELECT 1 FROM {child} WHERE {child}.up_n = {above}.n)"


def _own_value(rule: Rule, chain: set[str]) -> str:
    table, _, column = rule.element.partition(".")
    return f'CAST({table}."{column}" AS VARCHAR)' if column and table in chain else "CAST(NULL AS VARCHAR)"


def _alias(one: Lookup) -> str:
    same = repr((one.book, sorted(one.on.items()), one.date))
    return f"lk_{one.book}_{hashlib.sha256(same.encode('utf-8')).hexdigest()[:8]}"


def _lookup_join(one: Lookup, alias: str, span: Span, tables: Tables, on: str) -> str:
    """Equality on the keys and a plain range on the day: what a hash join can do."""
    last = f"DATE '{span.period_end.isoformat()}'"
    day = f"COALESCE({one.date}, {last})" if one.date else last
    parts = [f'{alias}."{key}" = ({text})' for key, text in sorted(one.on.items())]
    parts += [f"{day} >= {alias}.live_from", f"{day} <= {alias}.live_to"]
    return f'LEFT JOIN "book_{one.book}" AS {alias} ON {" AND ".join(parts)}'


def renamed(text: str, aliases: dict[str, str]) -> str:
    """The text with the rule's own lookup names replaced by the shared aliases, outside quotes."""
    if not aliases:
        return text
    tokens = re.compile(_TOKENS.format(names="|".join(re.escape(name) for name in aliases)))
    return tokens.sub(lambda match: aliases[match[3]] if match[3] else match[0], text)


def chunks(ready: Sequence[Ready], size: int = SCAN_RULES) -> Iterator[list[Ready]]:
    """Rules of one table in groups for one scan each, neighbours sharing their lookups."""
    ordered = sorted(ready, key=lambda one: (one.lookups, sorted(one.tables), one.index))
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def source(table: str, needed: frozenset[str], lookups: Sequence[tuple[str, str]], tables: Tables) -> str:
    """FROM: the table, the ancestors that are needed, each lookup once."""
    chain = tables.chain(table)
    text = f'FROM "{table}"'
    joined = {table}
    for above in chain[1:]:
        if above in needed:
            text += "\n" + _parent_join(table, above, chain, joined, tables)
    if IDENT_TABLE in needed and ACCOUNT in chain:
        key = "n" if table == ACCOUNT else "z_sl_n"
        text += f'\nLEFT JOIN {IDENT_TABLE} ON {IDENT_TABLE}.z_sl_n = "{table}".{key}'
    for join in dict(lookups).values():
        text += "\n" + join
    return text


def _parent_join(table: str, above: str, chain: list[str], joined: set[str], tables: Tables) -> str:
    """Join an ancestor by the shortest way: register has one row, the account's number is on every row below it."""
    if above in joined:
        return ""
    if above == REGISTER:
        joined.add(above)
        return f'CROSS JOIN "{REGISTER}"'
    if above == ACCOUNT:
        joined.add(above)
        return f'LEFT JOIN "{ACCOUNT}" ON "{ACCOUNT}".n = "{table}".z_sl_n'
    below = chain[chain.index(above) - 1]
    text = ""
    if below not in joined:
        text = _parent_join(table, below, chain, joined, tables) + "\n"
    joined.add(above)
    return text + f'LEFT JOIN "{above}" ON "{above}".n = "{below}".up_n'


def wide_scan(table: str, group: Sequence[Ready], tables: Tables, narrow: bool = True) -> str:
    """SELECT n, r (index of the rule), undecided, value: one row per rule that fired or was undecided.

    Every condition is written once, below: a subquery in it is then joined once, and the text is bound once.
    ``narrow``: rows on which nothing fires leave before lists are made of them; not worth its planning for few rows.
    """
    needed = frozenset().union(*(one.tables for one in group))
    lookups = list({alias: join for one in group for alias, join in one.lookups}.items())
    asked = ",\n".join(f"{one.condition} AS c{one.index}, {one.value} AS v{one.index}" for one in group)
    fired = ",\n".join(
        f"CASE WHEN c{one.index} IS NOT FALSE THEN {{'r': {one.index}, 'u': c{one.index} IS NULL, "
        f"'v': v{one.index}}} END"
        for one in group
    )
    where = "\nWHERE " + " OR ".join(f"c{one.index} IS NOT FALSE" for one in group) if narrow else ""
    return (
        f"SELECT n, h.r AS r, h.u AS undecided, h.v AS value FROM (\nSELECT n, unnest([{fired}]) AS h FROM (\n"
        f'SELECT "{table}".n AS n,\n{asked}\n{source(table, needed, lookups, tables)}\n){where}\n'
        f") WHERE h IS NOT NULL"
    )


def select_scan(one: Rule, index: int) -> str:
    """The rows of a ``select`` rule in the same shape."""
    return (
        f"SELECT DISTINCT CAST(s.n AS BIGINT) AS n, {index} AS r, FALSE AS undecided, "
        f"CAST(s.value AS VARCHAR) AS value, CAST(s.element AS VARCHAR) AS element FROM (\n{one.select}\n) AS s"
    )
