"""Cross-entropy at infinite width: against a direct minimisation, landmarks, and wide networks."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import rows
from scipy.optimize import minimize
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler

from sk_implicit import ImplicitReLUClassifier
from sk_implicit.function_space import ridge
from sk_implicit.function_space.deviances import GammaDeviance, PoissonDeviance
from sk_implicit.function_space.losses import BinaryCrossEntropy, CrossEntropy, SquaredError
from sk_implicit.function_space.newton import fit_newton
from sk_implicit.function_space.pinball import Huber, Pinball
from sk_implicit.function_space.ridge import fit_ridge
from sk_implicit.limit import limit_kernel
from sk_implicit.models.limit_solution import limit_kernel_rows, solve_limit


def problem(k, n=40, noise=0.4):
    """Return inputs of unit norm, the classes' indicators (k = 1: of two classes), weights and the loss."""
    rng = np.random.RandomState(0)
    X = rows(n, 4, seed=1)
    if k == 1:
        Y = (X[:, :1] + noise * rng.standard_normal((n, 1)) > 0).astype(float)
    else:
        Y = np.eye(k)[np.argmax(X[:, :k] + noise * rng.standard_normal((n, k)), axis=1)]
    return (
        X,
        Y,
        rng.uniform(0.3, 3, n),
        (CrossEntropy if k > 1 else BinaryCrossEntropy)(np.linspace(-0.3, 0.3, k)),
    )


def regression(name, n=40):
    """Return the same for counts, amounts or quantiles of two outputs."""
    rng = np.random.RandomState(0)
    X = rows(n, 4, seed=1)
    if name in ("quantile", "huber"):
        Y = X[:, :2] + 0.3 * rng.standard_t(2, (n, 2))
        loss = Pinball(np.array([0.2, 0.5]), 0.05) if name == "quantile" else Huber(np.array([0.5, 0.5]), 0.3)
        return X, Y, rng.uniform(0.3, 3, n), loss
    mean = np.exp(np.column_stack([X[:, 0], 1 + X[:, 1] - X[:, 2]]))
    Y = rng.poisson(mean).astype(float) if name == "poisson" else rng.gamma(2.0, mean / 2)
    loss = PoissonDeviance() if name == "poisson" else GammaDeviance()
    return X, Y, rng.uniform(0.3, 3, n), loss


def minimum(K, Y, weights, loss, a):
    """Return the penalised minimum over f = T β, K = T Tᵀ, by another optimiser; values and predictions."""
    T = np.linalg.cholesky(K + 1e-12 * np.eye(len(K)))

    def value(b):
        losses, residual = loss.evaluate(Y, T @ b.reshape(Y.shape))
        gradient = -T.T @ (weights[:, None] * residual) + a * b.reshape(Y.shape)
        return weights @ losses + 0.5 * a * b @ b, gradient.ravel()

    options = {"maxiter": 20_000, "maxfun": 50_000, "ftol": 1e-16, "gtol": 1e-10}
    found = minimize(value, np.zeros(Y.size), jac=True, method="L-BFGS-B", options=options)
    return found.fun, T @ found.x.reshape(Y.shape)


@pytest.mark.parametrize("k", [1, 3, "poisson", "gamma", "quantile", "huber"])
@pytest.mark.parametrize("a", [0.01, 0.3])
def test_fit_is_the_penalised_minimum(k, a):
    X, Y, weights, loss = regression(k) if isinstance(k, str) else problem(k)
    every = np.arange(len(Y))
    K = limit_kernel(X, gamma=0.4)
    dual, values = fit_newton(limit_kernel_rows(X, every, 0.4), every, Y, weights, loss, a)
    expected, F = minimum(K, Y, weights, loss, a)
    assert_allclose(values[-1] * weights.sum(), expected, rtol=1e-9)
    assert_allclose(K @ dual, F, atol=1e-4)
    assert np.all(np.diff(values) < 0)
    # what the minimum is known by: a C = W r
    assert_allclose(a * dual, weights[:, None] * loss.evaluate(Y, K @ dual).residual, atol=1e-5)


