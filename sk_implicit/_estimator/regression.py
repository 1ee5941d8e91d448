"""The losses of a regressor: what each asks of the targets, and how predictions are scored by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from ..function_space.deviances import GammaDeviance, PoissonDeviance
from ..function_space.losses import Loss, SquaredError
from ..inputs.targets import TargetScaling


@dataclass(frozen=True, slots=True)
class RegressionLoss:
    """What one loss means to a regressor.

    Attributes
    ----------
    make : callable
        Returns what training asks of the loss.
    scale : callable
        ``scale(Y, weights, centre=...)`` measures the scaling of the targets, and has the link.
    of_predictions : callable or None
        ``of_predictions(Y, P)`` is the loss of predictions on the users' scale, (n, k), up to a factor; None
        for the squared error, which scikit-learn scores by.
    least : float or None
        The least target that there may be; None for any.
    exclusive : bool
        Whether targets have to be larger than that.
    """

    make: Callable[[], Loss]
    scale: Callable[..., TargetScaling]
    of_predictions: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    least: float | None = None
    exclusive: bool = False


def poisson_deviance(Y: np.ndarray, P: np.ndarray) -> np.ndarray:
    """Return y log(y/p) − y + p, half the deviance."""
    return xlogy(Y, Y) - xlogy(Y, P) - Y + P


def gamma_deviance(Y: np.ndarray, P: np.ndarray) -> np.ndarray:
    """Return y/p − 1 − log(y/p), half the deviance."""
    return Y / P - 1 - np.log(Y / P)


# By the name of the parameter.
LOSSES: dict[str, RegressionLoss] = {
    "squared_error": RegressionLoss(SquaredError, TargetScaling.of),
    "poisson": RegressionLoss(PoissonDeviance, TargetScaling.for_logarithms, poisson_deviance, 0.0),
    "gamma": RegressionLoss(GammaDeviance, TargetScaling.for_logarithms, gamma_deviance, 0.0, True),
}


def check_range(loss: str, Y: np.ndarray) -> None:
    """Refuse targets that a loss has no value for.

    Raises
    ------
    ValueError
        If there are some.
    """
    least, exclusive = LOSSES[loss].least, LOSSES[loss].exclusive
    if least is None:
        return
    lowest = Y.min(axis=1)
    wrong = lowest <= least if exclusive else lowest < least
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"loss={loss!r} expects targets y {'>' if exclusive else '>='} {least:g}; got {lowest[row]:g} in "
            f"row {row}, one of {np.count_nonzero(wrong)} such rows. Leave them out, or use another loss: "
            f"{'poisson takes zeros, and ' if exclusive else ''}squared_error takes any number."
        )


def check_targets(loss: str, Y: np.ndarray, weights: np.ndarray) -> None:
    """Refuse targets that a loss has no value for, or no scale.

    Raises
    ------
    ValueError
        If there are some.
    """
    check_range(loss, Y)
    least = LOSSES[loss].least
    if least is None:
        return
    empty = ~(Y[weights > 0] > least).any(axis=0)
    if empty.any():
        raise ValueError(
            f"loss={loss!r} expects a target above {least:g} in some row of positive weight, but output "
            f"{int(np.argmax(empty))} has none: there is no logarithm of its mean. Leave that output out."
        )


def check_uncertainty(loss: str, uncertainty: bool) -> None:
    """Refuse standard deviations of what has no normal noise."""
    if uncertainty and loss != "squared_error":
        raise ValueError(
            "uncertainty=True needs loss='squared_error': its standard deviations are those of normal noise "
            f"around predictions, which loss={loss!r} does not assume. Use one of the two."
        )


def explained(loss: str, Y: np.ndarray, P: np.ndarray, weights: np.ndarray) -> float:
    """Return D², the share of the loss of the best constant that predictions explain, a mean over outputs.

    Parameters
    ----------
    loss : str
        Name of the loss.
    Y, P : (n, k) arrays
        Targets and predictions, on the users' scale.
    weights : (n,) array
        Sample weights.
    """
    of_predictions = LOSSES[loss].of_predictions
    if of_predictions is None:
        from sklearn.metrics import r2_score

        return r2_score(Y, P, sample_weight=weights)
    constant = np.broadcast_to(np.average(Y, axis=0, weights=weights), Y.shape)
    with np.errstate(over="ignore"):
        left = np.average(of_predictions(Y, P.astype(np.float64)), axis=0, weights=weights)
    possible = np.average(of_predictions(Y, constant), axis=0, weights=weights)
    # as scikit-learn's r2_score: constant targets are foretold fully or not at all
    varies = possible > 0
    shares = np.where(varies, 1 - left / np.where(varies, possible, 1.0), np.where(left > 0, 0.0, 1.0))
    return float(np.mean(shares))
