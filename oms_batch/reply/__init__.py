"""VERDICTS -> FILES: answers, split, reformulation, protocols, reports."""
