r"""Full-batch gradient descent on all weights: the algorithm of the paper.

θ ← θ − η ∇, with the gradient of Σ w ℓ(y, f) + ½ a ‖θ − θ₀‖² and a fixed step η. Where the curvature of
the loss is at most b (1 for the squared error ½ ‖y − f‖²), every η < 2/(b λ_max(S) + a), S = √W K √W,
converges on the linearised network; "auto" takes η = 1/(b λ_max(S) + a) at the start, by Lanczos on
products with J and Jᵀ, and keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import LinearOperator

from .._numerics.spectral import largest_eigenvalue
from ..network.adjoint import State, Term
from .driver import NoStep
from .extrapolation import LinearExtrapolation
from .objective import Objective, Point
from .records import TrainingStatus

# A loss this many times that of the start means divergence: there is no way back at a fixed step.
_DIVERGED = 1e4


@dataclass(frozen=True, slots=True)
class GDState:
    """The step η, fixed at the start, and the ``learning_rate`` it was asked for by."""

    learning_rate: float
    asked: float | str


class GradientDescent:
    """Gradient descent with a fixed step; A is projected back where it would leave the well-posed set.

    Parameters
    ----------
    learning_rate : float or "auto"
        The step η on the summed objective.
    """

    monotone = False
    progress = 1.0

    def __init__(self, learning_rate="auto"):
        self.learning_rate = learning_rate
        self._equilibria, self._adjoints = LinearExtrapolation(), LinearExtrapolation()

    def init(self, objective: Objective, point: Point) -> GDState:
        """Fix the step."""
        if self.learning_rate != "auto":
            return GDState(float(self.learning_rate), self.learning_rate)
        curvature = largest_curvature(objective, point) + objective.penalty
        return GDState(1.0 / curvature if curvature > 0 else 1.0, "auto")

    def step(self, objective: Objective, point: Point, state: GDState):
        """Take one step along the negative gradient."""
        if state.asked != self.learning_rate:  # changed since
            state = self.init(objective, point)
        start = self._adjoints.start()
        near = None if start is None else (Term(start, State.Z),)
        gradient, terms = objective.gradient(point, near=near)
        self._adjoints.add(terms[0].left)
        with np.errstate(over="ignore", invalid="ignore"):  # divergence is reported, not raised
            gradient *= -state.learning_rate * objective.total_weight
            gradient += point.network.theta
        check_range(gradient)
        new = evaluate_projected(objective, gradient, point, Z0=self._equilibria.start())
        self._equilibria.add(new.layers.Z)
        if has_diverged(objective, new):
            raise NoStep(TrainingStatus.DIVERGED)
        return new, state, state.learning_rate


def evaluate_projected(
    objective: Objective, theta: np.ndarray, near: Point, Z0: np.ndarray | None = None
) -> Point:
    """Evaluate at θ with A scaled back, in place, to the largest contraction that is allowed."""
    with np.errstate(over="ignore", invalid="ignore"):  # divergence is reported, not raised
        point = objective.evaluate(theta, near=near, Z0=Z0)
        if not point.norm.is_below(objective.max_contraction) and point.contraction < np.inf:
            m = point.network.shape.m
            theta[: m * m] *= 0.999 * objective.accuracy.max_contraction / point.contraction
            point = objective.evaluate(theta, near=near)
    return point


def check_range(theta: np.ndarray) -> None:
    """Raise where weights are so large that their squares have no number."""
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.isfinite(theta @ theta):
            raise NoStep(TrainingStatus.DIVERGED)


def has_diverged(objective: Objective, point: Point) -> bool:
    """Whether a fixed step has led where training cannot go on."""
    return not objective.admits(point) or point.value > max(1.0, objective.first_value) * _DIVERGED


def largest_curvature(objective: Objective, point: Point) -> float:
    """Return λ_max(√W K √W) by Lanczos, times the largest curvature of the loss.

    Each step of Lanczos takes two matrix products.
    """
    tangent = objective.tangent(point)
    root = np.sqrt(objective.weights)[:, None].astype(point.residual.dtype)
    shape = point.residual.shape

    def product(v):
        return (root * tangent.jvp(tangent.vjp(root * v.reshape(shape)))).ravel()

    order = point.residual.size
    operator = LinearOperator((order, order), matvec=product, dtype=point.residual.dtype)
    value, _ = largest_eigenvalue(operator, tol=1e-8)
    return objective.loss.largest_curvature(objective.Y) * value
