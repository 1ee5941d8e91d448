"""The piecewise-linear encoding: its formula, its weights, and the features that it leaves alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array

from sk_implicit.inputs.encoding import (
    LIMITS,
    PiecewiseLinear,
)
from sk_implicit.inputs.scaling import InputScaling


def table(n=400, seed=0):
    """Return a smooth feature, an indicator, and a heavy-tailed one."""
    rng = np.random.RandomState(seed)
    return np.column_stack([rng.standard_normal(n), rng.randint(0, 2, n), np.exp(3 * rng.standard_normal(n))])


def test_columns_are_interpolated_ranks():
    """Summed, the columns of a feature go through (e_i, i); each is centred."""
    X = table()
    encoding = PiecewiseLinear.of(X, np.ones(len(X)))
    assert set(encoding.feature) == {0, 2}  # the indicator stays
    columns = encoding.apply(X)
    np.testing.assert_allclose(columns.mean(axis=0), 0, atol=1e-12)
    for j in (0, 2):
        knots = encoding.knots(j)
        assert len(knots) == LIMITS.intervals + 1
        assert knots[0] == X[:, j].min() and knots[-1] == X[:, j].max()
        mine = encoding.feature == j
        total = (columns + encoding.mean)[:, mine].sum(axis=1)
        np.testing.assert_allclose(total, np.interp(X[:, j], knots, np.arange(len(knots))), atol=1e-9)
        counts, _ = np.histogram(X[:, j], knots)
        assert counts.min() >= len(X) // LIMITS.intervals - 2
    assert encoding.knots(1).size == 0


def test_size_makes_groups_as_large_as_their_feature():
    """Columns times ``size`` have the summed variance of the feature."""
    X = table()
    encoding = PiecewiseLinear.of(X, np.ones(len(X)))
    columns = encoding.apply(X) * encoding.size
    for j in (0, 2):
        summed = columns[:, encoding.feature == j].var(axis=0).sum()
        assert summed == pytest.approx(X[:, j].var())


def test_weight_two_is_the_row_twice():
    X = table()
    weights = np.random.RandomState(1).randint(1, 4, len(X))
    weighted = PiecewiseLinear.of(X, weights.astype(float))
    repeated = PiecewiseLinear.of(np.repeat(X, weights, axis=0), np.ones(weights.sum()))
    for name in ("feature", "lower", "span", "mean", "size"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name), rtol=1e-12, atol=1e-14)


def test_sparse_rows_and_float32():
    X = table()
    X[X < 0] = 0
    dense, sparse = (PiecewiseLinear.of(rows, np.ones(len(X))) for rows in (X, csr_array(X)))
    np.testing.assert_array_equal(dense.lower, sparse.lower)
    single = dense.apply(X.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, dense.apply(X), atol=1e-4)


@pytest.mark.parametrize(("levels", "encoded"), [(5, False), (6, True)])
def test_features_of_six_values_or_more_are_encoded(levels, encoded):
    X = np.column_stack([np.arange(60) % levels, np.arange(60) % 2]).astype(float)
    found = PiecewiseLinear.of(X, np.ones(60))
    assert (found is not None) == encoded
    if encoded:
        assert set(found.feature) == {0}
        assert_array_equal(found.knots(0), np.arange(6))


def test_what_is_left_alone():
    """Few levels, too many features, and values beyond the precision's range."""
    rng = np.random.RandomState(0)
    weights = np.ones(50)
    assert (
        PiecewiseLinear.of(rng.randint(0, LIMITS.least_distinct - 1, (50, 3)).astype(float), weights) is None
    )
    assert PiecewiseLinear.of(rng.standard_normal((50, LIMITS.features + 1)), weights) is None
    many = LIMITS.columns // LIMITS.least_intervals
    assert PiecewiseLinear.of(rng.standard_normal((50, many + 1)), weights) is None
    assert len(PiecewiseLinear.of(rng.standard_normal((50, many)), weights).feature) <= LIMITS.columns
    assert PiecewiseLinear.of(1e308 * rng.uniform(-1, 1, (50, 1)), weights) is None


@settings(deadline=None, max_examples=50)
@given(
    arrays(np.float64, (12, 2), elements=st.floats(-1e300, 1e300)),
    arrays(np.float64, (3, 2), elements=st.floats(-1.7e308, 1.7e308)),
)
def test_any_table_gives_finite_columns(X, other):
    """At most one unit long, for training rows and any others."""
    encoding = PiecewiseLinear.of(X, np.ones(len(X)))
    if encoding is not None:
        assert np.isfinite(encoding.size).all() and (encoding.size > 0).all()
        assert np.all(np.abs(encoding.apply(X)) <= 1) and np.all(np.abs(encoding.apply(other)) <= 1)


def test_relevance_is_the_share_of_the_input():
    """Each feature's columns, as the network sees them, have the variance that `relevance` says."""
    X, weights = table(), np.random.RandomState(2).uniform(0.5, 2, 400)
    encoding = PiecewiseLinear.of(X, weights)
    factors = np.random.RandomState(3).uniform(0.5, 2, 3 + len(encoding.feature))
    inputs = InputScaling.of(X, weights, columns=factors, bias=0.7, encoding=encoding)
    seen = inputs.apply(X)
    assert np.average(np.sum(seen**2, axis=1), weights=weights) == pytest.approx(1)
    variance = np.diag(np.cov(seen[:, :-1].T, aweights=weights, ddof=0))
    summed = np.bincount(np.append(np.arange(3), encoding.feature), variance)
    np.testing.assert_allclose(inputs.relevance, np.sqrt(summed), rtol=1e-9)
    sparse = InputScaling.of(csr_array(X), weights, columns=factors, bias=0.7, encoding=encoding)
    np.testing.assert_allclose(sparse.relevance, inputs.relevance, rtol=1e-9)


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_relevance_of_sparse_features_far_from_zero(share):
    rng = np.random.RandomState(0)
    X = np.where(rng.random_sample((60, 3)) < share, rng.standard_normal((60, 3)) + [0, 1e4, 1e8], 0)
    weights = rng.uniform(0.5, 2, 60)
    dense = InputScaling.of(X, weights, columns=np.ones(3), bias=1.0)
    sparse = InputScaling.of(csr_array(X), weights, columns=np.ones(3), bias=1.0)
    np.testing.assert_allclose(sparse.relevance, dense.relevance, rtol=1e-9)
    # every entry given as two halves
    X = csr_array(X)
    halves = csr_array((np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), 2 * X.indptr), shape=X.shape)
    sparse = InputScaling.of(halves, weights, columns=np.ones(3), bias=1.0)
    np.testing.assert_allclose(sparse.relevance * sparse.scale, dense.relevance * dense.scale, rtol=1e-9)
