r"""When z = σ(sAz + φ) provably has exactly one solution for every φ, and Picard's iteration finds it.

Two sufficient conditions, neither of them necessary (design, section 2) [1]_:

* ‖sA‖₂ < 1: the map is a contraction in the Euclidean norm;
* ρ(|sA|) < 1, the Perron-Frobenius radius: a contraction in a weighted maximum norm, for
  |σ(sAz + φ) − σ(sAz' + φ)| ≤ |sA| |z − z'| entry by entry.

A block triangular A is solved block by block, so that it is enough for every irreducible diagonal block
to meet one of the two; a feed-forward network has blocks of one unit and radius 0.

References
----------
.. [1] L. El Ghaoui, F. Gu, B. Travacca, A. Askari and A. Tsai, "Implicit deep learning", SIAM Journal
   on Mathematics of Data Science 3 (2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._numerics.spectral import irreducible_blocks, norm_is_below, operator_norm, perron_bound
from ..equilibrium import EquilibriumOperator
from ._report import Report

# How far above the estimate of a norm the proof is tried: the first that succeeds is the bound.
_SLACKS = (1e-5, 1e-3, 1e-1)


@dataclass(frozen=True, slots=True)
class WellPosedness(Report):
    """Whether an equilibrium is certified to exist, to be unique, and to be found by Picard's iteration.

    Attributes
    ----------
    certified : bool
        Whether it is. False is not a disproof: wide random networks have equilibria that are found up to
        γ ≈ 1.2, and may have one or several.
    criterion : {"operator norm", "Perron-Frobenius", "block triangular"} or None
        What certifies it.
    norm : float
        ‖sA‖₂, estimated by Lanczos, from below.
    norm_bound : float
        A proven upper bound on ‖sA‖₂; inf where none below 1 was found.
    perron_bound : float
        A proven upper bound on ρ(|sA|).
    n_blocks : int
        Irreducible diagonal blocks of A; ``width`` of them for a feed-forward network.
    width : int
        Order m of A.
    gamma : float
        γ.
    """

    certified: bool
    criterion: str | None
    norm: float
    norm_bound: float
    perron_bound: float
    n_blocks: int
    width: int
    gamma: float

    title = "Well-posedness of z = σ(γ/√m · A z + φ)"

    def rows(self) -> list[tuple[str, str]]:
        """Return what the record says, as (label, value) pairs."""
        proven = f"proven ≤ {self.norm_bound:.5g}" if np.isfinite(self.norm_bound) else "not proven below 1"
        return [
            ("width m, gamma", f"{self.width}, {self.gamma:g}"),
            ("operator norm ‖sA‖₂", f"{self.norm:.5g} ({proven})"),
            ("Perron-Frobenius radius of |sA|", f"proven ≤ {self.perron_bound:.5g}"),
            ("irreducible blocks of A", str(self.n_blocks)),
            ("verdict", "certified" if self.certified else "not certified"),
        ]

    @property
    def verdict(self) -> str:
        """What follows from it, in words."""
        if self.certified:
            return (
                f"Certified by the {self.criterion} criterion: every input has exactly one equilibrium, and "
                "Picard's iteration converges to it."
            )
        return (
            "Not certified: neither criterion holds. An equilibrium may still exist and be found (for wide "
            "random networks up to a gamma of about 1.2, less at small widths), but this is not proven, and "
            "it need not be the only one. A smaller gamma certifies it: below "
            f"{self.gamma / self.norm:.3g} for this A."
        )


def well_posedness(A, gamma: float) -> WellPosedness:
    """Certify that z = σ(γ/√m A z + φ) has one solution for every φ, where that can be proven.

    Parameters
    ----------
    A : array of shape (m, m)
        Weights of the equilibrium.
    gamma : float
        Scale γ > 0.

    Returns
    -------
    record : WellPosedness
        The two radii, proven bounds on them, and the verdict. Every bound covers its rounding errors: a
        certificate is a proof, its absence says nothing.

    Raises
    ------
    ValueError
        If A is not square or not finite, or γ is not positive.

    Notes
    -----
    ‖sA‖₂ < 1 is proven by a Cholesky factorisation of t² I − s²AᵀA for a t just above the Lanczos
    estimate, which by itself is a bound from below; ρ(|sA|) < 1 by the inequality of Collatz and
    Wielandt on each irreducible block. Cost: about 2 m³ flops where the norm is below 1, O(m²) otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_implicit.theory import well_posedness
    >>> A = np.random.RandomState(0).standard_normal((300, 300))
    >>> well_posedness(A, gamma=0.4).certified, well_posedness(A, gamma=0.6).certified
    (True, False)
    >>> well_posedness(np.tril(A, -1), gamma=10.0).criterion  # a feed-forward network
    'Perron-Frobenius'
    """
    operator = EquilibriumOperator(A, gamma)
    A = operator.A.astype(np.float64, copy=False)
    m, scale = operator.m, operator.scale

    largest = float(np.abs(A).max())
    relative = A / largest if largest > 0 else A  # so that no square overflows
    with np.errstate(over="ignore"):
        norm = scale * largest * operator_norm(relative, tol=1e-8)[0]
    # entries are below 1 where the norm is, so that s·A is safe to form
    sA = A * scale if norm < 1 else None
    norm_bound = _norm_bound(sA, norm) if sA is not None else np.inf

    blocks = irreducible_blocks(A)
    radii, certified_blocks = [0.0], True
    for units in blocks:
        block = A[np.ix_(units, units)] if len(blocks) > 1 else A
        radius = _radius(block, scale)
        radii.append(radius)
        if radius >= 1 and len(blocks) > 1:
            certified_blocks = certified_blocks and _norm_certifies(block, scale)
    radius = max(radii)

    if norm_bound < 1:
        criterion = "operator norm"
    elif radius < 1:
        criterion = "Perron-Frobenius"
    elif len(blocks) > 1 and certified_blocks:
        criterion = "block triangular"
    else:
        criterion = None
    return WellPosedness(
        criterion is not None, criterion, float(norm), float(norm_bound), float(radius), len(blocks), m, gamma
    )


def _norm_bound(B: np.ndarray, norm: float) -> float:
    """Return a proven upper bound on ‖B‖₂, near its estimate; inf where none below 1 can be proven."""
    for bound in [norm * (1 + slack) + np.finfo(np.float64).eps for slack in _SLACKS]:
        if bound < 1 and norm_is_below(B, bound):
            return bound
    return np.nextafter(1.0, 0.0) if norm_is_below(B, np.nextafter(1.0, 0.0)) else np.inf


def _radius(block: np.ndarray, scale: float) -> float:
    """Return a proven upper bound on ρ(|sA|) of an irreducible block."""
    with np.errstate(over="ignore"):
        magnitudes = np.abs(block) * scale
    if len(block) == 1:  # √m, γ/√m and the product are rounded, by half a unit each: outwards
        return float(magnitudes[0, 0]) * (1 + 4 * np.finfo(np.float64).eps)
    return perron_bound(magnitudes)


def _norm_certifies(block: np.ndarray, scale: float) -> bool:
    with np.errstate(over="ignore"):
        B = block * scale
    return bool(np.isfinite(B).all() and np.abs(B).max() < 1 and norm_is_below(B, np.nextafter(1.0, 0.0)))
