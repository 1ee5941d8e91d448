r"""The marginal likelihood that scales are learnt by: that of a Gaussian process with the limit kernel.

With inputs x̃ = [x ∘ e^t, b e^{t₀}], Σw = N observations (a row of weight w is w equal rows), noise variance
v relative to the kernel and the amplitude a profiled out, its negative log is, up to a constant,

    ½ log |S| + ½ Σ log w + ½ (N − n) log v + ½ N log a,      S = K + v W⁻¹,      a = yᵀ S⁻¹ y / N,

minimised over u, t₀ and log v, where t = C^½ u, with the prior u_j ~ N(0, τ²), that is ½ Σ u_j²/τ² added
[1]_.

Rows that belong together (replicates of one input, rows of a patient) may share what no feature tells: a
random effect of their group. With noise of single rows alone, replicates that agree would have the kernel
believe that the noise is small, and explain by near scales what differs from one input to the next. Where
there are such groups, G the matrix that is 1 within them,

    S = K + v W⁻¹ + r G,

and r is learnt along with the rest.

All derivatives by t come from one product. With unit rows n_i of x̃, ρ = n_iᵀn_j, B = −∂K/∂ρ at fixed
norms and any symmetric G (see `sk_implicit.kernel`),

    ∂K_ij/∂t_c = (K + B ρ)_ij (n_ic² + n_jc²) − 2 B_ij n_ic n_jc,
    ⟨G, ∂K/∂t_c⟩ = 2 Σ_i n_ic² Σ_j (G ∘ (K + B ρ))_ij − 2 [Nᵀ (G ∘ B) N]_cc.

References
----------
.. [1] C. E. Rasmussen and C. K. I. Williams, "Gaussian processes for machine learning", MIT Press 2006,
   sections 5.1 (automatic relevance determination) and 5.4.1 (the gradient).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import blas, lapack

from .._numerics.blocks import slices
from ..function_space.leaving_out import LeavingOut
from ..limit import limit_diagonal
from ..limit._matrix import mirror, normalised, upper_tiles
from .scale_prior import SETTINGS as PRIOR
from .scale_prior import ScalePrior

# Angles with a sine below this are rounding errors of equal or opposite rows.
_SMALLEST_SINE = 5e-8
# Rows that are weighed at a time, in a cache.
_ROWS = 64
# What the objective returns where the kernel cannot be factorised.
FAILED = 1e100


class Likelihood:
    """Negative log marginal likelihood per observation, and its gradient, of u, t₀, (log r,) log v.

    The first ``n_penalised`` of the groups' log scales have the prior; that of the bias has none.

    Attributes
    ----------
    n_noises : int
        How many of the parameters are noises: 2 where rows belong together.
    """

    def __init__(
        self, X, Y, weights, groups, gamma: float, prior: ScalePrior, n_penalised: int,
        left_out: LeavingOut | None = None,
    ):  # fmt: skip
        self.X, self.Y, self.weights, self.gamma = X, Y, weights, gamma
        self.groups, self.prior, self.n_penalised = groups, prior, n_penalised
        self.total = float(weights.sum())
        self.of_weights = 0.5 * Y.shape[1] * float(np.log(weights).sum())
        self.left_out = LeavingOut(weights) if left_out is None else left_out
        self.same = None
        if self.left_out.several():
            numbers = self.left_out.numbers()
            self.same = numbers[:, None] == numbers
        self.n_noises = 1 if self.same is None else 2
        self._buffers = np.zeros((4, len(X), len(X)))
        self.unit_diagonal = float(np.average(limit_diagonal(X, gamma=gamma), weights=weights))

    def of_rows(self, rows: np.ndarray) -> Likelihood:
        """Return that of some of the rows."""
        Y = self.Y[rows]
        Y = Y[:, np.any(Y, axis=0)]
        others = self.groups, self.gamma, self.prior, self.n_penalised
        return Likelihood(self.X[rows], Y, self.weights[rows], *others, self.left_out[rows])

    def log_scales(self, parameters: np.ndarray) -> np.ndarray:
        """Return t and t₀."""
        t = parameters[: -self.n_noises].copy()
        t[: self.n_penalised] = self.prior.log_scales(t[: self.n_penalised])
        return t

    def __call__(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        """Return value and gradient (Rasmussen and Williams, eq. 5.9, with the amplitude profiled out)."""
        t, noise = self.log_scales(parameters), np.exp(parameters[-1])
        n, k = self.Y.shape
        system, angles = measure(self.X * np.exp(t)[self.groups], self.gamma, self._buffers)
        system.flat[:: n + 1] += noise / self.weights
        if self.same is not None:
            system += np.exp(parameters[-2]) * self.same
        # its upper triangle, row by row, is the lower one of LAPACK, column by column
        factor, failed = lapack.dpotrf(system.T, lower=True, clean=False, overwrite_a=True)
        if failed:
            return FAILED, np.zeros_like(parameters)
        half_log_det = np.log(factor.diagonal()).sum()
        inverse = lapack.dpotri(factor, lower=True, overwrite_c=True)[0].T
        c = blas.dsymm(1.0, inverse.T, self.Y, lower=True)
        amplitudes = np.einsum("nk,nk->k", self.Y, c) / self.total
        value = k * (half_log_det + 0.5 * (self.total - n) * np.log(noise))
        value += 0.5 * self.total * np.log(amplitudes).sum() + self.of_weights
        # −2 ∂value/∂K
        A = c / amplitudes
        diagonal = np.einsum("nk,nk->n", A, c) - k * inverse.diagonal()
        gradient = np.empty_like(parameters)
        by_column, by_same = _by_log_scales(angles, A, c, inverse, self.same)
        gradient[: len(t)] = -0.5 * np.bincount(self.groups, by_column, minlength=len(t))
        by_noise = noise * float(diagonal @ (1 / self.weights))
        gradient[-1] = -0.5 * by_noise + 0.5 * k * (self.total - n)
        if self.same is not None:
            gradient[-2] = -0.5 * np.exp(parameters[-2]) * by_same
        u = parameters[: self.n_penalised]
        value += 0.5 * float(u @ u) / PRIOR.std**2
        gradient[: len(u)] = self.prior.by_u(gradient[: len(u)]) + u / PRIOR.std**2
        return value / self.total, gradient / self.total


class Angles(NamedTuple):
    """What derivatives by scales are made of; see the module's head.

    Attributes
    ----------
    N : (n, p) array
        Unit rows.
    M, B : (n, n) arrays
        K + B ρ, and −∂K/∂ρ at fixed norms; from the diagonal upwards.
    """

    N: np.ndarray
    M: np.ndarray
    B: np.ndarray

    def in_full(self, dtype) -> Angles:
        """Return them in a precision, with what is below the diagonal."""
        for square in self[1:]:
            mirror(square)
        return Angles(*(part.astype(dtype) for part in self))


def measure(X: np.ndarray, gamma: float, buffers: np.ndarray | None = None) -> tuple[np.ndarray, Angles]:
    """Return the kernel K between rows and what its derivatives are made of, from the diagonal upwards.

    Parameters
    ----------
    X : (n, p) array
        The rows.
    gamma : float
        0 < γ < √2.
    buffers : (4, n, n) array or None
        For K, M, B and cosines. Memory that is new to a process costs as much as what is computed in it.
    """
    n = len(X)
    K, M, B, cosines = np.zeros((4, n, n)) if buffers is None else buffers
    N, norms = normalised(X, "X")
    for rows, cols, rho, (value, theta) in upper_tiles(N, norms, gamma, ("ntk", "ntk_theta"), cosines):
        K[rows, cols] = value
        b, m = B[rows, cols], M[rows, cols]
        np.subtract(1.0, rho, out=b)
        np.add(1.0, rho, out=m)
        b *= m
        b[b <= _SMALLEST_SINE**2] = np.inf
        np.sqrt(b, out=b)
        np.divide(theta, b, out=b)
        np.multiply(b, rho, out=m)
        m += value
    diagonal = limit_diagonal(X, gamma=gamma)
    for square, of_equal in ((K, diagonal), (M, diagonal), (B, 0.0)):
        square.flat[:: n + 1] = of_equal
    return K, Angles(N, M, B)


def _by_log_scales(
    angles: Angles, A: np.ndarray, C: np.ndarray, inverse: np.ndarray, same: np.ndarray | None
) -> tuple[np.ndarray, float]:
    """Return ⟨G, ∂K/∂t_c⟩ for every column c, see the module's head, and ⟨G, same⟩, for G = A Cᵀ − k S⁻¹.

    It goes through H, zero below the diagonal, with G = H + Hᵀ. B, and S⁻¹, which is given from the diagonal
    upwards, are overwritten.
    """
    N, M, B = angles
    n, k = C.shape
    radial, angular, by_same = np.zeros(n), np.zeros(N.shape[1]), 0.0
    for rows in slices(n, _ROWS):
        after = slice(rows.start, n)
        H = inverse[rows, after]
        H *= -k
        H += A[rows] @ C[after].T
        square = H[:, : len(H)]
        square[np.tri(len(square), k=-1, dtype=bool)] = 0.0
        square.flat[:: len(square) + 1] *= 0.5
        if same is not None:
            by_same += 2 * float(np.sum(H, where=same[rows, after]))
        B[rows, after] *= H
        angular += np.einsum("nc,nc->c", N[rows], B[rows, after] @ N[after])
        H *= M[rows, after]
        radial[rows] += H.sum(axis=1)
        radial[after] += H.sum(axis=0)
    return 2 * (N**2).T @ radial - 4 * angular, by_same
