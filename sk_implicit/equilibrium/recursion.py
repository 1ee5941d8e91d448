"""The iteration z ← σ(s A z + φ) stopped after L layers: a feed-forward network with tied weights.

It starts from z_0 = 0, so that z_1 = σ(φ) = φ, and L layers take L − 1 products. What comes out is z_L
whatever the weights, for nothing has to converge. Where it does converge, layers beyond the one that changes
nothing any more are not computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .._numerics.blocks import slices
from .._numerics.norms import row_norms
from .operators import EquilibriumOperator
from .problem import FixedPoint
from .result import EquilibriumResult, Status

# Change of a layer, in units of the machine precision, that is rounding.
_ROUNDING = 8


@dataclass(frozen=True, slots=True)
class Recursion:
    """The numbers that steer the recursion.

    Attributes
    ----------
    check_every : int
        Layers of which one is looked at for changes. Fewer cost passes over memory, more compute layers
        that change nothing.
    many_layers : int
        Layers after which most networks no longer change beyond rounding: for how many of them blocks leave
        room that keep all. Fewer take more memory, more cut smaller blocks.
    block_bytes : int
        Bytes of one array of a block of rows, as in `driver`.
    block_rows : int
        Rows of a block at least, as in `driver`.
    """

    check_every: int = 8
    many_layers: int = 32
    block_bytes: int = 2**22
    block_rows: int = 64


RECURSION = Recursion()


def layer_states(
    operator: EquilibriumOperator, Phi: np.ndarray, depth: int, settings: Recursion = RECURSION
) -> Iterator[np.ndarray]:
    """Yield z_1, z_2, … up to z_depth, (n, m) each.

    Fewer where layers stop changing beyond rounding: all further ones are equal to the last.

    Parameters
    ----------
    operator : EquilibriumOperator
        The matrix A and its scale.
    Phi : (n, m) array
        Features, non-negative; the first of the states.
    depth : int
        Number of layers L ≥ 1.
    settings : Recursion
        The numbers that steer it.
    """
    layer = FixedPoint(operator, False, Phi, None, len(Phi))
    Z = Phi
    yield Z
    for number in range(2, depth + 1):
        below, Z = Z, np.empty_like(Phi)
        with np.errstate(over="ignore", invalid="ignore"):  # the caller looks at the result
            np.maximum(layer.preactivation(below, out=Z), 0, out=Z)
        yield Z
        if number % settings.check_every == 0 and number < depth:
            with np.errstate(over="ignore", invalid="ignore"):
                moved, limit = row_norms(Z - below), _ROUNDING * np.finfo(Z.dtype).eps * row_norms(Z)
            if np.all(moved <= limit):
                return


def recur(
    operator: EquilibriumOperator, Phi: np.ndarray, depth: int, settings: Recursion = RECURSION
) -> EquilibriumResult:
    """Return z_depth of every row, NaN where it is beyond the range of numbers.

    Parameters
    ----------
    operator, Phi, depth, settings
        As in `layer_states`.

    Returns
    -------
    result : EquilibriumResult
        The states in ``solution``; ``residual`` is 0, or inf in rows that overflow.
    """
    n, m = Phi.shape
    solution, residual = np.empty_like(Phi), np.zeros(n)
    n_iter, cost = 0, 0.0
    step = max(settings.block_bytes // (m * Phi.itemsize), settings.block_rows)
    for rows in slices(n, step):
        for taken, Z in enumerate(layer_states(operator, Phi[rows], depth, settings)):
            cost += len(Z) / n if taken else 0.0
            n_iter = max(n_iter, taken + 1)
        solution[rows] = Z
    lost = ~np.isfinite(solution).all(axis=1)
    solution[lost], residual[lost] = np.nan, np.inf
    status = Status.DIVERGED if lost.any() else Status.CONVERGED
    return EquilibriumResult(solution, n_iter, residual, status, "layers", cost)
