"""scikit-learn's callbacks (from 1.9 on): what a fit tells them, and how they stop it.

The only place that knows which scikit-learn is installed. Before 1.9 there are no callbacks, and a
`FitWatch` says nothing to nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..models import Fitted
from ..training import Progress

try:
    from sklearn.callback import CallbackSupportMixin as _CallbackSupport
except ImportError:  # scikit-learn < 1.9
    _CallbackSupport = object


class CallbackSupport(_CallbackSupport):
    """Gives estimators ``set_callbacks`` where scikit-learn has callbacks."""


class FitWatch:
    """Follows a fit: prints its steps, and tells the callbacks, as one task with a subtask for each step.

    Parameters
    ----------
    estimator : CallbackSupport
        The estimator at the start of its ``fit``; one whose ``verbose`` is set gets a line for each step.
    X, y
        What ``fit`` was given.
    max_steps : int
        The most steps it will take; 0 for a fit in one piece.
    **metadata
        What it was given beside them; None for what it was not.
    """

    def __init__(self, estimator, X, y, *, max_steps: int, **metadata):
        self._estimator = estimator
        given = {name: value for name, value in metadata.items() if value is not None}
        self._data = {"estimator": estimator, "X": X, "y": y, "metadata": given or None}
        self._fit: Any = None
        self._step: Any = None
        if hasattr(estimator, "_init_callback_context"):
            self._fit = estimator._init_callback_context(max_subtasks=max_steps)
            self._fit.call_on_fit_task_begin(**self._data)

    def begins_step(self) -> None:
        """Tell that a step begins."""
        if self._fit is not None:
            self._step = self._fit.subcontext(task_name="step")
            self._step.call_on_fit_task_begin(**self._data)

    def ends_step(self, progress: Progress, attributes: Callable[[], dict[str, Any]]) -> bool:
        """Tell that a step was taken, and return whether a callback asks to stop.

        Parameters
        ----------
        progress : Progress
            What it did.
        attributes : callable
            Makes the fitted attributes that predictions need, if a callback wants them.
        """
        history = progress.history
        rest = f"contraction {history.contraction[-1]:.4f}"
        if self._estimator.early_stopping:
            rest += f"  validation score {history.validation_score[-1]:.6f}"
        self._print(progress.n_iter, history.loss[-1], rest)
        return self._step_ended(attributes)

    def ends_fit(self, fitted: Fitted) -> None:
        """Tell that the estimator is fitted."""
        if fitted.state is None and "history_" not in fitted.facts:
            self._print(1, fitted.facts["loss_"], "closed form")
        self._step_ended(None)  # one that led nowhere
        if self._fit is not None:
            self._fit.call_on_fit_task_end(reconstruction_attributes={}, **self._data)

    def _step_ended(self, attributes: Callable[[], dict[str, Any]] | None) -> bool:
        if self._step is None:
            return False
        step, self._step = self._step, None
        return step.call_on_fit_task_end(reconstruction_attributes=attributes, **self._data)

    def _print(self, step: int, loss: float, rest: str) -> None:
        """Print the line of one step, on the standard output as scikit-learn does."""
        if self._estimator.verbose:
            print(f"[{type(self._estimator).__name__}] step {step:4d}  loss {loss:.6e}  {rest}", flush=True)
