r"""Full-batch gradient descent on all weights: the algorithm of the paper.

θ ← θ − η ∇, with the gradient of Σ w ℓ(y, f) + ½ a ‖θ − θ₀‖² and a fixed step η. Where the curvature of
the loss is at most b (1 for the squared error ½ ‖y − f‖²), every η < 2/(b λ_max(S) + a), S = √W K √W,
converges on the linearised network; "auto" takes η = 1/(b λ_max(S) + a) at the start, by Lanczos on
products with J and Jᵀ, and keeps it while it is safe. The kernel K moves with the weights, which the theorem
keeps near their start by a large width; in narrow networks it may outgrow twice its first norm, and the loss
then rises. When that happens "auto" measures λ_max again, where it happens, and goes on from the best point
with the η of that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
# A loss above the best one by this share of it has risen; less may be the tolerance of the equilibria.
_RISEN = 1e-3
# A step found by "auto" is replaced by one below this share of it. Instability means a share below a half.
_SHORTER = 0.75


@dataclass(frozen=True, slots=True)
class GDState:
    """The step η, the ``learning_rate`` it was asked for by and, with "auto", the best point so far.

    Attributes
    ----------
    learning_rate : float
        The step η.
    asked : float or str
        The parameter.
    best : (n_weights,) array or None
        Weights of the least loss since the step was chosen.
    best_value : float
        That loss.
    """

    learning_rate: float
    asked: float | str
    best: np.ndarray | None = None
    best_value: float = np.inf


class GradientDescent:
    """Gradient descent with a fixed step; A is projected back where it would leave the well-posed set.

    Parameters
    ----------
    learning_rate : float or "auto"
        The step η on the summed objective; "auto" shortens it where the loss rises for its sake.
    """

    monotone = False
    progress = 1.0
    by_samples = False

    def __init__(self, learning_rate="auto"):
        self.learning_rate = learning_rate
        self._equilibria, self._adjoints = LinearExtrapolation(), LinearExtrapolation()

    def init(self, objective: Objective, point: Point) -> GDState:
        """Fix the step."""
        if self.learning_rate != "auto":
            return GDState(float(self.learning_rate), self.learning_rate)
        return GDState(_safe_step(objective, point), "auto", point.network.theta, point.value)

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
        diverged = has_diverged(objective, new)
        if state.best is not None:
            if diverged or new.value > (1 + _RISEN) * state.best_value:
                new, state = self._shorten(objective, point, new, state, diverged)
            elif new.value < state.best_value:
                state = replace(state, best=new.network.theta, best_value=new.value)
        elif diverged:
            raise NoStep(TrainingStatus.DIVERGED)
        return new, state, state.learning_rate

    def _shorten(
        self, objective: Objective, point: Point, new: Point, state: GDState, diverged: bool
    ) -> tuple[Point, GDState]:
        """Return the best point, and the state with a shorter step, where the last one was too long.

        Else the new point, from which on a rise is measured.
        """
        assert state.best is not None
        step = _safe_step(objective, point if diverged else new)
        if diverged:  # perhaps the kernel has grown on the way only
            step = min(step, 0.5 * state.learning_rate)
        if not step < _SHORTER * state.learning_rate:
            return new, replace(state, best=new.network.theta, best_value=new.value)
        best = objective.evaluate(state.best, near=point)
        if not objective.admits(best):
            raise NoStep(TrainingStatus.DIVERGED)
        self._equilibria, self._adjoints = LinearExtrapolation(), LinearExtrapolation()
        return best, replace(state, learning_rate=step)


def _safe_step(objective: Objective, point: Point) -> float:
    """Return 1/(b λ_max(S) + a) at a point."""
    curvature = largest_curvature(objective, point) + objective.penalty
    return 1.0 / curvature if curvature > 0 else 1.0


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
