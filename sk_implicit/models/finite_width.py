"""A fit at finite width: start or continue a network, train it, and say what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..function_space.penalty import Penalty
from ..inputs.rows import DistinctRows
from ..network import Network
from ..training import (
    INTERRUPTED_AFTER,
    SOLVERS,
    UNCERTAINTY_INTERRUPTED,
    Objective,
    Progress,
    message,
    nothing_found,
    train_on_samples,
)
from .network_model import NetworkModel
from .scales import Scales
from .settings import Listener, Settings, Task
from .start import continued, new_start, penalised
from .state import FitState, Fitted
from .uncertainty import spanning_arrays, tangent_posterior


def fit_network(
    rows: DistinctRows, task: Task, settings: Settings, *, rng: np.random.RandomState,
    previous: FitState | None, listener: Listener,
) -> Fitted:  # fmt: skip
    """Train a network on rows of positive weight.

    Parameters
    ----------
    rows : DistinctRows
        The rows.
    task : Task
        What is to be learnt of them.
    settings : Settings
        How.
    rng : numpy.random.RandomState
        Draws the start, the held-out rows and the minibatches.
    previous : FitState or None
        An earlier fit, to go on from. It is left as it is.
    listener : Listener
        Told of every step.

    Raises
    ------
    ValueError
        If the start has no equilibrium, or the earlier fit cannot be continued.
    MemoryError
        If the network is too large for this machine.
    """
    held_out, seed = None, None if previous is None else previous.split_seed
    if settings.early_stopping:
        seed = int(rng.randint(2**31 - 1)) if seed is None else seed
        kept, left = task.split(rows.Y, rows.left_out, seed)
        rows, held_out = rows.take(kept), rows.take(left)
    fit = continued(previous, rows, settings) if previous else new_start(rows, task, settings, rng)
    fit, objective = penalised(replace(fit, split_seed=seed), rows, task, settings)
    untrained = untrained_model(fit, rows, task, settings)
    of_solver = SimpleNamespace(learning_rate=settings.learning_rate, batch_size=settings.batch_size, rng=rng)
    state = train_on_samples(
        objective,
        lambda: _Announced(SOLVERS[settings.solver](of_solver), listener),
        max_iter=settings.max_iter,
        tol=settings.tol,
        n_iter_no_change=settings.n_iter_no_change,
        validate=_validator(untrained, held_out, task, settings),
        monitor=_monitor(untrained, listener),
        previous=fit.state,
    )
    nothing = None
    if settings.output_init != "gaussian" and fit.penalty is not None:  # the start predicts a constant
        nothing = nothing_found(fit.penalty, rows.Y[:, fit.target.scale > 0])
    ended = replace(fit, state=state), untrained, objective
    try:
        return _fitted(*ended, settings, nothing)
    except KeyboardInterrupt:  # all but the standard deviations is there, or made in no time
        fitted = _fitted(*ended, replace(settings, uncertainty=False), nothing)
        return fitted.but(UNCERTAINTY_INTERRUPTED if settings.uncertainty else INTERRUPTED_AFTER)


def untrained_model(fit: FitState, rows: DistinctRows, task: Task, settings: Settings) -> NetworkModel:
    """Return the model before the first step."""
    scales = Scales(fit.inputs, fit.target)
    if settings.clip is not None:
        in_range = None if fit.penalty is None else fit.penalty.in_range
        scales = scales.limited(*rows.measured()[:2], settings.clip, in_range, settings.standardize)
    return NetworkModel(
        scales, fit.start, fit.start, settings.output_init == "centred",
        solver=settings.equilibrium_solver, tol=settings.equilibrium_tol,
    )  # fmt: skip


def _validator(model: NetworkModel, held_out: DistinctRows | None, task: Task, settings: Settings):
    """Return the function that scores a network on the held-out rows, or None."""
    if held_out is None:
        return None
    X, Y, weights = held_out[:3]
    offset = model.outputs_of(X, [model.network], settings.n_jobs).values if model.centred else 0.0

    def validate(network: Network) -> float:
        F = model.scales.predictions(model.outputs_of(X, [network], settings.n_jobs).values - offset)
        return task.score(Y, F, weights) if np.isfinite(F).all() else -np.inf

    return validate


def _monitor(model: NetworkModel, listener: Listener) -> Callable[[Progress], bool]:
    """Return what is called after each step: it tells the listener, who may stop training."""

    def monitor(progress: Progress) -> bool:
        def attributes() -> dict[str, Any]:
            network = progress.network.astype(model.dtype)
            facts = {"n_iter_": progress.n_iter, "contraction_": progress.history.contraction[-1]}
            return replace(model, network=network).attributes() | facts

        return listener.ends_step(progress, attributes)

    return monitor


class _Announced:
    """A training solver whose steps are announced before they are taken."""

    def __init__(self, solver, listener: Listener):
        self._solver = solver
        self._listener = listener

    def __getattr__(self, name):
        return getattr(self._solver, name)

    def step(self, objective, point, state):
        """Take the solver's step."""
        self._listener.begins_step()
        return self._solver.step(objective, point, state)


def _fitted(
    fit: FitState, model: NetworkModel, objective: Objective, settings: Settings, nothing: str | None
) -> Fitted:
    """Return the trained network with what is to be known of it, and word how training ended."""
    state, penalty = fit.state, fit.penalty
    assert state is not None and penalty is not None, "trained"
    history = state.history
    network = fit.start.with_theta(state.best_theta.astype(model.dtype, copy=False))
    contraction = network.contraction()
    facts = {
        "n_iter_": history.n_iter,
        "loss_curve_": history.loss[1:],
        "history_": asdict(history),
        "alpha_": penalty.relative,
        "contraction_": contraction,
        "loss_": state.best_loss,
        "equilibrium_residual_": state.equilibrium_residual,
    }
    if penalty.score is not None:
        facts["loo_score_"] = penalty.score
    if settings.early_stopping:
        facts["validation_scores_"] = history.validation_score[1:]
        facts["best_validation_score_"] = state.best_score
    warning = message(
        state, penalty, solver=settings.solver, max_iter=settings.max_iter, tol=settings.tol,
        contraction=contraction, warm_start=settings.warm_start, learning_rate=settings.learning_rate,
        linear_promise=objective.loss.linear_promise, nothing=nothing,
    )  # fmt: skip
    posterior = _posterior(objective, state.best_theta, penalty) if settings.uncertainty else None
    model = replace(model, network=network, posterior=posterior, squared_error=state.best_squared_error)
    return Fitted(model, facts, fit if settings.warm_start else None, warning)


def _posterior(objective: Objective, theta: np.ndarray, penalty: Penalty) -> dict[str, np.ndarray]:
    """Return what standard deviations need, as plain arrays."""
    point = objective.evaluate(theta)
    posterior, spanning = tangent_posterior(
        objective.tangent(point), point.network.theta - objective.start.theta, point.residual,
        objective.weights, objective.left_out, penalty,
    )  # fmt: skip
    return posterior.to_arrays() | spanning_arrays(spanning)
