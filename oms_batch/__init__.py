"""Exchange of registers of medical accounts; the tree is the pipeline."""

__version__ = "0.3.0"
