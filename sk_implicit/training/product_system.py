"""Systems of the tangent kernel that are solved by products with J and Jᵀ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..function_space.cg import conjugate_gradients
from ..function_space.losses import Curvature
from ..network.tangent import TangentFeatures


class Key(NamedTuple):
    """What a factorisation was made for."""

    curvature: Curvature
    shift: float
    ratio: float

    def is_that_of(self, other: Key | None) -> bool:
        """Whether a factorisation made for ``other`` serves."""
        return (
            other is not None
            and self[1:] == other[1:]
            and np.array_equal(self.curvature.scale, other.curvature.scale)
        )  # the direction follows from the scale


class ProductSystem(ABC):
    """Conjugate gradients on products with J and Jᵀ; a subclass says with what, and until when.

    Parameters
    ----------
    tangent : TangentFeatures
        The Jacobian's factors.
    max_iter : int
        The most products.

    Attributes
    ----------
    n_products : int
        Products so far.
    """

    def __init__(self, tangent: TangentFeatures, max_iter: int):
        self.tangent, self.max_iter = tangent, max_iter
        self.n_products = 0
        self._precondition: Callable | None = None
        self._of: Key | None = None

    @abstractmethod
    def preconditioner(self, curvature: Curvature, shift: float, ratio: float = 1.0) -> Callable:
        """Return what stands for (LᵀKL + shift I)⁻¹, a function of (n, k) arrays."""

    @abstractmethod
    def accept(self, b: np.ndarray, shift: float) -> Callable:
        """Return whether a solution will do, a function of it and its residual."""

    def solve(self, b: np.ndarray, curvature: Curvature, shift: float, ratio: float = 1.0) -> np.ndarray:
        """Return v = (LᵀKL + shift I)⁻¹ b, (n, k), with K = J D Jᵀ."""
        key = Key(curvature, shift, ratio)
        if not key.is_that_of(self._of):
            self._precondition = self.preconditioner(curvature, shift, ratio)
            self._of = key
        dtype, n_inner = self.tangent.dtype, self.tangent.network.shape.n_inner

        def product(V: np.ndarray) -> np.ndarray:
            self.n_products += 1
            theta = self.tangent.vjp(curvature.root(V).astype(dtype, copy=False))
            if ratio != 1:
                theta[n_inner:] *= ratio
            return curvature.root_t(self.tangent.jvp(theta)) + shift * V

        return conjugate_gradients(product, self._precondition, b, self.accept(b, shift), self.max_iter)
