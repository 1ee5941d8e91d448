"""Predictions that stay near the training rows: what ``clip`` means to the regressor.

Outputs that are kept in the range of their targets are not foretold beyond it by anything, a row with one
outlying entry least of all. Where all of them are, features count as at most one range beyond the training
rows, too: what such an entry makes of a prediction then depends on the others.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ._base import BaseImplicitReLU
from .inputs.limits import limits_of_inputs, no_limits
from .inputs.scaling import InputScaling


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
