"""How noisy targets are, whatever their tails: what losses with a width measure it by."""

from __future__ import annotations

import numpy as np

from .._numerics.quantiles import robust_deviation, weighted_quantile
from .leave_one_out import leave_one_out
from .leaving_out import LeavingOut

# Robust standard deviations from the median beyond which targets are cut: squared errors would follow them.
_CUT = 3.0


def noise_deviation(
    K: np.ndarray, Y: np.ndarray, weights: np.ndarray, left_out: LeavingOut | None = None
) -> np.ndarray:
    """Return the robust standard deviation of what is left of rows that are left out, (k,).

    They are predicted by kernel ridge regression of targets that are cut where they are far from the median.

    Parameters
    ----------
    K : (n, n) array
        The kernel, shared by the outputs.
    Y : (n, k) array
        Targets.
    weights : (n,) array
        Positive sample weights.
    left_out : LeavingOut or None
        What is left out at a time, None for every row by itself.
    """
    centred = Y - weighted_quantile(Y, weights, 0.5)
    most = _CUT * robust_deviation(centred, weights)
    return robust_deviation(
        leave_one_out(K, np.clip(centred, -most, most), weights, left_out).residual, weights
    )
