"""What ``fit`` checks before it begins, and what becomes of the estimator when it fails."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np
from sklearn.utils.validation import _check_sample_weight

from ..network import Shape

# Sample weights that can be worked with, by the bytes of a number: sums of squares are multiplied by them.
_RANGE = {4: (1e-30, 1e30), 8: (1e-200, 1e100)}

Fit = TypeVar("Fit", bound=Callable[..., Any])


def all_or_nothing(fit: Fit) -> Fit:
    """Make a ``fit`` that raises leave the estimator as it was, with the fit before if there was one."""

    @wraps(fit)
    def wrapper(self, *args, **kwargs):
        before = dict(vars(self))
        try:
            return fit(self, *args, **kwargs)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    return wrapper  # type: ignore[return-value]


def validate_weights(sample_weight, X) -> np.ndarray:
    """Return the sample weights as non-negative float64, one per row, not all of them zero."""
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not weights.any():
        raise ValueError("sample_weight is zero for every sample: at least one must be positive.")
    smallest, largest = float(weights[weights > 0].min()), float(weights.max())
    at_least, at_most = _RANGE[np.dtype(X.dtype).itemsize]
    if smallest < at_least or largest > at_most or largest > smallest / at_least:
        raise ValueError(
            f"Positive sample weights must lie between {at_least:g} and {at_most:g}, and no further apart, "
            f"or products of them have no number in {X.dtype}; got {smallest:g} to {largest:g}. Divide them "
            "by their mean, and use 0 to leave a row out."
        )
    return weights


def drop_weightless(X, Y, weights, *others):
    """Leave out rows of weight 0: the fit is that without them, to the bit."""
    if weights.all():
        return X, Y, weights, *others
    kept = weights > 0
    return tuple(part[kept] for part in (X, Y, weights, *others))


def require_memory(shape: Shape, dtype, width) -> None:
    """Raise before a network is drawn that cannot fit: its weights and one update of them."""
    n_weights = min(shape.n_weights, 10**300)  # larger numbers have no float
    needed = 4 * n_weights * np.dtype(dtype).itemsize
    try:
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not known on this platform
        return
    if needed > available:
        raise MemoryError(
            f"width={width!r} means a network of width {shape.m} with {n_weights:.3g} weights, which "
            f"takes at least {needed / 2**30:.3g} GiB to train; this machine has "
            f"{available / 2**30:.3g} GiB. Use a smaller width (an int is the width itself, a float "
            "a multiple of the number of samples), or float32 input."
        )
