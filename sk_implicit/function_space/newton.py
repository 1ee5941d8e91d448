r"""Kernel logistic regression, exact or on landmarks: the infinitely wide network and the cross-entropy.

With kernel K, weights w and penalty a, the infinitely wide network trained to convergence on a loss ℓ is,
for any loss that is convex in the predictions, the unique minimiser of

    Σᵢ wᵢ ℓ(yᵢ, f(xᵢ)) + ½ a ‖f‖²,      f(x) = k_p(x)ᵀ C,

since its tangent kernel does not move and is the same for every output. For the cross-entropy that is the
mode of the posterior that Laplace's approximation of a Gaussian process classifier is built on ([1]_,
sections 3.4 and 3.5). f is spanned by all rows or by p landmarks, as in `ridge`. With
K_pp = T Tᵀ, V = K_np T⁻ᵀ (T itself where every row is a landmark) and β = TᵀC it becomes a regression on
p features, penalised by ½ a ‖β‖², and Newton's method solves

    (Vᵀ B V + a I) δ = Vᵀ W r − a β

for every step, B the curvature of the loss and W r its residual (`function_space.losses`). B couples the
outputs; the system is solved by conjugate gradients, preconditioned by Vᵀ B̄ V + a I with the mean B̄ of the
outputs' curvatures: one factorisation for all of them, and the solution itself where there is one output.

References
----------
.. [1] C. E. Rasmussen and C. K. I. Williams, "Gaussian processes for machine learning", MIT Press 2006.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from .._numerics.blocks import numbered_blocks
from .cg import conjugate_gradients
from .losses import Loss
from .ridge import Kernel, backward, forward, shifted_cholesky

# Newton's method: relative change of the objective that ends it, steps, and halvings of one.
_TOL, _MAX_ITER, _MAX_HALVINGS = 1e-11, 100, 20
# Conjugate gradients: relative residual, which is what a Newton step leaves of the error, and iterations.
_RTOL, _MAX_PRODUCTS = 1e-3, 200
# Least penalty, relative to the means of diag K and of the weights: separable classes have no minimum
# without one.
_LEAST_PENALTY = 1e-8


def fit_newton(
    kernel: Kernel, landmarks: np.ndarray, Y: np.ndarray, weights: np.ndarray, loss: Loss, a: float
) -> tuple[np.ndarray, list[float]]:
    """Return C, (p, k), and the objective per unit of weight after each step.

    Parameters
    ----------
    kernel, landmarks, Y, weights
        As in `ridge.fit_ridge`.
    loss : Loss
        The loss ℓ, convex in the predictions.
    a : float
        The penalty, absolute.
    """
    factor, V = _features(kernel, landmarks, len(Y))
    unit = float(weights.mean())  # a common factor of weights and penalty changes nothing
    weights, a = weights / unit, a / unit
    a = max(a, _LEAST_PENALTY * float(np.mean(np.einsum("np,np->n", V, V))) or 1.0)
    beta = np.zeros((V.shape[1], Y.shape[1]))
    total = float(weights.sum())

    def objective(beta: np.ndarray) -> tuple[float, np.ndarray]:
        losses, residual = loss.evaluate(Y, V @ beta)
        return (float(weights @ losses) + 0.5 * a * float(np.sum(beta**2))) / total, residual

    value, residual = objective(beta)
    values: list[float] = []
    for _ in range(_MAX_ITER):
        step = _newton_step(V, Y, residual, weights, loss, a, beta)
        for _ in range(_MAX_HALVINGS):
            trial_value, trial_residual = objective(beta + step)
            if trial_value < value:
                break
            step /= 2
        else:  # rounding is all that is left
            break
        settled = value - trial_value <= _TOL * value
        beta, value, residual = beta + step, trial_value, trial_residual
        values.append(value)
        if settled:
            break
    return backward(factor, beta), values or [value]


def _newton_step(V, Y, residual, weights, loss: Loss, a: float, beta) -> np.ndarray:
    """Return δ, (p, k)."""
    curvature, _ = loss.curvature(Y, residual, weights)
    d = 0.0 if curvature.direction is None else curvature.direction
    mean = np.mean(curvature.scale**2 * np.maximum(1 - d**2, 0), axis=1)
    root = np.sqrt(mean)[:, None] * V
    H = root.T @ root
    H.flat[:: len(H) + 1] += a
    factor = cho_factor(H, lower=True, overwrite_a=True, check_finite=False)
    gradient = V.T @ (weights[:, None] * residual) - a * beta
    limit = _RTOL * np.linalg.norm(gradient)
    return conjugate_gradients(
        lambda D: V.T @ curvature.root(curvature.root_t(V @ D)) + a * D,
        lambda R: cho_solve(factor, R, check_finite=False),
        gradient,
        lambda _, R: np.linalg.norm(R) <= limit,
        _MAX_PRODUCTS,
    )


def _features(kernel: Kernel, landmarks: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return T with T Tᵀ = K_pp, and V = K_np T⁻ᵀ."""
    K_pp = kernel(landmarks)
    rounding = n * np.finfo(np.float64).eps * (float(np.trace(K_pp)) / len(K_pp) or 1.0)
    factor, _ = shifted_cholesky(K_pp, np.full(len(K_pp), rounding), rounding)
    if len(landmarks) == n:
        return factor, factor
    return factor, np.vstack([forward(factor, kernel(rows).T).T for rows in numbered_blocks(n)])
