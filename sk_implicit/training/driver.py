"""The one training loop: a solver supplies ``init`` and ``step``, the driver all the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .objective import Objective, Point
from .records import History, Monitor, Progress, TrainingState, TrainingStatus


@dataclass(frozen=True, slots=True)
class Settling:
    """When losses count as the same.

    Attributes
    ----------
    same : float
        Relative difference of scores that the tolerance of equilibria may leave.
    near, nothing : float
        Distance from the best loss at which steps that gain nothing more are those of convergence: relative
        to what it gained, or to itself if that is more; and that of a loss from nothing.
    """

    same: float = 1e-2
    near: float = 5e-2
    nothing: float = 1e-2


_DEFAULT = Settling()


class Solver(Protocol):
    """What a training solver supplies.

    Attributes
    ----------
    monotone : bool
        Whether every step lowers the objective, so that two small steps in a row mean convergence;
        other solvers are given ``n_iter_no_change`` steps to improve.
    progress : float
        What a step is expected to achieve, in units of ``tol``: a step that forms and factorises the
        tangent kernel costs as much as some fifty gradients.
    by_samples : bool
        Whether large tables are begun on samples of their rows (see `training.samples`).
    """

    monotone: bool
    progress: float
    by_samples: bool

    def init(self, objective: Objective, point: Point) -> object:
        """Return the solver's state before the first step: plain values and arrays."""

    def step(self, objective: Objective, point: Point, state) -> tuple[Point, object, float]:
        """Return the next point, the next state and the size of the step.

        Raises
        ------
        NoStep
            No acceptable step exists: the status says why.
        """


class NoStep(Exception):
    """Raised by a solver that cannot go on from where it is."""

    def __init__(self, status: TrainingStatus):
        super().__init__(status.value)
        self.status = status


def train(
    objective: Objective,
    solver: Solver,
    *,
    max_iter: int,
    tol: float,
    n_iter_no_change: int,
    validate: Callable | None = None,
    monitor: Monitor | None = None,
    previous: TrainingState | None = None,
    resampled: bool = False,
) -> TrainingState:
    """Run a solver until it converges, stops early, or has used its steps.

    Parameters
    ----------
    objective : Objective
        What is minimised.
    solver : Solver
        How.
    max_iter : int
        Steps to take, at most.
    tol : float
        Relative change of the objective (or absolute change of the validation score) that counts
        as none.
    n_iter_no_change : int
        Steps without improvement after which a solver that is not monotone, or early stopping,
        gives up.
    validate : callable or None
        Maps a network to its score on held-out rows; turns early stopping on.
    monitor : callable or None
        Called with a `Progress` after each step; returning True stops training.
    previous : TrainingState or None
        Where to continue from.
    resampled : bool
        Whether the rows are others of the same table: the best weights are scored anew, and what the solver
        remembers stays.

    Returns
    -------
    state : TrainingState
        Weights, history and status. A KeyboardInterrupt ends training with the status
        INTERRUPTED; the step it fell into is dropped.
    """
    state, point = _begin(objective, validate, previous, resampled)
    try:
        if state.solver_state is None:
            state.solver_state = solver.init(objective, point)
        objective.leave_first()
        state.status = TrainingStatus.MAX_ITER
        for _ in range(max_iter):
            point, ended = _advance(objective, solver, point, state, tol, n_iter_no_change, validate, monitor)
            if ended is not None:
                state.status = ended
                break
    except KeyboardInterrupt:
        state.status = TrainingStatus.INTERRUPTED
    return state


def _begin(
    objective: Objective, validate: Callable | None, previous: TrainingState | None, resampled: bool
) -> tuple[TrainingState, Point]:
    """Return the state before the next step, and its point."""
    if previous is not None:
        if previous.status is TrainingStatus.DIVERGED:
            # the way on is from the best weights, with nothing remembered
            previous.theta, previous.solver_state, previous.n_no_change = previous.best_theta, None, 0
        point = objective.evaluate(previous.theta)
        _rescore(previous, objective, point, validate, resampled)
        return previous, point
    point = objective.first
    state = TrainingState(
        solver_state=None,
        history=History(),
        theta=point.network.theta,
        best_theta=point.network.theta,
        best_score=-np.inf,
        best_loss=np.inf,
        equilibrium_residual=np.inf,
        n_no_change=0,
        status=TrainingStatus.MAX_ITER,
    )
    _record(state, point, _score(point, validate), np.nan, validate, 0.0)
    return state, point


