"""The solver that picks: by measured contraction, with fallbacks for rows that stall.

A row goes through, until it is solved,

1. Gauss-Seidel sweeps, if it is predicted to need few,
2. the modulus form, whose set-up then pays, if it is predicted to get there,
3. Newton-Krylov, for rows at or past the edge of contraction,
4. Gauss-Seidel sweeps to the end of the budget: a feed-forward network, for one, may look
   divergent for as many sweeps as it has layers, and is then solved exactly.

The contraction is measured on the row at hand; no norm of A is computed.
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

# Predicted sweeps of one correction above which the modulus form takes over. Its set-up costs
# about m rows, two or three sweeps of them, so with few rows the sweeps may be many.
_SWEEPS = 12
_SWEEPS_OF_FEW_ROWS = 64
_FEW = 1 / 8
_MODULUS_SWEEPS = 300


def auto(problem: FixedPoint, Z: np.ndarray, warm: bool, tol: float, max_iter: np.ndarray) -> Rows:
    """Solve a block of rows by whatever is expected to be fastest on each."""
    _, m = problem.shape
    few = problem.n_sharing < _FEW * m
    sweeps = _SWEEPS_OF_FEW_ROWS if few else _SWEEPS
    return in_turn(
        by_corrections("gauss_seidel", functools.partial(gauss_seidel, patience=sweeps)),
        by_corrections("modulus", functools.partial(modulus, patience=_MODULUS_SWEEPS)),
        newton_krylov,
        by_corrections("gauss_seidel", gauss_seidel),
    )(problem, Z, warm, tol, max_iter)
