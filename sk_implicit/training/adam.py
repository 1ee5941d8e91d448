r"""Minibatch Adam: D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.

One step of the driver is one epoch. Gradients are those of the objective's value (a mean over rows), so
the learning rate does not depend on the number of rows; equilibria of a minibatch start from those of
the epoch before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..network import Network
from ..network.adjoint import vjp_at
from .driver import NoStep
from .gradient_descent import check_range, evaluate_projected, has_diverged
from .objective import Objective, Point
from .records import TrainingStatus


@dataclass(frozen=True, slots=True)
class AdamSettings:
    """Constants of the updates.

    Attributes
    ----------
    beta_1, beta_2, epsilon : float
        The defaults of the paper, as in scikit-learn's MLPRegressor.
    learning_rate : float
        That of "auto". Weights are of order one here (the factors 1/√m stand outside), so steps can be larger
        than the paper's 1e-3.
    batch_size : int
        That of "auto", as in scikit-learn's MLPRegressor.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    learning_rate: float = 1e-2
    batch_size: int = 200


DEFAULT = AdamSettings()


@dataclass(slots=True)
class AdamState:
    """First and second moments of the gradient, the number of updates, and the shuffling's state."""

    first: np.ndarray
    second: np.ndarray
    n_updates: int
    shuffling: dict


class Adam:
    """Minibatch Adam; A is projected back, once an epoch, where it would leave the well-posed set.

    Parameters
    ----------
    learning_rate : float or "auto"
        Step size; "auto" is 1e-2.
    batch_size : int or "auto"
        Rows in a minibatch; "auto" is min(200, n).
    rng : numpy.random.RandomState
        Seeds the shuffling of the rows.
    settings : AdamSettings
        Constants of the updates.
    """

    monotone = False
    progress = 1.0
    by_samples = False

    def __init__(
        self, learning_rate, batch_size, rng: np.random.RandomState, settings: AdamSettings = DEFAULT
    ):
        self.learning_rate = settings.learning_rate if learning_rate == "auto" else learning_rate
        self.batch_size = settings.batch_size if batch_size == "auto" else batch_size
        self.rng, self.settings = rng, settings

    def init(self, objective: Objective, point: Point) -> AdamState:
        """Start with zero moments."""
        zeros = np.zeros_like(point.network.theta)
        # a generator of its own: that of the caller goes on, whatever is drawn in between
        shuffling = np.random.RandomState(self.rng.randint(2**31 - 1))
        return AdamState(zeros, zeros.copy(), 0, shuffling.get_state(legacy=False))

    def step(self, objective: Objective, point: Point, state: AdamState):
        """Pass once over the rows, in random order."""
        if state.n_updates == 0:
            gradient, _ = objective.gradient(point)
            # divided by its own size, as Adam does, rounding errors would lead away from a minimum
            if gradient @ gradient <= np.finfo(gradient.dtype).eps * point.value:
                raise NoStep(TrainingStatus.CONVERGED)
        shuffling = np.random.RandomState(0)
        shuffling.set_state(state.shuffling)
        n = len(objective.Y)
        order = shuffling.permutation(n)
        theta = point.network.theta.copy()
        first, second, n_updates = state.first.copy(), state.second.copy(), state.n_updates
        Z = point.layers.Z.copy()
        with np.errstate(over="ignore", invalid="ignore"):  # divergence is reported, not raised
            for start in range(0, n, self.batch_size):
                rows = order[start : start + self.batch_size]
                network = objective.start.with_theta(theta)
                gradient = self._gradient(objective, network, rows, Z)
                if not np.isfinite(gradient).all():
                    raise NoStep(TrainingStatus.DIVERGED)
                n_updates += 1
                self._update(theta, gradient, first, second, n_updates)
                check_range(theta)
        new = evaluate_projected(objective, theta, point)
        if has_diverged(objective, new):
            raise NoStep(TrainingStatus.DIVERGED)
        state = AdamState(first, second, n_updates, shuffling.get_state(legacy=False))
        return new, state, self.learning_rate

    def _gradient(self, objective: Objective, network: Network, rows, Z):
        """Return the minibatch's estimate of the gradient; Z of its rows is brought up to date."""
        options = objective.options(objective.tolerance(None))
        # A certified start stays near the certified set. Elsewhere there may be several equilibria, and the
        # one that counts is that of a cold start.
        warm = np.isfinite(objective.max_contraction)
        layers, _ = network.forward(objective.X[rows], options, Z0=Z[rows] if warm else None)
        Z[rows] = layers.Z
        F = network.output(layers) - objective.offset[rows]
        residual = objective.loss.evaluate(objective.Y[rows], F).residual
        share = objective.weights[rows] / objective.total_weight * (len(Z) / len(rows))
        C = (-share[:, None] * residual).astype(residual.dtype, copy=False)
        gradient, _ = vjp_at(network, layers, C, options)
        if objective.penalty > 0:
            gradient += (objective.penalty / objective.total_weight) * (network.theta - objective.start.theta)
        return gradient

    def _update(self, theta, gradient, first, second, n_updates) -> None:
        """Apply one Adam update in place."""
        beta_1, beta_2 = self.settings.beta_1, self.settings.beta_2
        first *= beta_1
        first += (1 - beta_1) * gradient
        second *= beta_2
        second += (1 - beta_2) * gradient**2
        rate = self.learning_rate * np.sqrt(1 - beta_2**n_updates) / (1 - beta_1**n_updates)
        theta -= rate * first / (np.sqrt(second) + self.settings.epsilon)
