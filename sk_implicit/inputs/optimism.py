r"""How much leave-one-out is too good where scales were learnt from the same targets.

The scales are those of all rows, the row that is left out among them: where columns are many and rows few,
they have been fitted to its noise as well, and what stays of it is too well predicted. The maximum of the
penalised likelihood moves when a row is left out. With the predictions' errors e_i⁻ (leave-one-out at given
scales, variance s_i), J_i = ∂e_i⁻/∂u and z_i = J_i/√s_i, the gradient of a row's log density in u
(`inputs.likelihood`) is −z_i e_i⁻/√s_i, but for how s_i moves. The sum of the rows' Gauss-Newton matrices,
ZᵀZ, has twice the expectation of the likelihood's own curvature, ½ tr(S⁻¹ ∂K S⁻¹ ∂K), so that with κ = ½ and
the prior u ~ N(0, τ²) one Newton step without row i leads from e_i⁻ to [1]_

    e_i⁻ (1 + g_i/(1 − κ g_i)),      g_i = z_iᵀ (κ ZᵀZ + τ⁻² I)⁻¹ z_i.

κ g_i is the leverage of row i in the fit of the scales, as h_i is that in the fit of the function.
Derivatives by all scales come from two products with the kernel, as the gradient's do: with S = K + a W⁻¹,
α = S⁻¹ y and M = K + Bρ,

    ∂α/∂t_c = −S⁻¹ ∂K/∂t_c α,      ∂K/∂t_c α = n_c² ∘ (M α) + M (n_c² ∘ α) − 2 n_c ∘ (B (n_c ∘ α)).

Rows that are left out together have a block of ZZᵀ each, in coordinates that whiten their errors; the effect
that they share has its part in S, as in the likelihood: the scales were not fitted to it. What
predictions lose by it, as a factor of the mean squared error, is carried over to the penalty's choice at any
width.

References
----------
.. [1] R. D. Cook and S. Weisberg, "Residuals and influence in regression", Chapman and Hall 1982.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.linalg import cholesky, eigh, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.sparse import csr_array

from ..function_space.leaving_out import kept_share
from ..function_space.penalty import Optimism
from ..function_space.ridge import symmetric
from ..limit._matrix import mirror
from .likelihood import Angles, Likelihood, measure
from .scale_prior import SETTINGS as PRIOR


@dataclass(frozen=True, slots=True)
class OptimismSettings:
    """Where it is measured.

    Attributes
    ----------
    penalties : tuple of floats
        Relative to the mean of diag K; between them it is interpolated, and at ``no_penalty_more`` it is 1.
    no_penalty_more : float
        Where next to nothing is fitted.
    bias_std : float
        Standard deviation of the bias's log scale, which has no prior elsewhere; insensitive.
    curvature : float
        κ. With 1 the mean difference of score and R² is .04 on 80 tables of noise and signal (30 to 200 rows,
        5 to 400 columns), with ½ .02, with 0.3 .01, and without the correction .19.
    least_kept : float
        1 − κ g is at least this: a step that leads so far is none to believe in digits.
    most_leverage : float
        Leverages count as at most so many times their mean. Of rows far from all others, which have the
        largest, the curvature that Gauss-Newton leaves out says less: on 59 public tables the mean difference
        of score and R² is .01 with 2 and 0 with 3, and its mean size .058 and .061 (.060 without correction).
    """

    penalties: tuple[float, ...] = (1e-2, 1e-1, 1.0, 10.0, 100.0)
    no_penalty_more: float = 1e3
    bias_std: float = 2.0
    curvature: float = 0.5
    least_kept: float = 0.5
    most_leverage: float = 2.0


SETTINGS = OptimismSettings()


def measure_optimism(likelihood: Likelihood, parameters: np.ndarray) -> Optimism:
    """Return by which factor the error of rows left out is larger where the scales leave them out, too.

    Parameters
    ----------
    likelihood : Likelihood
        Which has been maximised.
    parameters : array
        At the maximum.
    """
    weights = likelihood.weights
    t = likelihood.log_scales(parameters)
    X = likelihood.X * np.exp(t)[likelihood.groups]
    K, angles = measure(X, likelihood.gamma)
    mirror(K)
    angles = angles.in_full(np.float32)  # a factor needs few digits
    scale = float(np.average(K.diagonal(), weights=weights))
    try:
        systems = _systems(likelihood, K, parameters)
    except np.linalg.LinAlgError:
        return Optimism(np.array([SETTINGS.no_penalty_more]), np.ones(1))
    factors = [_factor(likelihood, systems, angles, a * scale) for a in SETTINGS.penalties]
    return Optimism(np.append(SETTINGS.penalties, SETTINGS.no_penalty_more), np.append(factors, 1.0))


class _Inverse(Protocol):
    """S⁻¹ of S = K + a W⁻¹."""

    @property
    def diagonal(self) -> np.ndarray:
        """Return its diagonal, (n,)."""

    def times(self, B: np.ndarray) -> np.ndarray:
        """Return S⁻¹ B, in the precision of B."""

    def among(self, rows: np.ndarray) -> np.ndarray:
        """Return the block of S⁻¹ among some rows."""


@dataclass(frozen=True, slots=True)
class _Formed:
    """The matrix itself; where rows have something in common, that is in S."""

    matrix: np.ndarray

    @property
    def diagonal(self) -> np.ndarray:
        return self.matrix.diagonal()

    def times(self, B: np.ndarray) -> np.ndarray:
        return self.matrix.astype(B.dtype, copy=False) @ B

    def among(self, rows: np.ndarray) -> np.ndarray:
        return self.matrix[np.ix_(rows, rows)]


@dataclass(frozen=True, slots=True)
class _Decomposed:
    """R diag(v) Rᵀ: one decomposition √W K √W = Q Λ Qᵀ serves all penalties, R = √W Q, v = 1/(Λ + a)."""

    roots: dict[np.dtype, np.ndarray]
    values: np.ndarray

    @property
    def diagonal(self) -> np.ndarray:
        return self.roots[np.dtype(np.float64)] ** 2 @ self.values

    def times(self, B: np.ndarray) -> np.ndarray:
        R = self.roots[B.dtype]
        return R @ (self.values.astype(B.dtype)[:, None] * (R.T @ B))

    def among(self, rows: np.ndarray) -> np.ndarray:
        R = self.roots[np.dtype(np.float64)][rows]
        return (R * self.values) @ R.T


def _systems(likelihood: Likelihood, K: np.ndarray, parameters: np.ndarray) -> Callable[[float], _Inverse]:
    """Return the inverse as a function of the penalty."""
    weights = likelihood.weights
    if likelihood.same is None:
        root = np.sqrt(weights)[:, None]
        values, Q = eigh(root * K * root.T, driver="evd" if len(K) > 1 else None, overwrite_a=True)
        values, R = np.maximum(values, 0.0), root * Q
        roots = {R.dtype: R, np.dtype(np.float32): R.astype(np.float32)}
        least = len(K) * np.finfo(np.float64).eps * float(values[-1])

        def decomposed(penalty: float) -> _Decomposed:
            if penalty <= least:
                raise np.linalg.LinAlgError("singular to rounding")
            return _Decomposed(roots, 1.0 / (values + penalty))

        return decomposed
    # beside the noise of rows, that of groups
    noise = np.diag(1.0 / weights) + np.exp(parameters[-2] - parameters[-1]) * likelihood.same

    def formed(penalty: float) -> _Formed:
        factor = cholesky(K + penalty * noise, lower=True, overwrite_a=True, check_finite=False)
        return _Formed(symmetric(dpotri(factor, lower=1)[0]))

    return formed


def _factor(
    likelihood: Likelihood, systems: Callable[[float], _Inverse], angles: Angles, penalty: float
) -> float:
    """Return the factor for one penalty, an absolute one; 1 where it is nothing beside rounding."""
    try:
        factor = _larger(likelihood, systems(penalty), angles, penalty)
    except np.linalg.LinAlgError:
        return 1.0
    return max(factor, 1.0) if np.isfinite(factor) else 1.0


def _larger(likelihood: Likelihood, inverse: _Inverse, angles: Angles, penalty: float) -> float:
    """Return the mean squared error without the rows in the scales, too, over that with them."""
    Y, weights, left_out = likelihood.Y, likelihood.weights, likelihood.left_out
    share = left_out.weights / weights
    alpha = inverse.times(Y)
    precision = kept_share(penalty / weights * inverse.diagonal, share) * weights / penalty  # 1/s_i
    errors = alpha / precision[:, None]
    amplitude = np.einsum("nk,nk,n->k", errors, errors, precision) / likelihood.total
    amplitude = np.maximum(amplitude, np.finfo(np.float64).tiny)
    several = left_out.several()
    roots = [np.linalg.cholesky(inverse.among(rows)) for rows in several]
    white, slopes = errors * np.sqrt(precision)[:, None], []
    for c, one in enumerate(alpha.T):
        by_scales = _by_scales(likelihood, angles, one.astype(np.float32))
        change = -inverse.times(by_scales).astype(np.float64)
        slope = change / np.sqrt(precision * amplitude[c])[:, None]
        for rows, root in zip(several, roots):
            white[rows, c] = solve_triangular(root, one[rows], lower=True)
            slope[rows] = solve_triangular(root, change[rows], lower=True) / np.sqrt(amplitude[c])
        slopes.append(slope)
    before = _squares(white, precision, several, roots, weights)
    for c, unexplained in enumerate(_unexplained(slopes)):
        leverage = 1.0 - unexplained.diagonal()  # κ g
        most = SETTINGS.most_leverage * leverage.mean()
        kept = np.maximum(kept_share(1.0 - np.minimum(leverage, most), share), SETTINGS.least_kept)
        without = white[:, c] / kept
        for rows in several:  # along the eigenvectors of a group's block, of which one may have it all
            values, Q = np.linalg.eigh(unexplained[np.ix_(rows, rows)])
            values = np.maximum(values, max(1.0 - most * len(rows), SETTINGS.least_kept))
            without[rows] = Q @ ((Q.T @ white[rows, c]) / values)
        white[:, c] += (without - white[:, c]) / SETTINGS.curvature
    return _squares(white, precision, several, roots, weights) / before if before > 0 else 1.0


def _squares(white, precision, several, roots, weights) -> float:
    """Return Σ w e² of errors in white coordinates."""
    errors = white / np.sqrt(precision)[:, None]
    for rows, root in zip(several, roots):
        errors[rows] = solve_triangular(root, white[rows], lower=True, trans="T")
    return float(weights @ np.sum(errors**2, axis=1))


def _by_scales(likelihood: Likelihood, angles: Angles, alpha: np.ndarray) -> np.ndarray:
    """Return τ ∂K/∂u α for every scale, (n, g)."""
    N, M, B = angles
    groups = likelihood.groups
    columns = np.arange(len(groups))
    sums = csr_array((np.ones(len(groups), N.dtype), (groups, columns)), (int(groups.max()) + 1, len(groups)))
    squared = (sums @ (N**2).T).T  # M knows no columns: they are summed before it
    by_scale = squared * (M @ alpha)[:, None] + M @ (squared * alpha[:, None])
    by_scale -= 2 * (sums @ (N * (B @ (N * alpha[:, None]))).T).T
    n_penalised = likelihood.n_penalised
    by_scale[:, :n_penalised] = PRIOR.std * likelihood.prior.by_u(by_scale[:, :n_penalised].T).T
    by_scale[:, n_penalised:] *= SETTINGS.bias_std
    return by_scale


def _unexplained(slopes: list[np.ndarray]) -> list[np.ndarray]:
    """Return I − Z (ZᵀZ + I)⁻¹ Zᵀ among the rows of each output, (n, n); from the smaller Gram matrix."""
    slopes = [np.sqrt(SETTINGS.curvature) * slope for slope in slopes]
    Z, n = np.vstack(slopes), len(slopes[0])
    if Z.shape[0] <= Z.shape[1]:
        factor = cholesky(Z @ Z.T + np.eye(len(Z)), lower=True, overwrite_a=True, check_finite=False)
        R = symmetric(dpotri(factor, lower=1)[0])
        return [R[c : c + n, c : c + n] for c in range(0, len(Z), n)]
    factor = cholesky(Z.T @ Z + np.eye(Z.shape[1]), lower=True, overwrite_a=True, check_finite=False)
    halves = (solve_triangular(factor, slope.T, lower=True, check_finite=False).T for slope in slopes)
    return [np.eye(n) - half @ half.T for half in halves]
