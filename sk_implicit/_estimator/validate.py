"""What is checked before ``fit`` and ``predict`` begin, and what becomes of an estimator whose fit fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from math import sqrt
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array, check_consistent_length, check_X_y, column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import _check_sample_weight, validate_data

from .._numerics.blocks import FEW_ROWS
from ..function_space.leaving_out import LeavingOut
from ..inputs.relevance import choose_inputs
from ..inputs.scaling import InputScaling
from ..models import Settings
from .columns import read_table, refuse_lazy

# Largest float that is taken for a multiple of the rows.
MOST_TIMES_ROWS = 10.0
# Sample weights that can be worked with, by the bytes of a number: sums of squares are multiplied by them.
_RANGE = {4: (1e-30, 1e30), 8: (1e-200, 1e100)}

# What scikit-learn's checks are told of X: gaps are NaN.
OF_ROWS: dict[str, Any] = {
    "accept_sparse": "csr",
    "dtype": [np.float64, np.float32],
    "ensure_all_finite": "allow-nan",
}

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


def validate_groups(groups, weights: np.ndarray) -> np.ndarray | None:
    """Return the number of each row's group, (n,), or None where no groups were given.

    Parameters
    ----------
    groups : array-like of shape (n,) or None
        Names of groups, of any type that can be sorted; gaps (None, NaN) are a group.
    weights : (n,) array
        Sample weights, from `validate_weights`.
    """
    if groups is None:
        return None
    groups = column_or_1d(groups)
    check_consistent_length(weights, groups)
    names = groups.astype(str) if groups.dtype == object else groups
    numbers = np.ravel(np.unique(names, return_inverse=True)[1])
    n_groups = len(np.unique(numbers[weights > 0]))
    if n_groups < 2:
        raise ValueError(
            f"groups must name at least 2 groups of rows with a positive weight, one of which is left out at "
            f"a time; got {n_groups}. Use groups=None to leave out rows."
        )
    return numbers


def check_bounds(clip) -> None:
    """Refuse a pair of bounds of predictions that is none."""
    if isinstance(clip, tuple | list):
        numbers = len(clip) == 2 and all(isinstance(bound, Real) for bound in clip)
        if not (numbers and clip[0] < clip[1]):
            raise ValueError(
                f"clip as a pair must be two numbers (low, high) with low < high; got {clip!r}. Use infinity "
                "for a side without a bound."
            )


def drop_weightless(X, Y, weights, *others):
    """Leave out rows of weight 0: the fit is that without them, to the bit."""
    if weights.all():
        return X, Y, weights, *others
    kept = weights > 0
    return tuple(None if part is None else part[kept] for part in (X, Y, weights, *others))


def check_width(width: float, n: int) -> None:
    """Refuse a float that was meant as a number of units: it would be a multiple of the n rows."""
    if not isinstance(width, Integral) and MOST_TIMES_ROWS < width < np.inf:
        number, found = f"{np.rint(width):.6g}", f"{np.rint(float(width) * n):.6g}"
        raise ValueError(
            f"width={float(width)!r} is a multiple of the number of rows, as every float is: on {n} rows "
            f"{found} units. Use the int {number} for {number} units, a float of at most "
            f"{MOST_TIMES_ROWS:g} for a multiple of the rows, or numpy.inf for the limit."
        )


def check_limit(settings: Settings) -> None:
    """Refuse parameters for which there is no network of infinite width."""
    if np.isfinite(settings.depth):
        raise ValueError(
            "width=inf is the limit of the equilibrium, whose kernel is that of infinitely many layers; "
            f"got depth={settings.depth}. Use depth=inf, or a finite width."
        )
    if not settings.gamma < sqrt(2):
        raise ValueError(
            f"gamma={settings.gamma:g} is too large for width=inf: the equilibrium of infinite width has a "
            f"finite norm only for gamma below √2 = {sqrt(2):.4f}. Use a smaller gamma (default 0.4)."
        )


class NameAmong(StrOptions):
    """A constraint of a parameter: the name of something registered, by the time it is checked.

    Parameters
    ----------
    registered : callable
        Returns what there is.
    """

    def __init__(self, registered: Callable[[], Iterable[str]]):
        self._registered = registered
        super().__init__(set())

    @property
    def options(self) -> set[str]:
        """The names that there are now."""
        return set(self._registered())

    @options.setter
    def options(self, _) -> None:
        """Leave them to the registry."""


def validated_table(estimator, X, y, **options):
    """Check what ``fit`` is given, and publish the names and the levels of the columns.

    Parameters
    ----------
    estimator : BaseImplicitReLU
        Gets ``n_features_in_``, ``feature_names_in_`` and ``categories_``.
    X, y
        Arguments of ``fit``.
    **options
        What scikit-learn's checks are told of y.

    Returns
    -------
    X : (n, d) array or CSR array
        Floats: numbers of levels, NaN for gaps.
    y : (n,) or (n, k) array
        Targets.
    """
    table, categories = read_table(X, estimator.categorical_features, _levels_to_keep(estimator, X))
    if table is X:
        X, y = validate_data(estimator, X, y, **OF_ROWS, **options)
    else:
        validate_data(estimator, X, skip_check_array=True)  # names, and how many there are
        X, y = check_X_y(table, y, **OF_ROWS, **options)
    estimator.categories_ = categories or [[] for _ in range(X.shape[1])]
    return X, y


def _levels_to_keep(estimator, X):
    """Return the levels that a warm start numbers those of X by; None for a new start."""
    if not estimator.warm_start or getattr(estimator, "_training", None) is None:
        return None
    known = getattr(estimator, "categories_", ())
    return known if any(known) and np.shape(X)[1:] == (len(known),) else None


def validated_rows(estimator, X, dtype: np.dtype):
    """Check X against what an estimator was fitted to and return it in that precision, CSR where sparse."""
    if _needs_no_look(estimator, X, dtype):
        return X
    categories = getattr(estimator, "categories_", ())
    refuse_lazy(X)
    if any(categories):
        validate_data(estimator, X, reset=False, skip_check_array=True)
        X, _ = read_table(X, estimator.categorical_features, categories)
        return check_array(X, **OF_ROWS).astype(dtype, copy=False)
    X, _ = read_table(X, None)
    with np.errstate(over="ignore", invalid="ignore"):  # sums of large numbers, and rounding them
        X = validate_data(estimator, X, reset=False, **OF_ROWS)
        rounded = X.astype(dtype, copy=False)
    if rounded is not X and np.isinf(rounded.data if issparse(X) else rounded).any():
        largest = float(np.nanmax(np.abs(X.data if issparse(X) else X)))
        raise ValueError(
            f"X reaches {largest:.3g}, but {dtype}, the precision that this "
            f"{type(estimator).__name__} was fitted in, ends at {np.finfo(dtype).max:.3g}. Rescale X, "
            "or fit on float64 input."
        )
    return rounded


def _needs_no_look(estimator, X, dtype: np.dtype) -> bool:
    """Whether X is a few complete rows of numbers without names, as the fit was; anything else gets words."""
    if type(X) is not np.ndarray or X.dtype != dtype or X.ndim != 2 or not 0 < len(X) <= FEW_ROWS:
        return False
    known = vars(estimator)
    named = "feature_names_in_" in known or any(known.get("categories_", ()))
    return not named and X.shape[1] == known["n_features_in_"] and bool(np.isfinite(X).all())


def hold_out(left_out: LeavingOut, seed: int, fraction: float, strata: np.ndarray | None = None):
    """Return the numbers of the rows to train on and of those that early stopping holds out.

    Parameters
    ----------
    left_out : LeavingOut
        Which rows belong together: groups are held out whole.
    seed : int
        Seed of the split.
    fraction : float
        Share of the rows to hold out.
    strata : (n,) array or None
        Classes that the split should balance, where no rows belong together.
    """
    n = len(left_out.weights)
    n_held_out = int(np.ceil(fraction * n))
    if n - n_held_out < 1 or n_held_out < 2:
        raise ValueError(
            f"early_stopping=True holds out validation_fraction={fraction} of the "
            f"{n} samples, which leaves {n - n_held_out} to train and {n_held_out} to validate on; "
            "at least 1 and 2 are needed. Change validation_fraction or set early_stopping=False."
        )
    if left_out.several():
        numbers = left_out.numbers()
        shuffled = np.random.RandomState(seed).permutation(numbers.max() + 1)
        sizes = np.cumsum(np.bincount(numbers)[shuffled])
        n_groups = min(int(np.searchsorted(sizes, n_held_out)) + 1, len(shuffled) - 1)
        held = np.isin(numbers, shuffled[:n_groups])
        return np.flatnonzero(~held), np.flatnonzero(held)
    from sklearn.model_selection import train_test_split  # 10 ms of import that few fits need

    return train_test_split(np.arange(n), test_size=n_held_out, random_state=seed, stratify=strata)


def unlearnt_inputs(estimator, X) -> InputScaling:
    """Return what ``fit`` with ``relevance=None`` would make of rows X, of an estimator not yet fitted."""
    estimator._validate_params()
    check_width(estimator.width, X.shape[0])
    task = estimator._task()
    return choose_inputs(
        X, np.zeros((X.shape[0], 0)), np.ones(X.shape[0]), gamma=estimator.gamma,
        bias=estimator.fit_intercept, relevance=None, balanced=task.balanced,
        standardize=estimator.standardize,
    )  # fmt: skip
