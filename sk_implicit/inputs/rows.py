"""The rows that training sees, each of them once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array, issparse

from .._numerics.blocks import slices
from ..function_space.leaving_out import LeavingOut


@dataclass(frozen=True, slots=True)
class CellLimits:
    """When inputs are cells of a table that new rows fall into as well, instead of places among others.

    Attributes
    ----------
    levels : int
        Distinct values below which those of a feature are levels; as many as keep it from being encoded.
    rows_per_cell : float
        Mean number of rows to an input from which the values of a single feature are cells, however many.
    columns : int
        Columns that are looked at a time: sparse ones are dense then.
    light, absent : float
        Weights, relative to their mean (Σw²/Σw), below which a row counts for no sample and no limit, and is
        taken as not there: with next to no penalty, a fit would go through rows of any weight.
    """

    levels: int = 6
    rows_per_cell: float = 10.0
    columns: int = 512
    light: float = 1e-3
    absent: float = 1e-6


LIMITS = CellLimits()


class DistinctRows(NamedTuple):
    """Rows that are there once.

    Attributes
    ----------
    X : (n, d) array or CSR array
        Inputs.
    Y : (n, k) array
        Targets.
    weights : (n,) array
        Sums of the weights of equal rows.
    left_out : LeavingOut
        What is left out at a time: groups, rows of equal inputs, single rows or one of their copies.
    """

    X: Any
    Y: np.ndarray
    weights: np.ndarray
    left_out: LeavingOut

    def measured(self) -> DistinctRows:
        """Return those that count: but for rows of next to no weight, all of them."""
        return self if self.left_out.counted is None else self.take(self.left_out.measured())

    def take(self, rows: np.ndarray) -> DistinctRows:
        """Return some of them."""
        return DistinctRows(self.X[rows], self.Y[rows], self.weights[rows], self.left_out[rows])


def distinct_rows(
    X, Y: np.ndarray, weights: np.ndarray, counts: np.ndarray | None = None,
    groups: np.ndarray | None = None, *, levels: np.ndarray | None = None,
) -> DistinctRows:  # fmt: skip
    """Return the distinct rows of (X, Y), with the sums of their weights, in an order of their own.

    An optimiser amplifies the rounding error of a sum that is taken in another order. From these rows
    training takes the same steps, to the bit, whether a row has weight 2 or is given twice, and in any
    order of the rows. The order is one of the inputs, and of the targets among rows whose inputs are equal,
    so that targets in another unit come in the same order.

    Parameters
    ----------
    X : (n, d) array or CSR array
        Inputs.
    Y : (n, k) array
        Targets; rows are equal where X and Y are.
    weights : (n,) array
        Sample weights.
    counts : (n,) array or None
        Those of them that may be counts of equal rows, before other factors; None for ``weights``.
    groups : (n,) int array or None
        Rows of equal number are left out together, and equal rows of two groups are distinct. None to leave
        out rows of equal inputs together.
    levels : (d,) bool array or None
        Which columns are numbers of levels; None for none.
    """
    keys = _keys(X, Y, groups)
    order = np.lexsort(keys.T[::-1])  # by X first
    keys = keys[order]
    group = np.empty(len(order), int)
    group[order] = np.cumsum(np.append(0, np.any(keys[1:] != keys[:-1], axis=1)))
    _, rows, given = np.unique(group, return_index=True, return_counts=True)
    counts = np.bincount(group, weights if counts is None else counts)
    weights = np.bincount(group, weights)
    whole, own = counts == np.round(counts), weights / given
    relative = np.where(whole, 1.0, own / (own @ (weights / weights.sum())))
    if relative.min() < LIMITS.light:  # the order of those that count is theirs alone
        counted = np.flatnonzero(relative >= LIMITS.light)
        keys = _keys(X[rows[counted]], Y[rows[counted]], None if groups is None else groups[rows[counted]])
        light = np.flatnonzero((relative < LIMITS.light) & (relative >= LIMITS.absent))
        kept = np.append(counted[np.lexsort(keys.T[::-1])], light)
        rows, given, counts, weights, relative = (
            part[kept] for part in (rows, given, counts, weights, relative)
        )
    X = X[rows] if issparse(X) else np.ascontiguousarray(X[rows])
    Y, n = Y[rows], int(np.count_nonzero(relative >= LIMITS.light))
    copies = np.where(relative >= LIMITS.light, counts, given)
    if not (copies == np.round(copies)).all():
        copies = given
    if groups is not None:
        left_out = LeavingOut(weights, groups[rows])
    else:
        left_out = left_out_at_a_time(X[:n], Y[:n], weights[:n], copies[:n], levels)
    if n < len(rows):
        left_out = _beside(left_out, weights, n)
    return DistinctRows(X, Y, weights, replace(left_out, units=weights / copies))


def _keys(X, Y: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Return what rows are told apart and ordered by, (n, 4 or 6)."""
    keys = [row_keys(X), row_keys(Y)]
    return np.hstack(keys if groups is None else [*keys, row_keys(groups[:, None])])


