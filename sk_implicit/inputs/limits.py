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


def limits_of_inputs(X) -> np.ndarray:
    """Return the least and largest value that each feature counts as, (2, d).

    One range beyond those of the training rows; zeros are within, so that sparse rows stay sparse.
    """
    low, high = (extreme.toarray().ravel() if issparse(X) else extreme for extreme in (X.min(0), X.max(0)))
    low, high = low.astype(np.float64), high.astype(np.float64)
    with np.errstate(over="ignore"):
        beyond = high - low
        return np.array([np.minimum(low - beyond, 0.0), np.maximum(high + beyond, 0.0)])
