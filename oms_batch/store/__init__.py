"""WHERE DATA RESTS: spool, ledger, facts, and the only door to the disk."""
