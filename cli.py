"""Launcher for a checkout: ``python cli.py …`` is ``oms-batch …``."""

from __future__ import annotations

from oms_batch.cli.main import main

if __name__ == "__main__":
    main()
