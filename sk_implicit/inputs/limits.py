"""Limits of predictions and features: what ``clip`` means to a regressor.

Outputs that are kept in the range of their targets are not foretold beyond it by anything, a row with one
outlying entry least of all. Where all of them are, features count as at most one range beyond the training
rows, too: what such an entry makes of a prediction then depends on the others.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import issparse


def no_limits(k: int) -> np.ndarray:
    """Return limits of k columns that keep nothing, (2, k)."""
    return np.repeat([[-np.inf], [np.inf]], k, axis=1)


def limits_of_inputs(X, counts: np.ndarray | None = None) -> np.ndarray:
    """Return the least and largest value that each feature counts as, (2, d).

    One range beyond those of the training rows; of sparse rows, which are to stay sparse, zeros are within.

    Parameters
    ----------
    X : (n, d) array or CSR array
        Rows; gaps say nothing.
    counts : (d,) bool array or None
        Which features are numbers that count; others have no limits. None for all of them.
    """
    if issparse(X):
        low, high = (extreme.toarray().ravel() for extreme in (X.nanmin(0), X.nanmax(0)))
    else:
        low, high = np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)
    low, high = low.astype(np.float64), high.astype(np.float64)
    with np.errstate(over="ignore"):
        limits = np.array([low - (high - low), high + (high - low)])
    if issparse(X):
        limits = np.array([np.minimum(limits[0], 0.0), np.maximum(limits[1], 0.0)])
    free = np.isnan(limits).any(axis=0) if counts is None else np.isnan(limits).any(axis=0) | ~counts
    return np.where(free, no_limits(len(low)), limits)
