"""When to measure and when to stop: the loop around every stationary iteration.

Norms cost passes over memory, so the step of a row is measured at few sweeps only; in between,
its rate of contraction tells how many more it needs. Each row takes exactly its own sweeps: what it
has after the last of them is put aside, and its column is dropped when enough of them are done for
that to pay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .correction import Correction, column_norms


@dataclass(frozen=True, slots=True)
class Schedule:
    """When columns are measured, given up and dropped.

    Attributes
    ----------
    patience : float
        A column predicted to need more sweeps than this is left where it is, once it has taken a share
        `evidence` of them; by default no column is.
    check_every : int
        Sweeps at most between measurements after the second. More let a column run on where its rate has
        changed; fewer cost passes over memory.
    evidence : float
        That share. A smaller one believes rates of first steps, which are often not those of the rest; a
        larger one sweeps for longer in vain.
    drop : float
        Products with the whole block, spent on columns that are done, beyond which these are dropped
        instead. Dropping copies all that the iteration holds, so that less would copy more often; more
        spends products on columns that are done.
    """

    patience: float = np.inf
    check_every: int = 16
    evidence: float = 1 / 16
    drop: float = 0.25


SCHEDULE = Schedule()


class Iteration(Protocol):
    """A stationary iteration on the columns of a correction.

    Attributes
    ----------
    cost : float
        Products that the next sweep takes.
    checks : tuple of int
        Sweeps after which a column is measured for the first and second time; the first step is often not
        typical of the rest, so a rate is not trusted before the second.
    """

    cost: float
    checks: tuple[int, int]

    def sweep(self, measure: bool) -> np.ndarray | None:
        """Advance all columns by one sweep; return their squared steps if asked to."""

    def solution(self) -> np.ndarray:
        """Return δ of all columns; the next sweep may overwrite it."""

    def keep(self, columns: np.ndarray) -> None:
        """Drop all other columns."""


def iterate(iteration: Iteration, task: Correction, schedule: Schedule) -> np.ndarray:
    """Sweep until every column is predicted to have reached its target.

    Parameters
    ----------
    iteration : Iteration
        The solver's sweep.
    task : Correction
        Targets and budgets; receives the solution.
    schedule : Schedule
        When columns are measured, given up and dropped.

    Returns
    -------
    ndarray of shape (k,)
        Sweeps of each column.
    """
    k = task.e.shape[1]
    iterations = np.zeros(k, np.intp)
    column = np.arange(k)  # of the task, by columns of the iteration; all that follows, too
    more = np.minimum(iteration.checks[0], task.budget).astype(np.intp)
    measured = np.ones(k, bool)
    # Norm of the last measured step and the sweep it belongs to.
    step, at = task.first_step.copy(), np.zeros(k, np.intp)
    if not more.all():
        task.delta[:, more == 0] = task.first_iterate(more == 0)
    while more.any():
        open_ = more > 0
        if (1 - open_.mean()) * more.max() * iteration.cost >= schedule.drop:
            iteration.keep(np.flatnonzero(open_))
            column, more, measured, step, at = (x[open_] for x in (column, more, measured, step, at))
            open_ = np.ones(len(more), bool)
        n = int(more[open_].min())
        ending = more == n
        check = ending & measured
        for i in range(n):
            task.products += len(more) * iteration.cost
            squared = iteration.sweep(measure=i == n - 1 and bool(check.any()))
        iterations[column[open_]] += n
        more[open_] -= n
        if squared is not None:
            new, taken = np.sqrt(squared[check]), iterations[column[check]]
            more[check], measured[check] = _wanted(
                iteration, task, column, check, new, taken, step[check], at[check], schedule
            )
            step[check], at[check] = new, taken
        done = ending & (more == 0)
        if done.any():
            _put_aside(task, iteration.solution(), column, done)
    return iterations


def _put_aside(task: Correction, solution: np.ndarray, column: np.ndarray, done: np.ndarray) -> None:
    """Write the columns of a solution that are done to where they belong."""
    if len(column) < task.delta.shape[1]:
        task.delta[:, column[done]] = solution[:, done]
    elif done.all():
        task.delta = solution
    else:  # twice as fast
        np.putmask(task.delta, np.broadcast_to(done, solution.shape), solution)


def _wanted(
    iteration: Iteration, task: Correction, column, check, new, taken, step, at, schedule: Schedule
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sweeps that the columns measured just now take next, and whether they are measured again."""
    rows = column[check]
    target = task.target[rows]
    if task.against_delta:
        target = target * column_norms(iteration.solution())[check]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rate = (new / step) ** (1 / (taken - at))
        # The step after w more sweeps is new · rate^w, and what it leaves is rate times that.
        wanted = np.ceil(np.log(target / (new * rate)) / np.log(rate))
    wanted = np.where(rate < 1, np.fmax(wanted, np.maximum(task.least - taken, 0)), np.inf)
    wanted[(new == 0) | ~np.isfinite(new)] = 0
    slow = (wanted > schedule.patience) & (at > 0) & (taken >= schedule.evidence * schedule.patience)
    task.gave_up[rows] |= slow
    wanted[slow] = 0
    at_most = np.where(at > 0, schedule.check_every, iteration.checks[1] - iteration.checks[0])
    more = np.minimum(np.minimum(wanted, at_most), task.budget[rows] - taken)
    return more.astype(np.intp), wanted > at_most
