"""The solver that picks: by measured contraction, with fallbacks for rows that stall.

A row goes through, until it is solved,

1. Gauss-Seidel sweeps, if it is predicted to need few,
2. the modulus form, whose set-up then pays, if it is predicted to get there,
3. Newton-Krylov, for rows at or past the edge of contraction,
4. Gauss-Seidel sweeps to the end of the budget: a feed-forward network, for one, may look
   divergent for as many sweeps as it has layers, and is then solved exactly.

The contraction is measured on the row at hand. In cold starts of many rows to a tight tolerance, the
first of these is left out if the size of the entries of A promises many sweeps.
"""

from __future__ import annotations

import functools

import numpy as np

from .modulus import modulus
from .newton_krylov import newton_krylov
from .picard import gauss_seidel
from .problem import FixedPoint
from .result import Rows
from .stages import by_corrections, in_turn

# Predicted sweeps of one correction above which the modulus form takes over. Its set-up takes as long
# as some five sweeps of m rows, so with few rows the sweeps may be many.
_SWEEPS = 32
_SWEEPS_OF_FEW_ROWS = 128
_FEW = 1 / 8
_MODULUS_SWEEPS = 300
# Norm of sA over that of the identity (for a Gaussian A about γ) and tolerance of a cold start from which,
# and up to which, the modulus form comes first.
_WIDE = 0.75
_TIGHT = 1e-5


def auto(problem: FixedPoint, Z: np.ndarray, warm: bool, tol: float, max_iter: np.ndarray) -> Rows:
    """Solve a block of rows by whatever is expected to be fastest on each."""
    few = problem.n_sharing < _FEW * problem.operator.m
    sweeps = _SWEEPS_OF_FEW_ROWS if few else _SWEEPS
    stages = [
        by_corrections("gauss_seidel", functools.partial(gauss_seidel, patience=sweeps)),
        by_corrections("modulus", functools.partial(modulus, patience=_MODULUS_SWEEPS)),
        newton_krylov,
        by_corrections("gauss_seidel", gauss_seidel),
    ]
    if not (warm or few) and tol <= _TIGHT and problem.operator.relative_norm >= _WIDE:
        del stages[0]
    return in_turn(*stages)(problem, Z, warm, tol, max_iter)
