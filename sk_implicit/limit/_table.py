"""Table of the infinite-width limit functions: piecewise quartics in √(1 − |ρ|) on octaves.

All functions of :mod:`sk_implicit.limit` are analytic in the angle θ on [0, π], hence in
u = √(1 − |ρ|) on either side of ρ = 0, but not in ρ: the NTK behaves as √(1 − |ρ|) at both ends.
Near the ends they vary on the scale γ (as γ → 0, at ρ = −1) or √2 − γ (as γ → √2, at ρ = 1).
They are evaluated on octaves [2⁻ᵏ, 2¹⁻ᵏ] of u, down to a piece [0, 2⁻ⁿ] inside that scale. Relative to
an octave no singularity is nearer than u = 0, so that 20 Chebyshev nodes reach rounding error for
every γ. Every octave down to the smallest nonzero u in double precision is then cut into 64 cells
with a quartic in u, and a cell's number is read off the exponent and leading mantissa bits of u:
an entry of a kernel matrix costs one square root, five look-ups and four multiply-adds.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.polynomial import chebyshev

from ._moments import (
    Solution,
    boundary_layer,
    fixed_point_at_one,
    limit_gamma_derivatives,
    limit_values,
    solve_fixed_point,
)

TILE = 8192  # entries a call; the evaluator's four buffers then stay in a 512 KiB cache

_OCTAVE_NODES = 20
CELL_BITS = 6  # 64 cells an octave
OCTAVES = 32  # the last begins at u = 1
_DEGREE = 4
# Biased exponents of u: 1 - 2^-53 is the largest cosine below 1, so the smallest u is 2^-26.5.
_EXPONENTS = np.arange(1023 - 27, 1023)
_MANTISSA_SHIFT = 52 - CELL_BITS
# Biased exponents 992 ... 1023, of [2^-31, 2), differ in their five low bits only.
_HALF_TABLE = OCTAVES << CELL_BITS


class TableEvaluator:
    """Evaluate tabulated functions on tiles of cosines, in buffers reused from tile to tile.

    Parameters
    ----------
    gamma : float
        0 < γ < √2.
    *names : str
        Keys of ``limit_values`` or ``limit_gamma_derivatives``.
    """

    def __init__(self, gamma: float, *names: str) -> None:
        self._tables = [limit_table(gamma, name) for name in names]
        self._u, self._term = np.empty(TILE), np.empty(TILE)
        self._values = [np.empty(TILE) for _ in names]
        self._cell = np.empty(TILE, dtype=np.int64)

    def __call__(self, rho: np.ndarray) -> list[np.ndarray]:
        """Return the values of every function, in buffers valid until the next call.

        Parameters
        ----------
        rho : ndarray of shape (r, c)
            float64 cosines, contiguous along the last axis, at most TILE of them; beyond ±1
            counts as ±1.

        Returns
        -------
        values : list of ndarrays of shape (r, c)
        """
        u = self._u[: rho.size].reshape(rho.shape)
        term = self._term[: rho.size].reshape(rho.shape)
        cell = self._cell[: rho.size].reshape(rho.shape)
        np.abs(rho, out=u)
        np.subtract(1.0, u, out=u)
        np.maximum(u, 0.0, out=u)
        np.sqrt(u, out=u)
        # Cell number: low exponent bits and leading mantissa bits of u, then the sign of ρ.
        np.right_shift(u.view(np.int64), _MANTISSA_SHIFT, out=cell)
        np.bitwise_and(cell, _HALF_TABLE - 1, out=cell)
        sign = term.view(np.int64)
        np.right_shift(rho.view(np.int64), 63, out=sign)
        np.bitwise_and(sign, _HALF_TABLE, out=sign)
        np.bitwise_or(cell, sign, out=cell)
        values = [value[: rho.size].reshape(rho.shape) for value in self._values]
        for table, value in zip(self._tables, values, strict=True):
            np.take(table[_DEGREE], cell, out=value, mode="clip")
            for coefficients in table[_DEGREE - 1 :: -1]:
                value *= u
                np.take(coefficients, cell, out=term, mode="clip")
                value += term
        return values


def _node_angles(gamma: float) -> np.ndarray:
    """Angles of the pieces' nodes, (2 signs, 1 + octaves, _OCTAVE_NODES), innermost piece first."""
    layer = boundary_layer(fixed_point_at_one(gamma))
    n_octaves = min(len(_EXPONENTS) - 1, 2 + math.ceil(-math.log2(layer)))
    unit = (chebyshev.chebpts1(_OCTAVE_NODES) + 1.0) / 2.0
    octaves = np.ldexp(1.0 + unit, np.arange(-n_octaves, 0)[:, None])
    u = np.vstack([np.ldexp(unit, -n_octaves), octaves])
    from_end = 2.0 * np.arcsin(u / math.sqrt(2.0))  # 1 − |ρ| = u² = 2 sin²(angle from ρ = ±1, halved)
    return np.stack([from_end, np.pi - from_end])


