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

:mod:`sk_implicit.limit._moments` derives and evaluates the expectations,
:mod:`sk_implicit.limit._table` tabulates them, :mod:`sk_implicit.limit._matrix` makes matrices of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from ._matrix import UnitRows, check_range, is_single, limit_matrices, normalised
from ._table import TILE, TableEvaluator

Kind = Literal["ntk", "nngp", "phi"]

_KINDS = ("ntk", "nngp", "phi")


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
            out[tile] = evaluator(flat[None, tile])[0][0]
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
        If γ is not inside (0, √2), or nearer to its ends than 1e-12 and 1e-13.

    Examples
    --------
    >>> from sk_implicit.limit import limit_functions
    >>> limit_functions(0.4).ntk([-1.0, 0.0, 1.0]).round(4).tolist()
    [0.114, 0.4191, 2.1477]
    """
    gamma = float(gamma)
    if not 1e-12 <= gamma <= (1 - 1e-13) * math.sqrt(2.0):  # any closer, and rounding decides
        raise ValueError(
            f"gamma must lie between 1e-12 and sqrt(2) = 1.41421..., where the equilibrium of "
            f"infinite width has a finite norm; got {gamma!r}. The estimators' default is 0.4."
        )
    return LimitFunctions(gamma)


def limit_kernel(
    X: np.ndarray, Y: np.ndarray | UnitRows | None = None, *, gamma: float, kind: Kind = "ntk"
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
        If γ or kind is out of range, the shapes do not match, or the kernel has no number for some rows.
    """
    return limit_matrices(X, Y, limit_functions(gamma).gamma, [_checked_kind(kind)])[0]


class KernelDerivatives(NamedTuple):
    """A kernel matrix ‖x̃‖ ‖x̃'‖ k(ρ) and its derivatives at fixed norms, all (n, n)."""

    value: np.ndarray
    cosine: np.ndarray  # ρ
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
        Whether to differentiate by γ too, for which there is a table of its own.

    Returns
    -------
    derivatives : KernelDerivatives
        With the kernel itself and the cosines, which take part in every chain rule. Cosines are rounded to
        multiples of 2⁻⁴⁹, of rows of d > 16 entries of d 2⁻⁵³ (and 2⁻⁴⁰ at most), so that those of equal rows
        are 1 and of opposite rows −1. On the diagonal, ``theta`` is the one-sided derivative at angle zero.
        ``gamma`` is None unless ``by_gamma``.
    """
    names = [kind, f"{kind}_theta", f"{kind}_gamma"][: 3 if by_gamma else 2]
    value, theta, *rest, cosine = limit_matrices(X, None, limit_functions(gamma).gamma, names, cosine=True)
    return KernelDerivatives(value, cosine, theta, rest[0] if by_gamma else None)


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

    Raises
    ------
    ValueError
        As for :func:`limit_kernel`.
    """
    evaluator = TableEvaluator(limit_functions(gamma).gamma, _checked_kind(kind))
    _, norms = normalised(X, "X")
    dtype = np.dtype(np.float32 if is_single(X) else np.float64)
    check_range(norms, norms, evaluator, dtype)
    diagonal = norms**2 * evaluator(np.ones((1, 1)))[0][0]
    return diagonal.astype(dtype)


def _checked_kind(kind: str) -> str:
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, _KINDS))}; got {kind!r}.")
    return kind
