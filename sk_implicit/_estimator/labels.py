"""Targets of a classifier: one class for each row, or labels that a row has or not."""

from __future__ import annotations

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.multiclass import check_classification_targets


def has_labels(y) -> bool:
    """Whether targets are those of several labels: an array with more than one column."""
    shape: tuple[int, ...]
    try:
        shape = np.shape(y) if isinstance(y, list | tuple) else getattr(y, "shape", ())
    except ValueError:  # rows of different lengths, which the checks of y have words for
        return False
    return len(shape) == 2 and shape[1] > 1


def indicators(y) -> np.ndarray:
    """Return the indicator matrix that y has to be, (n, k), in floats.

    Raises
    ------
    ValueError
        If it has other values than 0 and 1.
    """
    check_classification_targets(y)
    Y = y.toarray() if issparse(y) else y
    known = np.isin(Y, (0, 1))
    if not known.all():
        raise ValueError(
            f"y has {Y.shape[1]} columns, which stand for labels that a row has (1) or not (0); got other "
            f"values, {np.asarray(Y)[~known][0]!r} among them. For columns with several classes each, use "
            "sklearn.multioutput.MultiOutputClassifier; for one class a row, a y of one dimension."
        )
    return Y.astype(np.float64)
