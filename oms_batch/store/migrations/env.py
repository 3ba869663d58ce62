"""Alembic calls this with the connection on which the ledger is being opened."""

from __future__ import annotations

from alembic import context

from oms_batch.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="schema_version",
    transactional_ddl=True,
)
context.run_migrations()
