"""What Gaussian process users ask of a fitted regressor: covariances between new rows, and samples."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state

from ..function_space.posterior import draws
from ..models import LimitModel, NetworkModel


def check_posterior(estimator, model: NetworkModel | LimitModel, asked: str) -> None:
    """Refuse a call that needs what only ``uncertainty=True`` keeps."""
    if model.posterior is None:
        raise ValueError(
            f"{asked} needs what fit keeps with uncertainty=True; this {type(estimator).__name__} was fitted "
            "without it, or interrupted before. Use set_params(uncertainty=True) and fit again."
        )


def covariance(model: NetworkModel | LimitModel, X, observation_noise: bool) -> np.ndarray:
    """Return the covariance between rows on the scale of the targets, (n, n, k), in float64."""
    with np.errstate(over="ignore"):
        K = model.covariance(X, noise=observation_noise) * model.scales.target.scale**2
    if not np.isfinite(K).all():
        raise ValueError(
            "The covariance is beyond the range of float64: expected rows and targets of moderate size, got "
            f"targets with a standard deviation of {model.scales.target.scale.max():.3g}. Rescale y or X."
        )
    return K


def samples(
    model: NetworkModel | LimitModel, X, mean: np.ndarray, n_samples, random_state, observation_noise: bool
) -> np.ndarray:
    """Return draws about predictions of rows, (n, k, n_samples), on the scale of the targets."""
    if not isinstance(n_samples, Integral) or int(n_samples) < 1:
        raise ValueError(f"n_samples must be an int of at least 1; got {n_samples!r}.")
    rng = check_random_state(random_state)
    away = draws(model.covariance(X, noise=observation_noise), int(n_samples), rng)
    away *= model.scales.target.scale[:, None]
    return (mean[:, :, None] + away).astype(mean.dtype, copy=False)
