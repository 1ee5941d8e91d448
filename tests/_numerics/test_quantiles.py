"""Weighted quantiles and robust deviations, against repeated rows and NumPy's."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sk_implicit._numerics.quantiles import robust_deviation, weighted_quantile


@pytest.mark.parametrize("level", [0.03, 0.25, 0.5, 0.9])
def test_weights_are_copies(level):
    rng = np.random.RandomState(0)
    Y, weights = rng.standard_normal((40, 2)), rng.randint(1, 4, 40).astype(float)
    copies = np.repeat(Y, weights.astype(int), axis=0)
    expected = np.quantile(copies, level, axis=0, method="averaged_inverted_cdf")
    assert_allclose(weighted_quantile(Y, weights, level), expected)
    assert_array_equal(weighted_quantile(Y, weights / 3, level), weighted_quantile(Y, weights, level))


def test_every_column_has_a_level():
    Y = np.tile(np.arange(10.0)[:, None], 2)
    assert_array_equal(weighted_quantile(Y, np.ones(10), np.array([0.05, 0.5])), [0, 4.5])


def test_robust_deviation_is_that_of_normal_columns_whatever_their_outliers():
    Y = np.random.RandomState(0).standard_normal((4000, 1)) * 3
    Y[:200] = 1e9
    assert robust_deviation(Y, np.ones(4000))[0] == pytest.approx(3, rel=0.1)
    half = np.array([[0.0], [0.0], [0.0], [4.0]])
    assert_array_equal(robust_deviation(half, np.ones(4)), [1.0])  # the mean magnitude
    assert_array_equal(robust_deviation(0 * half, np.ones(4)), [0.0])
