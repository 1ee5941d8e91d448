"""Matrices of tabulated functions of the cosines between rows, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array, diags_array, issparse

from ._table import TILE, TableEvaluator

# A power of two, so that it rounds nothing, that brings the largest numbers to where squares are finite.
_HUGE_SCALE = 2.0**-600
_BLOCK = 1 << 22  # cosines per matrix product, 32 MiB
_MIRRORED = 64  # rows whose part above the diagonal is copied to below it at a time, within a cache
# Binary digits that cosines of rows of d entries are rounded to: 53 − log₂ d, in these limits.
_FEWEST_DIGITS, _MOST_DIGITS = 40, 49


Tile = tuple[slice, slice, np.ndarray, list[np.ndarray]]


def limit_matrices(X, Y, gamma: float, names: Sequence[str], *, cosine: bool = False) -> list[np.ndarray]:
    """Evaluate tabulated functions for all pairs of rows.

    Parameters
    ----------
    X, Y : (n, d) and (n_y, d) arrays or sparse arrays
        Rows; Y None means X, at half the cost, and the results are exactly symmetric.
    gamma : float
        0 < γ < √2.
    names : sequence of str
        The functions, keys of the tables.
    cosine : bool, default=False
        Whether to return the cosines as well, as the last matrix.

    Returns
    -------
    matrices : list of (n, n_y) arrays
        ‖x̃‖ ‖x̃'‖ f(ρ), one for each function. Computed in float64; float32 if X and Y are.

    Raises
    ------
    ValueError
        If the shapes do not match, or products of the rows' lengths are not numbers of that precision.
    """
    unit_x, norm_x = normalised(X, "X")
    unit_y, norm_y = (unit_x, norm_x) if Y is None else normalised(Y, "Y")
    if unit_x.shape[1] != unit_y.shape[1]:
        raise ValueError(
            f"X and Y must have the same number of columns; got {unit_x.shape[1]} and {unit_y.shape[1]}."
        )
    dtype = np.dtype(np.float32 if all(is_single(a) for a in (X, Y) if a is not None) else np.float64)
    outs = [np.empty((len(norm_x), len(norm_y)), dtype) for _ in range(len(names) + cosine)]
    evaluator = TableEvaluator(gamma, *names)
    check_range(norm_x, norm_y, evaluator, dtype)
    for rows, cols, rho, tiles in _evaluated(unit_x, norm_x, unit_y, norm_y, evaluator, upper=Y is None):
        for out, values in zip(outs, [*tiles, rho] if cosine else tiles, strict=True):
            out[rows, cols] = values
    if Y is None:
        for out, value in zip(outs, evaluator(np.ones((1, 1))), strict=False):
            np.fill_diagonal(out, norm_x**2 * value[0])
        if cosine:
            np.fill_diagonal(outs[-1], norm_x > 0)
        for out in outs:
            mirror(out)
    return outs


def upper_tiles(
    unit: np.ndarray, norms: np.ndarray, gamma: float, names: Sequence[str], buffer: np.ndarray | None = None
) -> Iterator[Tile]:
    """Walk through what `limit_matrices` computes for pairs of the same rows, without storing it.

    Parameters
    ----------
    unit, norms : (n, d) and (n,) arrays
        From `normalised`.
    gamma, names
        As in `limit_matrices`.
    buffer : (n, n) array or None
        For cosines.

    Yields
    ------
    rows, cols : slices
        Which pairs. All on or above the diagonal come once; of the others, some between rows of a tile do.
        On the diagonal cosines are 1 but for rounding.
    cosines : (r, c) array
        ρ, in a buffer that lasts until the next tile, and may be written to.
    values : list of (r, c) arrays
        ‖x̃‖ ‖x̃'‖ f(ρ), one for each function, likewise.
    """
    evaluator = TableEvaluator(gamma, *names)
    check_range(norms, norms, evaluator, np.dtype(np.float64))
    return _evaluated(unit, norms, unit, norms, evaluator, upper=True, buffer=buffer)


def _evaluated(
    unit_x, norm_x, unit_y, norm_y, evaluator: TableEvaluator, *, upper: bool, buffer=None
) -> Iterator[Tile]:
    """Yield tiles of cosines and of the functions' values, of rows and columns in blocks."""
    offset = rounding_offset(unit_x.shape[1])
    n_rows = max(1, min(len(norm_x), _BLOCK // max(1, len(norm_y))))
    buffer = np.empty(n_rows * len(norm_y)) if buffer is None else buffer.ravel()
    for start in range(0, len(norm_x), n_rows):
        stop = min(start + n_rows, len(norm_x))
        first = start if upper else 0  # below the diagonal, mirror instead
        shape = (stop - start, len(norm_y) - first)
        cosines = buffer[: shape[0] * shape[1]].reshape(shape)
        if issparse(unit_x) or issparse(unit_y):
            product = unit_x[start:stop] @ unit_y[first:].T
            cosines[...] = product.toarray() if issparse(product) else product
        else:
            np.matmul(unit_x[start:stop], unit_y[first:].T, out=cosines)
        for rows, cols in _tiles(*shape, upper=upper):
            rho = cosines[rows, cols]
            # Near ±1 the kernel sees √(1 − |ρ|), which would turn the rounding error of equal rows'
            # product into 1e-8, and more: hence it is rounded off.
            rho += offset
            rho -= offset
            rows = slice(start + rows.start, start + rows.stop)
            cols = slice(first + cols.start, first + cols.stop)
            tiles = evaluator(rho)
            for values in tiles:
                values *= norm_y[cols]
                values *= norm_x[rows, None]
            yield rows, cols, rho, tiles


def rounding_offset(d: int) -> float:
    """Return what rounds the cosines of rows of d entries when it is added to them and taken off again.

    The sum of d products errs by d 2⁻⁵³ at most, and was seen to come near to a quarter of that where the
    products are alike, as those of indicators are: half of it is rounded off.
    """
    digits = np.clip(53 - np.ceil(np.log2(max(d, 1))), _FEWEST_DIGITS, _MOST_DIGITS)
    return float(1.5 * 2.0 ** (52 - digits))  # with ±1 added, the spacing of numbers is the same


def mirror(square: np.ndarray) -> None:
    """Copy what is above the diagonal to below it, in place."""
    for start in range(0, len(square), _MIRRORED):
        stop = start + _MIRRORED
        square[stop:, start:stop] = square[start:stop, stop:].T
        block = square[start:stop, start:stop]
        lower = np.tri(len(block), k=-1, dtype=bool)
        np.copyto(block, block.T, where=lower)


class UnitRows(NamedTuple):
    """Rows of unit length and their lengths, as `normalised` returns them: computed once for many calls."""

    rows: Any
    lengths: np.ndarray


def is_single(X) -> bool:
    if isinstance(X, UnitRows):
        return False
    return (X if issparse(X) else np.asarray(X)).dtype == np.float32


def normalised(X, name: str) -> UnitRows:
    """Return rows of unit length, (n, d), and their lengths, (n,), in float64; zero rows stay."""
    if isinstance(X, UnitRows):
        return X
    X = csr_array(X, dtype=np.float64) if issparse(X) else np.asarray(X, dtype=np.float64)
    if X.ndim != 2:
        raise ValueError(f"{name} must have shape (n_samples, n_features); got shape {X.shape}.")
    norms = _lengths(X)
    if issparse(X):
        return UnitRows(csr_array(diags_array(1 / np.where(norms > 0.0, norms, 1.0)) @ X), norms)
    return UnitRows(X / np.where(norms > 0.0, norms, 1.0)[:, None], norms)


def check_range(norm_x: np.ndarray, norm_y: np.ndarray, evaluator: TableEvaluator, dtype: np.dtype) -> None:
    """Raise unless ‖x̃‖ ‖x̃'‖ f(1), the largest value there can be of a kernel f, is a number."""
    largest = [float(norms.max(initial=0.0)) for norms in (norm_x, norm_y)]
    with np.errstate(over="ignore"):
        value = abs(float(evaluator(np.ones((1, 1)))[0].item())) * largest[0] * largest[1]
    if not value <= float(np.finfo(dtype).max):
        raise ValueError(
            f"The kernel grows with the product of the rows' norms, and those reach {largest[0]:.3g} and "
            f"{largest[1]:.3g}: expected finite entries, and kernels within the range of {dtype}. "
            "Rescale the inputs, or impute what is missing."
        )


def _lengths(X) -> np.ndarray:
    """Return the lengths of the rows, (n,), also of those whose squares overflow."""
    lengths = np.sqrt(_squares(X))
    huge = np.isinf(lengths)
    if huge.any():
        lengths[huge] = np.sqrt(_squares(X[huge] * _HUGE_SCALE)) / _HUGE_SCALE
    return lengths


def _squares(X) -> np.ndarray:
    """Return the sums of squares of the rows, (n,); infinite where they overflow."""
    with np.errstate(over="ignore"):
        if issparse(X):
            return np.asarray(X.multiply(X).sum(axis=1)).ravel()
        return np.einsum("ij,ij->i", X, X)


def _tiles(n_rows: int, n_cols: int, upper: bool) -> Iterator[tuple[slice, slice]]:
    """Cut a matrix into tiles of at most TILE entries, as wide as possible.

    With ``upper`` the tiles need only cover the diagonal and what is above it.
    """
    width = max(1, min(n_cols, TILE))
    height = max(1, TILE // width)
    for row in range(0, n_rows, height):
        for col in range(row if upper else 0, n_cols, width):
            yield slice(row, min(row + height, n_rows)), slice(col, min(col + width, n_cols))
