"""Conjugate gradients for systems whose accuracy the caller judges."""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError


def conjugate_gradients(product, precondition, b: np.ndarray, accept, max_iter: int) -> np.ndarray:
    """Solve a positive definite system up to what ``accept(v, residual)`` says.

    M. R. Hestenes and E. Stiefel, J. Res. Nat. Bur. Stand. 49, 1952. SciPy's implementation shows
    nobody the residual, by which the duality gap is known.
    """
    v, residual = np.zeros_like(b), b.copy()
    direction, slope = np.zeros_like(b), 0.0
    for _ in range(max_iter):
        if accept(v, residual):
            break
        preconditioned = precondition(residual)
        previous, slope = slope, float(np.vdot(residual, preconditioned))
        direction *= slope / previous if previous else 0.0
        direction += preconditioned
        image = product(direction)
        length = slope / float(np.vdot(direction, image))
        v += length * direction
        residual -= length * image
    if not np.isfinite(v).all():
        raise LinAlgError("conjugate gradients broke down")
    return v


def below(rtol: float, b: np.ndarray):
    """Return an ``accept`` of residuals that are at most ``rtol`` times as large as b."""
    limit = rtol * np.linalg.norm(b)
    return lambda _, residual: np.linalg.norm(residual) <= limit
