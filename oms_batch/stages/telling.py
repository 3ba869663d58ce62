"""The files of an answer: the document itself, its readable twins, the receipt."""

from __future__ import annotations

from calendar import monthrange
from datetime import date
from typing import Any, BinaryIO

from oms_batch.errors import Fault
from oms_batch.exchange import Hop
from oms_batch.reply import flk, page, receipt as receipts, workbook
from oms_batch.reply.document import HeadChange, Part, write_part
from oms_batch.stages.judging import Judged
from oms_batch.stages.workbench import Bench


def last_day(period: str) -> date:
    """The last day of a period ``YYYY-MM``."""
    year, month = int(period[:4]), int(period[5:])
    return date(year, month, monthrange(year, month)[1])


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
    about = {
        "register": bench.named.register,
        "file": bench.named.canonical,
        "period": bench.named.period,
        "received_at": bench.order.received_at,
        "late": bench.order.late,
        "from": bench.order.own.get("name", ""),
        "rulebook": judged.book.fingerprint,
    }
    for twin, ending in ((workbook, "xlsx"), (page, "html")):
        name = f"{stem}.report.{ending}"
        bench.put(
            name,
            bench.order.partner if partner is None else partner,
            "report",
            lambda out, twin=twin: twin.write(bench.con, out, about, judged.plan, judged.texts, lang=bench.order.lang),
        )


def receipt(bench: Bench, judged: Judged, line: Hop) -> None:
    """The receipt: what came, when, what was found, by which rules and books. It goes out last."""
    del line
    stem = bench.named.canonical.removesuffix(bench.named.extension)
    document = receipts.build(
        file=bench.named.canonical,
        sha256=bench.order.sha256,
        received_at=bench.order.received_at,
        late=bench.order.late,
        rulebook=judged.book.fingerprint,
        books=judged.editions,
        plan=judged.plan,
        replies=bench.replies,
        sent=bench.totals(),
    )
    bench.put(f"{stem}.receipt.json", bench.order.partner, "receipt", lambda out: out.write(document))
