"""How rows come to a solver and back: in blocks, in threads where that pays, and at a moderate scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._numerics.blas import in_threads
from .._numerics.blocks import slices
from .._numerics.norms import row_norms
from .equations import Equations
from .modulus import has_modulus_matrix
from .options import BlockOptions, EquilibriumOptions
from .problem import FixedPoint
from .registry import solver_named
from .result import BlockResult, EquilibriumResult, Status
from .stages import Solver

# Residual that rounding leaves, in units of the machine precision: the least tolerance.
_FLOOR = 8
# A start that is larger than this share of the root of the largest number says nothing.
_FAR_OFF = 1e-3
# Rows with a norm beyond this or below its inverse are rescaled, for the range of float32.
_MODERATE = 2.0**20


@dataclass(frozen=True, slots=True)
class Driver:
    """Cuts rows into blocks, has a solver solve them, and puts the record together.

    Attributes
    ----------
    block_bytes : int
        Bytes of one array of a block: the dozen or so alive at a time stay in a shared cache, and are
        small enough for the allocator to reuse. Larger ones leave the cache, smaller ones make products
        of few rows, which are slower.
    warm_block_bytes : int
        The same after a warm start: a few rows may be left that need much, which costs less when more of
        them come together.
    block_rows : int
        Rows of a block at least, for wide networks: products of fewer rows are slower.
    threads_from : float
        Multiplications, counting those in float32 as halves, from which blocks have threads of their own.
        The threads of BLAS go on spinning for some 25 ms after their last product, in the way of others;
        fewer would not make up for that, more leave long solves to the threads of BLAS alone.
    warm_digits : float
        What a warm start counts as in that sum: a digit of a cold start costs about a product, and a warm
        start has all but some.
    loose : float
        A tolerance that float32 meets with room to spare: from it on, residuals in float64 would only cost
        more. A tighter one would let rounding in float32 into what is reported.
    glance : int
        Units of a row that are looked at first to tell whether zero solves it. Fewer tell fewer rows,
        more read more of all of them.
    """

    block_bytes: int = 2**22
    warm_block_bytes: int = 2**23
    block_rows: int = 64
    threads_from: float = 6e9
    warm_digits: float = 2
    loose: float = 1e-4
    glance: int = 16

    def solve(
        self, equations: Equations, options: EquilibriumOptions, block_size: int | str = "auto"
    ) -> EquilibriumResult:
        """Solve block by block.

        Parameters
        ----------
        equations : Equations
            What is to be solved.
        options : EquilibriumOptions
            By which solver, how accurately, how long.
        block_size : int or "auto", default="auto"
            Rows solved at a time.

        Returns
        -------
        EquilibriumResult
            The solution, and how it was found.

        Raises
        ------
        ValueError
            If an entry of a right-hand side is not finite, or an option is unknown.
        """
        solver = solver_named(options.solver)
        operator, c, active, Z0 = equations.operator, equations.c, equations.active, equations.Z0
        n, m = c.shape
        warm, tol = Z0 is not None, max(options.tol, _FLOOR * float(np.finfo(c.dtype).eps))
        precision = np.dtype(np.float32) if tol >= self.loose and operator.fits_float32 else c.dtype
        digits = self.warm_digits if warm else -np.log10(tol)
        is_long = digits * n * m**2 * precision.itemsize / 8 >= self.threads_from
        if block_size == "auto":
            n_bytes = self.warm_block_bytes if warm else self.block_bytes
            step = self._block_size(n, m * precision.itemsize, n_bytes, shared=is_long)
        elif not (isinstance(block_size, int | np.integer) and block_size >= 1):
            raise ValueError(f"block_size must be 'auto' or an integer >= 1; got {block_size!r}.")
        else:
            step = int(block_size)
        solution = np.empty((n, m), c.dtype)
        # asked once: blocks must not depend on what those before them, or beside them, have made
        n_sharing = max(n, m) if has_modulus_matrix(operator) else n

        def solve_rows(rows: slice) -> BlockResult:
            mask = None if active is None else active[rows]
            block = FixedPoint(operator, equations.adjoint, c[rows], mask, n_sharing, equations.norm_bound)
            Z = solution[rows]
            if Z0 is not None:
                # The solvers keep inactive entries at 0, so they must start there.
                Z[:] = Z0[rows] if mask is None else Z0[rows] * mask
            budget = BlockOptions(tol, np.full(len(Z), int(options.max_iter)), warm)
            return self._solve_block(solver, block, Z, budget, equations.name, precision)

        parts = list((in_threads if is_long else map)(solve_rows, list(slices(n, step))))
        if not parts:
            return EquilibriumResult(solution, 0, np.empty(0), Status.CONVERGED, options.solver, 0.0)
        return EquilibriumResult(
            solution,
            n_iter=max(int(part.n_iter.max()) for part in parts),
            residual=np.concatenate([part.residual for part in parts]),
            status=Status(max(int(part.status.max()) for part in parts)),
            solver="+".join(dict.fromkeys(name for part in parts for name in part.used)) or options.solver,
            n_products=sum(part.cost * len(part.residual) for part in parts) / n,
        )

    def _block_size(self, n: int, row_bytes: int, block_bytes: int, shared: bool) -> int:
        """Return the rows of a block, such that all are of equal size; threads share two, four or eights."""
        n_blocks = -(-n // max(block_bytes // row_bytes, self.block_rows))
        if shared:
            n_blocks += -n_blocks % (2 if n_blocks <= 4 else 8)
        return max(-(-n // max(n_blocks, 1)), 1)

    def _solve_block(
        self, solver: Solver, block: FixedPoint, Z: np.ndarray, options: BlockOptions, name: str,
        precision: np.dtype,
    ) -> BlockResult:  # fmt: skip
        """Solve a block with its rows brought to a moderate norm; the equations are homogeneous."""
        with np.errstate(over="ignore", under="ignore"):
            norm = row_norms(block.c)
        rows = np.flatnonzero(~((norm > 1 / _MODERATE) & (norm < _MODERATE)))
        if rows.size:
            largest = np.abs(block.c[rows]).max(axis=1)
            if not np.all(np.isfinite(largest)):
                raise ValueError(f"{name} contains NaN or infinity; every entry must be finite.")
            # Powers of two change no digit.
            exponent = np.frexp(largest)[1][:, None]
            block.c = block.c.copy()
            block.c[rows] = np.ldexp(block.c[rows], -exponent)
            with np.errstate(over="ignore"):  # such a start is far off
                Z[rows] = np.ldexp(Z[rows], -exponent) if options.warm else 0
        if options.warm:
            with np.errstate(over="ignore"):
                far_off = ~(row_norms(Z) < _FAR_OFF * float(np.finfo(precision).max) ** 0.5)
            Z[far_off] = 0
            Z[self._solved_by_zero(block)] = 0  # any other start would approach it for ever
        if precision == Z.dtype:
            part = _solved(solver, block, Z, options)
        else:
            block.c = block.c.astype(precision)
            rounded = Z.astype(precision) if options.warm else np.empty(Z.shape, precision)
            part = _solved(solver, block, rounded, options)
            Z[:] = rounded
        if rows.size:
            with np.errstate(over="ignore"):
                Z[rows] = np.ldexp(Z[rows], exponent)
            lost = rows[~np.isfinite(Z[rows]).all(axis=1)]
            Z[lost] = np.clip(Z[lost], np.finfo(Z.dtype).min, np.finfo(Z.dtype).max)
            part.residual[lost], part.status[lost] = np.inf, Status.DIVERGED.value
        return part

    def _solved_by_zero(self, block: FixedPoint) -> np.ndarray:
        """Return the rows that z = 0 solves, of which the residual relative to ‖z‖ says nothing."""

        def image(rows, columns=slice(None)):
            active = None if block.active is None else block.active[rows, columns]
            c = block.c[rows, columns]
            return np.maximum(c, 0) if active is None else c * active

        # most rows are told apart by few units
        rows = np.flatnonzero(~np.any(image(slice(None), slice(self.glance)), axis=1))
        return rows[~np.any(image(rows), axis=1)]


def _solved(solver: Solver, block: FixedPoint, Z: np.ndarray, options: BlockOptions) -> BlockResult:
    """Return what a solver makes of a block, with the iterates in Z."""
    part = solver(block, Z, options)
    if not isinstance(part, BlockResult):
        raise TypeError(f"A solver must return a BlockResult; {solver!r} returned {type(part).__name__}.")
    if part.Z is not Z:
        Z[:] = part.Z
    return part


DRIVER = Driver()
