r"""Derivatives of the network: adjoint equilibrium, gradients, tangent features, tangent kernel.

With D = 1[Z > 0], the active pattern of the equilibrium, and G = 1[Φ > 0], that of the feature map,
implicit differentiation of z = σ(s A z + φ) gives for output c, with u_c and v_c the rows of U and V::

    Λ^c = D ∘ (s Λ^c A + u_c)                  adjoint equilibrium, (n, m)
    E^c = G ∘ (Λ^c + v_c)

    ∂f_ic/∂U_c = z_i,   ∂f_ic/∂V_c = φ_i,   ∂f_ic/∂A = s λ_i^c z_iᵀ,   ∂f_ic/∂W = e_i^c x̃_iᵀ/√m

A row of the Jacobian J is therefore given by four short vectors, and J is never formed. The tangent
kernel K = J Jᵀ has, for outputs c and c', the block ::

    K_cc' = δ_cc' (ΦΦᵀ + ZZᵀ) + s² (Λ^c Λ^c'ᵀ)∘(ZZᵀ) + (E^c E^c'ᵀ)∘(X̃X̃ᵀ)/m.

The adjoint is linear in its right-hand side, so the adjoint for any C (n, k) is Σ_c C_ic λ_i^c: with
the k adjoints stored, products with J, Jᵀ and K need no further solve, for any number of outputs.

Where ReLU has a kink its derivative is taken as 0, so a unit that is exactly 0 does not move.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import sqrt

import numpy as np
from scipy.sparse import issparse

from .equilibrium import EquilibriumResult, solve_adjoint
from .network import Layers, Network, weight_views

# Entries of an (n, m) array that is worked on at a time.
_BLOCK_ENTRIES = 2_000_000


def adjoint(
    network: Network,
    layers: Layers,
    B: np.ndarray,
    *,
    tol: float,
    solver: str = "auto",
    max_iter: int = 500,
    start=None,
) -> EquilibriumResult:
    """Solve Λ = D ∘ (s Λ A + B) for the given right-hand side, (n, m) or one row (m,)."""
    return solve_adjoint(
        network.operator, B, layers.Z > 0,
        gamma=network.gamma, solver=solver, tol=tol, max_iter=max_iter, Z0=start,
    )  # fmt: skip


def pull_back(network: Network, layers: Layers, C: np.ndarray, Lambda_C: np.ndarray) -> np.ndarray:
    """Return Jᵀ C as a flat vector, given the adjoint Λ_C of the right-hand side C U.

    Parameters
    ----------
    network : Network
        The network.
    layers : Layers
        Its forward pass on n rows.
    C : (n, k) array
        Coefficients of the outputs.
    Lambda_C : (n, m) array
        Solution of Λ = D ∘ (s Λ A + C U).

    Returns
    -------
    theta : (n_weights,) array
        s Λ_Cᵀ Z, (G ∘ (Λ_C + C V))ᵀ X̃/√m, Cᵀ Z and Cᵀ Φ, one after the other.
    """
    theta = np.empty(network.shape.n_weights, dtype=network.theta.dtype)
    dA, dW, dU, dV = weight_views(theta, network.shape)
    np.matmul(Lambda_C.T, layers.Z, out=dA)
    dA *= network.s
    E = C @ network.V
    E += Lambda_C
    E *= layers.Phi > 0
    dW[...] = (layers.X.T @ E).T
    dW /= sqrt(network.shape.m)
    np.matmul(C.T, layers.Z, out=dU)
    np.matmul(C.T, layers.Phi, out=dV)
    return theta


@dataclass(frozen=True, slots=True)
class TangentFeatures:
    """The Jacobian of the predictions on n rows, held as its factors.

    Attributes
    ----------
    network : Network
        The network the derivatives are taken at.
    layers : Layers
        Its forward pass on the n rows.
    Lambda : (k, n, m) array
        The adjoint equilibrium of each output.
    """

    network: Network
    layers: Layers
    Lambda: np.ndarray

    @classmethod
    def at(cls, network, layers, *, tol, solver="auto", max_iter=500, start=None) -> TangentFeatures:
        """Solve the adjoint equilibria, warm-started from those of a nearby network if given."""
        shape = (network.shape.k, *layers.Z.shape)
        Lambda = np.empty(shape, dtype=layers.Z.dtype)
        for c, rows in product(range(network.shape.k), row_blocks(*layers.Z.shape)):
            Lambda[c, rows] = adjoint(
                network,
                layers.take(rows),
                network.U[c],
                tol=tol,
                solver=solver,
                max_iter=max_iter,
                start=None if start is None else start.Lambda[c, rows],
            ).solution
        return cls(network, layers, Lambda)

    def blocks(self) -> Iterator[tuple[slice, TangentFeatures]]:
        """Walk through the rows in blocks, so that no temporary grows with their number."""
        for rows in row_blocks(*self.layers.Z.shape):
            yield rows, self.take(rows)

    def take(self, rows) -> TangentFeatures:
        """Return the Jacobian's factors for a subset of the rows."""
        return TangentFeatures(self.network, self.layers.take(rows), self.Lambda[:, rows])

    def E(self, c: int) -> np.ndarray:
        """Return E^c = G ∘ (Λ^c + v_c), (n, m)."""
        return (self.Lambda[c] + self.network.V[c]) * (self.layers.Phi > 0)

    def vjp(self, C: np.ndarray) -> np.ndarray:
        """Return Jᵀ C, a flat weight vector, for C (n, k)."""
        theta = np.zeros(self.network.shape.n_weights, dtype=self.network.theta.dtype)
        for rows, block in self.blocks():
            theta += block._vjp(C[rows])
        return theta

    def _vjp(self, C: np.ndarray) -> np.ndarray:
        Lambda_C = np.matmul(C[:, None, :], self.Lambda.swapaxes(0, 1))[:, 0]  # Σ_c C_ic λ_i^c
        return pull_back(self.network, self.layers, C, Lambda_C)

    def jvp(self, theta: np.ndarray) -> np.ndarray:
        """Return J θ, (n, k), for a flat weight vector θ."""
        return np.concatenate([block._jvp(theta) for _, block in self.blocks()])

    def _jvp(self, theta: np.ndarray) -> np.ndarray:
        network, layers = self.network, self.layers
        dA, dW, dU, dV = weight_views(theta, network.shape)
        F = layers.Z @ dU.T + layers.Phi @ dV.T
        ZdA = layers.Z @ dA.T
        ZdA *= network.s
        XdW = np.asarray(layers.X @ dW.T)
        XdW *= layers.Phi > 0
        XdW /= sqrt(network.shape.m)
        ZdA += XdW  # Λ^c meets both, v_c the second alone
        F += np.matmul(self.Lambda.swapaxes(0, 1), ZdA[:, :, None])[:, :, 0]
        F += XdW @ network.V.T
        return F

    def kernel_diagonal(self) -> np.ndarray:
        """Return the diagonal of K, (n, k)."""
        return np.concatenate([block._kernel_diagonal() for _, block in self.blocks()])

    def _kernel_diagonal(self) -> np.ndarray:
        layers, network = self.layers, self.network
        z2 = np.einsum("nm,nm->n", layers.Z, layers.Z)
        phi2 = np.einsum("nm,nm->n", layers.Phi, layers.Phi)
        x2 = squared_row_norms(layers.X)
        diagonal = np.empty((len(z2), network.shape.k), dtype=layers.Z.dtype)
        for c in range(network.shape.k):
            lambda2 = np.einsum("nm,nm->n", self.Lambda[c], self.Lambda[c])
            E = self.E(c)
            e2 = np.einsum("nm,nm->n", E, E)
            diagonal[:, c] = phi2 + z2 + network.s**2 * lambda2 * z2 + e2 * x2 / network.shape.m
        return diagonal


