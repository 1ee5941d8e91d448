r"""From the columns that a user has to numbers that can be compared: units, gaps and levels.

A fit is not to depend on the unit or the origin of a feature. Each column of numbers is centred at its
weighted mean and divided by its standard deviation; one that does not vary counts for nothing, whatever it
is later. Sparse columns are divided, and stay where they are. Columns that are standardised already, to
rounding, are left alone, so that nothing changes for a user who did it.

A gap is filled with the column's mean, and beside a column that has gaps stands an indicator of them. A
column of levels (numbered 0, 1, …) becomes one column for each level of several rows, up to a number in all
(`LevelLimits`). Other levels, those that were never seen and gaps where there were none are the mean, at
which all of these columns are 0. With p the share of an indicator, its column is

    √2 (1[…] − p) / (p (1 − p))^¼,

a standardised one times (4 p (1 − p))^¼: rare ones do not put the few rows that have them far away from all
others (see `inputs.scale_prior`). Those of the levels of one feature together have the variance of one
column of numbers. All columns that a feature becomes share one scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

# Means and deviations this close to 0 and 1, relative, are those of standardised columns, but for rounding.
_STANDARDISED = 1e-9
# Deviations below this many units of rounding of the mean are those of a constant.
_CONSTANT = 10
# Least deviation, relative to the range: a column that varies in rows of next to no weight alone is no
# mountain.
_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class LevelLimits:
    """Which levels get a column.

    Attributes
    ----------
    rows : int
        Rows that a level needs. With columns for single rows, tables gain more than they lose in the mean,
        but some lose a lot (docs/benchmarks/README.md).
    columns : int
        Most columns of levels in a table, those of the most frequent ones.
    least_columns, entries : int
        So many of them there may be whatever the number of rows, and more up to so many entries: 80 MB.
    """

    rows: int = 2
    columns: int = 1000
    least_columns: int = 200
    entries: int = 10_000_000

    def of_rows(self, n: int) -> int:
        """Return the most columns of levels in a table of n rows."""
        return min(self.columns, max(self.entries // n, self.least_columns))


LIMITS = LevelLimits()


@dataclass(frozen=True, slots=True)
class Table:
    """The map from d features to q columns: features, indicators of gaps, levels.

    Attributes
    ----------
    centre, unit : (d,) arrays
        What is subtracted from a feature, and what it is divided by; the unit is infinite where it does not
        count as a number.
    fill : (d,) array
        What stands for a gap: the feature's mean.
    feature : (q − d,) int array
        Of which feature each further column is.
    level : (q − d,) int array
        The level it is of; −1 for gaps.
    share, factor : (q − d,) arrays
        What is subtracted from the indicator, and what it is multiplied by.
    """

    centre: np.ndarray
    unit: np.ndarray
    fill: np.ndarray
    feature: np.ndarray
    level: np.ndarray
    share: np.ndarray
    factor: np.ndarray

    @classmethod
    def of(cls, X, weights: np.ndarray, *, standardize: bool, categorical: np.ndarray | None) -> Table:
        """Measure rows.

        Parameters
        ----------
        X : (n, d) array or CSR array
            Numbers, NaN for gaps, and numbers of levels.
        weights : (n,) array
            Positive sample weights.
        standardize : bool
            Whether numbers get a unit and an origin of their own.
        categorical : (d,) bool array or None
            Which columns are numbers of levels; None for none.
        """
        d = X.shape[1]
        levels = np.zeros(d, bool) if categorical is None else categorical
        fill, unit = _units(X, weights)
        fill, unit = np.where(levels, 0.0, fill), np.where(levels, np.inf, unit if standardize else 1.0)
        centre = fill if standardize and not sparse.issparse(X) else np.zeros(d)
        further = [_gaps(X, weights, int(j)) for j in np.flatnonzero(_has_gaps(X) & ~levels)]
        further += _levels(X, weights, np.flatnonzero(levels))
        parts = [np.concatenate(part) for part in zip(*further)] if further else [np.empty(0)] * 4
        return cls(centre, unit, fill, parts[0].astype(int), parts[1].astype(int), parts[2], parts[3])

    @property
    def is_identity(self) -> bool:
        """Whether complete rows are taken as they are."""
        return not len(self.feature) and not self.centre.any() and bool((self.unit == 1).all())

    @property
    def column_features(self) -> np.ndarray:
        """Of which feature each of all columns is, (q,)."""
        return np.append(np.arange(len(self.centre)), self.feature)

    def apply(self, X):
        """Return the columns, (n, q), in the precision of X; CSR where sparse rows were measured."""
        if self.is_identity and not np.isnan(X.data if sparse.issparse(X) else X).any():
            return X
        if sparse.issparse(X) and not (self.centre.any() or self.share.any()):
            return self._apply_sparse(X)
        X = X.toarray() if sparse.issparse(X) else X  # what was measured on dense rows moves zeros
        missing = np.isnan(X)
        out = np.empty((X.shape[0], X.shape[1] + len(self.feature)), X.dtype)
        d = X.shape[1]
        with np.errstate(over="ignore", invalid="ignore"):
            numbers = (np.where(missing, self.fill, X) - self.centre) / self.unit
            np.copyto(out[:, :d], numbers, casting="same_kind")
        out[:, :d][:, np.isinf(self.unit)] = 0
        out[:, d:] = -self.share * self.factor
        for j in np.unique(self.feature):
            columns = np.flatnonzero(self.feature == j)
            if self.level[columns[0]] < 0:
                out[missing[:, j], d + columns] += self.factor[columns]
                continue
            place = np.searchsorted(self.level[columns], X[:, j]).clip(max=len(columns) - 1)
            known = self.level[columns][place] == X[:, j]
            out[np.ix_(~known, d + columns)] = 0  # the mean
            out[known, d + columns[place[known]]] += self.factor[columns[place[known]]]
        return out

    def _apply_sparse(self, X):
        """Return the columns of sparse rows, whose zeros stay zeros."""
        X = sparse.csr_array(X, copy=True)
        missing = np.isnan(X.data)
        filled = np.where(missing, self.fill[X.indices], X.data) / self.unit[X.indices]
        gaps = sparse.csr_array((missing.astype(X.dtype), X.indices, X.indptr), shape=X.shape)
        X.data = filled.astype(X.dtype)
        if not len(self.feature):
            return X
        columns = sparse.csr_array(gaps[:, self.feature] @ sparse.diags_array(self.factor.astype(X.dtype)))
        return sparse.csr_array(sparse.hstack([X, columns], dtype=X.dtype))


def _has_gaps(X) -> np.ndarray:
    """Return which columns have gaps, (d,)."""
    if not sparse.issparse(X):
        return np.isnan(X).any(axis=0)
    columns = sparse.csr_array(X).indices[np.isnan(sparse.csr_array(X).data)]
    return np.bincount(columns, minlength=X.shape[1]) > 0


def _units(X, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weighted means and standard deviations of columns, (d,) each, of what is not missing.

    Infinite deviations stand for columns that do not vary.
    """
    if sparse.issparse(X):
        return _sparse_units(X, weights)
    eps = float(np.finfo(X.dtype).eps)
    X = X.astype(np.float64, copy=False)
    there = ~np.isnan(X)
    share = there * weights[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        share /= share.sum(axis=0)
        first = np.where(there, X, 0.0)
        largest = np.abs(first).max(axis=0, initial=0.0)
        unit = np.where(largest > 0, largest, 1.0)  # squares of 1e200 overflow
        relative = first / unit
        mean = np.einsum("nd,nd->d", share, relative)
        relative = np.where(there, relative, mean)
        mean += np.einsum("nd,nd->d", share, relative - mean)  # what rounding left, where means are large
        size = np.sqrt(np.einsum("nd,nd->d", share, (relative - mean) ** 2))
        constant = ~(size > _CONSTANT * eps * np.abs(mean))
        low, high = np.fmin.reduce(relative, axis=0), np.fmax.reduce(relative, axis=0)
        size = np.maximum(size, _LEAST * (high - low))
        constant |= np.fmax.reduce(X, axis=0) <= np.fmin.reduce(X, axis=0)
        mean, size = np.where(np.isfinite(mean), mean, 0.0) * unit, size * unit
    already = (np.abs(mean) <= _STANDARDISED * size) & (np.abs(size - 1) <= _STANDARDISED)
    return np.where(already, 0.0, mean), np.where(constant, np.inf, np.where(already, 1.0, size))


def _sparse_units(X, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what gaps of sparse columns are filled with, and standard deviations, zeros included."""
    X = sparse.csr_array(X, dtype=np.float64, copy=True)
    X.sum_duplicates()
    missing = np.isnan(X.data)
    entry_weights = np.repeat(weights, np.diff(X.indptr))
    d, total = X.shape[1], float(weights.sum())
    there = total - np.bincount(X.indices[missing], entry_weights[missing], minlength=d)
    X.data[missing] = 0
    largest = np.zeros(d)
    np.maximum.at(largest, X.indices, np.abs(X.data))
    unit = np.where(largest > 0, largest, 1.0)
    relative = X.data / unit[X.indices]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(X.indices, relative * entry_weights, minlength=d) / there
        squares = np.bincount(X.indices, (relative - mean[X.indices]) ** 2 * entry_weights, minlength=d)
        stored = np.bincount(X.indices, entry_weights, minlength=d)
        squares += np.maximum(total - stored, 0) * mean**2
        squares -= np.bincount(X.indices[missing], entry_weights[missing], minlength=d) * mean**2
        size = np.sqrt(np.maximum(squares, 0) / there)
    constant = ~(size > _CONSTANT * np.finfo(np.float64).eps * np.abs(mean))
    size = size * unit
    already = np.abs(size - 1) <= _STANDARDISED
    return mean * unit, np.where(constant, np.inf, np.where(already, 1.0, size))


def _gaps(X, weights: np.ndarray, j: int):
    """Return the column of a feature's gaps: feature, level, share, factor."""
    column = X[:, [j]].toarray()[:, 0] if sparse.issparse(X) else X[:, j]
    p = float(weights @ np.isnan(column) / weights.sum())
    varies = max(p * (1 - p), 1e-12)
    share = 0.0 if sparse.issparse(X) else p
    return [j], [-1], [share], [np.sqrt(2.0) * varies**-0.25]


def _levels(X: np.ndarray, weights: np.ndarray, features: np.ndarray):
    """Return the columns of the most frequent levels, by feature: features, levels, shares, factors."""
    counted = [_counted_levels(X[:, j]) for j in features]
    most = LIMITS.of_rows(X.shape[0])
    levels = [numbers for numbers, _ in counted]
    if sum(len(numbers) for numbers in levels) > most:
        counts = np.concatenate([count for _, count in counted])
        kept = np.zeros(len(counts), bool)
        kept[np.argsort(-counts, kind="stable")[:most]] = True
        ends = np.cumsum([len(numbers) for numbers in levels])[:-1]
        levels = [numbers[k] for numbers, k in zip(levels, np.split(kept, ends))]
    return [_indicators(X[:, j], weights, j, numbers) for j, numbers in zip(features, levels)]


def _counted_levels(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the levels of a feature that may get a column, and their numbers of rows."""
    numbers, counts = np.unique(codes[codes >= 0], return_counts=True)
    enough = counts >= LIMITS.rows
    return numbers[enough], counts[enough]


def _indicators(codes: np.ndarray, weights: np.ndarray, j: int, numbers: np.ndarray):
    """Return the columns of some levels of a feature."""
    if len(numbers) < 2:  # one level says nothing
        numbers = numbers[:0]
    place = np.searchsorted(numbers, codes).clip(max=max(len(numbers) - 1, 0))
    found = numbers[place] == codes if len(numbers) else np.zeros(len(codes), bool)
    shares = np.bincount(place[found], weights[found], minlength=len(numbers)) / weights.sum()
    varies = np.maximum(shares * (1 - shares), 1e-12)
    factors = varies**-0.25 / np.sqrt(np.sum(np.sqrt(varies)) or 1.0)
    return np.full(len(numbers), j), numbers, shares, factors


def rare_sizes(X, weights: np.ndarray) -> np.ndarray:
    """Return the size of standardised columns of which nothing is learnt, (q,): 1, less for rare values.

    That is (3/κ)^0.6 where the kurtosis κ is larger than the 3 of a normal column: pixels at the edge that
    are 0 but for a few images, indicators of rare levels. Without it, standardising puts the few rows that
    have such a value far away from all others. The power was chosen on ten classes of digits (0.5 to 0.65
    serve as well), where it takes standardised pixels to the accuracy of raw ones.
    """
    share = weights / weights.sum()
    if sparse.issparse(X):
        X = sparse.csr_array(X, dtype=np.float64)
        mean = np.asarray(X.T @ share).ravel()
        moments = []
        for power in (2, 4):
            centred = X.copy()
            centred.data = (X.data - mean[X.indices]) ** power - mean[X.indices] ** power
            moments.append(np.asarray(centred.T @ share).ravel() + mean**power)
        second, fourth = moments
    else:
        centred = X.astype(np.float64) - share @ X
        second, fourth = share @ centred**2, share @ centred**4
    kurtosis = np.divide(fourth, second**2, out=np.full(X.shape[1], 3.0), where=second > 0)
    return np.minimum(3.0 / np.maximum(kurtosis, 3.0), 1.0) ** 0.6
