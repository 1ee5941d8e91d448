"""Picard iteration and its block Gauss-Seidel form, on corrections (see `refinement`).

Picard replaces all units at once, δ ← activate(δ M + e). Gauss-Seidel goes through groups of
units and uses what the groups before have just become; a sweep costs the same product. For a
random A with m → ∞, where Picard contracts by g = γ/√2 (a disk-shaped spectrum, half the units
active), many groups contract by r < g with

    r² ln r² = g² (r² − 1):    0.14 for 0.28 (γ = 0.4),    0.45 for 0.64 (γ = 0.9)

which is the spectral edge of λL + U, a random matrix with entries of variance |λ|²g²/m below
and g²/m above the diagonal, at |λ| = r (the Perron eigenvalue of its variance profile is
g² (|λ|² − 1) / ln |λ|²). Four groups have most of that gain and keep the products large.
"""

from __future__ import annotations

import itertools

import numpy as np

from .refinement import Correction, activate
from .sweeps import iterate

# Units in a group at least, and groups at most.
_GROUP_UNITS = 64
_GROUPS = 4
# Sweeps before Newton steps.
_START_SWEEPS = 32


def groups_of_units(m: int, n_groups: int) -> list[slice]:
    """Split m units into `n_groups` contiguous groups, fewer when they would be small."""
    bounds = np.linspace(0, m, max(min(n_groups, m // _GROUP_UNITS), 1) + 1).astype(int)
    return [slice(start, stop) for start, stop in itertools.pairwise(bounds)]


class Sweep:
    """δ ← activate(δ M + e), group after group of units."""

    def __init__(self, task: Correction, n_groups: int) -> None:
        m, k = task.e.shape
        self.M_T = task.problem.operator.scaled(task.e.dtype, task.problem.adjoint).T
        self.groups = groups_of_units(m, n_groups)
        self.e, self.low, self.active, self.delta = task.e, task.low, task.active, task.delta
        largest = max(group.stop - group.start for group in self.groups)
        self._buffer = np.empty(largest * k, task.e.dtype)

    def sweep(self, n: int, last: int, measure: bool) -> np.ndarray | None:
        """Advance columns [0, n); return squared step norms of [last, n) if asked to."""
        squared = np.zeros(n - last) if measure else None
        for group in self.groups:
            units = group.stop - group.start
            g = self._buffer[: units * n].reshape(units, n)
            np.matmul(self.M_T[group], self.delta[:, :n], out=g)
            g += self.e[group, :n]
            low = None if self.low is None else self.low[group, :n]
            active = None if self.active is None else self.active[group, :n]
            delta = self.delta[group, :n]
            if squared is None:
                activate(g, low, active, out=delta)
            else:
                activate(g, low, active, out=g)
                change = g[:, last:] - delta[:, last:]
                squared += np.einsum("ij,ij->j", change, change)
                delta[:] = g
        return squared

    def reorder(self, order: np.ndarray, n: int) -> None:
        """Permute the columns; only the first n will be swept again."""
        self.delta = self.delta[:, order]
        self.e = self.e[:, order[:n]]
        self.low = None if self.low is None else self.low[:, order[:n]]
        self.active = None if self.active is None else self.active[:, order[:n]]


def picard(task: Correction) -> np.ndarray:
    """Picard iteration on a correction."""
    return iterate(Sweep(task, 1), task)


def gauss_seidel(task: Correction, patience: float = np.inf) -> np.ndarray:
    """Block Gauss-Seidel sweeps on a correction."""
    return iterate(Sweep(task, _GROUPS), task, patience)


def start_sweeps(task: Correction) -> np.ndarray:
    """A few Gauss-Seidel sweeps, which solve easy rows and bring others closer."""
    task.budget = np.minimum(task.budget, _START_SWEEPS)
    iterations = gauss_seidel(task)
    task.gave_up |= iterations >= _START_SWEEPS
    return iterations