def row_blocks(n: int, m: int) -> Iterator[slice]:
    """Split n rows of width m into blocks of equal size that stay near the cache; at least one."""
    n_blocks = max(-(-n * m // _BLOCK_ENTRIES), 1)
    step = max(-(-n // n_blocks), 1)
    for start in range(0, max(n, 1), step):
        yield slice(start, start + step)


def squared_row_norms(X) -> np.ndarray:
    """Return ‖x‖² of every row, dense or sparse."""
    if issparse(X):
        return np.asarray(X.multiply(X).sum(axis=1)).ravel()
    return np.einsum("np,np->n", X, X)


def _gram(X, Y) -> np.ndarray:
    """Return X Yᵀ as a dense array; NumPy takes the symmetric product where Y is X."""
    product = X @ Y.T
    return product.toarray() if issparse(product) else product


def kernel_block(
    left: TangentFeatures, right: TangentFeatures | None = None, c: int = 0, c2: int | None = None
) -> np.ndarray:
    """Return the block K_cc' of the tangent kernel, four matrix products.

    Parameters
    ----------
    left : TangentFeatures
        The rows of the block, n of them.
    right : TangentFeatures or None, default=None
        Its columns, n' of them; ``left`` itself by default.
    c, c2 : int
        Output of the rows and of the columns; ``c2`` is ``c`` by default.

    Returns
    -------
    K : (n, n') array
        δ_cc' (ΦΦᵀ + ZZᵀ) + s² (Λ^c Λ^c'ᵀ)∘(ZZᵀ) + (E^c E^c'ᵀ)∘(X̃X̃ᵀ)/m.
    """
    right = left if right is None else right
    c2 = c if c2 is None else c2
    network, rows, columns = left.network, left.layers, right.layers

    K = _gram(left.Lambda[c], right.Lambda[c2])
    K *= network.s**2
    if c == c2:
        K += 1
    K *= _gram(rows.Z, columns.Z)
    E = left.E(c)
    E2 = E if right is left and c2 == c else right.E(c2)
    term = _gram(E, E2)
    term *= _gram(rows.X, columns.X)
    term /= network.shape.m
    K += term
    if c == c2:
        K += _gram(rows.Phi, columns.Phi)
    return K


def joint_kernel(left: TangentFeatures, right: TangentFeatures | None = None) -> np.ndarray:
    """Return the tangent kernel over all outputs, (k n, k n'), output by output."""
    outputs = range(left.network.shape.k)
    if len(outputs) == 1:
        return kernel_block(left, right)
    return np.block([[kernel_block(left, right, c, c2) for c2 in outputs] for c in outputs])


def mean_kernel(left: TangentFeatures, right: TangentFeatures | None = None) -> np.ndarray:
    """Return the tangent kernel averaged over the outputs, (n, n')."""
    outputs = left.network.shape.k
    K = kernel_block(left, right)
    for c in range(1, outputs):
        K += kernel_block(left, right, c)
    if outputs > 1:
        K /= outputs
    return K


def mean_diagonal(tangent: TangentFeatures, weights: np.ndarray) -> float:
    """Return the weighted mean of diag K over rows and outputs: the scale of penalties and damping."""
    diagonal = tangent.kernel_diagonal().mean(axis=1, dtype=np.float64)
    return float(np.average(diagonal, weights=weights))
