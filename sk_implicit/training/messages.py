"""What a user is told of how training ended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..function_space.penalty import Penalty
from .adam import DEFAULT as ADAM
from .lm import shortfall
from .records import TrainingState, TrainingStatus


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What is worth a warning.

    Attributes
    ----------
    most_left, most_left_of_worse : float
        Shares of the decrease promised by the linearised start that training may not leave in silence: in any
        case, and where it explains less of the rows it was shown than the linearised network does of rows
        left out.
    fine : float
        A larger ``tol`` asks for an early end.
    least_score, least_explained : float
        Least score of the linearised network from which training that explains less than such a share of it
        is reported.
    least_score_of_a_constant, constant : float
        The same least score, and share of the start's loss, for training that explains next to nothing.
    nothing : float
        Score up to which the linearised network has found next to nothing that holds on rows left out.
    """

    most_left: float = 0.5
    most_left_of_worse: float = 0.1
    fine: float = 1e-4
    least_score: float = 0.1
    least_explained: float = 0.5
    least_score_of_a_constant: float = 0.01
    constant: float = 1e-3
    nothing: float = 1e-2


_DEFAULT = Thresholds()
# What a user is told; `{...}` is filled in. There is nothing to tell of other ends.
_MESSAGES = {
    TrainingStatus.MAX_ITER: (
        "Training with solver={solver!r} stopped at max_iter={max_iter} before the loss settled: its "
        "last step still changed it by {change:.1e} of itself (tol={tol:g}). Increase max_iter, "
        "or {again}."
    ),
    TrainingStatus.STALLED: (
        "Training with solver={solver!r} stopped after {n_iter} steps: no step was found that lowers "
        "the loss and keeps the equilibrium well-posed. The parameters are the best that were reached "
        "(loss {loss:.3e}, contraction {contraction:.3f}). If the contraction is close to 1, use a "
        "smaller gamma or a larger alpha; otherwise the loss is at the limit of the floating-point "
        "precision, and float64 input or a tighter equilibrium_tol gets further."
    ),
    TrainingStatus.DIVERGED: (
        "Training with solver={solver!r} diverged after {n_iter} steps; the best parameters seen were "
        "kept (loss {loss:.3e}, contraction {contraction:.3f}). The learning rate is too large: use "
        "{smaller}. A contraction of 1 or more asks for a smaller gamma, too."
    ),
    TrainingStatus.INTERRUPTED: (
        "fit was interrupted after {n_iter} steps; the best parameters seen so far were kept (loss "
        "{loss:.3e}). To go on, {again}."
    ),
}

# What is said of an interrupt after training, after what there is to say of that; and of one before it.
INTERRUPTED_AFTER = "fit was interrupted after its last step; the network is kept, complete."
UNCERTAINTY_INTERRUPTED = (
    "fit was interrupted before it knew its standard deviations; the network is kept, without them: "
    "predict(X) works, predict(X, return_std=True) needs a fit that ends by itself."
)
INTERRUPTED_BEFORE = (
    "fit was interrupted before there was a network to keep. The estimator is what it was, with an earlier "
    "fit if there was one; scales that were learnt meanwhile are lost. What takes time before the first step "
    "are the features' scales and the penalty: relevance=None and a number for alpha leave them out."
)

# How to go on, with and without ``warm_start``.
_AGAIN = {
    True: "call fit again, which continues from here",
    False: "fit with warm_start=True, after which calling fit again continues",
}

# The same for training that converged, but at a loss far above what the linearised start promises.
_FALLS_SHORT = (
    "Training with solver={solver!r} came to rest after {n_iter} steps, at a loss of {loss:.3g}. That leaves "
    "{left:.0%} of the decrease that the network linearised at its start promises: the target asks for so "
    "sharp a function that only short steps lower the loss. Standardise the features if they are not, use "
    "width=numpy.inf, which takes no such steps, or ask for less of a fit (a larger alpha)."
)
# The same where that promise is not known, but the score of the linearised start on rows left out is.
_STUCK = (
    "Training with solver={solver!r} came to rest after {n_iter} steps, at a loss of {loss:.3g}. That "
    "explains {explained:.0%} of the loss of the start, where the network linearised there explains "
    "{score:.0%} on rows left out: only short steps lower the loss. Standardise the features if they are "
    "not, use relevance=None, or width=numpy.inf, which takes no such steps."
)
# Ends that say no more than that nothing was left to gain.
_AT_REST = (TrainingStatus.CONVERGED, TrainingStatus.STALLED, TrainingStatus.EARLY_STOPPED)
# What is said where leave-one-out has nothing to choose a penalty by, at any width.
_NOTHING = (
    "Nothing was found in the features that foretells the targets: leave-one-out explains {score:.0%} of the "
    "loss of a constant, at its best penalty (alpha_={alpha:.3g}), so that this model is next to a constant, "
    "or no better than one on other rows. More rows may tell more (early_stopping=True holds some out), and "
    "so may other features; see that the rows of X and y belong together. A smaller number for alpha follows "
    "these rows more closely, with what may be noise."
)


