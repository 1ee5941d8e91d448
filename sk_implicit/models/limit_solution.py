"""The infinitely wide network, trained to convergence: ridge regression or Newton's method on its kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._numerics.blocks import sample_rows
from ..function_space.leaving_out import LeavingOut
from ..function_space.losses import Loss
from ..function_space.newton import fit_newton
from ..function_space.penalty import Optimism, Penalty, best_penalty, most_rows
from ..function_space.ridge import Kernel, RidgeFit, choose_landmarks, fit_ridge
from ..limit import limit_diagonal, limit_kernel


@dataclass(frozen=True, slots=True)
class LimitSolution:
    """The infinitely wide network, trained to convergence.

    Attributes
    ----------
    dual : (p, k) array
        C, in float64: predictions are k_p(x)ᵀ C.
    landmarks : (p,) int array
        Training rows that span it.
    penalty : Penalty
        The penalty and how it was chosen.
    losses : list of float
        The objective after each step, per unit of weight and term of the loss.
    ridge : RidgeFit or None
        The kernel ridge regression it is, where the loss is the squared error.
    shift : (k,) array or float
        What is added to predictions, on the network's scale.
    """

    dual: np.ndarray
    landmarks: np.ndarray
    penalty: Penalty
    losses: list[float]
    ridge: RidgeFit | None = None
    shift: np.ndarray | float = 0.0


def solve_limit(
    X, Y: np.ndarray, weights: np.ndarray, loss: Loss, *, gamma: float, alpha,
    left_out: LeavingOut | None = None, optimism: Optimism | None = None,
) -> LimitSolution:  # fmt: skip
    """Train the infinitely wide network: ridge regression on its tangent kernel, or Newton's method.

    Parameters
    ----------
    X : (n, p) array or CSR array
        Augmented and scaled inputs.
    Y : (n, k) array
        Targets on the network's scale; those of classes are softened here (`Loss.softened`).
    weights : (n,) array
        Positive sample weights.
    loss : Loss
        The loss ℓ, convex in the predictions.
    gamma : float
        Scale γ, below √2.
    alpha : float or "loo"
        Penalty relative to the weighted mean of diag K, raised to what `ridge` or `newton` can do with.
        "loo" minimises the leave-one-out loss, on a fixed random sample of rows where there are more than
        `function_space.penalty.most_rows`.
    left_out : LeavingOut or None
        What is left out at a time, None for every row by itself.
    optimism : Optimism or None
        That of the scales of the inputs.
    """
    Y = loss.softened(Y)
    landmarks = choose_landmarks(len(Y), left_out)
    kernel = limit_kernel_rows(X, landmarks, gamma)
    penalty = limit_penalty(
        X, Y, weights, loss, gamma=gamma, alpha=alpha, left_out=left_out, optimism=optimism
    )
    if penalty.noise is not None:
        loss, _ = loss.at_noise(penalty.noise)
    if not loss.constant_curvature:
        dual, losses = fit_newton(kernel, landmarks, Y, weights, loss, penalty.absolute)
        size = loss.size * loss.n_terms(Y.shape[1])
        shift = np.zeros(Y.shape[1])
        if penalty.calibration is not None:
            dual, shift = loss.calibrated(dual, Y, penalty.calibration)
        return LimitSolution(dual, landmarks, penalty, [value / size for value in losses], shift=shift)
    ridge = fit_ridge(kernel, landmarks, Y, weights, penalty.absolute)
    squares = float(weights @ np.sum(ridge.residual**2, axis=1))
    value = 0.5 * (squares + penalty.absolute * ridge.squared_norm) / (weights.sum() * Y.shape[1])
    return LimitSolution(ridge.dual, landmarks, penalty, [float(value)], ridge)


def limit_penalty(
    X, Y: np.ndarray, weights: np.ndarray, loss: Loss, *, gamma: float, alpha,
    left_out: LeavingOut | None = None, optimism: Optimism | None = None,
) -> Penalty:  # fmt: skip
    """Return the penalty of the infinitely wide network, whose start predicts 0.

    Parameters
    ----------
    X, Y, weights, gamma, alpha, left_out, optimism
        As in `solve_limit`.
    loss : Loss
        What leave-one-out scores by.
    """
    scale = float(np.average(limit_diagonal(X, gamma=gamma).astype(np.float64), weights=weights))
    if not (alpha == "loo" or loss.needs_noise):
        return Penalty(float(alpha), float(alpha) * scale)
    most = most_rows(loss, Y.shape[1])
    rows = sample_rows(len(Y), most) if left_out is None else left_out.sample(most)
    K, Y = limit_kernel_rows(X, rows, gamma)(rows), Y[rows]
    left_out = None if left_out is None else left_out[rows]
    return best_penalty(K, Y, np.zeros_like(Y), weights[rows], loss, left_out, scale, alpha, optimism)


def limit_kernel_rows(X, landmarks: np.ndarray, gamma: float) -> Kernel:
    """Return the tangent kernel of infinite width between rows of X and its landmarks, a function of rows."""
    X_p = X[landmarks].astype(np.float64)

    def kernel(rows: np.ndarray) -> np.ndarray:
        if np.array_equal(rows, landmarks):
            return limit_kernel(X_p, gamma=gamma)
        return limit_kernel(X[rows].astype(np.float64), X_p, gamma=gamma)

    return kernel
