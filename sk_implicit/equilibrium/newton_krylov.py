"""Semi-smooth Newton-Krylov: linear solves on the activation pattern of the moment.

With D = 1[g > 0], g = z M + c (or D the mask of a linear problem), the step δ solves

    δ − D ∘ (δ M) = F(z) − z,

by GMRES in float32, with a Krylov space for each row of a block: its operator is one product. The equation is
piecewise linear, so that the last step, on the right pattern, is exact but for the accuracy of
the linear solve. The residual along the step, F(z + tδ) − (z + tδ) with g(t) = g + t δ M, costs
no further products, so the line search is free. Rows on which GMRES fails, as it must when the
spectrum of D ∘ M surrounds 1, are solved by a dense factorisation on their active units.

Newton contracts only near a solution: `registry` lets Gauss-Seidel sweeps come before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._numerics.norms import row_norms
from .options import BlockOptions
from .problem import FixedPoint
from .result import OPEN, BlockResult, row_status
from .row_gmres import solve_rows


@dataclass(frozen=True, slots=True)
class NewtonKrylov:
    """Newton steps on a block of rows; an iteration is one of them, with its linear solve.

    Attributes
    ----------
    basis_bytes : int
        Bytes of the Krylov basis: bounds the rows solved at once. More rows share each product, and memory
        grows with them.
    restart, cycles : int
        Steps of GMRES between restarts, and how often it restarts. More solve harder systems before the
        dense factorisation, and take more memory and products where those fail all the same.
    linear_tol : float
        Accuracy asked of GMRES for a row. A tighter one costs products that early steps, on a wrong
        pattern, waste; a looser one takes more Newton steps.
    row_tol : float
        That of each row before it is solved densely. A smaller one factorises rows that would have got
        there by themselves; a larger one takes steps that lead nowhere.
    halvings : int
        Steps 1, 1/2, 1/4, … tried by the line search.
    decrease : float
        Share of the promised decrease that is enough (Armijo); it only rules out steps that gain nothing.
    patience : int
        A row must halve its best residual within this many steps. More go on with rows that crawl; fewer
        give up in transients.
    """

    basis_bytes: int = 2**26
    restart: int = 30
    cycles: int = 2
    linear_tol: float = 1e-4
    row_tol: float = 0.05
    halvings: int = 7
    decrease: float = 1e-4
    patience: int = 12

    def __call__(self, problem: FixedPoint, Z: np.ndarray, options: BlockOptions) -> BlockResult:
        """Solve a block of rows."""
        best = BlockResult.start(Z, "newton_krylov")
        if not options.warm:
            np.maximum(problem.c, 0, out=Z)
        b, m = problem.shape
        size = max(self.basis_bytes // (4 * m * (self.restart + 2)), 1)
        for start in range(0, b, size):
            rows = np.arange(start, min(start + size, b))
            with np.errstate(all="ignore"):
                part = BlockOptions(options.tol, options.max_iter[rows], warm=True)
                best.merge(rows, self._steps(problem.take(rows), Z[rows], part))
        return best

    def _steps(self, problem: FixedPoint, z: np.ndarray, options: BlockOptions) -> BlockResult:
        """Take Newton steps from z, all rows at once."""
        b = len(z)
        unit = problem.c.itemsize / 8
        best = BlockResult.start(z.copy())
        rows = np.arange(b)
        history = np.full((b, self.patience), np.inf)
        dense = np.zeros(b, bool)
        while True:
            g = problem.preactivation(z, out=np.empty_like(z))
            best.cost += unit * len(rows) / b
            active = g > 0 if problem.active is None else problem.active
            r = np.where(active, g, 0) - z
            step, size = row_norms(r), row_norms(z)
            now = np.where(step == 0, 0.0, step / size)
            now[~np.isfinite(size)] = np.nan
            best.update(rows, z, now)
            stuck = best.residual[rows] > 0.5 * history[rows, 0]
            history[rows] = np.column_stack([history[rows, 1:], best.residual[rows]])
            status = row_status(
                best.residual[rows] <= options.tol,
                best.n_iter[rows] >= options.max_iter[rows],
                ~np.isfinite(step) | ~np.isfinite(size),
                stuck,
            )
            best.status[rows] = status
            keep = status == OPEN
            if not keep.any():
                return best
            problem, rows = problem.take(keep), rows[keep]
            z, g, r, active, step = z[keep], g[keep], r[keep], active[keep], step[keep]
            delta, products = self._linear_solve(problem, active, r / step[:, None], dense[rows])
            delta *= step[:, None]
            w = delta @ problem.operator.scaled(delta.dtype, problem.adjoint)
            error = row_norms(delta - active * w - r)
            dense[rows] |= ~(error <= self.row_tol * step)
            for i in np.flatnonzero(dense[rows]):
                delta[i] = _dense_solve(problem, active[i], r[i], delta[i])
                products += 2 / 3 * np.count_nonzero(active[i]) ** 3 / (2 * z.shape[1] ** 2 * len(rows))
                w[i] = delta[i] @ problem.operator.scaled(delta.dtype, problem.adjoint)
            best.cost += (unit + products) * len(rows) / b
            best.n_iter[rows] += 1
            length = self._line_search(problem.active, z, g, delta, w, step)
            # a full step takes inactive units to 0 exactly: what rounding left of one would count as active
            z = np.where(active | (length < 1)[:, None], z + length[:, None] * delta, 0)

    def _linear_solve(self, problem, active, r, skip) -> tuple[np.ndarray, float]:
        """Solve δ − D∘(δ M) = r for all rows but `skip` by GMRES; rows of r have norm one."""
        chosen = np.flatnonzero(~skip)
        solution = r.copy()
        if not chosen.size:
            return solution, 0.0
        single = np.dtype(np.float32 if problem.operator.fits_float32 else np.float64)
        M = problem.operator.scaled(single, problem.adjoint)
        D, right = active[chosen], r[chosen].astype(single)
        products = 0

        def apply(V: np.ndarray, rows: np.ndarray) -> np.ndarray:
            nonlocal products
            products += len(rows)
            return V - D[rows] * (V @ M)

        x = solve_rows(apply, right, tol=self.linear_tol, restart=self.restart, cycles=self.cycles)
        solution[chosen] = np.where(D, x, r[chosen])
        return solution, products * single.itemsize / 8 / len(r)

    def _line_search(self, mask, z, g, delta, w, step) -> np.ndarray:
        """Return for each row the first length that lowers ‖F(z) − z‖ enough.

        Where none does, the full step: for a feed-forward network it is right for one more layer,
        whatever it does to the layers behind.
        """
        length = np.zeros(len(z), z.dtype)
        for t in 0.5 ** np.arange(self.halvings):
            left = np.flatnonzero(length == 0)
            if not left.size:
                break
            at = g[left] + t * w[left]
            f = np.maximum(at, 0) if mask is None else at * mask[left]
            new = row_norms(f - z[left] - t * delta[left])
            length[left[new <= (1 - self.decrease * t) * step[left]]] = t
        length[length == 0] = 1
        return length


def _dense_solve(problem, active, r, fallback) -> np.ndarray:
    """Solve one row exactly: δ = r on inactive units, a linear system on the active ones."""
    units = np.flatnonzero(active)
    M = problem.operator.scaled(r.dtype, problem.adjoint)
    matrix = -M[np.ix_(units, units)].T
    matrix[np.diag_indices(len(units))] += 1
    off = np.where(active, 0, r)
    try:
        on = np.linalg.solve(matrix, r[units] + (off @ M)[units])
    except np.linalg.LinAlgError:
        return fallback
    off[units] = on
    return off if np.all(np.isfinite(off)) else fallback
