r"""Newton's method on convex losses, and the infinitely wide network that is trained by it.

With kernel K, weights w and penalty a, the infinitely wide network trained to convergence on a loss ℓ is,
for any loss that is convex in the predictions, the unique minimiser of

    Σᵢ wᵢ ℓ(yᵢ, f(xᵢ)) + ½ a ‖f‖²,      f(x) = k_p(x)ᵀ C,

since its tangent kernel does not move and is the same for every output. For the cross-entropy that is the
mode of the posterior that Laplace's approximation of a Gaussian process classifier is built on ([1]_,
sections 3.4 and 3.5), kernel logistic regression. f is spanned by all rows or by p landmarks, as in `ridge`.
With K_pp = T Tᵀ, V = K_np T⁻ᵀ (T itself where every row is a landmark) and β = TᵀC it becomes a regression on
p features, penalised by ½ a ‖β‖², and Newton's method solves

    (Vᵀ B V + a I) δ = Vᵀ W r − a β

for every step, B the curvature of the loss and W r its residual (`function_space.losses`). Where B couples
the outputs, the system is solved by conjugate gradients, preconditioned by Vᵀ B̄ V + a I with the mean B̄ of
the outputs' curvatures: one factorisation for all of them. Where it does not, a factorisation for each output
is the solution itself.

A loss with a narrow width is reached by a path of wider ones (`Loss.path`), each from the last one's minimum.

References
----------
.. [1] C. E. Rasmussen and C. K. I. Williams, "Gaussian processes for machine learning", MIT Press 2006.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._numerics.blocks import low_rank_blocks, numbered_blocks
from .cg import below, conjugate_gradients
from .losses import Loss
from .precondition import OutputFactors
from .ridge import Kernel, backward, forward, shifted_cholesky


@dataclass(frozen=True, slots=True)
class NewtonLimits:
    """When Newton's method ends.

    Attributes
    ----------
    tol : float
        Relative change of the objective that ends it.
    max_iter, max_halvings : int
        Steps, and halvings of one, at most.
    """

    tol: float
    max_iter: int
    max_halvings: int


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How exact a fit is.

    Attributes
    ----------
    newton, on_the_way : NewtonLimits
        To rounding, which quadratic convergence reaches in a few steps more; and for losses that only lead to
        the one that is meant.
    rtol, max_products : float and int
        Conjugate gradients: relative residual, which is what a Newton step leaves of the error, and
        iterations.
    least_penalty : float
        Relative to the means of diag K and of the weights: separable classes have no minimum without one.
    """

    newton: NewtonLimits = NewtonLimits(tol=1e-11, max_iter=100, max_halvings=20)
    on_the_way: NewtonLimits = NewtonLimits(tol=1e-3, max_iter=20, max_halvings=10)
    rtol: float = 1e-3
    max_products: int = 200
    least_penalty: float = 1e-8


_DEFAULT = FitSettings()


class Iterate(NamedTuple):
    """Coefficients, the predictions they make, and loss and residual there.

    Attributes
    ----------
    coefficients : (p, k) array
        What the objective is minimised over.
    predictions : (n, k) array
        F, less those of the start.
    value : float
        The objective; infinite where it is not known.
    residual : (n, k) array
        −∂ℓ/∂F.
    """

    coefficients: np.ndarray
    predictions: np.ndarray
    value: float
    residual: np.ndarray


def newton(
    evaluate: Callable[[np.ndarray], Iterate], step: Callable[[Iterate], np.ndarray], start: Iterate,
    limits: NewtonLimits,
) -> tuple[Iterate, list[float]]:  # fmt: skip
    """Minimise a convex objective by Newton steps, each halved until it does not raise the objective.

    Parameters
    ----------
    evaluate : callable
        The `Iterate` of coefficients.
    step : callable
        The Newton step from an iterate, (p, k): the coefficients' change, by whatever solves the system.
    start : Iterate
        Where to begin. With an infinite value, the first step is taken as it is.
    limits : NewtonLimits
        When to end.

    Returns
    -------
    end : Iterate
        The last iterate.
    values : list of float
        The objective after each step.
    """
    here, values = start, []
    for _ in range(limits.max_iter):
        change = step(here)
        for _ in range(limits.max_halvings):
            trial = evaluate(here.coefficients + change)
            if trial.value < here.value:
                break
            change /= 2
        else:  # rounding is all that is left
            break
        settled = here.value - trial.value <= limits.tol * trial.value
        here = trial
        values.append(trial.value)
        if settled:
            break
    return here, values


