"""Targets of a classifier: one class for each row, or labels that a row has or not."""

from __future__ import annotations

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.multiclass import check_classification_targets, unique_labels


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


def checked_classes(classes, known: np.ndarray | None) -> np.ndarray:
    """Return the classes of a stream, sorted: those that are known, or those given in the first call.

    Raises
    ------
    ValueError
        If there are none, fewer than two, or others than are known.
    """
    if classes is None:
        if known is None:
            raise ValueError(
                "classes must be passed on the first call to partial_fit: all classes that there will be, of "
                "which the first rows may lack some."
            )
        return known
    given = unique_labels(classes)
    if known is not None and not np.array_equal(given, known):
        raise ValueError(
            f"classes={given} is not the same as in the first call of partial_fit, {known}. Leave it out "
            "after the first call, or use a new estimator."
        )
    if len(given) < 2:
        raise ValueError(f"classes must name at least 2 classes; got {given}.")
    return given


def codes_of(y: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the number of each row's class among sorted ones, (n,), or refuse a class that is not there."""
    found = np.unique(y)
    unknown = found[~np.isin(found, classes)]
    if len(unknown):
        raise ValueError(
            f"y has classes that partial_fit was not told of in its first call: {unknown}; expected some of "
            f"{classes}. Use a new estimator with all classes."
        )
    return np.searchsorted(classes, y)
