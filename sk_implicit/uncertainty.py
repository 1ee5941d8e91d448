r"""Predictive uncertainty: the Gaussian process of the linearised network.

Trained to the optimum, the network linearised there is kernel ridge regression with its tangent kernel K
and penalty a: the mean of a Gaussian process with covariance s² K and noise variance s² a/w on a row of
weight w [1]_. A new observation at x has the variance s² v(x) + σ², v of `sk_implicit.kernel_ridge` and one
σ² for all rows, whatever their weights. Leaving out weight u_i of row i (w_i, or less: see
`sampling.left_out_weights`) leaves the residual and the variance of f (over s²)

    e_i⁻ = e_i / (1 − u h_i/w_i),     v_i⁻ = a (h_i/w_i) / (1 − u h_i/w_i),

with e the residual and h = w v/a the leverage. s² and σ² maximise the leave-one-out predictive density,

    Σ_i w_i log N(e_i⁻; 0, s² v_i⁻ + σ²),      σ² ≥ s² a/w̄,

w̄ the mean weight, where s² has a closed form for a given ratio σ²/s², that of a mean square of 1 for the
residuals over their standard deviations. The noise is what the penalty stands for, or more where a penalty
close to 0 interpolates. A row of weight 2 counts exactly as the same row given twice. The network that
predicts need not be at the optimum of its linearisation: what its residuals are beyond those of the ridge
regression is added to e⁻.

On landmarks, the part of the prior variance that they do not span is added to v. A row that is a landmark
itself goes on spanning the fit when it is left out, so that s² and σ² are measured on the others.

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
    numbered_blocks,
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
    """Residual e⁻ and variance v⁻ of rows that are left out, and their weights, (r,) each."""

    residual: np.ndarray
    variance: np.ndarray
    weights: np.ndarray


class Rows(NamedTuple):
    """Training rows: weights w, what each loses when it is left out, u, and which are landmarks."""

    weights: np.ndarray
    left_out: np.ndarray
    landmarks: np.ndarray


def leave_out(
    fit: RidgeFit, c: int, kernel: Kernel, diagonal: np.ndarray, rows: Rows, excess: np.ndarray | float = 0.0
) -> LeftOut:
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
    rows : Rows
        The rows.
    excess : (n,) array or 0
        What the residuals of the predictions are beyond those of the ridge regression.
    """
    system, weights = fit.system, rows.weights
    u = rows.left_out / weights
    if fit.shift is not None:
        left = np.minimum(fit.shift * system.inverse_diagonal(), 1.0)  # 1 − h
        spanned, unspanned = fit.shift * (1.0 - left), np.zeros(len(weights))
        # 1 − u h/w, written so that it keeps its digits where h is close to 1
        kept = (1.0 - u) + u * left
        counted = np.ones(len(weights), bool)
    else:
        parts = [
            system.split_variance(kernel(part), diagonal[part]) for part in numbered_blocks(len(weights))
        ]
        spanned, unspanned = (np.concatenate(part) for part in zip(*parts))
        spanned = np.minimum(spanned, system.penalty / weights)  # a h/w
        kept = 1.0 - rows.left_out * spanned / system.penalty
        counted = np.ones(len(weights), bool)
        counted[rows.landmarks] = False
    kept = np.maximum(kept, np.finfo(np.float64).eps)
    residual, variance = fit.residual[:, c] / kept + excess, spanned / kept + unspanned
    return LeftOut(residual[counted], variance[counted], weights[counted])


def calibrate(left_out: LeftOut, least: float) -> tuple[float, float]:
    """Return s² and σ² of the largest leave-one-out predictive density.

    Parameters
    ----------
    left_out : LeftOut
        From `leave_out`.
    least : float
        The least ratio σ²/s².
    """
    squares, weights = left_out.residual**2, left_out.weights
    if not squares.any():
        return 0.0, 0.0
    ratios = least * _RATIOS
    variances = left_out.variance + ratios[:, None]
    amplitudes = np.average(squares / variances, axis=1, weights=weights)
    densities = np.log(amplitudes) + np.average(np.log(variances), axis=1, weights=weights)
    ratio, _ = refined_minimum(ratios, densities, int(np.argmin(densities)))
    amplitude = float(np.average(squares / (left_out.variance + ratio), weights=weights))
    return amplitude, amplitude * ratio


def limit_posterior(
    fit: LimitFit, X, weights: np.ndarray, left_out: np.ndarray, *, gamma: float
) -> Posterior:
    """Return the posterior of the infinitely wide network; the outputs share its kernel.

    Parameters
    ----------
    fit : LimitFit
        The trained network.
    X, weights, left_out, gamma
        As in `fit_limit`.
    """
    kernel = limit_kernel_rows(X, fit.landmarks, gamma)
    diagonal = limit_diagonal(X, gamma=gamma)
    rows = Rows(weights, left_out, fit.landmarks)
    k = fit.ridge.dual.shape[1]
    predictions = [leave_out(fit.ridge, c, kernel, diagonal, rows) for c in range(k)]
    return _calibrated([fit.ridge.system], predictions, weights)


def tangent_posterior(
    tangent: TangentFeatures, drift: np.ndarray, residual: np.ndarray, weights: np.ndarray,
    left_out: np.ndarray, a: float,
) -> tuple[Posterior, TangentFeatures]:  # fmt: skip
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
    weights, left_out : (n,) arrays
        Positive sample weights, and how much of it a row loses when it is left out.
    a : float
        The penalty, absolute.
    """
    targets = residual + tangent.jvp(drift)  # what the linearised network was trained on
    landmarks = choose_landmarks(len(weights))
    rows = Rows(weights, left_out, landmarks)
    spanning, diagonals = tangent.take(landmarks), tangent.kernel_diagonal()
    systems, predictions = [], []
    for c in range(residual.shape[1]):

        def kernel(rows, c=c):
            return kernel_block(tangent.take(rows), spanning, c).astype(np.float64, copy=False)

        fit = fit_ridge(kernel, landmarks, targets[:, c : c + 1], weights, a)
        systems.append(fit.system)
        excess = residual[:, c] - fit.residual[:, 0]
        predictions.append(leave_out(fit, 0, kernel, diagonals[:, c], rows, excess))
    return _calibrated(systems, predictions, weights), spanning


def _calibrated(systems, left_out, weights) -> Posterior:
    penalties = [system.penalty / float(weights.mean()) for system in systems]
    penalties *= len(left_out) // len(systems)  # one for all outputs, or one for each
    scales = np.array([calibrate(one, least) for one, least in zip(left_out, penalties)])
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
