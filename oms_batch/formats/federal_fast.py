from __future__ import annotations


def read_fast(stream, machine, watch, sink, encodings, piece):
    return ""
