r"""The adjoint of the network: how its outputs depend on what enters each unit; and gradients.

**Finite depth.** With D_l = 1[z_l > 0], the chain rule through z_l = σ(s A z_{l−1} + φ), z_0 = 0, gives for a
right-hand side b, such as a row u_c of U::

    λ_L = D_L ∘ b,     λ_l = D_l ∘ (s λ_{l+1} A)

    ∂(bᵀz_L)/∂A = s Σ_l λ_l z_{l−1}ᵀ,     ∂(bᵀz_L)/∂φ = Λ = Σ_l λ_l.

The derivative by A is a sum of products of two short vectors for each row, a `Term` for each layer. Layers
are put together where that changes nothing: replacing z_{l−1} by z_{L−1}, which adds λ_l to λ_L in the last
term, is an error of ‖λ_l‖ ‖z_{L−1} − z_{l−1}‖. In a contraction with rate c it is of order c^L for every l,
so that a deep network ends with one term.

**Equilibrium**, the limit L → ∞: all layers are put together, D = 1[Z > 0], and the sum is the solution of a
linear equation, as implicit differentiation of z = σ(s A z + φ) has it::

    Λ = D ∘ (s Λ A + B),     ∂(bᵀz)/∂A = s λ zᵀ,     ∂(bᵀz)/∂φ = λ.

**Gradients.** With G = 1[Φ > 0], the active pattern of the feature map, coefficients C (n, k) of the outputs
and Λ_C the adjoint of C U, the gradient of Σ C ∘ F is::

    dA = s Σ_l λ_lᵀ z_{l−1},     dW = (G ∘ (Λ_C + C V))ᵀ X̃/√m,     dU = Cᵀ Z,     dV = Cᵀ Φ.

Where ReLU has a kink its derivative is taken as 0, so a unit that is exactly 0 does not move.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from enum import Enum
from itertools import product
from math import isfinite, sqrt
from typing import NamedTuple

import numpy as np

from .._numerics.blocks import BLOCK_ENTRIES, equal_blocks
from .._numerics.norms import row_norms
from ..equilibrium import EquilibriumOptions, solve_adjoint
from ..equilibrium.recursion import RECURSION, layer_states
from .network import Layers, Network, weight_views


class State(Enum):
    """The state on the right of a `Term`."""

    ZERO = "zero"  # z_0
    PHI = "Phi"  # z_1
    Z = "Z"  # the equilibrium
    OWN = "own"  # that of another layer, which the term holds


class Term(NamedTuple):
    """A part s λ zᵀ of the derivative by A, for k right-hand sides and n rows.

    Attributes
    ----------
    left : (k, n, m) array
        λ; the sum over all terms, Λ, is the derivative by φ.
    state : State
        What z is.
    own : (n, m) array or None
        z, where it is none of the `Layers`.
    """

    left: np.ndarray
    state: State
    own: np.ndarray | None = None

    def right(self, layers: Layers) -> np.ndarray | None:
        """Return z, (n, m), given the layers of the same rows; None for z_0 = 0."""
        return {State.ZERO: None, State.PHI: layers.Phi, State.Z: layers.Z, State.OWN: self.own}[self.state]

    def take(self, rows) -> Term:
        """Return the term of a subset of the rows."""
        return Term(self.left[:, rows], self.state, None if self.own is None else self.own[rows])


def adjoint_terms(
    network: Network,
    layers: Layers,
    B: np.ndarray,
    options: EquilibriumOptions,
    *,
    start: Sequence[Term] | None = None,
    norm_bound: float | None = None,
) -> tuple[Term, ...]:
    """Return the derivatives of Bᵀz by A and φ.

    Parameters
    ----------
    network : Network
        The network.
    layers : Layers
        Its forward pass on n rows.
    B : (k, n, m) or (k, m) array
        Right-hand sides; the same for every row where they have no axis of rows.
    options : EquilibriumOptions
        By which solver, how accurately and how long. At finite depth, layers are put together where the
        derivatives stay within its ``tol``, relative to those of the last layer.
    start : sequence of Term or None
        Those of a network nearby, as a warm start.
    norm_bound : float or None
        What ‖sA‖₂ is known to be at most.

    Returns
    -------
    terms : tuple of Term
        One at an equilibrium: the adjoint equilibria and Z. At most one for each layer at finite depth.
    """
    if isfinite(network.depth):
        return _layer_terms(network, layers, B, options.tol)
    Lambda = np.empty((len(B), *layers.Z.shape), dtype=layers.Z.dtype)
    for c, rows in product(range(len(B)), equal_blocks(*layers.Z.shape)):
        Lambda[c, rows] = solve_adjoint(
            network.operator, B[c] if B.ndim == 2 else B[c, rows], layers.Z[rows] > 0,
            **asdict(options), Z0=None if start is None else start[0].left[c, rows], norm_bound=norm_bound,
        ).solution  # fmt: skip
    return (Term(Lambda, State.Z),)


def _layer_terms(network: Network, layers: Layers, B: np.ndarray, tol: float) -> tuple[Term, ...]:
    """Return the terms of a network of finite depth, those of the last layer first; see the module's head.

    The states of all layers are computed again, in blocks of rows: they are many.
    """
    depth, Phi = int(network.depth), layers.Phi
    (n, m), dtype = Phi.shape, Phi.dtype
    tol = max(tol / depth, float(np.finfo(dtype).eps))
    terms: dict[int, Term] = {}

    def term(layer: int) -> Term:
        if layer not in terms:
            left = np.zeros((len(B), n, m), dtype)
            if layer > 2:
                terms[layer] = Term(left, State.OWN, np.zeros_like(Phi))
            else:
                terms[layer] = Term(left, State.ZERO if layer == 1 else State.PHI)
        return terms[layer]

    term(depth)
    for rows in equal_blocks(n, m * min(depth, RECURSION.many_layers)):
        states = [np.zeros_like(Phi[rows]), *layer_states(network.operator, Phi[rows], depth)]
        last = len(states) - 1  # all further ones are equal to this one
        top = states[min(depth - 1, last)]
        distances = [row_norms(top - below) for below in states]
        for c in range(len(B)):
            scaled = (states[last] > 0) * (B[c] if B.ndim == 2 else B[c, rows])
            reference = tol * row_norms(scaled)
            within = reference * row_norms(top)
            term(depth).left[c, rows] = scaled
            for layer in range(depth - 1, 0, -1):
                scaled = scaled @ network.A
                scaled *= network.s
                scaled *= states[min(layer, last)] > 0
                sizes = row_norms(scaled)
                if np.all(sizes <= reference):  # and no layer below has more
                    break
                below = min(layer - 1, last)
                joins = np.all(sizes * distances[below] <= within)
                term(depth if joins else layer).left[c, rows] += scaled
        for layer, (_, _, own) in terms.items():
            if own is not None:
                own[rows] = states[min(layer - 1, last)]
    return tuple(terms[layer] for layer in sorted(terms, reverse=True))


def pull_back(
    network: Network, layers: Layers, C: np.ndarray, terms: Iterable[tuple[np.ndarray, np.ndarray | None]]
) -> np.ndarray:
    """Return Jᵀ C as a flat vector, given the adjoint of the right-hand side C U.

    Parameters
    ----------
    network : Network
        The network.
    layers : Layers
        Its forward pass on n rows.
    C : (n, k) array
        Coefficients of the outputs.
    terms : iterable of pairs of (n, m) arrays
        Left and right factors of the derivative by A; the left ones add up to Λ_C. None for a right one
        of zeros.

    Returns
    -------
    theta : (n_weights,) array
        s Σ leftᵀ right, (G ∘ (Λ_C + C V))ᵀ X̃/√m, Cᵀ Z and Cᵀ Φ, one after the other.
    """
    theta = np.empty(network.shape.n_weights, dtype=network.theta.dtype)
    dA, dW, dU, dV = weight_views(theta, network.shape)
    E = C @ network.V
    filled = False
    for left, right in terms:
        E += left
        if right is None:
            continue
        if filled:
            dA += left.T @ right
        else:
            np.matmul(left.T, right, out=dA)
            filled = True
    if filled:
        dA *= network.s
    else:
        dA[...] = 0
    E *= layers.Phi > 0
    dW[...] = (layers.X.T @ E).T
    dW /= sqrt(network.shape.m)
    np.matmul(C.T, layers.Z, out=dU)
    np.matmul(C.T, layers.Phi, out=dV)
    return theta


def vjp_at(
    network: Network,
    layers: Layers,
    C: np.ndarray,
    options: EquilibriumOptions,
    *,
    start: Sequence[Term] | None = None,
    norm_bound: float | None = None,
) -> tuple[np.ndarray, tuple[Term, ...]]:
    """Return Jᵀ C without the Jacobian's factors, and the adjoint of C U it took: one solve.

    Parameters
    ----------
    network, layers, C
        As in `pull_back`.
    options, start, norm_bound
        As in `adjoint_terms`.
    """
    terms = adjoint_terms(network, layers, (C @ network.U)[None], options, start=start, norm_bound=norm_bound)
    return pull_back(network, layers, C, ((term.left[0], term.right(layers)) for term in terms)), terms


Factors = Sequence[tuple[np.ndarray, np.ndarray]]


def pairs_are_cheaper(terms: Factors, terms2: Factors) -> bool:
    """Whether inner products are cheaper by pairs of terms than by `gram_by_columns`.

    In units of n n' m multiplications: two for each pair of terms, or m and what the derivatives take.
    """
    if not (terms and terms2):
        return True
    (n, m), n2 = terms[0][0].shape, len(terms2[0][0])
    forming = m * (len(terms) / n2 + len(terms2) / n)
    if terms2 is terms:
        return len(terms) * (len(terms) + 1) <= 0.5 * (m + forming)
    return 2 * len(terms) * len(terms2) <= m + forming


def gram_by_columns(terms: Factors, terms2: Factors) -> np.ndarray:
    """Return the inner products of Σ λ zᵀ between rows, (n, n'), from the matrices themselves.

    They are formed some columns of A at a time. For many terms that is cheaper than the sum over pairs.

    Parameters
    ----------
    terms, terms2 : sequences of pairs of (n, m) and of (n', m) arrays
        λ and z of every term; the same object twice for a symmetric result.
    """
    left = _stacked(terms)
    right = left if terms2 is terms else _stacked(terms2)
    (n, _, m), n2 = left[0].shape, len(right[0])
    K = np.zeros((n, n2), left[0].dtype)
    step = max(BLOCK_ENTRIES // (m * max(n, n2)), 1)
    for start in range(0, m, step):
        columns = slice(start, start + step)
        derivative = _by_columns(left, columns)
        K += derivative @ (derivative if right is left else _by_columns(right, columns)).T
    return K


def _stacked(terms: Factors) -> tuple[np.ndarray, np.ndarray]:
    """Return all λ and all z, (n, terms, m) each."""
    scaled, z = zip(*terms)
    return np.stack(scaled, axis=1), np.stack(z, axis=1)


def _by_columns(stacked: tuple[np.ndarray, np.ndarray], columns: slice) -> np.ndarray:
    """Return Σ λ zᵀ for some of the entries of λ, flat, (n, columns m)."""
    scaled, z = stacked
    return (scaled[..., columns].swapaxes(1, 2) @ z).reshape(len(z), -1)
