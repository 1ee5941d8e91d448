"""Leave-one-out in closed form against refits, and the penalty it chooses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from problems import objective
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from sk_implicit.function_space import penalty
from sk_implicit.function_space.leave_one_out import (
    LOO_GRID,
    LeaveOneOutErrors,
    keeps_to_range,
    leave_one_out,
    refined_minimum,
    weighted_grid,
)
from sk_implicit.function_space.leaving_out import LeavingOut
from sk_implicit.function_space.losses import SquaredError
from sk_implicit.network.tangent import mean_diagonal, mean_kernel
from sk_implicit.training.penalty import choose_penalty


def kernel_and_targets(n=10, k=2, seed=0, rank=None):
    rng = np.random.RandomState(seed)
    factors = rng.standard_normal((n, rank or 2 * n))
    return factors @ factors.T / n, rng.standard_normal((n, k))


def brute_force(K, Y, weights, a, left_out, groups=None):
    """Refit without some of the weight of each row and those of its group; score on that row."""
    groups = np.arange(len(Y)) if groups is None else groups
    errors = np.empty_like(Y)
    for i in range(len(Y)):
        w = weights.astype(float)
        w[groups == groups[i]] -= left_out[groups == groups[i]]
        kept = w > 0
        C = np.linalg.solve(K[np.ix_(kept, kept)] + a * np.diag(1 / w[kept]), Y[kept])
        errors[i] = Y[i] - K[i, kept] @ C
    return np.sum(weights[:, None] * errors**2) / weights.sum() / Y.shape[1]


@given(
    n=st.integers(2, 12),
    k=st.integers(1, 3),
    a=st.floats(1e-3, 1e3),
    weights=st.lists(st.sampled_from([0.2, 0.7, 1.0, 1.5, 2.0, 3.0]), min_size=12, max_size=12),
    seed=st.integers(0, 1000),
)
def test_closed_form_equals_refits(n, k, a, weights, seed):
    K, Y = kernel_and_targets(n, k, seed)
    weights = np.array(weights[:n])
    score = LeaveOneOutErrors(K, Y, weights).scores(np.array([a]))[0]
    assert_allclose(score, brute_force(K, Y, weights, a, weights), rtol=1e-7)
    unit = np.minimum(weights, 1.0)
    score = LeaveOneOutErrors(K, Y, weights, LeavingOut(unit)).scores(np.array([a]))[0]
    assert_allclose(score, brute_force(K, Y, weights, a, unit), rtol=1e-7)


@given(
    n=st.integers(3, 12),
    k=st.integers(1, 3),
    a=st.floats(1e-3, 1e3),
    groups=st.lists(st.integers(0, 4), min_size=12, max_size=12),
    seed=st.integers(0, 1000),
)
def test_groups_left_out_equal_refits(n, k, a, groups, seed):
    K, Y = kernel_and_targets(n, k, seed)
    weights, groups = np.random.RandomState(seed).uniform(0.2, 3, n), np.array(groups[:n])
    left = LeaveOneOutErrors(K, Y, weights, LeavingOut(weights, groups))
    assert_allclose(left.scores(np.array([a]))[0], brute_force(K, Y, weights, a, weights, groups), rtol=1e-7)


def test_groups_that_interpolate_have_finite_scores():
    """Equal rows of a group, at penalties that are nothing beside the rounding errors of K."""
    K, Y = kernel_and_targets(6)
    rows = np.repeat(np.arange(6), 3)
    Y = Y[rows] + 0.1 * np.random.RandomState(0).standard_normal((18, 2))
    left = LeaveOneOutErrors(K[np.ix_(rows, rows)], Y, np.ones(18), LeavingOut(np.ones(18), rows))
    scores = left.scores(np.array([1e-200, 1e-30, 1e-12, 1e-3]))
    assert np.isfinite(scores).all()


def test_range_is_that_of_other_groups():
    """Of two rows with the largest target, one is no neighbour that the other could be predicted by."""
    Y = np.array([[0.0], [1.0], [2.0], [5.0], [5.0], [0.5]])
    residual = Y - np.array([[0.5], [1.0], [2.0], [9.0], [9.0], [0.5]])
    by_row = LeavingOut(np.ones(6))
    together = LeavingOut(np.ones(6), np.array([0, 1, 2, 3, 3, 4]))
    residual[3:5] = Y[3:5] - 4.0  # within the range of all, beyond that of the other groups: kept at 2
    assert keeps_to_range(Y, residual, np.ones(6), by_row)[0]
    assert not keeps_to_range(Y, residual, np.ones(6), together)[0]


@pytest.mark.parametrize("factor", [0.1, 1e-10, 1e-200, 10.0, 1e20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_common_factor_of_the_weights_is_one_of_the_penalty(factor, dtype):
    K, Y = kernel_and_targets(30)
    weights = np.random.RandomState(4).uniform(0.5, 1, 30)
    one, small = (leave_one_out(K.astype(dtype), Y, c * weights) for c in (1.0, factor))
    assert_allclose(small.alpha, factor * one.alpha, rtol=1e-4)
    assert_allclose(small.score, one.score, rtol=1e-4)


def test_weights_of_about_one_are_searched_on_the_grid():
    assert np.array_equal(weighted_grid(LOO_GRID, np.ones(7)), LOO_GRID)
    assert np.array_equal(weighted_grid(LOO_GRID, np.array([1.0] * 9 + [2.0])), LOO_GRID)  # now and then
    assert np.array_equal(weighted_grid(LOO_GRID, np.array([1e-12] * 9 + [1.0])), LOO_GRID)
    assert_allclose(weighted_grid(LOO_GRID, np.full(7, 1e3)), 1e3 * LOO_GRID)
    for factor in np.random.RandomState(0).uniform(
        0.1, 10, 50
    ):  # half of the weight is just that of the ones
        assert_allclose(weighted_grid(LOO_GRID, factor * np.array([1.0] * 7 + [7.0])), factor * LOO_GRID)


@pytest.mark.parametrize("a", [0.01, 1.0, 100.0])
def test_unweighted_score_is_that_of_scikit_learns_kernel_ridge(a):
    K, Y = kernel_and_targets()
    predicted = cross_val_predict(KernelRidge(alpha=a, kernel="precomputed"), K, Y, cv=LeaveOneOut())
    score = LeaveOneOutErrors(K, Y, np.ones(10)).scores(np.array([a]))[0]
    assert_allclose(score, np.mean((Y - predicted) ** 2), rtol=1e-9)


@pytest.mark.parametrize("rank", [None, 4])
def test_weight_two_is_the_same_row_twice(rank):
    K, Y = kernel_and_targets(rank=rank)
    weights = np.ones(10)
    weights[[2, 5, 6]] = [2, 3, 2]
    rows = np.repeat(np.arange(10), weights.astype(int))
    penalties = np.logspace(-6, 3, 10)  # below, the rounding errors of a singular kernel are all that is left
    heavy = LeaveOneOutErrors(K, Y, weights, LeavingOut(np.ones(10))).scores(penalties)
    repeated = LeaveOneOutErrors(K[np.ix_(rows, rows)], Y[rows], np.ones(len(rows))).scores(penalties)
    assert_allclose(heavy, repeated, rtol=1e-6)


@pytest.mark.parametrize("factor", [1e-12, 1e-3, 1e9])
def test_choice_is_free_of_the_scale_of_kernel_and_targets(factor):
    K, Y = kernel_and_targets()
    plain = leave_one_out(K, Y, np.ones(10))
    assert_allclose(leave_one_out(factor * K, Y, np.ones(10)).alpha, plain.alpha, rtol=1e-6)
    scaled = leave_one_out(K, factor * Y, np.ones(10))
    assert_allclose(scaled.alpha, plain.alpha, rtol=1e-6)
    assert_allclose(scaled.score, factor**2 * plain.score, rtol=1e-6)


def smooth_problem(noise, n=80, seed=0):
    """A kernel with quickly falling eigenvalues, and a smooth function with noise."""
    rng = np.random.RandomState(seed)
    x = np.sort(rng.uniform(-2, 2, size=n))
    K = np.exp(-0.5 * (x[:, None] - x) ** 2)
    return K, np.sin(2 * x)[:, None] + noise * rng.standard_normal((n, 1))


def test_choice_minimises_the_score():
    K, Y = smooth_problem(0.3)
    choice = leave_one_out(K, Y, np.ones(80))
    fine = np.exp(np.linspace(np.log(1e-6), np.log(1e3), 4000))
    scores = LeaveOneOutErrors(K, Y, np.ones(80)).scores(fine)  # the diagonal of K is 1
    assert_allclose(np.log(choice.alpha), np.log(fine[np.argmin(scores)]), atol=0.1)
    assert_allclose(choice.score, scores.min(), rtol=1e-3)
    assert_allclose(
        LeaveOneOutErrors(K, Y, np.ones(80)).scores(np.array([choice.alpha])), choice.score, rtol=1e-3
    )


def test_minimum_between_points_of_the_grid_is_that_of_the_parabola():
    grid = np.logspace(-3, 2, 31)
    lowest, value = 10**-0.53, 0.7
    scores = value + 0.2 * np.log(grid / lowest) ** 2
    found = refined_minimum(grid, scores, int(np.argmin(scores)))
    assert_allclose(found, (lowest, value), rtol=1e-12)
    for best in (0, 30):  # at an end of the grid, the point itself
        assert refined_minimum(grid, np.abs(np.arange(31.0) - best), best) == (grid[best], 0.0)


def test_more_noise_means_a_larger_penalty():
    chosen = [leave_one_out(*smooth_problem(noise), np.ones(80)).alpha for noise in (0.01, 0.1, 1.0)]
    assert chosen == sorted(chosen)
    assert chosen[0] < 0.1 * chosen[2]


# --- the penalty of a network -----------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2])
def test_number_is_relative_to_the_mean_diagonal_of_the_kernel(k):
    weights = np.random.RandomState(0).uniform(0.5, 2, size=25)
    goal = objective(k=k, weights=weights)
    chosen = choose_penalty(goal, 0.25, "centred")
    scale = mean_diagonal(goal.tangent(goal.first), weights)
    assert chosen.relative == 0.25
    assert_allclose(chosen.absolute, 0.25 * scale)
    assert chosen.score is None


@pytest.mark.parametrize("k", [1, 2])
def test_loo_is_that_of_the_linearised_network(k):
    weights = np.random.RandomState(0).uniform(0.5, 2, size=25)
    goal = objective(k=k, weights=weights)
    chosen = choose_penalty(goal, "loo", "centred")
    expected = leave_one_out(mean_kernel(goal.tangent(goal.first)), goal.Y, weights)
    assert_allclose(chosen.relative, expected.alpha)
    spread = np.average(np.mean(goal.Y**2, axis=1), weights=weights)
    assert_allclose(chosen.score, 1 - expected.score / spread)
    assert 0 < chosen.score < 1


def test_zero_start_has_the_penalty_of_a_gaussian_one():
    zero = choose_penalty(objective(m=300, output_init="zero", centred=False), 0.1, "zero")
    gaussian = choose_penalty(objective(m=300), 0.1, "centred")
    assert_allclose(zero.absolute, gaussian.absolute, rtol=0.3)
    assert zero.absolute > 0


def test_penalty_of_many_rows_is_that_of_a_fixed_sample(monkeypatch):
    weights = np.random.RandomState(0).uniform(0.5, 2, size=60)
    goal = objective(n=60, weights=weights)
    monkeypatch.setattr(penalty, "LIMITS", penalty.SampleLimits(decomposed_rows=30))
    chosen = choose_penalty(goal, "loo", "centred")
    rows = np.random.RandomState(0).choice(60, 30, replace=False)
    sample = goal.tangent(goal.first).take(rows)
    expected = leave_one_out(mean_kernel(sample), goal.Y[rows], weights[rows])
    assert_allclose(chosen.relative, expected.alpha, rtol=1e-6)
    assert_allclose(chosen.absolute, expected.alpha * mean_diagonal(sample, weights[rows]), rtol=1e-6)


@given(
    n=st.integers(3, 10),
    a=st.floats(1e-3, 1e3),
    groups=st.lists(st.integers(0, 4), min_size=10, max_size=10),
    share=st.sampled_from([1.0, 0.4]),
    seed=st.integers(0, 1000),
)
def test_the_mean_is_left_out_with_the_row(n, a, groups, share, seed):
    """Against refits that centre what is left, in the weights that are left."""
    K, Y = kernel_and_targets(n, 2, seed)
    weights = np.random.RandomState(seed).uniform(0.2, 3, n)
    groups = np.arange(n) if share < 1 else np.array(groups[:n])
    if len(np.unique(groups)) < 2:
        return
    Y -= np.average(Y, axis=0, weights=weights)
    left = LeaveOneOutErrors(K, Y, weights, LeavingOut(share * weights, groups), Y)
    expected = np.empty_like(Y)
    for i in range(n):
        w = np.where(groups == groups[i], (1 - share) * weights, weights)
        kept = w > 0
        mean = np.average(Y[kept], axis=0, weights=w[kept])
        C = np.linalg.solve(K[np.ix_(kept, kept)] + a * np.diag(1 / w[kept]), Y[kept] - mean)
        expected[i] = Y[i] - mean - K[i, kept] @ C
    assert_allclose(left.residual(a), expected, rtol=1e-7, atol=1e-10)


def test_one_group_of_all_rows_has_no_mean_to_be_left_out():
    K, Y = kernel_and_targets()
    Y -= Y.mean(axis=0)
    left = LeaveOneOutErrors(K, Y, np.ones(10), LeavingOut(np.ones(10), np.zeros(10)), Y)
    assert np.isfinite(left.residual(1.0)).all()


def test_a_constant_scores_what_it_has_on_new_rows():
    """The mean of n rows has an R² of −1/n in the mean; leave-one-out says −1/(n − 1)."""
    Y = np.random.RandomState(0).standard_normal((8, 1))
    Y -= Y.mean()
    found = penalty.best_penalty(np.zeros((8, 8)), Y, 0 * Y, np.ones(8), SquaredError(), None, 1.0)
    assert_allclose(found.score, -1 / 7)
    assert_allclose(found.of_constant, -1 / 7)
    uncentred = penalty.best_penalty(np.zeros((8, 8)), Y + 1, 0 * Y, np.ones(8), SquaredError(), None, 1.0)
    assert_allclose(uncentred.score, 0, atol=1e-12)
    assert uncentred.of_constant == 0


def test_optimism_raises_the_score_and_the_penalty():
    K, Y = smooth_problem(0.3)
    Y -= Y.mean()
    factors = np.array([4.0, 1.0])
    optimism = penalty.Optimism(np.array([1e-6, 1e2]), factors)
    ones, arguments = np.ones(80), (SquaredError(), None, 1.0)
    plain = penalty.best_penalty(K, Y, 0 * Y, ones, *arguments)
    raised = penalty.best_penalty(K, Y, 0 * Y, ones, *arguments, optimism=optimism)
    assert raised.relative > plain.relative and raised.score < plain.score
    assert_allclose(raised.optimism, optimism.at(np.array(raised.relative)))
    assert plain.optimism == 1.0
    assert_allclose(optimism.at(np.array([1e-9, 1e-6, 1e-2, 1e2, 1e9])), [4, 4, 2, 1, 1])
    assert_allclose(optimism.of_share(0.5).factors, [2.5, 1.0])
