"""The learnt relevance of features: its gradient, its weights, and what it does to the noise columns."""

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.sparse import csr_array

from sk_implicit.relevance import MAX_ROWS, _Likelihood, learn_relevance


def problem(n=60, d=4, k=1, seed=0):
    """Return inputs of which only the first two matter."""
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, d))
    Y = np.column_stack([np.sin(2 * X[:, 0]) + 0.3 * X[:, 1] * (c + 1) for c in range(k)])
    Y += 0.05 * rng.standard_normal(Y.shape)
    return X, (Y - Y.mean(axis=0)) / Y.std(axis=0)


@pytest.mark.parametrize("k", [1, 3])
def test_gradient_agrees_with_finite_differences(k):
    """In log scales, log bias and log noise, with weights, for one and several outputs."""
    X, Y = problem(n=25, k=k)
    X = np.hstack([X, np.ones((len(X), 1))]) / 2
    weights = np.random.RandomState(1).uniform(0.5, 3, len(X))
    likelihood = _Likelihood(X, Y, weights, 0.4, 4)
    for seed in range(3):
        parameters = np.random.RandomState(seed).uniform(-0.7, 0.7, X.shape[1] + 1)
        error = check_grad(lambda p: likelihood(p)[0], lambda p: likelihood(p)[1], parameters, epsilon=1e-6)
        assert error < 1e-5 * max(1, np.linalg.norm(likelihood(parameters)[1]))


def test_weight_two_is_the_row_twice():
    """The likelihood of N = Σw observations, not of n rows: its derivatives, and itself up to a constant."""
    X, Y = problem(n=30)
    weights = np.random.RandomState(0).randint(1, 4, len(X)).astype(float)
    times = weights.astype(int)
    weighted = _Likelihood(X, Y, weights, 0.4, 4)
    repeated = _Likelihood(
        np.repeat(X, times, axis=0), np.repeat(Y, times, axis=0), np.ones(times.sum()), 0.4, 4
    )
    constants = []
    for seed in range(5):
        parameters = np.random.RandomState(seed).uniform(-1, 1, X.shape[1] + 1)
        (value, gradient), (expected, expected_gradient) = weighted(parameters), repeated(parameters)
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-8, atol=1e-10)
        constants.append(value - expected)
    np.testing.assert_allclose(constants, constants[0], rtol=1e-8)


def test_irrelevant_features_shrink():
    """Columns of noise end below those that matter."""
    X, Y = problem(n=200, d=6)
    columns = learn_relevance(X, Y, np.ones(len(X)), gamma=0.4, bias=True).columns
    assert columns[2:].max() < 0.5 * columns[:2].min()


def test_sparse_and_dense_agree_and_many_rows_are_sampled():
    """The same factors from CSR input, beyond the number of rows that are sampled."""
    X, Y = problem(n=MAX_ROWS + 50)
    X[X < 0] = 0
    dense = learn_relevance(X, Y, np.ones(len(X)), gamma=0.4, bias=True)
    sparse = learn_relevance(csr_array(X), Y, np.ones(len(X)), gamma=0.4, bias=True)
    np.testing.assert_array_equal(dense.columns, sparse.columns)


def test_nothing_to_learn_from():
    """Constant targets, constant inputs: the user's scales stay."""
    X, Y = problem()
    assert (learn_relevance(X, 0 * Y, np.ones(len(X)), gamma=0.4, bias=True).columns == 1).all()
    assert (learn_relevance(0 * X, Y, np.ones(len(X)), gamma=0.4, bias=True).columns == 1).all()
    single = learn_relevance(X[:1], Y[:1], np.ones(1), gamma=0.4, bias=True).columns
    assert np.isfinite(single).all()
