"""What the network sees of its inputs: the likelihood's gradient, its weights, and what it does to noise."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.sparse import csr_array, issparse
from scipy.sparse import random as sparse_random

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit._numerics.blocks import sample_rows
from sk_implicit.function_space.leaving_out import LeavingOut
from sk_implicit.inputs import relevance as relevance_module
from sk_implicit.inputs.likelihood import Likelihood
from sk_implicit.inputs.relevance import SETTINGS, choose_inputs, learn_relevance
from sk_implicit.inputs.scale_prior import ScalePrior
from sk_implicit.limit import limit_kernel


def problem(n=60, d=4, k=1, seed=0):
    """Return inputs of which only the first two matter."""
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, d))
    Y = np.column_stack([np.sin(2 * X[:, 0]) + 0.3 * X[:, 1] * (c + 1) for c in range(k)])
    Y += 0.05 * rng.standard_normal(Y.shape)
    return X, (Y - Y.mean(axis=0)) / Y.std(axis=0)


@pytest.mark.parametrize("k", [1, 3])
def test_gradient_agrees_with_finite_differences(k):
    """In log scales, some of them shared, log bias and log noise, with weights and several outputs."""
    X, Y = problem(n=25, k=k)
    X = np.hstack([X, np.ones((len(X), 1))]) / 2
    groups = np.array([0, 1, 1, 2, 3])
    weights = np.random.RandomState(1).uniform(0.5, 3, len(X))
    likelihood = Likelihood(X, Y, weights, groups, 0.4, ScalePrior(), 3)
    for seed in range(3):
        parameters = np.random.RandomState(seed).uniform(-0.7, 0.7, 5)
        error = check_grad(lambda p: likelihood(p)[0], lambda p: likelihood(p)[1], parameters, epsilon=1e-6)
        assert error < 1e-5 * max(1, np.linalg.norm(likelihood(parameters)[1]))


def test_groups_add_a_random_effect():
    """To the likelihood of rows that share what no feature tells: against the density, and differences."""
    X, Y = problem(n=20, k=1)
    X = np.hstack([X, np.ones((len(X), 1))]) / 2
    weights, number = np.random.RandomState(1).uniform(0.5, 3, 20), np.arange(20) % 7
    together = LeavingOut(weights, number)
    likelihood = Likelihood(X, Y, weights, np.arange(5), 0.4, ScalePrior(), 4, together)
    assert likelihood.n_noises == 2
    values = []
    for seed in range(3):
        parameters = np.random.RandomState(seed).uniform(-0.7, 0.7, 7)
        error = check_grad(lambda p: likelihood(p)[0], lambda p: likelihood(p)[1], parameters, epsilon=1e-6)
        assert error < 1e-5 * max(1, np.linalg.norm(likelihood(parameters)[1]))
        r, v = np.exp(parameters[-2:])
        S = limit_kernel(X * np.exp(parameters[:5]), gamma=0.4) + np.diag(v / weights)
        S += r * (number[:, None] == number)
        total = weights.sum()
        amplitude = Y[:, 0] @ np.linalg.solve(S, Y[:, 0]) / total
        value = np.linalg.slogdet(S)[1] + (total - 20) * np.log(v) + total * np.log(amplitude)
        value = 0.5 * (value + np.log(weights).sum())
        values.append(likelihood(parameters)[0] * total - value - 0.5 * np.sum(parameters[:4] ** 2) / 0.49)
    np.testing.assert_allclose(values, 0, atol=1e-8)


def test_weight_two_is_the_row_twice():
    """The likelihood of N = Σw observations, not of n rows: its derivatives, and itself up to a constant."""
    X, Y = problem(n=30)
    weights = np.random.RandomState(0).randint(1, 4, len(X)).astype(float)
    times = weights.astype(int)
    groups = np.arange(4)
    weighted = Likelihood(X, Y, weights, groups, 0.4, ScalePrior(), 4)
    repeated = Likelihood(
        np.repeat(X, times, axis=0),
        np.repeat(Y, times, axis=0),
        np.ones(times.sum()),
        groups,
        0.4,
        ScalePrior(),
        4,
    )
    constants = []
    for seed in range(5):
        parameters = np.random.RandomState(seed).uniform(-1, 1, X.shape[1] + 1)
        (value, gradient), (expected, expected_gradient) = weighted(parameters), repeated(parameters)
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-8, atol=1e-10)
        constants.append(value - expected)
    np.testing.assert_allclose(constants, constants[0], rtol=1e-8, atol=1e-12)


def chosen(X, Y, relevance="linear", **settings):
    """Return the inputs that are chosen for rows of weight one."""
    settings = {"gamma": 0.4, "bias": True, "relevance": relevance} | settings
    return choose_inputs(X, Y, np.ones(len(Y)), **settings)


def test_irrelevant_features_shrink():
    """Columns of noise end below those that matter."""
    X, Y = problem(n=200, d=6)
    relevance = 1 / chosen(X, Y).scale
    assert relevance[2:].max() < 0.5 * relevance[:2].min()


@pytest.mark.parametrize("relevance", ["auto", "linear"])
def test_sparse_and_dense_agree_and_many_rows_are_sampled(relevance):
    """The same inputs from CSR, beyond the number of rows that are sampled."""
    X, Y = problem(n=SETTINGS.sampled_rows + 50)
    X[X < 0] = 0
    dense, sparse = chosen(X, Y, relevance), chosen(csr_array(X), Y, relevance)
    np.testing.assert_allclose(dense.scale, sparse.scale, rtol=1e-12)
    seen = sparse.apply(csr_array(X))
    np.testing.assert_allclose(seen.toarray() if issparse(seen) else seen, dense.apply(X), atol=1e-14)


def test_wide_sparse_tables_stay_as_they_are():
    """Beyond a number of columns nothing is learnt, and nothing made dense."""
    X = sparse_random(40, SETTINGS.dense_columns + 1, density=0.01, format="csr", random_state=0)
    Y = np.random.RandomState(0).standard_normal((40, 1))
    inputs = chosen(X, Y, "auto")
    assert inputs.encoding is None and np.ptp(inputs.scale) == 0
    assert issparse(inputs.apply(X))


def test_steps_are_given_to_the_encoding():
    """A step in one feature raises its encoded columns above the feature itself; a line does not."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((300, 2))
    Y = (X[:, :1] > 0.5) + X[:, 1:] + 0.05 * rng.standard_normal((300, 1))
    inputs = chosen(X, Y, "auto")
    share = np.array([(1 / inputs.scale[2:][inputs.encoding.feature == j]).mean() for j in (0, 1)])
    share *= inputs.scale[:2]
    assert share[0] > 3 * share[1]