def nothing_found(penalty: Penalty, Y: np.ndarray) -> str | None:
    """Return the warning that is due where leave-one-out finds nothing to learn, or None.

    The start is to predict a constant, with which the score compares.

    Parameters
    ----------
    penalty : Penalty
        The penalty, and its score where leave-one-out chose it.
    Y : (n, k) array
        Targets on the user's scale: constant ones, up to rounding, have nothing to be found.
    """
    if penalty.score is None or penalty.score > penalty.of_constant + 1e-12:  # rounding
        return None
    with np.errstate(over="ignore"):  # the range of targets of 1e308
        varies = np.ptp(Y, axis=0) > 20 * np.finfo(np.float64).eps * np.abs(Y).max(axis=0)
    return _NOTHING.format(score=max(penalty.score, 0.0), alpha=penalty.relative) if varies.any() else None


def message(
    state: TrainingState, penalty: Penalty, *, solver: str, max_iter: int, tol: float, contraction: float,
    warm_start: bool, learning_rate: float | str = "auto", linear_promise: bool = True,
    nothing: str | None = None,
) -> str | None:  # fmt: skip
    """Return the warning that is due, or None.

    Parameters
    ----------
    state : TrainingState
        How training ended, and where.
    penalty : Penalty
        The penalty it had.
    solver, max_iter, tol, warm_start, learning_rate
        Parameters of the estimator.
    contraction : float
        ‖sA‖₂ of the network that is kept.
    linear_promise : bool
        That of the loss.
    nothing : str or None
        What `nothing_found` says, which is why training came to rest where it is due.
    """
    if nothing is not None and state.status in _AT_REST:
        return nothing
    text = _MESSAGES.get(state.status)
    if state.status is TrainingStatus.CONVERGED and tol <= _DEFAULT.fine:
        if _falls_short(state, penalty):
            found = penalty.score is None or penalty.score > _DEFAULT.nothing
            text = _FALLS_SHORT if found else _NOTHING
        elif _is_stuck(state, penalty, linear_promise):
            text = _STUCK
    if text is None:
        return None
    history = state.history
    before = max(history.loss[-2:][0], np.finfo(np.float64).tiny)
    return text.format(
        solver=solver, max_iter=max_iter, tol=tol, contraction=contraction, n_iter=history.n_iter,
        loss=state.best_loss, change=history.last_change / before, left=shortfall(state),
        again=_AGAIN[warm_start], smaller=_smaller(solver, learning_rate), explained=_explained(state),
        score=None if penalty.score is None else max(penalty.score, 0.0), alpha=penalty.relative,
    )  # fmt: skip


def _falls_short(state: TrainingState, penalty: Penalty) -> bool:
    """Whether much less was reached than the network linearised at its start promised."""
    left, errors = shortfall(state), state.history.squared_error
    if left <= _DEFAULT.most_left_of_worse:
        return False
    explained = 1 - min(errors) / errors[0]
    return left > _DEFAULT.most_left or (penalty.score is not None and explained < penalty.score)


def _is_stuck(state: TrainingState, penalty: Penalty, linear_promise: bool) -> bool:
    """Whether training explains far less than leave-one-out does, where nothing was promised by the start.

    That is so for a loss without such a promise, and where not even a first step was taken. A network that is
    next to a constant is reported at lower scores.
    """
    if penalty.score is None:
        return False
    if _explained(state) < _DEFAULT.constant:
        return penalty.score >= _DEFAULT.least_score_of_a_constant
    if penalty.score < _DEFAULT.least_score:
        return False
    if linear_promise and state.history.n_iter > 0:
        return False
    return _explained(state) < _DEFAULT.least_explained * penalty.score


def _explained(state: TrainingState) -> float:
    """Return the share of the start's loss that training took away."""
    start = state.history.loss[0]
    return 1 - state.best_loss / start if start > 0 else 1.0


def _smaller(solver: str, learning_rate: float | str) -> str:
    """Return what to use instead of a learning rate that is too large."""
    if solver == "adam" and (learning_rate == "auto" or float(learning_rate) <= ADAM.learning_rate):
        return f"a smaller learning_rate ('auto' is {ADAM.learning_rate:g})"
    return (
        "a smaller learning_rate" if learning_rate == "auto" else "learning_rate='auto' or a smaller number"
    )
