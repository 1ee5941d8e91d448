"""From the user's columns to the network's scale, dense or sparse, and the same for targets."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sk_implicit import ImplicitReLURegressor
from sk_implicit.inputs.scaling import InputScaling
from sk_implicit.inputs.targets import ClassScaling, TargetScaling


@pytest.mark.parametrize("bias", [None, 0.0, 1.0])
@pytest.mark.parametrize("far", [0.0, 3.0])
def test_zeros_that_are_not_stored_vary_about_the_mean_like_others(far, bias):
    rng = np.random.RandomState(0)
    X = (far + rng.standard_normal((40, 3))) * (rng.uniform(size=(40, 3)) < [0.2, 0.6, 1.0])
    weights, columns = rng.uniform(0.5, 2, size=40), np.array([1.0, 0.3, 2.0])
    dense = InputScaling.of(X, weights, columns=columns, bias=bias)
    mean = np.average(X, axis=0, weights=weights)
    deviation = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weights))
    assert_allclose(dense.relevance, deviation / dense.scale, rtol=1e-12)
    kept = InputScaling.of(sparse.csr_array(X), weights, columns=columns, bias=bias)
    for name in ("scale", "bias", "relevance"):
        assert_allclose(getattr(kept, name), getattr(dense, name), rtol=1e-12)


def test_a_class_without_a_row_counts_as_half_a_row():
    weights = np.array([1.0, 1.0, 2.0, 0.5])
    three = np.eye(3)[[0, 0, 1, 1]]
    shares = np.array([2.0, 2.5]) / 4.5
    assert_allclose(ClassScaling.of(three, weights, centre=True).mean, np.log([*shares, 0.5 / 4]))
    for second, share in ((0.0, 1 / 8), (1.0, 7 / 8)):
        scaling = ClassScaling.of(np.full((4, 1), second), weights, centre=True)
        assert_allclose(scaling.mean, np.log(share / (1 - share)))


@pytest.mark.parametrize("width", [10, np.inf])
def test_targets_that_differ_by_rounding_are_constant(width):
    y = np.array([0.3, 0.1 + 0.2] * 10)
    assert y[0] != y[1]
    for centre in (True, False):
        assert TargetScaling.of(y[:, None], np.ones(20), centre=centre).scale == (0.0 if centre else 0.3)
    X = np.random.RandomState(0).standard_normal((20, 2))
    model = ImplicitReLURegressor(width=width, alpha=1e-3, relevance=None, random_state=0).fit(X, y)
    assert_array_equal(model.y_scale_, 0)
    assert_allclose(model.predict(X + 1), 0.3, rtol=1e-14)


# --- targets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [20, np.inf])
@pytest.mark.parametrize("unit", [1.0, 1e6, 1e-6])
@pytest.mark.parametrize("clip", ["auto", False])
def test_constant_targets_among_others_are_predicted_as_they_are(width, unit, clip):
    """The outputs share the weights, and what another output learns is no part of them."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((30, 2))
    Y = unit * np.column_stack([np.sin(2 * X[:, 0]), np.full(30, 7.3)])
    model = ImplicitReLURegressor(width, clip=clip, uncertainty=True, max_iter=30, random_state=0).fit(X, Y)
    mean, std = model.predict(3 * X, return_std=True)
    assert_array_equal(mean[:, 1], Y[0, 1])
    assert_array_equal(std[:, 1], 0)
    assert std[:, 0].min() > 0
    assert model.y_scale_[1] == 0 and model.noise_std_[1] == 0


@pytest.mark.parametrize("width", [20, np.inf])
@pytest.mark.parametrize(
    "y", [np.full(30, 0.3), 0.1 * 3 - 0.3 + np.repeat([0.3, 0.1 * 3], 15), 1e6 + 1e-10 * np.arange(30)]
)
def test_targets_that_are_constant_but_for_rounding_are_fitted_without_a_word(width, y):
    X = np.random.RandomState(0).standard_normal((30, 2))
    model = ImplicitReLURegressor(width, random_state=0).fit(X, y)  # warnings are errors
    assert_array_equal(model.predict(X), model.y_mean_[0])


@pytest.mark.parametrize("width", [20, np.inf])
def test_a_single_row_says_nothing_of_others(width):
    model = ImplicitReLURegressor(width, uncertainty=True, random_state=0).fit([[1.0, 2.0]], [3.0])
    mean, std = model.predict([[1.0, 2.0], [5.0, 5.0]], return_std=True)
    assert_array_equal(mean, 3)
    assert_array_equal(std, np.inf)


@pytest.mark.parametrize("width", [20, np.inf])
def test_float32_rows_leave_large_targets_their_digits(width):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((40, 2)).astype(np.float32)
    y = 1.7e9 + 60 * np.sin(X[:, 0].astype(np.float64))
    model = ImplicitReLURegressor(width, random_state=0).fit(X, y)
    assert model.predict(X).dtype == np.float64
    assert model.score(X, y) > 0.9
    assert ImplicitReLURegressor(width, random_state=0).fit(X, y - 1.7e9).predict(X).dtype == np.float32


@pytest.mark.parametrize(("mean", "dtype"), [(8000.0, np.float32), (9000.0, np.float64)])
def test_predictions_are_float64_where_float32_has_not_three_digits_of_what_varies(mean, dtype):
    scaling = TargetScaling(np.array([mean]), np.array([1.0]))  # 2^-23 of 8389 is a thousandth
    assert scaling.invert(np.zeros((2, 1), np.float32)).dtype == dtype
