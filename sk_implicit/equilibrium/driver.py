"""Validation, blocks of rows, and the registry of solvers."""

from __future__ import annotations

import numpy as np

from .._numerics.blas import in_threads
from .._numerics.blocks import slices
from .._numerics.norms import row_norms
from .anderson import anderson
from .auto import auto
from .correction import activate
from .modulus import has_modulus_matrix, modulus
from .newton_krylov import newton_krylov
from .operators import EquilibriumOperator
from .picard import gauss_seidel, picard, start_sweeps
from .problem import FixedPoint
from .result import EquilibriumResult, Rows, Status
from .stages import Stage, by_corrections, in_turn

SOLVERS: dict[str, Stage] = {
    "auto": auto,
    "picard": by_corrections("picard", picard),
    "gauss_seidel": by_corrections("gauss_seidel", gauss_seidel),
    "modulus": by_corrections("modulus", modulus),
    "anderson": by_corrections("anderson", anderson),
    "newton_krylov": in_turn(by_corrections("gauss_seidel", start_sweeps), newton_krylov),
}

# Bytes of one array of a block: the dozen or so alive at a time stay in a shared cache, and are
# small enough for the allocator to reuse. After a warm start a few rows may be left that need much, which
# costs less when more of them come together. Rows of a block at least.
_BLOCK_BYTES = 2**22
_WARM_BLOCK_BYTES = 2**23
_BLOCK_ROWS = 64
# Multiplications, counting those in float32 as halves, from which blocks have threads of their own: the
# threads of BLAS go on spinning for some 25 ms after their last product, in the way of others. A digit of a
# cold start costs about a product; a warm start has all but some.
_LONG = 6e9
_WARM_DIGITS = 2
# Residual that rounding leaves, in units of the machine precision: the least tolerance.
_FLOOR = 8
# A tolerance that float32 meets with room to spare: residuals in float64 would only cost more.
_LOOSE = 1e-4
# A start that is larger than this share of the root of the largest number says nothing.
_FAR_OFF = 1e-3
# Units of a row that are looked at first.
_GLANCE = 16
# Rows with a norm beyond this or below its inverse are rescaled, for the range of float32.
_MODERATE = 2.0**20


def solve(
    A,
    Phi,
    *,
    gamma=None,
    solver="auto",
    tol=1e-8,
    max_iter=500,
    Z0=None,
    block_size="auto",
) -> EquilibriumResult:
    """Solve the equilibrium equation Z = max(s Z Aᵀ + Φ, 0), s = γ/√m, row by row.

    Where it contracts, the solution is the only one; elsewhere, a solver may find another than
    another solver does, or none. Float64 problems are solved by float32 corrections to float64
    residuals.

    Parameters
    ----------
    A : ndarray of shape (m, m) or EquilibriumOperator
        Weights of the implicit layer.
    Phi : ndarray of shape (n, m)
        Features, a row per sample; never changed. The solution has its precision (float32 or
        float64; anything else is converted to float64).
    gamma : float
        The scalar γ > 0. May be omitted when `A` is an `EquilibriumOperator`.
    solver : {"auto", "picard", "gauss_seidel", "modulus", "anderson", "newton_krylov"}, \
            default="auto"
        "picard" iterates all units at once; "gauss_seidel" block after block of up to 64 units,
        forward and backward in turns, which takes about half of the products; "modulus" does so on
        a form that contracts faster but inverts a matrix first; "anderson" mixes the last steps;
        "newton_krylov" also gets where nothing contracts. "auto" takes Gauss-Seidel for rows that
        need few sweeps, the modulus form for rows that need more, and Newton-Krylov for rows that
        neither solves.
    tol : float, default=1e-8
        Relative residual ‖F(z) − z‖ / ‖z‖ at which a row is done. Not taken below what the
        precision can reach.
    max_iter : int, default=500
        Largest number of iterations of a row.
    Z0 : ndarray of shape (n, m), optional
        Start; zero by default. One that solves the equation already costs a single product.
    block_size : int or "auto", default="auto"
        Rows solved at a time; bounds the memory.

    Returns
    -------
    EquilibriumResult
        The solution with its residuals, status and cost. Reaching `max_iter` is reported there,
        not raised.

    Raises
    ------
    ValueError
        If shapes do not match, an entry is not finite, or an option is unknown.
    """
    return _solve(A, Phi, None, "Phi", False, gamma, solver, tol, max_iter, Z0, block_size)


