"""Picard iteration and symmetric Gauss-Seidel sweeps on corrections (see `refinement`).

Picard replaces all units at once, δ ← activate(δ M + e); `symmetric` has the other, which contracts
faster for each product. For a random A with m → ∞ and a share p of the units active, g of that module
is γ √p.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .correction import Correction, activate
from .sweeps import SCHEDULE, Schedule, iterate
from .symmetric import BLOCK_UNITS, SymmetricSweep


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

    def __init__(self, task: Correction, block_units: int = BLOCK_UNITS) -> None:
        operator = task.problem.operator
        M_T = operator.scaled(task.e.dtype, task.problem.adjoint).T
        super().__init__(M_T, task.e.shape[1], block_units)
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


@dataclass(frozen=True, slots=True)
class Picard:
    """Picard iteration on a correction.

    Attributes
    ----------
    schedule : Schedule
        When columns are measured, given up and dropped.
    """

    schedule: Schedule = SCHEDULE

    def __call__(self, task: Correction) -> np.ndarray:
        """Solve the correction; return the sweeps of each column."""
        return iterate(PicardStep(task), task, self.schedule)


@dataclass(frozen=True, slots=True)
class Sweeps:
    """What steers symmetric sweeps, whatever they replace.

    Attributes
    ----------
    block_units : int
        Units that are replaced together (see `symmetric`).
    schedule : Schedule
        When columns are measured, given up and dropped.
    """

    block_units: int = BLOCK_UNITS
    schedule: Schedule = SCHEDULE


@dataclass(frozen=True, slots=True)
class GaussSeidel(Sweeps):
    """Symmetric Gauss-Seidel sweeps on a correction; with one block, Picard's steps, which are the same."""

    def __call__(self, task: Correction) -> np.ndarray:
        """Solve the correction; return the sweeps of each column."""
        if len(task.e) <= self.block_units:
            return iterate(PicardStep(task), task, self.schedule)
        return iterate(GaussSeidelSweep(task, self.block_units), task, self.schedule)


@dataclass(frozen=True, slots=True)
class StartSweeps:
    """A few Gauss-Seidel sweeps, which solve easy rows and bring others closer to where Newton converges.

    Attributes
    ----------
    sweeps : int
        How many at most. More are lost on rows that do not contract; fewer leave rows to Newton steps, each
        of which costs dozens of products, that some more sweeps would have solved.
    solver : GaussSeidel
        What takes them.
    """

    sweeps: int = 64
    solver: GaussSeidel = GaussSeidel()

    def __call__(self, task: Correction) -> np.ndarray:
        """Solve the correction as far as the sweeps go; return those of each column."""
        task.budget = np.minimum(task.budget, self.sweeps)
        iterations = self.solver(task)
        task.gave_up |= iterations >= self.sweeps
        return iterations
