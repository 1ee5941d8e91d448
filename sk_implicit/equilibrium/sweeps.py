"""When to measure and when to stop: the loop around every stationary iteration.

Norms cost passes over memory, so the step of a row is measured at few sweeps only; in between,
its rate of contraction tells how many more it needs. Columns (samples) are kept sorted by that
number, and a sweep works on the first n of them, so that each takes exactly its own sweeps.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .refinement import Correction, column_norms

# Sweeps after which a row is measured for the first and second time (the first step is often not
# typical of the rest, so a rate is not trusted before the second), and at most between later ones.
_FIRST_CHECK = 1
_SECOND_CHECK = 3
_CHECK_EVERY = 16
_EVIDENCE = 1 / 16


class Iteration(Protocol):
    """A stationary iteration on the columns of a correction."""

    delta: np.ndarray

    def sweep(self, n: int, last: int, measure: bool) -> np.ndarray | None:
        """Advance columns [0, n) by one sweep.

        For columns [last, n) it is the last one of a round: their `delta` must be valid after it,
        and if `measure`, the squared norms of their steps are returned.
        """

    def reorder(self, order: np.ndarray, n: int) -> None:
        """Permute the columns; only the first n will be swept again."""


def iterate(iteration: Iteration, task: Correction, patience: float = np.inf) -> np.ndarray:
    """Sweep until every column is predicted to have reached its target.

    Parameters
    ----------
    iteration : Iteration
        The solver's sweep.
    task : Correction
        Targets and budgets; receives the solution.
    patience : float
        A column predicted to need more sweeps than this is left where it is, once it has taken a
        share `_EVIDENCE` of them.

    Returns
    -------
    ndarray of shape (k,)
        Sweeps of each column.
    """
    k = task.e.shape[1]
    column = np.arange(k)
    taken = np.zeros(k, np.intp)
    more = np.minimum(_FIRST_CHECK, task.budget)
    measured = np.ones(k, bool)
    # Norm of the last measured step and the sweep it belongs to.
    step, at = task.first_step.copy(), np.zeros(k, np.intp)
    while True:
        if np.any(more[1:] > more[:-1]):
            order = np.argsort(-more, kind="stable")
            iteration.reorder(order, int(np.count_nonzero(more)))
            column, taken, more, measured, step, at = (
                x[order] for x in (column, taken, more, measured, step, at)
            )
        n = int(np.count_nonzero(more))
        if n == 0:
            break
        squared = _round(iteration, more[:n], measured[:n])
        taken[:n] += more[:n]
        wanted = np.zeros(n)
        check = measured[:n]
        rows = column[:n]
        target = task.target[rows]
        if task.against_delta and check.any():
            target = target * column_norms(iteration.delta[:, :n])
        new, span = np.sqrt(squared), taken[:n] - at[:n]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            rate = (new / step[:n]) ** (1 / span)
            # The step after w more sweeps is new · rate^w, and what it leaves is rate times that.
            wanted = np.ceil(np.log(target / (new * rate)) / np.log(rate))
        wanted = np.where(rate < 1, np.fmax(wanted, np.maximum(task.least - taken[:n], 0)), np.inf)
        wanted[~check | (new == 0) | ~np.isfinite(new)] = 0
        slow = (wanted > patience) & (at[:n] > 0) & (taken[:n] >= _EVIDENCE * patience)
        task.gave_up[rows] |= slow
        wanted[slow] = 0
        at_most = np.where(at[:n] > 0, _CHECK_EVERY, _SECOND_CHECK - _FIRST_CHECK)
        step[:n], at[:n] = np.where(check, new, step[:n]), taken[:n]
        measured = np.zeros(k, bool)
        measured[:n] = wanted > at_most
        more = np.zeros(k, np.intp)
        more[:n] = np.minimum(np.minimum(wanted, at_most), task.budget[rows] - taken[:n])
    task.delta[:, column] = iteration.delta
    iterations = np.empty(k, np.intp)
    iterations[column] = taken
    return iterations


def _round(iteration: Iteration, more: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Give each column its `more` sweeps (descending); return its last squared step if measured."""
    squared = np.zeros(len(more))
    for i in range(int(more[0])):
        # Columns that still sweep; those from `last` on do so for the last time in this round.
        n = int(np.searchsorted(-more, -i, side="left"))
        last = int(np.searchsorted(-more, -i - 1, side="left"))
        measure = bool(measured[last:n].any())
        steps = iteration.sweep(n, last, measure)
        if measure:
            squared[last:n] = steps
    return squared