def solve_adjoint(
    A,
    B,
    active,
    *,
    gamma=None,
    solver="auto",
    tol=1e-8,
    max_iter=500,
    Z0=None,
    block_size="auto",
) -> EquilibriumResult:
    """Solve the adjoint equation Λ = 1[active] ∘ (s Λ A + B), s = γ/√m.

    Parameters
    ----------
    A : ndarray of shape (m, m) or EquilibriumOperator
        Weights of the implicit layer.
    B : ndarray of shape (n, m) or (m,)
        Right-hand side; a single row stands for n equal ones.
    active : bool ndarray of shape (n, m)
        Activation pattern 1[Z > 0].
    gamma, solver, tol, max_iter, Z0, block_size
        As in `solve`.

    Returns
    -------
    EquilibriumResult
        As in `solve`.
    """
    return _solve(A, B, active, "B", True, gamma, solver, tol, max_iter, Z0, block_size)


def solve_tangent(
    A,
    R,
    active,
    *,
    gamma=None,
    solver="auto",
    tol=1e-8,
    max_iter=500,
    Z0=None,
    block_size="auto",
) -> EquilibriumResult:
    """Solve the tangent equation dZ = 1[active] ∘ (s dZ Aᵀ + R), s = γ/√m.

    Parameters
    ----------
    A : ndarray of shape (m, m) or EquilibriumOperator
        Weights of the implicit layer.
    R : ndarray of shape (n, m) or (m,)
        Right-hand side; a single row stands for n equal ones.
    active : bool ndarray of shape (n, m)
        Activation pattern 1[Z > 0].
    gamma, solver, tol, max_iter, Z0, block_size
        As in `solve`.

    Returns
    -------
    EquilibriumResult
        As in `solve`.
    """
    return _solve(A, R, active, "R", False, gamma, solver, tol, max_iter, Z0, block_size)


def _solve(A, c, active, name, adjoint, gamma, solver, tol, max_iter, Z0, block_size):
    """Validate, then solve block by block."""
    operator = _checked_operator(A, gamma)
    if solver not in SOLVERS:
        raise ValueError(f"solver must be one of {sorted(SOLVERS)}; got {solver!r}.")
    if not (isinstance(tol, int | float | np.number) and 0 <= tol < np.inf):
        raise ValueError(f"tol must be a finite number >= 0; got {tol!r}.")
    if not (isinstance(max_iter, int | np.integer) and max_iter >= 1):
        raise ValueError(f"max_iter must be an integer >= 1; got {max_iter!r}.")
    c, active, Z0 = _checked_rows(operator.m, c, active, Z0, name)
    n, m = c.shape
    tol = max(tol, _FLOOR * float(np.finfo(c.dtype).eps))
    precision = np.dtype(np.float32) if tol >= _LOOSE and operator.fits_float32 else c.dtype
    digits = -np.log10(tol) if Z0 is None else _WARM_DIGITS
    is_long = digits * n * m**2 * precision.itemsize / 8 >= _LONG
    if block_size == "auto":
        n_bytes = _BLOCK_BYTES if Z0 is None else _WARM_BLOCK_BYTES
        block_size = _block_size(n, m * precision.itemsize, n_bytes, shared=is_long)
    elif not (isinstance(block_size, int | np.integer) and block_size >= 1):
        raise ValueError(f"block_size must be 'auto' or an integer >= 1; got {block_size!r}.")
    solution = np.empty((n, m), c.dtype)
    # asked once: blocks must not depend on what those before them, or beside them, have made
    n_sharing = max(n, m) if has_modulus_matrix(operator) else n

    def solve_rows(rows: slice) -> Rows:
        block = FixedPoint(operator, adjoint, c[rows], None if active is None else active[rows], n_sharing)
        Z = solution[rows]
        if Z0 is not None:
            # The solvers keep inactive entries at 0, so they must start there.
            Z[:] = Z0[rows] if active is None else Z0[rows] * active[rows]
        return _solve_block(SOLVERS[solver], block, Z, Z0 is not None, tol, int(max_iter), name, precision)

    parts = list((in_threads if is_long else map)(solve_rows, list(slices(n, block_size))))
    if not parts:
        return EquilibriumResult(solution, 0, np.empty(0), Status.CONVERGED, solver, 0.0)
    return EquilibriumResult(
        solution,
        n_iter=max(int(part.n_iter.max()) for part in parts),
        residual=np.concatenate([part.residual for part in parts]),
        status=Status(max(int(part.status.max()) for part in parts)),
        solver="+".join(dict.fromkeys(name for part in parts for name in part.used)) or solver,
        n_products=sum(part.cost * len(part.residual) for part in parts) / n,
    )


