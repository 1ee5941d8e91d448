"""Single rows to a tight tolerance: plain iterations on the units that may be active.

A block solver spends most of a single row's time beside the products. Here the equilibrium of one row z is
found by the corrections of `refinement` with as little as possible around them: plain iterations in float32
on all units until the pattern of activity is nearly there, then on the submatrix of the units F that are
active or nearly so, half of them, whose product costs a quarter. A residual on all units, in the data's
precision, ends every correction: whatever F left out is seen there, and a row that is not solved after some
corrections is passed on.

Which of several equilibria these iterations would find may differ from what other stages find. They are
therefore used only where there is no more than one: where I − (sA + sAᵀ)/2 is positive definite, which a
Cholesky factorisation proves [1]_. For a Gaussian A that holds up to γ = 1/√2, a contraction ‖sA‖₂ only up
to γ = 1/2.

References
----------
.. [1] E. Winston and J. Z. Kolter, "Monotone operator equilibrium networks", NeurIPS 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from .operators import EquilibriumOperator
from .options import BlockOptions
from .problem import FixedPoint
from .result import BlockResult, Status


def is_monotone(operator: EquilibriumOperator, margin: float = 1e-3) -> bool:
    """Whether I − (sA + sAᵀ)/2 is proven to be positive definite, so that every row has one equilibrium.

    Parameters
    ----------
    operator : EquilibriumOperator
        Of any width; the proof is kept with it.
    margin : float
        What its least eigenvalue exceeds, at least, for rounding errors.
    """

    def make() -> np.ndarray:
        if not operator.fits_float32:
            return np.array(False)
        sA = operator.scaled(np.dtype(np.float32), adjoint=True)
        matrix = (sA + sA.T) / -2
        matrix[np.diag_indices(operator.m)] += 1 - margin
        _, info = lapack.spotrf(matrix, lower=True, clean=False, overwrite_a=True)
        return np.array(info == 0)

    return bool(operator.cached("monotone", make))


@dataclass(frozen=True, slots=True)
class FewRows:
    """Corrections of single rows on the units that may be active.

    Attributes
    ----------
    entries : int
        Entries of Z, rows times width, up to which one row after the other is solved so. Beyond, rows gain
        more by sharing the products of a block: five rows of 500 units take as long either way.
    rows, width : int
        Most rows and units: of more rows of few units, a block is worth it; more units are not worth a proof.
    first : int
        Iterations on all units before the pattern is read. Fewer leave more units in doubt.
    doubt : float
        A unit may be active if its pre-activation is above minus this multiple of the root mean square of the
        step that is left.
    aim : float
        Factor by which one correction in float32 reduces the residual.
    margin : float
        Share of the tolerance at which a correction ends: a further one costs two products on all units.
    failed : float
        A correction that leaves more than this share of the residual has failed.
    max_steps : int
        Iterations of one correction. Where more are needed, a row is for other stages.
    max_corrections : int
        Corrections of a row, for the same reason.
    """

    entries: int = 2500
    rows: int = 8
    width: int = 1024
    first: int = 4
    doubt: float = 4.0
    aim: float = 1e-6
    margin: float = 0.7
    failed: float = 0.5
    max_steps: int = 40
    max_corrections: int = 4

    def serves(self, problem: FixedPoint, options: BlockOptions) -> bool:
        """Whether a block is of this kind: few cold rows with one equilibrium each."""
        n, m = problem.shape
        return (
            n <= self.rows and m <= self.width and n * m <= self.entries and not options.warm
            and options.max_iter.min() >= self.max_steps * self.max_corrections
            and (problem.norm_bound < 1 or is_monotone(problem.operator))
        )  # fmt: skip

    def __call__(self, problem: FixedPoint, Z: np.ndarray, options: BlockOptions) -> BlockResult:
        """Solve a block of rows, one by one."""
        best = BlockResult.start(Z, "few_rows")
        best.Z[:] = 0
        precisions = problem.c.dtype, np.dtype(np.float32)
        M, M32 = (problem.operator.by_rows(precision, problem.adjoint) for precision in precisions)
        for row, c in enumerate(problem.c):
            active = None if problem.active is None else np.flatnonzero(problem.active[row])
            self._solve(M, M32, c, active, best, row, options.tol)
        best.cost /= len(Z)
        return best

    def _solve(
        self, M: np.ndarray, M32: np.ndarray, c: np.ndarray, active: np.ndarray | None, best: BlockResult,
        row: int, tol: float,
    ) -> None:  # fmt: skip
        """Solve z = activate(z M + c) for one row and keep its record; it stays open where that fails."""
        m, z, g, size = len(c), np.zeros_like(c), c, _norm(c)
        step = _norm(_left(g, z, active))
        if step == 0:
            best.residual[row], best.status[row] = 0.0, Status.CONVERGED.value
            return
        units = np.arange(0) if active is None else active
        part = _square(M32, units)
        for correction in range(self.max_corrections):
            # δ = max(δ M + e, −z), or 1[active] ∘ (δ M + e), relative to the step
            e, low = ((g - z) / step).astype(np.float32), (z / -step).astype(np.float32)
            if active is None:
                doubt = step
                if correction == 0:
                    relative, change = self._first(M32, e, low)
                    g, doubt = c + step * relative, step * change
                    best.n_iter[row] += self.first
                    best.cost += (self.first + 1) / 2
                likely = g > -self.doubt * doubt / math.sqrt(m)
                if np.count_nonzero(likely[units]) < np.count_nonzero(likely):
                    units = np.flatnonzero(likely)
                    part = _square(M32, units)
            target = max(self.margin * tol * size / step, self.aim)
            delta, n_steps = self._steps(part, e[units], None if active is not None else low[units], target)
            moved = z[units] + step * delta
            z = np.zeros_like(c)
            z[units] = moved
            g = z @ M
            g += c
            now, size = _norm(_left(g, z, active)), _norm(z)
            best.n_iter[row] += n_steps + 1
            best.cost += n_steps * (len(units) / m) ** 2 / 2 + c.itemsize / 8
            if not (now <= self.failed * step and np.isfinite(size)):
                return
            step = now
            best.Z[row], best.residual[row] = z, step / size
            if step <= tol * size:
                best.status[row] = Status.CONVERGED.value
                return

    def _first(self, M32: np.ndarray, e: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, float]:
        """Iterate on all units from zero; return δ M and the norm of the last step."""
        delta = np.maximum(e, low)
        for _ in range(self.first):
            before, delta = delta, np.maximum(delta @ M32 + e, low)
        return delta @ M32, _norm(delta - before)

    def _steps(
        self, part: np.ndarray, e: np.ndarray, low: np.ndarray | None, target: float
    ) -> tuple[np.ndarray, int]:
        """Iterate δ ← max(δ M + e, low) on some units until a step is no longer than asked for."""
        delta = e if low is None else np.maximum(e, low)
        for n_steps in range(1, self.max_steps + 1):
            new = delta @ part
            new += e
            if low is not None:
                np.maximum(new, low, out=new)
            if _norm(new - delta) <= target:
                return new, n_steps
            delta = new
        return delta, n_steps


def _square(M: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return the submatrix of some units, by its rows first, which costs half of both at once."""
    return M.take(units, 0).take(units, 1)


def _left(g: np.ndarray, z: np.ndarray, active: np.ndarray | None) -> np.ndarray:
    """Return activate(g) − z."""
    if active is None:
        return np.maximum(g, 0) - z
    left = np.zeros_like(z)
    left[active] = g[active] - z[active]
    return left


def _norm(v: np.ndarray) -> float:
    return math.sqrt(v @ v)
