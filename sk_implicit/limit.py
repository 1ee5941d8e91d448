r"""The infinite-width network: its kernels as functions of one cosine, tabulated once per γ.

Let m → ∞ in the network of :mod:`sk_implicit.network` with Gaussian (or ±1) weights. ReLU is
positively homogeneous, so that every limit kernel is ‖x̃‖ ‖x̃'‖ k(ρ) with ρ the cosine between the
augmented inputs. Let (p, p') be standard normal with correlation ρ (the pre-activations of φ),
(h, h') standard normal with correlation K(ρ)/K(1) (the recurrent terms), and g = γ √K(1) h + σ(p),
so that z behaves as σ(g). Then, for 0 < γ < √2,

    Φ(ρ) = E[σ(p) σ(p')]                    limit of φᵀφ'
    K(ρ) = E[σ(g) σ(g')]                    limit of zᵀz', a fixed point in K
    κ(ρ) = P(g > 0, g' > 0)                 share of units active at both inputs
    L(ρ) = κ / (1 − γ² κ)                   limit of λᵀλ', the adjoint equilibria
    NNGP = Φ + K                            covariance of f(x; θ₀)
    NTK  = Φ + K + γ² L K + ρ E[1(p > 0) 1(p' > 0) (1(g > 0) 1(g' > 0) (1 + γ² L) + 1)].

K(1) and all that depends on it diverge as γ → √2. The four terms of NTK are those of the tangent
kernel ΦΦᵀ + ZZᵀ + s² (ΛΛᵀ)∘(ZZᵀ) + (EEᵀ)∘(X̃X̃ᵀ)/m. Because Φ' = P(p > 0, p' > 0) and
K' = P(p > 0, p' > 0, g > 0, g' > 0) (1 + γ² L), it is also Φ + ρ Φ' + ρ K' + (1 + γ² L) K.

:mod:`sk_implicit._limit_moments` derives and evaluates the expectations;
:mod:`sk_implicit._limit_table` tabulates them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy.sparse import csr_array, diags_array, issparse

from ._limit_table import TILE, TableEvaluator

Kind = Literal["ntk", "nngp", "phi"]

_KINDS = ("ntk", "nngp", "phi")
# A power of two, so that it rounds nothing, that brings the largest numbers to where squares are finite.
_HUGE_SCALE = 2.0**-600
_BLOCK = 1 << 22  # cosines per matrix product, 32 MiB


@dataclass(frozen=True)
class LimitFunctions:
    """The limit functions for one γ; every method maps cosines to values of the same shape.

    Absolute error on [−1, 1] at most 1e-10 times max(1, value at ρ = 1), and at most 1e-10 for γ up to
    1.3; beyond, the NTK at ρ = 1 grows past 100 and with it the rounding error. Cosines beyond ±1 by
    rounding count as ±1. float32 cosines give float32 values, computed in float64.

    Attributes
    ----------
    gamma : float
        0 < γ < √2.
    """

    gamma: float

    def phi(self, rho: np.ndarray) -> np.ndarray:
        """Φ(ρ), the limit of φᵀφ' (arc-cosine kernel of order 1, halved; no γ in it)."""
        return self._evaluate("phi", rho)

    def k(self, rho: np.ndarray) -> np.ndarray:
        """K(ρ), the limit of zᵀz'."""
        return self._evaluate("k", rho)

    def kappa(self, rho: np.ndarray) -> np.ndarray:
        """κ(ρ), the probability that a unit is active at both inputs."""
        return self._evaluate("kappa", rho)

    def l(self, rho: np.ndarray) -> np.ndarray:  # noqa: E743 - the letter of the formula
        """L(ρ) = κ/(1 − γ² κ), the limit of λᵀλ' of the adjoint equilibria."""
        return self._evaluate("l", rho)

    def nngp(self, rho: np.ndarray) -> np.ndarray:
        """Covariance of the random function, Φ + K."""
        return self._evaluate("nngp", rho)

    def ntk(self, rho: np.ndarray) -> np.ndarray:
        """Limit of the tangent kernel of all weights."""
        return self._evaluate("ntk", rho)

    def theta_derivative(self, kind: Literal["ntk", "nngp"], rho: np.ndarray) -> np.ndarray:
        """Differentiate by the angle θ = arccos ρ.

        The derivative in ρ is −1/√(1 − ρ²) times this; for the NTK it is infinite at ρ = ±1.
        """
        return self._evaluate(f"{kind}_theta", rho)

    def gamma_derivative(self, kind: Literal["ntk", "nngp"], rho: np.ndarray) -> np.ndarray:
        """Differentiate by γ at fixed ρ."""
        return self._evaluate(f"{kind}_gamma", rho)

    def _evaluate(self, name: str, rho: np.ndarray) -> np.ndarray:
        rho = np.asarray(rho)
        dtype = np.float32 if rho.dtype == np.float32 else np.float64
        flat = np.asarray(rho, dtype=np.float64).ravel()
        if flat.size and not np.nanmax(np.abs(flat)) <= 1.0 + 1e-6:
            raise ValueError(
                f"rho must hold cosines, between -1 and 1; its largest magnitude is "
                f"{np.nanmax(np.abs(flat)):.6g}. Divide inner products by the norms of both rows."
            )
        out = np.empty(flat.size, dtype=dtype)
        evaluator = TableEvaluator(self.gamma, name)
        for start in range(0, flat.size, TILE):
            tile = slice(start, start + TILE)
            out[tile] = evaluator(flat[None, tile])[0]
        return out.reshape(rho.shape)