def _beside(left_out: LeavingOut, weights: np.ndarray, n: int) -> LeavingOut:
    """Return what is left out where behind the n rows that count stand some of next to no weight.

    Those are by themselves, but in groups that were given.
    """
    light, groups = len(weights) - n, left_out.groups
    if groups is not None and len(groups) == n:
        groups = np.append(groups, groups.max() + 1 + np.arange(light))
    return LeavingOut(np.append(left_out.weights[:n], weights[n:]), groups, counted=np.arange(n + light) < n)


def left_out_at_a_time(
    X, Y: np.ndarray, weights: np.ndarray, copies: np.ndarray, levels: np.ndarray | None = None
) -> LeavingOut:
    """Return what leave-one-out takes away where no groups were given.

    New rows come at inputs of their own. What rows with equal inputs tell of each other they tell of none of
    those, and they are left out together, whether their targets are equal or not. Inputs that are cells of a
    table are another matter: new rows fall into them, too, and rows are left out one by one, or, of a table
    of counts, one of their copies (`left_out_weights`). So are the rows of an input that alone has some level
    of a feature: without them nothing were known of it.

    Parameters
    ----------
    X, Y, weights, copies
        As in `left_out_weights`.
    levels : (d,) bool array or None
        Which columns are numbers of levels; None for none.
    """
    _, first, inputs = np.unique(row_keys(X), axis=0, return_index=True, return_inverse=True)
    inputs, by_row = np.ravel(inputs), left_out_weights(X, Y, weights, copies)
    if len(first) == len(inputs):
        return LeavingOut(by_row)
    X = X[first]
    distinct, alone = _distinct_values(X, levels)
    if _are_cells(X, distinct, float(copies.sum()) / len(first)):
        return LeavingOut(by_row)
    alone = alone[inputs]
    return LeavingOut(
        np.where(alone, by_row, weights), np.where(alone, len(first) + np.arange(len(inputs)), inputs)
    )


def _are_cells(X, distinct: np.ndarray, rows_per_input: float) -> bool:
    """Whether distinct inputs are cells of a table: of levels alone, or filled by half or more."""
    if (distinct < LIMITS.levels).all():
        return True
    if np.count_nonzero(distinct > 1) < 2 and rows_per_input < LIMITS.rows_per_cell:
        return False
    return _fills_half_of_a_table(X, X.shape[0])


