"""Safeguarded Anderson acceleration, per row, on corrections (see `refinement`).

With f_k = activate(δ_k M + e) and r_k = f_k − δ_k, the next iterate (Walker and Ni 2011, type II)

    δ_{k+1} = f_k − Σ_j θ_j ΔF_j,        θ = argmin ‖r_k − Σ_j θ_j ΔR_j‖,

mixes the last few steps. Each row has its own θ. A row whose residual grows past twice its best
forgets its history and goes on with a Picard step from its best iterate; after a few such
restarts it stays with Picard. What it returns is the Picard image of its best iterate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .correction import Correction, activate, column_norms
from .picard import keep_columns
from .sweeps import SCHEDULE, Schedule, iterate


@dataclass(frozen=True, slots=True)
class Anderson:
    """Anderson acceleration on a correction.

    Attributes
    ----------
    window : int
        Steps remembered; more cost more passes than they save on a disk-shaped spectrum.
    growth : float
        Growth of a residual over its best that is still tolerated. Less forgets histories that a few bad
        steps would not have spoilt; more follows steps that lead away.
    restarts : int
        Restarts after which a row is left to Picard. More mix on where mixing fails; with fewer, one bad
        stretch costs a row its acceleration.
    schedule : Schedule
        When columns are measured, given up and dropped.
    """

    window: int = 5
    growth: float = 2.0
    restarts: int = 3
    schedule: Schedule = SCHEDULE

    def __call__(self, task: Correction) -> np.ndarray:
        """Solve the correction; return the sweeps of each column."""
        return iterate(AndersonStep(task, self), task, self.schedule)


class AndersonStep:
    """One accelerated step on all columns; history in arrays (window, m, k)."""

    cost, checks = 1.0, (1, 3)

    def __init__(self, task: Correction, settings: Anderson) -> None:
        self.settings, window = settings, settings.window
        m, k = task.e.shape
        dtype = task.e.dtype
        self.M_T = task.problem.operator.scaled(dtype, task.problem.adjoint).T
        self.e, self.low, self.active = task.e, task.low, task.active
        self.x = task.first_iterate()
        self.delta = self.x.copy()  # Picard image of the best iterate
        self.best = np.full(k, np.inf)
        self.dR, self.dF = np.empty((2, window, m, k), dtype)
        self.f = self.r = self.delta  # of the step before; none yet
        self.gram = np.zeros((k, window, window))
        self.valid = np.zeros((k, window), bool)
        self.restarts = np.zeros(k, np.intp)
        self.count = 0
        self.ridge = 10 * float(np.finfo(dtype).eps)

    def sweep(self, measure: bool) -> np.ndarray | None:
        """Advance all columns; return squared residual norms if asked to."""
        x = self.x
        f = self.M_T @ x
        f += self.e
        activate(f, self.low, self.active, out=f)
        r = f - x
        norm = column_norms(r)
        if self.count:
            self._remember(f, r)
        self.f, self.r = f, r
        self.count += 1
        better = norm < self.best
        np.putmask(self.delta, np.broadcast_to(better, f.shape), f)
        self.best[better] = norm[better]
        retired = self.restarts > self.settings.restarts
        lost = ~(norm <= self.settings.growth * self.best) & ~retired
        self.restarts[lost] += 1
        self.valid[lost | retired] = False
        theta = self._mixing(r)
        x[:] = f
        for j in range(self.settings.window):
            if self.valid[:, j].any():
                x -= theta[:, j].astype(x.dtype) * self.dF[j]
        if self.low is not None or self.active is None:
            activate(x, self.low, None, out=x)
        np.putmask(x, np.broadcast_to(lost, x.shape), self.delta)
        return norm**2 if measure else None

    def solution(self) -> np.ndarray:
        """Return the Picard image of the best iterate."""
        return self.delta

    def _remember(self, f: np.ndarray, r: np.ndarray) -> None:
        """Store the last differences in place of the oldest and update the Gram matrices."""
        j = (self.count - 1) % self.settings.window
        dR = np.subtract(r, self.r, out=self.dR[j])
        np.subtract(f, self.f, out=self.dF[j])
        self.valid[:, j] = True
        for i in range(self.settings.window):
            if i == j or self.valid[:, i].any():
                dot = np.einsum("ij,ij->j", dR, self.dR[i])
                self.gram[:, i, j] = self.gram[:, j, i] = dot

    def _mixing(self, r: np.ndarray) -> np.ndarray:
        """Return θ (k, window), zero for what a row has forgotten."""
        valid = self.valid
        right = np.zeros(valid.shape)
        for j in range(self.settings.window):
            if valid[:, j].any():
                right[:, j] = np.einsum("ij,ij->j", r, self.dR[j])
        usable = valid & np.isfinite(right) & np.isfinite(self.gram).all(axis=2)
        right[~usable] = 0
        gram = np.where(usable[:, :, None] & usable[:, None, :], self.gram, 0.0)
        diagonal = np.einsum("kii->ki", gram)
        diagonal[~usable] = 1.0
        diagonal += self.ridge * diagonal.max(axis=1, keepdims=True) + np.finfo(float).tiny
        return np.linalg.solve(gram, right[:, :, None])[:, :, 0]

    def keep(self, columns: np.ndarray) -> None:
        """Drop all other columns."""
        keep_columns(self, columns, "delta", "x", "f", "r", "e", "low", "active")
        self.dR, self.dF = (np.take(history, columns, axis=2) for history in (self.dR, self.dF))
        self.best, self.restarts = self.best[columns], self.restarts[columns]
        self.gram, self.valid = self.gram[columns], self.valid[columns]
