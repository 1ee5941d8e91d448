"""‖sA‖₂ along training: Lanczos iterations where it is asked for, bounds elsewhere.

With ‖sA‖₂ = c at one point and the right singular vector v there, another point has

    ‖sA′v‖ ≤ ‖sA′‖₂ ≤ c + s ‖A′ − A‖_F.

That the norm is below a limit can be seen from the end on the right alone, and while both ends are close, as
after a step of gradient descent, the one on the left is an estimate whose error is of second order.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from .._numerics.blocks import few_rows
from .._numerics.spectral import operator_norm
from ..network import Network


class Contraction:
    """‖sA‖₂ of a network.

    Class attributes: ``gap`` is the largest gap between the two ends, relative, at which the lower one is
    taken; ``room`` is what a bound is given beyond what Lanczos found, which approaches a norm from below.

    Parameters
    ----------
    network : Network
        The network.
    near : Contraction or None
        That of a network with weights nearby.

    Attributes
    ----------
    upper : float
        What the norm is at most, given that Lanczos iterations have found others on the way; infinite where
        there were none.
    """

    gap: ClassVar[float] = 2e-3
    room: ClassVar[float] = 1.01

    def __init__(self, network: Network, near: Contraction | None = None) -> None:
        self.network = network
        self.upper, self._vector = np.inf, None
        self._value = np.nan
        if near is not None:
            self.upper = near.upper + network.s * _distance(network.A, near.network.A)
            self._vector = near._vector

    @property
    def value(self) -> float:
        """The norm: by Lanczos or, to 0.2 % from below, by a product with a singular vector nearby."""
        if np.isnan(self._value):
            known = 0.0
            if self._vector is not None:
                known = float(np.linalg.norm(self._matrix() @ self._vector))
            if self.upper <= (1 + self.gap) * known:
                self._value = known
            else:
                self.measure()
        return self._value

    def measure(self) -> None:
        """Find the norm by Lanczos."""
        self._value, self._vector = operator_norm(self._matrix(), v0=self._vector)
        self.upper = self._value

    def _matrix(self) -> np.ndarray:
        """Return sA in single precision, which the equilibria need too, where that has the range."""
        operator = self.network.operator
        single = np.dtype(np.float32) if operator.fits_float32 else self.network.A.dtype
        return operator.scaled(single, adjoint=True)

    @property
    def bound(self) -> float:
        """What the norm is taken to be below, with room for what Lanczos may have missed."""
        return self.room * self.upper

    def is_below(self, limit: float) -> bool:
        """Whether the norm is below a limit; where bounds do not tell, it is found by Lanczos."""
        if self.upper < limit:
            return True
        if self.upper != self._value:
            self.measure()
        return self._value < limit


def _distance(A: np.ndarray, B: np.ndarray) -> float:
    """Return ‖A − B‖_F."""
    squared = 0.0
    for rows in few_rows(A):
        change = A[rows] - B[rows]
        squared += float(np.vdot(change, change))
    return squared**0.5
