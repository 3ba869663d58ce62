"""The working database of a register is scratch: bounded, spilling, and never written twice."""

from __future__ import annotations

from pathlib import Path

from oms_batch.store.tables import open_tables


def test_closing_a_scratch_database_writes_nothing_anew(tmp_path: Path) -> None:
    """A checkpoint would write all tables once more, just before the job's folder is thrown away."""
    con = open_tables(str(tmp_path / "main.duckdb"), {"memory_mb": 400})
    con.execute("CREATE TABLE rows AS SELECT range AS n FROM range(1000)")
    before = (tmp_path / "main.duckdb").stat()
    con.close()
    after = (tmp_path / "main.duckdb").stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_memory_of_the_tables_is_a_share_of_the_jobs(tmp_path: Path) -> None:
    con = open_tables(str(tmp_path / "main.duckdb"), {"memory_mb": 400, "workers": 3})
    told = con.execute("SELECT current_setting('memory_limit'), current_setting('threads')").fetchone()
    con.close()
    assert told == ("190.7 MiB", 3)
