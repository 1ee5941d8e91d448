r"""Predictive uncertainty: the Gaussian process of the linearised network.

Trained to the optimum, the network linearised there is kernel ridge regression with its tangent kernel K
and penalty a: the mean of a Gaussian process with covariance s² K and noise variance s² a/w on a row of
weight w [1]_. A new observation at x has the variance s² v(x) + σ², v of `function_space.ridge` and one
σ² for all rows, whatever their weights. Leaving out weight u_i of row i (w_i, or less) leaves the residual
and the variance of f (over s²)

    e_i⁻ = e_i / (1 − u h_i/w_i),     v_i⁻ = a (h_i/w_i) / (1 − u h_i/w_i),

with e the residual and h = w v/a the leverage. Rows G that are left out together (`leaving_out`) have, with
the covariance V of f among them in the place of v,

    e_G⁻ = (I − V W/a)⁻¹ e_G,     V⁻ = (I − V W/a)⁻¹ V.

s² and σ² maximise the leave-one-out predictive density,

    Σ_i w_i log N(e_i⁻; 0, s² v_i⁻ + σ²),      σ² ≥ s² a/w̄,

w̄ the mean weight of an observation, where s² has a closed form for a given ratio σ²/s², that of a mean
square of 1 for the residuals over their standard deviations. The noise is what the penalty stands for, or
more where a penalty close to 0 interpolates. A row of weight 2 counts exactly as the same row given twice.
The network that predicts need not be at the optimum of its linearisation: what its residuals are beyond
those of the ridge regression is added to e⁻.

On landmarks, the part of the prior variance that they do not span is added to v. A row that is a landmark
itself goes on spanning the fit when it is left out, so that s² and σ² are measured on the others.

References
----------
.. [1] C. E. Rasmussen and C. K. I. Williams, "Gaussian processes for machine learning", MIT Press 2006,
   sections 2.2 and 5.4.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from .._numerics.blocks import numbered_blocks
from .leave_one_out import refined_minimum
from .leaving_out import LeavingOut, kept_share, without_group
from .ridge import Kernel, RidgeFit, RidgeSystem

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

    def covariance(self, cross: list[np.ndarray], grams: list[np.ndarray]) -> np.ndarray:
        """Return the covariance of the function between new rows, (r, r, k); its diagonal is `variance`.

        Parameters
        ----------
        cross : list of (r, p) arrays
            Kernel between the new rows and the landmarks, one for each system.
        grams : list of (r, r) arrays
            Kernel between the new rows, one for each system.
        """
        parts = [s.covariance(k, gram) for s, k, gram in zip(self.systems, cross, grams)]
        return np.stack(parts, axis=2) * self.amplitudes

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


class LeftOutRows(NamedTuple):
    """Training rows: weights w, what is left out at a time, which are landmarks, and `Penalty.optimism`."""

    weights: np.ndarray
    left_out: LeavingOut
    landmarks: np.ndarray
    optimism: float = 1.0


def leave_out(
    fit: RidgeFit,
    c: int,
    kernel: Kernel,
    diagonal: np.ndarray,
    rows: LeftOutRows,
    excess: np.ndarray | float = 0.0,
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
    rows : LeftOutRows
        The rows.
    excess : (n,) array or 0
        What the residuals of the predictions are beyond those of the ridge regression.
    """
    system, weights = fit.system, rows.weights
    counted = np.ones(len(weights), bool)
    if fit.shift is not None:
        shift, inverse = fit.shift, system.inverse()
        left = np.minimum(shift * inverse.diagonal(), 1.0)  # 1 − h
        spanned, unspanned = shift * (1.0 - left), np.zeros(len(weights))
    else:
        shift, inverse = system.penalty / weights, None
        parts = [
            system.split_variance(kernel(part), diagonal[part]) for part in numbered_blocks(len(weights))
        ]
        spanned, unspanned = (np.concatenate(part) for part in zip(*parts))
        spanned = np.minimum(spanned, shift)  # a h/w
        left = 1.0 - weights * spanned / system.penalty
        counted[rows.landmarks] = False
    kept = kept_share(left, rows.left_out.weights / weights)
    residual, variance = fit.residual[:, c] / kept, spanned / kept
    for group in rows.left_out.several():
        if inverse is not None:
            unexplained = shift[group, None] * inverse[np.ix_(group, group)]
            covariance = (np.eye(len(group)) - unexplained) * shift[group]
        else:
            covariance = system.spanned_covariance(kernel(group))
            unexplained = np.eye(len(group)) - covariance / shift[group]
        without = without_group(unexplained, np.column_stack([fit.residual[group, c], covariance]))
        residual[group], variance[group] = without[:, 0], np.maximum(without[:, 1:].diagonal(), 0.0)
    residual, variance = np.sqrt(rows.optimism) * residual + excess, variance + unspanned
    return LeftOut(residual[counted], variance[counted], weights[counted])


def calibrate(left_out: LeftOut, least: float) -> tuple[float, float]:
    """Return s² and σ² of the largest leave-one-out predictive density; of a single row, σ² is infinite.

    Parameters
    ----------
    left_out : LeftOut
        From `leave_out`.
    least : float
        The least ratio σ²/s².
    """
    if len(left_out.weights) == 1:  # says nothing of others
        return 0.0, np.inf
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


def draws(covariance: np.ndarray, n_samples: int, rng: np.random.RandomState) -> np.ndarray:
    """Return normal vectors of mean 0 with given covariances, one for each output, (r, k, n_samples).

    Parameters
    ----------
    covariance : (r, r, k) array
        The covariance of each output; what rounding leaves of it below 0 counts as 0.
    n_samples : int
        How many to draw.
    rng : numpy.random.RandomState
        Draws them.
    """
    samples = np.empty((len(covariance), covariance.shape[2], n_samples))
    for c in range(covariance.shape[2]):
        variances, directions = eigh(covariance[:, :, c])
        root = directions * np.sqrt(np.maximum(variances, 0.0))
        samples[:, c] = root @ rng.standard_normal((len(root), n_samples))
    return samples


def calibrated(systems: Sequence[RidgeSystem], left_out: Sequence[LeftOut], mean_weight: float) -> Posterior:
    """Return the posterior of outputs whose rows were left out; one system for all of them, or one each."""
    penalties = [system.penalty / mean_weight for system in systems]
    penalties *= len(left_out) // len(systems)  # one for all outputs, or one for each
    scales = np.array([calibrate(one, least) for one, least in zip(left_out, penalties)])
    return Posterior(tuple(systems), scales[:, 0], scales[:, 1])
