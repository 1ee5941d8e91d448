"""What users call: the three equations, each with its own names."""

from __future__ import annotations

from .driver import DRIVER
from .equations import Equations
from .options import EquilibriumOptions
from .result import EquilibriumResult


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
    norm_bound=None,
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
    solver : {"auto", "picard", "gauss_seidel", "modulus", "anderson", "newton_krylov"} or str, \
            default="auto"
        "picard" iterates all units at once; "gauss_seidel" block after block of up to 64 units,
        forward and backward in turns, which takes about half of the products; "modulus" does so on
        a form that contracts faster but inverts a matrix first; "anderson" mixes the last steps;
        "newton_krylov" also gets where nothing contracts. "auto" takes Gauss-Seidel for rows that
        need few sweeps, the modulus form for rows that need more, and Newton-Krylov for rows that
        neither solves. Other names are those of solvers that were added by `register`.
    tol : float, default=1e-8
        Relative residual ‖F(z) − z‖ / ‖z‖ at which a row is done. Not taken below what the
        precision can reach.
    max_iter : int, default=500
        Largest number of iterations of a row.
    Z0 : ndarray of shape (n, m), optional
        Start; zero by default. One that solves the equation already costs a single product.
    block_size : int or "auto", default="auto"
        Rows solved at a time; bounds the memory.
    norm_bound : float, optional
        An upper bound of the norm of sA, if you have one; that of the operator by default. Below 1, a row
        that is solved moves on to its image F(z), which is there already and closer; the residual reported
        is then a bound.

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
    equations = Equations.checked("Phi", A, Phi, gamma=gamma, Z0=Z0, norm_bound=norm_bound)
    return DRIVER.solve(equations, EquilibriumOptions(solver, tol, max_iter), block_size)


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
    norm_bound=None,
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
    gamma, solver, tol, max_iter, Z0, block_size, norm_bound
        As in `solve`.

    Returns
    -------
    EquilibriumResult
        As in `solve`.
    """
    equations = Equations.checked("B", A, B, active, adjoint=True, gamma=gamma, Z0=Z0, norm_bound=norm_bound)
    return DRIVER.solve(equations, EquilibriumOptions(solver, tol, max_iter), block_size)


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
    norm_bound=None,
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
    gamma, solver, tol, max_iter, Z0, block_size, norm_bound
        As in `solve`.

    Returns
    -------
    EquilibriumResult
        As in `solve`.
    """
    equations = Equations.checked("R", A, R, active, gamma=gamma, Z0=Z0, norm_bound=norm_bound)
    return DRIVER.solve(equations, EquilibriumOptions(solver, tol, max_iter), block_size)
