r"""Predictive uncertainty: the Gaussian process of the linearised network.

Trained to the optimum, the network linearised there is kernel ridge regression with its tangent kernel K
and penalty a: the mean of a Gaussian process with covariance s² K and noise variance s² a/w on a row of
weight w [1]_. A new observation of weight 1 at x has the variance s² v(x) + σ², v of
`sk_implicit.kernel_ridge`. Leaving out one unit of weight, u = min(w, 1), of row i leaves the residual and
the variance of f (over s²)

    e_i⁻ = e_i / (1 − u h_i/w_i),     v_i⁻ = a (h_i/w_i) / (1 − u h_i/w_i),

with e the residual and h = w v/a the leverage. s² and σ² maximise the leave-one-out predictive density,

    Σ_i w_i log N(e_i⁻; 0, s² v_i⁻ + σ²),      σ² ≥ s² a,

where s² has a closed form for a given ratio σ²/s², that of a mean square of 1 for the residuals over their
standard deviations. The noise is what the penalty stands for, or more where a penalty close to 0
interpolates. A row of weight 2 counts exactly as the same row given twice. On landmarks, the part of the
prior variance that they do not span is added to v.

References
----------
.. [1] C. E. Rasmussen and C. K. I. Williams, "Gaussian processes for machine learning", MIT Press 2006,
   sections 2.2 and 5.4.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .kernel_ridge import (
    Kernel,
    LimitFit,
    RidgeFit,
    RidgeSystem,
    choose_landmarks,
    fit_ridge,
    limit_kernel_rows,
    row_blocks,
)
from .limit import limit_diagonal, limit_kernel
from .tangent import TangentFeatures, kernel_block
from .training.leave_one_out import refined_minimum

# Ratios σ²/s² that are tried, relative to the penalty, six to a decade: up to nothing but noise.
_RATIOS = np.logspace(0, 12, 73)


@dataclass(frozen=True, slots=True)
class Posterior:
    """The Gaussian processes of the outputs, on the scale that the network is trained on.

    Attributes
    ----------
    systems : tuple of RidgeSystem
        The factorised kernel of the training rows: one for all outputs, or one for each.
    amplitudes, noises : (k,) arrays
        s² and σ² of each output.
    """

    systems: tuple[RidgeSystem, ...]
    amplitudes: np.ndarray
    noises: np.ndarray

    def variance(self, cross: list[np.ndarray], diagonals: list[np.ndarray]) -> np.ndarray:
        """Return the variance of the function, (r, k); that of a new observation has the noise in it as well.

        Parameters
        ----------
        cross : list of (r, p) arrays
            Kernel between the new rows and the landmarks, one for each system.
        diagonals : list of (r,) arrays
            k(x, x) of the new rows, one for each system.
        """
        parts = [s.variance(k, d) for s, k, d in zip(self.systems, cross, diagonals)]
        return np.stack(parts, axis=1) * self.amplitudes

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return plain arrays, for an estimator to keep."""
        arrays = {
            "penalties": np.array([system.penalty for system in self.systems]),
            "factors": np.stack([system.factor for system in self.systems]),
            "amplitudes": self.amplitudes,
            "noises": self.noises,
        }
        priors = [system.prior for system in self.systems if system.prior is not None]
        if priors:
            arrays["priors"] = np.stack(priors)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Posterior:
        """Return what `to_arrays` was made from."""
        priors = arrays.get("priors", [None] * len(arrays["factors"]))
        systems = map(RidgeSystem, arrays["penalties"].tolist(), arrays["factors"], priors)
        return cls(tuple(systems), arrays["amplitudes"], arrays["noises"])


class LeftOut(NamedTuple):
    """Residual e⁻ and variance v⁻ of every row without one unit of its weight, both (n,)."""

    residual: np.ndarray
    variance: np.ndarray


def leave_out(fit: RidgeFit, c: int, kernel: Kernel, diagonal: np.ndarray, weights: np.ndarray) -> LeftOut:
    """Return what each row's prediction is without it, for one output; see the module's head.

    Parameters
    ----------
    fit : RidgeFit
        The fitted ridge regression.
    c : int
        The output.
    kernel : callable
        The kernel between training rows and landmarks, as in `fit_ridge`.
    diagonal : (n,) array
        k(x, x) of the training rows.
    weights : (n,) array
        Positive sample weights.
    """
    system, a = fit.system, fit.system.penalty
    u = np.minimum(weights, 1.0)
    if system.prior is None:
        left = np.minimum(a / weights * system.inverse_diagonal(), 1.0)  # 1 − h
        share, unspanned = (1.0 - left) / weights, np.zeros(len(weights))
        # 1 − u h/w, written so that it keeps its digits where h is close to 1
        kept = (1.0 - u / weights) + u / weights * left
    else:
        parts = [system.split_variance(kernel(rows), diagonal[rows]) for rows in row_blocks(len(weights))]
        spanned, unspanned = (np.concatenate(part) for part in zip(*parts))
        share = np.minimum(spanned / a, 1.0 / weights)  # h/w
        kept = 1.0 - u * share
    kept = np.maximum(kept, np.finfo(np.float64).eps)
    return LeftOut(fit.residual[:, c] / kept, a * share / kept + unspanned)