def fit_newton(
    kernel: Kernel, landmarks: np.ndarray, Y: np.ndarray, weights: np.ndarray, loss: Loss, penalty: float
) -> tuple[np.ndarray, list[float]]:
    """Return C, (p, k), and the objective per unit of weight after each step.

    Parameters
    ----------
    kernel, landmarks, Y, weights
        As in `ridge.fit_ridge`.
    loss : Loss
        The loss ℓ, convex in the predictions.
    penalty : float
        The penalty, absolute.
    """
    factor, V = _features(kernel, landmarks, len(Y))
    unit = float(weights.mean())  # a common factor of weights and penalty changes nothing
    weights, penalty = weights / unit, penalty / unit
    penalty = max(penalty, _DEFAULT.least_penalty * float(np.mean(np.einsum("np,np->n", V, V))) or 1.0)
    total = float(weights.sum())

    def minimise(beta: np.ndarray, loss: Loss, penalty: float, limits: NewtonLimits):
        def evaluate(beta: np.ndarray) -> Iterate:
            F = V @ beta
            losses, residual = loss.evaluate(Y, F)
            value = (float(weights @ losses) + 0.5 * penalty * float(np.sum(beta**2))) / total
            return Iterate(beta, F, value, residual)

        def step(here: Iterate) -> np.ndarray:
            return _newton_step(V, Y, here.residual, weights, loss, penalty, here.coefficients)

        start = evaluate(beta)
        end, values = newton(evaluate, step, start, limits)
        return end.coefficients, values or [start.value]

    beta = np.zeros((V.shape[1], Y.shape[1]))
    for wider in loss.path():
        beta, _ = minimise(beta, wider, penalty * wider.size / loss.size, _DEFAULT.on_the_way)
    beta, values = minimise(beta, loss, penalty, _DEFAULT.newton)
    return backward(factor, beta), values


def _newton_step(V, Y, residual, weights, loss: Loss, penalty: float, beta) -> np.ndarray:
    """Return δ, (p, k)."""
    curvature, _ = loss.curvature(Y, residual, weights)
    scale, d = curvature.scale, curvature.direction
    if d is not None:
        scale = np.sqrt(np.mean(scale**2 * np.maximum(1 - d**2, 0), axis=1))[:, None]

    def gram(scale: np.ndarray) -> np.ndarray:
        total = np.zeros((V.shape[1], V.shape[1]))
        for rows in [slice(None)] if len(V) == len(total) else low_rank_blocks(len(V)):
            root = scale[rows, None] * V[rows]
            total += root.T @ root
        return total

    gradient = V.T @ (weights[:, None] * residual) - penalty * beta
    return conjugate_gradients(
        lambda D: V.T @ curvature.root(curvature.root_t(V @ D)) + penalty * D,
        OutputFactors(gram, scale, penalty).solve,
        gradient,
        below(_DEFAULT.rtol, gradient),
        _DEFAULT.max_products,
    )


def _features(kernel: Kernel, landmarks: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return T with T Tᵀ = K_pp, and V = K_np T⁻ᵀ."""
    K_pp = kernel(landmarks)
    rounding = n * np.finfo(np.float64).eps * (float(np.trace(K_pp)) / len(K_pp) or 1.0)
    factor, _ = shifted_cholesky(K_pp, np.full(len(K_pp), rounding), rounding)
    if len(landmarks) == n:
        return factor, factor
    V = np.empty((n, len(landmarks)))
    for rows in numbered_blocks(n):
        V[rows] = forward(factor, kernel(rows).T).T
    return factor, V