# The fixed point serves both sets of node values; the sets are separate because only gradients
# need the second. An optimiser of γ leaves a trail of values, hence the bounds.
@lru_cache(maxsize=16)
def _node_solution(gamma: float) -> Solution:
    return solve_fixed_point(gamma, _node_angles(gamma).ravel())


@lru_cache(maxsize=16)
def _node_values(gamma: float, gamma_derivatives: bool) -> dict[str, np.ndarray]:
    """Limit functions, or their γ-derivatives, at all octaves' nodes: (2, octaves, _OCTAVE_NODES)."""
    evaluate = limit_gamma_derivatives if gamma_derivatives else limit_values
    theta = _node_angles(gamma)
    values = evaluate(gamma, theta.ravel(), _node_solution(gamma))
    # The octaves inside the innermost piece [0, 2^-n] get their values from its polynomial.
    inner = len(_EXPONENTS) - (theta.shape[1] - 1)
    unit = (chebyshev.chebpts1(_OCTAVE_NODES) + 1.0) / 2.0
    points = np.ldexp(1.0 + unit, np.arange(-inner, 0)[:, None])
    extend = chebyshev.chebvander(2.0 * points - 1.0, _OCTAVE_NODES - 1) @ _to_series(_OCTAVE_NODES)
    completed = {}
    for name, value in values.items():
        value = value.reshape(theta.shape)
        innermost = np.einsum("opn,sn->sop", extend, value[:, 0])
        completed[name] = np.concatenate([innermost, value[:, 1:]], axis=1)
    return completed


def _to_series(n: int) -> np.ndarray:
    """Matrix from values at the n Chebyshev points to the coefficients of the interpolating series."""
    matrix = chebyshev.chebvander(chebyshev.chebpts1(n), n - 1).T * (2.0 / n)
    matrix[0] /= 2.0
    return matrix


@lru_cache(maxsize=64)
def limit_table(gamma: float, name: str) -> np.ndarray:
    """Coefficients (1 + _DEGREE, 2·_HALF_TABLE) of the cells' quartics in u, lowest power first."""
    values = _node_values(gamma, name.endswith("_gamma"))[name]
    n_cells, n_points = 1 << CELL_BITS, _DEGREE + 1
    # Octave scaled to [1, 2): interpolate to Chebyshev points of every cell, then fit there.
    left = 1.0 + np.arange(n_cells) / n_cells
    points = left[:, None] + (chebyshev.chebpts1(n_points) + 1.0) / (2.0 * n_cells)
    to_series = _to_series(_OCTAVE_NODES)
    to_points = chebyshev.chebvander(2.0 * points - 3.0, _OCTAVE_NODES - 1) @ to_series
    at_points = np.einsum("cpn,son->cpso", to_points, values)
    # A quartic in u itself, not in u minus the cell's centre, saves a look-up. Its coefficients are ill
    # determined, but the solver's residual, the error of the values, is at rounding level.
    vandermonde = points[..., None] ** np.arange(n_points)
    quartics = np.linalg.solve(vandermonde, at_points.reshape(n_cells, n_points, -1))
    quartics = quartics.reshape(at_points.shape).transpose(1, 2, 3, 0)
    powers = np.arange(n_points)[:, None, None, None]

    table = np.zeros((n_points, 2, OCTAVES, n_cells))
    table[:, :, _EXPONENTS - 992] = quartics * 2.0 ** (-powers * (_EXPONENTS[:, None] - 1023.0))
    # The cells of u = 0, where the function is linear in u to double precision, and of u = 1.
    ends = chebyshev.chebvander(np.array([-1.0, 1.0]), _OCTAVE_NODES - 1) @ to_series
    table[0, :, 0] = (values[:, 0] @ (2.0 * ends[0] - ends[1]))[:, None]
    table[0, :, -1] = (values[:, -1] @ ends[1])[:, None]
    flat = table.reshape(n_points, -1)
    flat.flags.writeable = False
    return flat
