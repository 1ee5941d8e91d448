"""The regressor at width=numpy.inf: closed form, landmarks, weights, interface."""

import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from problems import regression
from scipy import sparse
from sklearn.base import clone
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit._numerics import blocks
from sk_implicit.function_space import ridge
from sk_implicit.function_space.losses import SquaredError
from sk_implicit.function_space.ridge import choose_landmarks, fit_ridge
from sk_implicit.limit import limit_diagonal, limit_kernel, limit_kernel_derivatives
from sk_implicit.models.limit_solution import limit_kernel_rows, solve_limit

FINITE_ONLY = (
    *("A_", "W_", "U_", "V_", "A_init_", "W_init_", "U_init_", "V_init_", "history_"),
    *("contraction_", "equilibrium_residual_"),
)


def problem(n=40, d=4, k=1, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    Y = np.sin(X @ rng.standard_normal((d, k))) + 0.1 * rng.standard_normal((n, k))
    return X, Y[:, 0] if k == 1 else Y


# Some of scikit-learn's checks, and of the examples here, fit pure noise.
of_noise = pytest.mark.filterwarnings("ignore:Nothing was found:sklearn.exceptions.ConvergenceWarning")


@of_noise
@parametrize_with_checks(
    [
        ImplicitReLURegressor(np.inf),
        ImplicitReLURegressor(np.inf, alpha=0.1, relevance=None, fit_intercept=False, uncertainty=True),
    ]
)
def test_estimator_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("gamma", [0.2, 0.4, 1.3])
def test_is_kernel_ridge_with_the_tangent_kernel_of_the_limit(gamma, k):
    X, Y = problem(k=k)
    model = ImplicitReLURegressor(np.inf, gamma=gamma, alpha=0.2, relevance=None, standardize=False).fit(
        X[:30], Y[:30]
    )
    augmented = np.column_stack([X, np.ones(len(X))])
    K = limit_kernel(augmented, gamma=gamma)
    mean = Y[:30].mean(axis=0)
    ridge = KernelRidge(alpha=0.2 * np.mean(np.diag(K)[:30]), kernel="precomputed")
    ridge.fit(K[:30, :30], Y[:30] - mean)
    np.testing.assert_allclose(model.predict(X), ridge.predict(K[:, :30]) + mean, rtol=1e-9, atol=1e-9)


def test_loss_is_the_objective_at_the_solution():
    X, y = problem()
    weights = np.linspace(0.5, 2, len(y))
    model = ImplicitReLURegressor(np.inf, alpha=0.2, relevance="linear", standardize=False).fit(X, y, weights)
    residual = (y - model.predict(X)) / model.y_scale_
    K = limit_kernel(model.X_fit_, gamma=0.4)
    C = model.dual_coef_[:, 0]
    augmented = np.column_stack([X / model.input_scale_, np.full(len(X), model.bias_)])
    a = 0.2 * np.average(limit_diagonal(augmented, gamma=0.4), weights=weights)
    objective = 0.5 * (weights @ residual**2 + a * C @ K @ C) / weights.sum()
    assert model.loss_ == pytest.approx(objective, rel=1e-10)
    assert model.loss_curve_ == [model.loss_] and model.n_iter_ == 1


@pytest.mark.parametrize("copies", [2, 5])
def test_loss_of_several_outputs_is_their_mean(copies):
    X, y = regression()
    one, several = (
        ImplicitReLURegressor(width=np.inf, alpha=0.1, relevance=None).fit(X, targets)
        for targets in (y, np.column_stack([y] * copies))
    )
    assert_allclose(several.loss_, one.loss_, rtol=1e-10)
    assert_allclose(several.loss_curve_, one.loss_curve_, rtol=1e-10)


def test_loo_score_is_that_of_refits_without_each_row():
    X, y = problem(n=15)
    X = np.column_stack([X, np.ones(len(X))])
    weights = np.array([1.0, 2, 0.5, *np.ones(12)])
    Y = y[:, None] - np.average(y, weights=weights)
    fit = solve_limit(X, Y, weights, SquaredError(), gamma=0.4, alpha="loo")
    K = limit_kernel(X, gamma=0.4)
    squares = []
    for i in range(15):
        left = weights.copy()
        left[i] = 0
        kept = left > 0
        system = K[np.ix_(kept, kept)] + np.diag(fit.penalty.absolute / left[kept])
        mean = np.average(Y[kept, 0], weights=weights[kept])
        squares.append((Y[i, 0] - mean - K[i, kept] @ np.linalg.solve(system, Y[kept, 0] - mean)) ** 2)
    n_effective = weights.sum() ** 2 / (weights @ weights)
    unexplained = np.average(Y[:, 0] ** 2, weights=weights) * n_effective / (n_effective - 1)
    refitted = 1 - np.average(squares, weights=weights) / unexplained
    assert fit.penalty.score == pytest.approx(refitted, abs=2e-3)  # the minimum is that of a parabola


def test_wide_networks_approach_it():
    X, y = problem(n=60)
    parameters = {"alpha": 0.1, "relevance": None, "tol": 1e-3}
    limit = ImplicitReLURegressor(np.inf, **parameters).fit(X[:20], y[:20]).predict(X[20:])
    gaps = []
    for width in (32, 512):
        squares = []
        for seed in range(4 if width == 32 else 2):
            model = ImplicitReLURegressor(width, random_state=seed, **parameters).fit(X[:20], y[:20])
            squares.append(np.mean((model.predict(X[20:]) - limit) ** 2))
        gaps.append(np.sqrt(np.mean(squares)))
    assert gaps[1] < 0.5 * gaps[0]  # 1/4 in expectation
    assert gaps[1] < 0.1 * np.std(limit)


@of_noise
@pytest.mark.parametrize("alpha", ["loo", 0.1])
@pytest.mark.parametrize("relevance", ["auto", None])
@settings(max_examples=8)
@given(seed=st.integers(0, 2**16))
def test_weights_are_repetitions_and_order_does_not_matter(relevance, alpha, seed):
    X, Y = problem(n=12, k=2, seed=seed)
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 4, size=12)
    weights[:4] = [2, 0, 1, 1]
    rows = rng.permutation(np.repeat(np.arange(12), weights))
    model = ImplicitReLURegressor(np.inf, alpha=alpha, relevance=relevance)
    weighted = clone(model).fit(X, Y, weights).predict(X)
    repeated = clone(model).fit(X[rows], Y[rows]).predict(X)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("relevance", ["auto", "linear"])
