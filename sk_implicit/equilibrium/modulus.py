"""Modulus form of the equation, on corrections (see `refinement`).

Let g be the pre-activation and S = ±1 its signs (for a mask: +1 on active units, −1 on others).
Then activate(g) = (g + S∘g)/2, and S∘g = |g| for the ReLU, so that g = activate(g) M + c is

    g = (S∘g) B + c (I − M/2)⁻¹,        B = (M/2)(I − M/2)⁻¹ = (I − M/2)⁻¹ − I        (m, m)

(Bai 2010 writes linear complementarity problems so.) For a random A with m → ∞ it contracts by
h = (γ/2)/√(1 − γ²/4) instead of γ/√2: the signs are ±1 rather than 0 and 1, and the inverse has
taken in the mean. Its block Gauss-Seidel form contracts by r with r² ln r² = h²(r² − 1), which
beats that of `picard` for every γ < √2; below γ = 0.6 or so the set-up costs more than it saves.

Around a pre-activation g₀ with activate(g₀) = z and residual e₀ = z M + c − g₀, the correction
η = g − g₀ has, with y = |g₀ + η| − |g₀| (or S∘η for a mask),

    η = y B + e′,    e′ = e₀ + e₀ B,    y = max(η − 2 max(−g₀, 0), −η − 2 max(g₀, 0)),

where no term that decides y is a difference of nearly equal numbers. In terms of e = g − z of a
`Correction`: where z > 0, g₀ = z and e₀ = e; where z = 0, g₀ = min(e, 0) and e₀ = max(e, 0).
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack

from .operators import EquilibriumOperator
from .picard import groups_of_units
from .refinement import Correction
from .sweeps import iterate

_GROUPS = 4


def modulus_matrix(operator: EquilibriumOperator, dtype: np.dtype) -> np.ndarray:
    """Return B = (I − sA/2)⁻¹ − I in the given precision (cached); NaN where it does not exist.

    That of M = sAᵀ is its transpose.
    """

    def make() -> np.ndarray:
        matrix = operator.scaled(dtype, adjoint=True) / dtype.type(-2)
        matrix[np.diag_indices(operator.m)] += 1
        getrf, getri = lapack.get_lapack_funcs(("getrf", "getri"), (matrix,))
        lu, pivots, info = getrf(matrix.T, overwrite_a=True)
        if info == 0:
            lwork = 64 * operator.m
            inverse, info = getri(lu, pivots, lwork=lwork, overwrite_lu=True)
        if info != 0:
            return np.full_like(matrix, np.nan)
        inverse = inverse.T
        inverse[np.diag_indices(operator.m)] -= 1
        return inverse

    return operator.cached(("modulus", dtype), make)


def has_modulus_matrix(operator: EquilibriumOperator) -> bool:
    """Whether B has been computed for float32 work."""
    return operator.has(("modulus", np.dtype(np.float32)))


class ModulusSweep:
    """y ← max(y B + α, β − y B), or S∘(y B + e′), group after group of units."""

    def __init__(self, task: Correction) -> None:
        m, k = task.e.shape
        B = modulus_matrix(task.problem.operator, task.e.dtype)
        self.B_T = B.T if task.problem.adjoint else B
        self.groups = groups_of_units(m, _GROUPS)
        self._buffer = np.empty(max(g.stop - g.start for g in self.groups) * k, task.e.dtype)
        self.active, self.low, self.delta = task.active, task.low, task.delta
        e, low, e0 = task.e, task.low, task.delta
        if low is not None:
            # δ starts as activate(e), which is e₀ but for units that this step switches off.
            e0 = np.where(low < 0, e, e0)
        eta = self.B_T @ e0
        eta += e0
        if task.active is not None:
            self.alpha = eta
            self.y = np.where(task.active, eta, -eta)
            return
        self.off = np.minimum(e, 0)
        self.beta = -eta
        if low is not None:
            self.off[low < 0] = 0
            self.beta += 2 * low
        self.alpha = eta + 2 * self.off
        self.y = np.maximum(self.alpha, self.beta)

    def sweep(self, n: int, last: int, measure: bool) -> np.ndarray | None:
        """Advance columns [0, n); write δ and return squared step norms of columns [last, n)."""
        squared = np.zeros(n - last) if measure else None
        for group in self.groups:
            units = group.stop - group.start
            u = self._buffer[: units * n].reshape(units, n)
            y = self.y[group, :n]
            np.matmul(self.B_T[group], self.y[:, :n], out=u)
            if self.active is not None:
                active = self.active[group, :n]
                u += self.alpha[group, :n]
                np.negative(u, out=u, where=~active)
                if last < n:
                    np.multiply(u[:, last:], active[:, last:], out=self.delta[group, last:n])
            else:
                v = np.subtract(self.beta[group, :n], u)
                u += self.alpha[group, :n]
                if last < n:
                    delta = self.delta[group, last:n]
                    np.subtract(u[:, last:], self.off[group, last:n], out=delta)
                    np.maximum(delta, 0 if self.low is None else self.low[group, last:n], out=delta)
                np.maximum(u, v, out=u)
            if squared is not None:
                change = u[:, last:] - y[:, last:]
                squared += np.einsum("ij,ij->j", change, change)
            y[:] = u
        return squared

    def reorder(self, order: np.ndarray, n: int) -> None:
        """Permute the columns; only the first n will be swept again."""
        self.delta = self.delta[:, order]
        for name in ("y", "alpha", "beta", "off", "low", "active"):
            array = getattr(self, name, None)
            if array is not None:
                setattr(self, name, array[:, order[:n]])


def modulus(task: Correction, patience: float = np.inf) -> np.ndarray:
    """Block Gauss-Seidel sweeps on the modulus form of a correction."""
    if not task.budget.any():
        return np.zeros_like(task.budget)
    task.budget = np.maximum(task.budget - 1, 0)  # e′ takes a product
    return iterate(ModulusSweep(task), task, patience) + 1
