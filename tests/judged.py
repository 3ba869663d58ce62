"""Read a synthetic register and judge it as a side would: what tests compare with the generator's promises."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from oms_batch.exchange import Profile
from oms_batch.formats import reestr_xml
from oms_batch.formats.layout import load_layout
from oms_batch.judge import books, engine, policies, rulebook, verdict
from oms_batch.judge.identify import identify
from oms_batch.judge.person import load_spelling
from oms_batch.judge.tables import FACTS, create_table
from oms_batch.store import policy_lists
from oms_batch.store.insured import import_rows
from oms_batch.synth.insured import COLUMNS, Changes, stopped


@dataclass
class Judged:
    """Findings per account (``xkey``): (rule, severity) → count; those of no single account under an empty key."""

    accounts: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)
    refused: dict[str, object] = field(default_factory=dict)


SIDES = {"fund": ("mo", "fund"), "insurer": ("mo", "payer"), "final": ("payer", "mo")}


def rule_sets(profile: Profile, side: str) -> list[str]:
    """The rule sets with which this side judges what the organisation sends it."""
    sender, receiver = SIDES[side]
    hops = profile.sends if side == "final" else profile.hops
    return [one for hop in hops if (hop.sender, hop.receiver) == (sender, receiver) for one in hop.rules]


def read(con: duckdb.DuckDBPyConnection, profile: Profile, data: bytes) -> None:
    """The tables of a register."""
    layout = load_layout(profile.rules, profile.id, profile.data["layout"])
    reestr_xml.read(io.BytesIO(data), layout, con)


def judge(
    profile: Profile,
    data: bytes,
    side: str = "fund",
    insured: str = "",
    earlier: bytes = b"",
    states: Mapping[str, str] | None = None,
) -> Judged:
    """Judge the bytes of a register as the fund or an insurer would.

    ``insured``: path of the database of the insured; ``earlier``: a register billed before, whose accounts were
    accepted but for those in ``states`` (xkey → state).
    """
    con = duckdb.connect()
    try:
        engine.prepare(con)
        read(con, profile, data)
        book = rulebook.load(profile.rules, rule_sets(profile, side))
        books.load_for(con, profile.rules, book)
        identify(con, insured or None, profile)
        con.execute(create_table("facts", FACTS))
        if earlier:
            _bill(con, profile, earlier, states or {})
        done = Judged()
        try:
            plan = engine.run(con, book)
            done.outcomes = {row.code: row.outcome for row in plan}
            totals = verdict.decide(con, book, payer="" if side == "fund" else "P")
            done.refused = {"accounts": totals.accounts, "kopecks": str(totals.kopecks)}
        except engine.RuleFailed as error:
            done.failed = list(error.failed)
        _collect(con, done)
        return done
    finally:
        con.close()


def _collect(con: duckdb.DuckDBPyConnection, done: Judged) -> None:
    rows = con.execute(
        """SELECT coalesce(a.xkey, p.xkey, ''), f.rule, f.severity, count(*)
        FROM findings f LEFT JOIN z_sl a ON a.n = f.z_sl_n
        LEFT JOIN (SELECT pers_n, any_value(xkey) AS xkey FROM z_sl GROUP BY pers_n) p
          ON p.pers_n = f.pers_n AND f.z_sl_n IS NULL
        GROUP BY ALL"""
    ).fetchall()
    for xkey, rule, severity, count in rows:
        done.accounts.setdefault(xkey, Counter())[rule, severity] += count


def keep_insured(path: str, profile: Profile, rows: Iterable[tuple[str, ...]], changes: Changes | None = None) -> str:
    """The database of the insured with these rows of the generator and the stop list of ``changes``; gives its path."""
    key = load_spelling(profile.rules, profile.id).number("fam", "im", "ot", "dr")
    import_rows(path, (dict(zip(COLUMNS, row, strict=True)) for row in rows), key)
    if listed := stopped(changes):
        source = policy_lists.load_source(profile.rules, "stop")
        policy_lists.bring_rows(path, listed, source, policies.key, "2026-10-31", False)
    return path


def _bill(con: duckdb.DuckDBPyConnection, profile: Profile, data: bytes, states: Mapping[str, str]) -> None:
    """The accounts of an earlier register as facts."""
    key = load_spelling(profile.rules, profile.id).key("p.fam", "p.im", "p.ot", "p.dr")
    other = duckdb.connect()
    try:
        read(other, profile, data)
        rows = other.sql(
            f"""SELECT r.ogrn_mo, r.kpp_mo,
              concat(r.ogrn_mo, '-', r.kpp_mo, '-', r.year, lpad(CAST(r.month AS VARCHAR), 2, '0'), '-1') AS register,
              a.xkey, a.x_key2, {key} AS person_key, p.npolis, a.usl_ok, a.date_z_1, a.date_z_2, a.ds1,
              (SELECT any_value(profil) FROM usl WHERE usl.z_sl_n = a.n) AS profil, a.sumv,
              'accepted' AS state, a.pr_nov, 1 AS seq
            FROM z_sl a JOIN pers p ON p.n = a.pers_n, register r"""
        ).to_arrow_table()
    finally:
        other.close()
    assert isinstance(rows, pa.Table)
    con.register("billed", rows)
    con.execute("INSERT INTO facts BY NAME SELECT * FROM billed")
    con.unregister("billed")
    if states:
        con.executemany("UPDATE facts SET state = ? WHERE xkey = ?", [[how, key] for key, how in states.items()])


def promised(expected: dict[str, object]) -> dict[str, Counter[tuple[str, str]]]:
    """The generator's promise in the same form."""
    accounts = expected["accounts"]
    assert isinstance(accounts, dict)
    return {
        xkey: Counter({(row["rule"], row["severity"]): row["count"] for row in rows}) for xkey, rows in accounts.items()
    }