def limit_functions(gamma: float) -> LimitFunctions:
    """Return the limit functions for γ; their tables are built at first use and cached.

    Parameters
    ----------
    gamma : float
        Scale of the recurrent weights, 0 < γ < √2.

    Returns
    -------
    functions : LimitFunctions
        Frozen record with methods ``phi``, ``k``, ``kappa``, ``l``, ``nngp``, ``ntk``, and derivatives.

    Raises
    ------
    ValueError
        If γ is not inside (0, √2).

    Examples
    --------
    >>> from sk_implicit.limit import limit_functions
    >>> limit_functions(0.4).ntk([-1.0, 0.0, 1.0]).round(4).tolist()
    [0.114, 0.4191, 2.1477]
    """
    gamma = float(gamma)
    if not 1e-12 <= gamma < math.sqrt(2.0):
        raise ValueError(
            f"gamma must lie between 1e-12 and sqrt(2) = 1.41421..., where the equilibrium of "
            f"infinite width has a finite norm; got {gamma!r}. The estimators' default is 0.4."
        )
    return LimitFunctions(gamma)


def limit_kernel(
    X: np.ndarray, Y: np.ndarray | None = None, *, gamma: float, kind: Kind = "ntk"
) -> np.ndarray:
    """Kernel matrix ‖x̃‖ ‖x̃'‖ k(ρ) of augmented inputs.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n, d)
        Augmented inputs x̃, one a row. A zero row gives zeros.
    Y : ndarray or sparse matrix of shape (n_y, d), default=None
        Second inputs; ``None`` means X, at half the cost and exactly symmetric.
    gamma : float
        0 < γ < √2.
    kind : {"ntk", "nngp", "phi"}, default="ntk"
        Tangent kernel, covariance of the random function, or Gram matrix G^∞ of the feature map.

    Returns
    -------
    K : ndarray of shape (n, n_y)
        float32 if X and Y are float32, computed in float64; else float64.

    Raises
    ------
    ValueError
        If γ or kind is out of range, or the shapes do not match.
    """
    return _limit_matrix(X, Y, limit_functions(gamma).gamma, _checked_kind(kind))


class KernelDerivatives(NamedTuple):
    """Derivatives of a kernel matrix ‖x̃‖ ‖x̃'‖ k(ρ), both (n, n), at fixed norms."""

    theta: np.ndarray  # by the angle θ = arccos ρ between two rows
    gamma: np.ndarray | None  # where asked for


def limit_kernel_derivatives(
    X: np.ndarray, *, gamma: float, kind: Literal["ntk", "nngp"] = "ntk", by_gamma: bool = True
) -> KernelDerivatives:
    """Differentiate the matrix of :func:`limit_kernel` by the angle between two rows and by γ.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n, d)
        Augmented inputs.
    gamma : float
        0 < γ < √2.
    kind : {"ntk", "nngp"}, default="ntk"
        Which kernel.
    by_gamma : bool, default=True
        Whether to differentiate by γ too, which takes as long again and a table of its own.

    Returns
    -------
    derivatives : KernelDerivatives
        On the diagonal, ``theta`` is the one-sided derivative at angle zero. ``gamma`` is None unless
        ``by_gamma``.
    """
    gamma = limit_functions(gamma).gamma
    return KernelDerivatives(
        _limit_matrix(X, None, gamma, f"{kind}_theta"),
        _limit_matrix(X, None, gamma, f"{kind}_gamma") if by_gamma else None,
    )


def limit_diagonal(X: np.ndarray, *, gamma: float, kind: Kind = "ntk") -> np.ndarray:
    """Diagonal of :func:`limit_kernel`, ‖x̃‖² k(1), without the matrix.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n, d)
        Augmented inputs.
    gamma : float
        0 < γ < √2.
    kind : {"ntk", "nngp", "phi"}, default="ntk"
        Which kernel.

    Returns
    -------
    diagonal : ndarray of shape (n,)
        float32 if X is float32, else float64.
    """
    evaluator = TableEvaluator(limit_functions(gamma).gamma, _checked_kind(kind))
    _, norms = _normalised(X, "X")
    diagonal = norms**2 * evaluator(np.ones((1, 1)))[0]
    return diagonal.astype(np.float32 if _is_single(X) else np.float64)


