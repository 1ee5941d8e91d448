"""The prior of log scales: what it takes for granted of indicators, and of features that say the same."""

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.sparse import csr_array
from sklearn.base import clone

from sk_implicit import ImplicitReLURegressor
from sk_implicit._numerics.blocks import sample_rows
from sk_implicit.inputs.encoding import PiecewiseLinear
from sk_implicit.inputs.likelihood import Likelihood
from sk_implicit.inputs.relevance import (
    SETTINGS,
    choose_inputs,
    learn_relevance,
    likelihood_targets,
)
from sk_implicit.inputs.scale_prior import ScalePrior, indicator_sizes

NONE_ENCODED = np.arange(0)


def covariance(X, weights=None, encoded=NONE_ENCODED):
    """Return C."""
    weights = np.ones(len(X)) if weights is None else weights
    root = ScalePrior.of(X, weights, encoded).root
    return root @ root


def features(n=40, d=3, seed=0):
    """Return correlated columns."""
    rng = np.random.RandomState(seed)
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d))


def test_covariance_follows_the_squared_correlations():
    """Half of R² between features and between encoded ones, half of that from one kind to the other."""
    X = features()
    alike = np.corrcoef(X, rowvar=False) ** 2
    expected = 0.5 * alike[np.ix_([0, 1, 2, 0, 2], [0, 1, 2, 0, 2])]
    expected[:3, 3:] *= 0.5
    expected[3:, :3] *= 0.5
    np.fill_diagonal(expected, 1)
    np.testing.assert_allclose(covariance(X, encoded=np.array([0, 2])), expected, rtol=1e-12)


def test_a_row_of_weight_three_is_three_rows():
    X, weights = features(), np.random.RandomState(1).randint(1, 4, 40)
    X[:, 2] = X[:, 2] > 0
    times, ones = weights.astype(int), np.ones(weights.sum())
    repeated = np.repeat(X, times, axis=0)
    np.testing.assert_allclose(covariance(X, weights), covariance(repeated), rtol=1e-10)
    varies = np.ones(3, bool)
    sizes = indicator_sizes(X, weights, varies)
    np.testing.assert_allclose(sizes, indicator_sizes(repeated, ones, varies), rtol=1e-12)


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
def test_equal_and_constant_columns(size):
    """Equal ones share half of their variance, whatever their scale; constant ones share nothing."""
    column = np.random.RandomState(0).standard_normal(30)
    X = np.column_stack([column, -2 * column + 1, np.full(30, 0.1), np.zeros(30)]) * size
    expected = np.eye(4)
    expected[0, 1] = expected[1, 0] = 0.5
    np.testing.assert_allclose(covariance(X), expected, atol=1e-12)


def test_very_many_features_are_independent():
    assert ScalePrior.of(np.zeros((3, 512)), np.ones(3), NONE_ENCODED).root is not None
    prior = ScalePrior.of(np.zeros((3, 513)), np.ones(3), NONE_ENCODED)
    u = np.random.RandomState(0).standard_normal(513)
    assert prior.root is None
    np.testing.assert_array_equal(prior.log_scales(u), u)
    np.testing.assert_array_equal(prior.by_u(u), u)


def test_rare_indicators_are_small():
    """The same whichever level is rare; balanced ones, constants and numbers keep their size."""
    rare = np.arange(20) < 2
    X = np.column_stack([rare, ~rare, 7 - 3.0 * rare, np.arange(20) < 10, np.ones(20), np.arange(20)])
    expected = [0.36**0.25] * 3 + [1, 1, 1]
    sizes = indicator_sizes(X.astype(float), np.ones(20), np.ptp(X, axis=0) > 0)
    np.testing.assert_allclose(sizes, expected, rtol=1e-12)


