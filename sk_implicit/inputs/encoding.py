r"""Piecewise-linear encoding of features: columns that rise one after the other along a feature's quantiles.

A feature x with knots e_0 < … < e_K, its minimum, some quantiles and its maximum, gets K columns [1]_

    min(max((x − e_{i−1}) / (e_i − e_{i−1}), 0), 1) − their mean,        i = 1, …, K.

They stand beside x itself. Along them the network sees ranks rather than values: an outlier is no further
away than the maximum, and where the target changes fast over few values, or in steps, so can the network.
How much of a feature enters as itself and how much so encoded is for `inputs.relevance` to learn.

References
----------
.. [1] Y. Gorishniy, I. Rubachev and A. Babenko, "On embeddings for numerical features in tabular deep
   learning", NeurIPS 2022, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import issparse

from .._numerics.blocks import sample_rows
from .._numerics.ranges import centred
from ..function_space.leaving_out import LeavingOut


@dataclass(frozen=True, slots=True)
class EncodingLimits:
    """Which features are encoded, and how finely.

    Attributes
    ----------
    intervals, least_intervals : int
        Most intervals of a feature, and fewest: where there would be fewer, no feature is encoded.
    rows_per_interval : int
        Rows there are at least to an interval.
    least_distinct : int
        Distinct values below which a feature stays as it is (levels, counts, indicators).
    columns : int
        Most columns in all.
    features : int
        Features beyond which none is encoded: sparse tables of that many columns stay sparse.
    measured_rows : int
        Rows that quantiles and means are measured on.
    """

    intervals: int = 32
    least_intervals: int = 4
    rows_per_interval: int = 12
    least_distinct: int = 6
    columns: int = 512
    features: int = 512
    measured_rows: int = 10_000


LIMITS = EncodingLimits()


@dataclass(frozen=True, slots=True)
class PiecewiseLinear:
    """The encoding of a table's features, r columns in all, those of a feature side by side.

    Attributes
    ----------
    feature : (r,) int array
        The feature that a column encodes.
    lower, span : (r,) arrays
        Where the column begins to rise, and over which length.
    mean : (r,) array
        What is subtracted.
    size : (r,) array
        Standard deviation of the feature over the root of its columns' summed variances.
    """

    feature: np.ndarray
    lower: np.ndarray
    span: np.ndarray
    mean: np.ndarray
    size: np.ndarray

    @classmethod
    def of(
        cls, X, weights: np.ndarray, n_features: int | None = None, left_out: LeavingOut | None = None
    ) -> PiecewiseLinear | None:
        """Place the knots at weighted quantiles; None where no feature has enough distinct values.

        Parameters
        ----------
        X : (n, d) array or CSR array
            Inputs. Beyond 10,000 rows a fixed random sample of them is used.
        weights : (n,) array
            Positive sample weights.
        n_features : int or None
            The first so many columns may be encoded, all of them by default.
        left_out : LeavingOut or None
            What a row is an observation of; None for each of one.
        """
        if X.shape[1] > LIMITS.features:
            return None
        rows = sample_rows(X.shape[0], LIMITS.measured_rows)
        numbers = np.finfo(X.dtype)
        n_rows = len(rows) if left_out is None else left_out[rows].effective_rows()
        X, weights = dense(X[rows]).astype(np.float64), weights[rows]
        distributions = {}
        for j, column in enumerate(X.T[:n_features]):
            values, place = np.unique(column, return_inverse=True)
            # differences must be numbers in the precision of X
            moderate = np.abs(values).max() < numbers.max / 4 and np.ptp(values) > 1e6 * numbers.tiny
            if len(values) >= LIMITS.least_distinct and moderate:
                share = np.cumsum(np.bincount(place, weights=weights))
                distributions[j] = values, share / share[-1]
        most = LIMITS.columns // max(len(distributions), 1)
        if not distributions or most < LIMITS.least_intervals:
            return None
        enough = max(n_rows // LIMITS.rows_per_interval, LIMITS.least_intervals)
        intervals = min(LIMITS.intervals, most, enough)
        levels = np.arange(1, intervals) / intervals
        knots = {}
        for j, (values, share) in distributions.items():
            inner = values[np.searchsorted(share, levels * (1 - 1e-12))]
            knots[j] = np.unique([values[0], *inner, values[-1]])
        feature = np.repeat(list(knots), [len(e) - 1 for e in knots.values()])
        lower = np.concatenate([e[:-1] for e in knots.values()])
        span = np.concatenate([np.diff(e) for e in knots.values()])
        zeros, ones = np.zeros(len(feature)), np.ones(len(feature))
        columns = cls(feature, lower, span, zeros, ones).apply(X)
        mean = np.average(columns, axis=0, weights=weights)
        variance = np.average((columns - mean) ** 2, axis=0, weights=weights)
        summed = np.bincount(feature, variance)[feature]
        spread = np.zeros(X.shape[1])
        for j in knots:
            measured = centred(X[:, j], weights)
            spread[j] = measured.unit * measured.size
        return cls(feature, lower, span, mean, spread[feature] / np.sqrt(summed))

    def knots(self, feature: int) -> np.ndarray:
        """Return the knots of a feature, none if it is not encoded."""
        columns = np.flatnonzero(self.feature == feature)
        return np.append(self.lower[columns], (self.lower + self.span)[columns[-1:]])

    def apply(self, X: np.ndarray) -> np.ndarray:
        """Return the encoded columns, (n, r), in the precision of X."""
        out = X[:, self.feature]
        with np.errstate(over="ignore"):  # inputs far beyond the training rows'
            out -= self.lower.astype(X.dtype)
            out /= self.span.astype(X.dtype)
        np.clip(out, 0, 1, out=out)
        out -= self.mean.astype(X.dtype)
        return out


def dense(X) -> np.ndarray:
    """Return X as an array."""
    return X.toarray() if issparse(X) else X
