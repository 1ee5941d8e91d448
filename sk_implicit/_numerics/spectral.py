"""Norms and extreme eigenvalues: estimates by Lanczos iterations, proofs by Cholesky and Perron-Frobenius.

Lanczos iterations take matrix products only and approach a norm from below; where a norm has to be
*known* to be below a bound, a factorisation that succeeds proves it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, cholesky, eigh
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, aslinearoperator, eigsh

from .ranges import largest_magnitude

# Below this order a dense computation is quicker than a Lanczos iteration's overhead.
_DENSE_ORDER = 64
# Smallest entry of a Perron vector: products with it stay far above underflow.
_SMALLEST_ENTRY = 1e-150


def operator_norm(A: np.ndarray, *, v0: np.ndarray | None = None, tol: float = 1e-4):
    """Return ‖A‖₂ and its right singular vector, by Lanczos on AᵀA.

    Parameters
    ----------
    A : (m, m) array
        The matrix.
    v0 : (m,) array or None
        A guess at the right singular vector: that of a nearby matrix saves most of the work. By
        default a fixed pseudo-random vector, so that equal matrices give equal bits.
    tol : float, default=1e-4
        Relative accuracy of ‖A‖₂². Lanczos approaches it from below.

    Returns
    -------
    norm : float
        The operator norm.
    vector : (m,) array
        The right singular vector, a warm start for the next call.
    """
    m = A.shape[1]
    if m <= _DENSE_ORDER:
        _, values, vectors = np.linalg.svd(A, full_matrices=False)
        return float(values[0]), vectors[0]
    unit, largest = 1.0, largest_magnitude(A)
    if largest > float(np.finfo(A.dtype).max) ** 0.25:  # products with AᵀA would have no number
        unit, A = largest, A / A.dtype.type(largest)
    gram = LinearOperator((m, m), matvec=lambda v: A.T @ (A @ v), dtype=A.dtype)
    value, vector = largest_eigenvalue(gram, v0=v0, tol=tol)
    return unit * float(np.sqrt(max(value, 0.0))), vector


def largest_eigenvalue(operator, *, v0: np.ndarray | None = None, tol: float = 1e-4):
    """Return the largest eigenvalue of a symmetric operator and its eigenvector, by Lanczos."""
    order = operator.shape[0]
    if order <= 2:  # ARPACK wants fewer eigenvalues than rows
        values, vectors = np.linalg.eigh(operator @ np.eye(order))
        return float(values[-1]), vectors[:, -1]
    if v0 is None:
        v0 = np.random.RandomState(0).standard_normal(order)
    v0 = v0.astype(operator.dtype, copy=False)
    if not np.any(operator @ v0):  # ARPACK cannot start on a zero operator
        return 0.0, v0 / np.linalg.norm(v0)
    try:
        values, vectors = eigsh(operator, k=1, which="LA", v0=v0, tol=tol, maxiter=100 * order)
    except ArpackNoConvergence as failure:  # keep the best that was found
        if not len(failure.eigenvalues):
            raise
        values, vectors = failure.eigenvalues, failure.eigenvectors
    return float(values[-1]), vectors[:, -1]


class Extremes(NamedTuple):
    """Smallest and largest eigenvalue of a positive semi-definite matrix."""

    smallest: float
    largest: float


def extreme_eigenvalues(K: np.ndarray) -> Extremes:
    """Return the extreme eigenvalues of a positive semi-definite matrix.

    The largest is found by Lanczos on K, the smallest by Lanczos on K⁻¹, with a Cholesky factor of K.
    Lanczos approaches the smallest from above, so a second factorisation, of K − t I with t a thousandth
    below it, confirms that nothing lies further down. Two times n³/3 flops, where all eigenvalues take 4n³/3
    of much slower ones.

    Parameters
    ----------
    K : (n, n) array
        Positive semi-definite, up to rounding.

    Returns
    -------
    extremes : Extremes
        ``smallest`` is 0 where K is singular to working precision (n ε λ_max).

    Raises
    ------
    ValueError
        If K is empty.
    """
    K = np.asarray(K, dtype=np.float64)
    n = len(K)
    if n == 0:
        raise ValueError("The matrix of no rows has no eigenvalues; at least one row is needed.")
    if n <= _DENSE_ORDER:
        values = np.linalg.eigvalsh(K)
        smallest, largest = float(values[0]), float(values[-1])
    else:
        largest, _ = largest_eigenvalue(aslinearoperator(K), tol=1e-8)
        smallest = _smallest_eigenvalue(K, shift=n * np.finfo(np.float64).eps * largest)
    floor = n * np.finfo(np.float64).eps * largest
    return Extremes(smallest if smallest > floor else 0.0, largest)


def _smallest_eigenvalue(K: np.ndarray, shift: float) -> float:
    """Return λ_min(K) by Lanczos on (K + shift I)⁻¹, confirmed by the inertia of K − t I."""
    n = len(K)
    shifted = K.copy()
    shifted.flat[:: n + 1] += shift
    try:
        factor = cho_factor(shifted, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:  # an eigenvalue below −shift: no Gram matrix, but it has an answer
        return _smallest_densely(K)
    inverse = LinearOperator((n, n), matvec=lambda v: cho_solve(factor, v, check_finite=False), dtype=K.dtype)
    value, _ = largest_eigenvalue(inverse, tol=1e-6)
    smallest = 1.0 / value - shift
    if smallest > shift and not is_positive_definite(K, below=(1 - 1e-3) * smallest):
        return _smallest_densely(K)
    return smallest


def _smallest_densely(K: np.ndarray) -> float:
    return float(eigh(K, eigvals_only=True, subset_by_index=[0, 0], check_finite=False)[0])


def is_positive_definite(K: np.ndarray, below: float = 0.0) -> bool:
    """Whether the Cholesky factorisation of K − ``below`` · I succeeds."""
    shifted = np.array(K, dtype=np.float64, order="F")
    shifted.flat[:: len(shifted) + 1] -= below
    try:
        cholesky(shifted, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        return False
    return True


def norm_is_below(B: np.ndarray, bound: float) -> bool:
    """Whether ‖B‖₂ < ``bound`` is proven, by a Cholesky factorisation of bound² I − BᵀB.

    The margin covers all rounding errors: those of the product, at most m u ‖B‖_F², and those of a
    factorisation that succeeds, at most (m + 2) u times the trace [1]_, u = ε/2. False is no disproof.

    Parameters
    ----------
    B : (m, m) array
        The matrix, with entries of moderate size.
    bound : float
        What its norm is compared with.

    References
    ----------
    .. [1] S. M. Rump, "Verification of positive definiteness", BIT Numerical Mathematics 46 (2006).
    """
    m = len(B)
    B = np.asarray(B, dtype=np.float64)
    squares = float(np.einsum("ij,ij->", B, B))
    margin = 2 * (m + 4) * np.finfo(np.float64).eps * (squares + m * bound**2)
    if not margin < bound**2:  # NaN, or a matrix too large for its norm to be proven this way
        return False
    gram = B.T @ B
    np.negative(gram, out=gram)
    return is_positive_definite(gram, below=margin - bound**2)


def perron_bound(B: np.ndarray, *, tol: float = 1e-3, max_iter: int = 500) -> float:
    """Return a proven upper bound on the spectral radius of an irreducible non-negative matrix.

    For every x > 0, ρ(B) ≤ maxᵢ (Bx)ᵢ/xᵢ (Collatz and Wielandt); power iterations on B + ρI bring x
    towards the eigenvector, for which it is an equality. Rounding is covered.

    Parameters
    ----------
    B : (m, m) array
        Non-negative entries. Reducible matrices get a valid bound too, but maybe not a tight one.
    tol : float, default=1e-3
        Iterations stop when the bound from below, minᵢ (Bx)ᵢ/xᵢ, is within this fraction.
    max_iter : int, default=500
        Most iterations.
    """
    m = len(B)
    inflation = 1 + (m + 8) * np.finfo(np.float64).eps
    x, best = np.ones(m), np.inf
    for _ in range(max_iter):
        with np.errstate(over="ignore", invalid="ignore"):
            y = B @ x
            ratio = y / x
        upper, lower = float(ratio.max()), float(ratio.min())
        if not np.isfinite(upper):
            return best
        best = min(best, upper)
        if upper == 0 or upper - lower <= tol * upper:
            break
        x = x + y / upper  # the identity damps eigenvalues of equal modulus, as those of cycles
        x /= x.max()
        np.maximum(x, _SMALLEST_ENTRY, out=x)  # stays far above underflow: the bound holds for any x > 0
    return best * inflation + _SMALLEST_ENTRY if best > 0 else 0.0


def irreducible_blocks(A: np.ndarray) -> list[np.ndarray]:
    """Return the units of each strongly connected component of A's graph (i → j where A_ij ≠ 0).

    Ordered by component, A is block triangular with irreducible blocks (Frobenius normal form): what is
    to be known of the equilibrium is known from the diagonal blocks, solved one after the other.
    """
    if A.all():
        return [np.arange(len(A))]
    n_blocks, labels = connected_components(csr_array(A != 0), directed=True, connection="strong")
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.cumsum(np.bincount(labels, minlength=n_blocks))[:-1])