def test_nothing_to_learn_from():
    """Constant targets, constant inputs: the user's scales stay."""
    X, Y = problem()
    assert (learn(X, 0 * Y) == 1).all()
    assert (learn(0 * X, Y) == 1).all()
    assert np.isfinite(learn(X[:1], Y[:1])).all()
    assert np.ptp(chosen(X, 0 * Y).scale) == 0


def learn(X, Y):
    """Return the factors of the columns."""
    return learn_relevance(X, Y, np.ones(len(X)), np.arange(X.shape[1]), gamma=0.4, bias=True)[0]


def constant_share(X, weights=None, **settings):
    """Return the share of the balanced bias, and of all that is the same in every row, in the mean square."""
    weights = np.ones(X.shape[0]) if weights is None else weights
    Y = np.ones((X.shape[0], 1))
    settings = {"gamma": 0.4, "bias": True, "relevance": None, "balanced": True} | settings
    inputs = choose_inputs(X, Y, weights, **settings).apply(X)
    inputs = inputs.toarray() if issparse(inputs) else inputs
    mean = np.average(inputs, axis=0, weights=weights)
    squares = np.average(inputs**2, axis=0, weights=weights).sum()
    np.testing.assert_allclose(squares, 1, rtol=1e-6)
    return inputs[0, -1] ** 2, mean @ mean


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
@pytest.mark.parametrize("shift", [0.0, 0.5])
@pytest.mark.parametrize("form", [np.array, csr_array])
def test_balanced_bias_makes_half_of_a_row_constant(form, shift, size):
    """Whatever the features' scale, and their means up to their standard deviations."""
    X = np.random.RandomState(0).standard_normal((60, 4)) + shift
    weights = np.random.RandomState(1).uniform(0.5, 2, 60)
    bias, constant = constant_share(form(X * size), weights)
    np.testing.assert_allclose(constant, 0.5, rtol=1e-10)
    assert bias < 0.5 if shift else bias > 0.4


