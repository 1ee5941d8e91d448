r"""Normal scores: the quantiles of a normal distribution that targets have the ranks of [1]_.

A few large targets decide the likelihood of a Gaussian process, and the scales that it is maximised over,
though with noise they say little. Their normal scores give every row its say.

References
----------
.. [1] B. L. van der Waerden, "Order tests for the two-sample problem and their power", Indagationes
   Mathematicae 14, 1952.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from .._numerics.ranges import centred

# Share of the weight that every row has below and above it at least: scores are finite.
_LEAST = 1e-6


def normal_scores(Y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the scores of each column, of weighted mean 0 and variance 1; equal targets have equal scores.

    Parameters
    ----------
    Y : (n, k) array
        Targets. Of a constant column, scores are 0.
    weights : (n,) array
        Positive sample weights: a row of weight 2 counts as two.
    """
    scores = np.empty(Y.shape)
    for c, column in enumerate(Y.T):
        _, place = np.unique(column, return_inverse=True)
        mass = np.bincount(place, weights)
        below = (np.cumsum(mass) - mass / 2) / mass.sum()
        scores[:, c] = ndtri(np.clip(below, _LEAST, 1 - _LEAST))[place]
    return _standardised(scores, weights)


def far_from_normal(
    Y: np.ndarray, scores: np.ndarray, weights: np.ndarray, normal: float = 0.98
) -> np.ndarray:
    """Return which columns correlate with their scores by less than ``normal``, (k,)."""
    correlation = weights @ (_standardised(Y, weights) * scores) / weights.sum()
    return (correlation < normal) & np.any(scores, axis=0)


def _standardised(Y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return columns of weighted mean 0 and variance 1; constant ones are 0."""
    relative, _, _, size = centred(Y, weights, moderate=True)
    return relative / np.where(size > 0, size, 1.0)
