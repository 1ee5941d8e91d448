"""The rows that training sees: each once, and a sample of them where all would cost too much."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b

import numpy as np
from scipy.sparse import csr_array, issparse


def distinct_rows(X, Y: np.ndarray, weights: np.ndarray):
    """Return the distinct rows of (X, Y), with the sums of their weights, in an order of their own.

    An optimiser amplifies the rounding error of a sum that is taken in another order. From these rows
    training takes the same steps, to the bit, whether a row has weight 2 or is given twice, and in any
    order of the rows.

    Parameters
    ----------
    X : (n, d) array or CSR array
        Inputs.
    Y : (n, k) array
        Targets; rows are equal where X and Y are.
    weights : (n,) array
        Sample weights.
    """
    keys = [_digest(columns, values, y) for (columns, values), y in zip(_entries(X), Y)]
    place = {key: number for number, key in enumerate(sorted(set(keys)))}
    group = np.array([place[key] for key in keys])
    _, rows = np.unique(group, return_index=True)
    X = X[rows] if issparse(X) else np.ascontiguousarray(X[rows])
    return X, Y[rows], np.bincount(group, weights)


def left_out_weights(X, Y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return how much weight a row loses in leave-one-out, (n,): all of it, but in tables of counts.

    A row of weight 2 is the same row given twice, which may mean two things. As a rule, weight is importance,
    and what stayed of a row would predict what is left out. Where inputs and targets take few values, equal
    rows are rows like others, and one of them is left out: one unit of weight. That is taken to be so of a
    row whose targets come with other inputs, and whose inputs come with other targets or, if all weights are
    whole numbers, share each of their entries with other inputs.

    Parameters
    ----------
    X : (n, p) array or CSR array
        Inputs of distinct rows, as from `distinct_rows`.
    Y : (n, k) array
        Targets.
    weights : (n,) array
        Positive sample weights.
    """
    if weights.max() <= 1:
        return weights
    nothing = np.empty(0)
    inputs = [_digest(columns, values, nothing) for columns, values in _entries(X)]
    by_input, by_target = (_group_sizes(keys) for keys in (inputs, [_digest(nothing, nothing, y) for y in Y]))
    counted = by_input > 1
    if (weights == np.round(weights)).all():
        _, first, place = np.unique(np.array(inputs), return_index=True, return_inverse=True)
        counted |= _shares_every_entry(X[first])[place.ravel()]
    return np.where(counted & (by_target > 1), np.minimum(weights, 1.0), weights)


def _group_sizes(keys: list[bytes]) -> np.ndarray:
    """Return for every row how many rows have its key."""
    count = Counter(keys)
    return np.array([count[key] for key in keys])


def _shares_every_entry(X) -> np.ndarray:
    """Mark the rows each of whose entries occurs in the same column of another row."""
    shares = np.ones(X.shape[0], bool)
    columns = X.tocsc() if issparse(X) else X
    for j in range(X.shape[1]):
        column = columns[:, [j]].toarray().ravel() if issparse(X) else columns[:, j]
        _, place, count = np.unique(column, return_inverse=True, return_counts=True)
        shares &= count[place] > 1
        if not shares.any():
            break
    return shares


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


def _digest(columns: np.ndarray, values: np.ndarray, y: np.ndarray) -> bytes:
    """Return 16 bytes that stand for a row and its targets."""
    content = columns.astype(np.int64).tobytes() + values.tobytes() + (y + 0.0).tobytes()  # -0.0 is 0.0
    return blake2b(content, digest_size=16).digest()


def sample_rows(n: int, most: int) -> np.ndarray:
    """Return the numbers of all n rows, or of a random sample of ``most``, sorted; the same in every call."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.RandomState(0).choice(n, most, replace=False))
