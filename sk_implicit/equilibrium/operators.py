"""The matrix of an equilibrium in the forms its solvers need, computed once."""

from __future__ import annotations

import functools
import math
import threading

import numpy as np


class EquilibriumOperator:
    """The map z ↦ s z Aᵀ (and its adjoint λ ↦ s λ A), s = γ/√m, with cached copies of A.

    `A` itself is kept by reference, and must not change while the operator is in use. Scaled copies
    (up to a width of 2048 in its own precision, too) and factorisations are made when a solver first
    asks for them. Pass the operator in place of `A` when several solves share one matrix.

    Parameters
    ----------
    A : ndarray of shape (m, m)
        Weights of the implicit layer, float32 or float64.
    gamma : float
        The scalar γ > 0.
    norm_bound : float, default=inf
        An upper bound of the norm of sA, if you have one. Below 1, a row that is solved moves on to
        its image F(z), which is there already and closer; the residual reported is then a bound.
    """

    def __init__(self, A: np.ndarray, gamma: float, norm_bound: float = math.inf) -> None:
        A = np.asarray(A)
        if A.ndim != 2 or A.shape[0] != A.shape[1] or A.shape[0] == 0:
            raise ValueError(f"A must be a square matrix of shape (m, m); got shape {A.shape}.")
        if A.dtype not in (np.float32, np.float64):
            if A.dtype.kind not in "iuf":
                raise ValueError(f"A must hold real numbers; got dtype {A.dtype}.")
            A = A.astype(np.float64)
        if not (math.isfinite(gamma) and gamma > 0):
            raise ValueError(f"gamma must be a positive finite number; got {gamma!r}.")
        if not (A.flags.c_contiguous or A.flags.f_contiguous):
            A = np.ascontiguousarray(A)
        largest = max(abs(float(A.max())), abs(float(A.min())))
        if not math.isfinite(largest):
            raise ValueError("A contains NaN or infinity; every entry must be finite.")
        self.A = A
        self.gamma = float(gamma)
        self.norm_bound = float(norm_bound)
        self.m = A.shape[0]
        self.scale = self.gamma / math.sqrt(self.m)
        # sA must be representable in float32 with room for sums over m terms.
        self.fits_float32 = largest * self.scale < 1e30
        self._cache: dict[object, np.ndarray] = {}
        self._lock = threading.RLock()  # making one array may need another

    @functools.cached_property
    def relative_norm(self) -> float:
        """Frobenius norm of sA over that of the identity: near γ where A has entries of variance one."""
        with np.errstate(over="ignore"):  # infinite is large, too
            return float(np.linalg.norm(self.A)) * self.scale / math.sqrt(self.m)

    def __reduce__(self):
        return EquilibriumOperator, (self.A, self.gamma, self.norm_bound)

    def cached(self, key: object, make) -> np.ndarray:
        """Return the array stored under `key`, computing it with `make()` the first time."""
        with self._lock:
            if key not in self._cache:
                self._cache[key] = make()
            return self._cache[key]

    def has(self, key: object) -> bool:
        """Whether the array stored under `key` is there already."""
        return key in self._cache

    def scaled(self, dtype: np.dtype, adjoint: bool) -> np.ndarray:
        """Return M of shape (m, m) with M = sAᵀ, or sA for the adjoint, so that F(z) = σ(zM + c)."""
        dtype = np.dtype(dtype)
        sA = self.cached(("scaled", dtype), lambda: self._scale(dtype))
        return sA if adjoint else sA.T

    def by_rows(self, dtype: np.dtype, adjoint: bool) -> np.ndarray:
        """Return M with its rows in one piece, as single rows are multiplied by it the fastest."""
        M = self.scaled(dtype, adjoint)
        if M.flags.c_contiguous:
            return M
        return self.cached(("rows", M.dtype, adjoint), lambda: np.ascontiguousarray(M))

    def _scale(self, dtype: np.dtype) -> np.ndarray:
        sA = np.empty_like(self.A, dtype=dtype)
        # Multiplied in the higher of the two precisions and rounded once; before NumPy 2 a scalar had no say.
        wide = np.result_type(self.A.dtype, dtype)
        np.multiply(self.A, wide.type(self.scale), out=sA, dtype=wide, casting="same_kind")
        return sA
