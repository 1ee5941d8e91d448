r"""Losses of the predictions: value, gradient and curvature, row by row.

For a row with target y, prediction f (k outputs) and weight w, a solver in function space needs three
things of the loss ℓ(y, f):

* its value;
* the residual r = −∂ℓ/∂f;
* its curvature w ∂²ℓ/∂f², a positive semi-definite k × k matrix B, as a root L with B = L Lᵀ, and the
  residual in the coordinates of that root: q with L q = w r.

The quadratic model of the loss is then ℓ(f + Δ) ≈ ℓ(f) − ½‖q‖² + ½‖q − LᵀΔ‖²: a least-squares problem
whatever the loss, which is what Gauss-Newton steps generalise to. Nothing is ever divided by the
curvature, so rows that are already predicted for certain, whose curvature vanishes, do no harm.

With p = softmax(f) (or the sigmoid, for one output), cross-entropy has ::

    ℓ = −Σ_c y_c log p_c,     r = y − p,     ∂²ℓ/∂f² = diag(p) − p pᵀ = (√p − p √pᵀ)(√p − p √pᵀ)ᵀ,

so L = √w (diag √p)(I − √p √pᵀ), a scaling after a projection, and q = √w (y − p)/√p.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from scipy.special import log_softmax

# The curvature of cross-entropy is taken where the target's probability is at least this: a Newton
# step moves a row that is predicted wrongly by at most the inverse, and so does not overshoot.
_LEAST_PROBABILITY = 0.1
# Probabilities count as this much at least in the curvature: its inverse root keeps its digits.
_LEAST_CURVATURE = 1e-12


class Evaluation(NamedTuple):
    """Value of the loss, (n,), and residual −∂ℓ/∂F, (n, k), of every row; without weights."""

    value: np.ndarray
    residual: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Curvature:
    """Weighted curvature of the loss, B = L Lᵀ with L = diag(scale) (I − direction directionᵀ), by row.

    Attributes
    ----------
    scale : (n, k) float64 array
        Non-negative scaling of every output.
    direction : (n, k) float64 array or None
        Unit vector that L maps to 0, one a row; None where there is no such direction.
    """

    scale: np.ndarray
    direction: np.ndarray | None = None

    def project(self, V: np.ndarray) -> np.ndarray:
        """Return (I − direction directionᵀ) V, (n, k)."""
        if self.direction is None:
            return V
        along = np.einsum("nk,nk->n", self.direction, V)
        return V - along[:, None] * self.direction

    def root(self, V: np.ndarray) -> np.ndarray:
        """Return L V, (n, k)."""
        return self.scale * self.project(V)

    def root_t(self, V: np.ndarray) -> np.ndarray:
        """Return Lᵀ V, (n, k)."""
        return self.project(self.scale * V)


class Loss(Protocol):
    """What training needs of a loss."""

    @property
    def quadratic(self) -> bool:
        """Whether the curvature is the same for all predictions."""

    @property
    def largest_curvature(self) -> float:
        """Bound of the eigenvalues of ∂²ℓ/∂f² over all f."""

    def n_terms(self, k: int) -> int:
        """Return the number of terms a row's loss is a sum of, by which values are divided."""

    def evaluate(self, Y: np.ndarray, F: np.ndarray) -> Evaluation:
        """Return value and residual of every row."""

    def curvature(self, Y: np.ndarray, residual: np.ndarray, weights: np.ndarray):
        """Return the `Curvature` and the residual in its coordinates, (n, k)."""

    def resolved(self, mean_squared_residual: float, dtype) -> bool:
        """Whether residuals this small leave nothing to train on."""


@dataclass(frozen=True, slots=True)
class SquaredError:
    """ℓ = ½ ‖y − f‖², summed over outputs."""

    quadratic = True
    largest_curvature = 1.0

    def n_terms(self, k: int) -> int:
        """Return k: the loss is a mean over outputs."""
        return k

    def evaluate(self, Y: np.ndarray, F: np.ndarray) -> Evaluation:
        """Return ½ ‖y − f‖² and y − f."""
        residual = Y - F
        return Evaluation(0.5 * np.einsum("nk,nk->n", residual, residual), residual)

    def curvature(self, Y: np.ndarray, residual: np.ndarray, weights: np.ndarray):
        """Return √w as the curvature's root, and √w (y − f)."""
        scale = np.repeat(np.sqrt(weights, dtype=np.float64)[:, None], Y.shape[1], axis=1)
        return Curvature(scale), scale * residual

    def resolved(self, mean_squared_residual: float, dtype) -> bool:
        """Whether residuals are down to rounding errors of the targets' precision."""
        return mean_squared_residual <= (1e4 * np.finfo(dtype).eps) ** 2


@dataclass(frozen=True, slots=True, eq=False)
class CrossEntropy:
    """ℓ = −Σ_c y_c log p_c with p = softmax(f + base); with one output, y in [0, 1] and the sigmoid.

    Attributes
    ----------
    base : (k,) array
        Constant added to the predictions: the log-odds of the classes before anything is learned.
    """

    base: np.ndarray

    quadratic = False

    @property
    def largest_curvature(self) -> float:
        """Return ¼ with one output and ½ with several (D. Böhning, Ann. Inst. Stat. Math. 44, 1992)."""
        return 0.25 if len(self.base) == 1 else 0.5

    def n_terms(self, k: int) -> int:
        """Return 1: the outputs make one loss."""
        return 1

    def evaluate(self, Y: np.ndarray, F: np.ndarray) -> Evaluation:
        """Return −log p of the target, and y − p."""
        logs = log_probabilities(F + self.base)
        if F.shape[1] == 1:
            value = -np.einsum("nk,nk->n", np.hstack([1 - Y, Y]), logs)
            residual = Y - np.exp(logs[:, 1:])
        else:
            value = -np.einsum("nk,nk->n", Y, logs)
            residual = Y - np.exp(logs)
        return Evaluation(value, residual.astype(F.dtype, copy=False))

    def curvature(self, Y: np.ndarray, residual: np.ndarray, weights: np.ndarray):
        """Return the curvature at probabilities moved towards the target, and √w (y − p)/√p."""
        Y, residual = Y.astype(np.float64, copy=False), residual.astype(np.float64, copy=False)
        root = np.sqrt(weights, dtype=np.float64)[:, None]
        missed = np.max(np.abs(residual), axis=1, keepdims=True)  # 1 − p of the target
        most = 1 - _LEAST_PROBABILITY
        P = Y - most / np.maximum(missed, most) * residual
        if Y.shape[1] == 1:
            scale = np.sqrt(np.maximum(P * (1 - P), _LEAST_CURVATURE))
            return Curvature(root * scale), root * residual / scale
        direction = np.sqrt(np.maximum(P, _LEAST_CURVATURE))
        curvature = Curvature(root * direction, direction)
        return curvature, curvature.project(root * residual / direction)

    def resolved(self, mean_squared_residual: float, dtype) -> bool:
        """Whether every target has a probability of 1 to a few digits."""
        return mean_squared_residual <= 1e-8


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the logarithms of the classes' probabilities, (n, max(k, 2)).

    Parameters
    ----------
    logits : (n, k) array
        One column, the log-odds of the second class of two, or one for each class.
    """
    if logits.shape[1] == 1:
        return -np.logaddexp(0, np.hstack([logits, -logits]))
    return log_softmax(logits, axis=1)