@pytest.mark.parametrize("weight", [1e-199, 1e-17, 1e-16, 1e-15, 1e-4])
def test_next_to_no_weight(weight):
    """A level with next to no weight is as rare as levels get, whichever it is."""
    rare = np.arange(40) == 3
    X, weights = np.column_stack([rare, ~rare]).astype(float), np.random.RandomState(0).uniform(1, 2, 40)
    weights[3] = weight
    sizes = indicator_sizes(X, weights, np.ones(2, bool))
    np.testing.assert_allclose(sizes, (4 * 0.001 * 0.999) ** 0.25, rtol=1e-12)
    y = np.sin(np.arange(40.0))
    model = ImplicitReLURegressor(np.inf).fit(np.column_stack([np.arange(40) % 7, X]), y, weights)
    assert np.isfinite(model.input_scale_).all()


def test_levels_that_the_sample_misses_are_rare():
    """Of 600 rows 500 are looked at: a column that is constant there may vary in the others."""
    rng = np.random.RandomState(0)
    X = np.column_stack([rng.standard_normal(600), np.zeros(600), np.ones(600)])
    X[np.setdiff1d(np.arange(600), sample_rows(600, SETTINGS.sampled_rows))[:2], 1] = 1
    settings = {"gamma": 0.4, "bias": True, "relevance": "linear"}
    for form in (np.array, csr_array):
        inputs = choose_inputs(form(X), np.ones((600, 1)), np.ones(600), **settings)
        expected = [(4 * 0.001 * 0.999) ** 0.25, 1]
        np.testing.assert_allclose(inputs.scale[0] / inputs.scale[1:], expected, rtol=1e-12)


def test_gradient_agrees_with_finite_differences():
    """In u, some of whose scales are shared by columns, beside the bias, which is not in the prior."""
    X = features(n=25, d=4)
    Y = np.sin(X[:, :1])
    prior = ScalePrior.of(X[:, [0, 1, 3]], np.ones(25), NONE_ENCODED)
    X = np.hstack([X, np.ones((25, 1))]) / 2
    likelihood = Likelihood(X, Y, np.ones(25), np.array([0, 1, 1, 2, 3]), 0.4, prior, 3)
    for seed in range(3):
        parameters = np.random.RandomState(seed).uniform(-0.7, 0.7, 5)
        error = check_grad(lambda p: likelihood(p)[0], lambda p: likelihood(p)[1], parameters, epsilon=1e-6)
        assert error < 1e-5 * max(1, np.linalg.norm(likelihood(parameters)[1]))


def test_the_prior_is_that_of_log_scales():
    """What is added to the likelihood is ½ tᵀ (τ² C)⁻¹ t, and t are the log scales that are returned."""
    X = features(n=30)
    prior, apart = ScalePrior.of(X, np.ones(30), NONE_ENCODED), ScalePrior()
    arguments = X, np.sin(X[:, :1]), np.ones(30), np.arange(3), 0.4
    u = np.array([0.3, -0.4, 0.5])
    t = prior.log_scales(u)
    with_prior = Likelihood(*arguments, prior, 3)(np.append(u, -2.0))[0]
    independent = Likelihood(*arguments, apart, 3)(np.append(t, -2.0))[0]
    precision = np.linalg.inv(0.7**2 * covariance(X))
    by_hand = independent + 0.5 * (t @ precision @ t - t @ t / 0.7**2) / 30
    np.testing.assert_allclose(with_prior, by_hand, rtol=1e-10)


def copies(seed):
    """Return noisy copies of one signal beside columns of noise, and a target that follows the signal."""
    rng = np.random.RandomState(seed)
    signal = rng.standard_normal((40, 1))
    X = np.hstack([signal + 0.3 * rng.standard_normal((40, 6)), rng.standard_normal((40, 3))])
    Y = np.sin(2 * signal) + 0.1 * rng.standard_normal((40, 1))
    return X, (Y - Y.mean()) / Y.std()


def learnt(X, Y, prior):
    """Return the scale of every feature."""
    return learn_relevance(X, Y, np.ones(40), np.arange(9), gamma=0.4, bias=True, prior=prior)[0]


