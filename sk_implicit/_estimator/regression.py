"""The losses of a regressor: what each asks of the targets, and how predictions are scored by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from .._numerics.quantiles import weighted_quantile
from ..function_space.deviances import GammaDeviance, PoissonDeviance
from ..function_space.losses import Loss, SquaredError
from ..function_space.pinball import Huber, Pinball
from ..inputs.targets import TargetScaling


@dataclass(frozen=True, slots=True)
class RegressionLoss:
    """What one loss means to a regressor.

    Attributes
    ----------
    make : callable
        ``make(levels)`` is what training asks of the loss.
    scale : callable
        ``scale(Y, weights, centre=..., levels=..., ordered=...)`` measures the scaling of the targets, with
        the link.
    of_predictions : callable or None
        ``of_predictions(Y, P, levels)`` is the loss of predictions on the users' scale, (n, k), up to a
        factor; None for the squared error, which scikit-learn scores by.
    constant : callable or None
        ``constant(Y, weights, levels)`` is the prediction that is best for all rows, (k,).
    least : float or None
        The least target that there may be; None for any.
    exclusive : bool
        Whether targets have to be larger than that.
    """

    make: Callable[[np.ndarray], Loss]
    scale: Callable[..., TargetScaling]
    of_predictions: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None = None
    constant: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None = None
    least: float | None = None
    exclusive: bool = False


def poisson_deviance(Y: np.ndarray, P: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return y log(y/p) − y + p, half the deviance."""
    return xlogy(Y, Y) - xlogy(Y, P) - Y + P


def gamma_deviance(Y: np.ndarray, P: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return y/p − 1 − log(y/p), half the deviance."""
    return Y / P - 1 - np.log(Y / P)


def pinball(Y: np.ndarray, P: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return max(τ (y − p), (τ − 1)(y − p)), half the absolute error for τ = ½."""
    return np.maximum(levels * (Y - P), (levels - 1) * (Y - P))


def _mean(Y: np.ndarray, weights: np.ndarray, levels: np.ndarray) -> np.ndarray:
    return np.average(Y, axis=0, weights=weights)


def _by_mean(Y, weights, *, centre, levels, ordered) -> TargetScaling:
    return TargetScaling.of(Y, weights, centre=centre)


def _by_logarithm(Y, weights, *, centre, levels, ordered) -> TargetScaling:
    return TargetScaling.for_logarithms(Y, weights, centre=centre)


def _of_quantiles(make: Callable[[np.ndarray], Loss]) -> RegressionLoss:
    """Return a loss of medians or quantiles."""
    return RegressionLoss(make, TargetScaling.for_quantiles, pinball, weighted_quantile)


def _quantiles(levels: np.ndarray) -> Pinball:
    """Return the loss of quantiles; those of several targets are equal.

    It is rounded off over 0.4 of the noise: with 0.1 to 0.3, fits follow single rows, and coverage is lower
    on rows with noise of one size (two simulated tables of 400 rows: 0.85 to 0.88 of 0.9), with 0.5 it is
    higher on the quieter of two kinds of rows (0.94).
    """
    several = len(levels) > 1 and bool((np.diff(levels) > 0).all())
    return Pinball(levels, several=several, counts=True, share=0.4)


# By the name of the parameter.
LOSSES: dict[str, RegressionLoss] = {
    "squared_error": RegressionLoss(lambda levels: SquaredError(), _by_mean),
    "poisson": RegressionLoss(lambda levels: PoissonDeviance(), _by_logarithm, poisson_deviance, _mean, 0.0),
    "gamma": RegressionLoss(lambda levels: GammaDeviance(), _by_logarithm, gamma_deviance, _mean, 0.0, True),
    "absolute_error": _of_quantiles(Pinball),
    "huber": _of_quantiles(Huber),
    "quantile": _of_quantiles(_quantiles),
}


def levels_of(loss: str, quantile, k: int) -> np.ndarray:
    """Return the quantile τ of every output, (k,): ½ but for the loss "quantile"."""
    return np.broadcast_to(np.asarray(quantile if loss == "quantile" else 0.5, dtype=np.float64), k)


def columns_of(loss: str, quantile, Y: np.ndarray) -> np.ndarray:
    """Return one column of targets for each output: several quantiles of one target are as many outputs.

    Raises
    ------
    ValueError
        If the quantiles are not rising between 0 and 1, or there are several of several targets.
    """
    if loss != "quantile":
        return Y
    levels = np.atleast_1d(np.asarray(quantile, dtype=np.float64))
    if levels.ndim != 1 or levels.size == 0 or not (np.diff([0.0, *levels, 1.0]) > 0).all():
        raise ValueError(
            f"quantile must be a number between 0 and 1, or several in rising order; got {quantile!r}. Give, "
            "say, [0.05, 0.5, 0.95]."
        )
    if np.ndim(quantile) == 0:
        return Y
    if Y.shape[1] != 1:
        raise ValueError(
            f"Several quantiles are those of one target; got quantile={quantile!r} and y of {Y.shape[1]} "
            "columns. Fit each column alone, or give one quantile."
        )
    return np.repeat(Y, len(levels), axis=1)


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


def explained(loss: str, Y: np.ndarray, P: np.ndarray, weights: np.ndarray, levels: np.ndarray) -> float:
    """Return D², the share of the loss of the best constant that predictions explain, a mean over outputs.

    Parameters
    ----------
    loss : str
        Name of the loss.
    Y, P : (n, k) arrays
        Targets and predictions, on the users' scale.
    weights : (n,) array
        Sample weights.
    levels : (k,) array
        The quantile of every output.
    """
    of_predictions, best = LOSSES[loss].of_predictions, LOSSES[loss].constant
    if of_predictions is None or best is None:
        from sklearn.metrics import r2_score

        return r2_score(Y, P, sample_weight=weights)
    constant = np.broadcast_to(best(Y, weights, levels), Y.shape)
    with np.errstate(over="ignore"):
        left = np.average(of_predictions(Y, P.astype(np.float64), levels), axis=0, weights=weights)
    possible = np.average(of_predictions(Y, constant, levels), axis=0, weights=weights)
    # as scikit-learn's r2_score: constant targets are foretold fully or not at all
    varies = possible > 0
    shares = np.where(varies, 1 - left / np.where(varies, possible, 1.0), np.where(left > 0, 0.0, 1.0))
    return float(np.mean(shares))
