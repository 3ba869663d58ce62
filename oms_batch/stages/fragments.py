"""Accounts cut out of a register document, with their patients: the bytes as they were sent."""

from __future__ import annotations

from dataclasses import dataclass

from oms_batch.exchange import Profile
from oms_batch.formats import container, reestr_xml
from oms_batch.formats.layout import load_layout
from oms_batch.store import fsio, tables


@dataclass(frozen=True, slots=True)
class Fragment:
    """An account and its patient, as bytes of the document."""

    patient: bytes
    account: bytes
    encoding: str


def cut(profile: Profile, file: str, keys: set[str], scratch: str) -> dict[str, Fragment]:
    """The accounts with these keys from a register file or document; those it lacks are left out.

    Raises ``Refusal`` when the file cannot be read.
    """
    layout = load_layout(profile.rules, profile.id, profile.data["layout"])
    found: dict[str, Fragment] = {}
    with fsio.scratch_folder(scratch) as folder, fsio.open_read(file) as packed, fsio.create(f"{folder}/doc") as target:
        size = fsio.stat_open(packed).size
        with container.open_register(packed, size, profile.data["member"], scratch=target) as opened:
            con = tables.open_tables(f"{folder}/tables.duckdb", {})
            try:
                read = reestr_xml.read(opened.stream, layout, con, encodings=tuple(profile.data["encodings"]))
                rows = con.execute(
                    """SELECT z.xkey, p.byte_from, p.byte_to, z.byte_from, z.byte_to
                    FROM z_sl z JOIN pers p ON p.n = z.pers_n WHERE z.xkey IN (SELECT unnest($keys)) ORDER BY z.n""",
                    {"keys": sorted(keys)},
                ).fetchall()
            finally:
                con.close()
            for xkey, start, end, first, last in rows:
                opened.stream.seek(start)
                patient = opened.stream.read(end - start)
                found.setdefault(xkey, Fragment(patient, patient[first - start : last - start], read.encoding))
    return found
