"""Safeguarded Anderson acceleration, per row, on corrections (see `refinement`).

With f_k = activate(δ_k M + e) and r_k = f_k − δ_k, the next iterate (Walker and Ni 2011, type II)

    δ_{k+1} = f_k − Σ_j θ_j ΔF_j,        θ = argmin ‖r_k − Σ_j θ_j ΔR_j‖,

mixes the last few steps. Each row has its own θ. A row whose residual grows past twice its best
forgets its history and goes on with a Picard step from its best iterate; after a few such
restarts it stays with Picard. What it returns is the Picard image of its best iterate.
"""

from __future__ import annotations

import numpy as np

from .refinement import Correction, activate, column_norms
from .sweeps import iterate

# Steps remembered; more cost more passes than they save on a disk-shaped spectrum.
_WINDOW = 5
# Growth of the residual over its best that is still tolerated.
_GROWTH = 2.0
# Restarts after which a row is left to Picard.
_RESTARTS = 3


class AndersonStep:
    """One accelerated step on all columns; history in arrays (window, m, k)."""

    def __init__(self, task: Correction) -> None:
        m, k = task.e.shape
        dtype = task.e.dtype
        self.M_T = task.problem.operator.scaled(dtype, task.problem.adjoint).T
        self.e, self.low, self.active = task.e, task.low, task.active
        self.x = task.delta.copy()
        self.delta = task.delta.copy()  # Picard image of the best iterate
        self.best = np.full(k, np.inf)
        self.dR, self.dF = np.empty((2, _WINDOW, m, k), dtype)
        self.f, self.r = np.empty((2, m, k), dtype)
        self.gram = np.zeros((k, _WINDOW, _WINDOW))
        self.valid = np.zeros((k, _WINDOW), bool)
        self.restarts = np.zeros(k, np.intp)
        self.count = 0
        self.ridge = 10 * float(np.finfo(dtype).eps)

    def sweep(self, n: int, last: int, measure: bool) -> np.ndarray | None:
        """Advance columns [0, n); return squared residual norms of [last, n) if asked to."""
        x, f_old, r_old = self.x[:, :n], self.f[:, :n], self.r[:, :n]
        f = self.M_T @ x
        f += self.e[:, :n]
        low = None if self.low is None else self.low[:, :n]
        active = None if self.active is None else self.active[:, :n]
        activate(f, low, active, out=f)
        r = f - x
        norm = column_norms(r)
        if self.count:
            self._remember(f, f_old, r, r_old, n)
        f_old[:], r_old[:] = f, r
        self.count += 1
        better = norm < self.best[:n]
        np.copyto(self.delta[:, :n], f, where=better)
        self.best[:n][better] = norm[better]
        retired = self.restarts[:n] > _RESTARTS
        lost = ~(norm <= _GROWTH * self.best[:n]) & ~retired
        self.restarts[:n][lost] += 1
        self.valid[:n][lost | retired] = False
        theta = self._mixing(r, n)
        x[:] = f
        for j in range(_WINDOW):
            if self.valid[:n, j].any():
                x -= theta[:, j].astype(x.dtype) * self.dF[j][:, :n]
        if low is not None or active is None:
            activate(x, low, None, out=x)
        np.copyto(x, self.delta[:, :n], where=lost)
        return norm[last:] ** 2 if measure else None

    def _remember(self, f, f_old, r, r_old, n: int) -> None:
        """Store the last differences in place of the oldest and update the Gram matrices."""
        j = (self.count - 1) % _WINDOW
        dR = self.dR[j][:, :n]
        np.subtract(r, r_old, out=dR)
        np.subtract(f, f_old, out=self.dF[j][:, :n])
        self.valid[:n, j] = True
        for i in range(_WINDOW):
            if i == j or self.valid[:n, i].any():
                dot = np.einsum("ij,ij->j", dR, self.dR[i][:, :n])
                self.gram[:n, i, j] = self.gram[:n, j, i] = dot

    def _mixing(self, r: np.ndarray, n: int) -> np.ndarray:
        """Return θ (n, window), zero for what a row has forgotten."""
        valid = self.valid[:n]
        right = np.zeros((n, _WINDOW))
        for j in range(_WINDOW):
            if valid[:, j].any():
                right[:, j] = np.einsum("ij,ij->j", r, self.dR[j][:, :n])
        usable = valid & np.isfinite(right) & np.isfinite(self.gram[:n]).all(axis=2)
        right[~usable] = 0
        gram = np.where(usable[:, :, None] & usable[:, None, :], self.gram[:n], 0.0)
        diagonal = np.einsum("kii->ki", gram)
        diagonal[~usable] = 1.0
        diagonal += self.ridge * diagonal.max(axis=1, keepdims=True) + np.finfo(float).tiny
        return np.linalg.solve(gram, right[:, :, None])[:, :, 0]

    def reorder(self, order: np.ndarray, n: int) -> None:
        """Permute the columns; only the first n will be swept again."""
        head = order[:n]
        self.delta = self.delta[:, order]
        self.x, self.f, self.r, self.e = (a[:, head] for a in (self.x, self.f, self.r, self.e))
        self.dR, self.dF = self.dR[:, :, head], self.dF[:, :, head]
        self.low = None if self.low is None else self.low[:, head]
        self.active = None if self.active is None else self.active[:, head]
        self.best, self.restarts = self.best[head], self.restarts[head]
        self.gram, self.valid = self.gram[head], self.valid[head]


def anderson(task: Correction) -> np.ndarray:
    """Anderson acceleration on a correction."""
    return iterate(AndersonStep(task), task)
