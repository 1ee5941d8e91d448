r"""The ReLU implicit network: its weights, their start, and its forward pass.

For one row x̃ of the augmented input, width m, s = γ/√m and σ(t) = max(t, 0) [1]_::

    φ = σ(W x̃)/√m          feature map
    z = σ(s A z + φ)        equilibrium
    f = U z + V φ           prediction

At finite depth L, z_L of the recursion z_l = σ(s A z_{l−1} + φ) from z_0 = 0 takes the place of the
equilibrium, which is its limit: one layer is z_1 = φ.

Everything is batched: rows are samples. Shapes used throughout the package:

=========== ============ =====================================================
``X``       (n, p)       augmented and scaled inputs x̃, dense or CSR
``A``       (m, m)       weights of the equilibrium
``W``       (m, p)       weights of the feature map
``U, V``    (k, m)       output weights
``Phi, Z``  (n, m)       feature map, and equilibrium (or last layer)
``F``       (n, k)       predictions
=========== ============ =====================================================

References
----------
.. [1] T. Gao, H. Liu, J. Liu, H. Rajan and H. Gao, "A global convergence theory for deep ReLU
   implicit networks via over-parameterization", ICLR 2022, arXiv:2110.05645.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite, sqrt
from numbers import Integral
from typing import NamedTuple

import numpy as np

from .._numerics.blocks import FEW_ROWS
from .._numerics.spectral import operator_norm
from ..equilibrium import EquilibriumOperator, EquilibriumOptions, EquilibriumResult, solve
from ..equilibrium.recursion import recur

INITS = ("gaussian", "bernoulli")
# What is derived of the weights.
_DERIVED = ("theta", "operator", "feature_weights")
OUTPUT_INITS = ("centred", "gaussian", "zero")


def units(width: float, n: int) -> int:
    """Return the width m that a ``width`` means for n rows: an int is m itself, a float a multiple of n."""
    return int(width) if isinstance(width, Integral) else max(1, round(width * n))


class Shape(NamedTuple):
    """Sizes of a network: width m, inputs p (augmented) and outputs k."""

    m: int
    p: int
    k: int

    @property
    def n_weights(self) -> int:
        """Number of weights in A, W, U and V together."""
        return self.n_inner + 2 * self.k * self.m

    @property
    def n_inner(self) -> int:
        """Number of weights in A and W, which come first in the flat vector."""
        return self.m * (self.m + self.p)


@dataclass(frozen=True, slots=True)
class Layers:
    """What the forward pass computes for a set of rows.

    Attributes
    ----------
    X : (n, p) array or CSR array
        Augmented inputs.
    Phi, Z : (n, m) arrays
        Feature map, and equilibrium or last layer.
    """

    X: np.ndarray
    Phi: np.ndarray
    Z: np.ndarray

    def take(self, rows) -> Layers:
        """Return the same layers for a subset of the rows."""
        return Layers(self.X[rows], self.Phi[rows], self.Z[rows])

    def out_of_range(self) -> np.ndarray:
        """Mark rows that are too large to train on, (n,): the kernel holds products of four entries of Z."""
        return ~(self.Z.max(axis=1) <= np.finfo(self.Z.dtype).max ** 0.25)


class Network:
    """A ReLU implicit network: four weight matrices, or one flat vector with named views.

    Parameters
    ----------
    A, W, U, V : arrays of shapes (m, m), (m, p), (k, m) and (k, m)
        The weights.
    gamma : float
        Scale γ of the equilibrium's weights.
    depth : int or float, default=inf
        Number of layers L; infinite for the equilibrium.

    Notes
    -----
    A network is a value: no method changes its weights. What is derived from them (the flat vector,
    the scaled operator of the equilibrium) is made once, at first use.
    """

    def __init__(self, A, W, U, V, *, gamma: float, depth: float = inf):
        self.A, self.W, self.U, self.V = A, W, U, V
        self.gamma, self.depth = gamma, depth
        self.shape = Shape(m=A.shape[0], p=W.shape[1], k=U.shape[0])

    @classmethod
    def from_theta(cls, theta: np.ndarray, shape: Shape, gamma: float, depth: float = inf) -> Network:
        """View a flat vector (A, W, U and V one after the other, row by row) as a network."""
        network = cls(*weight_views(theta, shape), gamma=gamma, depth=depth)
        network.theta = theta  # not a copy of its views
        return network

    def astype(self, dtype) -> Network:
        """Return the network in another precision: itself, if it is in it already."""
        if self.theta.dtype == dtype:
            return self
        return self.with_theta(self.theta.astype(dtype))

    def with_theta(self, theta: np.ndarray) -> Network:
        """Return the network with other weights, all of them."""
        return Network.from_theta(theta, self.shape, self.gamma, self.depth)

    def with_outputs(self, U: np.ndarray, V: np.ndarray) -> Network:
        """Return the network with other output weights."""
        return Network(self.A, self.W, U, V, gamma=self.gamma, depth=self.depth)

    @cached_property
    def theta(self) -> np.ndarray:
        """All weights as one flat vector, (n_weights,)."""
        return np.concatenate([np.ravel(part) for part in (self.A, self.W, self.U, self.V)])

    def __getstate__(self):
        """Leave out what is derived: a network is sent to another process as its weights."""
        return {name: part for name, part in vars(self).items() if name not in _DERIVED}

    def __sizeof__(self) -> int:
        """Return the size with the weights, by which Dask decides what to send only once."""
        return super().__sizeof__() + sum(part.nbytes for part in (self.A, self.W, self.U, self.V))

    @property
    def s(self) -> float:
        """The factor s = γ/√m in front of A."""
        return self.gamma / sqrt(self.shape.m)

    @cached_property
    def operator(self) -> EquilibriumOperator:
        """What the layers and the equilibrium solvers need of A, made once."""
        return EquilibriumOperator(self.A, self.gamma)

    def contraction(self) -> float:
        """Return ‖sA‖₂ (see `operator_norm`)."""
        norm, _ = operator_norm(self.A, tol=1e-8)
        return self.s * norm

    @cached_property
    def feature_weights(self) -> np.ndarray:
        """Wᵀ/√m, kept for single rows, which would take longer to scale it than to multiply by it; (p, m)."""
        return np.ascontiguousarray(self._scaled_W().T)

    def _scaled_W(self) -> np.ndarray:
        return self.W / self.W.dtype.type(sqrt(self.shape.m))

    def feature_map(self, X) -> np.ndarray:
        """Return Φ = σ(X Wᵀ)/√m, (n, m)."""
        Phi = np.asarray(X @ (self.feature_weights if X.shape[0] <= FEW_ROWS else self._scaled_W().T))
        return np.maximum(Phi, 0, out=Phi)

    def forward(
        self, X, options: EquilibriumOptions, *, Z0: np.ndarray | None = None, norm_bound: float | None = None
    ) -> tuple[Layers, EquilibriumResult]:
        """Compute feature map and equilibrium of the rows of X; at finite depth, exactly its layers.

        Parameters
        ----------
        X : (n, p) array or CSR array
            Augmented inputs.
        options : EquilibriumOptions
            By which solver, how accurately and how long; not read at finite depth.
        Z0 : (n, m) array or None
            Where the equilibrium is searched from; zero by default.
        norm_bound : float or None
            What ‖sA‖₂ is known to be at most.

        Returns
        -------
        layers : Layers
            X, Φ and Z.
        result : EquilibriumResult
            How Z was reached, row by row.
        """
        Phi = self.feature_map(X)
        if isfinite(self.depth):
            result = recur(self.operator, Phi, int(self.depth))
        else:
            result = solve(
                self.operator, Phi, solver=options.solver, tol=options.tol, max_iter=options.max_iter,
                Z0=Z0, norm_bound=norm_bound,
            )  # fmt: skip
        return Layers(X, Phi, result.solution), result

    def output(self, layers: Layers) -> np.ndarray:
        """Return F = Z Uᵀ + Φ Vᵀ, (n, k)."""
        return layers.Z @ self.U.T + layers.Phi @ self.V.T


def weight_views(theta: np.ndarray, shape: Shape):
    """Return A, W, U and V as views of the flat vector ``theta``."""
    m, p, k = shape
    parts, start = [], 0
    for rows, columns in ((m, m), (m, p), (k, m), (k, m)):
        stop = start + rows * columns
        parts.append(theta[start:stop].reshape(rows, columns))
        start = stop
    return tuple(parts)


def draw_network(
    shape: Shape,
    gamma: float,
    rng: np.random.RandomState,
    *,
    init: str = "gaussian",
    output_init: str = "centred",
    dtype=np.float64,
    depth: float = inf,
) -> Network:
    """Draw the random start of [1]_.

    Parameters
    ----------
    shape : Shape
        Sizes of the network.
    gamma : float
        Scale γ.
    rng : numpy.random.RandomState
        Source of the draws. A, W, U and V are drawn in this order, in float64 whatever the
        ``dtype``, so that a seed means the same network in every precision.
    init : {"gaussian", "bernoulli"}, default="gaussian"
        Entries of A and W: standard normal, or ±1 with equal probability.
    output_init : {"centred", "gaussian", "zero"}, default="centred"
        U and V: standard normal ("centred" and "gaussian"), or zero.
    dtype : numpy dtype, default=float64
        Precision of the weights.
    depth : int or float, default=inf
        Number of layers.
    """
    theta = np.empty(shape.n_weights, dtype=dtype)
    A, W, U, V = weight_views(theta, shape)
    for part in (A, W):
        if init == "bernoulli":
            part[...] = 2 * rng.randint(0, 2, size=part.shape) - 1
        else:
            part[...] = rng.standard_normal(part.shape)
    for part in (U, V):
        part[...] = 0 if output_init == "zero" else rng.standard_normal(part.shape)
    return Network.from_theta(theta, shape, gamma, depth)