def test_balanced_bias_is_small_where_means_do_its_work():
    """It takes a hundredth, and so it does of equal rows; it is all there is of rows of zeros."""
    X = np.random.RandomState(0).standard_normal((60, 4)) + 3
    for rows in (X, np.ones((5, 3))):
        np.testing.assert_allclose(constant_share(rows)[0], 0.01 / 1.01, rtol=1e-10)
    np.testing.assert_allclose(constant_share(np.zeros((5, 3)))[0], 1)


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_subnormal_features(bias, balanced, dtype):
    """Their reciprocals overflow; they are taken for what they are, numbers next to nothing."""
    X = (np.random.RandomState(0).standard_normal((6, 3)) * np.finfo(dtype).tiny * 1e-4).astype(dtype)
    settings = {"gamma": 0.4, "bias": bias, "relevance": None, "balanced": balanced}
    seen = choose_inputs(X, np.ones((6, 1)), np.ones(6), **settings).apply(X)
    assert np.isfinite(seen).all() and np.abs(seen[:, :3]).max() < 1e-3


@pytest.mark.filterwarnings("ignore:Nothing was found:sklearn.exceptions.ConvergenceWarning")  # 50 rows
def test_only_classifiers_balance_their_bias():
    """A regressor takes [x, 1] with relevance=None; no estimator has a bias with fit_intercept=False."""
    X, y = problem(n=50)
    labels = (y[:, 0] > 0).astype(int)
    regressor = ImplicitReLURegressor(np.inf, relevance=None, standardize=False).fit(X, y[:, 0])
    np.testing.assert_allclose(regressor.bias_ * regressor.input_scale_, 1)
    classifier = ImplicitReLUClassifier(np.inf, standardize=False).fit(X, labels)
    mean = X.mean(axis=0) / classifier.input_scale_
    np.testing.assert_allclose(classifier.bias_**2 + mean @ mean, 0.5)
    assert ImplicitReLUClassifier(np.inf, fit_intercept=False).fit(X, labels).bias_ == 0


def test_whole_rows_are_one_observation_and_copies_are_many():
    rng = np.random.RandomState(0)
    X, Y, groups = rng.standard_normal((30, 3)), rng.standard_normal((30, 1)), np.arange(3)
    Y += X[:, :1]

    def learnt(repeats, weight, left_out):
        rows = np.repeat(np.arange(30), repeats)
        weights = np.full(len(rows), float(weight))
        return learn_relevance(
            X[rows], Y[rows], weights, groups, gamma=0.4, bias=True, left_out=LeavingOut(weights * left_out)
        )[0]

    np.testing.assert_allclose(learnt(1, 3, 1.0), learnt(1, 1, 1.0), rtol=1e-6)
    np.testing.assert_allclose(learnt(1, 3, 1 / 3), learnt(3, 1, 1.0), rtol=0.05)
    assert np.abs(learnt(1, 3, 1 / 3) / learnt(1, 3, 1.0) - 1).max() > 0.1


