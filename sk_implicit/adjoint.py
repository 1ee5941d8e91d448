r"""The adjoint of the network: how its outputs depend on what enters each unit.

With D = 1[Z > 0], the active pattern of the equilibrium, implicit differentiation of z = σ(s A z + φ) gives
for a right-hand side b, such as a row u_c of U::

    Λ = D ∘ (s Λ A + B)                        adjoint equilibrium, (n, m)

    ∂(bᵀz)/∂A = s λ zᵀ,     ∂(bᵀz)/∂φ = λ.

The derivative by A is one product of two short vectors for each row: a `Term`.

Where ReLU has a kink its derivative is taken as 0, so a unit that is exactly 0 does not move.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from .equilibrium import solve_adjoint
from .network import Layers, Network

# Entries of an (n, m) array that is worked on at a time.
_BLOCK_ENTRIES = 2_000_000


class Term(NamedTuple):
    """A part s λ zᵀ of the derivative by A, for k right-hand sides and n rows.

    Attributes
    ----------
    left : (k, n, m) array
        λ; the sum over all terms, Λ, is the derivative by φ.
    right : (n, m) array
        z.
    """

    left: np.ndarray
    right: np.ndarray


def adjoint_terms(
    network: Network,
    layers: Layers,
    B: np.ndarray,
    *,
    tol: float,
    solver: str = "auto",
    max_iter: int = 500,
    start: Sequence[Term] | None = None,
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
    tol, solver, max_iter
        As in `sk_implicit.equilibrium.solve_adjoint`.
    start : sequence of Term or None
        Those of a network nearby, as a warm start.

    Returns
    -------
    terms : tuple of Term
        One: the adjoint equilibria and Z.
    """
    Lambda = np.empty((len(B), *layers.Z.shape), dtype=layers.Z.dtype)
    for c, rows in product(range(len(B)), row_blocks(*layers.Z.shape)):
        Lambda[c, rows] = solve_adjoint(
            network.operator, B[c] if B.ndim == 2 else B[c, rows], layers.Z[rows] > 0,
            gamma=network.gamma, solver=solver, tol=tol, max_iter=max_iter,
            Z0=None if start is None else start[0].left[c, rows],
        ).solution  # fmt: skip
    return (Term(Lambda, layers.Z),)


def row_blocks(n: int, m: int) -> Iterator[slice]:
    """Split n rows of width m into blocks of equal size that stay near the cache; at least one."""
    n_blocks = max(-(-n * m // _BLOCK_ENTRIES), 1)
    step = max(-(-n // n_blocks), 1)
    for start in range(0, max(n, 1), step):
        yield slice(start, start + step)
