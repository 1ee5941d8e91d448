r"""How fast training is guaranteed to converge, and how fast it did.

With loss L = ½ Σ wᵢ ‖yᵢ − fᵢ‖² and S = √W K √W, K the tangent kernel:

* along **gradient flow** dL/dt = −(√w∘r)ᵀ S (√w∘r) ≤ −2 λ_min(S) L, hence L(t) ≤ L(0) exp(−2 ∫ λ_min dt);
* a **gradient step** η lowers L by at least η (1 − ηC/2) ‖∇L‖² where C bounds the curvature along the step
  (descent lemma), and ‖∇L‖² ≥ 2 λ_min(S) L (Polyak-Łojasiewicz inequality), so that it multiplies L by at
  most 1 − η λ_min (2 − ηC) [1]_. C is λ_max(S), but for the curvature Σ wᵢ rᵢ ∇²fᵢ of the predictions,
  which is of order 1/√m and vanishes with the residual: it is neglected;
* on the network **linearised** at one point a step multiplies the residual by I − ηS, and L by at most
  (1 − η λ_min)² for η ≤ 2/(λ_min + λ_max). This faster rate is reached at the end of training, when S
  stands still; far from it, and at small widths, it can be missed.

All are statements about S along the way. Here S is computed at the two ends, and the smaller of the two
λ_min, the larger of the two λ_max are used: the rate is guaranteed if λ_min stays above and λ_max below
these values in between, and as long as training does not slide along kinks of ReLU, where one step switches
units on that the next one switches off, and neither side's S says how fast the loss falls. By Weyl's
inequality λ_min(S) differs from its value at the start by at most ‖S − S₀‖₂, the kernel drift.

A rate is −ln(L_{t+1}/L_t), the exponent of the loss's decrease: larger is faster.

References
----------
.. [1] H. Karimi, J. Nutini and M. Schmidt, "Linear convergence of gradient and proximal-gradient methods
   under the Polyak-Łojasiewicz condition", ECML PKDD 2016.
"""

from __future__ import annotations

import numpy as np

from .._numerics.spectral import Extremes

# Below this fraction of its start the squared error is rounding, and its slope says nothing.
_ROUNDING = 1e-22


def certified_rate(smallest: float, largest: float, step: float) -> float:
    """Return −ln(1 − η λ_min (2 − η λ_max)), guaranteed for steps η < 2/λ_max; 0 beyond.

    Parameters
    ----------
    smallest, largest : float
        Bounds on the eigenvalues of the (weighted) tangent kernel.
    step : float
        η, on the summed loss.
    """
    if smallest <= 0 or step * largest >= 2:
        return 0.0
    # at most 1, and 1 only where all eigenvalues are equal and one step of 1/λ reaches the minimum
    gain = step * smallest * (2 - step * largest)
    return float(-np.log1p(-gain)) if gain < 1 else np.inf


def linearised_rate(smallest: float, largest: float, step: float) -> float:
    """Return −2 ln max|1 − ηλ| over λ_min ≤ λ ≤ λ_max, the rate at constant kernel; 0 where it diverges.

    Parameters
    ----------
    smallest, largest, step : float
        As in `certified_rate`.
    """
    factor = max(abs(1 - step * smallest), abs(1 - step * largest))
    if smallest <= 0 or factor >= 1:
        return 0.0
    return float(-2 * np.log(factor)) if factor > 0 else np.inf


def observed_rate(squared_error, *, share: float = 1.0) -> float:
    """Return the mean decrease of ln L in a step, until the loss is down to rounding.

    Parameters
    ----------
    squared_error : sequence of float
        Squared error at the start and after each step.
    share : float, default=1.0
        Of these steps, the share to look at, counted from the end; one at least.

    Raises
    ------
    ValueError
        If the share is not in [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1]; got {share!r}.")
    errors = np.asarray(squared_error, dtype=np.float64)
    if len(errors) < 2 or errors[0] <= 0:
        return np.nan
    rounding = np.flatnonzero(errors <= _ROUNDING * errors[0])
    last = int(rounding[0]) if len(rounding) else len(errors) - 1
    first = last - max(1, round(share * last))
    return float(np.log(errors[first] / max(errors[last], np.finfo(np.float64).tiny)) / (last - first))


def worst(first: Extremes, second: Extremes) -> Extremes:
    """Return the smaller of the smallest and the larger of the largest eigenvalues."""
    return Extremes(min(first.smallest, second.smallest), max(first.largest, second.largest))
