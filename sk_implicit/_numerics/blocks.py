"""Rows a few at a time, or a sample of them: every way in which this package cuts rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# Entries of an (n, m) array that is worked on at a time: 16 MB in float64.
BLOCK_ENTRIES = 2_000_000
# Bytes of rows that stay in a cache through several passes.
_PART_BYTES = 2**19
# Rows of a kernel matrix that are held at a time.
_KERNEL_ROWS = 1000


def slices(n: int, step: int) -> Iterator[slice]:
    """Cut n rows into slices of ``step`` each, the last one of what is left."""
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def equal_blocks(n: int, m: int) -> Iterator[slice]:
    """Split n rows of width m into blocks of equal size that stay near the cache; at least one."""
    n_blocks = max(-(-n * m // BLOCK_ENTRIES), 1)
    return slices(max(n, 1), max(-(-n // n_blocks), 1))


def few_rows(X: np.ndarray) -> Iterator[slice]:
    """Cut rows into slices that are small enough to stay in cache through several passes."""
    return slices(len(X), max(_PART_BYTES // max(X[:1].nbytes, 1), 1))


def numbered_blocks(n: int) -> Iterator[np.ndarray]:
    """Cut n rows into blocks of their numbers."""
    return (np.arange(part.start, part.stop) for part in slices(n, _KERNEL_ROWS))


def sample_rows(n: int, most: int) -> np.ndarray:
    """Return the numbers of all n rows, or of a random sample of ``most``, sorted; the same in every call."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.RandomState(0).choice(n, most, replace=False))
