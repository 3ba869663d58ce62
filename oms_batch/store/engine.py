"""Opening the ledger: one SQLite file on a local disk, or a PostgreSQL that several machines share.

A write is one transaction that starts with the write lock, so what it reads stays true until it commits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from oms_batch.errors import SetupError
from oms_batch.store import fsio, schema

_PG_WRITER = 7_260_101  # one advisory lock: writers queue up as they do on SQLite


@dataclass(frozen=True, slots=True)
class Ledger:
    """An open ledger. ``close()`` when done; every function of the store takes it first."""

    engine: sa.Engine
    url: str

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction with the write lock: all of it is kept or nothing."""
        with self.engine.connect() as con, con.begin():
            if con.dialect.name == "postgresql":
                con.execute(sa.select(sa.func.pg_advisory_xact_lock(_PG_WRITER)))
            yield con
            fsio.point("before commit")
        fsio.point("after commit")

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent view; nothing may be written in it."""
        with self.engine.connect().execution_options(oms_read=True) as con, con.begin():
            yield con


def open_ledger(where: str | Path) -> Ledger:
    """Open (and create or bring up to date) the ledger at a file path or a database URL.

    ``SetupError``: the ledger was made by a newer program, or cannot be opened.
    """
    text = str(where)
    url = text if "://" in text else f"sqlite:///{text}"
    engine = sa.create_engine(url, **_arguments(url))
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _pragmas)
        sa.event.listen(engine, "begin", _begin)
    ledger = Ledger(engine, url)
    try:
        with ledger.read() as con:
            found = _revision(con)
        if found != schema.REVISION:
            with ledger.write() as con:
                _migrate(con)
    except sa.exc.DBAPIError as error:
        raise SetupError(f"ledger: {type(error.orig).__name__} at {engine.url.render_as_string()}") from None
    return ledger


def backup(ledger: Ledger, target: str | Path) -> None:
    """A consistent copy of a SQLite ledger into a new file while others write; it is checked before it gets its name.

    ``SetupError`` for a database server (its own tools do that) or when the copy does not hold.
    """
    if ledger.engine.dialect.name != "sqlite":
        raise SetupError("ledger: back up a database server with its own tools")
    spare = f"{target}.part"
    with closing(sqlite3.connect(spare)) as copy:
        with ledger.engine.connect() as con:
            con.connection.driver_connection.backup(copy)  # type: ignore[union-attr]
        if copy.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise SetupError("ledger: the copy is not whole")
    fsio.fsync_path(spare)
    fsio.rename_noreplace(spare, target)
    fsio.fsync_dir(Path(target).parent)


def _arguments(url: str) -> dict[str, Any]:
    if not url.startswith("sqlite"):
        return {"pool_pre_ping": True}
    return {"connect_args": {"isolation_level": None, "timeout": 60, "check_same_thread": False}}


def _pragmas(raw: Any, _record: Any) -> None:
    for line in ("busy_timeout=60000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-65536"):
        raw.execute(f"PRAGMA {line}")


def _begin(con: sa.Connection) -> None:
    reads = con.get_execution_options().get("oms_read")
    con.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _revision(con: sa.Connection) -> str:
    if not sa.inspect(con).has_table("schema_version"):
        return ""
    return str(con.execute(sa.text("SELECT version_num FROM schema_version")).scalar() or "")


def _migrate(con: sa.Connection) -> None:
    """Inside the write lock: another process may have done it meanwhile."""
    found = _revision(con)
    if found == schema.REVISION:
        return
    if found > schema.REVISION:
        raise SetupError(f"ledger: made by a newer program (schema {found}, this one knows {schema.REVISION})")
    config = Config()
    config.set_main_option("script_location", "oms_batch.store:migrations")
    config.attributes["connection"] = con
    command.upgrade(config, "head")


def bulk(con: sa.Connection, table: sa.Table, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    """Insert many rows as plain tuples: the fastest way that every driver has."""
    if not rows:
        return
    compiled = sa.insert(table).compile(dialect=con.dialect, column_keys=columns)
    if compiled.positional:
        con.exec_driver_sql(str(compiled), rows)
    else:
        con.execute(sa.insert(table), [dict(zip(columns, row, strict=True)) for row in rows])