def _distinct_values(X, levels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Look at the values of distinct inputs.

    Parameters
    ----------
    X : (n, d) array or CSR array
        Distinct inputs.
    levels : (d,) bool array or None
        Which columns are numbers of levels; None for none.

    Returns
    -------
    distinct : (d,) array
        The number of values of each column; 1 of levels.
    alone : (n,) bool array
        Inputs that alone have some level, or one of the two values of an indicator.
    """
    (n, d), levels = X.shape, np.zeros(X.shape[1], bool) if levels is None else levels
    distinct, alone = np.ones(d, int), np.zeros(n, bool)
    for part in slices(d, LIMITS.columns):
        columns = X[:, part].toarray() if issparse(X) else X[:, part]
        rising = np.sort(columns, axis=0)
        both_missing = np.isnan(rising[1:]) & np.isnan(rising[:-1])
        distinct[part] += np.sum((rising[1:] != rising[:-1]) & ~both_missing, axis=0)
        for column in columns.T[levels[part] | (distinct[part] == 2)]:
            _, value, counts = np.unique(column, return_inverse=True, return_counts=True)
            alone |= counts[np.ravel(value)] == 1
    return np.where(levels, 1, distinct), alone


def left_out_weights(X, Y: np.ndarray, weights: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """Return how much of its weight a row loses in leave-one-out, (n,): all of it, but in tables of counts.

    A row of weight 2 is the same row given twice, which may mean two things. As a rule, weight is importance,
    and what stayed of a row would predict what is left out. Where inputs and targets take few values, equal
    rows are rows like others, and one of them is left out: of a row whose targets come with other inputs, and
    whose inputs come with other targets or are cells of a table of which at least half are there.

    Parameters
    ----------
    X : (n, d) array or CSR array
        Inputs of distinct rows.
    Y : (n, k) array
        Targets.
    weights : (n,) array
        Positive sample weights.
    copies : (n,) array
        How many equal rows a row stands for: its sample weight where those are whole numbers, else how often
        it was given.
    """
    if copies.max() == 1:
        return weights
    is_count = _group_sizes(row_keys(Y)) > 1
    inputs = _group_sizes(row_keys(X))
    if not _fills_half_of_a_table(X, int(np.round(np.sum(1 / inputs)))):
        is_count &= inputs > 1
    return np.where(is_count, weights / copies, weights)


def _fills_half_of_a_table(X, n_distinct: int) -> bool:
    """Whether there are at least half as many distinct rows as combinations of their entries."""
    n_cells = 1
    for j in range(X.shape[1]):
        n_cells *= len(np.unique(X[:, [j]].toarray() if issparse(X) else X[:, j]))
        if n_cells > 2 * n_distinct:
            return False
    return True


def _group_sizes(keys: np.ndarray) -> np.ndarray:
    """Return for every row how many rows have its key."""
    _, group, sizes = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    return sizes[np.ravel(group)]


def row_keys(X) -> np.ndarray:
    """Return 128 bits that stand for each row, (n, 2): the same for any layout, unit and origin.

    They are sums of hashes of the entries' ranks in their columns: rows are equal where their keys are,
    but for a chance of n² 2⁻¹²⁹, and the order of keys is as good as random.

    Parameters
    ----------
    X : (n, d) array or sparse array
        The rows. Gaps (NaN) are equal to each other.
    """
    if issparse(X):
        return _sparse_keys(csr_array(X, copy=True))
    keys = np.zeros((X.shape[0], 2), np.uint64)
    for j in range(X.shape[1]):
        ranks = np.unique(X[:, j], return_inverse=True)[1]
        keys += _hashes(np.full(len(ranks), j), ranks.ravel())
    return keys


def _sparse_keys(X: csr_array) -> np.ndarray:
    """Return the keys of sparse rows: those of rows of zeros, and what the entries make of them."""
    X.sum_duplicates()
    X.eliminate_zeros()
    (n, d), stored = X.shape, np.bincount(X.indices, minlength=X.shape[1])
    has_zeros = np.flatnonzero(stored < n)
    columns = np.append(X.indices, has_zeros).astype(np.int64)
    values = np.append(X.data, np.zeros(len(has_zeros), X.dtype))
    order = np.lexsort((values, columns))
    column, value = columns[order], values[order]
    first = np.append(True, column[1:] != column[:-1])[: len(order)]
    other = np.append(True, (value[1:] != value[:-1]) & ~(np.isnan(value[1:]) & np.isnan(value[:-1])))
    distinct = np.cumsum(other[: len(order)] | first) - 1
    start = np.maximum.accumulate(np.where(first, distinct, 0))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = distinct - start
    zero = np.zeros(d, np.int64)
    zero[has_zeros] = ranks[X.nnz :]
    of_zeros = np.zeros((d, 2), np.uint64)
    of_zeros[has_zeros] = _hashes(has_zeros, zero[has_zeros])
    change = _hashes(columns[: X.nnz], ranks[: X.nnz]) - of_zeros[X.indices]
    row = np.repeat(np.arange(n), np.diff(X.indptr))
    keys = np.tile(of_zeros.sum(axis=0, dtype=np.uint64), (n, 1))
    np.add.at(keys, row, change)
    return keys


def _hashes(columns: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return two independent 64-bit hashes of numbers of columns and ranks, (r, 2).

    The mixer is that of SplitMix64 (G. L. Steele, D. Lea and C. H. Flood, OOPSLA 2014).
    """

    def mix(x: np.ndarray) -> np.ndarray:
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))

    step = np.uint64(0x9E3779B97F4A7C15)
    place = mix((columns.astype(np.uint64) + np.uint64(1)) * step)
    lanes = [mix(place + (ranks.astype(np.uint64) + np.uint64(lane)) * step) for lane in (1, 1 << 40)]
    return np.stack(lanes, axis=1)