def test_sparse_input_gives_the_same_predictions(relevance):
    X, y = problem()
    X[X < 0.3] = 0
    model = ImplicitReLURegressor(np.inf, relevance=relevance, standardize=False)
    dense = clone(model).fit(X, y)
    for convert in (sparse.csr_matrix, sparse.csc_array):
        S = convert(X)
        fitted = clone(model).fit(S, y)
        assert sparse.issparse(fitted.X_fit_) == (relevance == "linear")
        for rows in (X, S):
            np.testing.assert_allclose(fitted.predict(rows), dense.predict(X), rtol=1e-6, atol=1e-8)


def test_float32_is_kept_and_close():
    X, y = problem()
    single = ImplicitReLURegressor(np.inf).fit(X.astype(np.float32), y)
    double = ImplicitReLURegressor(np.inf).fit(X, y)
    prediction = single.predict(X)
    assert prediction.dtype == np.float32 and single.X_fit_.dtype == np.float32
    np.testing.assert_allclose(prediction, double.predict(X), atol=1e-3)


def test_no_penalty_interpolates_and_equal_rows_share_their_mean():
    X, y = problem()
    model = ImplicitReLURegressor(np.inf, alpha=0.0).fit(X, y)
    np.testing.assert_allclose(model.predict(X), y, atol=1e-8)
    X, y = np.vstack([X, X[:1]]), np.append(y, y[0] + 1)
    model.fit(X, y)
    assert model.predict(X[:1])[0] == pytest.approx(y[0] + 0.5, abs=1e-3)


