r"""Limited-memory BFGS, one step of the driver at a time.

The inverse Hessian is SciPy's `LbfgsInvHessProduct` on the last steps s and gradient changes y. That
operator starts from the identity; the usual start τ I, τ = sᵀy/yᵀy of the last pair, is had by giving
it s/τ and multiplying by τ, for H y = s holds if and only if (H/τ) y = s/τ. The line search is
Armijo's, by halving: the quasi-Newton step is nearly always taken as it is, and a point beyond the
well-posed set is only one more reason to halve. Because a step needs nothing but the pairs, training
can stop after any of them and continue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import LbfgsInvHessProduct

from ..network.adjoint import Term
from .driver import NoStep
from .gradient_descent import largest_curvature
from .objective import Objective, Point
from .records import TrainingStatus


@dataclass(frozen=True, slots=True)
class LBFGSSettings:
    """Memory and line search.

    Attributes
    ----------
    memory : int
        Pairs that are kept: the default of SciPy's L-BFGS-B.
    sufficient_decrease, max_halvings : float and int
        Armijo's constant (Nocedal and Wright, section 3.1) and the most halvings.
    resolution : float
        Below this relative predicted decrease nothing is left but rounding.
    min_curvature : float
        A pair is kept where the curvature along the step is positive beyond rounding.
    """

    memory: int = 10
    sufficient_decrease: float = 1e-4
    max_halvings: int = 30
    resolution: float = 1e-13
    min_curvature: float = 1e-10


_DEFAULT = LBFGSSettings()


@dataclass(frozen=True, slots=True)
class LBFGSState:
    """The last steps and gradient changes, (≤ memory, n_weights) each, and the first step's scale."""

    steps: np.ndarray
    changes: np.ndarray
    first_scale: float


class LBFGS:
    """Quasi-Newton steps with a backtracking line search.

    Parameters
    ----------
    settings : LBFGSSettings
        Memory and line search.
    """

    monotone = True
    progress = 1.0
    by_samples = False

    def __init__(self, settings: LBFGSSettings = _DEFAULT):
        self.settings = settings
        self._adjoint: tuple[Term, ...] | None = None
        self._gradient: tuple[Point, np.ndarray] | None = None

    def init(self, objective: Objective, point: Point) -> LBFGSState:
        """Start without curvature pairs; the first step is that of gradient descent."""
        none = np.empty((0, point.network.theta.size))
        curvature = (largest_curvature(objective, point) + objective.penalty) / objective.total_weight
        return LBFGSState(none, none, 1.0 / curvature if curvature > 0 else 1.0)

    def gradient(self, objective: Objective, point: Point) -> np.ndarray:
        """Return the gradient at a point; that of the newest point is remembered."""
        if self._gradient is None or self._gradient[0] is not point:
            gradient, self._adjoint = objective.gradient(point, near=self._adjoint)
            self._gradient = (point, gradient)
        return self._gradient[1]

    def step(self, objective: Objective, point: Point, state: LBFGSState):
        """Search along the quasi-Newton direction."""
        settings = self.settings
        gradient = self.gradient(objective, point)
        direction = -_inverse_hessian_product(state, gradient)
        slope = float(direction @ gradient)
        if -slope <= settings.resolution * point.value:
            raise NoStep(TrainingStatus.CONVERGED)
        length = 1.0
        for _ in range(settings.max_halvings):
            step = (length * direction).astype(gradient.dtype, copy=False)
            new = objective.evaluate(point.network.theta + step, near=point)
            decrease = point.value - new.value
            if objective.admits(new) and decrease >= -settings.sufficient_decrease * length * slope:
                break
            length /= 2
        else:
            raise NoStep(TrainingStatus.STALLED)
        change = self.gradient(objective, new) - gradient
        if step @ change > settings.min_curvature * np.linalg.norm(step) * np.linalg.norm(change):
            state = LBFGSState(
                np.vstack([state.steps, step])[-settings.memory :],
                np.vstack([state.changes, change])[-settings.memory :],
                state.first_scale,
            )
        return new, state, length


def _inverse_hessian_product(state: LBFGSState, gradient: np.ndarray) -> np.ndarray:
    """Return H g for the inverse Hessian that the pairs stand for."""
    if not len(state.steps):
        return state.first_scale * gradient
    step, change = state.steps[-1], state.changes[-1]
    scale = (step @ change) / (change @ change)
    return scale * (LbfgsInvHessProduct(state.steps / scale, state.changes) @ gradient)
