r"""Derivatives of the network: tangent features, tangent kernel.

With Λ^c the adjoint of output c (`network.adjoint`), G = 1[Φ > 0] the active pattern of the feature map,
and u_c and v_c the rows of U and V::

    E^c = G ∘ (Λ^c + v_c)

    ∂f_ic/∂U_c = z_i,   ∂f_ic/∂V_c = φ_i,   ∂f_ic/∂A = s λ_i^c z_iᵀ,   ∂f_ic/∂W = e_i^c x̃_iᵀ/√m

A row of the Jacobian J is therefore given by four short vectors, and J is never formed. The tangent
kernel K = J Jᵀ has, for outputs c and c', the block ::

    K_cc' = δ_cc' (ΦΦᵀ + ZZᵀ) + s² (Λ^c Λ^c'ᵀ)∘(ZZᵀ) + (E^c E^c'ᵀ)∘(X̃X̃ᵀ)/m.

The adjoint is linear in its right-hand side, so the adjoint for any C (n, k) is Σ_c C_ic λ_i^c: with
the k adjoints stored, products with J, Jᵀ and K need no further solve, for any number of outputs.

At finite depth the derivative by A is a sum of terms s λ_l z_{l−1}ᵀ, Λ the sum of their λ, and the part of A
in the kernel is s² Σ_ll' (λ_l λ_l'ᵀ)∘(z_{l−1} z_{l'−1}ᵀ), with as many products as there are pairs of terms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.sparse import issparse

from .._numerics.blocks import equal_blocks
from ..equilibrium import EquilibriumOptions
from .adjoint import State, Term, adjoint_terms, gram_by_columns, pairs_are_cheaper, pull_back
from .network import Layers, Network, weight_views


@dataclass(frozen=True, slots=True)
class TangentFeatures:
    """The Jacobian of the predictions on n rows, held as its factors.

    Attributes
    ----------
    network : Network
        The network the derivatives are taken at.
    layers : Layers
        Its forward pass on the n rows.
    terms : tuple of Term
        The derivatives of the outputs by A, see `network.adjoint`.
    """

    network: Network
    layers: Layers
    terms: tuple[Term, ...]

    @classmethod
    def at(
        cls,
        network: Network,
        layers: Layers,
        options: EquilibriumOptions,
        *,
        start: tuple[Term, ...] | None = None,
        norm_bound: float | None = None,
    ) -> TangentFeatures:
        """Solve for the adjoints (see `adjoint_terms`), from the terms of a nearby network if given."""
        terms = adjoint_terms(network, layers, network.U, options, start=start, norm_bound=norm_bound)
        return cls(network, layers, terms)

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs k and rows n."""
        return self.network.shape.k, len(self.layers.Z)

    @property
    def dtype(self) -> np.dtype:
        """Precision of the factors."""
        return self.layers.Z.dtype

    @property
    def inner_terms(self) -> list[tuple[np.ndarray, np.ndarray, State]]:
        """The terms in which A is met, all but that of the first layer: λ, z, and which state z is."""
        factors = ((term.left, term.right(self.layers), term.state) for term in self.terms)
        return [(left, right, state) for left, right, state in factors if right is not None]

    def adjoint(self, c: int) -> np.ndarray:
        """Return Λ^c, (n, m)."""
        first, *others = (term.left[c] for term in self.terms)
        return sum(others, start=first)

    def blocks(self) -> Iterator[tuple[slice, TangentFeatures]]:
        """Walk through the rows in blocks, so that no temporary grows with their number."""
        for rows in equal_blocks(*self.layers.Z.shape):
            yield rows, self.take(rows)

    def take(self, rows) -> TangentFeatures:
        """Return the Jacobian's factors for a subset of the rows."""
        terms = tuple(term.take(rows) for term in self.terms)
        return TangentFeatures(self.network, self.layers.take(rows), terms)

    def E(self, c: int) -> np.ndarray:
        """Return E^c = G ∘ (Λ^c + v_c), (n, m)."""
        return (self.adjoint(c) + self.network.V[c]) * (self.layers.Phi > 0)

    def vjp(self, C: np.ndarray) -> np.ndarray:
        """Return Jᵀ C, a flat weight vector, for C (n, k)."""
        parts = (block._vjp(C[rows]) for rows, block in self.blocks())
        theta = next(parts)
        for part in parts:
            theta += part
        return theta

    def _vjp(self, C: np.ndarray) -> np.ndarray:
        terms = ((_combined(term.left, C), term.right(self.layers)) for term in self.terms)
        return pull_back(self.network, self.layers, C, terms)

    def jvp(self, theta: np.ndarray) -> np.ndarray:
        """Return J θ, (n, k), for a flat weight vector θ."""
        return np.concatenate([block._jvp(theta) for _, block in self.blocks()])

    def _jvp(self, theta: np.ndarray) -> np.ndarray:
        network, layers = self.network, self.layers
        dA, dW, dU, dV = weight_views(theta, network.shape)
        F = layers.Z @ dU.T + layers.Phi @ dV.T
        XdW = np.asarray(layers.X @ dW.T)
        XdW *= layers.Phi > 0
        XdW /= sqrt(network.shape.m)
        F += XdW @ network.V.T
        for term in self.terms:
            moved, right = XdW, term.right(layers)
            if right is not None:
                moved = right @ dA.T
                moved *= network.s
                moved += XdW
            F += np.matmul(term.left.swapaxes(0, 1), moved[:, :, None])[:, :, 0]
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
            E = self.E(c)
            e2 = np.einsum("nm,nm->n", E, E)
            diagonal[:, c] = phi2 + z2 + e2 * x2 / network.shape.m
        if inner := self.inner_terms:
            n_terms, m = len(inner), network.shape.m
            for rows in equal_blocks(len(z2), n_terms * m + min(n_terms, m) ** 2):
                for c in range(network.shape.k):
                    diagonal[rows, c] += network.s**2 * self._inner_squares(c, rows)
        return diagonal

    def _inner_squares(self, c: int, rows: slice) -> np.ndarray:
        """Return ‖Σ λ zᵀ‖² of some rows, the sum over all inner terms of output c."""
        left = np.stack([left[c, rows] for left, _, _ in self.inner_terms], axis=1)  # (n, terms, m)
        right = np.stack([right[rows] for _, right, _ in self.inner_terms], axis=1)
        if left.shape[1] <= left.shape[2]:  # inner products of pairs of terms; else the matrices themselves
            return np.einsum("nst,nst->n", left @ left.swapaxes(1, 2), right @ right.swapaxes(1, 2))
        derivative = left.swapaxes(1, 2) @ right
        return np.einsum("nij,nij->n", derivative, derivative)


