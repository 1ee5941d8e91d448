"""Numbers of any size, whose squares have none: sizes, units, and means and deviations in them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


def largest_magnitude(X: Any) -> float:
    """Return the largest magnitude among the entries of an array, dense or sparse; 0 if it has none."""
    return max(float(X.max()), -float(X.min())) if 0 not in X.shape else 0.0


def power_of_two(size: float) -> float:
    """Return the power of two nearest to a positive size: dividing by it rounds nothing."""
    return float(2.0 ** np.round(np.log2(size)))


class Centred(NamedTuple):
    """Columns in units of their largest magnitudes, about their weighted means.

    Attributes
    ----------
    relative : (n, k) array
        The columns, less their means, over their units.
    unit : (k,) array
        Their largest magnitudes; 1 for columns of zeros.
    mean, size : (k,) arrays
        Weighted mean and root mean square about it, in those units.
    """

    relative: np.ndarray
    unit: np.ndarray
    mean: np.ndarray
    size: np.ndarray


def centred(
    X: np.ndarray, weights: np.ndarray, *, about_mean: bool = True, moderate: bool = False
) -> Centred:
    """Measure columns whose squares may overflow, as those of 1e200 do.

    Parameters
    ----------
    X : (n, k) or (n,) array
        The columns; constant ones are 0, to the bit, about their means.
    weights : (n,) array
        Positive weights of the rows.
    about_mean : bool, default=True
        Whether columns are centred; else their means count as 0.
    moderate : bool, default=False
        Whether squares are known to be numbers: the units are 1 then, and nothing is rounded.
    """
    largest = 1.0 if moderate else np.abs(X).max(axis=0)
    unit = np.where(largest > 0, largest, np.ones(X.shape[1:]))
    relative = X / unit
    mean = np.zeros(X.shape[1:])
    if about_mean:
        mean = np.average(relative, axis=0, weights=weights)
        relative -= mean
        relative[..., X.min(axis=0) == X.max(axis=0)] = 0
    return Centred(relative, unit, mean, np.sqrt(np.average(relative**2, axis=0, weights=weights)))


# Rounding errors of sums of weights, relative: ties stay ties when all weights are multiplied.
_TIE = 1e-9


def typical_weight(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the weighted median of values, as a rule the weights themselves.

    That is the weight of the row that has half of all weight in rows no heavier: a few heavy ones, or many of
    next to no weight, do not move it.
    """
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(below, (1 - _TIE) * 0.5 * below[-1])])
