"""Large tables begin with samples of their rows."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import objective, regression

from sk_implicit import ImplicitReLURegressor
from sk_implicit.training import driver, tangent_system
from sk_implicit.training.samples import Growth, sample_sizes
from sk_implicit.training.tangent_system import SystemLimits

N = 150


@pytest.fixture
def small_limit(monkeypatch):
    """Treat problems of more than 40 rows as large ones."""
    monkeypatch.setattr(tangent_system, "LIMITS", SystemLimits(dense=40, factored_rows=40, few_landmarks=20))


def fitted(**settings) -> ImplicitReLURegressor:
    X, y = regression(N, 3)
    settings = {"width": 20, "random_state": 0, "alpha": 1e-3} | settings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ImplicitReLURegressor(**settings).fit(X, y)


@pytest.mark.parametrize("n", [4001, 5000, 8000, 30_000, 1_000_000])
def test_samples_grow_evenly_from_one_that_is_solved_exactly(n):
    sizes = sample_sizes(n)
    assert sizes[0] == 2000
    ratios = np.array([*sizes[1:], n]) / sizes
    assert ratios.max() <= 2.001
    assert_allclose(ratios, ratios[0], rtol=1e-3)
    assert sample_sizes(n, Growth(factor=1e9)) == [2000]


def test_rows_that_are_solved_exactly_are_taken_at_once():
    assert sample_sizes(4000) == []
    assert set(fitted().history_["n_rows"]) == {N}


def test_every_step_says_on_how_many_rows_it_was_measured(small_limit):
    model = fitted()
    n_rows = model.history_["n_rows"]
    assert len(n_rows) == len(model.history_["loss"])
    assert sorted(set(n_rows)) == [*sample_sizes(N), N] == [20, 39, 77, N]
    assert n_rows == sorted(n_rows)


def test_what_is_reached_is_what_all_rows_at_once_reach(small_limit, monkeypatch):
    begun_small = fitted(tol=1e-7, alpha=0.03)
    monkeypatch.setattr(tangent_system, "LIMITS", SystemLimits())
    at_once = fitted(tol=1e-7, alpha=0.03)
    assert set(at_once.history_["n_rows"]) == {N}
    assert begun_small.loss_ < 1.05 * at_once.loss_


def test_the_loss_is_that_of_all_rows(small_limit):
    model = fitted()
    X, y = regression(N, 3)
    expected = np.mean((y - model.predict(X)) ** 2) / np.var(y)
    assert_allclose(model.history_["squared_error"][-1], expected, rtol=1e-4)
    assert model.loss_ == model.history_["loss"][-1]


@pytest.mark.parametrize("centred", [True, False])
def test_a_sample_has_its_rows_and_the_penalty_of_all(centred):
    of_all = objective(m=8, n=30, k=2, weights=np.linspace(0.5, 2, 30), penalty=0.3, centred=centred)
    rows = np.array([1, 5, 6, 20])
    sample = of_all.sample(rows)
    theta = of_all.start.theta + 0.1 * np.random.RandomState(3).standard_normal(of_all.start.theta.size)
    point, sampled = of_all.evaluate(theta), sample.evaluate(theta)
    weights, residual = of_all.weights[rows], point.residual[rows]
    assert_allclose(sampled.residual, residual, atol=1e-9)
    squares = np.sum(weights[:, None] * residual**2)
    pull = 0.3 * np.sum((theta - of_all.start.theta) ** 2)
    assert_allclose(sampled.value, 0.5 * (squares + pull) / (2 * weights.sum()), rtol=1e-8)
    assert_allclose(sample.first_value, sample.evaluate(of_all.start.theta).value, rtol=1e-8)


def test_few_steps_are_taken_on_all_rows(small_limit):
    assert fitted(max_iter=1).history_["n_rows"] == [N, N]
    n_rows = fitted(max_iter=4, tol=0).history_["n_rows"]
    assert n_rows == [20, 20, 20, N, N]


def test_training_that_goes_on_takes_all_rows(small_limit):
    X, y = regression(N, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ImplicitReLURegressor(width=20, alpha=1e-3, max_iter=6, warm_start=True, random_state=0)
        model.fit(X, y)
        n_iter = model.n_iter_
        model.fit(X, y)
    assert model.n_iter_ > n_iter
    assert set(model.history_["n_rows"][n_iter:]) == {N}


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_solvers_whose_steps_cost_little_take_all_rows(small_limit, solver):
    assert set(fitted(solver=solver, max_iter=3).history_["n_rows"]) == {N}


@pytest.mark.parametrize("stop_after", [1, 3, 6])
def test_a_fit_that_is_stopped_on_a_sample_is_kept_and_goes_on(small_limit, stop_after):
    X, y = regression(N, 3)
    model = ImplicitReLURegressor(width=20, alpha=1e-3, warm_start=True, random_state=0)
    advance = driver._advance

    def interrupted(*arguments):
        advanced = advance(*arguments)
        if arguments[3].history.n_iter >= stop_after:
            raise KeyboardInterrupt
        return advanced

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "_advance", interrupted)
        with pytest.warns(UserWarning, match="interrupted"):
            model.fit(X, y)
    assert model.n_iter_ == stop_after
    assert np.isfinite(model.predict(X)).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    assert model.history_["n_rows"][-1] == N
    assert model.score(X, y) > 0.9


def test_early_stopping_watches_the_same_rows_throughout(small_limit):
    model = fitted(early_stopping=True, tol=1e-4)
    assert len(model.validation_scores_) == model.n_iter_
    assert len(set(model.history_["n_rows"])) > 1
    assert model.best_validation_score_ == max(model.validation_scores_)


def test_a_row_of_weight_two_is_the_row_twice(small_limit):
    X, y = regression(N, 3)
    twice = np.append(np.arange(N), np.arange(30))
    weights = np.ones(N)
    weights[:30] = 2
    settings = {"width": 20, "random_state": 0, "alpha": 1e-3, "max_iter": 8}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        repeated = ImplicitReLURegressor(**settings).fit(X[twice], y[twice])
        weighted = ImplicitReLURegressor(**settings).fit(X, y, sample_weight=weights)
    assert np.array_equal(repeated.predict(X), weighted.predict(X))
