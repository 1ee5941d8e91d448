"""The three equations as one: z = activate(z M + c), a row per sample.

======== ============= ==================== ==========================
equation M             c                    activate
======== ============= ==================== ==========================
forward  sAᵀ           Φ                    max(·, 0)
adjoint  sA            B                    1[active] ∘ ·
tangent  sAᵀ           R                    1[active] ∘ ·
======== ============= ==================== ==========================

Every solver works on this object, so each is written once and serves all three.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .operators import EquilibriumOperator


@dataclass(slots=True)
class FixedPoint:
    """A block of rows of z = activate(z M + c).

    Attributes
    ----------
    operator : EquilibriumOperator
        The matrix, shared by all blocks.
    adjoint : bool
        Whether M is sA rather than sAᵀ.
    c : ndarray of shape (n, m)
        Right-hand side; never written to.
    active : bool ndarray of shape (n, m) or None
        The fixed activation pattern; None stands for the ReLU.
    n_sharing : int
        Rows, of this block and others, that share what is made of the operator; at least m where it is
        there already.
    norm_bound : float
        What the norm of M is known to be at most; infinite where nothing is known.
    widest_copy : int
        Width up to which products are taken with a scaled copy of A in its own precision. The copy saves a
        pass over every product, and takes as much memory as A: 32 MB at this width.
    """

    operator: EquilibriumOperator
    adjoint: bool
    c: np.ndarray
    active: np.ndarray | None
    n_sharing: int
    norm_bound: float = math.inf
    widest_copy: int = 2048

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width of the block."""
        return self.c.shape

    def take(self, rows: np.ndarray) -> FixedPoint:
        """Return the problem of some of the rows (indices or a mask)."""
        active = None if self.active is None else self.active[rows]
        shared = (self.n_sharing, self.norm_bound, self.widest_copy)
        return FixedPoint(self.operator, self.adjoint, self.c[rows], active, *shared)

    def product(self, Z: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Write z M into `out`, in the precision of `c`."""
        A = self.operator.A
        if A.dtype == self.c.dtype and len(A) > self.widest_copy:
            np.matmul(Z, A if self.adjoint else A.T, out=out)
            out *= out.dtype.type(self.operator.scale)
        else:
            np.matmul(Z, self.operator.scaled(self.c.dtype, self.adjoint), out=out)
        return out

    def preactivation(self, Z: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Write z M + c into `out`: one product in the precision of `c`."""
        self.product(Z, out)
        out += self.c
        return out

    def activate(self, G: np.ndarray) -> np.ndarray:
        """Return max(g, 0), or 1[active] ∘ g, of preactivations (n, m)."""
        return np.maximum(G, 0) if self.active is None else G * self.active

    def image(self, Z: np.ndarray) -> np.ndarray:
        """Return F(z) = activate(z M + c) of every row, one product."""
        return self.activate(self.preactivation(Z, out=np.empty_like(self.c)))
