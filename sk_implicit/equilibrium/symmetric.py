"""Symmetric block Gauss-Seidel: sweeps forward and backward in turns, at half a product each.

For y = update(B y + e), units in columns, let L and U be the parts of B below and above its diagonal
blocks D. A sweep forward replaces block after block by

    y ← update(L y + D y + U y + e),

with L y of the blocks replaced just before and U y of those to come; a sweep backward does so from
the last block on. The sums U y of a sweep backward are those that the next one forward needs, and L y
the other way round (Niethammer 1964; Conrad and Wallach 1979), so that each sweep computes one
triangle only. For a random matrix whose entries have variance g²/m, m → ∞, a pair of sweeps, which
takes a product, contracts by

    (2/π) g² + O(g³),

as the variance profile of L U, g⁴ min(i, j)/m², has the Perron eigenvalue (4/π²) g⁴. Sweeps in one
direction contract by r with r² ln r² = g² (r² − 1), and Picard by g: .065, .17 and .32 for g = 0.32.

The triangles are cut in halves and halves again: what the first half adds to the second is one large
product, and blocks on the diagonal are small without making all products small. Cuts lie at multiples
of the size of a block, which products are quickest at.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache

import numpy as np

# Units of a block on the diagonal at most, by default. Smaller blocks contract faster, as they are replaced
# one after the other; products with larger ones take less time for each entry.
BLOCK_UNITS = 64


class SymmetricSweep(ABC):
    """Sweeps on y = update(B y + e), which starts at zero.

    Parameters
    ----------
    B : ndarray of shape (m, m)
        The matrix.
    k : int
        Columns.
    block_units : int
        Units of a block on the diagonal at most.
    """

    # even, since sweeps forward and backward contract by rates of their own
    checks = (2, 4)

    def __init__(self, B: np.ndarray, k: int, block_units: int = BLOCK_UNITS) -> None:
        self.B = B
        m = len(B)
        self.forward = True
        self.schedules = {forward: halved(0, m, forward, block_units) for forward in (True, False)}
        squares = [
            (block.stop - block.start) ** 2 for block, source in self.schedules[True] if block is source
        ]
        self.cost = 0.5 * (1 - sum(squares) / m**2)  # of the first sweep, on zeros
        self._full_cost = self.cost + sum(squares) / m**2
        self._allocate(k)
        # Sums over the blocks before (True) and after; none before the first sweep.
        self.sums: dict[bool, np.ndarray] = {}
        self.y = np.empty((m, k), B.dtype)

    def _allocate(self, k: int) -> None:
        rows = max(rows.stop - rows.start for schedule in self.schedules.values() for rows, _ in schedule)
        self._buffer = np.empty(rows * k, self.B.dtype)

    @abstractmethod
    def update(self, block: slice, u: np.ndarray, out: np.ndarray) -> None:
        """Write the new rows `block` of y into `out`, given those of B y, which may be overwritten."""

    def sweep(self, measure: bool) -> np.ndarray | None:
        """Advance all columns; return squared norms of their steps if asked to."""
        y, forward = self.y, self.forward
        m, k = y.shape
        squared = np.zeros(k) if measure else None
        started = bool(self.sums)
        if forward not in self.sums:
            self.sums[forward] = np.empty_like(y)
            self.sums[forward][self.schedules[forward][0][0]] = 0  # nothing comes before the first block
        sums = self.sums[forward]
        edge = 0 if forward else m  # products with units there are the first of their rows
        for block, source in self.schedules[forward]:
            u = self._buffer[: (block.stop - block.start) * k].reshape(-1, k)
            if block is not source:
                if edge in (source.start, source.stop):
                    np.matmul(self.B[block, source], y[source], out=sums[block])
                else:
                    np.matmul(self.B[block, source], y[source], out=u)
                    sums[block] += u
                continue
            if started:
                np.matmul(self.B[block, block], y[block], out=u)
                u += sums[block]
                u += self.sums[not forward][block]
            else:
                u[:] = sums[block]
            if squared is None:
                self.update(block, u, out=y[block])
            else:
                old = y[block] if started else 0
                new = np.empty_like(u)
                self.update(block, u, out=new)
                change = new - old
                squared += np.einsum("ij,ij->j", change, change)
                y[block] = new
        self.forward, self.cost = not forward, self._full_cost
        return squared

    def keep(self, columns: np.ndarray) -> None:
        """Drop all other columns."""
        self.y = np.take(self.y, columns, axis=1)
        for forward, sums in self.sums.items():
            self.sums[forward] = np.take(sums, columns, axis=1)
        self._allocate(len(columns))


@cache
def halved(start: int, stop: int, forward: bool, units: int = BLOCK_UNITS) -> tuple[tuple[slice, slice], ...]:
    """Return the products of a sweep, in order, as pairs of (rows, columns) of the matrix.

    A block on the diagonal, which is when its units are replaced, comes as the same slice twice.
    """
    if stop - start <= units:
        block = slice(start, stop)
        return ((block, block),)
    middle = start + -(-(stop - start) // (2 * units)) * units
    halves = [(start, middle), (middle, stop)][:: 1 if forward else -1]
    (first, second) = (slice(*half) for half in halves)
    return (*halved(*halves[0], forward, units), (second, first), *halved(*halves[1], forward, units))
