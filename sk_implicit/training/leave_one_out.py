r"""Leave-one-out choice of the penalty, in closed form, on the linearised network.

With S = √W K √W = Q Λ Qᵀ, the ridge fit of y with penalty a has the weighted residual
√w ∘ e = a Q (Λ + a)⁻¹ Qᵀ (√w ∘ y) and leverages h_i = 1 − a [(S + a)⁻¹]_ii. Leaving weight u_i out of row i
changes its residual to

    e_i / (1 − u_i h_i / w_i),

where u_i is w_i, or less (see `sampling.left_out_weights`). The score is Σ w_i e_i² / Σ w_i, evaluated for a
whole grid of a from one eigendecomposition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

# The grid of penalties relative to the mean of diag K, at weights of 1, from interpolation to the mean;
# points in a decade.
LOO_GRID = np.logspace(-9, 3, 73)
_STEPS = 6


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """The penalty that was chosen, relative to mean diag K, and its mean squared error."""

    alpha: float
    score: float
    curve: np.ndarray


def leave_one_out(
    K: np.ndarray, Y: np.ndarray, weights: np.ndarray, left_out: np.ndarray | None = None
) -> LeaveOneOut:
    """Choose the penalty with the smallest leave-one-out error.

    Parameters
    ----------
    K : (n, n) array
        Tangent kernel, shared by the outputs.
    Y : (n, k) array
        Centred targets.
    weights : (n,) array
        Positive sample weights.
    left_out : (n,) array or None
        How much weight a row loses, None for all of it.

    Returns
    -------
    choice : LeaveOneOut
        Penalty, score, and the score on the whole grid. The minimum is refined by the parabola
        through the best grid point and its neighbours: a smooth function of the data.
    """
    scale = float(weights @ np.diag(K) / weights.sum()) or 1.0  # K = 0: any penalty will do
    grid = weighted_grid(LOO_GRID, _STEPS, weights)
    scores = leave_one_out_scores(K, Y, weights, grid * scale, left_out)
    return LeaveOneOut(*refined_minimum(grid, scores, int(np.argmin(scores))), scores)


def weighted_grid(grid: np.ndarray, steps: int, weights: np.ndarray) -> np.ndarray:
    """Return a grid of penalties, ``steps`` to a decade, moved to the scale of the weights by whole steps.

    Weights c w and a penalty c a make the same problem as w and a.
    """
    return grid * 10.0 ** (round(steps * np.log10(weights.mean())) / steps)


def refined_minimum(grid: np.ndarray, scores: np.ndarray, best: int) -> tuple[float, float]:
    """Return the minimum of the parabola through a geometric grid's best point and its neighbours.

    The point itself where it is not the lowest of the three.
    """
    if not 0 < best < len(grid) - 1:
        return float(grid[best]), float(scores[best])
    low, mid, high = scores[best - 1 : best + 2]
    bend = low - 2 * mid + high
    if not bend > 0 or min(low, high) < mid:
        return float(grid[best]), float(mid)
    shift = 0.5 * (low - high) / bend
    return float(grid[best] * (grid[1] / grid[0]) ** shift), float(mid - 0.25 * (low - high) * shift)


def leave_one_out_scores(K, Y, weights, penalties, left_out=None) -> np.ndarray:
    """Return the leave-one-out error for every absolute penalty, (len(penalties),).

    The eigenvalues are those of K in its own precision: float32 tells apart penalties that stand above its
    rounding errors, at half the time.
    """
    weights = weights.astype(np.float64)
    leave = 1.0 if left_out is None else (left_out / weights)[:, None]  # u/w
    unit = 2.0 ** np.round(np.log2(weights.mean()))  # small weights would underflow in float32
    weights, penalties = weights / unit, penalties / unit
    root = np.sqrt(weights)
    S = K * root.astype(K.dtype)
    S *= root.astype(K.dtype)[:, None]
    driver = "evd" if len(S) > 1 else None  # SciPy 1.12 gives it too little memory for one row
    values, Q = eigh(S, driver=driver, overwrite_a=True, check_finite=False)
    values, Q = np.maximum(values, 0).astype(np.float64), Q.astype(np.float64)
    projected = Q.T @ (root[:, None] * Y)  # (n, k)
    shrink = penalties[:, None] / (values + penalties[:, None])  # a/(λ + a), (grid, n)
    unexplained = (Q**2) @ shrink.T  # 1 − h, (n, grid)
    # 1 − u h/w, written so that it keeps its digits where h is close to 1
    factor = (1 - leave) + leave * unexplained
    factor = np.maximum(factor, np.finfo(np.float64).eps)
    errors = np.zeros(len(penalties))
    for c in range(Y.shape[1]):
        residual = Q @ (shrink * projected[:, c]).T  # √w e, (n, grid)
        errors += np.einsum("ng,ng->g", residual / factor, residual / factor)
    return errors / (weights.sum() * Y.shape[1])
