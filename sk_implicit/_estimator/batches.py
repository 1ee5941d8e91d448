"""What ``partial_fit`` asks of an estimator, and of rows that come after others."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_X_y

from .validate import OF_ROWS, validated_rows, validated_table

# Losses whose curvature does not say how certain a fit is.
_WITHOUT_CURVATURE = {"absolute_error", "huber", "quantile"}


def learns_batches(estimator) -> bool:
    """Whether there is a ``partial_fit`` for the parameters of an estimator; say why where there is none.

    Raises
    ------
    AttributeError
        With infinite width, or a loss without a curvature: the estimator then has no such method.
    """
    if estimator.width == np.inf:
        raise AttributeError(
            "partial_fit needs weights to go on from, and width=inf has none: it is solved in one piece from "
            "all rows. Use a finite width (an int)."
        )
    if type(estimator.loss) is str and estimator.loss in _WITHOUT_CURVATURE:
        raise AttributeError(
            f"partial_fit adds up the curvature of the loss, and loss={estimator.loss!r} has none of its "
            "own. Use another loss, or fit."
        )
    return True


def is_first(estimator) -> bool:
    """Whether a call of ``partial_fit`` is the first one; so is one after ``fit``, which leaves no stream.

    Raises
    ------
    ValueError
        If the parameters ask for what a stream cannot have.
    """
    known = vars(estimator)
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
    return "_stream" not in known


def validated_batch(estimator, X, y, *, first: bool, **options):
    """Check rows and targets as `validated_table` does; after the first call, against what it measured."""
    if first:
        return validated_table(estimator, X, y, **options)
    X = validated_rows(estimator, X, vars(estimator)["A_"].dtype)
    return check_X_y(X, y, **OF_ROWS, **options)
