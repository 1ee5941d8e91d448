"""What the two kinds of fitted models have in common: a network of finite width, and the limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from .scales import Scales


class Outputs(NamedTuple):
    """What a model makes of rows.

    Attributes
    ----------
    values : (n, k) array
        One row each.
    missed : (n,) bool array
        Rows whose equilibrium was not reached, or whose last layer overflows.
    """

    values: np.ndarray
    missed: np.ndarray


class FittedModel(Protocol):
    """A fitted model: a value that knows no estimator, no warning and no parameter it does not need.

    The plain attributes that an estimator publishes are the state of record: a model is made of them when it
    is needed (`models.fitted_model`), and gives them when it was fitted.
    """

    @property
    def scales(self) -> Scales:
        """From rows to inputs, and from outputs to predictions."""

    @property
    def dtype(self) -> np.dtype:
        """Precision of rows and predictions."""

    def outputs(self, X, n_jobs: int | None = None) -> Outputs:
        """Return the outputs of rows X, (n, k), on the network's scale."""

    def std(self, X, n_jobs: int | None = None, *, noise: bool = True) -> np.ndarray:
        """Return the standard deviation of new observations at rows X, (n, k), on the network's scale.

        Without ``noise``, that of the function.
        """

    def covariance(self, X, *, noise: bool = True) -> np.ndarray:
        """Return the covariance between them, (n, n, k), whose diagonal is the square of ``std``."""

    def attributes(self) -> dict[str, Any]:
        """Return what an estimator publishes."""

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> Self:
        """Return the model that published attributes stand for."""


def predictions(model: FittedModel, X, n_jobs: int | None = None) -> Outputs:
    """Return a model's predictions of rows X on the user's scale, (n, k)."""
    values, missed = model.outputs(X, n_jobs)
    return Outputs(model.scales.predictions(values), missed)
