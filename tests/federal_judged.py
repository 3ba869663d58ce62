"""Read a synthetic pair of federal documents and judge it as a side would: compared with the generator's promises."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from typing import BinaryIO

import duckdb

from oms_batch.exchange import Profile
from oms_batch.formats import canon, federal_xml
from oms_batch.intake.names import identify as name_of
from oms_batch.judge import books, engine, rulebook, verdict
from oms_batch.judge.identify import identify
from oms_batch.judge.person import load_spelling
from oms_batch.judge.tables import FACTS, create_table
from oms_batch.synth.federal import Register
from tests.judged import Judged

SIDES = {"fund": ("MT", "mo", "fund"), "insurer": ("MS", "fund", "payer")}
Pair = tuple[bytes, bytes]


def pair_of(register: Register) -> Pair:
    """Both documents as bytes."""
    return b"".join(register.main), b"".join(register.persons)


def rule_sets(profile: Profile, side: str) -> list[str]:
    """All rule sets with which a side may judge, whoever makes the medical-economic control."""
    hops = [hop for hop in profile.data["hop"] if (hop["stage"], hop["from"], hop["to"]) == SIDES[side]]
    return list(dict.fromkeys(one for hop in hops for one in hop["rules"]))


def read(con: duckdb.DuckDBPyConnection, profile: Profile, documents: Pair, name: str) -> None:
    """The canonical tables of a pair under the name of its main document."""
    read_streams(con, profile, {"main": io.BytesIO(documents[0]), "persons": io.BytesIO(documents[1])}, name)


def read_streams(
    con: duckdb.DuckDBPyConnection, profile: Profile, documents: Mapping[str, BinaryIO], name: str
) -> None:
    """The same of open files by role."""
    named = name_of(name + ".zip", profile)
    layouts = {"main": f"{named.parts['kind']}:from_mo", "persons": "L:from_mo"}
    federal_xml.read_members(documents, layouts, profile, con)
    canon.apply(con, profile.rules, profile.id, named)


def judge(
    profile: Profile,
    documents: Pair,
    name: str,
    side: str = "fund",
    insured: str = "",
    earlier: tuple[Pair, str] | None = None,
    states: Mapping[str, str] | None = None,
    payer: str = "76001",
) -> Judged:
    """Judge a pair as the fund or an insurer (``payer``) would; the rest is as in ``tests.judged.judge``."""
    con = duckdb.connect()
    try:
        engine.prepare(con)
        read(con, profile, documents, name)
        book = rulebook.load(profile.rules, rule_sets(profile, side), profile.id)
        books.load_for(con, profile.rules, book)
        identify(con, insured or None, profile)
        con.execute(create_table("facts", FACTS))
        if earlier is not None:
            _bill(con, profile, *earlier, states or {})
        done = Judged()
        try:
            done.outcomes = {row.code: row.outcome for row in engine.run(con, book)}
            totals = verdict.decide(con, book, payer="" if side == "fund" else payer)
            done.refused = {"accounts": totals.accounts, "kopecks": str(totals.kopecks)}
        except engine.RuleFailed as error:
            done.failed = list(error.failed)
        rows = con.execute(
            """SELECT coalesce(a.xkey, p.xkey, ''), f.rule, f.severity, count(*)
            FROM findings f LEFT JOIN z_sl a ON a.n = f.z_sl_n
            LEFT JOIN (SELECT pers_n, any_value(xkey) AS xkey FROM z_sl GROUP BY pers_n) p
              ON p.pers_n = f.pers_n AND f.z_sl_n IS NULL
            GROUP BY ALL"""
        ).fetchall()
        for xkey, rule, severity, count in rows:
            done.accounts.setdefault(xkey, Counter())[rule, severity] += count
        return done
    finally:
        con.close()


def _bill(
    con: duckdb.DuckDBPyConnection, profile: Profile, documents: Pair, name: str, states: Mapping[str, str]
) -> None:
    """The accounts of an earlier register as facts, accepted but for those in ``states``."""
    key = load_spelling(profile.rules, profile.id).key("p.fam", "p.im", "p.ot", "p.dr")
    other = duckdb.connect()
    try:
        read(other, profile, documents, name)
        rows = other.sql(
            f"""SELECT r.ogrn_mo, r.kpp_mo, 'earlier' AS register, a.xkey, a.x_key2, {key} AS person_key, p.npolis,
              a.usl_ok, a.date_z_1, a.date_z_2, a.ds1, a.profil, a.sumv, 'accepted' AS state, a.pr_nov, 1 AS seq
            FROM z_sl a JOIN pers p ON p.n = a.pers_n, register r"""
        ).to_arrow_table()
    finally:
        other.close()
    con.register("billed", rows)
    con.execute("INSERT INTO facts BY NAME SELECT * FROM billed")
    con.unregister("billed")
    if states:
        con.executemany("UPDATE facts SET state = ? WHERE xkey = ?", [[how, key] for key, how in states.items()])