def test_what_has_no_meaning_is_absent_and_refits_leave_nothing_behind():
    X, y = problem()
    model = ImplicitReLURegressor(20, random_state=0, max_iter=3, tol=10.0, warm_start=True).fit(X, y)
    assert hasattr(model, "A_") and not hasattr(model, "X_fit_")
    model.set_params(width=np.inf, warm_start=False).fit(X, y)
    assert not any(hasattr(model, name) for name in FINITE_ONLY)
    np.testing.assert_array_equal(model.predict(X), ImplicitReLURegressor(np.inf).fit(X, y).predict(X))
    assert model.width_ == np.inf and model.dual_coef_.shape == (40, 1)
    assert model.X_fit_.shape == (40, len(model.input_scale_) + 1)
    model.set_params(width=20, alpha=0.1).fit(X, y)
    assert hasattr(model, "A_")
    assert not any(hasattr(model, name) for name in ("X_fit_", "dual_coef_", "loo_score_"))


@pytest.mark.parametrize("cls", [ImplicitReLURegressor, ImplicitReLUClassifier])
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"early_stopping": True}, "early_stopping=True is without effect"),
        ({"warm_start": True}, "warm_start=True is without effect"),
        ({"early_stopping": True, "warm_start": True}, "early_stopping=True and warm_start=True are without"),
    ],
)
def test_what_needs_steps_is_reported_as_without_effect(cls, settings, said):
    X, y = problem()
    y = y > 0
    with pytest.warns(UserWarning, match=f"{said}.* at width=inf.*use a finite width") as caught:
        model = cls(np.inf, **settings).fit(X, y)
    assert len(caught) == 1 and caught[0].filename == __file__
    np.testing.assert_array_equal(model.predict(X), cls(np.inf).fit(X, y).predict(X))


def test_equilibrium_and_gamma_are_refused_clearly():
    X, y = problem()
    with pytest.raises(ValueError, match="finite width"):
        ImplicitReLURegressor(np.inf).fit(X, y).equilibrium(X)
    with pytest.raises(ValueError, match="√2"):
        ImplicitReLURegressor(np.inf, gamma=np.sqrt(2)).fit(X, y)


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_classifier_takes_both_losses(loss):
    X, y = problem()
    labels = y > 0
    model = ImplicitReLUClassifier(np.inf, loss=loss).fit(X, labels)
    assert model.score(X, labels) > 0.9
    assert np.all(np.abs(model.predict_proba(X).sum(axis=1) - 1) < 1e-12)


