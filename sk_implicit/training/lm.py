r"""Levenberg-Marquardt in function space.

Around θ the network is linear with Jacobian J and distance d = θ − θ₀ to the start, and the loss is
quadratic with curvature B = L Lᵀ and residual q in the coordinates of L (`function_space.losses`; for the
squared error L = √W and q = √w ∘ (y − f)). The damped problem

    min_δ  ½ ‖q − Lᵀ J δ‖² + ½ a ‖d + δ‖² + ½ Σ_j μ_j δ_j²

has as many unknowns as the network has weights, but its solution lies in the span of the n k rows of J
and of d. Predictions are linear in U and V: only A and W, whose steps move equilibria and kinks, need the
damping, μ_j = μ, and next to none is left for U and V where its curvature stays. However large μ, there is
thus a step that fits the outputs to the features as they are. With t = a + μ, t_j = a + μ_j, D = diag(t/t_j)
and ω = a/t the optimality conditions give (normal equations, then the push-through identity)

    (Lᵀ J D Jᵀ L + t I) v = q + ω Lᵀ J D d,      δ = D (Jᵀ L v − ω d),      q − Lᵀ J δ = t v,

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

from ..network.adjoint import Term
from ..network.tangent import TangentFeatures, mean_diagonal
from .driver import NoStep
from .objective import Objective, Point
from .records import TrainingState, TrainingStatus
from .tangent_system import (
    DenseSystem,
    IterativeSystem,
    TangentSystem,
    by_iteration,
    tangent_system,
)


@dataclass(frozen=True, slots=True)
class LMSettings:
    """How far steps go. Damping is relative to the mean of diag K, gains are actual over predicted decreases.

    Attributes
    ----------
    min_damping, max_damping : float
        The smallest that is worth having, and the largest tried.
    rise, fall, fall_by_iteration : float
        By how much damping rises and falls. Systems that are solved by iteration take more of it as the
        damping falls.
    resolution : float
        Below this relative predicted decrease nothing is left but rounding.
    least_gain : float
        Gain at which a shorter step with the same linearisation is tried as well.
    low_gain, high_gain : float
        Gains below which the next step is shorter, and beyond which it is longer.
    linear_gain, max_corrections : float and int
        Beyond this gain the linearisation serves for so many further steps.
    accuracy : float
        That of the Jacobian, relative: a step that is off by as much is nearly as good.
    light : float
        Least weight, relative to the mean, with which a row counts for the unit of the damping.
    min_shift : float
        S is factorised with at least this shift, relative to the mean of its diagonal.
    safe_shift : float
        Shift from which on a predicted decrease is beyond doubt: equal rows with different targets make K
        singular.
    output_shift : float
        Least shift of U and V in a damped step: without any they would soon interpolate, far from the start.
    """

    min_damping: float = 1e-3
    max_damping: float = 1e6
    rise: float = 4
    fall: float = 4
    fall_by_iteration: float = 2
    resolution: float = 1e-13
    least_gain: float = 0.1
    low_gain: float = 0.25
    high_gain: float = 0.75
    linear_gain: float = 0.7
    max_corrections: int = 4
    accuracy: float = 3e-2
    light: float = 1e-3
    min_shift: float = 1e-14
    safe_shift: float = 1e-9
    output_shift: float = 1e-4

    def next_damping(self, damping: float, gain: float, rejected: bool, fall: float) -> float:
        """Keep the linear model about as far as it is good for: little gain makes the next step shorter.

        The loss has kinks, so that the gain stays below one at any damping.
        """
        if gain < self.low_gain:
            return self.raised(damping)
        if rejected or gain < self.high_gain:
            return damping
        return damping / fall if damping > self.min_damping else 0.0

    def raised(self, damping: float) -> float:
        """Return the damping of a shorter step."""
        return max(self.rise * damping, self.min_damping)


_DEFAULT = LMSettings()


@dataclass(frozen=True, slots=True)
class LMState:
    """What is carried from step to step.

    Attributes
    ----------
    damping : float
        μ, relative to the mean of diag K times the geometric mean of the weights.
    promised : float
        The objective that the network linearised at its start predicts for its first step, undamped in most
        problems: what training would reach if features did not move. NaN for a loss whose curvature changes.
    """

    damping: float = 0.0
    promised: float = np.nan


class Candidate(NamedTuple):
    """A trial that lowers the objective: the point, its ratio of decreases, its damping and its shift."""

    trial: Point
    gain: float
    damping: float
    shift: float


class Nearby(NamedTuple):
    """What a linearisation leaves for the next: its adjoint, and the kernel of its preconditioner, if any.

    The rest of it, arrays of (n, m) and the preconditioner itself, is let go of before the next is made.
    """

    terms: tuple[Term, ...]
    kernel: np.ndarray | None


class Linearisation:
    """The network's tangent features at one point, and the steps that follow from them.

    Parameters
    ----------
    objective : Objective
        The objective.
    point : Point
        Where the network is linearised.
    nearby : Nearby or None
        What the linearisation at a point nearby has left, as a start.
    settings : LMSettings
        Those of the solver.
    """

    def __init__(
        self,
        objective: Objective,
        point: Point,
        nearby: Nearby | None,
        settings: LMSettings = _DEFAULT,
    ):
        self.settings = settings
        self.tangent: TangentFeatures = objective.tangent(
            point, near=None if nearby is None else nearby.terms, tol=settings.accuracy
        )
        # the weight of most rows: a heavy row is not to hold back all others, nor light ones to free them
        weights = objective.weights[objective.left_out.measured()]
        weight = float(np.exp(np.mean(np.log(np.maximum(weights, settings.light * weights.mean())))))
        self.scale = weight * mean_diagonal(self.tangent, objective.weights)
        self.least = np.inf  # objective predicted for any step
        self._kernel = None if nearby is None else nearby.kernel
        self._system: TangentSystem | None = None

    @property
    def factorised(self) -> bool:
        """Whether a further step costs little beside the first."""
        return isinstance(self._system, DenseSystem | IterativeSystem)

    @property
    def nearby(self) -> Nearby:
        """What is left for the next linearisation."""
        kernel = self._system.kernel if isinstance(self._system, IterativeSystem) else None
        return Nearby(self.tangent.terms, kernel)

    def propose(self, objective: Objective, point: Point, shift: float) -> tuple[np.ndarray, float]:
        """Return the step from a point with this linearisation, and the objective it predicts."""
        if self._system is None:
            self._system = tangent_system(self.tangent, self._kernel, exact=objective.loss.constant_curvature)
            self._kernel = None
        curvature, q = objective.curvature(point)
        linear = objective.loss.constant_curvature and self._system.weighs_outputs
        ratio = self._ratio(objective, shift) if linear else 1.0
        outputs = slice(objective.start.shape.n_inner, None)
        drift = point.network.theta - objective.start.theta
        pull = (objective.penalty / shift) * drift
        pull[outputs] *= ratio
        b = q + curvature.root_t(self.tangent.jvp(pull)) if objective.penalty > 0 else q
        v = self._system.solve(b, curvature, shift, ratio)
        delta = self.tangent.vjp(curvature.root(v).astype(drift.dtype, copy=False))
        delta[outputs] *= ratio
        delta -= pull
        drift += delta
        change = 0.5 * (np.sum((shift * v) ** 2) - np.sum(q**2)) / objective.total_weight
        predicted = point.data_value + float(change) + objective.pull(drift)
        self.least = min(self.least, predicted)
        return delta, predicted

    def _ratio(self, objective: Objective, shift: float) -> float:
        """Return the shift of A and W over that of U and V."""
        return shift / min(shift, max(objective.penalty, self.settings.output_shift * self.scale))


class LevenbergMarquardt:
    """Damped Gauss-Newton steps solved on the n × n tangent kernel.

    Parameters
    ----------
    settings : LMSettings
        How far steps go.
    """

    monotone = True
    progress = 400.0
    by_samples = True

    def __init__(self, settings: LMSettings = _DEFAULT):
        self.settings = settings
        self._nearby: Nearby | None = None  # of the step before

    def init(self, objective: Objective, point: Point) -> LMState:
        """Start undamped, or with a short step where a trial costs much."""
        return LMState(_first_damping(objective))

    def step(self, objective: Objective, point: Point, state: LMState):
        """Take the best step that is found, and more with the same linearisation where that pays."""
        settings = self.settings
        nearby, self._nearby = self._nearby, None
        model = Linearisation(objective, point, nearby, self.settings)
        del nearby  # (k, n, m)
        if model.scale == 0 or (not np.any(point.residual) and objective.penalty == 0):
            raise NoStep(TrainingStatus.CONVERGED)
        trial, gain, damping, shift = self._search(objective, point, model, state.damping)
        at_start = objective.loss.linear_promise and point.value == objective.first_value
        promised = model.least if at_start else state.promised
        if gain > settings.linear_gain and model.factorised:
            trial = self._correct(objective, trial, model, shift)
        self._nearby = model.nearby
        fall = settings.fall if model.factorised else settings.fall_by_iteration
        damping_next = settings.next_damping(damping, gain, damping > state.damping, fall)
        return trial, LMState(damping_next, promised), damping

    def _search(self, objective: Objective, point: Point, model: Linearisation, damping: float) -> Candidate:
        """Try steps with rising damping until one is good enough, or none is better than the last."""
        settings, diagonal, best, least = self.settings, model.scale, None, point.value
        while damping <= settings.max_damping:
            shift = max(objective.penalty + damping * diagonal, settings.min_shift * diagonal)
            try:
                delta, predicted = model.propose(objective, point, shift)
            except LinAlgError:  # K + tW⁻¹ is singular to rounding
                damping = settings.raised(damping)
                continue
            if point.value - predicted <= settings.resolution * point.value:
                if best is not None:
                    return best
                if shift >= settings.safe_shift * diagonal:
                    raise NoStep(TrainingStatus.CONVERGED)
                damping = settings.min_damping
                continue
            trial = objective.evaluate(point.network.theta + delta, near=point)
            if objective.admits(trial) and trial.value < least:
                gain = (point.value - trial.value) / (point.value - predicted)
                best, least = Candidate(trial, gain, damping, shift), trial.value
                if gain > settings.least_gain:
                    return best
            elif best is not None:
                return best
            damping = settings.raised(damping)
        if best is None:
            raise NoStep(TrainingStatus.STALLED)
        return best

    def _correct(self, objective: Objective, point: Point, model: Linearisation, shift: float) -> Point:
        """Take further steps with the same linearisation while each halves the objective.

        They cost an equilibrium and two triangular solves, and no adjoint, kernel or factorisation.
        """
        for _ in range(self.settings.max_corrections):
            try:
                delta, _ = model.propose(objective, point, shift)
            except LinAlgError:  # the curvature at the new point makes the system singular to rounding
                return point
            trial = objective.evaluate(point.network.theta + delta, near=point)
            if not (objective.admits(trial) and trial.value < point.value):
                return point
            previous, point = point, trial
            if point.value > 0.5 * previous.value:
                return point
        return point


def shortfall(state: TrainingState) -> float:
    """Return what training left of the decrease that the network linearised at its start promised, a share.

    0 where nothing is known of it.
    """
    if not isinstance(state.solver_state, LMState) or np.isnan(state.solver_state.promised):
        return 0.0
    start, promised = state.history.loss[0], state.solver_state.promised
    return max((state.best_loss - promised) / (start - promised), 0.0) if start > promised else 0.0


def _first_damping(objective: Objective) -> float:
    """Return the first damping: 0 where systems are solved exactly and a rejected step costs little."""
    n, k = objective.Y.shape
    costly = by_iteration(n, k, exact=objective.loss.constant_curvature)
    return objective.loss.first_damping if costly else 0.0