def test_squared_error_gives_kernel_ridge_regression():
    X, _, weights, _ = problem(1)
    Y = np.random.RandomState(1).standard_normal((40, 2))
    every = np.arange(40)
    kernel = limit_kernel_rows(X, every, 0.4)
    dual, _ = fit_newton(kernel, every, Y, weights, SquaredError(), 0.1)
    assert_allclose(dual, fit_ridge(kernel, every, Y, weights, 0.1).dual, atol=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_all_rows_as_landmarks_are_the_exact_solution(k):
    X, Y, weights, loss = problem(k)
    every = np.arange(len(Y))
    exact, _ = fit_newton(limit_kernel_rows(X, every, 0.4), every, Y, weights, loss, 0.1)
    # one row more, of next to no weight, makes a proper subset of the landmarks
    more, Y, weights = np.vstack([X, rows(1, 4, seed=9)]), np.vstack([Y, Y[:1]]), np.append(weights, 1e-12)
    dual, _ = fit_newton(limit_kernel_rows(more, every, 0.4), every, Y, weights, loss, 0.1)
    assert_allclose(limit_kernel(X, gamma=0.4) @ dual, limit_kernel(X, gamma=0.4) @ exact, atol=1e-5)


def test_few_landmarks_predict_nearly_as_well(monkeypatch):
    X, Y, weights, loss = problem(3, n=200, noise=0.1)
    exact = solve_limit(X, Y, weights, loss, gamma=0.4, alpha=1.0)
    monkeypatch.setattr(ridge, "LIMITS", ridge.RidgeLimits(exact_rows=100, n_landmarks=60))
    few = solve_limit(X, Y, weights, loss, gamma=0.4, alpha=1.0)
    assert few.dual.shape == (60, 3)
    assert exact.losses[-1] < few.losses[-1] < 1.1 * exact.losses[-1]


def test_separable_rows_have_a_fit_without_a_penalty():
    X, Y, _, loss = problem(1, noise=0.0)
    fit = solve_limit(X, Y, np.ones(40), loss, gamma=0.4, alpha=0.0)
    assert np.isfinite(fit.dual).all()
    # softened targets are met: log-odds of log((1 − ε/2)/(ε/2)) for every row, and their entropy is left
    rare = loss.softening / 2
    assert abs(fit.losses[-1] + rare * np.log(rare) + (1 - rare) * np.log1p(-rare)) < 1e-3
    F = limit_kernel(X, gamma=0.4)[:, fit.landmarks] @ fit.dual + loss.base
    assert_allclose(F * (2 * Y - 1), np.log(2 / loss.softening - 1), rtol=0.02)


# --------------------------------------------------------------- the estimator


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classifier(n_classes, iris):
    X, y = (part[50 * (3 - n_classes) :] for part in iris)
    model = ImplicitReLUClassifier(np.inf).fit(X, y)
    assert model.width_ == np.inf
    assert model.dual_coef_.shape == (len(np.unique(X, axis=0)), n_classes if n_classes > 2 else 1)
    assert model.n_iter_ == len(model.loss_curve_) > 1
    assert model.loss_ == model.loss_curve_[-1]
    assert 0.6 < model.loo_score_ < 1
    assert model.score(X, y) > 0.95
    P = model.predict_proba(X)
    assert_allclose(P.sum(axis=1), 1, rtol=1e-12)
    assert_array_equal(model.predict(X), model.classes_[P.argmax(axis=1)])


def test_weight_two_is_the_row_twice(iris):
    X, y = (part[20:120] for part in iris)
    weights = np.random.RandomState(0).randint(0, 3, len(y)).astype(float)
    repeated = np.repeat(np.arange(len(y)), weights.astype(int))
    weighted = ImplicitReLUClassifier(np.inf).fit(X, y, weights)
    copied = ImplicitReLUClassifier(np.inf).fit(X[repeated], y[repeated])
    assert_allclose(weighted.predict_proba(X), copied.predict_proba(X), atol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_wide_networks_come_close():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((60, 3))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    limit = ImplicitReLUClassifier(np.inf, alpha=0.1).fit(X[:30], y[:30]).decision_function(X[30:])
    gaps = []
    for width in (50, 1600):
        model = ImplicitReLUClassifier(width, alpha=0.1, tol=1e-6, random_state=0).fit(X[:30], y[:30])
        gaps.append(np.sqrt(np.mean((model.decision_function(X[30:]) - limit) ** 2)) / np.std(limit))
    assert gaps[1] < 0.1
    assert gaps[1] < gaps[0]


@pytest.mark.parametrize("level", [0.5, 0.1])
def test_the_rounded_pinball_loss_has_next_to_the_minimum_of_the_exact_one(level):
    """That is the maximum of its dual, a quadratic program in a box."""
    X, Y, _, _ = regression("quantile", n=30)
    y, K, a = Y[:, 0], limit_kernel(X, gamma=0.4), 0.05
    loss = Pinball(np.array([level]), 1e-4)
    every = np.arange(30)
    dual, _ = fit_newton(
        limit_kernel_rows(X, every, 0.4), every, y[:, None], np.ones(30), loss, a * loss.size
    )
    # max yᵀc − ½/a cᵀKc over level − 1 <= c <= level
    bounds = [(level - 1, level)] * 30
    found = minimize(
        lambda c: (0.5 / a * c @ K @ c - y @ c, K @ c / a - y), np.zeros(30), jac=True, bounds=bounds,
        method="L-BFGS-B", options={"maxiter": 20_000, "maxfun": 50_000, "ftol": 1e-15, "gtol": 1e-9},
    )  # fmt: skip
    f = K @ dual[:, 0]
    value = np.sum(np.maximum(level * (y - f), (level - 1) * (y - f))) + 0.5 * a * dual[:, 0] @ f
    assert_allclose(value, -found.fun, rtol=5e-4)
    assert value >= -found.fun * (1 - 1e-9)
    assert_allclose(f, K @ found.x / a, atol=0.06)  # it is flat about there
