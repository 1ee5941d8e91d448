"""Picard iteration and symmetric Gauss-Seidel sweeps on corrections (see `refinement`).

Picard replaces all units at once, δ ← activate(δ M + e); `symmetric` has the other, which contracts
faster for each product. For a random A with m → ∞ and a share p of the units active, g of that module
is γ √p.
"""

from __future__ import annotations

import numpy as np

from .correction import Correction, activate
from .sweeps import iterate
from .symmetric import BLOCK_UNITS, SymmetricSweep

# Sweeps before Newton steps.
_START_SWEEPS = 64


class PicardStep:
    """δ ← activate(δ M + e)."""

    cost, checks = 1.0, (1, 3)

    def __init__(self, task: Correction) -> None:
        self.M_T = task.problem.operator.scaled(task.e.dtype, task.problem.adjoint).T
        self.e, self.low, self.active, self.delta = task.e, task.low, task.active, task.first_iterate()
        self._spare = np.empty_like(self.delta)

    def sweep(self, measure: bool) -> np.ndarray | None:
        """Advance all columns by one step; return its squared norms if asked to."""
        g = np.matmul(self.M_T, self.delta, out=self._spare)
        g += self.e
        activate(g, self.low, self.active, out=g)
        self.delta, self._spare = g, self.delta
        if not measure:
            return None
        change = np.subtract(g, self._spare, out=self._spare)
        return np.einsum("ij,ij->j", change, change)

    def solution(self) -> np.ndarray:
        """Return δ."""
        return self.delta

    def keep(self, columns: np.ndarray) -> None:
        """Drop all other columns."""
        keep_columns(self, columns, "delta", "e", "low", "active")
        self._spare = np.empty_like(self.delta)


class GaussSeidelSweep(SymmetricSweep):
    """Symmetric Gauss-Seidel on δ = activate(δ M + e)."""

    def __init__(self, task: Correction) -> None:
        operator = task.problem.operator
        super().__init__(operator.scaled(task.e.dtype, task.problem.adjoint).T, task.e.shape[1])
        self.e, self.low, self.active = task.e, task.low, task.active

    def update(self, block: slice, u: np.ndarray, out: np.ndarray) -> None:
        """Write activate(u + e) into `out`."""
        u += self.e[block]
        low = None if self.low is None else self.low[block]
        active = None if self.active is None else self.active[block]
        activate(u, low, active, out=out)

    def solution(self) -> np.ndarray:
        """Return δ."""
        return self.y

    def keep(self, columns: np.ndarray) -> None:
        """Drop all other columns."""
        super().keep(columns)
        keep_columns(self, columns, "e", "low", "active")


def keep_columns(holder: object, columns: np.ndarray, *names: str) -> None:
    """Take some columns of arrays that are attributes, as arrays that are contiguous by rows."""
    for name in names:
        array = getattr(holder, name)
        if array is not None:
            setattr(holder, name, np.take(array, columns, axis=1))


def picard(task: Correction) -> np.ndarray:
    """Picard iteration on a correction."""
    return iterate(PicardStep(task), task)


def gauss_seidel(task: Correction, patience: float = np.inf) -> np.ndarray:
    """Symmetric Gauss-Seidel sweeps on a correction; with one block, Picard's steps, which are the same."""
    step = PicardStep if len(task.e) <= BLOCK_UNITS else GaussSeidelSweep
    return iterate(step(task), task, patience)


def start_sweeps(task: Correction) -> np.ndarray:
    """A few Gauss-Seidel sweeps, which solve easy rows and bring others closer."""
    task.budget = np.minimum(task.budget, _START_SWEEPS)
    iterations = gauss_seidel(task)
    task.gave_up |= iterations >= _START_SWEEPS
    return iterations