def calibrate(left_out: LeftOut, weights: np.ndarray, a: float) -> tuple[float, float]:
    """Return s² and σ² of the largest leave-one-out predictive density.

    Parameters
    ----------
    left_out : LeftOut
        From `leave_out`.
    weights : (n,) array
        Positive sample weights.
    a : float
        The penalty, the least ratio σ²/s².
    """
    squares = left_out.residual**2
    if not squares.any():
        return 0.0, 0.0
    ratios = a * _RATIOS
    variances = left_out.variance + ratios[:, None]
    amplitudes = np.average(squares / variances, axis=1, weights=weights)
    densities = np.log(amplitudes) + np.average(np.log(variances), axis=1, weights=weights)
    ratio, _ = refined_minimum(ratios, densities, int(np.argmin(densities)))
    amplitude = float(np.average(squares / (left_out.variance + ratio), weights=weights))
    return amplitude, amplitude * ratio


def limit_posterior(fit: LimitFit, X, weights: np.ndarray, *, gamma: float) -> Posterior:
    """Return the posterior of the infinitely wide network; the outputs share its kernel.

    Parameters
    ----------
    fit : LimitFit
        The trained network.
    X, weights, gamma
        As in `fit_limit`.
    """
    kernel = limit_kernel_rows(X, fit.landmarks, gamma)
    diagonal = limit_diagonal(X, gamma=gamma)
    k = fit.ridge.dual.shape[1]
    left_out = [leave_out(fit.ridge, c, kernel, diagonal, weights) for c in range(k)]
    return _calibrated([fit.ridge.system], left_out, weights)


def tangent_posterior(
    tangent: TangentFeatures, drift: np.ndarray, residual: np.ndarray, weights: np.ndarray, a: float
) -> tuple[Posterior, TangentFeatures]:
    """Return the posterior of a network linearised at its optimum, and the Jacobian on the landmarks.

    The outputs are taken as independent: a network's outputs share A and W, and the blocks of the kernel
    between two of them, of relative size 1/√m at the start, are left out.

    Parameters
    ----------
    tangent : TangentFeatures
        The Jacobian on the training rows.
    drift : (n_weights,) array
        θ − θ₀.
    residual : (n, k) array
        Targets less predictions.
    weights : (n,) array
        Positive sample weights.
    a : float
        The penalty, absolute.
    """
    targets = residual + tangent.jvp(drift)  # what the linearised network was trained on
    landmarks = choose_landmarks(len(weights))
    spanning, diagonals = tangent.take(landmarks), tangent.kernel_diagonal()
    systems, left_out = [], []
    for c in range(residual.shape[1]):

        def kernel(rows, c=c):
            return kernel_block(tangent.take(rows), spanning, c).astype(np.float64, copy=False)

        fit = fit_ridge(kernel, landmarks, targets[:, c : c + 1], weights, a)
        systems.append(fit.system)
        left_out.append(leave_out(fit, 0, kernel, diagonals[:, c], weights))
    return _calibrated(systems, left_out, weights), spanning


def _calibrated(systems, left_out, weights) -> Posterior:
    scales = np.array([calibrate(one, weights, systems[0].penalty) for one in left_out])
    return Posterior(tuple(systems), scales[:, 0], scales[:, 1])


def tangent_variance(posterior: Posterior, spanning: TangentFeatures, new: TangentFeatures) -> np.ndarray:
    """Return the variance of the function at new rows, (r, k), for the Jacobian on them."""
    outputs = range(len(posterior.systems))
    cross = [kernel_block(new, spanning, c).astype(np.float64, copy=False) for c in outputs]
    return posterior.variance(cross, list(new.kernel_diagonal().T))


def limit_variance(posterior: Posterior, X_p, X, *, gamma: float) -> np.ndarray:
    """Return the variance of the function, (r, k), given the landmarks' and the new augmented rows."""
    X = X.astype(np.float64)
    cross = limit_kernel(X, X_p.astype(np.float64), gamma=gamma)
    return posterior.variance([cross], [limit_diagonal(X, gamma=gamma)])
