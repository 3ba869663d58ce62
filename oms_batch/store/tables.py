"""The working database of one register: a DuckDB file in the spool, bounded in memory, spilling to disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import duckdb
import pyarrow.parquet as pq

from oms_batch.errors import Fault
from oms_batch.store import fsio

# Of the memory that one job may use, what the tables get; the readers and the writer need the rest.
SHARE = 0.5


def open_tables(path: str, limits: Mapping[str, Any]) -> duckdb.DuckDBPyConnection:
    """A new, empty database at ``path``; ``limits``: ``memory_mb`` of the job and ``workers``."""
    con = duckdb.connect(path)
    con.execute(f"SET memory_limit = '{int(int(limits.get('memory_mb', 2048)) * SHARE)}MB'")
    con.execute(f"SET threads = {int(limits.get('workers', 2))}")
    con.execute("SET temp_directory = '" + f"{path}.spill".replace("'", "''") + "'")
    con.execute("SET preserve_insertion_order = false")
    # a scratch database: writing it twice is twice the time, and it is thrown away when it is closed
    con.execute("SET checkpoint_threshold = '16GB'")
    con.execute("PRAGMA disable_checkpoint_on_shutdown")
    return con


def load_parquet(con: duckdb.DuckDBPyConnection, table: str, path: str) -> None:
    """A table from one Parquet file, batch by batch."""
    with fsio.open_read(path) as stream:
        source = pq.ParquetFile(stream)
        reader = source.schema_arrow.empty_table()
        con.register("incoming", reader)
        con.execute(f'CREATE OR REPLACE TABLE "{table}" AS SELECT * FROM incoming')
        con.unregister("incoming")
        for batch in source.iter_batches(65536):
            con.register("incoming", batch)
            con.execute(f'INSERT INTO "{table}" SELECT * FROM incoming')
            con.unregister("incoming")


def save(path: str, parts: Iterable[tuple[duckdb.DuckDBPyConnection, str]]) -> None:
    """Rows of one or several SELECTs of the same columns into a new, synced Parquet file."""
    with fsio.create(path) as stream:
        writer: pq.ParquetWriter | None = None
        for con, sql in parts:
            cursor = con.cursor()  # its own, so that an unfinished result of the caller does not stand in the way
            reader = cursor.sql(sql).to_arrow_reader(65536)
            if writer is None:
                writer = pq.ParquetWriter(stream, reader.schema)
            for batch in reader:
                writer.write_batch(batch.cast(writer.schema))
            reader.close()
            cursor.close()
        if writer is None:
            raise Fault("nothing to save")
        writer.close()
        fsio.fsync_file(stream)
