"""The rows that training sees: each once, and a sample of them where all would cost too much."""

from __future__ import annotations

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
    content = columns.astype(np.int64).tobytes() + values.tobytes() + y.tobytes()
    return blake2b(content, digest_size=16).digest()


def sample_rows(n: int, most: int) -> np.ndarray:
    """Return the numbers of all n rows, or of a random sample of ``most``, sorted; the same in every call."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.RandomState(0).choice(n, most, replace=False))
