"""A solver made of a function of one sweep: what every solver has to keep books on, done once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .._numerics.norms import row_norms
from .options import BlockOptions
from .problem import FixedPoint
from .result import OPEN, BlockResult, row_status
from .stages import Solver

# One sweep: of the rows of a problem, iterates Z and their images F(Z), all (b, m), the next iterates.
Sweep = Callable[[FixedPoint, np.ndarray, np.ndarray], np.ndarray]


def by_sweeps(sweep: Sweep, *, patience: int = 100, products: float = 0.0) -> Solver:
    """Make a solver of a function that takes all rows one sweep further.

    Each row stops by itself, at its own residual, which is measured before every sweep by the one product
    that F takes; the best iterate of each row is returned.

    Parameters
    ----------
    sweep : callable
        ``sweep(problem, Z, image)`` returns the next iterates, (b, m), given a `FixedPoint`, the iterates Z
        and their images F(Z); it writes to none of them and treats each row by itself. Units that F
        switches off are set to zero in what it returns. A cold start is at F(0).
    patience : int, default=100
        Sweeps without a new least residual after which a row has stalled. More of them let transients
        pass that grow first; fewer give up hopeless rows sooner.
    products : float, default=0
        Products with the block that a sweep takes beside that of F, for the record of the cost.

    Returns
    -------
    solver : callable
        For `register`.

    Examples
    --------
    >>> from sk_implicit.equilibrium import by_sweeps
    >>> damped = by_sweeps(lambda problem, Z, image: (Z + image) / 2)
    """

    def solve(problem: FixedPoint, Z: np.ndarray, options: BlockOptions) -> BlockResult:
        with np.errstate(all="ignore"):
            return _solve(sweep, patience, products, problem, Z, options)

    return solve


def _solve(
    sweep: Sweep, patience: int, products: float, problem: FixedPoint, Z: np.ndarray, options: BlockOptions
) -> BlockResult:
    best, b, unit = BlockResult.start(Z), len(Z), problem.c.itemsize / 8
    if not options.warm:
        Z[:] = 0
    z = Z.copy() if options.warm else problem.activate(problem.c)
    idle, rows = np.zeros(b, np.intp), np.arange(b)
    known = np.zeros(b, bool)
    if not options.warm:
        known[:] = ~z.any(axis=1)  # F(0) = 0
    while True:
        image = z
        if not known.all():
            image = problem.image(z)
            best.cost += unit * len(rows) / b
        step, size = row_norms(image - z), row_norms(z)
        residual = np.where(step == 0, 0.0, step / size)
        residual[~np.isfinite(size)] = np.nan
        better = residual < best.residual[rows]
        idle[rows] = np.where(better, 0, idle[rows] + 1)
        best.update(rows, z, residual)
        status = row_status(
            best.residual[rows] <= options.tol,
            best.n_iter[rows] >= options.max_iter[rows],
            ~np.isfinite(step) | ~np.isfinite(size),
            idle[rows] >= patience,
        )
        best.status[rows] = status
        left = status == OPEN
        if not left.any():
            return best
        problem, rows, z, image, known = problem.take(left), rows[left], z[left], image[left], known[left]
        new = np.asarray(sweep(problem, z, image))
        if new.shape != z.shape:
            raise ValueError(f"A sweep must return an array of shape {z.shape}, as Z; got {new.shape}.")
        z = np.where(image == 0, 0, new).astype(z.dtype, copy=False)
        best.n_iter[rows] += 1
        best.cost += unit * products * len(rows) / b
