"""Weighted quantiles of columns, and their robust standard deviations."""

from __future__ import annotations

import numpy as np

# Rounding errors of sums of weights, relative: ties stay ties when all weights are multiplied.
_TIE = 1e-9
# Standard deviation of a normal distribution over the median of its magnitudes.
_OF_MEDIAN = 1.4826


def weighted_quantile(Y: np.ndarray, weights: np.ndarray, levels: np.ndarray | float) -> np.ndarray:
    """Return a quantile of each column, (k,): the least value that has as much weight in values up to it.

    Where a value has just as much, the mean of it and the next one: of two values, the median is their mean.

    Parameters
    ----------
    Y : (n, k) array
        The columns.
    weights : (n,) array
        Positive weights of the rows: a row of weight 2 counts as two.
    levels : (k,) array or float
        Between 0 and 1, for each column or all of them.
    """
    found = np.empty(Y.shape[1])
    for c, level in enumerate(np.broadcast_to(levels, Y.shape[1])):
        order = np.argsort(Y[:, c], kind="stable")
        values, mass = Y[order, c], np.cumsum(weights[order])
        rounding = _TIE * mass[-1]
        first, last = (np.searchsorted(mass, level * mass[-1] + shift) for shift in (-rounding, rounding))
        low, high = values[first], values[min(last, len(values) - 1)]
        found[c] = low + 0.5 * (high - low)
    return found


def robust_deviation(Y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the standard deviation that columns about 0 would have were they normal, by the median, (k,).

    That of the magnitudes; their mean takes its place where at least half of the weight is at 0.
    """
    magnitudes = np.abs(Y)
    median = _OF_MEDIAN * weighted_quantile(magnitudes, weights, 0.5)
    return np.where(median > 0, median, np.average(magnitudes, axis=0, weights=weights))
