"""Normal scores of targets, and when the scales of the inputs are learnt from them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm, rankdata

from sk_implicit import ImplicitReLURegressor
from sk_implicit.inputs.normal_scores import far_from_normal, normal_scores
from sk_implicit.inputs.relevance import likelihood_targets


def table(n=150, d=3, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, d))
    signal = np.sin(2 * X[:, 0]) + 0.5 * X[:, 1]
    return X, signal, rng.standard_normal(n)


def targets(X, Y, **options):
    """Return what the scales of plain features are learnt from."""
    options = {"gamma": 0.4, "bias": True} | options
    Y = (Y - Y.mean(axis=0)) / Y.std(axis=0)
    return Y, likelihood_targets(X, Y, np.ones(len(X)), np.arange(X.shape[1]), **options)


@pytest.mark.parametrize("levels", [4, 1000])
def test_scores_are_normal_quantiles_of_the_mean_ranks(levels):
    Y = np.random.RandomState(0).randint(levels, size=(60, 2)).astype(float)
    found = normal_scores(Y, np.ones(60))
    for c in range(2):
        expected = norm.ppf((rankdata(Y[:, c]) - 0.5) / 60)
        assert_allclose(found[:, c], (expected - expected.mean()) / expected.std(), rtol=1e-12)


def test_weights_count_rows():
    rng = np.random.RandomState(0)
    Y, weights = rng.standard_normal((30, 1)), rng.randint(1, 3, 30)
    whole = normal_scores(np.repeat(Y, weights, axis=0), np.ones(weights.sum()))
    assert_allclose(np.repeat(normal_scores(Y, weights.astype(float)), weights, axis=0), whole, rtol=1e-12)
    assert_allclose(normal_scores(Y, 1e-20 * weights), normal_scores(Y, weights.astype(float)), rtol=1e-12)


def test_a_constant_and_rows_of_next_to_no_weight_have_finite_scores():
    Y = np.column_stack([np.ones(20), np.arange(20.0)])
    weights = np.ones(20)
    weights[-1] = 1e-30
    scores = normal_scores(Y, weights)
    assert_array_equal(scores[:, 0], 0)
    assert np.abs(scores).max() < 10
    assert_array_equal(far_from_normal(Y, scores, weights), [False, False])


def test_what_counts_as_far_from_normal():
    rng = np.random.RandomState(0)
    normal = rng.standard_normal(300)
    Y = np.column_stack(
        [normal, rng.uniform(size=300), normal > 1, np.exp(normal), -np.exp(normal), normal**3]
    )
    Y = Y.astype(float)
    found = far_from_normal(Y, normal_scores(Y, np.ones(300)), np.ones(300))
    assert_array_equal(found, [False, True, False, True, True, True])
    assert_array_equal(far_from_normal(1e150 * Y, normal_scores(Y, np.ones(300)), np.ones(300)), found)


def test_noisy_targets_far_from_normal_are_learnt_from_by_their_scores():
    X, signal, noise = table()
    noisy, exact = np.exp(signal + noise), np.exp(1.5 * X[:, 0])
    plain = signal + noise
    Y, found = targets(X, np.column_stack([noisy, exact, plain]))
    assert_array_equal(far_from_normal(Y, normal_scores(Y, np.ones(150)), np.ones(150)), [True, True, False])
    assert_array_equal(found[:, 0], normal_scores(Y, np.ones(150))[:, 0])
    assert_array_equal(found[:, 1:], Y[:, 1:])


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e200, 1e300])
def test_noise_is_found_where_squares_of_inputs_are_beyond_the_range_of_numbers(size):
    X, signal, noise = table()
    Y, found = targets(X * size, np.exp(signal + noise)[:, None])
    assert_array_equal(found, normal_scores(Y, np.ones(150)))


# a few huge targets are all there is to fit, and no other row foretells them
@pytest.mark.filterwarnings("ignore:Nothing was found:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("relevance", ["linear", "auto"])
def test_scales_do_not_depend_on_what_noisy_targets_are_measured_in(relevance):
    X, signal, noise = table()
    fits = [
        ImplicitReLURegressor(width=np.inf, relevance=relevance).fit(X, y)
        for y in (np.exp(signal + noise), np.exp(2 * (signal + noise)))
    ]
    assert_allclose(fits[0].input_scale_, fits[1].input_scale_, rtol=1e-9)
    plain = ImplicitReLURegressor(width=np.inf, relevance=relevance).fit(X, signal + noise)
    assert_allclose(fits[0].relevance_, plain.relevance_, rtol=0.15, atol=0.05)


def test_without_an_intercept_targets_stay_as_they_are():
    X, signal, noise = table()
    y = np.exp(signal + noise)
    fits = [
        ImplicitReLURegressor(width=np.inf, relevance="linear", fit_intercept=False).fit(X, target)
        for target in (y, y**2)
    ]
    assert np.abs(np.log(fits[0].input_scale_ / fits[1].input_scale_)).max() > 0.01
