r"""Levenberg-Marquardt in function space.

Around θ the network is linear with Jacobian J and distance d = θ − θ₀ to the start, and the loss is
quadratic with curvature B = L Lᵀ and residual q in the coordinates of L (`sk_implicit.losses`; for the
squared error L = √W and q = √w ∘ (y − f)). The damped problem

    min_δ  ½ ‖q − Lᵀ J δ‖² + ½ a ‖d + δ‖² + ½ μ ‖δ‖²

has as many unknowns as the network has weights, but its solution lies in the span of the n k rows of J
and of d. With t = a + μ and ω = a/t the optimality conditions give (normal equations, then the
push-through identity)

    (LᵀKL + t I) v = q + ω Lᵀ J d,      δ = −ω d + Jᵀ L v,      q − Lᵀ J δ = t v,

the last of which predicts the new loss at no cost, and so the gain: the ratio of the actual to the predicted
decrease. A step can be taken when the objective falls and the equilibrium stays well-posed. While none
can, or the best one so far brings next to none of what it promised and shorter ones are better still,
μ is raised. μ = 0 is (generalised) Gauss-Newton.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError

from ..tangent import TangentFeatures, mean_diagonal
from .driver import NoStep
from .objective import Objective, Point
from .records import Status
from .tangent_system import (
    DENSE_LIMIT,
    DenseSystem,
    IterativeSystem,
    TangentSystem,
    by_iteration,
    tangent_system,
)

# Damping, relative to the mean of diag K: the smallest that is worth having, and the largest tried.
_MIN_DAMPING, _MAX_DAMPING = 1e-3, 1e6
# By how much it rises and falls. Systems that are solved by iteration take more of it as the damping falls.
_RISE, _FALL, _FALL_BY_ITERATION = 4, 4, 2
# Below this relative predicted decrease nothing is left but rounding.
_RESOLUTION = 1e-13
# Ratio of actual to predicted decrease at which a shorter step with the same linearisation is tried as well.
_LEAST_GAIN = 0.1
# Ratios of actual to predicted decrease below which the next step is shorter, and beyond which it is longer.
_LOW_GAIN, _HIGH_GAIN = 0.25, 0.75
# Beyond this ratio the linearisation serves for further steps.
_LINEAR_GAIN, _MAX_CORRECTIONS = 0.7, 4
# The first damping for many rows, where a rejected step costs as much as any: from a random start to
# thousands of residuals an undamped step goes far too far. The second is for a loss that is not quadratic,
# whose curvature vanishes as the rows are learnt.
_FIRST_DAMPING, _FIRST_DAMPING_OF_CLASSES = 0.5, 0.05
# Accuracy of the Jacobian, relative: a step that is off by as much is nearly as good.
_ACCURACY = 3e-2
# K is factorised with at least this shift, relative to the mean of its diagonal; a predicted decrease
# is beyond doubt from the second on (equal rows with different targets make K singular).
_MIN_SHIFT, _SAFE_SHIFT = 1e-14, 1e-9


@dataclass(frozen=True, slots=True)
class LMState:
    """Damping μ relative to the mean of diag K, carried from step to step."""

    damping: float = 0.0


class Candidate(NamedTuple):
    """A trial that lowers the objective: the point, its ratio of decreases, its damping and its shift."""

    trial: Point
    gain: float
    damping: float
    shift: float


class Linearisation:
    """The network's tangent features at one point, and the steps that follow from them.

    Parameters
    ----------
    objective : Objective
        The objective.
    point : Point
        Where the network is linearised.
    previous : Linearisation or None
        That of a point nearby: its adjoint and its preconditioner serve as a start.
    """

    def __init__(self, objective: Objective, point: Point, previous: Linearisation | None):
        self.tangent: TangentFeatures = objective.tangent(
            point, near=None if previous is None else previous.tangent, tol=_ACCURACY
        )
        self.scale = mean_diagonal(self.tangent, objective.weights)
        self._previous = None if previous is None else previous._system
        self._system: TangentSystem | None = None

    @property
    def factorised(self) -> bool:
        """Whether a further step costs little beside the first."""
        return isinstance(self._system, DenseSystem | IterativeSystem)

    def propose(self, objective: Objective, point: Point, shift: float) -> tuple[np.ndarray, float]:
        """Return the step from a point with this linearisation, and the objective it predicts."""
        if self._system is None:
            self._system = tangent_system(self.tangent, self._previous, exact=objective.loss.quadratic)
            self._previous = None
        curvature, q = objective.curvature(point)
        drift = point.network.theta - objective.start.theta
        omega = objective.alpha / shift
        b = q + omega * curvature.root_t(self.tangent.jvp(drift)) if omega > 0 else q
        v = self._system.solve(b, curvature, shift)
        delta = self.tangent.vjp(curvature.root(v).astype(drift.dtype, copy=False))
        if omega > 0:
            delta -= omega * drift
        drift += delta
        change = 0.5 * (np.sum((shift * v) ** 2) - np.sum(q**2)) / objective.total_weight
        return delta, point.data_value + float(change) + objective.penalty(drift)


class LevenbergMarquardt:
    """Damped Gauss-Newton steps solved on the n × n tangent kernel."""

    monotone = True
    progress = 400.0

    def __init__(self):
        self._linearisation: Linearisation | None = None  # of the step before

    def init(self, objective: Objective, point: Point) -> LMState:
        """Start undamped, or with a short step where a trial costs much."""
        return LMState(_first_damping(objective))

    def step(self, objective: Objective, point: Point, state: LMState):
        """Take the best step that is found, and more with the same linearisation where that pays."""
        model = self._linearisation = Linearisation(objective, point, self._linearisation)
        if model.scale == 0 or (not np.any(point.residual) and objective.alpha == 0):
            raise NoStep(Status.CONVERGED)
        trial, gain, damping, shift = self._search(objective, point, model, state.damping)
        if gain > _LINEAR_GAIN and model.factorised:
            trial = self._correct(objective, trial, model, shift)
        fall = _FALL if model.factorised else _FALL_BY_ITERATION
        return trial, LMState(_next_damping(damping, gain, damping > state.damping, fall)), damping

    @staticmethod
    def _search(objective: Objective, point: Point, model: Linearisation, damping: float) -> Candidate:
        """Try steps with rising damping until one is good enough, or none is better than the last."""
        diagonal, best, least = model.scale, None, point.value
        while damping <= _MAX_DAMPING:
            shift = max(objective.alpha + damping * diagonal, _MIN_SHIFT * diagonal)
            try:
                delta, predicted = model.propose(objective, point, shift)
            except LinAlgError:  # K + tW⁻¹ is singular to rounding
                damping = max(_RISE * damping, _MIN_DAMPING)
                continue
            if point.value - predicted <= _RESOLUTION * point.value:
                if best is not None:
                    return best
                if shift >= _SAFE_SHIFT * diagonal:
                    raise NoStep(Status.CONVERGED)
                damping = _MIN_DAMPING
                continue
            trial = objective.evaluate(point.network.theta + delta, near=point)
            if objective.admits(trial) and trial.value < least:
                gain = (point.value - trial.value) / (point.value - predicted)
                best, least = Candidate(trial, gain, damping, shift), trial.value
                if gain > _LEAST_GAIN:
                    return best
            elif best is not None:
                return best
            damping = max(_RISE * damping, _MIN_DAMPING)
        if best is None:
            raise NoStep(Status.STALLED)
        return best

    @staticmethod
    def _correct(objective: Objective, point: Point, model: Linearisation, shift: float) -> Point:
        """Take further steps with the same linearisation while each halves the objective.

        They cost an equilibrium and two triangular solves, and no adjoint, kernel or factorisation.
        """
        for _ in range(_MAX_CORRECTIONS):
            delta, _ = model.propose(objective, point, shift)
            trial = objective.evaluate(point.network.theta + delta, near=point)
            if not (objective.admits(trial) and trial.value < point.value):
                return point
            previous, point = point, trial
            if point.value > 0.5 * previous.value:
                return point
        return point


def _first_damping(objective: Objective) -> float:
    """Return the first damping: 0 where systems are solved exactly and a rejected step costs little."""
    n, k = objective.Y.shape
    if objective.loss.quadratic:
        return _FIRST_DAMPING if n > DENSE_LIMIT else 0.0
    return _FIRST_DAMPING_OF_CLASSES if by_iteration(n, k, exact=False) else 0.0


def _next_damping(damping: float, gain: float, rejected: bool, fall: float) -> float:
    """Keep the linear model about as far as it is good for: little gain makes the next step shorter.

    The loss has kinks, so that the gain stays below one at any damping.
    """
    if gain < _LOW_GAIN:
        return max(_RISE * damping, _MIN_DAMPING)
    if rejected or gain < _HIGH_GAIN:
        return damping
    return damping / fall if damping > _MIN_DAMPING else 0.0
