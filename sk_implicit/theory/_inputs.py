r"""What the theory needs to know of the inputs: their Gram matrix in the limit, and parallel rows.

With w ~ N(0, I), the feature map's Gram matrix ΦΦᵀ of width m has the expectation

    G^∞_ij = E[σ(wᵀx_i) σ(wᵀx_j)] = ‖x_i‖ ‖x_j‖ (sin θ + (π − θ) cos θ)/2π,     θ the angle between them,

the arc-cosine kernel of order 1, halved [1]_. Its smallest eigenvalue λ₀ is positive when no two inputs
are parallel, and sets the rate of the theorem.

References
----------
.. [1] Y. Cho and L. Saul, "Kernel methods for deep learning", NIPS 2009.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, issparse

from .._numerics.blocks import pair_blocks
from .._numerics.spectral import extreme_eigenvalues
from ..limit import limit_kernel

# Below this angle (radians) two inputs count as nearly parallel: λ₀ is then at most about angle²/4.
NEARLY_PARALLEL = 1e-3


def limit_gram(X) -> np.ndarray:
    """Return G^∞, the expected Gram matrix of the feature map.

    Parameters
    ----------
    X : array of shape (n, p)
        Inputs as the network sees them: scaled, with the bias appended (see `network_inputs`), or rows of
        unit norm as in the theorem.

    Returns
    -------
    G : ndarray of shape (n, n)
        G^∞_ij = E[σ(wᵀx_i) σ(wᵀx_j)].

    Examples
    --------
    >>> import numpy as np
    >>> from sk_implicit.theory import limit_gram
    >>> limit_gram(np.eye(2)).round(4).tolist()
    [[0.5, 0.1592], [0.1592, 0.5]]
    """
    X = X.toarray() if issparse(X) else np.asarray(X)
    return limit_kernel(X, gamma=1.0, kind="phi")  # no γ in it: any will do


def lambda_0(X) -> float:
    """Return λ₀ = λ_min(G^∞), positive when no two inputs are parallel.

    Parameters
    ----------
    X : array of shape (n, p)
        Inputs as the network sees them, as in `limit_gram`.

    Returns
    -------
    value : float
        The smallest eigenvalue, by Lanczos iterations on the inverse; 0 where G^∞ is singular to working
        precision.
    """
    return extreme_eigenvalues(limit_gram(X)).smallest


@dataclass(frozen=True, slots=True)
class ClosestPair:
    """The two inputs that come closest to being parallel.

    Attributes
    ----------
    angle : float
        The angle between their lines in radians, 0 to π/2; π/2 for a single input.
    rows : tuple of int
        Where they stand.
    """

    angle: float
    rows: tuple[int, int]

    @property
    def parallel(self) -> bool:
        """Whether they are parallel, or nearly so."""
        return self.angle < NEARLY_PARALLEL


def closest_pair(X) -> ClosestPair:
    """Find the two inputs whose directions, up to sign, are closest.

    Parameters
    ----------
    X : array or CSR array of shape (n, p)
        Inputs as the network sees them. A zero row counts as parallel to every other.
    """
    n = X.shape[0]
    X = X.astype(np.float64, copy=False)
    largest = abs(X).max(axis=1)
    largest = largest.toarray().ravel() if issparse(largest) else largest
    largest[largest == 0] = 1  # squares of 1e200 have no number
    if issparse(X):
        X = csr_array(X)
        X = csr_array((X.data / np.repeat(largest, np.diff(X.indptr)), X.indices, X.indptr), shape=X.shape)
    else:
        X = X / largest[:, None]
    squares = X.multiply(X).sum(axis=1) if issparse(X) else np.einsum("np,np->n", X, X)
    norms = np.sqrt(np.asarray(squares).ravel())
    best, rows = -1.0, (0, 0)
    if n > 1 and not norms.all():
        zero = int(np.argmin(norms))
        return ClosestPair(0.0, (zero, 1 if zero == 0 else 0))
    if n == 1:
        return ClosestPair(np.pi / 2, rows)
    for part in pair_blocks(n):
        start = part.start
        block = X[part] @ X[start:].T
        block = block.toarray() if issparse(block) else np.asarray(block)
        cosines = np.abs(block) / norms[part, None] / norms[start:]
        cosines[np.tril_indices(len(cosines), m=cosines.shape[1])] = -1.0
        i, j = np.unravel_index(int(np.argmax(cosines)), cosines.shape)
        if cosines[i, j] > best:
            best, rows = float(cosines[i, j]), (start + int(i), start + int(j))
    return ClosestPair(_angle_between(X, norms, rows), rows)


def _angle_between(X, norms, rows) -> float:
    """Return the angle of two lines from the chord between unit vectors: exact for small angles."""
    pair = X[list(rows)]
    pair = pair.toarray() if issparse(pair) else np.asarray(pair)
    u, v = pair.astype(np.float64) / norms[list(rows), None]
    chord = min(float(np.linalg.norm(u - v)), float(np.linalg.norm(u + v)))
    return float(2 * np.arcsin(min(chord / 2, 1.0)))
