"""How solvers are put together: in which precision, and what is tried next on rows left over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .correction import Corrector
from .options import BlockOptions
from .problem import FixedPoint
from .refinement import REFINEMENT, Refinement, RefinementSettings
from .result import BlockResult, Status

# What solves a block of rows; the contract is in `registry`.
Solver = Callable[[FixedPoint, np.ndarray, BlockOptions], BlockResult]

FAILED = (Status.STALLED, Status.DIVERGED)
UNSOLVED = (*FAILED, Status.MAX_ITER)


@dataclass(frozen=True, slots=True)
class ByCorrections:
    """A solver made of a corrector: float32 corrections, then, where they fail, more careful ones.

    Float32 fails when sA or an iterate leaves its range, and the prediction of a row's sweeps when
    its steps shrink first and grow later; both happen in the transient of a strongly non-normal A.
    The second attempt is patient and in the precision of the data.

    Attributes
    ----------
    name : str
        What the record of a solve calls it.
    correct : callable
        Solves a `Correction`.
    settings : RefinementSettings
        The numbers of the refinement.
    """

    name: str
    correct: Corrector
    settings: RefinementSettings = REFINEMENT

    def __call__(self, problem: FixedPoint, Z: np.ndarray, options: BlockOptions) -> BlockResult:
        """Solve a block of rows."""
        full, single = problem.c.dtype, np.dtype(np.float32)
        stages = [self._refined(full, patient=True)]
        if problem.operator.fits_float32:
            stages.insert(0, self._refined(single, patient=False))
        return cascade(stages, FAILED, problem, Z, options)

    def _refined(self, precision: np.dtype, patient: bool) -> Solver:
        def stage(problem: FixedPoint, Z: np.ndarray, options: BlockOptions) -> BlockResult:
            best = BlockResult.start(Z, self.name)
            Refinement(best, options, self.correct, precision, patient, self.settings).run(problem)
            return best

        return stage


def in_turn(*stages: Solver) -> Solver:
    """Make one solver of several, each for the rows that those before it did not solve."""

    def solve(problem: FixedPoint, Z: np.ndarray, options: BlockOptions) -> BlockResult:
        return cascade(stages, UNSOLVED, problem, Z, options)

    return solve


def cascade(
    stages: Sequence[Solver],
    passed_on: tuple[Status, ...],
    problem: FixedPoint,
    Z: np.ndarray,
    options: BlockOptions,
) -> BlockResult:
    """Run stages in order, each from the best iterates of those before it.

    A stage gets the rows that the one before it ended with a status in `passed_on`, unless their
    iterations are used up.
    """
    best = BlockResult.start(Z)
    rows, warm = np.arange(len(Z)), options.warm
    for stage in stages:
        everything = len(rows) == len(Z)
        start = Z if everything else Z[rows]
        part_problem = problem if everything else problem.take(rows)
        budget = options.max_iter[rows] - best.n_iter[rows]
        part = stage(part_problem, start, BlockOptions(options.tol, budget, warm))
        best.merge(rows, part)
        left = np.any([part.status == status.value for status in passed_on], axis=0)
        rows, warm = rows[left & (best.n_iter[rows] < options.max_iter[rows])], True
        if not rows.size:
            break
    return best
