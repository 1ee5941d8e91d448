"""How far the learnt relevance of the features is followed: not at all, half way, or all the way.

The relevance is learnt for an infinitely wide network. At finite width a strongly anisotropic input makes
the tangent kernel ill-conditioned and training less linear, while training finds much of the relevance
by itself. So the relevances are raised to a power, features keep their share beside the bias, and the
power is the one with the smallest leave-one-out error of the linearised network, where following the
relevance has to earn its keep.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import issparse

from ..network import Network, draw_network
from ..relevance import MAX_ROWS, Relevance, learn_relevance
from ..sampling import sample_rows
from ..scaling import InputScaling
from ..tangent import TangentFeatures, mean_kernel
from .leave_one_out import leave_one_out

# Powers that are tried, and the relative gain in leave-one-out error that the full power has to bring:
# chosen on the development half of the accuracy benchmark.
POWERS, REQUIRED_GAIN = (0.0, 0.5, 1.0), 0.5
# Three powers are told apart in float32, with few digits of the equilibria.
_TOL = 1e-4


def choose_inputs(X, Y: np.ndarray, weights: np.ndarray, start: Network, *, bias: bool) -> InputScaling:
    """Learn the relevance of the features and choose the power it enters with.

    Parameters
    ----------
    X : (n, d) array or CSR array
        Inputs.
    Y : (n, k) array
        Centred and scaled targets.
    weights : (n,) array
        Positive sample weights.
    start : Network
        The network before training; one with U = V = 0 borrows them from a fixed Gaussian draw.
    bias : bool
        Whether the inputs get a constant column.
    """
    relevance = learn_relevance(X, Y, weights, gamma=start.gamma, bias=bias)
    squares = _mean_squares(X, weights)
    candidates = [
        InputScaling.of(X, weights, columns=tempered(relevance, power, squares), bias=float(bias))
        for power in POWERS
    ]
    if np.all(relevance.columns == relevance.columns[0]):
        return candidates[0]
    if not start.U.any():
        twin = draw_network(start.shape, start.gamma, np.random.RandomState(0), dtype=start.theta.dtype)
        start = start.with_outputs(twin.U, twin.V)
    start = start.astype(np.float32)
    rows = sample_rows(len(weights), MAX_ROWS)
    errors = []
    for power, scaling in zip(POWERS, candidates):
        layers = start.forward(scaling.apply(X[rows]).astype(np.float32), tol=_TOL)
        if not layers.result.converged or layers.out_of_range().any():
            # gamma is too large, which the caller reports
            return candidates[0]
        K = mean_kernel(TangentFeatures.at(start, layers, tol=_TOL))
        score = leave_one_out(K, Y[rows], weights[rows]).score
        errors.append(score * (1 + REQUIRED_GAIN * power))
    return candidates[int(np.argmin(errors))]


def tempered(relevance: Relevance, power: float, squares: np.ndarray) -> np.ndarray:
    """Return the relevances to a power, scaled such that the features keep their mean square norm.

    ``squares`` are the mean squares of the columns, up to a common factor.
    """
    columns = relevance.columns**power
    kept = float(squares @ columns**2)
    return columns * np.sqrt(squares.sum() / kept) if kept > 0 else columns


def _mean_squares(X, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean squares of the columns, relative to the largest entry squared."""
    largest = float(np.abs(X).max()) or 1.0
    relative = (X / largest).astype(np.float64)
    relative = relative.multiply(relative) if issparse(relative) else relative**2
    return np.asarray(relative.T @ weights).ravel() / weights.sum()