def _block_size(n: int, row_bytes: int, block_bytes: int, shared: bool) -> int:
    """Return the rows of a block, such that all are of equal size; threads share two, four or eights."""
    n_blocks = -(-n // max(block_bytes // row_bytes, _BLOCK_ROWS))
    if shared:
        n_blocks += -n_blocks % (2 if n_blocks <= 4 else 8)
    return max(-(-n // max(n_blocks, 1)), 1)


def _solve_block(
    solver: Stage, block: FixedPoint, Z: np.ndarray, warm: bool, tol: float, max_iter: int, name: str,
    precision: np.dtype,
) -> Rows:  # fmt: skip
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
            Z[rows] = np.ldexp(Z[rows], -exponent) if warm else 0
    if warm:
        with np.errstate(over="ignore"):
            far_off = ~(row_norms(Z) < _FAR_OFF * float(np.finfo(precision).max) ** 0.5)
        Z[far_off] = 0
        Z[_solved_by_zero(block)] = 0  # any other start would approach it for ever
    if precision == Z.dtype:
        part = solver(block, Z, warm, tol, np.full(len(Z), max_iter))
    else:
        block.c = block.c.astype(precision)
        rounded = Z.astype(precision) if warm else np.empty(Z.shape, precision)
        part = solver(block, rounded, warm, tol, np.full(len(Z), max_iter))
        Z[:] = rounded
    if rows.size:
        with np.errstate(over="ignore"):
            Z[rows] = np.ldexp(Z[rows], exponent)
        lost = rows[~np.isfinite(Z[rows]).all(axis=1)]
        Z[lost] = np.clip(Z[lost], np.finfo(Z.dtype).min, np.finfo(Z.dtype).max)
        part.residual[lost], part.status[lost] = np.inf, Status.DIVERGED.value
    return part


def _solved_by_zero(block: FixedPoint) -> np.ndarray:
    """Return the rows that z = 0 solves, of which the residual relative to ‖z‖ says nothing."""

    def image(rows, columns=slice(None)):
        active = None if block.active is None else block.active[rows, columns]
        c = block.c[rows, columns]
        return activate(c, None, active, np.empty_like(c))

    # most rows are told apart by few units
    rows = np.flatnonzero(~np.any(image(slice(None), slice(_GLANCE)), axis=1))
    return rows[~np.any(image(rows), axis=1)]


def _checked_operator(A, gamma) -> EquilibriumOperator:
    if isinstance(A, EquilibriumOperator):
        if gamma is not None and float(gamma) != A.gamma:
            raise ValueError(f"gamma={gamma!r} differs from that of the operator, {A.gamma}.")
        return A
    if gamma is None:
        raise ValueError("gamma must be given when A is an array; got None.")
    return EquilibriumOperator(A, gamma)


def _checked_rows(m: int, c, active, Z0, name: str):
    """Return right-hand side, mask and start as arrays of matching shapes; values are not copied."""
    c = np.asarray(c)
    if c.dtype not in (np.float32, np.float64):
        if c.dtype.kind not in "biuf":
            raise ValueError(f"{name} must hold real numbers; got dtype {c.dtype}.")
        c = c.astype(np.float64)
    if active is not None:
        active = np.asarray(active)
        if active.dtype != bool or active.ndim != 2 or active.shape[1] != m:
            raise ValueError(
                f"active must be a boolean array of shape (n, {m}); got dtype {active.dtype} and "
                f"shape {active.shape}. Pass Z > 0."
            )
        if c.shape == (m,):
            c = np.broadcast_to(c, active.shape)
    if c.ndim != 2 or c.shape[1] != m:
        raise ValueError(f"{name} must have shape (n, {m}) to match A; got shape {c.shape}.")
    if active is not None and active.shape != c.shape:
        raise ValueError(f"active must have the shape of {name}, {c.shape}; got {active.shape}.")
    if Z0 is not None:
        Z0 = np.asarray(Z0)
        if Z0.shape != c.shape:
            raise ValueError(f"Z0 must have the shape of {name}, {c.shape}; got {Z0.shape}.")
        with np.errstate(over="ignore", invalid="ignore"):  # one pass tells, unless the sum overflows
            finite = Z0.dtype.kind in "biuf" and (np.isfinite(np.sum(Z0)) or np.all(np.isfinite(Z0)))
        if not finite:
            raise ValueError("Z0 must hold finite real numbers.")
    return c, active, Z0
