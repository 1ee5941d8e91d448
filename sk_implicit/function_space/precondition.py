"""Factorisations for several outputs: one each, or one for all of them.

With L = diag(ℓ) Π, Π a projection that acts row by row (see `losses`), the systems of this package have the
form LᵀKL + t I. Π (Λ + t I)⁻¹ Π is close to their inverse on the range of Π, with Λ = diag(ℓ)(I ⊗ K)diag(ℓ),
one block for each output, and is the inverse itself where Π = I and all outputs have the kernel K.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from .losses import Curvature


def congruent(K: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return diag(ℓ) K diag(ℓ), a new matrix."""
    S = K * scale
    S *= scale[:, None]
    return S


def raise_diagonal(S: np.ndarray, shift: float | np.ndarray) -> np.ndarray:
    """Add a shift to the diagonal of S, in place, and return S."""
    S.flat[:: len(S) + 1] += shift
    return S


class OutputFactors:
    """Cholesky factors of M(ℓ_c) + t I, one for each output c, or one where the outputs share ℓ.

    Parameters
    ----------
    matrix : callable
        ``matrix(column)`` is M for one output's ℓ, (n,), a new (p, p) matrix.
    scale : (n, k) array
        ℓ of every output; one column stands for all of them.
    shift : float
        t.

    Raises
    ------
    LinAlgError
        If one of them is not positive definite.
    """

    def __init__(self, matrix: Callable[[np.ndarray], np.ndarray], scale: np.ndarray, shift: float):
        shared = np.array_equal(scale, np.broadcast_to(scale[:, :1], scale.shape))
        self.factors = [
            cho_factor(
                raise_diagonal(matrix(column), shift), lower=True, overwrite_a=True, check_finite=False
            )
            for column in (scale.T[:1] if shared else scale.T)
        ]

    def solve(self, V: np.ndarray) -> np.ndarray:
        """Return (M(ℓ_c) + t I)⁻¹ V_c for every column of V, (p, k)."""
        if len(self.factors) == 1:
            return cho_solve(self.factors[0], V, check_finite=False)
        solved = [cho_solve(factor, V[:, c], check_finite=False) for c, factor in enumerate(self.factors)]
        return np.stack(solved, axis=1)


def shared_kernel_preconditioner(K: np.ndarray, curvature: Curvature, shift: float) -> Callable:
    """Return Π (diag(ℓ)(I ⊗ K)diag(ℓ) + shift I)⁻¹ Π, on the range of Π, as a function of (n, k) arrays."""
    factors = OutputFactors(lambda column: congruent(K, column), curvature.scale, shift)
    return lambda V: curvature.project(factors.solve(V))


class LowRank(Protocol):
    """F, (n, l), with K ≈ F Fᵀ, known by products."""

    def gram(self, scale: np.ndarray) -> np.ndarray:
        """Return Fᵀ diag(scale)² F, (l, l)."""

    def transposed_times(self, V: np.ndarray) -> np.ndarray:
        """Return Fᵀ V, (l, k)."""

    def times(self, U: np.ndarray) -> np.ndarray:
        """Return F U, (n, k)."""


def low_rank_preconditioner(F: LowRank, curvature: Curvature, shift: float) -> Callable:
    """Return Π (diag(ℓ)(I ⊗ F Fᵀ)diag(ℓ) + shift I)⁻¹ Π as a function of (n, k) arrays.

    By Woodbury's formula, with one l × l factorisation for each output, or for all of them:

        (L F FᵀL + t I)⁻¹ = (I − L F (FᵀL²F + t I)⁻¹ FᵀL) / t.
    """
    scale = curvature.scale
    factors = OutputFactors(F.gram, scale, shift)

    def precondition(V: np.ndarray) -> np.ndarray:
        V = curvature.project(V)
        inner = factors.solve(F.transposed_times(scale * V))
        return curvature.project(V - scale * F.times(inner)) / shift

    return precondition
