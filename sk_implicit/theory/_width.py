r"""How wide is wide enough for the feature map's Gram matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._numerics.spectral import extreme_eigenvalues, is_positive_definite
from ._inputs import limit_gram
from ._report import Report

# Widths are tried on a geometric grid, this many to a doubling: each within 9 % of the next.
_PER_DOUBLING = 8


@dataclass(frozen=True, slots=True)
class WidthAdvice(Report):
    """The smallest width at which λ_min(ΦΦᵀ) stays above a fraction of λ₀, and how it was found.

    Attributes
    ----------
    width : int or None
        The advice; None where no width up to ``max_width`` will do.
    fraction, confidence, n_seeds
        As asked for.
    lambda_0 : float
        λ_min(G^∞).
    widths : tuple of int
        The widths that were tried.
    shares : tuple of float
        The share of seeds at which λ_min(ΦΦᵀ) ≥ fraction · λ₀, for each of them.
    """

    width: int | None
    fraction: float
    confidence: float
    n_seeds: int
    lambda_0: float
    widths: tuple[int, ...]
    shares: tuple[float, ...]

    title = "Width advice"

    def rows(self) -> list[tuple[str, str]]:
        """Return what the record says, as (label, value) pairs."""
        return [
            ("recommended width", "none" if self.width is None else str(self.width)),
            ("λ₀ = λ_min(G^∞)", f"{self.lambda_0:.4g}"),
            (
                "asked for",
                f"λ_min(ΦΦᵀ) ≥ {self.fraction:g} λ₀ at {self.confidence:.0%} of {self.n_seeds} seeds",
            ),
            ("widths tried", f"{self.widths[0]} to {self.widths[-1]}" if self.widths else "none"),
        ]

    @property
    def verdict(self) -> str:
        """What follows from it, in words."""
        if self.width is None and self.lambda_0 == 0:
            return "λ₀ is 0 to working precision: two inputs are parallel, and no width will do."
        if self.width is None:
            return "No width that was tried will do: raise max_width, or lower fraction or confidence."
        return (
            f"From width {self.width} on, the random feature map alone separates these inputs nearly as "
            "well as in the limit of infinite width. The width that the theorem needs for its proof is far "
            "larger."
        )


def recommend_width(
    X, *, fraction=0.5, confidence=0.9, n_seeds=20, max_width=None, init="gaussian", random_state=0
) -> WidthAdvice:
    """Find the smallest width at which the finite-width Gram matrix is as well conditioned as wanted.

    The tangent kernel dominates the Gram matrix of the feature map, K ⪰ ΦΦᵀ, whose limit G^∞ has the
    smallest eigenvalue λ₀. Where λ_min(ΦΦᵀ) ≥ fraction · λ₀, gradient flow starts at a rate of at
    least 2 · fraction · λ₀.

    **This is the width at which the start is good, observed on random draws. It is not the width that
    the theorem asks for:** its constant, polynomial in n and 1/λ₀, so that λ_min also *stays* there
    through all of training, is larger by orders of magnitude.

    Parameters
    ----------
    X : array of shape (n, p)
        Inputs as the network sees them (see `network_inputs`).
    fraction : float, default=0.5
        What share of λ₀ the smallest eigenvalue is to keep, between 0 and 1.
    confidence : float, default=0.9
        At what share of the seeds.
    n_seeds : int, default=20
        Random feature maps that are drawn.
    max_width : int or None, default=None
        The largest width to try; None is 64 times the number of rows.
    init : {"gaussian", "bernoulli"}, default="gaussian"
        How W is drawn. In few dimensions ±1 makes few different units (at most 2^p), whose Gram matrix
        does not tend to G^∞: there may be no width that will do.
    random_state : int, default=0
        The first of the seeds; they count up from it.

    Returns
    -------
    advice : WidthAdvice
        The width, and the share of seeds that did at each width tried, on a grid of steps of 9 %.

    Raises
    ------
    ValueError
        If an option is out of range.

    Notes
    -----
    Φ is drawn row by row of W, so that a seed's maps are nested, and each width adds its new rows to
    the Gram matrix. Whether λ_min is large enough is decided by a Cholesky factorisation. Memory: a Gram
    matrix for each seed.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_implicit.theory import recommend_width
    >>> X = np.random.RandomState(0).standard_normal((40, 10))
    >>> advice = recommend_width(X / np.linalg.norm(X, axis=1, keepdims=True))
    >>> 40 < advice.width < 40 * 64
    True
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must lie between 0 and 1, both excluded; got {fraction!r}.")
    if not 0 < confidence <= 1:
        raise ValueError(f"confidence must lie between 0 (excluded) and 1; got {confidence!r}.")
    if n_seeds < 1:
        raise ValueError(f"n_seeds must be at least 1; got {n_seeds!r}.")
    if init not in ("gaussian", "bernoulli"):
        raise ValueError(f"init must be 'gaussian' or 'bernoulli'; got {init!r}.")
    X = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
    X = X.astype(np.float64, copy=False)
    n = len(X)
    max_width = 64 * n if max_width is None else int(max_width)
    smallest = extreme_eigenvalues(limit_gram(X)).smallest
    target = fraction * smallest

    widths, shares, found = [], [], None
    if smallest > 0:
        rngs = [np.random.RandomState(random_state + seed) for seed in range(n_seeds)]
        grams = np.zeros((n_seeds, n, n))  # of σ(XWᵀ), not divided by the width yet
        drawn = 0
        for width in _grid(n, max_width):
            passed = 0
            for rng, gram in zip(rngs, grams):
                features = _features(X, width - drawn, rng, init)
                gram += features @ features.T
                passed += is_positive_definite(gram, below=target * width)
            drawn = width
            widths.append(width)
            shares.append(passed / n_seeds)
            if shares[-1] >= confidence:
                found = width
                break
    return WidthAdvice(
        found, float(fraction), float(confidence), int(n_seeds), smallest, tuple(widths), tuple(shares)
    )


def _grid(first: int, last: int):
    """Yield widths in steps of 2^(1/8), from the number of rows: below, ΦΦᵀ is singular."""
    width = float(first)
    while round(width) <= last:
        yield round(width)
        width = max(width * 2 ** (1 / _PER_DOUBLING), width + 1)


def _features(X: np.ndarray, n_units: int, rng: np.random.RandomState, init: str) -> np.ndarray:
    """Return σ(XWᵀ) for newly drawn units, (n, n_units)."""
    shape = (n_units, X.shape[1])
    W = rng.standard_normal(shape) if init == "gaussian" else 2.0 * rng.randint(0, 2, shape) - 1
    return np.maximum(X @ W.T, 0)
