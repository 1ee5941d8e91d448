"""‖sA‖₂ along training: Lanczos iterations where it may have changed, a product with a vector elsewhere.

A step of gradient descent moves A by little. With ‖sA‖₂ = c at an earlier point and the right singular
vector v there,

    ‖sA′v‖ ≤ ‖sA′‖₂ ≤ c + s ‖A′ − A‖_F,

and while the two ends are close, no iteration is needed: the estimate from below is in error by the
second order of the change only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..equilibrium.problem import few_rows
from ..network import Network
from ..spectral import operator_norm

# Largest gap between the two ends, relative, at which the lower one is taken.
_GAP = 2e-3
# Lanczos approaches a norm from below: what a bound of it is given beyond.
_ROOM = 1.01


class Contraction(NamedTuple):
    """‖sA‖₂ of a network.

    Attributes
    ----------
    value : float
        The norm, by Lanczos or, to 0.2 %, from below by a product with ``vector``.
    upper : float
        What it is below, given that of the network where Lanczos iterations were last taken.
    vector : (m,) array
        Right singular vector there, a warm start.
    """

    value: float
    upper: float
    vector: np.ndarray

    @property
    def bound(self) -> float:
        """What the norm is taken to be below, with room for what Lanczos may have missed."""
        return _ROOM * self.value


def contraction(network: Network, near: tuple[Network, Contraction] | None, limit: float) -> Contraction:
    """Return ‖sA‖₂ of a network.

    Parameters
    ----------
    network : Network
        The network.
    near : tuple of Network and Contraction, or None
        A network with weights nearby, and its norm.
    limit : float
        Where ‖sA‖₂ may be beyond this, it is found by Lanczos.
    """
    operator = network.operator
    # The equilibria need this copy too, and products with a vector take what reading the matrix takes.
    precision = np.dtype(np.float32) if operator.fits_float32 else network.A.dtype
    sA = operator.scaled(precision, adjoint=True)
    vector = None
    if near is not None:
        other, known = near
        vector = known.vector
        upper = known.upper + network.s * _distance(network.A, other.A)
        if upper < limit:
            value = float(np.linalg.norm(sA @ vector))
            if upper <= (1 + _GAP) * value:
                return Contraction(value, upper, vector)
    value, vector = operator_norm(sA, v0=vector)
    return Contraction(value, value, vector)


def _distance(A: np.ndarray, B: np.ndarray) -> float:
    """Return ‖A − B‖_F."""
    squared = 0.0
    for rows in few_rows(A):
        change = A[rows] - B[rows]
        squared += float(np.vdot(change, change))
    return squared**0.5
