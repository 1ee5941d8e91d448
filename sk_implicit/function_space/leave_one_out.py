r"""Leave-one-out choice of the penalty, in closed form, on the linearised network.

With S = √W K √W = Q Λ Qᵀ, the ridge fit of y with penalty a has the weighted residual
√w ∘ e = a Q (Λ + a)⁻¹ Qᵀ (√w ∘ y) and leverages h_i = 1 − a [(S + a)⁻¹]_ii. Leaving weight u_i out of row i
changes its residual to

    e_i / (1 − u_i h_i / w_i),

where u_i is w_i, or less, and rows that are left out together have a system for each group (`leaving_out`).
The score is Σ w_i e_i² / Σ w_i, evaluated for a whole grid of a from one eigendecomposition.

Targets are centred at their mean, which the row that is left out has a share in. Without it the mean is less
by δ_i = u_i (y_i − ȳ)/(Σw − u_i), the other targets are more by as much, and its residual is, q = (I − H) 1,

    (e_i + δ_i q_i) / (1 − u_i h_i / w_i).

The predictions that are left out also tell whether to keep predictions within the range of the targets, as
means of the targets would be: where rows are like others they gain by it, and where targets go on along a
trend they lose. Targets that are foretold well are believed beyond the range, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from .._numerics.ranges import power_of_two, typical_weight
from .leaving_out import LeavingOut, kept_share, without_group

Raised = Callable[[np.ndarray], np.ndarray]
# The grid of penalties relative to the mean of diag K, at weights of 1, from interpolation to the mean.
LOO_GRID = np.logspace(-9, 3, 73)
# Share of the weight that is left where a group holds all of it, but for rounding.
_ALL = 1e-12
# Share of the loss of a constant that is left below which predictions are believed beyond the range, too.
BELIEVED = 0.05


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """The penalty that was chosen, relative to mean diag K, its mean error, and the errors on the grid.

    Attributes
    ----------
    unweighted : float
        The penalty at weights of 1 (see `weighted_grid`).
    """

    alpha: float
    score: float
    curve: np.ndarray
    unweighted: float


@dataclass(frozen=True, slots=True)
class ExactLeaveOneOut(LeaveOneOut):
    """The same for the squared error.

    Attributes
    ----------
    residual : (n, k) array
        What the predictions that are left out leave of the targets, at the best point of the grid.
    """

    residual: np.ndarray


def leave_one_out(
    K: np.ndarray,
    Y: np.ndarray,
    weights: np.ndarray,
    left_out: LeavingOut | None = None,
    raised: Raised | None = None,
    centred: np.ndarray | None = None,
) -> ExactLeaveOneOut:
    """Choose the penalty with the smallest leave-one-out error.

    Parameters
    ----------
    K : (n, n) array
        Tangent kernel, shared by the outputs.
    Y : (n, k) array
        Centred targets.
    weights : (n,) array
        Positive sample weights.
    left_out : LeavingOut or None
        What is left out at a time, None for every row by itself.
    raised : callable or None
        ``raised(penalties)`` is what errors are multiplied by, for penalties relative to mean diag K at
        weights of 1; None for 1.
    centred : (n, k) array or None
        Targets less their mean, where that is left out, too; None for targets that were not centred.

    Returns
    -------
    choice : ExactLeaveOneOut
        Penalty, score, and the score on the whole grid. The minimum is refined by the parabola
        through the best grid point and its neighbours: a smooth function of the data.
    """
    scale = float(weights @ np.diag(K) / weights.sum()) or 1.0  # K = 0: any penalty will do
    grid = weighted_grid(LOO_GRID, weights)
    left = LeaveOneOutErrors(K, Y, weights, left_out, centred)
    scores = left.scores(grid * scale)
    if raised is not None:
        scores *= raised(LOO_GRID)
    best = int(np.argmin(scores))
    residual = left.residual(grid[best] * scale)
    alpha, score = refined_minimum(grid, scores, best)
    return ExactLeaveOneOut(alpha, score, scores, alpha * LOO_GRID[best] / grid[best], residual)


def weighted_grid(grid: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return a grid of penalties, moved to the scale of the weights.

    Weights c w and a penalty c a make the same problem as w and a. The scale is the typical one.
    """
    return grid * typical_weight(weights, weights)


def refined_minimum(grid: np.ndarray, scores: np.ndarray, best: int) -> tuple[float, float]:
    """Return the minimum of the parabola through a geometric grid's best point and its neighbours.

    The point itself where it is not the lowest of the three.
    """
    if not 0 < best < len(grid) - 1:
        return float(grid[best]), float(scores[best])
    low, mid, high = scores[best - 1 : best + 2]
    bend = low - 2 * mid + high
    if not (np.isfinite(bend) and bend > 0) or min(low, high) < mid:
        return float(grid[best]), float(mid)
    shift = 0.5 * (low - high) / bend
    return float(grid[best] * (grid[1] / grid[0]) ** shift), float(mid - 0.25 * (low - high) * shift)


