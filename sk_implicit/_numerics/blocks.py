"""Rows a few at a time, or a sample of them: every way in which this package cuts rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

# Entries of an (n, m) array that is worked on at a time: 16 MB in float64.
BLOCK_ENTRIES = 2_000_000
# Rows that a service may ask for at a time, again and again: what is derived of a model is kept for the next.
FEW_ROWS = 16


@dataclass(frozen=True, slots=True)
class BlockSizes:
    """How much is worked on at a time: more takes memory, less takes calls; results differ by rounding.

    Attributes
    ----------
    part_bytes : int
        Bytes of rows that stay in a cache through several passes: half of a small second-level cache.
    kernel_rows : int
        Rows of a kernel matrix, of some thousands of columns.
    encoded_rows : int
        Rows of encoded features, 512 columns at most.
    low_rank_rows : int
        Rows of a factor in float32 that are brought to float64.
    pair_rows : int
        Rows that are compared with all others.
    """

    part_bytes: int = 2**19
    kernel_rows: int = 1000
    encoded_rows: int = 4096
    low_rank_rows: int = 2048
    pair_rows: int = 512


# In use; read in every call, so that a test may replace it.
SIZES = BlockSizes()


def slices(n: int, step: int) -> Iterator[slice]:
    """Cut n rows into slices of ``step`` each, the last one of what is left."""
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def equal_blocks(n: int, m: int) -> Iterator[slice]:
    """Split n rows of width m into blocks of equal size that stay near the cache; at least one."""
    n_blocks = max(-(-n * m // BLOCK_ENTRIES), 1)
    return slices(max(n, 1), max(-(-n // n_blocks), 1))


def few_rows(X: np.ndarray) -> Iterator[slice]:
    """Cut rows into slices that are small enough to stay in cache through several passes."""
    return slices(len(X), max(SIZES.part_bytes // max(X[:1].nbytes, 1), 1))


def numbered_blocks(n: int) -> Iterator[np.ndarray]:
    """Cut n rows into blocks of their numbers."""
    return (np.arange(part.start, part.stop) for part in slices(n, SIZES.kernel_rows))


def encoded_blocks(n: int) -> Iterator[slice]:
    """Cut n rows whose features are encoded."""
    return slices(n, SIZES.encoded_rows)


def low_rank_blocks(n: int) -> Iterator[slice]:
    """Cut the n rows of a low-rank factor."""
    return slices(n, SIZES.low_rank_rows)


def pair_blocks(n: int) -> Iterator[slice]:
    """Cut n rows that are compared with all others."""
    return slices(n, SIZES.pair_rows)


def sample_rows(n: int, most: int) -> np.ndarray:
    """Return the numbers of all n rows, or of a random sample of ``most``, sorted; the same in every call."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.RandomState(0).choice(n, most, replace=False))