def test_pickle_clone_and_grid_search():
    X, y = problem()
    model = ImplicitReLURegressor(np.inf, uncertainty=True).fit(X, y)
    copy = pickle.loads(pickle.dumps(model))
    for ours, theirs in zip(model.predict(X, return_std=True), copy.predict(X, return_std=True)):
        np.testing.assert_array_equal(ours, theirs)
    grid = {"width": [64, 256, 1024, np.inf]}
    search = GridSearchCV(ImplicitReLURegressor(alpha=0.1, tol=1.0, random_state=0), grid, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# ---------------------------------------------------------------- landmarks


def test_all_rows_as_landmarks_are_the_exact_solution():
    X, Y = problem(n=50, k=2)
    weights = np.linspace(0.2, 3, 50)
    exact = fit_ridge(limit_kernel_rows(X, np.arange(50), 0.4), np.arange(50), Y, weights, 0.1)
    # one row more, of next to no weight, makes a proper subset of the landmarks
    X1, Y1, weights1 = np.vstack([X, X[:1] + 1]), np.vstack([Y, Y[:1]]), np.append(weights, 1e-13)
    spanned = fit_ridge(limit_kernel_rows(X1, np.arange(50), 0.4), np.arange(50), Y1, weights1, 0.1)
    np.testing.assert_allclose(spanned.residual[:50], exact.residual, rtol=1e-5, atol=1e-7)
    assert spanned.squared_norm == pytest.approx(exact.squared_norm, rel=1e-6)
    new = X[:9] + 0.3
    cross, diagonal = limit_kernel(new, X, gamma=0.4), limit_diagonal(new, gamma=0.4)
    np.testing.assert_allclose(
        spanned.system.variance(cross, diagonal), exact.system.variance(cross, diagonal), rtol=1e-5
    )


def test_landmarks_solve_the_restricted_problem(monkeypatch):
    monkeypatch.setattr(blocks, "SIZES", blocks.BlockSizes(kernel_rows=7))
    X, Y = problem(n=50, k=2)
    weights, landmarks = np.linspace(0.2, 3, 50), np.arange(0, 50, 4)
    fit = fit_ridge(limit_kernel_rows(X, landmarks, 0.4), landmarks, Y, weights, 0.1)
    K = limit_kernel(X, gamma=0.4)
    K_np, K_pp = K[:, landmarks], K[np.ix_(landmarks, landmarks)]
    dual = np.linalg.solve(K_np.T @ (weights[:, None] * K_np) + 0.1 * K_pp, K_np.T @ (weights[:, None] * Y))
    np.testing.assert_allclose(fit.dual, dual, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(fit.residual, Y - K_np @ dual, atol=1e-8)
    assert fit.squared_norm == pytest.approx(np.sum(dual * (K_pp @ dual)), rel=1e-8)


def test_memory_does_not_grow_with_the_square_of_the_rows(monkeypatch):
    monkeypatch.setattr(ridge, "LIMITS", ridge.RidgeLimits(exact_rows=500, n_landmarks=200))
    X, y = problem(n=5000)
    exact_size = 8 * 5000**2
    model = ImplicitReLURegressor(np.inf, alpha=0.01, relevance=None)
    ImplicitReLURegressor(np.inf, alpha=0.01, relevance=None).fit(X[:50], y[:50])  # the kernel's table
    tracemalloc.start()
    model.fit(X, y)
    prediction = model.predict(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < exact_size / 4
    assert model.dual_coef_.shape == (200, 1)
    assert 1 - np.var(y - prediction) / np.var(y) > 0.9


def test_landmarks_are_a_fixed_sorted_sample():
    np.testing.assert_array_equal(choose_landmarks(100), np.arange(100))
    many = choose_landmarks(ridge.LIMITS.exact_rows + 1)
    assert len(many) == ridge.LIMITS.n_landmarks and np.all(np.diff(many) > 0)


# ---------------------------------------------------------------- the kernel


def test_kernel_of_sparse_rows_is_that_of_dense_rows():
    X, _ = problem()
    X[X < 0.3] = 0
    X[3] = 0
    S = sparse.csr_array(X)
    for rows, others in ((S, None), (S, S[:7]), (X, S[:7]), (S, X[:7])):
        dense = limit_kernel(X, None if others is None else X[:7], gamma=0.4)
        np.testing.assert_allclose(limit_kernel(rows, others, gamma=0.4), dense, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(limit_diagonal(S, gamma=0.4), limit_diagonal(X, gamma=0.4), rtol=1e-12)


def test_derivative_by_the_angle_alone_is_that_of_both():
    X, _ = problem(n=10)
    both = limit_kernel_derivatives(X, gamma=0.4)
    alone = limit_kernel_derivatives(X, gamma=0.4, by_gamma=False)
    np.testing.assert_array_equal(alone.theta, both.theta)
    assert alone.gamma is None and both.gamma is not None


@pytest.mark.parametrize("p", [40, 1000])
def test_a_row_alone_is_predicted_as_among_others(p):
    """Where inputs are given twice with different targets, next to no rounding error is forgiven."""
    rng = np.random.RandomState(6)
    X = np.tile(rng.standard_normal((15, p)), (2, 1))
    y = rng.standard_normal(30)
    model = ImplicitReLURegressor(np.inf, alpha=0, relevance=None, clip=False).fit(X, y)
    together = model.predict(X)
    assert_allclose(together[:15], (y[:15] + y[15:]) / 2, atol=1e-3)
    assert_allclose([model.predict(row[None])[0] for row in X], together, atol=1e-4)


@pytest.mark.parametrize("size", [1e100, 1e-60])
def test_targets_beyond_single_precision_are_refused_with_inputs_in_it(size):
    X = np.random.RandomState(0).standard_normal((20, 3)).astype(np.float32)
    with pytest.raises(ValueError, match="Pass X as float64, or rescale y"):
        ImplicitReLURegressor(np.inf).fit(X, size * X[:, 0].astype(np.float64))
