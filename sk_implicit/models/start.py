"""Where a fit begins: a new start, or that of the fit before; its penalty, and what training minimises."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from numbers import Integral

import numpy as np

from ..equilibrium import EquilibriumOptions
from ..inputs.relevance import choose_inputs
from ..inputs.rows import DistinctRows
from ..network import Shape, draw_network, units
from ..training import Objective
from ..training.penalty import choose_penalty
from ..training.tangent_system import by_iteration, precision
from .network_model import PREDICT_TOL, missed_rows
from .settings import Settings, Task
from .state import FitState

# Beyond this γ a wide random network has no stable equilibrium (mean-field limit, √2).
_LARGEST_GAMMA = np.sqrt(2)
# Share of the inputs' mean square that varies between rows, below which float32 has too few digits.
_LEAST_VARIATION = 1e-4
# Parameters that only the start reads.
_OF_THE_START = ("width", "loss", "quantile", "init", "output_init", "relevance", "standardize")


def new_start(rows: DistinctRows, task: Task, settings: Settings, rng: np.random.RandomState) -> FitState:
    """Measure the scales and draw the network.

    Raises
    ------
    MemoryError
        If the network cannot fit.
    """
    X, Y = rows.X, rows.Y
    d = X.shape[1]
    m, k = units(settings.width, len(rows.left_out.measured())), Y.shape[1]
    _require_memory(Shape(m=m, p=d, k=k), X.dtype, settings.width)
    inputs = choose_inputs(
        X, Y, rows.weights, gamma=settings.gamma, bias=settings.fit_intercept,
        relevance=settings.relevance, balanced=task.balanced, left_out=rows.left_out,
        standardize=settings.standardize, categorical=task.categorical, spread=task.spread,
        classes=task.classes,
    )  # fmt: skip
    target = task.scale_targets(Y, rows.weights)
    start = draw_network(
        Shape(m=m, p=len(inputs.scale) + settings.fit_intercept, k=k), settings.gamma, rng,
        init=settings.init, output_init=settings.output_init, dtype=X.dtype, depth=settings.n_layers,
    )  # fmt: skip
    read = {name: getattr(settings, name) for name in _OF_THE_START}
    return FitState(inputs, target, start, settings.solver, read)


def refuse_to_continue(wrong: list[str]) -> None:
    """Raise where something is wrong."""
    if wrong:
        raise ValueError(
            f"warm_start=True cannot continue the previous fit: {'; '.join(wrong)}. Use "
            "warm_start=False, or a new estimator, to start again."
        )


def continued(fit: FitState, rows: DistinctRows, settings: Settings) -> FitState:
    """Return an earlier fit as one to go on from, or refuse it.

    Raises
    ------
    ValueError
        If parameters or data have changed that it cannot be continued with.
    """
    start = fit.start
    wrong = [
        f"{what} was {was} and is now {now}"
        for what, was, now in (
            ("gamma", start.gamma, settings.gamma),
            ("depth", start.depth, settings.depth),
            *((name, was, getattr(settings, name)) for name, was in fit.settings.items()),
            ("the number of inputs", fit.inputs.n_features, rows.X.shape[1]),
            ("fit_intercept", fit.inputs.bias != 0, bool(settings.fit_intercept)),
            ("the number of outputs", start.shape.k, rows.Y.shape[1]),
            ("the dtype of X", start.theta.dtype, rows.X.dtype),
        )
        if was != now
    ]
    # the network of a perceptron has a width of its own
    has_its_own = "width" not in fit.settings and isinstance(settings.width, Integral)
    if has_its_own and start.shape.m != settings.width:
        wrong.append(f"width was {start.shape.m} and is now {settings.width}")
    refuse_to_continue(wrong)
    fit = fit.copied()
    if fit.state is not None and fit.solver != settings.solver:
        # another solver starts with a memory, and a patience, of its own
        fit.state.solver_state, fit.state.n_no_change = None, 0
    return replace(fit, solver=settings.solver)


def penalised(
    fit: FitState, rows: DistinctRows, task: Task, settings: Settings
) -> tuple[FitState, Objective]:
    """Return the fit with its penalty, chosen unless an earlier fit chose it, and what training minimises."""
    build = partial(_objective, fit, rows, task, settings)
    if fit.penalty is not None:
        return fit, build(fit.penalty.relative).penalised(fit.penalty)
    # Targets are taken to be noisy until the penalty says that they are not.
    objective = build(np.inf if settings.alpha == "loo" else float(settings.alpha))
    penalty = choose_penalty(objective, settings.alpha, settings.output_init, fit.inputs.optimism)
    if _precision(fit, rows, task, settings, penalty.relative) != objective.Y.dtype:
        objective = build(penalty.relative, objective.first.layers.Z)
        penalty = choose_penalty(objective, settings.alpha, settings.output_init, fit.inputs.optimism)
    fit = replace(fit, penalty=penalty, settings=fit.settings | {"alpha": settings.alpha})
    return fit, objective.penalised(penalty)


def _objective(fit: FitState, rows: DistinctRows, task: Task, settings: Settings, relative: float, Z0=None):
    """Return the objective in the precision that a penalty leaves, its start solved for from ``Z0``."""
    X, start = rows.X, fit.start
    dtype = _precision(fit, rows, task, settings, relative)
    objective = Objective(
        fit.inputs.applied(X, dtype),
        fit.target.apply(rows.Y, X.dtype).astype(dtype, copy=False),
        rows.weights,
        start.astype(dtype),
        centred=settings.output_init == "centred",
        equilibrium_solver=settings.equilibrium_solver,
        equilibrium_tol=None if isinstance(settings.equilibrium_tol, str) else settings.equilibrium_tol,
        loss=task.loss(fit.target),
        left_out=rows.left_out,
    )
    _check_start(objective.begin(Z0), settings)
    return objective


def _precision(fit: FitState, rows: DistinctRows, task: Task, settings: Settings, relative: float):
    """Return float32 where training needs no more digits, and was not asked for more."""
    X, tol = rows.X, settings.equilibrium_tol
    digits = 1.0 if isinstance(tol, str) else tol
    if settings.solver != "lm" or digits < PREDICT_TOL[np.dtype(np.float32)]:
        return X.dtype
    relevance = fit.inputs.relevance
    if relevance is not None and relevance @ relevance < _LEAST_VARIATION:
        return X.dtype
    n, shape = X.shape[0], fit.start.shape
    inexact = by_iteration(n, shape.k, exact=task.loss(fit.target).constant_curvature)
    relative /= rows.left_out.mean_weight(rows.weights)  # large weights leave less of it
    return precision(n, shape.m, relative, X.dtype, inexact=inexact)


def _check_start(first, settings: Settings) -> None:
    """Refuse a start that has no equilibrium, or no last layer, to train from."""
    result = first.result
    if np.isfinite(settings.depth):
        missed = int(first.layers.out_of_range().sum())
        if missed == 0:
            return
        raise ValueError(
            f"gamma={settings.gamma:g} is too large for depth={settings.depth}: the last layer of the random "
            f"start overflows for {missed} of {len(result.residual)} rows (a layer multiplies norms by "
            f"up to ‖sA‖₂ = {first.contraction:.3g}). Use a smaller gamma or a smaller depth."
        )
    if result.converged:
        return
    tol = settings.equilibrium_tol
    tol = PREDICT_TOL[result.solution.dtype] if isinstance(tol, str) else tol
    missed = int(np.count_nonzero(missed_rows(result, tol)))
    of_rows = f"for {missed} of {len(result.residual)} rows"
    if first.contraction < 1:
        raise ValueError(
            f"The equilibrium of the random start was not reached {of_rows} to {tol:g}, in the "
            f"{EquilibriumOptions().max_iter} iterations that equilibrium_solver="
            f"{settings.equilibrium_solver!r} has at most. There is one for every input, for ‖sA‖₂ = "
            f"{first.contraction:.4f} is below 1: use equilibrium_solver='auto' or 'newton_krylov', a larger "
            "equilibrium_tol, or a smaller gamma."
        )
    raise ValueError(
        f"gamma={settings.gamma:g} is too large: the equilibrium of the random start was not found {of_rows} "
        f"(‖sA‖₂ = {first.contraction:.2f}; below 1 there is exactly one for every input, which a wide "
        f"network has for gamma < 0.5; beyond gamma = {_LARGEST_GAMMA:.2f} a wide network has no stable "
        "one). Use a smaller gamma."
    )


def _require_memory(shape: Shape, dtype, width) -> None:
    """Raise before a network is drawn that cannot fit: its weights and one update of them."""
    n_weights = min(shape.n_weights, 10**300)  # larger numbers have no float
    needed = 4 * n_weights * np.dtype(dtype).itemsize
    try:
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not known on this platform
        return
    if needed > available:
        raise MemoryError(
            f"width={width!r} means a network of width {shape.m} with {n_weights:.3g} weights, which "
            f"takes at least {needed / 2**30:.3g} GiB to train; this machine has "
            f"{available / 2**30:.3g} GiB. Use a smaller width (an int is the width itself, a float "
            "a multiple of the number of samples), or float32 input."
        )
