"""The penalty a, measured on the tangent kernel of the start."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..losses import Loss
from ..network import draw_network
from ..sampling import sample_rows
from ..tangent import TangentFeatures, mean_diagonal, mean_kernel
from .approximate_leave_one_out import approximate_leave_one_out
from .leave_one_out import LeaveOneOut, keeps_to_range, leave_one_out
from .objective import Objective

# Rows whose kernel is decomposed; beyond, a random sample of this many stands for all.
MAX_ROWS = 2000
# The same for a loss that is not quadratic, which takes k inversions of a matrix for every penalty
# that is tried and every step of Newton's method: rows³ · k stays below this.
_MAX_INVERSION = 1e8


@dataclass(frozen=True, slots=True)
class Penalty:
    """The penalty, and what leave-one-out says with it.

    Attributes
    ----------
    relative, absolute : float
        ``alpha_`` and the factor a in front of ½‖θ − θ₀‖².
    score : float or None
        Share of the loss of the start that the linearised network explains, leave-one-out (R² for the
        squared error), where it was computed.
    in_range : (k,) bool array or None
        Whether the predictions of each output are better kept within the range of the targets, where that
        is known (the squared error).
    """

    relative: float
    absolute: float
    score: float | None = None
    in_range: np.ndarray | None = None


def choose_penalty(objective: Objective, alpha, output_init: str) -> Penalty:
    """Return the penalty for ``alpha``, a number relative to mean diag K or "loo".

    The kernel is that of the start with Gaussian U and V; a start with U = V = 0 borrows them from a
    fixed draw, so that one alpha means the same penalty for every start.
    """
    loss, first = objective.loss, objective.first
    rows = sample_rows(len(objective.weights), most_rows(loss, objective.Y.shape[1]))
    tangent, weights = _gaussian_tangent(objective, output_init, rows), objective.weights[rows]
    scale = mean_diagonal(tangent, weights)
    if alpha != "loo":
        return Penalty(float(alpha), float(alpha) * scale)
    Y, F0 = objective.Y[rows], objective.predictions(first)[rows]
    return best_penalty(mean_kernel(tangent), Y, F0, weights, loss, objective.left_out[rows], scale)


def most_rows(loss: Loss, k: int) -> int:
    """Return the most rows that the penalty of a problem with k outputs is chosen on."""
    return MAX_ROWS if loss.quadratic else int(np.cbrt(_MAX_INVERSION / k))


def best_penalty(
    K: np.ndarray, Y, F0, weights: np.ndarray, loss: Loss, left_out: np.ndarray | None, scale: float
) -> Penalty:
    """Choose the penalty by leave-one-out, for one kernel of all outputs.

    Parameters
    ----------
    K : (n, n) array
        The kernel.
    Y, F0 : (n, k) arrays
        Targets, and predictions of the start.
    weights : (n,) array
        Positive sample weights.
    loss : Loss
        What predictions are scored by.
    left_out : (n,) array or None
        How much weight a row loses, None for all of it.
    scale : float
        Mean of diag K over all rows.
    """
    losses, residual = loss.evaluate(Y, F0)
    choice: LeaveOneOut
    in_range = None
    if loss.quadratic:
        choice = exact = leave_one_out(K, residual, weights, left_out)
        losses = np.mean(residual**2, axis=1)
        in_range = keeps_to_range(Y, exact.residual, weights)
    else:
        choice = approximate_leave_one_out(K, Y, F0, weights, loss, left_out)
    unexplained = float(np.average(losses, weights=weights))
    score = 1 - choice.score / unexplained if unexplained > 0 else 1.0
    return Penalty(choice.alpha, choice.alpha * scale, score, in_range)


def _gaussian_tangent(objective: Objective, output_init: str, rows) -> TangentFeatures:
    """Return the tangent features of the start for some rows, with Gaussian U and V."""
    point, network = objective.first, objective.start
    if output_init == "zero":
        twin = draw_network(network.shape, network.gamma, np.random.RandomState(0), dtype=network.theta.dtype)
        network = network.with_outputs(twin.U, twin.V)
    return TangentFeatures.at(
        network, point.layers.take(rows), tol=objective.tolerance(point), solver=objective.equilibrium_solver
    )