def keeps_to_range(
    Y: np.ndarray, residual: np.ndarray, weights: np.ndarray, left_out: LeavingOut | None = None
) -> np.ndarray:
    """Return for each output whether to keep predictions within the range of the targets, (k,).

    That is where a share of their variance is left, and keeping to the range leaves no more.

    Parameters
    ----------
    Y : (n, k) array
        Targets.
    residual : (n, k) array
        Targets less the predictions that are left out, which are compared with themselves within the range of
        the other rows' targets.
    weights : (n,) array
        Positive sample weights.
    left_out : LeavingOut or None
        Which rows were left out together, None for none.
    """
    limits = range_of_others(Y, left_out)
    if limits is None:
        return np.zeros(Y.shape[1], bool)
    predictions = Y - residual
    kept = np.clip(predictions, *limits)
    free = weights @ (Y - predictions) ** 2
    variance = weights @ (Y - np.average(Y, axis=0, weights=weights)) ** 2
    return (weights @ (Y - kept) ** 2 <= free) & (free >= BELIEVED * variance)


def range_of_others(Y: np.ndarray, left_out: LeavingOut | None) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the least and the largest target of other groups, for every row, (n, k); None where none are."""
    group = np.arange(len(Y)) if left_out is None else left_out.numbers()
    rows = np.arange(len(Y)) if left_out is None else left_out.measured()
    if len(np.unique(group[rows])) < 3:
        return None
    return _least_of_others(Y, group, rows), -_least_of_others(-Y, group, rows)


def _least_of_others(Y: np.ndarray, group: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return for every row the least targets of other groups, (n, k), among some of the rows."""
    of_groups = np.full((int(group.max()) + 1, Y.shape[1]), np.inf)
    np.minimum.at(of_groups, group[rows], Y[rows])
    least, second = np.sort(of_groups, axis=0)[[0, 1]]
    return np.where(least < of_groups, least, second)[group]


def _shift_of_mean(Y: np.ndarray, weights: np.ndarray, left_out: LeavingOut | None) -> np.ndarray:
    """Return δ, by how much the mean of centred targets is less without a row and its group, (n, k)."""
    left_out = LeavingOut(weights) if left_out is None else left_out
    number = left_out.numbers()
    n_groups, total = int(number.max()) + 1, float(weights.sum())
    kept = total - np.bincount(number, left_out.weights, n_groups)
    shift = np.zeros((n_groups, Y.shape[1]))
    np.add.at(shift, number, left_out.weights[:, None] * Y)
    shift /= np.where(kept > _ALL * total, kept, np.inf)[:, None]
    return shift[number]


class LeaveOneOutErrors:
    """What is left of the targets when rows are left out, for any penalty, from one eigendecomposition.

    Arguments are those of `leave_one_out`. The eigenvalues are those of K in its own precision: float32 tells
    apart penalties that stand above its rounding errors, at half the time.
    """

    def __init__(
        self, K: np.ndarray, Y: np.ndarray, weights: np.ndarray, left_out: LeavingOut | None = None,
        centred: np.ndarray | None = None,
    ):  # fmt: skip
        weights = weights.astype(np.float64)
        self.leave = 1.0 if left_out is None else (left_out.weights / weights)[:, None]  # u/w
        self.several = [] if left_out is None else left_out.several()
        self.unit = power_of_two(weights.mean())  # small weights would underflow in float32
        self.weights = weights / self.unit
        self.root = np.sqrt(self.weights)[:, None]
        S = K * self.root[:, 0].astype(K.dtype)
        S *= self.root.astype(K.dtype)
        driver = "evd" if len(S) > 1 else None  # SciPy 1.12 gives it too little memory for one row
        values, Q = eigh(S, driver=driver, overwrite_a=True, check_finite=False)
        self.values, self.Q = np.maximum(values, 0).astype(np.float64), Q.astype(np.float64)
        self.projected = self.Q.T @ (self.root * Y)  # (n, k)
        self.of_one = self.Q.T @ self.root  # (n, 1)
        self.centred = centred is not None
        self.shift = _shift_of_mean(Y if centred is None else centred, weights, left_out)

    def scores(self, penalties: np.ndarray) -> np.ndarray:
        """Return the leave-one-out error for every absolute penalty, (len(penalties),)."""
        k = self.projected.shape[1]
        errors = sum(np.einsum("ng,ng->g", left, left) for left in self._weighted(penalties))
        return np.asarray(errors) / (self.weights.sum() * k)

    def residual(self, penalty: float) -> np.ndarray:
        """Return the leave-one-out residuals for one penalty, (n, k)."""
        return np.hstack(list(self._weighted(np.array([penalty])))) / self.root

    def _weighted(self, penalties: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the weighted residuals √w e of each output, (n, len(penalties))."""
        penalties = penalties / self.unit
        shrink = penalties[:, None] / (self.values + penalties[:, None])  # a/(λ + a), (grid, n)
        factor = kept_share((self.Q**2) @ shrink.T, self.leave)
        blocks = [self._unexplained(rows, shrink) for rows in self.several]
        of_one = self.Q @ (shrink * self.of_one.T).T if self.centred else 0.0
        for c, projected in enumerate(self.projected.T):
            residual = self.Q @ (shrink * projected).T
            if self.centred:
                residual += self.shift[:, c, None] * of_one
            left = residual / factor
            for rows, unexplained in zip(self.several, blocks):
                left[rows] = without_group(unexplained, residual[rows].T[..., None])[..., 0].T
            yield left

    def _unexplained(self, rows: np.ndarray, shrink: np.ndarray) -> np.ndarray:
        """Return I − H among some rows, (grid, r, r)."""
        Q = self.Q[rows]
        return np.stack([(Q * one) @ Q.T for one in shrink])
