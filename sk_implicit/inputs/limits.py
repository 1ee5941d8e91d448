"""Limits of predictions and features: what ``clip`` means to a regressor.

Outputs that are kept in the range of their targets are not foretold beyond it by anything, a row with one
outlying entry least of all. Where all of them are, features count as at most one range beyond the training
rows, too: what such an entry makes of a prediction then depends on the others. Where they are not (targets go
on along a trend, or have little noise), features are followed for two ranges.

An entry still further away is taken for a mistake, and counts as the feature's mean: a prediction that the
other features make is worth more than one at a limit. Limits of predictions do not do as well: those that
stop a mistake cut off trends and heavy tails.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import issparse


@dataclass(frozen=True, slots=True)
class RangeLimits:
    """How many ranges beyond those of the training rows features are followed.

    Chosen on tables that are cut along their main feature, and on entries that are made mistakes (see
    docs/benchmarks/README.md).

    Attributes
    ----------
    kept : float
        Where predictions are kept within the range of the targets.
    followed : float
        Where they are not.
    believed : float
        Ranges beyond which an entry is a mistake.
    """

    kept: float = 1.0
    followed: float = 2.0
    believed: float = 5.0


LIMITS = RangeLimits()


def no_limits(k: int) -> np.ndarray:
    """Return limits of k columns that keep nothing, (2, k)."""
    return np.repeat([[-np.inf], [np.inf]], k, axis=1)


def limits_of_inputs(X, counts: np.ndarray, ranges: float) -> np.ndarray:
    """Return the values so many ranges below and above those that each feature has, (2, d).

    Of sparse rows, which are to stay sparse, zeros are within.

    Parameters
    ----------
    X : (n, d) array or CSR array
        Rows; gaps say nothing.
    counts : (d,) bool array
        Which features are numbers that count; others have no limits.
    ranges : float
        The number of ranges, of each feature its own.
    """
    if issparse(X):
        low, high = (extreme.toarray().ravel() for extreme in (X.nanmin(0), X.nanmax(0)))
    else:
        low, high = np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)
    low, high = low.astype(np.float64), high.astype(np.float64)
    with np.errstate(over="ignore"):
        limits = np.array([low - ranges * (high - low), high + ranges * (high - low)])
    if issparse(X):
        limits = np.array([np.minimum(limits[0], 0.0), np.maximum(limits[1], 0.0)])
    return np.where(np.isnan(limits).any(axis=0) | ~counts, no_limits(len(low)), limits)
