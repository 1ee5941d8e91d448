"""How solvers are put together: in which precision, and what is tried next on rows left over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .correction import Corrector
from .problem import FixedPoint
from .refinement import Refinement
from .result import Rows, Status

# A stage solves a block: stage(problem, Z, warm, tol, max_iter) -> Rows, with Z the start (used
# if warm) and, on return, the best iterate; max_iter is an array, one number for each row.
Stage = Callable[[FixedPoint, np.ndarray, bool, float, np.ndarray], Rows]

FAILED = (Status.STALLED, Status.DIVERGED)
UNSOLVED = (*FAILED, Status.MAX_ITER)


def by_corrections(name: str, correct: Corrector) -> Stage:
    """Make a solver of a corrector: float32 corrections, then, where they fail, more careful ones.

    Float32 fails when sA or an iterate leaves its range, and the prediction of a row's sweeps when
    its steps shrink first and grow later; both happen in the transient of a strongly non-normal A.
    The second attempt is patient and in the precision of the data.
    """

    def solve(problem: FixedPoint, Z: np.ndarray, warm: bool, tol: float, max_iter) -> Rows:
        full, single = problem.c.dtype, np.dtype(np.float32)
        stages = [_refinement(name, correct, full, patient=True)]
        if problem.operator.fits_float32:
            stages.insert(0, _refinement(name, correct, single, patient=False))
        return cascade(stages, FAILED, problem, Z, warm, tol, max_iter)

    return solve


def _refinement(name: str, correct: Corrector, precision: np.dtype, patient: bool) -> Stage:
    def stage(problem: FixedPoint, Z: np.ndarray, warm: bool, tol: float, max_iter) -> Rows:
        best = Rows.start(Z, name)
        Refinement(best, tol, max_iter, correct, precision, patient).run(problem, warm)
        return best

    return stage


def in_turn(*stages: Stage) -> Stage:
    """Make one solver of several, each for the rows that those before it did not solve."""

    def solve(problem: FixedPoint, Z: np.ndarray, warm: bool, tol: float, max_iter) -> Rows:
        return cascade(stages, UNSOLVED, problem, Z, warm, tol, max_iter)

    return solve


def cascade(
    stages: Sequence[Stage],
    passed_on: tuple[Status, ...],
    problem: FixedPoint,
    Z: np.ndarray,
    warm: bool,
    tol: float,
    max_iter: np.ndarray,
) -> Rows:
    """Run stages in order, each from the best iterates of those before it.

    A stage gets the rows that the one before it ended with a status in `passed_on`, unless their
    iterations are used up.
    """
    best = Rows.start(Z)
    rows = np.arange(len(Z))
    for stage in stages:
        everything = len(rows) == len(Z)
        start = Z if everything else Z[rows]
        part_problem = problem if everything else problem.take(rows)
        part = stage(part_problem, start, warm, tol, max_iter[rows] - best.n_iter[rows])
        best.merge(rows, part)
        left = np.isin(part.status, [status.value for status in passed_on])
        rows, warm = rows[left & (best.n_iter[rows] < max_iter[rows])], True
        if not rows.size:
            break
    return best
