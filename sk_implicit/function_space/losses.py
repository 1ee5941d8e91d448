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

With p = softmax(f), cross-entropy has ::

    ℓ = −Σ_c y_c log p_c,     r = y − p,     ∂²ℓ/∂f² = diag(p) − p pᵀ = (√p − p √pᵀ)(√p − p √pᵀ)ᵀ,

so L = √w (diag √p)(I − √p √pᵀ), a scaling after a projection, and q = √w (y − p)/√p. With sigmoids, L is
diag √(w p (1 − p)). The losses of a regressor other than the squared error stand in files of their own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.special import log_softmax

# Curvatures count as this much at least: their inverse roots keep their digits.
LEAST_CURVATURE = 1e-12


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


class Loss(ABC):
    """What training needs of a loss ℓ that is convex in the predictions.

    A loss of its own defines the methods without a body. The others have answers that serve for any loss,
    and are overridden where one is known to be better.

    Attributes
    ----------
    constant_curvature : bool
        Whether ∂²ℓ/∂f² is the same for all predictions. Newton's method then ends after one step: the limit
        is a ridge regression, leave-one-out has a closed form, and steps are worth many digits.
    needs_noise : bool
        Whether the loss has a width that follows from the noise: see `at_noise`.
    first_damping : float
        Levenberg-Marquardt's first damping where a rejected step costs as much as any, relative to the mean
        of diag K. Larger ones waste steps, smaller ones are rejected more often.
    unit_share : float
        See `unit`. The larger, the sooner training ends.
    """

    constant_curvature: ClassVar[bool] = False
    needs_noise: ClassVar[bool] = False
    first_damping: ClassVar[float] = 0.05
    unit_share: ClassVar[float] = 0.125

    @abstractmethod
    def evaluate(self, Y: np.ndarray, F: np.ndarray) -> Evaluation:
        """Return value and residual of every row; values are not negative."""

    @abstractmethod
    def curvature(self, Y: np.ndarray, residual: np.ndarray, weights: np.ndarray):
        """Return the `Curvature` and the residual in its coordinates, (n, k)."""

    @abstractmethod
    def largest_curvature(self, Y: np.ndarray) -> float:
        """Return a bound of the eigenvalues of ∂²ℓ/∂f² over the predictions that training comes by.

        It fixes the step of gradient descent.
        """

    @abstractmethod
    def resolved(self, mean_squared_residual: float, dtype) -> bool:
        """Whether residuals this small leave nothing to train on."""

    @property
    def linear_promise(self) -> bool:
        """Whether one step reaches what it promises, where features do not move: less is a shortfall."""
        return self.constant_curvature

    def n_terms(self, k: int) -> int:
        """Return the number of terms a row's loss is a sum of, by which values are divided: one an output."""
        return k

    @property
    def size(self) -> float:
        """What values are divided by, beside the number of terms, where they are reported."""
        return 1.0

    def at_noise(self, noise: np.ndarray) -> tuple[Loss, Loss]:
        """Return the loss for targets of some noise, (k,), and the one that a penalty is chosen by."""
        return self, self

    def path(self) -> Sequence[Loss]:
        """Return losses that are easier to minimise, whose minima lead to that of this one in turn."""
        return ()

    def calibration(self, Y: np.ndarray, F: np.ndarray, weights: np.ndarray) -> np.ndarray | None:
        """Return by what predictions have to be moved, (k,), given those of rows left out; None for not."""
        return None

    def calibrated(self, F: np.ndarray, Y: np.ndarray, calibration: np.ndarray):
        """Return outputs, (p, k) coefficients of them, that are moved, and a constant that is added, (k,)."""
        return F, np.zeros(F.shape[1])

    def unit(self, value: float, first_value: float, explained: float) -> float:
        """Return what a change of the objective is measured by, where the end of training is decided.

        Parameters
        ----------
        value, first_value : float
            The objective, and that of the start.
        explained : float
            Share of the start's loss that is explained of rows left out; 1 where it is not known.

        Returns
        -------
        unit : float
            A share of the start's value, `unit_share`: of noisy targets most of the objective may be left in
            the end, and a tenth of what is left below a hundredth of the start's is nothing that predictions
            would show.
        """
        return self.unit_share * first_value

    def softened(self, Y: np.ndarray) -> np.ndarray:
        """Return the targets that the infinitely wide network is trained on."""
        return Y

    def of_output(self, c: int) -> Loss:
        """Return the loss of one output, where the loss is a sum over outputs."""
        return self

    def linked(self, Y: np.ndarray) -> np.ndarray | None:
        """Return the predictions that foretell the targets exactly, (n, k), which may be infinite.

        None where predictions are never kept in a range.
        """
        return Y


@dataclass(frozen=True, slots=True)
class SquaredError(Loss):
    """ℓ = ½ ‖y − f‖², summed over outputs.

    Attributes
    ----------
    expected_share : float
        Share of the loss expected of new rows below which what training rows still gain says nothing of them.
    """

    expected_share: float = field(default=0.01, repr=False)

    constant_curvature = True
    first_damping = 0.5  # from a random start to thousands of residuals an undamped step goes far too far

    def largest_curvature(self, Y: np.ndarray) -> float:
        """Return 1."""
        return 1.0

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

    def unit(self, value: float, first_value: float, explained: float) -> float:
        """Return the objective itself, or a hundredth of what is to be expected of new rows if that is more.

        Below, what training rows still gain says nothing of others.
        """
        return max(value, self.expected_share * (1 - explained) * first_value)


