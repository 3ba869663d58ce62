"""Migrations of the ledger, run by ``store.engine.open_ledger``."""
