"""scikit-learn's callbacks (from 1.9 on): what a fit tells them, and how they stop it.

The only place that knows which scikit-learn is installed. Before 1.9 there are no callbacks, and a
`FitWatch` says nothing to nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin as _CallbackSupport
except ImportError:  # scikit-learn < 1.9
    _CallbackSupport = object


class CallbackSupport(_CallbackSupport):
    """Gives estimators ``set_callbacks`` where scikit-learn has callbacks."""


class FitWatch:
    """Tells the callbacks of an estimator where its fit is: one task, with a subtask for each step.

    Parameters
    ----------
    estimator : CallbackSupport
        The estimator at the start of its ``fit``.
    X, y, sample_weight
        What ``fit`` was given.
    max_steps : int
        The most steps it will take; 0 for a fit in one piece.
    """

    def __init__(self, estimator, X, y, sample_weight, *, max_steps: int):
        self._estimator = estimator
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self._data = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
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

    def ends_step(self, attributes: Callable[[], dict[str, Any]] | None = None) -> bool:
        """Tell that a step has ended, and return whether a callback asks to stop.

        Parameters
        ----------
        attributes : callable or None
            Makes the fitted attributes that predictions need, if a callback wants them; None for a step that
            led nowhere.
        """
        if self._step is None:
            return False
        step, self._step = self._step, None
        return step.call_on_fit_task_end(reconstruction_attributes=attributes, **self._data)

    def ends_fit(self) -> None:
        """Tell that the estimator is fitted."""
        self.ends_step()
        if self._fit is not None:
            self._fit.call_on_fit_task_end(reconstruction_attributes={}, **self._data)


class Watched:
    """A training solver whose steps are announced before they are taken."""

    def __init__(self, solver, watch: FitWatch):
        self._solver = solver
        self._watch = watch

    def __getattr__(self, name):
        return getattr(self._solver, name)

    def step(self, objective, point, state):
        """Take the solver's step."""
        self._watch.begins_step()
        return self._solver.step(objective, point, state)