@dataclass(frozen=True, slots=True, eq=False)
class CrossEntropy(Loss):
    """ℓ = −Σ_c y_c log p_c with p = softmax(f + base): a row has one class of several.

    Attributes
    ----------
    base : (k,) array
        Constant added to the predictions: the log-odds of the classes before anything is learned.
    softening : float
        ε: for the infinitely wide network, a row's class has the probability 1 − ε + ε/k of k classes, the
        others ε/k ([1]_, section 7, with ε = 0.001). Rows that are easy to tell apart then end at finite
        log-odds, all at about the same, instead of being driven as far as the penalty allows, and the penalty
        that leave-one-out chooses can be small enough for the others.
    least_probability : float
        The curvature is taken where the target's probability is at least this: a Newton step moves a row that
        is predicted wrongly by at most the inverse, and so does not overshoot.

    References
    ----------
    .. [1] C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens and Z. Wojna, "Rethinking the Inception architecture
       for computer vision", CVPR 2016, arXiv:1512.00567.
    """

    base: np.ndarray
    softening: float = 1e-3
    least_probability: float = 0.1

    def largest_curvature(self, Y: np.ndarray) -> float:
        """Return ½ (D. Böhning, Ann. Inst. Stat. Math. 44, 1992)."""
        return 0.5

    def n_terms(self, k: int) -> int:
        """Return 1: the outputs make one loss."""
        return 1

    def evaluate(self, Y: np.ndarray, F: np.ndarray) -> Evaluation:
        """Return −log p of the target, and y − p."""
        logs = log_softmax(F + self.base, axis=1)
        residual = Y - np.exp(logs)
        return Evaluation(-np.einsum("nk,nk->n", Y, logs), residual.astype(F.dtype, copy=False))

    def curvature(self, Y: np.ndarray, residual: np.ndarray, weights: np.ndarray):
        """Return the curvature at probabilities moved towards the target, and √w (y − p)/√p."""
        residual = residual.astype(np.float64, copy=False)
        root = np.sqrt(weights, dtype=np.float64)[:, None]
        missed = np.max(np.abs(residual), axis=1, keepdims=True)  # 1 − p of the target
        direction = np.sqrt(np.maximum(self._moved(Y, residual, missed), LEAST_CURVATURE))
        curvature = Curvature(root * direction, direction)
        return curvature, curvature.project(root * residual / direction)

    def _moved(self, Y: np.ndarray, residual: np.ndarray, missed: np.ndarray) -> np.ndarray:
        """Return the probabilities, moved towards targets that are missed by almost 1."""
        most = 1 - self.least_probability
        return Y.astype(np.float64, copy=False) - most / np.maximum(missed, most) * residual

    def resolved(self, mean_squared_residual: float, dtype) -> bool:
        """Whether every target has a probability of 1 to a few digits."""
        return mean_squared_residual <= 1e-8

    def linked(self, Y: np.ndarray) -> None:
        """Return None: log-odds have no range."""
        return None

    def softened(self, Y: np.ndarray) -> np.ndarray:
        """Return probabilities that are neither 0 nor 1."""
        return Y + self.softening * (1 / Y.shape[1] - Y)


@dataclass(frozen=True, slots=True, eq=False)
class BinaryCrossEntropy(CrossEntropy):
    """ℓ = −Σ_c y_c log p_c + (1 − y_c) log(1 − p_c) with p = sigmoid(f + base): labels on their own.

    With one output, two classes. The curvature is diagonal.
    """

    def largest_curvature(self, Y: np.ndarray) -> float:
        """Return ¼."""
        return 0.25

    def n_terms(self, k: int) -> int:
        """Return k: each output has a loss."""
        return k

    def evaluate(self, Y: np.ndarray, F: np.ndarray) -> Evaluation:
        """Return −log p of the labels as they are, summed, and y − p."""
        no, yes = np.logaddexp(0, F + self.base), np.logaddexp(0, -(F + self.base))
        value = (1 - Y) * no + Y * yes
        residual = Y - np.exp(-yes)
        return Evaluation(value.sum(axis=1), residual.astype(F.dtype, copy=False))

    def curvature(self, Y: np.ndarray, residual: np.ndarray, weights: np.ndarray):
        """Return the curvature at probabilities moved towards the targets, and √w (y − p)/√(p (1 − p))."""
        residual = residual.astype(np.float64, copy=False)
        root = np.sqrt(weights, dtype=np.float64)[:, None]
        P = self._moved(Y, residual, np.abs(residual))
        scale = np.sqrt(np.maximum(P * (1 - P), LEAST_CURVATURE))
        return Curvature(root * scale), root * residual / scale

    def softened(self, Y: np.ndarray) -> np.ndarray:
        """Return probabilities that are neither 0 nor 1."""
        return Y + self.softening * (0.5 - Y)


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
