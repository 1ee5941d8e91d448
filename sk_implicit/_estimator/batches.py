"""What ``partial_fit`` asks of an estimator, and of rows that come after others."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_X_y

from .validate import OF_ROWS, validated_rows, validated_table

# Losses whose curvature says how certain a fit is.
_LOSSES = {"squared_error", "poisson", "gamma", "log_loss"}


def is_first(estimator) -> bool:
    """Whether a call of ``partial_fit`` is the first one, of an estimator that can have one.

    Raises
    ------
    ValueError
        If its parameters, or an earlier ``fit``, leave nothing to go on from.
    """
    name, known = type(estimator).__name__, vars(estimator)
    if "_stream" not in known and "width_" in known:
        raise ValueError(
            f"partial_fit goes on from what partial_fit began; this {name} was fitted by fit, which keeps "
            "nothing of how certain its weights are. Use a new estimator (sklearn.base.clone) for the stream."
        )
    if estimator.width == np.inf:
        raise ValueError(
            "partial_fit needs weights to go on from, and width=inf has none: it is solved in one piece from "
            "all rows. Use a finite width (an int)."
        )
    if estimator.early_stopping:
        raise ValueError(
            "partial_fit learns every row as it comes and holds none out; got early_stopping=True. Use "
            "early_stopping=False; loss_curve_ has the loss of each call's rows before they were learnt."
        )
    if known.get("uncertainty"):
        raise ValueError(
            "partial_fit keeps no training rows, which standard deviations need; got uncertainty=True. Use "
            "uncertainty=False, or fit."
        )
    if "_stream" in known and known["_fitted_loss"] != estimator.loss:
        raise ValueError(
            f"partial_fit goes on with the loss of its first call, {known['_fitted_loss']!r}; got "
            f"loss={estimator.loss!r}. Use a new estimator for another loss."
        )
    if estimator.loss not in _LOSSES:
        raise ValueError(
            f"partial_fit adds up the curvature of the loss, of which loss={estimator.loss!r} has none; "
            f"expected one of {sorted(_LOSSES)}. Use one of them, or fit."
        )
    return "_stream" not in known


def validated_batch(estimator, X, y, *, first: bool, **options):
    """Check rows and targets as `validated_table` does; after the first call, against what it measured."""
    if first:
        return validated_table(estimator, X, y, **options)
    X = validated_rows(estimator, X, vars(estimator)["A_"].dtype)
    return check_X_y(X, y, **OF_ROWS, **options)
