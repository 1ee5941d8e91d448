"""Modulus form of the equation, on corrections (see `refinement`).

Let g be the pre-activation and S = ±1 its signs (for a mask: +1 on active units, −1 on others).
Then activate(g) = (g + S∘g)/2, and S∘g = |g| for the ReLU, so that g = activate(g) M + c is

    g = (S∘g) B + c (I − M/2)⁻¹,        B = (M/2)(I − M/2)⁻¹ = (I − M/2)⁻¹ − I        (m, m)

(Bai 2010 writes linear complementarity problems so.) For a random A with m → ∞ it contracts by
h = (γ/2)/√(1 − γ²/4) instead of γ/√2: the signs are ±1 rather than 0 and 1, and the inverse has
taken in the mean. Its symmetric sweeps (see `symmetric`, with g = h) beat those of `picard` for every
γ < √2; below γ = 0.75 or so the set-up costs more than it saves.

Around a pre-activation g₀ with activate(g₀) = z and residual e₀ = z M + c − g₀, the correction
η = g − g₀ has, with y = |g₀ + η| − |g₀| (or S∘η for a mask),

    η = y B + e′,    e′ = e₀ + e₀ B,    y = max(η − 2 max(−g₀, 0), −η − 2 max(g₀, 0)),

where no term that decides y is a difference of nearly equal numbers. In terms of e = g − z of a
`Correction`: where z > 0, g₀ = z and e₀ = e; where z = 0, g₀ = min(e, 0) and e₀ = max(e, 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from .correction import Correction
from .operators import EquilibriumOperator
from .picard import Sweeps, keep_columns
from .sweeps import iterate
from .symmetric import BLOCK_UNITS, SymmetricSweep


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


class ModulusSweep(SymmetricSweep):
    """Symmetric sweeps on y = max(y B + α, β − y B), or y = S∘(y B + α) where α = e′."""

    def __init__(self, task: Correction, block_units: int = BLOCK_UNITS) -> None:
        B = modulus_matrix(task.problem.operator, task.e.dtype)
        super().__init__(B.T if task.problem.adjoint else B, task.e.shape[1], block_units)
        e, self.low, self.active = task.e, task.low, task.active
        # activate(e) is e₀ but for units that this step switches off
        e0 = task.first_iterate()
        if self.low is not None:
            e0 = np.where(self.low < 0, e, e0)
        self.alpha = self.B @ e0
        self.alpha += e0
        self.eta = np.empty_like(self.alpha)  # y B + α
        if self.active is not None:
            self.signs = np.where(self.active, e.dtype.type(1), e.dtype.type(-1))
            return
        self.off = np.minimum(e, 0)
        self.beta = -self.alpha
        if self.low is not None:
            self.off[self.low < 0] = 0
            self.beta += 2 * self.low
        self.alpha += 2 * self.off

    def update(self, block: slice, u: np.ndarray, out: np.ndarray) -> None:
        """Write the new y of a block into `out`."""
        eta = np.add(u, self.alpha[block], out=self.eta[block])
        if self.active is not None:
            np.multiply(eta, self.signs[block], out=out)
        else:
            np.subtract(self.beta[block], u, out=u)
            np.maximum(eta, u, out=out)

    def solution(self) -> np.ndarray:
        """Return δ."""
        if self.active is not None:
            return self.eta * self.active
        delta = self.eta - self.off
        return np.maximum(delta, 0 if self.low is None else self.low, out=delta)

    def keep(self, columns: np.ndarray) -> None:
        """Drop all other columns."""
        super().keep(columns)
        keep_columns(self, columns, "eta", "alpha", "low", "active")
        keep_columns(self, columns, *(["off", "beta"] if self.active is None else ["signs"]))


@dataclass(frozen=True, slots=True)
class Modulus(Sweeps):
    """Symmetric Gauss-Seidel sweeps on the modulus form of a correction."""

    def __call__(self, task: Correction) -> np.ndarray:
        """Solve the correction; return the sweeps of each column, with the one that e′ takes."""
        if not task.budget.any():
            task.delta = task.first_iterate()
            return np.zeros_like(task.budget)
        first = np.minimum(task.budget, 1)  # e′ takes a product
        task.budget -= first
        task.products += len(first)
        return iterate(ModulusSweep(task, self.block_units), task, self.schedule) + first