@pytest.mark.parametrize("two", [True, False])
def test_what_moves_the_spread_alone_is_seen_where_it_does(two):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((300, 3))
    noise = np.where(X[:, 2] > 0, 1.5, 0.15) if two else 0.6
    y = (np.sin(2 * X[:, 0]) + noise * rng.standard_normal(300))[:, None]
    options = {"gamma": 0.4, "bias": True, "relevance": "linear"}
    plain = choose_inputs(X, y, np.ones(300), **options).relevance
    Y = np.hstack([y, y])  # quantiles of one target
    seen = choose_inputs(X, Y, np.ones(300), **options, spread=True).relevance
    assert (seen[2] > 2 * plain[2]) == two
    assert seen[0] > seen[1]


@pytest.mark.parametrize("relevance", ["auto", "linear"])
def test_of_classes_a_power_of_what_was_learnt_counts(relevance, monkeypatch):
    X = np.random.default_rng(0).standard_normal((120, 4))
    Y = np.column_stack([X[:, 0] > 0, X[:, 0] <= 0]).astype(float)
    found = {}
    for power in (0.0, 0.25, 1.0):
        monkeypatch.setattr(relevance_module, "SETTINGS", replace(SETTINGS, power_of_classes=power))
        inputs = choose_inputs(
            X, Y, np.ones(len(X)), gamma=0.4, bias=True, relevance=relevance, classes=True, standardize=True
        )
        found[power] = np.append(1 / inputs.scale, inputs.bias)
        if power == 0:
            assert inputs.optimism is None or (inputs.optimism.factors == 1).all()
    learnt, unlearnt = (found[power] / found[power][-1] for power in (1.0, 0.0))
    np.testing.assert_allclose(
        found[0.25] / found[0.25][-1], unlearnt * (learnt / unlearnt) ** 0.25, rtol=1e-9
    )
    assert learnt[0] / learnt[1] > 3 * unlearnt[0] / unlearnt[1]


def test_of_classes_features_that_are_mostly_alike_start_smaller():
    X = np.random.default_rng(0).standard_normal((300, 3))
    X[:, 1] *= np.arange(300) % 30 == 0  # a pixel at the edge
    sizes = {}
    for classes in (False, True):
        for standardize in (False, True):
            inputs = choose_inputs(
                X, np.zeros((300, 1)), np.ones(300), gamma=0.4, bias=True, relevance="linear",
                classes=classes, standardize=standardize,
            )  # fmt: skip
            sizes[classes, standardize] = inputs.scale[0] / inputs.scale[1]
    assert sizes[True, True] < 0.5 * sizes[False, True]
    assert sizes[True, False] == sizes[False, False]


def test_half_of_the_rows_tell_where_to_look(monkeypatch):
    """From there on it is the likelihood of all rows, to the same maximum in fewer evaluations."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((320, 6))
    Y = np.sin(2 * X[:, :1]) + X[:, 1:2] ** 2 + 0.1 * rng.standard_normal((320, 1))
    Y -= Y.mean(axis=0)
    rows = []
    call = Likelihood.__call__
    monkeypatch.setattr(Likelihood, "__call__", lambda self, p: rows.append(len(self.Y)) or call(self, p))

    def learnt(halved):
        monkeypatch.setattr(relevance_module, "SETTINGS", replace(SETTINGS, halved_rows=halved))
        rows.clear()
        found = relevance_module.most_likely(X, Y, np.ones(320), np.arange(6), gamma=0.4, bias=True)
        return found.likelihood(found.parameters)[0], rows[:-1]

    alone, of_all = learnt(321)
    after, staged = learnt(320)
    assert set(of_all) == {320} and staged.count(320) < len(of_all)
    assert staged == sorted(staged) and set(staged) == {160, 320}
    assert after == pytest.approx(alone, abs=1e-3)


def test_a_target_that_is_zero_in_one_half_waits_for_the_other():
    X = np.random.default_rng(0).standard_normal((300, 2))
    Y = np.zeros((300, 1))
    Y[np.setdiff1d(np.arange(300), sample_rows(300, 150))] = 1.0
    found = relevance_module.most_likely(X, Y, np.ones(300), np.arange(2), gamma=0.4, bias=True)
    assert found is not None and np.isfinite(found.parameters).all()
