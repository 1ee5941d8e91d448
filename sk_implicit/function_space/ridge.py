r"""Kernel ridge regression, exact or on landmarks: the closed form of the linearised network.

With kernel K on n rows, weights W = diag(w) and penalty a, the minimiser of
½ Σ wᵢ ‖yᵢ − f(xᵢ)‖² + ½ a ‖f‖² is [1]_

    f(x) = k(x)ᵀ C,      (K + a W⁻¹) C = Y,

by a Cholesky factorisation up to some thousands of rows (`RidgeLimits`). Beyond, f is spanned by p
landmarks, a random sample of the rows (Nyström's method, "subset of regressors" in [1]_, section 8.3.1).
With K_pp = L Lᵀ and V = K_np L⁻ᵀ,

    f(x) = k_p(x)ᵀ C,    C = L⁻ᵀ M⁻¹ Vᵀ W Y / a,    M = I + Vᵀ W V / a,

accumulated over blocks of rows, so that memory is of the order p², not n². The variance of the same
Gaussian process, in units of its amplitude, is, exactly and on landmarks (the deterministic training
conditional of [1]_, section 8.3.3),

    k(x, x) − ‖T⁻¹ k(x)‖²,  T Tᵀ = K + a W⁻¹,      k(x, x) − ‖v‖² + ‖T⁻¹ v‖²,  v = L⁻¹ k_p(x),  T Tᵀ = M,

and the covariance between two rows has products of theirs in the place of squares.

References
----------
.. [1] C. E. Rasmussen and C. K. I. Williams, "Gaussian processes for machine learning", MIT Press 2006.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri

from .._numerics.blocks import numbered_blocks, sample_rows
from .leaving_out import LeavingOut
from .precondition import raise_diagonal


@dataclass(frozen=True, slots=True)
class RidgeLimits:
    """What is solved exactly, and how exactly.

    Attributes
    ----------
    exact_rows : int
        Rows up to which every row is a landmark: 4000² float64 numbers are 128 MB.
    n_landmarks : int
        Landmarks that stand for more of them. More are closer to the exact fit, at the price of their square
        for every row.
    least_penalty : float
        Relative to the mean of diag K: the coefficients of equal rows with different targets grow as its
        inverse, and predictions keep the digits that leaves them.
    max_jitter : int
        A matrix that is singular to rounding gets up to 10^this times its rounding error on the diagonal.
    """

    exact_rows: int = 4000
    n_landmarks: int = 2500
    least_penalty: float = 1e-10
    max_jitter: int = 10


# In use; read in every call, so that a test may replace it.
LIMITS = RidgeLimits()

Kernel = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class RidgeSystem:
    """The factorised system, for one kernel, one penalty and any right-hand sides.

    Attributes
    ----------
    penalty : float
        The penalty a in use.
    factor : (p, p) array
        T, lower triangular.
    prior : (p, p) array or None
        L, lower triangular; None where every row is a landmark.
    """

    penalty: float
    factor: np.ndarray
    prior: np.ndarray | None

    def variance(self, cross: np.ndarray, diagonal: np.ndarray) -> np.ndarray:
        """Return the variance of f, (r,), for k_p of r rows, (r, p), and k(x, x), (r,)."""
        return np.maximum(sum(self.split_variance(cross, diagonal)), 0.0)

    def covariance(self, cross: np.ndarray, gram: np.ndarray) -> np.ndarray:
        """Return the covariance of f, (r, r), for k_p of r rows, (r, p), and k(x, x'), (r, r)."""
        V, S = self._reduced(cross)
        covariance = gram - S.T @ S if V is None else gram - V.T @ V + S.T @ S
        np.fill_diagonal(covariance, np.maximum(np.diag(covariance), 0.0))
        return covariance

    def split_variance(self, cross: np.ndarray, diagonal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the variance of f in the span of the landmarks, and what of the prior they leave out."""
        V, S = self._reduced(cross)
        explained = np.einsum("pr,pr->r", S, S)
        if V is None:
            return diagonal.astype(np.float64) - explained, np.zeros(len(diagonal))
        return explained, np.maximum(diagonal - np.einsum("pr,pr->r", V, V), 0.0)

    def _reduced(self, cross: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        """Return v and T⁻¹ v, (p, r) each; no v, and T⁻¹ k, where every row is a landmark."""
        if self.prior is None:
            return None, forward(self.factor, cross.T)
        V = forward(self.prior, cross.T)
        return V, forward(self.factor, V)

    def spanned_covariance(self, cross: np.ndarray) -> np.ndarray:
        """Return the covariance of f in the span of the landmarks, (r, r), where those are not all rows."""
        assert self.prior is not None, "on landmarks"
        S = forward(self.factor, forward(self.prior, cross.T))
        return S.T @ S

    def inverse(self) -> np.ndarray:
        """Return (T Tᵀ)⁻¹, (p, p)."""
        return symmetric(dpotri(self.factor, lower=1)[0])


@dataclass(frozen=True, slots=True)
class RidgeFit:
    """A fitted kernel ridge regression.

    Attributes
    ----------
    system : RidgeSystem
        What it was solved with.
    dual : (p, k) array
        C, in float64: predictions are k_p(x)ᵀ C.
    residual : (n, k) array
        Targets less predictions.
    squared_norm : float
        ‖f‖² = tr CᵀK_pp C.
    shift : (n,) array or None
        What was added to the diagonal of K, at least a/w; None where not every row is a landmark.
    """

    system: RidgeSystem
    dual: np.ndarray
    residual: np.ndarray
    squared_norm: float
    shift: np.ndarray | None = None


def choose_landmarks(n: int, left_out: LeavingOut | None = None) -> np.ndarray:
    """Return the rows that span the fit: all, or a fixed random sample of those that count, sorted."""
    if n <= LIMITS.exact_rows:
        return np.arange(n)
    return sample_rows(n, LIMITS.n_landmarks) if left_out is None else left_out.sample(LIMITS.n_landmarks)


def fit_ridge(
    kernel: Kernel, landmarks: np.ndarray, Y: np.ndarray, weights: np.ndarray, penalty: float
) -> RidgeFit:
    """Solve the ridge problem.

    Parameters
    ----------
    kernel : callable
        ``kernel(rows)`` is the float64 kernel between these training rows and the landmarks, (r, p).
    landmarks : (p,) int array
        From `choose_landmarks`.
    Y : (n, k) array
        Targets.
    weights : (n,) array
        Positive sample weights.
    penalty : float
        The penalty, absolute. It is raised to 1e-10 of the mean of diag K, times the mean weight: with 0 the
        fit interpolates to that accuracy, and equal rows with different targets get their mean.
    """
    n = len(Y)
    Y = Y.astype(np.float64, copy=False)
    K_pp = kernel(landmarks)
    scale = float(np.trace(K_pp)) / len(landmarks)
    rounding = n * np.finfo(np.float64).eps * (scale or 1.0)
    penalty = max(penalty, LIMITS.least_penalty * (scale or 1.0) * float(weights.mean()))
    if len(landmarks) == n:
        factor, shift = shifted_cholesky(K_pp, penalty / weights, rounding)
        C = backward(factor, forward(factor, Y))
        residual = shift[:, None] * C
        squared_norm = float(np.sum(C * (Y - residual)))
        return RidgeFit(RidgeSystem(penalty, factor, None), C, residual, squared_norm, shift)
    prior, _ = shifted_cholesky(K_pp, np.full(len(K_pp), rounding), rounding)
    M = np.eye(len(landmarks))
    b = np.zeros((len(landmarks), Y.shape[1]))
    for rows in numbered_blocks(n):
        V = forward(prior, kernel(rows).T)
        weighted = V * (weights[rows] / penalty)
        M += weighted @ V.T
        b += weighted @ Y[rows]
    factor, _ = shifted_cholesky(M, np.zeros(len(M)), n * np.finfo(np.float64).eps)
    gamma = backward(factor, forward(factor, b))
    C = backward(prior, gamma)
    residual = np.vstack([Y[rows] - kernel(rows) @ C for rows in numbered_blocks(n)])
    return RidgeFit(RidgeSystem(penalty, factor, prior), C, residual, float(np.sum(gamma**2)))


def forward(factor: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return T⁻¹ B for a lower triangular T."""
    return solve_triangular(factor, B, lower=True, check_finite=False)


def backward(factor: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return T⁻ᵀ B for a lower triangular T."""
    return solve_triangular(factor, B, lower=True, trans="T", check_finite=False)


def symmetric(lower: np.ndarray) -> np.ndarray:
    """Return the symmetric matrix of which a lower triangle is given."""
    full = np.tril(lower)
    full += np.tril(full, -1).T
    return full


def shifted_cholesky(K: np.ndarray, shift: np.ndarray, rounding: float) -> tuple[np.ndarray, np.ndarray]:
    """Factorise K + diag(shift), with a larger shift where rounding asks for it; return both."""
    for power in (None, *range(LIMITS.max_jitter + 1)):
        raised = shift if power is None else shift + rounding * 10.0**power
        try:
            return cholesky(
                raise_diagonal(K.copy(), raised), lower=True, overwrite_a=True, check_finite=False
            ), raised
        except LinAlgError:
            continue
    raise ValueError(
        "The kernel matrix is not positive definite even with its diagonal raised; expected finite inputs "
        f"of moderate size, got a diagonal of up to {np.max(np.diag(K)):.3g}. Standardise the features."
    )
