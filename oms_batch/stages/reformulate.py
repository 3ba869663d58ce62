"""The MO sends its insurer the fund's file without the accounts that the fund flagged, and nothing else.

What happens, in order: read the fund's file · leave the flagged out · prove it · effects.
Where nothing was flagged, the file goes on byte for byte as it came.
"""

from __future__ import annotations

import io
from typing import Any, BinaryIO, cast

from oms_batch.errors import Fault
from oms_batch.model import Totals, WorkOrder, WorkResult
from oms_batch.reply import reformulate, verify
from oms_batch.reply.answers import OpenOut
from oms_batch.reply.manifest import as_json
from oms_batch.reply.marks import Codes
from oms_batch.stages import heard
from oms_batch.stages.workbench import Bench, effects_path, hop_of, last_day, save, workbench
from oms_batch.store import fsio


def work(data: dict[str, Any]) -> dict[str, Any]:
    """Make the reformulated register and its manifest; the kept accounts go on to the payer."""
    order = WorkOrder.from_json(data)
    with workbench(order) as bench:
        line = hop_of(order, bench.profile)
        codes = Codes.of(bench.profile.data)
        heard.prepare(bench.con, bench.profile, codes, last_day(bench.named.period))
        manifest = _write(bench, codes)
        stem = bench.named.canonical.removesuffix(bench.named.extension)
        bench.put(f"{stem}.manifest.json", "", "manifest", lambda out: out.write(as_json(manifest)))
        save(effects_path(order), [(bench.con, heard.effects_sql(line, order.named.payer, "NOT whole"))])
        sent = bench.totals(f"COALESCE(pay, '') <> '{codes.refused}'")
        return WorkResult(
            "partly" if manifest["excluded"] else "accepted",
            sent,
            Totals(),
            bench.replies,
            effects=effects_path(order),
            seconds=bench.seconds,
            notes={"manifest": manifest},
        ).as_json()


def _write(bench: Bench, codes: Codes) -> dict[str, Any]:
    """The new document, proved by the independent verifier before it may leave."""
    named = bench.named

    def make(open_out: OpenOut) -> dict[str, Any]:
        with open_out(bench.profile.members[0].name) as out:
            return cut(out)

    def cut(out: BinaryIO) -> dict[str, Any]:
        with bench.source() as source:
            return reformulate.reformulate(
                bench.con,
                source,
                out,
                refused_pay=codes.refused,
                encoding=bench.encoding,
                register=named.register,
                file=named.canonical,
            )

    def prove(new: BinaryIO) -> None:
        with bench.source() as old:
            proof = verify.verify(old, new, codes.refused)
        if proof["problems"] or not proof["kept_byte_equal"]:
            raise Fault("reformulation: the proof does not hold")

    with bench.timed("answer"):
        if bench.totals(f"pay = '{codes.refused}'").accounts == 0:
            forward(bench)
            return cut(cast(BinaryIO, _Nowhere()))
        manifest: dict[str, Any] = bench.put_register(named.canonical, bench.order.partner, make, prove)
        return manifest


def forward(bench: Bench) -> None:
    """Nothing to leave out: the very bytes that the fund sent."""

    def copy(out: BinaryIO) -> None:
        with fsio.open_read(bench.order.source) as packed:
            while block := packed.read(fsio.CHUNK):
                out.write(block)

    bench.put(bench.named.canonical, bench.order.partner, "answer", copy)


class _Nowhere(io.RawIOBase):
    """Takes bytes and keeps none: the manifest of a file that goes on unchanged."""

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        return len(piece)