def _advance(
    objective, solver, point, state, tol, n_iter_no_change, validate, monitor
) -> tuple[Point, TrainingStatus | None]:
    """Take a step; return the new point, and the status where training ends with it."""
    small = tol * solver.progress * objective.unit(state.best_loss)
    try:
        point, solver_state, step_size = solver.step(objective, point, state.solver_state)
    except NoStep as failure:
        # At a kink of the loss no step lowers it: an end like any other where steps had become small.
        settled = failure.status is TrainingStatus.STALLED and state.history.last_change <= small
        return point, TrainingStatus.CONVERGED if settled else failure.status
    # An interrupt while the score, or the norm of sA, is computed must leave no trace of the step.
    score, _ = _score(point, validate), point.contraction
    state.solver_state = solver_state
    state.theta = point.network.theta
    _record(state, point, score, step_size, validate, tol if validate else small)
    progress = Progress(state.history.n_iter, state.history, point.network)
    if monitor is not None and monitor(progress):
        return point, TrainingStatus.STOPPED
    if validate is None and objective.resolved(point):
        return point, TrainingStatus.CONVERGED
    if state.n_no_change < (2 if solver.monotone and validate is None else n_iter_no_change):
        return point, None
    if validate is not None:
        return point, TrainingStatus.EARLY_STOPPED
    settled = solver.monotone or _has_settled(state, n_iter_no_change)
    return point, TrainingStatus.CONVERGED if settled else TrainingStatus.DIVERGED


def _has_settled(state: TrainingState, n_recent: int) -> bool:
    """Whether the last losses are near the best one, measured by what it gained or what it is."""
    losses, best = state.history.loss, state.best_loss
    near = max(_DEFAULT.near * max(losses[0] - best, best), _DEFAULT.nothing)
    return bool(np.median(losses[-n_recent:]) <= best + near)


def _score(point: Point, validate) -> float:
    """Return what decides which weights are the best: the validation score, or minus the loss."""
    return -point.value if validate is None else validate(point.network)


def _rescore(state: TrainingState, objective: Objective, point: Point, validate, resampled: bool) -> None:
    """Score the best weights of earlier fits anew, where rows, targets or the kind of score have changed."""
    scores = state.history.validation_score
    if validate is not None:
        scores += [np.nan] * (len(state.history.loss) - len(scores))
        if np.isnan(scores[-1]):
            scores[-1] = _score(point, validate)
    best = point if state.best_theta is state.theta else objective.evaluate(state.best_theta)
    score = _score(best, validate)
    if resampled or not abs(score - state.best_score) <= _DEFAULT.same * abs(score):
        state.best_score, state.best_loss, state.n_no_change = score, best.value, 0
        state.best_squared_error = best.squared_error
        if not resampled:
            state.solver_state = None  # what it remembers is of the earlier problem
        state.equilibrium_residual = float(best.result.residual.max())


def _record(
    state: TrainingState, point: Point, score: float, step_size: float, validate, margin: float
) -> None:
    """Append a step to the history and keep the best weights."""
    history = state.history
    history.loss.append(point.value)
    history.squared_error.append(point.squared_error)
    history.contraction.append(point.contraction)
    history.step_size.append(step_size)
    # as many for each step of a fit whose record is older than this number
    history.n_rows += [len(point.residual)] * (len(history.loss) - len(history.n_rows))
    if validate is not None or history.validation_score:  # one for each step, once there are any
        history.validation_score.append(score if validate is not None else np.nan)
    improved = score > state.best_score + margin
    state.n_no_change = 0 if improved else state.n_no_change + 1
    if score > state.best_score:
        state.best_score, state.best_theta = score, point.network.theta
        state.best_loss, state.best_squared_error = point.value, point.squared_error
        state.equilibrium_residual = float(point.result.residual.max())
