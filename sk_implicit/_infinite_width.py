"""What the estimators do at ``width=numpy.inf``: no weights, but kernel ridge or logistic regression."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse

from ._numerics.blocks import BLOCK_ENTRIES, slices
from .inputs.rows import DistinctRows
from .inputs.scaling import InputScaling
from .models.limit_solution import solve_limit
from .models.row_blocks import limit_outputs, map_rows

# Fitted attributes that only networks of finite width have, and those that only the limit has.
_FINITE_ONLY = (
    *("A_", "W_", "U_", "V_", "A_init_", "W_init_", "U_init_", "V_init_", "history_", "contraction_"),
    *("equilibrium_residual_", "validation_scores_", "best_validation_score_", "_training", "_squared_error"),
)
_LIMIT_ONLY = ("X_fit_", "dual_coef_")


class InfiniteWidth:
    """The part of `BaseImplicitReLU`, whose parameters it reads, that needs no network."""

    width: float
    gamma: float
    depth: float
    fit_intercept: bool
    alpha: float | str
    n_jobs: int | None
    _target_scaling: Callable[..., Any]
    _choose_inputs: Callable[..., Any]
    _set_scaling: Callable[..., Any]
    _set_limits: Callable[..., Any]
    _inputs_to_predict: Callable[[], InputScaling]
    _loss: Callable[..., Any]
    _inputs: InputScaling

    def _forget(self):
        """Drop what a fit at the other kind of width, or with other parameters, left behind."""
        stale = _FINITE_ONLY if self._at_infinity else _LIMIT_ONLY
        for name in (*stale, "loo_score_", "_posterior", "noise_std_"):
            vars(self).pop(name, None)

    @property
    def _at_infinity(self) -> bool:
        return self.width == np.inf

    def _fit_limit(self, rows: DistinctRows) -> None:
        """Train the infinitely wide network on validated rows of positive weight."""
        if np.isfinite(self.depth):
            raise ValueError(
                "width=inf is the limit of the equilibrium, whose kernel is that of infinitely many layers; "
                f"got depth={self.depth}. Use depth=inf, or a finite width."
            )
        if not self.gamma < sqrt(2):
            raise ValueError(
                f"gamma={self.gamma:g} is too large for width=inf: the equilibrium of infinite width has a "
                f"finite norm only for gamma below √2 = {sqrt(2):.4f}. Use a smaller gamma (default 0.4)."
            )
        weights, left_out = rows.weights, rows.left_out
        target = self._target_scaling(rows.Y, weights)
        loss = self._loss(target)
        inputs = self._choose_inputs(rows)
        self._set_scaling(inputs, target)
        target.apply(rows.Y, rows.X.dtype)  # predictions have the precision of X, and have to fit in it
        X, Y = inputs.apply(rows.X), target.apply(rows.Y, np.float64)
        options: dict[str, Any] = {"gamma": self.gamma, "alpha": self.alpha, "left_out": left_out}
        fit = solve_limit(X, Y, weights, loss, **options)

        self._set_limits(rows.X, rows.Y, fit.penalty)
        X_fit = X[fit.landmarks]
        self.X_fit_ = csr_array(X_fit) if issparse(X) else X_fit
        self.dual_coef_ = fit.dual
        self.width_, self.gamma_, self.depth_ = np.inf, float(self.gamma), np.inf
        self.n_iter_, self.loss_, self.loss_curve_ = len(fit.losses), fit.losses[-1], fit.losses
        self.alpha_ = fit.penalty.relative
        if fit.penalty.score is not None:
            self.loo_score_ = fit.penalty.score
        self._keep_limit(fit, X, weights, left_out)

    def _keep_limit(self, fit, X, weights, left_out):
        """Keep more of the fit on the augmented rows X."""

    def _predict_limit(self, X) -> np.ndarray:
        """Return the limit's predictions, on the scaled targets, (n, k)."""
        F = np.empty((X.shape[0], self.dual_coef_.shape[1]), dtype=X.dtype)
        landmarks = self.X_fit_.astype(np.float64)
        inputs, blocks = self._inputs_to_predict(), self._limit_blocks(X.shape[0])
        for rows, block in map_rows(
            limit_outputs, X, blocks, inputs, landmarks, self.dual_coef_,
            n_jobs=self.n_jobs, gamma=self.gamma_,
        ):  # fmt: skip
            F[rows] = block
        return F

    def _limit_blocks(self, n: int):
        """Cut n rows such that a block of the kernel, and of the inputs, stays a few tens of MB."""
        return slices(n, max(1, BLOCK_ENTRIES // max(self.X_fit_.shape)))

    def _require_finite(self, method: str):
        """Refuse what needs weights."""
        if self.width_ == np.inf:
            raise ValueError(
                f"{method} needs the weights of a network of finite width; this "
                f"{type(self).__name__} was fitted with width=inf, which has none. Fit it with an int or "
                "float width."
            )
