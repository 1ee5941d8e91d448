"""From a user's X and y to what the network sees, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from .._numerics.blocks import encoded_blocks
from .._numerics.ranges import largest_magnitude
from ..function_space.penalty import Optimism
from .encoding import PiecewiseLinear, dense
from .table import Table

# Least share of the bias in the mean square of a row, where the features' means leave no need of one.
_LEAST_BIAS = 0.01
# Entries of x̃ beyond this are brought near: those of the fit are about 1, and kernels hold their squares.
_FAR = 2.0**32


@dataclass(frozen=True, slots=True)
class InputScaling:
    """The map from a row x to the network's input x̃ = [(x, e(x)) / scale, bias].

    Attributes
    ----------
    scale : (p,) array
        What each column is divided by.
    bias : float
        The constant that is appended; none where it is 0.
    encoding : PiecewiseLinear or None
        The columns e(x) beside those of X.
    relevance : (d,) array or None
        Root of the variance that each feature, as itself and encoded, has in x̃, where it was measured.
    limits : (2, d) array or None
        Least and largest value that each feature counts as. None for no limits.
    believed : (2, d) array or None
        Least and largest value that is taken for one of a feature; others count as its mean. None for any.
    table : Table or None
        What makes columns of X of those of the user, first of all; None for X as it is.
    optimism : Optimism or None
        How much too small the error of rows left out is with these scales; None for scales that no target had
        a say in.
    """

    scale: np.ndarray
    bias: float
    encoding: PiecewiseLinear | None = None
    relevance: np.ndarray | None = None
    limits: np.ndarray | None = None
    believed: np.ndarray | None = None
    table: Table | None = None
    optimism: Optimism | None = None

    @property
    def n_features(self) -> int:
        """Number of columns of X."""
        if self.table is not None:
            return len(self.table.centre)
        return len(self.scale) - (0 if self.encoding is None else len(self.encoding.feature))

    def units(self) -> tuple[np.ndarray, np.ndarray]:
        """Return origin and unit of every feature, (d,) each; infinite units are of what does not count."""
        if self.table is None:
            return np.zeros(self.n_features), np.ones(self.n_features)
        return self.table.centre, self.table.unit

    def knots(self) -> list[np.ndarray]:
        """Return the knots of every feature in its own unit, none where it is not encoded."""
        if self.encoding is None:
            return [np.empty(0) for _ in range(self.n_features)]
        knots = [self.encoding.knots(feature) for feature in range(self.n_features)]
        return [e * unit + centre if len(e) else e for e, centre, unit in zip(knots, *self.units())]

    def encoded_mean(self) -> np.ndarray:
        """Return what is subtracted from the encoded columns."""
        return np.empty(0) if self.encoding is None else self.encoding.mean

    @classmethod
    def of(
        cls,
        X,
        weights: np.ndarray,
        *,
        columns: np.ndarray,
        bias: float | None,
        encoding: PiecewiseLinear | None = None,
        table: Table | None = None,
        optimism: Optimism | None = None,
    ) -> InputScaling:
        """Scale [(X, e(X)) ∘ columns, bias] such that the weighted root mean square norm of its rows is 1.

        Parameters
        ----------
        X : (n, d) array or CSR array
            Inputs.
        weights : (n,) array
            Positive sample weights.
        columns : (p,) array
            Positive factors of the columns.
        bias : float or None
            Appended constant, 0 for none. None: as large as it takes for half of a row's mean square to be
            the same in all rows, means of the columns of X included; at least a hundredth of it.
        encoding : PiecewiseLinear or None, default=None
            The columns e(X).
        table : Table or None, default=None
            What X was made of the user's columns by.
        optimism : Optimism or None, default=None
            That of columns learnt from targets.
        """
        d = X.shape[1]
        values = X.data if sparse.issparse(X) else X
        # divided by the largest entry first: squares of 1e200, or of 1e30 in float32, overflow; not by
        # a subnormal number, whose reciprocal overflows
        tiny = float(np.finfo(values.dtype).tiny)
        largest = max(max(largest_magnitude(values), bias or 0.0) or 1.0, tiny)
        relative = (X / largest).astype(np.float64, copy=False)
        share = weights / weights.sum()
        if sparse.issparse(relative):
            by_entry = relative.multiply(relative)
            squares = np.asarray(by_entry @ columns[:d] ** 2).ravel()
            mean = np.asarray(relative.T @ share).ravel()
            # about the mean: entries that are stored, and the zeros that are not
            stored = relative.copy()
            stored.sum_duplicates()
            stored.data -= mean[stored.indices]
            variance = np.asarray(stored.multiply(stored).T @ share).ravel()
            stored.data[:] = 1.0
            missing = np.maximum(1.0 - np.asarray(stored.T @ share).ravel(), 0.0)
            missing[np.bincount(stored.indices, minlength=d) == X.shape[0]] = 0
            variance += missing * mean**2
        else:
            squares = np.einsum("nd,nd,d->n", relative, relative, columns[:d] ** 2)
            relative -= share @ relative
            variance = np.einsum("nd,nd,n->d", relative, relative, share)
        variance *= columns[:d] ** 2
        if bias is None:
            varies, total = float(variance.sum()), float(share @ squares)
            bias = largest * (np.sqrt(max(2 * varies - total, _LEAST_BIAS * total)) or 1.0)
        if encoding is not None:
            for rows in encoded_blocks(X.shape[0]):
                encoded = encoding.apply(dense(X[rows]).astype(np.float64)) * (columns[d:] / largest)
                squares[rows] += np.einsum("nr,nr->n", encoded, encoded)
                by_column = np.einsum("nr,nr,n->r", encoded, encoded, share[rows])
                variance += np.bincount(encoding.feature, by_column, minlength=d)
        norm = float(np.sqrt(share @ (squares + (bias / largest) ** 2))) or 1.0
        scale = np.maximum(norm / columns * largest, tiny)
        if table is not None:
            variance = np.bincount(table.column_features, variance)
        return cls(
            scale, bias / largest / norm, encoding, np.sqrt(variance) / norm, table=table, optimism=optimism
        )

    @classmethod
    def unlearnt(
        cls, X, weights: np.ndarray, *, bias: bool, balanced: bool, columns: np.ndarray | None = None,
        table: Table | None = None,
    ) -> InputScaling:  # fmt: skip
        """Scale [X, bias], the columns of X all alike but for ``columns``.

        Parameters
        ----------
        X, weights, columns, table
            As in `of`.
        bias : bool
            Whether a constant is appended.
        balanced : bool
            Whether it is as large as what varies of the features, instead of 1.
        """
        constant = None if bias and balanced else float(bias)
        columns = np.ones(X.shape[1]) if columns is None else columns
        return cls.of(X, weights, columns=columns, bias=constant, table=table)

    def apply(self, X):
        """Return x̃ for every row, (n, p + 1) with a bias and (n, p) without.

        CSR where X is sparse and no feature is encoded.
        """
        X = self._within_limits(self._as_believed(X))
        if self.table is not None:
            X = self.table.apply(X)
        if self.encoding is not None:
            X = dense(X)
            X = np.hstack([X, self.encoding.apply(X)])
        if sparse.issparse(X):
            X = sparse.csr_array(X @ sparse.diags_array((1 / self.scale).astype(X.dtype)))
            if self.bias == 0:
                return X
            constant = sparse.csr_array(np.full((X.shape[0], 1), self.bias, dtype=X.dtype))
            return sparse.csr_array(sparse.hstack([X, constant], dtype=X.dtype))
        out = np.empty((X.shape[0], X.shape[1] + (self.bias != 0)), dtype=X.dtype)
        with np.errstate(over="ignore"):  # `brought_near` looks for it
            np.divide(X, self.scale, out=out[:, : X.shape[1]], casting="same_kind")
        out[:, X.shape[1] :] = self.bias
        return out

    def mistaken(self, X) -> np.ndarray:
        """Return which entries are not believed, (n, d); those that are stored of sparse rows, (nnz,)."""
        values = X.data if sparse.issparse(X) else X
        if self.believed is None:
            return np.zeros(values.shape, bool)
        with np.errstate(over="ignore"):
            low, high = self.believed.astype(X.dtype)
        if sparse.issparse(X):
            low, high = low[X.indices], high[X.indices]
        return (values < low) | (values > high)

    def _as_believed(self, X):
        """Return X with the means of features for what is not believed of them."""
        mistaken = self.mistaken(X)
        if self.table is None or not mistaken.any():
            return X
        fill = self.table.fill.astype(X.dtype)
        if not sparse.issparse(X):
            return np.where(mistaken, fill, X)
        filled = sparse.csr_array(X, copy=True)
        filled.data[mistaken] = fill[X.indices[mistaken]]
        return filled

    def applied(self, X, dtype):
        """Return x̃ of many rows in a precision; dense ones are made a block at a time."""
        out = None
        for rows in encoded_blocks(X.shape[0]):
            part = self.apply(X[rows])
            if sparse.issparse(part):  # as large as X
                return self.apply(X).astype(dtype, copy=False)
            out = np.empty((X.shape[0], part.shape[1]), dtype) if out is None else out
            out[rows] = part
        return out

    def _within_limits(self, X):
        """Return X with no feature beyond its limits."""
        if self.limits is None or np.isinf(self.limits).all():
            return X
        with np.errstate(over="ignore"):
            low, high = self.limits.astype(X.dtype)
        if not sparse.issparse(X):
            return np.clip(X, low, high)
        near = sparse.csr_array(X)
        near.data = np.clip(near.data, low[near.indices], high[near.indices])
        return near


def brought_near(X):
    """Return rows x̃ divided by powers of two where they are far from those of any fit, and the exponents.

    Networks and their standard deviations are positively homogeneous in x̃, bias included: what they are at
    such a row is what they are at the divided one, times the power, and no square of it overflows.

    Parameters
    ----------
    X : (n, p) array or CSR array
        Rows as the network sees them.

    Returns
    -------
    X : (n, p) array or CSR array
        The same array where no row is far.
    exponents : (n,) int array or None
        None where no row is far.
    """
    largest = largest_magnitude(X)
    if largest <= _FAR:
        return X, None
    if not np.isfinite(largest):
        raise ValueError(
            f"X has entries that are NaN or, divided by input_scale_, beyond the range of {X.dtype}: "
            "expected rows on the scale of those of the fit. Impute what is missing, and rescale X."
        )
    sizes = abs(X).max(axis=1)
    sizes = sizes.toarray().ravel() if sparse.issparse(sizes) else sizes
    exponents = np.where(sizes > _FAR, np.frexp(sizes)[1], 0)
    if sparse.issparse(X):
        X = X.copy()
        X.data = np.ldexp(X.data, -np.repeat(exponents, np.diff(X.indptr)))
        return X, exponents
    return np.ldexp(X, -exponents[:, None]), exponents


def taken_back(F: np.ndarray, exponents: np.ndarray | None) -> np.ndarray:
    """Return what is homogeneous at rows from `brought_near`, (n, k), for the rows as they were."""
    return F if exponents is None else np.ldexp(F, exponents[:, None])