def test_features_that_say_the_same_rise_together():
    """Of noisy copies of one signal, scales that are independent a priori differ by more."""
    together, apart = 0.0, 0.0
    for seed in range(6):
        X, Y = copies(seed)
        together += np.log(learnt(X, Y, ScalePrior.of(X, np.ones(40), NONE_ENCODED))[:6]).var()
        apart += np.log(learnt(X, Y, ScalePrior())[:6]).var()
    assert together < 0.7 * apart


@pytest.mark.parametrize("relevance", ["linear", "auto"])
def test_inputs_are_chosen_with_the_prior(relevance):
    """That of the features and of those of them that are encoded, with the weights of the rows."""
    X, _ = copies(0)
    X[:, [0, 4]] = X[:, [0, 4]] > 1  # not encoded
    X[:, 8] = X[:, 8] > 0.5
    Y = X[:, 1:2] + X[:, 2:3] ** 2 / 4  # without noise: the likelihood is that of the target itself
    weights = np.random.RandomState(1).uniform(0.5, 4, 40)
    mean = np.average(Y, axis=0, weights=weights)
    Y = (Y - mean) / np.sqrt(np.average((Y - mean) ** 2, axis=0, weights=weights))
    inputs = choose_inputs(X, Y, weights, gamma=0.4, bias=True, relevance=relevance)
    columns, groups, sample, encoded = (
        indicator_sizes(X, weights, np.ones(9, bool)),
        np.arange(9),
        X,
        NONE_ENCODED,
    )
    if relevance == "auto":
        encoding = PiecewiseLinear.of(X, weights)
        encoded = np.unique(encoding.feature)
        assert 2 < len(encoded) < 8
        sample, groups = np.hstack([X, encoding.apply(X)]), np.append(groups, 9 + encoding.feature)
        columns = np.append(columns, 0.45 * encoding.size)
    prior = ScalePrior.of(X, weights, encoded)
    factors, _ = learn_relevance(sample * columns, Y, weights, groups, gamma=0.4, bias=True, prior=prior)
    expected = columns * factors
    np.testing.assert_allclose(inputs.scale[0] / inputs.scale, expected / expected[0], rtol=1e-6)


def test_how_noisy_targets_are_is_learnt_with_the_prior_too():
    """Which decides whether scores of the targets take their place."""
    X, Y = copies(1)
    calls = []

    class Recorded(ScalePrior):
        def log_scales(self, u):
            calls.append(u)
            return super().log_scales(u)

    Y = np.exp(2 * Y) - np.exp(2 * Y).mean()
    prior = ScalePrior.of(X, np.ones(40), NONE_ENCODED)
    likelihood_targets(X, Y, np.ones(40), np.arange(9), gamma=0.4, bias=True, prior=Recorded(prior.root))
    assert calls


@pytest.mark.parametrize("relevance", ["linear", "auto"])
def test_the_order_of_the_features_does_not_matter(relevance):
    """Nor where targets without noise take scales to their bounds."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((60, 3)) @ rng.standard_normal((3, 8)) + 0.3 * rng.standard_normal((60, 8))
    y, order = np.sin(X[:, 0]), rng.permutation(8)
    model = ImplicitReLURegressor(np.inf, relevance=relevance)
    plain, permuted = clone(model).fit(X, y), clone(model).fit(X[:, order], y)
    np.testing.assert_allclose(permuted.relevance_, plain.relevance_[order], rtol=1e-4)
    np.testing.assert_allclose(permuted.predict(X[:, order]), plain.predict(X), atol=1e-5)


def test_inputs_without_a_target_keep_the_sizes_of_the_prior():
    """Where there is nothing to learn, x̃ holds what the prior expects: features, indicators, encodings."""
    rng = np.random.RandomState(0)
    X = np.column_stack([rng.standard_normal(100), np.arange(100) < 5])
    inputs = choose_inputs(X, np.ones((100, 1)), np.ones(100), gamma=0.4, bias=True, relevance="auto")
    factors = 1 / inputs.scale
    np.testing.assert_allclose(factors[1] / factors[0], (4 * 0.05 * 0.95) ** 0.25, rtol=1e-12)
    assert isinstance(inputs.encoding, PiecewiseLinear) and set(inputs.encoding.feature) == {0}
