"""The penalty a, chosen by leave-one-out on one kernel of all outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .approximate_leave_one_out import approximate_leave_one_out, kept_in_range
from .leave_one_out import LeaveOneOut, keeps_to_range, leave_one_out
from .leaving_out import LeavingOut
from .losses import Loss
from .noise import noise_deviation


@dataclass(frozen=True, slots=True)
class SampleLimits:
    """How many rows a penalty is chosen on; beyond, a random sample of so many stands for all.

    Attributes
    ----------
    decomposed_rows : int
        Rows whose kernel is decomposed, once.
    inverted : float
        Most of rows³ times outputs, for a loss whose curvature changes, which takes an inversion of a matrix
        for each output, for every penalty that is tried and every step of Newton's method.
    """

    decomposed_rows: int = 2000
    inverted: float = 1e8


# Mean of targets, relative to their size, that is rounding.
_CENTRED = 1e-6
# In use; read in every call, so that a test may replace it.
LIMITS = SampleLimits()


@dataclass(frozen=True, slots=True)
class Optimism:
    """How much too small the error of rows left out is, where something before was fitted to all rows.

    Attributes
    ----------
    penalties : (g,) array
        Relative to mean diag K, rising.
    factors : (g,) array
        By which the mean squared error is larger without the rows before, too; at least 1.
    """

    penalties: np.ndarray
    factors: np.ndarray

    def at(self, relative: np.ndarray) -> np.ndarray:
        """Return the factor at relative penalties: between those measured the powers are linear."""
        logs = np.interp(np.log(relative), np.log(self.penalties), np.log(self.factors))
        return np.exp(logs)

    def of_share(self, share: float) -> Optimism:
        """Return that of more rows, of which a share was fitted to."""
        return Optimism(self.penalties, 1.0 + share * (self.factors - 1.0))


@dataclass(frozen=True, slots=True)
class Penalty:
    """The penalty, and what leave-one-out says with it.

    Attributes
    ----------
    relative, absolute : float
        ``alpha_`` and the factor a in front of ½‖θ − θ₀‖².
    score : float or None
        Share of the loss of the start that the linearised network explains, leave-one-out (R² for the
        squared error), where it was computed.
    in_range : (k,) bool array or None
        Whether the predictions of each output are better kept within the range of the targets, where that
        is known (not for classes).
    noise : (k,) array or None
        Robust standard deviation of the noise of each output, where the loss needs it.
    calibration : (k,) array or None
        By what predictions of quantiles are moved (see `Loss.calibration`).
    optimism : float
        By which factor the mean squared error of rows left out is larger than with the inputs' scales of all
        rows; the score has it in it.
    of_constant : float
        The score of a constant: 0, or less where the mean is left out, too.
    """

    relative: float
    absolute: float
    score: float | None = None
    in_range: np.ndarray | None = None
    noise: np.ndarray | None = None
    calibration: np.ndarray | None = None
    optimism: float = 1.0
    of_constant: float = 0.0


def _is_centred(Y: np.ndarray, weights: np.ndarray) -> bool:
    """Whether the weighted means of the targets are 0, but for rounding."""
    mean, size = np.average(Y, axis=0, weights=weights), np.sqrt(np.average(Y**2, axis=0, weights=weights))
    return bool((np.abs(mean) <= _CENTRED * size).all())


def most_rows(loss: Loss, k: int) -> int:
    """Return the most rows that the penalty of a problem with k outputs is chosen on."""
    return LIMITS.decomposed_rows if loss.constant_curvature else int(np.cbrt(LIMITS.inverted / k))


def best_penalty(
    K: np.ndarray, Y, F0, weights: np.ndarray, loss: Loss, left_out: LeavingOut | None, scale: float,
    alpha: float | str = "loo", optimism: Optimism | None = None,
) -> Penalty:  # fmt: skip
    """Choose the penalty by leave-one-out, for one kernel of all outputs.

    Parameters
    ----------
    K : (n, n) array
        The kernel.
    Y, F0 : (n, k) arrays
        Targets, and predictions of the start.
    weights : (n,) array
        Positive sample weights.
    loss : Loss
        What predictions are scored by.
    left_out : LeavingOut or None
        What is left out at a time, None for every row by itself.
    scale : float
        Mean of diag K over all rows.
    alpha : float or "loo"
        "loo", or the penalty relative to ``scale``: then only the noise is measured.
    optimism : Optimism or None
        That of the scales of the inputs, None for scales that no target had a say in. It counts for the
        squared error only.
    """
    noise = noise_deviation(K, Y, weights, left_out) if loss.needs_noise else None
    if not isinstance(alpha, str):
        return Penalty(float(alpha), float(alpha) * scale, noise=noise)
    loss, wide = (loss, loss) if noise is None else loss.at_noise(noise)
    losses, residual = loss.evaluate(Y, F0)
    choice: LeaveOneOut
    in_range, foretold = None, F0
    if not loss.constant_curvature:  # it is that of squared errors, which outliers have most of
        optimism = None
    of_constant, raised = 0.0, None if optimism is None else optimism.at

    def factor_at(choice: LeaveOneOut) -> float:
        return 1.0 if optimism is None else float(optimism.at(np.array(choice.unweighted)))

    if loss.constant_curvature:
        centred = Y if _is_centred(Y, weights) else None
        choice = exact = leave_one_out(K, residual, weights, left_out, raised, centred)
        left, losses = choice.score, np.mean(residual**2, axis=1)
        if centred is not None:  # about the mean of so many observations, their variance is larger
            n = (LeavingOut(weights) if left_out is None else left_out).observations(weights)
            if n > 1 + _CENTRED:
                losses, of_constant = losses * (n / (n - 1)), -1.0 / (n - 1)
        in_range = keeps_to_range(Y, exact.residual, weights, left_out)
    else:
        choice = approximate = approximate_leave_one_out(K, Y, F0, weights, wide, left_out)
        left, foretold = choice.score, approximate.predictions
        if wide is not loss:
            left = float(np.average(loss.evaluate(Y, foretold).value, weights=weights))
        in_range = kept_in_range(Y, foretold, weights, loss, left_out)
    unexplained = float(np.average(losses, weights=weights))
    score = 1 - left / unexplained if unexplained > 0 else 1.0
    relative = choice.alpha * loss.size / wide.size  # the same, beside a loss that is smaller by as much
    calibration = None if noise is None else loss.calibration(Y, foretold, weights)
    said = score, in_range, noise, calibration, factor_at(choice), of_constant
    return Penalty(relative, relative * scale, *said)
