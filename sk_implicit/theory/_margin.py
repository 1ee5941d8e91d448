r"""The margin of classified data under the tangent features of a network.

The condition of [1]_ is that the data are separable by the gradients of the network: some direction θ of
unit norm has, for every row i and every class c other than its own,

    ⟨∇f_{y_i}(x_i) − ∇f_c(x_i), θ⟩ ≥ margin > 0.

With Q the Gram matrix of these differences, the largest margin is the smallest norm of a convex
combination of them (the dual of the hard-margin support vector machine): min √(pᵀQp) over the simplex.

References
----------
.. [1] Z. Chen, Y. Cao, D. Zou and Q. Gu, "How much over-parameterization is sufficient to learn deep ReLU
   networks?", ICLR 2021, arXiv:1911.12360.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh
from scipy.optimize import nnls

from .._estimator.pipelines import taken_apart
from ._states import tangent_kernel

# Eigenvalues of the Gram matrix relative to the largest that are taken for rounding errors.
_RANK = 1e-12


def tangent_margin(estimator, X, y) -> float:
    """Return the margin of classified rows under the tangent features of a classifier's network.

    Parameters
    ----------
    estimator : ImplicitReLUClassifier, or a Pipeline that ends in one
        Fitted. The gradients are those of its network as it was fitted; with ``max_iter=1`` and a large
        ``alpha`` that is the start.
    X : array or sparse matrix of shape (n, d)
        Inputs, of the whole pipeline where it is one.
    y : array of shape (n,)
        Their classes, all of them known to the estimator.

    Returns
    -------
    margin : float
        The largest margin, relative to the root mean square norm of the features that are separated: 0
        where they are not separable, 1 where a single direction fits all of them exactly.

    Raises
    ------
    ValueError
        If the estimator is not a fitted classifier, y is not one class for each row of X, or has one that the
        estimator was not fitted on.
    """
    estimator, X = taken_apart(estimator, X)
    y = _checked_classes(estimator, X, y)
    codes = np.searchsorted(estimator.classes_, y)
    known = codes < len(estimator.classes_)
    if not known.all() or not np.array_equal(estimator.classes_[codes], y):
        unknown = np.setdiff1d(y, estimator.classes_)
        raise ValueError(f"y has classes that the estimator was not fitted on: {unknown}.")
    K = np.asarray(tangent_kernel(estimator, X), dtype=np.float64)
    return gram_margin(_difference_gram(K, codes, len(estimator.classes_)))


def _checked_classes(estimator, X, y) -> np.ndarray:
    """Return the classes of the rows, one each."""
    if not hasattr(estimator, "classes_"):
        raise ValueError(
            f"The margin is that of classes, which this {type(estimator).__name__} does not have: expected a "
            "fitted ImplicitReLUClassifier."
        )
    y, n = np.asarray(y), X.shape[0] if hasattr(X, "shape") else len(X)
    if y.shape != (n,):
        raise ValueError(f"y must have shape ({n},), the class of each row of X; got shape {y.shape}.")
    return y


def gram_margin(Q: np.ndarray) -> float:
    """Return min √(pᵀQp) over the simplex, relative to the root mean square of diag Q."""
    values, vectors = eigh(Q / np.mean(np.diag(Q)))
    kept = values > _RANK * values[-1]
    R = np.sqrt(values[kept])[:, None] * vectors[:, kept].T
    # min uᵀQu + (1ᵀu − 1)² over u ≥ 0 has its minimum on the ray of the p that is sought
    u, _ = nnls(np.vstack([R, np.ones(len(Q))]), np.append(np.zeros(len(R)), 1.0))
    return float(np.linalg.norm(R @ (u / u.sum())))


def _difference_gram(K: np.ndarray, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the Gram matrix of ∇f_{y_i} − ∇f_c for every row and every other class c."""
    n = len(codes)
    if n_classes == 2:  # one output, the log-odds of the second class
        signs = np.where(codes == 1, 1.0, -1.0)
        return signs[:, None] * K * signs
    rows = np.repeat(np.arange(n), n_classes - 1)
    other = np.concatenate([np.delete(np.arange(n_classes), code) for code in codes])
    own, rival = codes[rows] * n + rows, other * n + rows
    left = K[own] - K[rival]
    return left[:, own] - left[:, rival]
