"""The penalty a, measured on the tangent kernel of the start."""

from __future__ import annotations

import numpy as np

from ..function_space.penalty import Optimism, Penalty, best_penalty, most_rows
from ..network import draw_network
from ..network.tangent import TangentFeatures, mean_diagonal, mean_kernel
from .objective import Objective


def choose_penalty(
    objective: Objective, alpha, output_init: str, optimism: Optimism | None = None
) -> Penalty:
    """Return the penalty for ``alpha``, a number relative to mean diag K or "loo".

    The kernel is that of the start with Gaussian U and V; a start with U = V = 0 borrows them from a
    fixed draw, so that one alpha means the same penalty for every start. Leave-one-out is as optimistic as
    scales of the inputs make it.
    """
    loss, first = objective.loss, objective.first
    rows = objective.left_out.sample(most_rows(loss, objective.Y.shape[1]))
    tangent, weights = _gaussian_tangent(objective, output_init, rows), objective.weights[rows]
    scale = mean_diagonal(tangent, weights)
    if not (alpha == "loo" or loss.needs_noise):
        return Penalty(float(alpha), float(alpha) * scale)
    Y, F0 = objective.Y[rows], objective.predictions(first)[rows]
    left_out = objective.left_out[rows]
    return best_penalty(mean_kernel(tangent), Y, F0, weights, loss, left_out, scale, alpha, optimism)


def _gaussian_tangent(objective: Objective, output_init: str, rows) -> TangentFeatures:
    """Return the tangent features of the start for some rows, with Gaussian U and V."""
    point, network = objective.first, objective.start
    if output_init == "zero":
        twin = draw_network(network.shape, network.gamma, np.random.RandomState(0), dtype=network.theta.dtype)
        network = network.with_outputs(twin.U, twin.V)
    return TangentFeatures.at(network, point.layers.take(rows), objective.options(objective.tolerance(point)))
