"""The files of an answer: the document itself, its readable twins, the receipt."""

from __future__ import annotations

from typing import Any, BinaryIO

from oms_batch.errors import Fault
from oms_batch.exchange import Hop
from oms_batch.i18n import pick
from oms_batch.reply import flk, manifest, page, workbook
from oms_batch.reply import receipt as receipts
from oms_batch.reply.document import HeadChange, Part, write_part
from oms_batch.reply.rows import About
from oms_batch.stages.judging import Judged, refused_totals, status_of
from oms_batch.stages.workbench import Bench, last_day


def reply_name(bench: Bench, stage: str, payer: str) -> str:
    """The name of the received file with another stage and payer; the extension stays."""
    named = bench.named
    stem = named.canonical.removesuffix(named.extension)
    return f"{stem[: -len(named.suffix)]}{stage}{payer}{named.extension}"


def answer(bench: Bench, judged: Judged, name: str, keep: str, plat_ogrn: str = "") -> Part:
    """Write one register of the answer: the received document, the accounts of ``keep``, marked.

    What leaves is counted against the verdicts: an account lost on the way is our fault and stops the answer.
    """

    def write(out: BinaryIO) -> Part:
        with bench.source() as source:
            return write_part(
                bench.con,
                source,
                out,
                keep=keep,
                head=HeadChange(plat_ogrn=plat_ogrn),
                mark=True,
                flk=_flk(bench, judged, name, keep),
                texts=judged.texts,
                codes=judged.codes,
                encoding=bench.encoding,
            )

    part: Part = bench.put_register(name, bench.order.partner, write)
    row = bench.con.execute(f"SELECT count(*) FROM z_sl JOIN verdicts v ON v.z_sl_n = z_sl.n WHERE {keep}").fetchone()
    if row is None or part.accounts != row[0]:
        raise Fault("an answer does not hold the accounts of its verdicts")
    return part


def _flk(bench: Bench, judged: Judged, name: str, keep: str) -> Any:
    own, named = bench.order.own, bench.named
    head = flk.FlkHead(
        version=bench.profile.data["versions"][-1],
        year=named.period[:4],
        month=named.period[5:],
        type=named.stage,
        creator="oms-batch",
        org_name=own.get("name", ""),
        org_ogrn=own["ogrn"],
        org_kpp=own.get("kpp", ""),
        datetime=bench.order.received_at,
        comment=judged.book.fingerprint,
    )
    return flk.flk_element(
        bench.con,
        head,
        judged.plan,
        judged.texts,
        filename=name,
        provider=named.ogrn_mo,
        day=last_day(named.period),
        keep=keep,
        encoding=bench.encoding,
    )


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
