"""The rows that training sees, each of them once."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array, issparse


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
    left_out : (n,) array
        How much of its weight a row loses in leave-one-out (see `left_out_weights`).
    """

    X: Any
    Y: np.ndarray
    weights: np.ndarray
    left_out: np.ndarray

    def take(self, rows: np.ndarray) -> DistinctRows:
        """Return some of them."""
        return DistinctRows(*(part[rows] for part in self))


def distinct_rows(X, Y: np.ndarray, weights: np.ndarray, counts: np.ndarray | None = None) -> DistinctRows:
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
    """
    # negative zeros equal positive ones as numbers, if not as bytes
    keys = [(_digest(columns, values), *y) for (columns, values), y in zip(_entries(X), Y.tolist())]
    place = {key: number for number, key in enumerate(sorted(set(keys)))}
    group = np.array([place[key] for key in keys])
    _, rows, given = np.unique(group, return_index=True, return_counts=True)
    X = X[rows] if issparse(X) else np.ascontiguousarray(X[rows])
    Y, counts = Y[rows], np.bincount(group, weights if counts is None else counts)
    weights = np.bincount(group, weights)
    copies = counts if (counts == np.round(counts)).all() else given
    return DistinctRows(X, Y, weights, left_out_weights(X, Y, weights, copies))


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
    is_count = _group_sizes([tuple(y) for y in Y.tolist()]) > 1
    inputs = [_digest(columns, values) for columns, values in _entries(X)]
    if not _fills_half_of_a_table(X, len(set(inputs))):
        is_count &= _group_sizes(inputs) > 1
    return np.where(is_count, weights / copies, weights)


def _fills_half_of_a_table(X, n_distinct: int) -> bool:
    """Whether there are at least half as many distinct rows as combinations of their entries."""
    n_cells = 1
    for j in range(X.shape[1]):
        n_cells *= len(np.unique(X[:, [j]].toarray() if issparse(X) else X[:, j]))
        if n_cells > 2 * n_distinct:
            return False
    return True


def _group_sizes(keys: list[Any]) -> np.ndarray:
    """Return for every row how many rows have its key."""
    count = Counter(keys)
    return np.array([count[key] for key in keys])


def _entries(X):
    """Yield columns and values of the entries that are not 0, row by row: the same for any layout of X."""
    if issparse(X):
        X = csr_array(X, copy=True)
        X.sum_duplicates()  # sorts the columns, too
        X.eliminate_zeros()
        yield from ((X.indices[i:j], X.data[i:j]) for i, j in zip(X.indptr[:-1], X.indptr[1:]))
    else:
        for row in X:
            columns = np.flatnonzero(row)
            yield columns, row[columns]


def _digest(columns: np.ndarray, values: np.ndarray) -> bytes:
    """Return 16 bytes that stand for the entries of a row."""
    return blake2b(columns.astype(np.int64).tobytes() + values.tobytes(), digest_size=16).digest()
