"""Synthetic registers: valid ones, and ones with planted defects and the findings they must give."""
