"""The solver that picks: by measured contraction, with fallbacks for rows that stall.

A row goes through, until it is solved,

1. Gauss-Seidel sweeps, if it is predicted to need few,
2. the modulus form, whose set-up then pays, if it is predicted to get there,
3. Newton-Krylov, for rows at or past the edge of contraction,
4. Gauss-Seidel sweeps to the end of the budget: a feed-forward network, for one, may look
   divergent for as many sweeps as it has layers, and is then solved exactly.

The contraction is measured on the row at hand. In cold starts of many rows to a tight tolerance, the
first of these is left out if the size of the entries of A promises many sweeps.

Where a row may have several equilibria, which one it gets must not depend on what came with it, nor on
how it is asked for: unless a norm of sA below one is known, or the equation is linear, the stages are
those of many rows, cold and tight, always.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .few_rows import FewRows
from .modulus import Modulus
from .newton_krylov import NewtonKrylov
from .options import BlockOptions
from .picard import GaussSeidel
from .problem import FixedPoint
from .result import BlockResult
from .stages import ByCorrections, Solver, in_turn
from .sweeps import Schedule

FEW_ROWS = FewRows()


@dataclass(frozen=True, slots=True)
class Auto:
    """Whatever is expected to be fastest on each row.

    Attributes
    ----------
    sweeps : int
        Predicted sweeps of one correction above which the modulus form takes over. Its set-up takes as long
        as some five sweeps of m rows, so that fewer would call for it before it pays, and more late.
    sweeps_of_few_rows : int
        The same for few rows, on which sweeps cost little beside that set-up.
    few : float
        Rows are few below this share of m. The set-up is the same for them: a larger share would let many
        rows sweep for long.
    modulus_sweeps : int
        Predicted sweeps above which a row leaves the modulus form for Newton steps. More of them would cost
        more than a few such steps; fewer send rows there that would have got to their end.
    wide : float
        Norm of sA over that of the identity (for a Gaussian A about γ) from which the modulus form comes
        first: below γ = 0.75 or so its set-up costs more than it saves.
    tight : float
        Tolerance up to which it does; with looser ones the few digits asked for do not pay for the set-up.
    """

    sweeps: int = 32
    sweeps_of_few_rows: int = 128
    few: float = 1 / 8
    modulus_sweeps: int = 300
    wide: float = 0.75
    tight: float = 1e-5

    def __call__(self, problem: FixedPoint, Z: np.ndarray, options: BlockOptions) -> BlockResult:
        """Solve a block of rows."""
        one_solution = problem.active is not None or problem.norm_bound < 1
        few = one_solution and problem.n_sharing < self.few * problem.operator.m
        sweeps = self.sweeps_of_few_rows if few else self.sweeps
        stages: list[Solver] = [
            ByCorrections("gauss_seidel", GaussSeidel(schedule=Schedule(patience=sweeps))),
            ByCorrections("modulus", Modulus(schedule=Schedule(patience=self.modulus_sweeps))),
            NewtonKrylov(),
            ByCorrections("gauss_seidel", GaussSeidel()),
        ]
        worth_it = options.tol <= self.tight and not (options.warm or few)
        if (worth_it or not one_solution) and problem.operator.relative_norm >= self.wide:
            del stages[0]
        if FEW_ROWS.serves(problem, options):
            stages.insert(0, FEW_ROWS)
        return in_turn(*stages)(problem, Z, options)