def _combined(left: np.ndarray, C: np.ndarray) -> np.ndarray:
    """Return Σ_c C_ic λ_i^c, (n, m)."""
    if len(left) == 1:
        return left[0] * C
    return np.matmul(C[:, None, :], left.swapaxes(0, 1))[:, 0]


def squared_row_norms(X) -> np.ndarray:
    """Return ‖x‖² of every row, dense or sparse."""
    if issparse(X):
        return np.asarray(X.multiply(X).sum(axis=1)).ravel()
    return np.einsum("np,np->n", X, X)


def _gram(X, Y) -> np.ndarray:
    """Return X Yᵀ as a dense array; NumPy takes the symmetric product where Y is X."""
    gram = X @ Y.T
    return gram.toarray() if issparse(gram) else gram


def kernel_block(
    left: TangentFeatures, right: TangentFeatures | None = None, c: int = 0, c2: int | None = None
) -> np.ndarray:
    """Return the block K_cc' of the tangent kernel, four matrix products at an equilibrium.

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
        δ_cc' (ΦΦᵀ + ZZᵀ) + s² (Λ^c Λ^c'ᵀ)∘(ZZᵀ) + (E^c E^c'ᵀ)∘(X̃X̃ᵀ)/m; see the module's head for finite
        depth.
    """
    return _sum_of_blocks(left, left if right is None else right, [(c, c if c2 is None else c2)])


