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
from .correction import AIM, Aim, Correction, Corrector, activate, image_residual
from .options import BlockOptions
from .problem import FixedPoint
from .result import OPEN, BlockResult, Status, row_status


@dataclass(frozen=True, slots=True)
class RefinementSettings:
    """When a correction has failed, when plain steps do, and how patient a second attempt is.

    Attributes
    ----------
    aim : Aim
        What is asked of one correction.
    failed : float
        A correction that leaves more than this share of the residual has failed. Nearer to one, a row that
        crawls takes its whole budget; a smaller share gives up slow ones.
    near_single, near_double : float
        A row that needs no more than this reduction takes plain steps first, by the precision of its data: in
        float32 a plain step costs no more than a sweep, in float64 as much as two. Smaller numbers take plain
        steps that do not suffice, larger ones corrections for rows that one step would have solved.
    max_plain : int
        Plain steps of a row at most: where each gains little, corrections gain more at their cost.
    patient_sweeps : int
        A patient refinement gives each correction so many sweeps, whatever the measured rate promises:
        steps that shrink may yet grow when A is non-normal. Fewer stop inside such transients, more are
        lost where there are none.
    patient_failures : int
        It goes on after so many failures in a row, for the same reason and at the same cost.
    """

    aim: Aim = AIM
    failed: float = 0.9
    near_single: float = 0.1
    near_double: float = 0.3
    max_plain: int = 2
    patient_sweeps: int = 16
    patient_failures: int = 3

    def near(self, precision: np.dtype) -> float:
        """Return the reduction that plain steps are taken for, in that precision."""
        return self.near_single if precision == np.float32 else self.near_double


REFINEMENT = RefinementSettings()


@dataclass(slots=True)
class Refinement:
    """Solves a block of rows by corrections.

    Attributes
    ----------
    best : BlockResult
        Its `Z` holds the start (ignored unless warm); receives the outcome.
    options : BlockOptions
        Residual at which a row is done, and its iterations, residual products included.
    correct : callable
        Solves a `Correction`.
    precision : dtype
        Precision of the corrections.
    patient : bool
        Whether to go on after corrections that fail.
    settings : RefinementSettings
        The numbers that steer it.
    """

    best: BlockResult
    options: BlockOptions
    correct: Corrector
    precision: np.dtype
    patient: bool
    settings: RefinementSettings

    def run(self, problem: FixedPoint) -> None:
        """Solve all rows of the block."""
        best, tol, warm = self.best, self.options.tol, self.options.warm
        max_iter, settings = self.options.max_iter, self.settings
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
            failures[rows] = np.where(now <= settings.failed * before, 0, failures[rows] + ~plain)
            best.update(rows, z, now)
            status = row_status(
                best.residual[rows] <= tol,
                (best.n_iter[rows] >= max_iter[rows]) | gave_up[rows],
                ~np.isfinite(step) | ~np.isfinite(size),
                failures[rows] > (settings.patient_failures if self.patient else 0),
            )
            best.status[rows] = status
            keep = status == OPEN
            if not keep.any():
                return
            if not keep.all():
                problem, rows, z = problem.take(keep), rows[keep], None if z is None else z[keep]
                g, step, scale = g[keep], step[keep], scale[keep]
            plain = (tol >= settings.near(problem.c.dtype) * step) & (n_plain[rows] < settings.max_plain)
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
        of_image = image_residual(now, problem.norm_bound, z.dtype)
        done = (of_image <= self.options.tol) & (of_image < now)
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
        task.budget = np.maximum(self.options.max_iter[rows] - 1 - best.n_iter[rows], 0)
        task.set_targets(self.options.tol, self.settings.aim)
        task.least = self.settings.patient_sweeps if self.patient else 0
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            iterations = self.correct(task)
            residual = self._measured(task)
            new = task.applied(z, scale)
        solved = residual <= self.options.tol
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
            final = np.flatnonzero((task.target <= self.options.tol) & ~task.gave_up)
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
