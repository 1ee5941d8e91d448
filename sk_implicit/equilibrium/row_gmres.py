"""GMRES on the rows of a block, each with a Krylov space of its own.

Rows share the products, which one large multiplication takes together, and nothing else: what a row gets does
not depend on which others are in the block (one space for all of them would tie their errors together). A
row leaves when its residual, which the Givens rotations of Saad and Schultz (1986) tell at every step, is
small enough.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .._numerics.norms import row_norms

# (V, rows) -> the operator applied to V, which holds these rows.
Apply = Callable[[np.ndarray, np.ndarray], np.ndarray]


def solve_rows(apply: Apply, right: np.ndarray, *, tol: float, restart: int, cycles: int) -> np.ndarray:
    """Solve a linear equation for each row, starting from zero.

    Parameters
    ----------
    apply : callable
        ``apply(V, rows)``, (j, m), is what the operators of the rows ``rows``, (j,), make of V, (j, m).
    right : (b, m) array
        Right-hand sides.
    tol : float
        Residual at which a row is done, relative to its right-hand side.
    restart, cycles : int
        Steps between restarts, and how often to start.

    Returns
    -------
    X : (b, m) array
        What was reached, in the precision of ``right``.
    """
    X, goal = np.zeros_like(right), tol * row_norms(right)
    rows, residual = np.arange(len(right)), right
    for cycle in range(cycles):
        if cycle:
            residual = right[rows] - apply(X[rows], rows)
        far = row_norms(residual) > goal[rows]
        rows, residual = rows[far], residual[far]
        if not rows.size:
            break
        _cycle(apply, X, rows, residual, goal, restart)
    return X


def _cycle(
    apply: Apply, X: np.ndarray, rows: np.ndarray, residual: np.ndarray, goal: np.ndarray, restart: int
) -> None:
    """Add to X what the Krylov spaces of the residuals hold of the solutions."""
    b, m = residual.shape
    V = np.empty((restart + 1, b, m), residual.dtype)
    R = np.zeros((b, restart, restart))  # the triangle that rotations leave of the Hessenberg matrix
    c, s = np.zeros((2, b, restart))
    g = np.zeros((b, restart + 1))
    g[:, 0] = row_norms(residual)
    V[0] = residual / g[:, :1].astype(residual.dtype)
    for j in range(restart):
        w = apply(V[j], rows)
        h = np.empty((len(rows), j + 1))
        for i in range(j + 1):
            dot = np.einsum("ij,ij->i", V[i], w)
            w -= dot[:, None] * V[i]
            h[:, i] = dot
        below = row_norms(w)
        V[j + 1] = w / np.where(below > 0, below, 1)[:, None].astype(w.dtype)
        for i in range(j):
            upper = c[:, i] * h[:, i] + s[:, i] * h[:, i + 1]
            h[:, i + 1] = c[:, i] * h[:, i + 1] - s[:, i] * h[:, i]
            h[:, i] = upper
        length = np.hypot(h[:, j], below)
        safe = np.where(length > 0, length, 1)
        c[:, j], s[:, j] = h[:, j] / safe, below / safe
        R[:, :j, j], R[:, j, j] = h[:, :j], length
        g[:, j + 1], g[:, j] = -s[:, j] * g[:, j], c[:, j] * g[:, j]
        done = ~(np.abs(g[:, j + 1]) > goal[rows]) | (length == 0)
        if j == restart - 1:
            done[:] = True
        if done.any():
            _add(X, rows[done], V[: j + 1, done], R[done, : j + 1, : j + 1], g[done, : j + 1])
            if done.all():
                return
            left = ~done
            rows, V, R, c, s, g = rows[left], V[:, left], R[left], c[left], s[left], g[left]


def _add(X: np.ndarray, rows: np.ndarray, V: np.ndarray, R: np.ndarray, g: np.ndarray) -> None:
    """Add V y to rows of X, with R y = g."""
    k = R.shape[1]
    y = np.zeros((len(rows), k))
    for i in range(k - 1, -1, -1):
        value = g[:, i] - np.einsum("bj,bj->b", R[:, i, i + 1 :], y[:, i + 1 :])
        diagonal = R[:, i, i]
        y[:, i] = np.where(diagonal > 0, value / np.where(diagonal > 0, diagonal, 1), 0)
    X[rows] += np.einsum("bj,jbm->bm", y.astype(X.dtype), V)
