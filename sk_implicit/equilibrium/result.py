"""What a solve returns: the solution, how it ended, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np


class Status(Enum):
    """How a solve ended; for many rows, the worst ending among them."""

    CONVERGED = 0
    MAX_ITER = 1
    STALLED = 2
    DIVERGED = 3

    @property
    def message(self) -> str:
        """One sentence for people."""
        return MESSAGES[self]


MESSAGES = {
    Status.CONVERGED: "Every row reached the tolerance.",
    Status.MAX_ITER: (
        "max_iter iterations were reached before every row met the tolerance; the best iterate "
        "is returned. Increase max_iter, loosen tol, lower gamma, or use solver='newton_krylov'."
    ),
    Status.STALLED: (
        "The residual of some rows stopped falling above the tolerance; the best iterate is "
        "returned. Loosen tol, lower gamma, or use solver='newton_krylov'."
    ),
    Status.DIVERGED: (
        "The iteration left the range of floating-point numbers for some rows; the best finite "
        "iterate is returned. Lower gamma, or use solver='newton_krylov'."
    ),
}


# The row is not at its end.
OPEN = -1


def row_status(
    converged: np.ndarray, exhausted: np.ndarray, diverged: np.ndarray, stalled: np.ndarray
) -> np.ndarray:
    """Return the value of the `Status` of each row, `OPEN` if none applies; the first one wins."""
    order = (Status.CONVERGED, Status.MAX_ITER, Status.DIVERGED, Status.STALLED)
    conditions = [converged, exhausted, diverged, stalled]
    return np.select(conditions, [status.value for status in order], default=OPEN)


@dataclass(frozen=True, slots=True)
class EquilibriumResult:
    """Solution of a batch of fixed-point equations z = F(z), one per row.

    Attributes
    ----------
    solution : ndarray of shape (n, m)
        The best iterate found, in the data type of the right-hand side.
    n_iter : int
        Iterations of the row that took the most.
    residual : ndarray of shape (n,)
        Undamped relative residual ‖F(z) − z‖ / ‖z‖ of each row of `solution`; 0 where
        F(z) = z = 0 and inf where z = 0 is not a solution. Where it was measured in float32, on
        the last correction, an allowance for rounding is included, some hundredths of the
        tolerance. Where the operator knows a norm of sA below 1, a bound of it.
    status : Status
        How the solve ended (the worst row); ``status.message`` says it in a sentence.
    solver : str
        The solvers that worked on some of the rows, in order, joined by ``"+"``.
    n_products : float
        Cost in units of one float64 product (n, m) · (m, m) over all rows. A float32 product
        counts as 1/2, products with some of the rows in proportion. The inverse that the modulus
        form makes once for each A, as many operations as a float32 product with m rows, is not counted.
    """

    solution: np.ndarray
    n_iter: int
    residual: np.ndarray
    status: Status
    solver: str
    n_products: float

    @property
    def converged(self) -> bool:
        """Whether every row reached the tolerance."""
        return self.status is Status.CONVERGED


@dataclass(slots=True)
class BlockResult:
    """What a solver returns for a block of rows (b, m).

    Attributes
    ----------
    Z : ndarray of shape (b, m)
        Best iterate of each row, in the array that the solver was given.
    residual : ndarray of shape (b,)
        Its relative residual ‖F(z) − z‖ / ‖z‖, not damped.
    n_iter : ndarray of shape (b,)
        Iterations of each row.
    status : ndarray of shape (b,)
        Values of `Status`.
    cost : float
        In float64 products of the whole block.
    used : list of str
        Names of the solvers that worked on it; without any, the name it is registered by is reported.
    """

    Z: np.ndarray
    residual: np.ndarray
    n_iter: np.ndarray
    status: np.ndarray
    cost: float
    used: list[str]

    @classmethod
    def start(cls, Z: np.ndarray, *used: str) -> BlockResult:
        """Return the record of rows of which nothing is known yet; `Z` will hold their best iterates."""
        b = len(Z)
        status = np.full(b, Status.MAX_ITER.value)
        return cls(Z, np.full(b, np.inf), np.zeros(b, np.intp), status, 0.0, list(used))

    def update(self, rows: np.ndarray, Z: np.ndarray | None, residual: np.ndarray) -> None:
        """Keep the iterates `Z` of `rows` that are better than what is stored; None is zero."""
        better = residual < self.residual[rows]
        if Z is None:
            self.Z[rows[better]] = 0
        elif Z is self.Z:  # worked on in place
            pass
        elif better.all() and len(rows) == len(self.Z):
            self.Z[:] = Z
        else:
            self.Z[rows[better]] = Z[better]
        self.residual[rows[better]] = residual[better]

    def merge(self, rows: np.ndarray, part: BlockResult) -> None:
        """Add what a solver did on some of the rows."""
        self.update(rows, part.Z, part.residual)
        self.n_iter[rows] += part.n_iter
        self.status[rows] = part.status
        self.cost += part.cost * len(rows) / len(self.Z)
        self.used += [name for name in part.used if name not in self.used]
