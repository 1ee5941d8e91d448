"""Rows a few at a time."""

from __future__ import annotations

from collections.abc import Iterator


def slices(n: int, step: int) -> Iterator[slice]:
    """Cut n rows into slices of ``step`` each, the last one of what is left."""
    return (slice(start, min(start + step, n)) for start in range(0, n, step))
