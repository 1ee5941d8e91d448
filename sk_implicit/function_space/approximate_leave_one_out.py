r"""Leave-one-out choice of the penalty for any loss, by one Newton step from the fit on all rows.

On the linearised network the fit is F = F₀ + K C with one n × n tangent kernel K for every output, and

    min_C  Σᵢ wᵢ ℓ(yᵢ, F_i) + ½ a tr CᵀKC

is solved by Newton's method in function space. With the curvature B = L Lᵀ and the residual q in its
coordinates (`function_space.losses`), G = (LᵀKL + a I)⁻¹ and H_i = Π_i − a G_ii, a k × k matrix of leverages,
one Newton step of the fit without weight u_i of row i (w_i, or less) turns
q_i into

    q_i⁻ = (I − (u_i/w_i) H_i)⁻¹ q_i,

and moves its prediction by −(q_i⁻ − q_i)/ℓ_i [1]_. Of rows G that are left out together (`leaving_out`),
I − H_GG takes the place of I − H_i. The score is the loss of the predictions so moved. For
the squared error the step is exact, and the score the closed form of `leave_one_out`.

With L = diag(ℓ) Π and T_c = diag(ℓ_c) K diag(ℓ_c), G is the inverse of the block diagonal Λ + a I, Λ with
the blocks T_c, restricted to the range of the projection Π = I − D Dᵀ (Woodbury's formula, as in [2]_,
section 3.5):

    G = P − P D (DᵀPD)⁻¹ DᵀP,     P = (Λ + a I)⁻¹,     DᵀPD = Σ_c diag(d_c) P_c diag(d_c).

References
----------
.. [1] K. Rahnama Rad and A. Maleki, "A scalable estimate of the out-of-sample prediction error via
   approximate leave-one-out cross-validation", J. R. Stat. Soc. B 82, 2020.
.. [2] C. E. Rasmussen and C. K. I. Williams, "Gaussian processes for machine learning", 2006.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dpotrf, dpotri

from .leave_one_out import BELIEVED, LeaveOneOut, range_of_others, refined_minimum, weighted_grid
from .leaving_out import LeavingOut, kept_share, without_group
from .losses import Curvature, Loss
from .newton import Iterate, NewtonLimits, newton
from .precondition import congruent, raise_diagonal
from .ridge import symmetric

# Penalties relative to the mean of diag K, at weights of 1, two to a decade.
GRID = np.logspace(-7, 3, 21)


@dataclass(frozen=True, slots=True)
class Search:
    """How the grid is searched.

    Attributes
    ----------
    first : int
        The point of the grid where the search starts.
    least_gain : float
        Share of the start's loss that a smaller penalty has to gain: below, it fits rows of no weight, and
        costs steps.
    newton : NewtonLimits
        The score of a penalty that is one of a grid needs few digits.
    """

    first: int = 10
    least_gain: float = 1e-3
    newton: NewtonLimits = NewtonLimits(tol=1e-6, max_iter=30, max_halvings=10)  # noqa: RUF009 - frozen


_DEFAULT = Search()


class SharedKernelSystem:
    """G for one curvature and penalty, with one kernel for every output.

    Parameters
    ----------
    K : (n, n) float64 array
        The kernel.
    curvature : Curvature
        L.
    shift : float
        The penalty a, absolute.
    """

    def __init__(self, K: np.ndarray, curvature: Curvature, shift: float):
        self.curvature = curvature
        self.P = []
        for scale in curvature.scale.T:
            self.P.append(_inverse(raise_diagonal(congruent(K, scale), shift)))
        if curvature.direction is not None:
            directions = curvature.direction.T
            N = sum(d[:, None] * P * d for d, P in zip(directions, self.P))
            self.factor = cho_factor(N, lower=True, overwrite_a=True, check_finite=False)

    def solve(self, b: np.ndarray) -> np.ndarray:
        """Return G b, (n, k)."""
        solved = np.stack([P @ b[:, c] for c, P in enumerate(self.P)], axis=1)
        D = self.curvature.direction
        if D is None:
            return solved
        along = cho_solve(self.factor, np.einsum("nk,nk->n", D, solved), check_finite=False)
        solved -= np.stack([P @ (D[:, c] * along) for c, P in enumerate(self.P)], axis=1)
        return self.curvature.project(solved)

    def diagonal_blocks(self) -> np.ndarray:
        """Return G_ii for every row, (n, k, k)."""
        n, k = self.curvature.scale.shape
        D = self.curvature.direction
        blocks = np.zeros((n, k, k))
        if D is not None:
            for c, P in enumerate(self.P):
                X = cho_solve(self.factor, D[:, c, None] * P, check_finite=False)
                for c2, P2 in enumerate(self.P):
                    blocks[:, c2, c] = -np.einsum("ij,ji->i", P2 * D[:, c2], X)
        for c, P in enumerate(self.P):
            blocks[:, c, c] += np.diag(P)
        return blocks

    def block(self, rows: np.ndarray) -> np.ndarray:
        """Return G among some rows, (r, k, r, k)."""
        r, k = len(rows), self.curvature.scale.shape[1]
        D = self.curvature.direction
        block = np.zeros((r, k, r, k))
        for c, P in enumerate(self.P):
            block[:, c, :, c] = P[np.ix_(rows, rows)]
            if D is not None:
                X = cho_solve(self.factor, D[:, c, None] * P[:, rows], check_finite=False)
                for c2, P2 in enumerate(self.P):
                    block[:, c2, :, c] -= (P2[rows] * D[:, c2]) @ X
        return block


class HeldOut(NamedTuple):
    """What leave-one-out makes of one penalty.

    Attributes
    ----------
    score : float
        Mean leave-one-out loss per unit of weight.
    change : (n, k) array
        Predictions of the fit on all rows, less those of the start.
    predictions : (n, k) array
        Those of every row by the fit without it.
    """

    score: float
    change: np.ndarray
    predictions: np.ndarray


@dataclass(frozen=True, slots=True)
class ApproximateLeaveOneOut(LeaveOneOut):
    """The choice, with the predictions of rows left out, (n, k), at the best point of the grid."""

    predictions: np.ndarray


def leave_one_out_loss(
    K, Y, F0, weights, loss: Loss, penalty: float, D=None, left_out: LeavingOut | None = None
) -> HeldOut:
    """Return the approximate leave-one-out loss of the linearised network.

    Parameters
    ----------
    K : (n, n) float64 array
        Tangent kernel, shared by the outputs.
    Y, F0 : (n, k) float64 arrays
        Targets, and predictions of the start.
    weights : (n,) array
        Positive sample weights.
    loss : Loss
        The loss ℓ.
    penalty : float
        The penalty a, absolute.
    D : (n, k) array or None
        Predictions less ``F0`` for a penalty nearby, where the fit starts from.
    left_out : LeavingOut or None
        What is left out at a time, None for every row by itself.

    Returns
    -------
    held_out : HeldOut
        Its score, where a penalty nearby may start from, and predictions.
    """
    systems: deque[SharedKernelSystem] = deque(maxlen=1)  # that of the last step

    def evaluate(C: np.ndarray) -> Iterate:
        D = K @ C
        losses, residual = loss.evaluate(Y, F0 + D)
        value = float(weights @ losses) + 0.5 * penalty * float(np.sum(C * D))
        return Iterate(C, D, value, residual)

    def step(here: Iterate) -> np.ndarray:
        curvature, q = loss.curvature(Y, here.residual, weights)
        systems.append(SharedKernelSystem(K, curvature, penalty))
        solved = systems[0].solve(q + curvature.root_t(here.predictions))
        return curvature.root(solved) - here.coefficients

    D = np.zeros_like(Y) if D is None else D
    start = Iterate(np.zeros_like(Y), D, np.inf, loss.evaluate(Y, F0 + D).residual)
    limits = replace(_DEFAULT.newton, max_iter=1) if loss.constant_curvature else _DEFAULT.newton
    end, _ = newton(evaluate, step, start, limits)
    D, curvature = end.predictions, systems[0].curvature
    unexplained = penalty * systems[0].diagonal_blocks()  # I − H
    along = curvature.direction
    if along is not None:
        unexplained += along[:, :, None] * along[:, None, :]
    share = 1.0 if left_out is None else (left_out.weights / weights)[:, None, None]
    kept = kept_share(unexplained, share, np.eye(Y.shape[1]))
    # in the coordinates of the system's curvature, one Newton step old at most
    q = curvature.project(weights[:, None] * end.residual / curvature.scale)
    without = np.linalg.solve(kept, q[..., None])[..., 0]
    for rows in [] if left_out is None else left_out.several():
        block = penalty * systems[0].block(rows)
        if along is not None:
            for place, d in enumerate(along[rows]):
                block[place, :, place] += d[:, None] * d
        size = len(rows) * Y.shape[1]
        found = without_group(block.reshape(size, size), q[rows].reshape(size, 1))
        without[rows] = found.reshape(len(rows), -1)
    moved = curvature.project(without) - q
    predictions = F0 + D - moved / curvature.scale
    held_out = loss.evaluate(Y, predictions).value
    return HeldOut(float(np.average(held_out, weights=weights)), D, predictions)


def approximate_leave_one_out(
    K, Y, F0, weights, loss: Loss, left_out: LeavingOut | None = None
) -> ApproximateLeaveOneOut:
    """Choose the penalty with the smallest approximate leave-one-out loss.

    The search walks along `GRID`, moved to the scale of the weights, from near its middle, downhill to the
    first minimum: for small penalties the linearised network interpolates, and one Newton step says little
    of a row left out.

    Parameters
    ----------
    K, Y, F0, weights, loss, left_out
        As in `leave_one_out_loss`.

    Returns
    -------
    choice : ApproximateLeaveOneOut
        Penalty, score, and the score where it was computed (nan elsewhere). The minimum is refined by
        the parabola through the best grid point and its neighbours.
    """
    K = K.astype(np.float64, copy=False)
    Y, F0 = Y.astype(np.float64), F0.astype(np.float64)
    scale = float(weights @ np.diag(K) / weights.sum()) or 1.0  # K = 0: any penalty will do
    grid = weighted_grid(GRID, weights)
    curve = np.full(len(grid), np.nan)
    fits: dict[int, HeldOut] = {}

    def score(j: int, near: int | None) -> float:
        if np.isnan(curve[j]):
            D = fits[near].change if near in fits else None
            try:
                fits[j] = leave_one_out_loss(K, Y, F0, weights, loss, grid[j] * scale, D, left_out)
                curve[j] = fits[j].score
            except np.linalg.LinAlgError:  # so small a penalty is nothing beside the rounding errors of K
                curve[j] = np.inf
        return curve[j]

    best = _DEFAULT.first
    gain = _DEFAULT.least_gain * float(np.average(loss.evaluate(Y, F0).value, weights=weights))
    score(best, None)
    direction, least = (-1, gain) if score(best - 1, best) < curve[best] - gain else (1, 0.0)
    while 0 <= best + direction < len(grid) and (
        score(best + direction, best) < curve[best] - least or np.isinf(curve[best])
    ):
        best += direction
    predictions = fits[best].predictions if best in fits else F0
    alpha, least_loss = refined_minimum(grid, curve, best)
    return ApproximateLeaveOneOut(alpha, least_loss, curve, alpha * GRID[best] / grid[best], predictions)


def kept_in_range(
    Y, predictions: np.ndarray, weights: np.ndarray, loss: Loss, left_out: LeavingOut | None = None
) -> np.ndarray | None:
    """Return for each output whether to keep predictions in the range of the targets, (k,); None for never.

    As `leave_one_out.keeps_to_range`, by any loss.

    Parameters
    ----------
    Y : (n, k) array
        Targets.
    predictions : (n, k) array
        Those that are left out, which are compared with themselves within the range of other rows' targets.
    weights : (n,) array
        Positive sample weights.
    loss : Loss
        The loss ℓ, a sum over outputs.
    left_out : LeavingOut or None
        Which rows were left out together, None for none.
    """
    linked = loss.linked(Y)
    limits = None if linked is None else range_of_others(linked, left_out)
    if limits is None:
        return None

    def losses(F: np.ndarray) -> np.ndarray:
        """Return the weighted sum of each output's loss, (k,)."""
        values = (loss.of_output(c).evaluate(Y[:, [c]], F[:, [c]]).value for c in range(Y.shape[1]))
        return np.array([weights @ value for value in values])

    free, kept = losses(predictions), losses(np.clip(predictions, *limits))
    return (kept <= free) & (free >= BELIEVED * losses(np.zeros_like(predictions)))


def _inverse(T: np.ndarray) -> np.ndarray:
    """Return the inverse of a positive definite matrix, which is overwritten."""
    factor, info = dpotrf(T.T, lower=1, overwrite_a=1)  # the transpose is what LAPACK takes as it is
    if info != 0:
        raise np.linalg.LinAlgError("the shifted kernel is not positive definite")
    inverse, _ = dpotri(factor, lower=1, overwrite_c=1)
    return symmetric(inverse)
