r"""Losses of positive targets with a log link, μ = exp(f): half the deviances of Poisson and gamma.

They are those of generalised linear models [1]_, per unit of dispersion::

    Poisson    ℓ = y log(y/μ) − y + μ,      r = y − μ,        ∂²ℓ/∂f² = μ
    gamma      ℓ = y/μ − 1 − log(y/μ),      r = y/μ − 1,      ∂²ℓ/∂f² = y/μ

Both are convex in f. Where a target is far from μ, on the side on which the curvature is small, a Newton
step r/(∂²ℓ/∂f²) goes far beyond the change log(y/μ) that a row's loss is least at: there the curvature is
taken to be larger.

References
----------
.. [1] P. McCullagh and J. A. Nelder, "Generalized linear models", 2nd edition, 1989, sections 2.3 and 8.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from .losses import LEAST_CURVATURE, Curvature, Evaluation, Loss


class _LogLink(Loss):
    """What the two have in common."""

    def curvature(self, Y: np.ndarray, residual: np.ndarray, weights: np.ndarray):
        """Return the root of the curvature, raised for targets far away, and the residual over it."""
        Y, residual = Y.astype(np.float64, copy=False), residual.astype(np.float64, copy=False)
        root, scale = np.sqrt(weights, dtype=np.float64)[:, None], np.sqrt(self._bend(Y, residual))
        return Curvature(root * scale), root * residual / scale

    def _bend(self, Y: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """Return ∂²ℓ/∂f², or what is taken for it, (n, k)."""
        raise NotImplementedError

    def linked(self, Y: np.ndarray) -> np.ndarray:
        """Return log y."""
        with np.errstate(divide="ignore"):
            return np.log(Y)

    def resolved(self, mean_squared_residual: float, dtype) -> bool:
        """Whether every target is met to a few digits."""
        return mean_squared_residual <= 1e-8


@dataclass(frozen=True, slots=True)
class PoissonDeviance(_LogLink):
    """Half the Poisson deviance of targets y ≥ 0, summed over outputs.

    Attributes
    ----------
    least_share : float
        The curvature is taken where μ is at least this share of y.
    """

    least_share: float = 0.1

    def evaluate(self, Y: np.ndarray, F: np.ndarray) -> Evaluation:
        """Return half the deviance, summed over outputs, and y − μ."""
        with np.errstate(over="ignore", invalid="ignore"):  # a step too far: such a value is not accepted
            residual = Y - np.exp(F)
            value = np.sum(xlogy(Y, Y) - Y * F - residual, axis=1)
        return Evaluation(np.maximum(value, 0), residual)

    def _bend(self, Y: np.ndarray, residual: np.ndarray) -> np.ndarray:
        return np.maximum(Y - residual, np.maximum(self.least_share * Y, LEAST_CURVATURE))

    def largest_curvature(self, Y: np.ndarray) -> float:
        """Return the largest target: predictions beyond it are none that training has to stay at."""
        return float(Y.max(initial=1.0))


@dataclass(frozen=True, slots=True)
class GammaDeviance(_LogLink):
    """Half the gamma deviance of targets y > 0, summed over outputs.

    Attributes
    ----------
    least_share : float
        The curvature is taken where y/μ is at least this.
    """

    least_share: float = 0.1

    def evaluate(self, Y: np.ndarray, F: np.ndarray) -> Evaluation:
        """Return half the deviance, summed over outputs, and y/μ − 1."""
        with np.errstate(over="ignore", invalid="ignore"):  # a step too far: such a value is not accepted
            residual = Y * np.exp(-F) - 1
            value = np.sum(residual + F - np.log(Y), axis=1)
        return Evaluation(np.maximum(value, 0), residual)

    def _bend(self, Y: np.ndarray, residual: np.ndarray) -> np.ndarray:
        return np.maximum(1 + residual, self.least_share)

    def largest_curvature(self, Y: np.ndarray) -> float:
        """Return the largest target over the mean, at which training starts."""
        return float(Y.max(initial=1.0))
