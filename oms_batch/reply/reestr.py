"""An answer of the numbered exchange: the received document, its accounts, marks and the protocol inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import duckdb

from oms_batch.model import last_day
from oms_batch.reply import flk
from oms_batch.reply.answers import Ask, OpenOut, Part
from oms_batch.reply.document import HeadChange, write_part


def write(con: duckdb.DuckDBPyConnection, sources: Mapping[str, BinaryIO], open_out: OpenOut, ask: Ask) -> Part:
    """One register of the answer in its one member; who pays it stands in the bill's start tag."""
    (source,) = sources.values()
    with open_out(ask.profile.members[0].name) as out:
        return write_part(
            con,
            source,
            out,
            keep=ask.keep,
            head=HeadChange(plat_ogrn=ask.payer.ogrn if ask.payer else ""),
            mark=ask.mark,
            flk=_flk(con, ask),
            texts=ask.texts,
            codes=ask.codes,
            encoding=ask.encoding,
        )


def _flk(con: duckdb.DuckDBPyConnection, ask: Ask) -> Any:
    own, named = ask.own, ask.named
    head = flk.FlkHead(
        version=ask.profile.data["versions"][-1],
        year=named.period[:4],
        month=named.period[5:],
        type=named.stage,
        creator="oms-batch",
        org_name=own.get("name", ""),
        org_ogrn=own["ogrn"],
        org_kpp=own.get("kpp", ""),
        datetime=ask.options["received_at"],
        comment=ask.options["rulebook"],
    )
    return flk.flk_element(
        con,
        head,
        ask.options["plan"],
        ask.texts,
        filename=ask.told.canonical,
        provider=named.ogrn_mo,
        day=last_day(named.period),
        keep=ask.keep,
        encoding=ask.encoding,
    )
