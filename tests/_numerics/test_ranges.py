"""Columns of any size, and what leaving a row out divides its residual by."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from sk_implicit._numerics.ranges import centred, largest_magnitude, power_of_two
from sk_implicit.function_space.leaving_out import kept_share
from sk_implicit.inputs.targets import ClassScaling


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
def test_columns_whose_squares_have_no_number(size):
    rng = np.random.RandomState(0)
    X, weights = rng.standard_normal((30, 3)), rng.uniform(0.1, 2, 30)
    X[:, 1] = 7.1
    relative, unit, mean, deviation = centred(size * X, weights)
    plain = np.average(X, axis=0, weights=weights)
    assert_allclose(mean * unit, size * plain, rtol=1e-12)
    spread = np.sqrt(np.average((X - plain) ** 2, axis=0, weights=weights))
    assert_allclose(deviation * unit, size * spread, rtol=1e-12, atol=1e-13 * size)
    assert_array_equal(relative[:, 1], 0)
    assert deviation[1] == 0
    assert_array_equal(centred(X, weights, about_mean=False).mean, 0)
    assert_array_equal(centred(X, weights, moderate=True).unit, 1)


def test_sizes():
    assert largest_magnitude(np.array([[1.0, -3.0]])) == 3
    assert largest_magnitude(csr_array([[0.0, -2.0]])) == 2
    assert largest_magnitude(np.empty((0, 4))) == 0
    assert [power_of_two(x) for x in (3.0, 1.1, 0.26)] == [4, 1, 0.25]


def test_share_that_is_kept_when_a_row_is_left_out():
    """Near an interpolating fit, 1 − h keeps its digits; outputs that are not coupled are as one by one."""
    left = np.array([1e-14, 0.3, 0.0])
    assert_allclose(kept_share(left, 1.0), [1e-14, 0.3, np.finfo(float).eps], rtol=1e-12)
    assert_allclose(kept_share(left, 0.5), 0.5 + 0.5 * left)
    blocks = left[:, None, None] * np.eye(2)
    share = np.array([1.0, 0.5, 0.25])
    expected = kept_share(left, share)[:, None, None] * np.eye(2)
    assert_allclose(kept_share(blocks, share[:, None, None], np.eye(2)), expected, rtol=1e-12)


def test_class_scaling_adds_the_origin_of_the_predictions():
    targets = ClassScaling.of(np.eye(3)[[0, 0, 1, 2]], np.ones(4), centre=True)
    assert_allclose(targets.origin, np.log([0.5, 0.25, 0.25]))
    F = np.ones((2, 3), np.float32)
    assert targets.invert(F).dtype == np.float32
    assert_allclose(targets.invert(F), 1 + np.log([[0.5, 0.25, 0.25]] * 2), rtol=1e-6)
