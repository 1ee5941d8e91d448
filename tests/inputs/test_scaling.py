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


@pytest.mark.filterwarnings("ignore:Training with solver='lm' stopped after 0 steps")  # nothing to learn
@pytest.mark.parametrize("width", [10, np.inf])
def test_targets_that_differ_by_rounding_are_constant(width):
    y = np.array([0.3, 0.1 + 0.2] * 10)
    assert y[0] != y[1]
    for centre in (True, False):
        assert TargetScaling.of(y[:, None], np.ones(20), centre=centre).scale == (1.0 if centre else 0.3)
    X = np.random.RandomState(0).standard_normal((20, 2))
    model = ImplicitReLURegressor(width=width, alpha=1e-3, relevance=None, random_state=0).fit(X, y)
    assert_array_equal(model.y_scale_, 1)
    assert_allclose(model.predict(X + 1), 0.3, rtol=1e-14)
