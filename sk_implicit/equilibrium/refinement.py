"""Iterative refinement: residuals in the data's precision, corrections in float32.

With g = z M + c at the current z, the remaining correction δ solves, exactly,

    relu:   δ = max(δ M + e, −z),        e = g − z,      since max(a, 0) − z = max(a − z, −z)
    mask:   δ = 1[active] ∘ (δ M + e)

Once e is formed in the data's precision, no term is a difference of nearly equal numbers, so
float32 iterations on δ gain several digits at half the cost each. Then z ← z + δ, and the next
residual tells, in the data's precision, how far the row still is. Where a row is nearly solved,
that product is the step as well: z ← F(z), and the product that measures its residual is the only
one. At z = 0, e = c needs no product, so a cold start is simply a float32 solve.

The residual of z + δ is that of δ in its equation, F(z + δ) − (z + δ) = activate(δ M + e) − δ. Once δ
is small, a float32 product measures it to many more digits than needed, at half the cost.

Each row of a correction is divided by ‖z‖ (‖c‖ at z = 0): all rows are of order one in float32,
whatever the scale of the data, and norms are relative residuals. Every decision is taken per row,
so that a row's answer does not depend on which rows came along.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._numerics.blocks import few_rows
from .._numerics.norms import row_norms
from .correction import Correction, Corrector, activate, image_residual
from .problem import FixedPoint
from .result import OPEN, Rows, Status, row_status

# A correction that leaves more than this share of the residual has failed.
_FAILED = 0.9
# A row that needs no more than this reduction, by the precision of its data, takes plain steps first, a few
# at most: in float32 a plain step costs no more than a sweep, in float64 as much as two.
_NEAR = {np.dtype(np.float32): 0.1, np.dtype(np.float64): 0.3}
_MAX_PLAIN = 2
# A patient refinement gives each correction so many sweeps, whatever the measured rate promises,
# and goes on after so many failures in a row: steps that shrink may yet grow when A is non-normal.
_PATIENT_SWEEPS = 16
_PATIENT_FAILURES = 3


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
            left = np.ones(len(rows), bool)
            if z is None or far.all():
                z, gave_up[rows], left = self._corrected(problem, rows, z, g, step, scale)
            else:
                new = activate(g, None, problem.active, out=np.empty_like(g) if far.any() else g)
                if far.any():
                    new[far], gave_up[rows[far]], left[far] = self._corrected(
                        problem.take(far), rows[far], z[far], g[far], step[far], scale[far]
                    )
                z = new
            if not left.any():
                return
            if not left.all():
                problem, rows, z, plain = problem.take(left), rows[left], z[left], plain[left]

    def _image_where_done(
        self, problem: FixedPoint, z: np.ndarray, g: np.ndarray, now: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Replace rows by F(z), which costs no product, where that is known to solve them better.

        May overwrite `z` and `g`.
        """
        of_image = image_residual(now, problem.operator.norm_bound, z.dtype)
        done = (of_image <= self.tol) & (of_image < now)
        if not done.any():
            return z, now
        if done.all():
            return activate(g, None, problem.active, out=g), of_image
        part = g[done]
        z[done] = activate(part, None, None if problem.active is None else problem.active[done], out=part)
        return z, np.where(done, of_image, now)

    def _corrected(
        self, problem: FixedPoint, rows: np.ndarray, z: np.ndarray | None, g: np.ndarray, step: np.ndarray,
        scale: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
        """Return z + δ for some of the rows, whether the solver gave them up, and which are left to solve.

        Counts what it took. Rows that are solved are stored.
        """
        best = self.best
        task = Correction.around(problem, z, g, step, scale, self.precision)
        # The last product of the budget is the residual of what the correction gives.
        task.budget = np.maximum(self.max_iter[rows] - 1 - best.n_iter[rows], 0)
        task.aim(self.tol)
        task.least = _PATIENT_SWEEPS if self.patient else 0
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            iterations = self.correct(task)
            residual = self._measured(task)
            new = task.applied(z, scale)
        solved = residual <= self.tol
        best.n_iter[rows] += iterations + solved
        best.cost += self.precision.itemsize / 8 * task.products / len(best.Z)
        if solved.any():
            best.update(rows[solved], new if solved.all() else new[solved], residual[solved])
            best.status[rows[solved]] = Status.CONVERGED.value
        return new, task.gave_up, ~solved

    def _measured(self, task: Correction) -> np.ndarray:
        """Return bounds of the residuals of rows that should be solved, if they cost less than an image."""
        residual = np.full(len(task.target), np.inf)
        if self.precision.itemsize < task.problem.c.itemsize:
            final = np.flatnonzero((task.target <= self.tol) & ~task.gave_up)
            if final.size:
                residual[final] = task.measure(final)
        return residual


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
