"""Predictions that stay near the training rows: what ``clip`` means to the regressor.

Outputs that are kept in the range of their targets are not foretold beyond it by anything, a row with one
outlying entry least of all. Where all of them are, features count as at most one range beyond the training
rows, too: what such an entry makes of a prediction then depends on the others.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.sparse import issparse

from ._base import BaseImplicitReLU
from .scaling import InputScaling


class Clipping(BaseImplicitReLU):
    """The part of `ImplicitReLURegressor` that knows of limits."""

    clip: bool | str
    x_limits_: np.ndarray
    y_limits_: np.ndarray

    def _set_limits(self, X, Y: np.ndarray, penalty) -> None:
        k = Y.shape[1]
        kept = penalty.in_range if self.clip == "auto" else np.full(k, self.clip)
        if kept is None:  # no row was left out
            kept = np.zeros(k, bool)
        self.y_limits_ = np.where(kept, [Y.min(axis=0), Y.max(axis=0)], no_limits(k))
        self.x_limits_ = limits_of_inputs(X) if kept.all() else no_limits(X.shape[1])

    def _set_free(self, d: int, k: int) -> None:
        """Leave predictions, and what they are made from, as they are."""
        self.x_limits_, self.y_limits_ = no_limits(d), no_limits(k)

    def _inputs_to_predict(self) -> InputScaling:
        return replace(self._inputs, limits=self.x_limits_)

    def _unscale(self, F: np.ndarray) -> np.ndarray:
        predictions = super()._unscale(F)
        return np.clip(predictions, *self.y_limits_.astype(predictions.dtype))


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