def _limit_matrix(X: np.ndarray, Y: np.ndarray | None, gamma: float, name: str) -> np.ndarray:
    """Matrix ‖x̃‖ ‖x̃'‖ f(ρ) of the tabulated function ``name``."""
    unit_x, norm_x = _normalised(X, "X")
    unit_y, norm_y = (unit_x, norm_x) if Y is None else _normalised(Y, "Y")
    if unit_x.shape[1] != unit_y.shape[1]:
        raise ValueError(
            f"X and Y must have the same number of columns; got {unit_x.shape[1]} and {unit_y.shape[1]}."
        )
    single = all(_is_single(a) for a in (X, Y) if a is not None)
    out = np.empty((len(norm_x), len(norm_y)), dtype=np.float32 if single else np.float64)
    evaluator = TableEvaluator(gamma, name)
    n_rows = max(1, min(len(norm_x), _BLOCK // max(1, len(norm_y))))
    buffer = np.empty(n_rows * len(norm_y))
    for start in range(0, len(norm_x), n_rows):
        stop = min(start + n_rows, len(norm_x))
        first = start if Y is None else 0  # below the diagonal, mirror instead
        shape = (stop - start, len(norm_y) - first)
        cosines = buffer[: shape[0] * shape[1]].reshape(shape)
        if issparse(unit_x) or issparse(unit_y):
            product = unit_x[start:stop] @ unit_y[first:].T
            cosines[...] = product.toarray() if issparse(product) else product
        else:
            np.matmul(unit_x[start:stop], unit_y[first:].T, out=cosines)
        block = out[start:stop, first:]
        for rows, cols in _tiles(*cosines.shape, upper=Y is None):
            rho = cosines[rows, cols]
            # Round to multiples of 2^-49. Near ±1 the kernel sees √(1 − |ρ|), which would turn the
            # rounding error of equal rows' product into 1e-8.
            rho += 8.0
            rho -= 8.0
            values = evaluator(rho)
            values *= norm_y[first:][cols]
            np.multiply(values, norm_x[start:stop][rows, None], out=block[rows, cols])
        if Y is None:
            out[stop:, start:stop] = block[:, stop - start :].T
            square = block[:, : stop - start]
            square[:] = np.triu(square) + np.triu(square, 1).T
    if Y is None:
        np.fill_diagonal(out, norm_x**2 * evaluator(np.ones((1, 1)))[0])
    return out


def _checked_kind(kind: str) -> str:
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, _KINDS))}; got {kind!r}.")
    return kind


def _is_single(X) -> bool:
    return (X if issparse(X) else np.asarray(X)).dtype == np.float32


def _normalised(X, name: str):
    """Return rows of unit length, (n, d), and their lengths, (n,), in float64; zero rows stay."""
    X = csr_array(X, dtype=np.float64) if issparse(X) else np.asarray(X, dtype=np.float64)
    if X.ndim != 2:
        raise ValueError(f"{name} must have shape (n_samples, n_features); got shape {X.shape}.")
    norms = _lengths(X)
    if issparse(X):
        return csr_array(diags_array(1 / np.where(norms > 0.0, norms, 1.0)) @ X), norms
    return X / np.where(norms > 0.0, norms, 1.0)[:, None], norms


def _lengths(X) -> np.ndarray:
    """Return the lengths of the rows, (n,), also of those whose squares overflow."""
    lengths = np.sqrt(_squares(X))
    huge = np.isinf(lengths)
    if huge.any():
        lengths[huge] = np.sqrt(_squares(X[huge] * _HUGE_SCALE)) / _HUGE_SCALE
    return lengths


def _squares(X) -> np.ndarray:
    """Return the sums of squares of the rows, (n,); infinite where they overflow."""
    with np.errstate(over="ignore"):
        if issparse(X):
            return np.asarray(X.multiply(X).sum(axis=1)).ravel()
        return np.einsum("ij,ij->i", X, X)


def _tiles(n_rows: int, n_cols: int, upper: bool) -> Iterator[tuple[slice, slice]]:
    """Cut a matrix into tiles of at most TILE entries, as wide as possible.

    With ``upper`` the tiles need only cover the diagonal and what is above it.
    """
    width = max(1, min(n_cols, TILE))
    height = max(1, TILE // width)
    for row in range(0, n_rows, height):
        for col in range(row if upper else 0, n_cols, width):
            yield slice(row, min(row + height, n_rows)), slice(col, min(col + width, n_cols))
