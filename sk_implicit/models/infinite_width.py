"""A fit at infinite width: no weights, but kernel ridge or logistic regression."""

from __future__ import annotations

import numpy as np

from ..inputs.relevance import choose_inputs
from ..inputs.rows import DistinctRows
from ..training import UNCERTAINTY_INTERRUPTED, nothing_found
from .limit_model import LimitModel
from .limit_solution import solve_limit
from .scales import Scales
from .settings import Settings, Task
from .state import Fitted
from .uncertainty import limit_posterior


def fit_limit(rows: DistinctRows, task: Task, settings: Settings) -> Fitted:
    """Train the infinitely wide network on rows of positive weight.

    Parameters
    ----------
    rows : DistinctRows
        The rows.
    task : Task
        What is to be learnt of them.
    settings : Settings
        How; γ below √2, depth infinite.
    """
    weights, left_out = rows.weights, rows.left_out
    target = task.scale_targets(rows.Y, weights)
    loss = task.loss(target)
    inputs = choose_inputs(
        rows.X, rows.Y, weights, gamma=settings.gamma, bias=settings.fit_intercept,
        relevance=settings.relevance, balanced=task.balanced, left_out=left_out,
        standardize=settings.standardize, categorical=task.categorical, spread=task.spread,
        classes=task.classes,
    )  # fmt: skip
    target.apply(rows.Y, rows.X.dtype)  # predictions have the precision of X, and have to fit in it
    X, Y = inputs.apply(rows.X), target.apply(rows.Y, np.float64)
    solution = solve_limit(
        X, Y, weights, loss, gamma=settings.gamma, alpha=settings.alpha, left_out=left_out,
        optimism=inputs.optimism,
    )  # fmt: skip
    scales = Scales(inputs, target.shifted(solution.shift))
    if settings.clip is not None:
        measured, in_range = rows.measured(), solution.penalty.in_range
        scales = scales.limited(measured.X, measured.Y, settings.clip, in_range, settings.standardize)
    gamma, posterior, interrupted = float(settings.gamma), None, False
    try:
        if settings.uncertainty:
            posterior = limit_posterior(solution, X, weights, left_out, gamma=gamma).to_arrays()
    except KeyboardInterrupt:  # the network is there
        interrupted = True
    facts = {
        "n_iter_": len(solution.losses),
        "loss_curve_": solution.losses,
        "alpha_": solution.penalty.relative,
        "loss_": solution.losses[-1],
    }
    if solution.penalty.score is not None:
        facts["loo_score_"] = solution.penalty.score
    model = LimitModel(scales, gamma, X[solution.landmarks], solution.dual, posterior)
    fitted = Fitted(model, facts, warning=nothing_found(solution.penalty, rows.Y[:, target.scale > 0]))
    return fitted.but(UNCERTAINTY_INTERRUPTED) if interrupted else fitted
