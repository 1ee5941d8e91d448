r"""The infinitely wide network, trained to convergence: ridge regression or Newton's method on its kernel.

The targets of classes are softened: a row's class has the probability 1 − ε + ε/k of k classes, the others
ε/k ([1]_, section 7, with ε = 0.001). Rows that are easy to tell apart then end at finite log-odds, all at
about the same, instead of being driven as far as the penalty allows, and the penalty that leave-one-out
chooses can be small enough for the others.

References
----------
.. [1] C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens and Z. Wojna, "Rethinking the Inception architecture for
   computer vision", CVPR 2016, arXiv:1512.00567.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._numerics.blocks import sample_rows
from ..function_space.losses import Loss, SquaredError
from ..function_space.newton import fit_newton
from ..function_space.penalty import Penalty, best_penalty, most_rows
from ..function_space.ridge import Kernel, RidgeFit, choose_landmarks, fit_ridge
from ..limit import limit_diagonal, limit_kernel

# ε: how far targets are softened.
SOFTENING = 1e-3


@dataclass(frozen=True, slots=True)
class LimitFit:
    """The infinitely wide network, trained to convergence.

    Attributes
    ----------
    ridge : RidgeFit
        The kernel ridge regression it is.
    landmarks : (p,) int array
        Training rows that span it.
    penalty : Penalty
        The penalty and how it was chosen.
    loss : float
        The objective per unit of weight and output.
    """

    ridge: RidgeFit
    landmarks: np.ndarray
    penalty: Penalty
    loss: float

    @property
    def dual(self) -> np.ndarray:
        """C, (p, k)."""
        return self.ridge.dual

    @property
    def losses(self) -> list[float]:
        """The objective after each step: there is one."""
        return [self.loss]


def fit_limit(
    X, Y: np.ndarray, weights: np.ndarray, *, gamma: float, alpha, left_out: np.ndarray | None = None
) -> LimitFit:
    """Train the infinitely wide network: kernel ridge regression with its tangent kernel.

    Parameters
    ----------
    X : (n, p) array or CSR array
        Augmented and scaled inputs.
    Y : (n, k) array
        Centred and scaled targets.
    weights : (n,) array
        Positive sample weights.
    gamma : float
        Scale γ, below √2.
    alpha : float or "loo"
        Penalty relative to the weighted mean of diag K. "loo" minimises the leave-one-out error, on a
        fixed random sample of `function_space.penalty.MAX_ROWS` rows where there are more.
    left_out : (n,) array or None
        How much of its weight a row loses in leave-one-out, None for all of it.
    """
    n = len(Y)
    landmarks = choose_landmarks(n)
    kernel = limit_kernel_rows(X, landmarks, gamma)
    penalty = limit_penalty(X, Y, weights, SquaredError(), gamma=gamma, alpha=alpha, left_out=left_out)
    ridge = fit_ridge(kernel, landmarks, Y, weights, penalty.absolute)
    squares = float(weights @ np.sum(ridge.residual**2, axis=1))
    loss = 0.5 * (squares + penalty.absolute * ridge.squared_norm) / (weights.sum() * Y.shape[1])
    return LimitFit(ridge, landmarks, penalty, float(loss))


def limit_penalty(
    X, Y: np.ndarray, weights: np.ndarray, loss: Loss, *, gamma: float, alpha,
    left_out: np.ndarray | None = None,
) -> Penalty:  # fmt: skip
    """Return the penalty of the infinitely wide network, whose start predicts 0.

    Parameters
    ----------
    X, Y, weights, gamma, alpha, left_out
        As in `fit_limit`.
    loss : Loss
        What leave-one-out scores by.
    """
    scale = float(np.average(limit_diagonal(X, gamma=gamma).astype(np.float64), weights=weights))
    if alpha != "loo":
        return Penalty(float(alpha), float(alpha) * scale)
    rows = sample_rows(len(Y), most_rows(loss, Y.shape[1]))
    K, Y = limit_kernel_rows(X, rows, gamma)(rows), Y[rows]
    left_out = None if left_out is None else left_out[rows]
    return best_penalty(K, Y, np.zeros_like(Y), weights[rows], loss, left_out, scale)


def limit_kernel_rows(X, landmarks: np.ndarray, gamma: float) -> Kernel:
    """Return the tangent kernel of infinite width between rows of X and its landmarks, a function of rows."""
    X_p = X[landmarks].astype(np.float64)

    def kernel(rows: np.ndarray) -> np.ndarray:
        if np.array_equal(rows, landmarks):
            return limit_kernel(X_p, gamma=gamma)
        return limit_kernel(X[rows].astype(np.float64), X_p, gamma=gamma)

    return kernel


@dataclass(frozen=True, slots=True)
class LogisticLimit:
    """The infinitely wide network, trained to convergence on a loss that is not quadratic.

    Attributes
    ----------
    dual : (p, k) array
        C, in float64: predictions are k_p(x)ᵀ C.
    landmarks : (p,) int array
        Training rows that span it.
    penalty : Penalty
        The penalty and how it was chosen.
    losses : list of float
        The objective per unit of weight after each step.
    """

    dual: np.ndarray
    landmarks: np.ndarray
    penalty: Penalty
    losses: list[float]


def fit_logistic_limit(
    X, Y: np.ndarray, weights: np.ndarray, loss: Loss, *, gamma: float, alpha,
    left_out: np.ndarray | None = None,
) -> LogisticLimit:  # fmt: skip
    """Train the infinitely wide network on a loss that is not quadratic.

    Parameters
    ----------
    X : (n, p) array or CSR array
        Augmented and scaled inputs.
    Y : (n, k) array
        Indicators of the classes, to be softened.
    weights : (n,) array
        Positive sample weights.
    loss : Loss
        The loss ℓ.
    gamma : float
        Scale γ, below √2.
    alpha : float or "loo"
        Penalty relative to the weighted mean of diag K, raised to 1e-8 times the mean weight. "loo" minimises
        the approximate leave-one-out loss, on a fixed random sample of rows where there are many.
    left_out : (n,) array or None
        How much of its weight a row loses in leave-one-out, None for all of it.
    """
    Y = Y + SOFTENING * (1 / max(Y.shape[1], 2) - Y)
    landmarks = choose_landmarks(len(Y))
    kernel = limit_kernel_rows(X, landmarks, gamma)
    penalty = limit_penalty(X, Y, weights, loss, gamma=gamma, alpha=alpha, left_out=left_out)
    dual, losses = fit_newton(kernel, landmarks, Y, weights, loss, penalty.absolute)
    return LogisticLimit(dual, landmarks, penalty, losses)
