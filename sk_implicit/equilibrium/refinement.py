"""Iterative refinement: residuals in the data's precision, corrections in float32.

With g = z M + c at the current z, the remaining correction δ solves, exactly,

    relu:   δ = max(δ M + e, −z),        e = g − z,      since max(a, 0) − z = max(a − z, −z)
    mask:   δ = 1[active] ∘ (δ M + e)

Once e is formed in the data's precision, no term is a difference of nearly equal numbers, so
float32 iterations on δ gain several digits at half the cost each. Then z ← z + δ, and the next
residual tells, in the data's precision, how far the row still is. Where a row is nearly solved,
that product is the step as well: z ← F(z), and the product that measures its residual is the only
one. At z = 0, e = c needs no product, so a cold start is simply a float32 solve.

Each row of a correction is divided by ‖z‖ (‖c‖ at z = 0): all rows are of order one in float32,
whatever the scale of the data, and norms are relative residuals. Every decision is taken per row,
so that a row's answer does not depend on which rows came along.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .problem import FixedPoint, few_rows, row_norms
from .result import OPEN, Rows, row_status

# Reduction of the residual asked of one correction, by its precision: rounding errors, about
# eps / (1 - rate) relative to the correction, stay below. Two corrections in float32 reach 1e-10.
_GAIN = {np.dtype(np.float32): 9e-6, np.dtype(np.float64): 1e-13}
# A correction is aimed this far below the tolerance, against errors of the predicted rate.
_AIM = 0.9
# A correction that leaves more than this share of the residual has failed; at most `_EASIEST` is
# ever asked of one, so that an easy target and a failure cannot be confused.
_FAILED = 0.9
_EASIEST = 0.2
# A row that needs no more than this reduction, by the precision of its data, takes plain steps first, a few
# at most: in float32 a plain step costs no more than a sweep, in float64 as much as two.
_NEAR = {np.dtype(np.float32): 0.1, np.dtype(np.float64): 0.3}
_MAX_PLAIN = 2
# Far more than any entry of a scaled row, and within the range of float32 for every moderate scale.
_OFF = 1e30
# Relative residual that rounding adds, in units of the machine precision.
_ROUNDING = 4
# A patient refinement gives each correction so many sweeps, whatever the measured rate promises,
# and goes on after so many failures in a row: steps that shrink may yet grow when A is non-normal.
_PATIENT_SWEEPS = 16
_PATIENT_FAILURES = 3


@dataclass(slots=True)
class Correction:
    """The equation of δ for k rows, scaled, stored with **samples as columns**.

    In this layout a block of units is a contiguous slab, which the sweeps rely on.

    Attributes
    ----------
    problem : FixedPoint
        Supplies the matrix M.
    e : ndarray of shape (m, k)
        g − z, scaled.
    low : ndarray of shape (m, k) or None
        −z, scaled, for the ReLU; None where z = 0 and for a mask.
    active : bool ndarray of shape (m, k) or None
        The mask of a linear problem.
    delta : ndarray of shape (m, k)
        Receives the solution.
    first_step : ndarray of shape (k,)
        Norm of the first iterate activate(e), the step F(z) − z.
    target : ndarray of shape (k,)
        Norm of the step at which a row is done, ...
    against_delta : bool
        ... as a multiple of ‖δ‖ when this is set (a start at z = 0).
    budget : ndarray of shape (k,)
        Iterations each row may take.
    least : int
        Iterations each row takes at least, within its budget.
    gave_up : bool ndarray of shape (k,)
        Set by the solver for rows it left because they contract too slowly for it.
    products : float
        Products with one row that the solver has taken.
    """

    problem: FixedPoint
    e: np.ndarray
    low: np.ndarray | None
    active: np.ndarray | None
    delta: np.ndarray
    first_step: np.ndarray
    target: np.ndarray
    against_delta: bool
    budget: np.ndarray
    least: int
    gave_up: np.ndarray
    products: float = 0.0

    @classmethod
    def around(
        cls, problem: FixedPoint, z: np.ndarray | None, g: np.ndarray, step: np.ndarray, scale: np.ndarray,
        precision: np.dtype,
    ) -> Correction:  # fmt: skip
        """Form the correction of the iterate `z` (None for zero); targets are set later.

        Parameters
        ----------
        problem : FixedPoint
            The rows.
        z, g : ndarrays of shape (k, m)
            Iterate, and its preactivation (`c` at zero).
        step : ndarray of shape (k,)
            ‖F(z) − z‖ / scale.
        scale : ndarray of shape (k,)
            What each row is divided by.
        precision : dtype
            Of the correction.
        """
        low = active = None
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            e = _scaled_columns(g, z, 1 / scale, precision)
            if problem.active is not None:
                active = np.ascontiguousarray(problem.active.T)
            elif z is not None:
                low = _scaled_columns(z, None, -1 / scale, precision)
        k = len(scale)
        nothing, no = np.zeros(k), np.zeros(k, bool)
        return cls(problem, e, low, active, np.empty_like(e), step, nothing, z is None, nothing, 0, no)

    def first_iterate(self, columns=slice(None)) -> np.ndarray:
        """Return activate(e), the step F(z) − z, of some columns."""
        e = self.e[:, columns]
        low = None if self.low is None else self.low[:, columns]
        return activate(
            e, low, None if self.active is None else self.active[:, columns], out=np.empty_like(e)
        )

    def aim(self, tol: float) -> None:
        """Set the targets so that a few corrections, sharing the digits evenly, end at `tol`."""
        start = np.ones_like(self.first_step) if self.against_delta else self.first_step
        gain = _AIM * tol / start
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = np.maximum(np.ceil(np.log(gain) / np.log(_GAIN[self.e.dtype])), 1)
        self.target = start * np.minimum(gain ** (1 / parts), _EASIEST)

    def applied(self, z: np.ndarray | None, scale: np.ndarray) -> np.ndarray:
        """Return z + δ in the precision of the data, exactly zero where the ReLU is off."""
        if self.low is not None:
            # faster than what writes under a mask
            self.delta -= (self.delta == self.low) * self.delta.dtype.type(_OFF)
        new = np.empty(self.delta.shape[::-1], self.problem.c.dtype)
        for rows in few_rows(new):
            part = np.multiply(self.delta[:, rows].T, scale[rows, None], out=new[rows])
            if z is not None:
                part += z[rows]
            if self.low is not None:
                np.maximum(part, 0, out=part)
        return new


# Writes the solution of a correction to its `delta`; returns the iterations of each of its rows.
Corrector = Callable[[Correction], np.ndarray]


@dataclass(slots=True)
class Refinement:
    """Solves a block of rows by corrections.

    Attributes
    ----------
    best : Rows
        Its `Z` holds the start (ignored unless warm); receives the outcome.
    tol : float
        Relative residual at which a row is done.
    max_iter : ndarray of shape (b,)
        Largest number of iterations of each row, residual products included.
    correct : callable
        Solves a `Correction`.
    precision : dtype
        Precision of the corrections.
    patient : bool
        Whether to go on after corrections that fail.
    """

    best: Rows
    tol: float
    max_iter: np.ndarray
    correct: Corrector
    precision: np.dtype
    patient: bool

    def run(self, problem: FixedPoint, warm: bool) -> None:
        """Solve all rows of the block."""
        best, tol = self.best, self.tol
        b, unit = len(best.Z), problem.c.itemsize / 8
        rows = np.arange(b)
        z = best.Z if warm else None
        if not warm:
            best.Z[:] = 0
        gave_up, failures, n_plain = np.zeros(b, bool), np.zeros(b, np.intp), np.zeros(b, np.intp)
        plain = np.zeros(b, bool)  # the last step of an open row was a plain one
        while True:
            g, step, size = _image(problem, z)
            scale = np.where(size > 0, size, 1.0)
            with np.errstate(invalid="ignore"):
                step /= scale
            now = np.where(step == 0, 0.0, np.inf)
            if z is not None:
                now = np.where(size > 0, step, now)
                now[~np.isfinite(size)] = np.nan
                best.n_iter[rows] += 1
                best.cost += unit * len(rows) / b
                z, now = self._image_where_done(problem, z, g, now)
            before = best.residual[rows]
            failures[rows] = np.where(now <= _FAILED * before, 0, failures[rows] + ~plain)
            best.update(rows, z, now)
            status = row_status(
                best.residual[rows] <= tol,
                (best.n_iter[rows] >= self.max_iter[rows]) | gave_up[rows],
                ~np.isfinite(step) | ~np.isfinite(size),
                failures[rows] > (_PATIENT_FAILURES if self.patient else 0),
            )
            best.status[rows] = status
            keep = status == OPEN
            if not keep.any():
                return
            if not keep.all():
                problem, rows, z = problem.take(keep), rows[keep], None if z is None else z[keep]
                g, step, scale = g[keep], step[keep], scale[keep]
            plain = (tol >= _NEAR[problem.c.dtype] * step) & (n_plain[rows] < _MAX_PLAIN)
            plain &= z is not None
            n_plain[rows] += plain
            far = ~plain
            if z is None or far.all():
                z, gave_up[rows] = self._corrected(problem, rows, z, g, step, scale)
            else:
                new = activate(g, None, problem.active, out=np.empty_like(g) if far.any() else g)
                if far.any():
                    new[far], gave_up[rows[far]] = self._corrected(
                        problem.take(far), rows[far], z[far], g[far], step[far], scale[far]
                    )
                z = new

    def _image_where_done(
        self, problem: FixedPoint, z: np.ndarray, g: np.ndarray, now: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Replace rows by F(z), which costs no product, where that is known to solve them better.

        Where ‖M‖ ≤ L, ‖F(F(z)) − F(z)‖ ≤ L ‖F(z) − z‖, and the relative residual r becomes
        L r / (1 − r) at most, and rounding. May overwrite `z` and `g`.
        """
        bound = problem.operator.norm_bound
        if not bound < 1:
            return z, now
        small = np.fmin(now, 0.5)
        image_residual = bound * small / (1 - small) + _ROUNDING * float(np.finfo(z.dtype).eps)
        done = (now <= 0.5) & (image_residual <= self.tol) & (image_residual < now)
        if not done.any():
            return z, now
        if done.all():
            return activate(g, None, problem.active, out=g), image_residual
        part = g[done]
        z[done] = activate(part, None, None if problem.active is None else problem.active[done], out=part)
        return z, np.where(done, image_residual, now)

    def _corrected(
        self, problem: FixedPoint, rows: np.ndarray, z: np.ndarray | None, g: np.ndarray, step: np.ndarray,
        scale: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Return z + δ for some of the rows and whether the solver gave them up, and count what it took."""
        best = self.best
        task = Correction.around(problem, z, g, step, scale, self.precision)
        # The last product of the budget is the residual of what the correction gives.
        task.budget = np.maximum(self.max_iter[rows] - 1 - best.n_iter[rows], 0)
        task.aim(self.tol)
        task.least = _PATIENT_SWEEPS if self.patient else 0
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            iterations = self.correct(task)
            new = task.applied(z, scale)
        best.n_iter[rows] += iterations
        best.cost += self.precision.itemsize / 8 * task.products / len(best.Z)
        return new, task.gave_up


def _image(problem: FixedPoint, z: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return g = z M + c (c at zero), and of every row ‖F(z) − z‖ and ‖z‖ (‖c‖ at zero)."""
    c, active = problem.c, problem.active
    step, size = np.empty(len(c)), np.empty(len(c))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        g = c if z is None else problem.product(z, out=np.empty_like(z))
        buffer = None
        for rows in few_rows(c):
            buffer = np.empty_like(c[rows]) if buffer is None else buffer
            if z is not None:
                g[rows] += c[rows]
            image = activate(g[rows], None, None if active is None else active[rows], buffer[: len(g[rows])])
            if z is not None:
                image -= z[rows]
            step[rows] = row_norms(image)
            size[rows] = row_norms(c[rows] if z is None else z[rows])
        return g, step, size


def _scaled_columns(
    X: np.ndarray, minus: np.ndarray | None, factor: np.ndarray, precision: np.dtype
) -> np.ndarray:
    """Return (factor ∘ (X − minus))ᵀ, contiguous, in the given precision."""
    out = np.empty(X.shape[::-1], precision)
    for rows in few_rows(X):
        part = X[rows] if minus is None else X[rows] - minus[rows]
        np.copyto(out[:, rows], part.T, casting="same_kind")
    out *= factor.astype(precision)
    return out


def activate(g: np.ndarray, low: np.ndarray | None, active: np.ndarray | None, out: np.ndarray) -> np.ndarray:
    """Write max(g, low), or 1[active] ∘ g, into `out`; `low` None stands for zero."""
    if active is not None:
        return np.multiply(g, active, out=out)
    return np.maximum(g, 0 if low is None else low, out=out)


def column_norms(X: np.ndarray) -> np.ndarray:
    """Euclidean norms of the columns, in float64."""
    return np.sqrt(np.einsum("ij,ij->j", X, X), dtype=np.float64)
