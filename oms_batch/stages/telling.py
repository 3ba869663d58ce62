"""The files of an answer: the document itself, its readable twins, the receipt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import BinaryIO

import duckdb

from oms_batch.errors import Fault
from oms_batch.exchange import Hop, Payer
from oms_batch.i18n import pick
from oms_batch.model import NamedFile
from oms_batch.reply import (
    dbf_answers,
    dbf_tables,
    federal,
    federal_mek,
    flk_p_rows,
    manifest,
    mtr,
    page,
    reestr,
    workbook,
)
from oms_batch.reply import receipt as receipts
from oms_batch.reply.answers import Ask, OpenOut, Part
from oms_batch.reply.rows import About
from oms_batch.stages.judging import Judged, refused_totals, status_of
from oms_batch.stages.workbench import Bench

Writer = Callable[[duckdb.DuckDBPyConnection, Mapping[str, BinaryIO], OpenOut, Ask], Part]
# Who writes the members of an answer, by format; a stage of the profile may name another one.
_WRITERS: Mapping[str, Writer] = {
    "reestr_xml": reestr.write,
    "federal_xml": federal.write,
    "dbf": dbf_answers.write,
    "dbf_tables": dbf_tables.write,
    "flk_p": flk_p_rows.write,
    "mek": federal_mek.write,
    "processing": mtr.write,
}


def answer(bench: Bench, judged: Judged, told: NamedFile, partner: str, keep: str, payer: Payer | None = None) -> Part:
    """Write one file of the answer: the received register, the accounts of ``keep``, marked.

    What leaves is counted against the verdicts: an account lost on the way is our fault and stops the answer.
    """
    profile, order = bench.profile, bench.order
    ask = Ask(
        named=bench.named,
        told=told,
        keep=keep,
        mark=True,
        payer=payer,
        profile=profile,
        texts=judged.texts,
        codes=judged.codes,
        received_at=bench.received_at,
        own=order.own,
        encoding=bench.encoding,
        options={"plan": judged.plan, "rulebook": judged.book.fingerprint, "received_at": order.received_at},
    )
    write = _WRITERS[profile.stages[told.stage].writer or profile.data["format"]]

    def put(open_out: OpenOut) -> Part:
        with ExitStack() as stack:
            sources = {role: stack.enter_context(bench.source(role)) for role in bench.documents}
            return write(bench.con, sources, open_out, ask)

    part: Part = bench.put_register(told.canonical, partner, put)
    row = bench.con.execute(f"SELECT count(*) FROM z_sl JOIN verdicts v ON v.z_sl_n = z_sl.n WHERE {keep}").fetchone()
    if row is None or part.accounts != row[0]:
        raise Fault("an answer does not hold the accounts of its verdicts")
    return part


def report(bench: Bench, judged: Judged, partner: str | None = None) -> None:
    """The readable twins of the answer, for people: one workbook and one page."""
    stem = bench.named.canonical.removesuffix(bench.named.extension)
    about = about_of(bench, judged)
    lang, to = bench.order.lang, bench.order.partner if partner is None else partner
    bench.put(
        f"{stem}.report.xlsx",
        to,
        "report",
        lambda out: workbook.write_workbook(
            bench.con, out, about, judged.texts, judged.plan, scratch=bench.order.scratch, lang=lang
        ),
    )
    bench.put(
        f"{stem}.report.html",
        to,
        "report",
        lambda out: page.write_page(bench.con, out, about, judged.texts, judged.plan, lang=lang),
    )


def about_of(bench: Bench, judged: Judged) -> About:
    """The head of the twins."""
    stage, own = bench.profile.stages[bench.named.stage], bench.order.own
    return About(
        file=bench.named.canonical,
        title=pick(stage.title, stage.title_en),
        sender=_partner_name(bench),
        receiver=own.get("name", ""),
        period=bench.named.period,
        received_at=bench.order.received_at,
        sent=bench.totals(),
        refused=refused_totals(bench),
        late=bench.order.late,
        rulebook=judged.book.fingerprint,
        books=judged.editions,
    )


def _partner_name(bench: Bench) -> str:
    """The partner's name as the settings know it, else its folder."""
    folder = bench.order.partner
    names = (one["name"] for one in bench.order.options.get("partners", []) if one["folder"] == folder)
    return next(names, "") or folder


def receipt(bench: Bench, judged: Judged, line: Hop) -> None:
    """The receipt: what came, when, what was found, by which rules and books, in which files. It goes out last."""
    order, refused, sent = bench.order, refused_totals(bench), bench.totals()
    stem = bench.named.canonical.removesuffix(bench.named.extension)
    document = receipts.receipt(
        file=bench.named.canonical,
        sha256=order.sha256,
        size=order.size,
        received_at=order.received_at,
        sender=order.partner,
        receiver=order.own["ogrn"],
        status=status_of(sent, refused),
        sent=sent,
        refused=refused,
        rulebook=judged.book.fingerprint,
        books=judged.editions,
        late=order.late,
        due=order.options.get("due", ""),
        anchor=order.options.get("anchor", ""),
    )
    document["answers"] = [{"file": one.name, "sha256": one.sha256, "size": one.size} for one in bench.replies]
    document["stage"] = line.stage
    bench.put(f"{stem}.receipt.json", order.partner, "receipt", lambda out: out.write(manifest.as_json(document)))