def _sum_of_blocks(
    left: TangentFeatures, right: TangentFeatures, outputs: Sequence[tuple[int, int]]
) -> np.ndarray:
    """Return Σ K_cc' over pairs (c, c') of outputs, (n, n'); they share the products of Z, Φ and X̃."""
    network, rows, columns = left.network, left.layers, right.layers

    def of_outputs(c, c2):
        E = left.E(c)
        return E, E if right is left and c2 == c else right.E(c2)

    K = _without_W(left, right, outputs)
    term = _sum_of_grams(of_outputs(*pair) for pair in outputs)
    term *= _gram(rows.X, columns.X)
    term /= network.shape.m
    K += term
    return K


def _without_W(
    left: TangentFeatures, right: TangentFeatures, outputs: Sequence[tuple[int, int]]
) -> np.ndarray:
    """Return the part of A in Σ K_cc' and those of U and V, δ_cc' (ZZᵀ + ΦΦᵀ), which share products."""
    rows, columns = left.layers, right.layers
    inner, inner2 = left.inner_terms, right.inner_terms
    alike = sum(c == c2 for c, c2 in outputs)
    symmetric = right is left and alike == len(outputs)
    outer = {State.Z: (rows.Z, columns.Z), State.PHI: (rows.Phi, columns.Phi)} if alike else {}

    def of_outputs(c, c2):
        terms = [(scaled[c], z) for scaled, z, _ in inner]
        return terms, terms if symmetric else [(scaled[c2], z) for scaled, z, _ in inner2]

    if pairs_are_cheaper(*of_outputs(*outputs[0])):
        K = np.zeros((len(rows.Z), len(columns.Z)), dtype=rows.Z.dtype)
        for number, (scaled, z, state) in enumerate(inner):
            for number2, (scaled2, z2, state2) in enumerate(inner2):
                if symmetric and number2 < number:
                    continue  # the transpose was added
                part = _sum_of_grams((scaled[c], scaled2[c2]) for c, c2 in outputs)
                part *= left.network.s**2
                if state is state2 and state in outer:  # Z Zᵀ or Φ Φᵀ, made once
                    part += alike
                    del outer[state]
                part *= _gram(z, z2)
                K += part
                if symmetric and number2 > number:
                    K += part.T
    else:
        K = gram_by_columns(*of_outputs(*outputs[0]))
        for c, c2 in outputs[1:]:
            K += gram_by_columns(*of_outputs(c, c2))
        K *= left.network.s**2
    for Y, Y2 in outer.values():
        part = _gram(Y, Y2)
        part *= alike
        K += part
    return K


def _sum_of_grams(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return Σ X Yᵀ of dense arrays."""
    pairs = iter(pairs)
    total = _gram(*next(pairs))
    for X, Y in pairs:
        total += _gram(X, Y)
    return total


def joint_kernel(left: TangentFeatures, right: TangentFeatures | None = None) -> np.ndarray:
    """Return the tangent kernel over all outputs, (k n, k n'), output by output."""
    k, n = left.shape
    if k == 1:
        return kernel_block(left, right)
    K = np.empty((k, n, k, n if right is None else right.shape[1]), dtype=left.dtype)
    for c in range(k):
        for c2 in range(0 if right is not None else c, k):
            K[c, :, c2] = kernel_block(left, right, c, c2)
            if right is None and c2 > c:
                K[c2, :, c] = K[c, :, c2].T
    return K.reshape(k * n, -1)


def mean_kernel(left: TangentFeatures, right: TangentFeatures | None = None) -> np.ndarray:
    """Return the tangent kernel averaged over the outputs, (n, n')."""
    outputs = left.network.shape.k
    K = _sum_of_blocks(left, left if right is None else right, [(c, c) for c in range(outputs)])
    if outputs > 1:
        K /= outputs
    return K


def output_kernel(tangent: TangentFeatures) -> np.ndarray:
    """Return ΦΦᵀ + ZZᵀ, (n, n): what U and V have in the tangent kernel of every output."""
    layers = tangent.layers
    K = _gram(layers.Z, layers.Z)
    K += _gram(layers.Phi, layers.Phi)
    return K


def mean_diagonal(tangent: TangentFeatures, weights: np.ndarray) -> float:
    """Return the weighted mean of diag K over rows and outputs: the scale of penalties and damping."""
    diagonal = tangent.kernel_diagonal().mean(axis=1, dtype=np.float64)
    return float(np.average(diagonal, weights=weights))
