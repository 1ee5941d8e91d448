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
from scipy.linalg import lapack

from ..function_space.leaving_out import LeavingOut
from ..limit import KernelDerivatives, limit_diagonal, limit_kernel_derivatives
from .scale_prior import SETTINGS as PRIOR
from .scale_prior import ScalePrior

# Angles with a sine below this are rounding errors of equal or opposite rows.
_SMALLEST_SINE = 5e-8
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
        self.unit_diagonal = float(np.average(limit_diagonal(X, gamma=gamma), weights=weights))

    def log_scales(self, parameters: np.ndarray) -> np.ndarray:
        """Return t and t₀."""
        t = parameters[: -self.n_noises].copy()
        t[: self.n_penalised] = self.prior.log_scales(t[: self.n_penalised])
        return t

    def __call__(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        """Return value and gradient (Rasmussen and Williams, eq. 5.9, with the amplitude profiled out)."""
        t, noise = self.log_scales(parameters), np.exp(parameters[-1])
        n, k = self.Y.shape
        X = self.X * np.exp(t)[self.groups]
        kernel = limit_kernel_derivatives(X, gamma=self.gamma, by_gamma=False)
        system = kernel.value.copy()
        system.flat[:: n + 1] += noise / self.weights
        if self.same is not None:
            system += np.exp(parameters[-2]) * self.same
        factor, failed = lapack.dpotrf(system.T, lower=True, overwrite_a=True)  # zero above the diagonal
        if failed:
            return FAILED, np.zeros_like(parameters)
        half, _ = lapack.dpotri(factor, lower=True)
        inverse = half + half.T
        inverse.flat[:: n + 1] = half.diagonal()
        c = inverse @ self.Y
        amplitudes = np.einsum("nk,nk->k", self.Y, c) / self.total
        value = k * (np.log(factor.diagonal()).sum() + 0.5 * (self.total - n) * np.log(noise))
        value += 0.5 * self.total * np.log(amplitudes).sum() + self.of_weights
        # −2 ∂value/∂K
        G = (c / amplitudes) @ c.T - k * inverse
        gradient = np.empty_like(parameters)
        by_column = _by_log_scales(X, kernel, G)
        gradient[: len(t)] = -0.5 * np.bincount(self.groups, by_column, minlength=len(t))
        by_noise = noise * float(np.diag(G) @ (1 / self.weights))
        gradient[-1] = -0.5 * by_noise + 0.5 * k * (self.total - n)
        if self.same is not None:
            gradient[-2] = -0.5 * np.exp(parameters[-2]) * float(np.sum(G, where=self.same))
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
        K + B ρ, and −∂K/∂ρ at fixed norms.
    """

    N: np.ndarray
    M: np.ndarray
    B: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray, kernel: KernelDerivatives) -> Angles:
        """Measure rows X and the kernel between them."""
        norms = np.linalg.norm(X, axis=1)
        N = X / np.where(norms > 0, norms, 1.0)[:, None]
        M = np.clip(kernel.cosine, -1.0, 1.0)
        sine = np.sqrt((1 - M) * (1 + M))
        B = np.divide(kernel.theta, sine, out=np.zeros_like(M), where=sine > _SMALLEST_SINE)
        M *= B
        M += kernel.value
        return cls(N, M, B)


def _by_log_scales(X: np.ndarray, kernel: KernelDerivatives, G: np.ndarray) -> np.ndarray:
    """Return ⟨G, ∂K/∂t_c⟩ for every column c; see the module's head."""
    N, M, B = Angles.of(X, kernel)
    radial = np.einsum("ij,ij->i", G, M)
    B *= G
    return 2 * (N**2).T @ radial - 2 * np.einsum("nc,nc->c", N, B @ N)
