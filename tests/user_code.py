"""What a user's typed module may look like: `mypy --strict` accepts it (`test_types.py`). Never imported."""

from __future__ import annotations

import numpy as np

from sk_implicit import (
    SKOPS_TRUSTED_TYPES,
    ImplicitReLUClassifier,
    ImplicitReLUKernel,
    ImplicitReLURegressor,
    __version__,
)
from sk_implicit.display import ConvergenceDisplay, SpectrumDisplay, WidthDisplay
from sk_implicit.equilibrium import (
    EquilibriumOptions,
    EquilibriumResult,
    FixedPoint,
    Status,
    by_sweeps,
    solve,
    solve_adjoint,
    solve_tangent,
)
from sk_implicit.equilibrium import register as register_solver
from sk_implicit.limit import limit_diagonal, limit_functions, limit_kernel, limit_kernel_derivatives
from sk_implicit.onnx import register
from sk_implicit.theory import (
    closest_pair,
    convergence_certificate,
    lambda_0,
    limit_gram,
    network_inputs,
    recommend_width,
    tangent_kernel,
    well_posedness,
)


def regression(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    model = ImplicitReLURegressor(width=2.0, gamma=0.3, uncertainty=True, n_jobs=2, random_state=0)
    model.fit(X, y, sample_weight=np.ones(len(y)))
    mean, std = model.predict(X, return_std=True)
    drawn: np.ndarray = model.sample_y(X, n_samples=2, observation_noise=False)
    print(model.predict(X, return_cov=True)[1].diagonal(), drawn.shape)
    again: np.ndarray = model.predict(X)
    states: np.ndarray = model.equilibrium(X)
    print(mean.shape, std.max(), again.dtype, states.shape, model.contraction_ < 1)
    return again


def classification(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    model = ImplicitReLUClassifier(width=np.inf, loss="squared_error", class_weight="balanced").fit(X, y)
    shapes: list[tuple[int, ...]] = [model.predict(X).shape, model.decision_function(X).shape]
    print(shapes, model.predict_log_proba(X).max())
    probabilities: np.ndarray = model.predict_proba(X)
    return probabilities


def gaussian_process(X: np.ndarray) -> np.ndarray:
    kernel = ImplicitReLUKernel(gamma=0.3, kind="nngp")
    K: np.ndarray = kernel(X)
    noisy: np.ndarray = K + kernel.diag(X)
    return noisy


def certificates(model: ImplicitReLURegressor, X: np.ndarray, y: np.ndarray) -> bool:
    inputs: np.ndarray = network_inputs(model, X)
    print(limit_gram(inputs).shape, lambda_0(inputs) + 1.0, closest_pair(inputs).angle)
    print(tangent_kernel(model, X).shape, recommend_width(inputs).width, convergence_certificate(model, X, y))
    print(limit_kernel(X, gamma=0.4, kind="phi").shape, limit_diagonal(X, gamma=0.4).sum())
    print(limit_functions(0.4), limit_kernel_derivatives(X, gamma=0.4).theta.shape)
    verdict: str = well_posedness(model.A_, 0.4).verdict
    return verdict.startswith("Certified")


def damped(problem: FixedPoint, Z: np.ndarray, image: np.ndarray) -> np.ndarray:
    half: np.ndarray = (Z + image) / problem.c.dtype.type(2)
    return half


register_solver("damped", by_sweeps(damped))
options = EquilibriumOptions("damped", tol=1e-6)


def equilibria(A: np.ndarray, Phi: np.ndarray) -> np.ndarray:
    result: EquilibriumResult = solve(A, Phi, gamma=0.4, tol=1e-8)
    if result.status is not Status.CONVERGED:
        raise RuntimeError(f"{result.n_iter} iterations, {result.residual.max()}")
    print(solve_adjoint, solve_tangent)
    return result.solution


def pictures(model: ImplicitReLURegressor, X: np.ndarray, y: np.ndarray) -> None:
    ConvergenceDisplay.from_estimator(model, X, y).plot()
    SpectrumDisplay.from_estimator(model, X).plot()
    WidthDisplay.from_estimator(model, X, y, widths=[10, 20]).plot()


def export() -> list[str]:
    register()
    return [*SKOPS_TRUSTED_TYPES, __version__]
