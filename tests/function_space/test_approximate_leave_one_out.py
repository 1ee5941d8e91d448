"""Approximate leave-one-out: against closed forms, dense algebra and refits without a row."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from sk_implicit.function_space.approximate_leave_one_out import (
    GRID,
    SharedKernelSystem,
    approximate_leave_one_out,
    leave_one_out_loss,
)
from sk_implicit.function_space.deviances import GammaDeviance, PoissonDeviance
from sk_implicit.function_space.leave_one_out import LeaveOneOutErrors
from sk_implicit.function_space.leaving_out import LeavingOut
from sk_implicit.function_space.losses import BinaryCrossEntropy, CrossEntropy, SquaredError
from sk_implicit.function_space.penalty import best_penalty
from sk_implicit.function_space.pinball import Pinball


def problem(k, n=30, seed=0):
    """Return a kernel, targets and the loss: indicators of classes (k = 1: of two), counts or amounts."""
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, 4))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    K = np.exp(X @ X.T)
    if k == "poisson":
        return K, rng.poisson(np.exp(2 * X[:, :2])).astype(float), PoissonDeviance()
    if k == "quantile":
        return K, X[:, :2] + 0.3 * rng.standard_normal((n, 2)), Pinball(np.array([0.3, 0.5]), 0.3)
    if k == "gamma":
        return K, rng.gamma(4.0, np.exp(2 * X[:, :2]) / 4), GammaDeviance()
    if k == 1:
        Y = (X[:, :1] + 0.4 * rng.standard_normal((n, 1)) > 0).astype(float)
    else:
        Y = np.eye(k)[np.argmax(X[:, :k] + 0.4 * rng.standard_normal((n, k)), axis=1)]
    return K, Y, (CrossEntropy if k > 1 else BinaryCrossEntropy)(np.zeros(k))


def refit(K, Y, weights, loss, alpha):
    """Return the predictions of the penalised fit, by another optimiser."""
    R = np.linalg.cholesky(K + 1e-10 * np.eye(len(K)))

    def value(c):
        C = c.reshape(Y.shape)
        losses, residual = loss.evaluate(Y, R @ C)
        gradient = -R.T @ (weights[:, None] * residual) + alpha * C
        return weights @ losses + 0.5 * alpha * c @ c, gradient.ravel()

    options = {"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-9}
    return R @ minimize(value, np.zeros(Y.size), jac=True, method="L-BFGS-B", options=options).x.reshape(
        Y.shape
    )


def test_squared_error_gives_the_closed_form():
    K, _, _ = problem(1)
    rng = np.random.RandomState(1)
    Y, weights = rng.standard_normal((30, 2)), rng.uniform(0.3, 3, 30)
    for alpha in (0.01, 1.0):
        score = leave_one_out_loss(K, Y, 0 * Y, weights, SquaredError(), alpha).score
        # ½ ‖·‖² summed over outputs there, a mean over outputs here
        assert_allclose(score, LeaveOneOutErrors(K, Y, weights).scores(np.array([alpha]))[0], rtol=1e-9)
        unit = LeavingOut(np.minimum(weights, 1))
        score = leave_one_out_loss(K, Y, 0 * Y, weights, SquaredError(), alpha, left_out=unit).score
        assert_allclose(score, LeaveOneOutErrors(K, Y, weights, unit).scores(np.array([alpha]))[0], rtol=1e-9)


@pytest.mark.parametrize("k", [1, 2])
def test_squared_error_of_groups_gives_the_closed_form(k):
    K, _, _ = problem(1)
    rng = np.random.RandomState(1)
    Y, weights = rng.standard_normal((30, k)), rng.uniform(0.3, 3, 30)
    together = LeavingOut(weights, np.arange(30) // 4)
    score = leave_one_out_loss(K, Y, 0 * Y, weights, SquaredError(), 0.1, left_out=together).score
    exact = LeaveOneOutErrors(K, Y, weights, together).scores(np.array([0.1]))[0]
    assert_allclose(score, k / 2 * exact, rtol=1e-9)


@pytest.mark.parametrize("k", [1, 3])
def test_blocks_of_the_inverse_are_those_of_the_dense_one(k):
    K, Y, loss = problem(k)
    weights = np.random.RandomState(0).uniform(0.5, 2, 30)
    residual = loss.evaluate(Y, np.zeros_like(Y)).residual
    curvature, _ = loss.curvature(Y, residual, weights)
    system, rows = SharedKernelSystem(K, curvature, 0.3), np.array([2, 5, 11])
    outputs = Y.shape[1]
    units = np.eye(30 * outputs).reshape(-1, 30, outputs)
    dense = np.stack([system.solve(unit) for unit in units]).reshape(30, outputs, 30, outputs)
    assert_allclose(system.block(rows), dense[np.ix_(rows, range(outputs), rows)], atol=1e-10)
    blocks = system.diagonal_blocks()[rows]
    assert_allclose(np.einsum("icid->icd", system.block(rows)), blocks, atol=1e-12)


@pytest.mark.parametrize("k", [1, 3])
def test_groups_are_left_out_nearly_as_by_refits(k):
    """One Newton step is not the refit; it is much nearer to it than rows left out by themselves are."""
    K, Y, loss = problem(k)
    Y, group, weights = Y[np.arange(30) // 3 * 3], np.arange(30) // 3, np.ones(30)
    scores = {}
    for name, groups in (("rows", None), ("groups", group)):
        left_out = LeavingOut(weights, groups)
        scores[name] = leave_one_out_loss(K, Y, 0 * Y, weights, loss, 0.3, left_out=left_out).score
    refits = []
    for number in range(10):
        kept = group != number
        D = leave_one_out_loss(K[np.ix_(kept, kept)], Y[kept], 0 * Y[kept], weights[kept], loss, 0.3).change
        C = np.linalg.solve(K[np.ix_(kept, kept)], D)
        refits.extend(loss.evaluate(Y[~kept], K[np.ix_(~kept, kept)] @ C).value)
    refit = float(np.mean(refits))
    assert abs(scores["groups"] - refit) < 0.5 * abs(scores["rows"] - refit)


@pytest.mark.parametrize("k", [1, 3])
def test_system_is_the_inverse_on_the_range_of_the_root(k):
    K, Y, loss = problem(k, n=12)
    rng = np.random.RandomState(2)
    weights = rng.uniform(0.3, 3, 12)
    curvature, q = loss.curvature(Y, loss.evaluate(Y, rng.standard_normal(Y.shape)).residual, weights)
    system = SharedKernelSystem(K, curvature, 0.3)
    v = system.solve(q)
    assert_allclose(curvature.root_t(K @ curvature.root(v)) + 0.3 * v, q, atol=1e-10)
    blocks = system.diagonal_blocks()
    for i in (0, 5):
        for c in range(k):
            unit = np.zeros(Y.shape)
            unit[i, c] = 1
            assert_allclose(blocks[i][:, c], system.solve(curvature.project(unit))[i], atol=1e-10)


@pytest.mark.parametrize("k", [1, 3, "poisson", "gamma"])
@pytest.mark.parametrize("alpha", [0.1, 3.0])
def test_fit_is_the_penalised_minimum(k, alpha):
    K, Y, loss = problem(k)
    weights = np.random.RandomState(3).uniform(0.3, 3, 30)
    D = leave_one_out_loss(K, Y, 0 * Y, weights, loss, alpha).change
    expected = refit(K, Y, weights, loss, alpha)
    if k == 3:
        D, expected = (F - F.mean(axis=1, keepdims=True) for F in (D, expected))
    assert_allclose(D, expected, atol=1e-3)


@pytest.mark.parametrize("k", [1, 3, "poisson", "gamma", "quantile"])
def test_score_approximates_refits_without_each_row(k):
    K, Y, loss = problem(k)
    weights = np.ones(30)
    score = leave_one_out_loss(K, Y, 0 * Y, weights, loss, 1.0).score
    held_out = []
    for i in range(30):
        without = weights.copy()
        without[i] = 0
        held_out.append(loss.evaluate(Y[[i]], refit(K, Y, without, loss, 1.0)[[i]]).value[0])
    fitted = loss.evaluate(Y, refit(K, Y, weights, loss, 1.0)).value.mean()
    exact = np.mean(held_out)
    assert exact - fitted > 0.02
    assert abs(score - exact) < 0.1 * (exact - fitted)


@pytest.mark.parametrize("k", [1, 3, "poisson", "gamma"])
def test_weight_two_is_the_row_twice(k):
    K, Y, loss = problem(k, n=15)
    weights = np.ones(15)
    weights[3] = 2
    rows = [*range(15), 3]
    unit = LeavingOut(np.ones(15))
    once = leave_one_out_loss(K, Y, 0 * Y, weights, loss, 0.5, left_out=unit).score
    twice = leave_one_out_loss(K[np.ix_(rows, rows)], Y[rows], 0 * Y[rows], np.ones(16), loss, 0.5).score
    assert_allclose(once, twice, rtol=1e-5)


@pytest.mark.parametrize("k", [1, 3, "poisson", "gamma"])
def test_choice_is_the_minimum_of_the_scores(k):
    K, Y, loss = problem(k, n=40)
    choice = approximate_leave_one_out(K, Y, 0 * Y, np.ones(40), loss)
    scale = np.mean(np.diag(K))
    scores = [leave_one_out_loss(K, Y, 0 * Y, np.ones(40), loss, a * scale)[0] for a in GRID[8:19]]
    best = GRID[8:19][np.argmin(scores)]
    assert best / np.sqrt(10) < choice.alpha < best * np.sqrt(10)
    assert_allclose(choice.score, min(scores), rtol=0.03)


@pytest.mark.parametrize("k", [1, 3, "poisson", "gamma"])
def test_a_common_factor_of_the_weights_is_one_of_the_penalty(k):
    K, Y, loss = problem(k, n=40)
    weights = np.random.RandomState(4).uniform(0.5, 1, 40)
    choice = approximate_leave_one_out(K, Y, 0 * Y, weights, loss)
    for factor in (0.1, 1e-6, 1e-100, 10, 1e6):
        scaled = approximate_leave_one_out(K, Y, 0 * Y, factor * weights, loss)
        assert_allclose(scaled.alpha, factor * choice.alpha, rtol=1e-6)
        assert_allclose(scaled.score, choice.score, rtol=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_a_kernel_of_zeros_explains_nothing(k):
    K, Y, loss = problem(k)
    choice = approximate_leave_one_out(0 * K, Y, 0 * Y, np.ones(30), loss)
    assert choice.alpha > 0
    assert_allclose(choice.score, np.log(max(k, 2)))


@pytest.mark.parametrize("k", [1, 3, "poisson", "gamma"])
@pytest.mark.parametrize("below", [0.1, 10.0])
def test_penalties_that_leave_a_kernel_singular_are_passed_over(k, below):
    """A kernel with a negative eigenvalue, as rounding makes them: of a tenth, or ten times, of its mean."""
    K, Y, loss = problem(k)
    values, vectors = np.linalg.eigh(K)
    values[0] = -below * np.trace(K) / len(K)
    choice = approximate_leave_one_out((vectors * values) @ vectors.T, Y, 0 * Y, np.ones(len(K)), loss)
    assert choice.alpha > 0.2 * below  # the curvature of the loss is a quarter, or less
    assert np.isfinite(choice.score)
    assert np.isinf(choice.curve).any()


def test_penalties_of_quantiles_are_chosen_by_a_rounder_loss_and_scored_by_that_of_the_fit():
    K, Y, _ = problem("quantile")
    loss, weights, F0 = Pinball(np.array([0.3, 0.5])), np.ones(len(Y)), np.zeros(Y.shape)
    found = best_penalty(K, Y, F0, weights, loss, None, scale=2.0)
    narrow, wide = loss.at_noise(found.noise)
    assert (narrow.width < wide.width).all()
    choice = approximate_leave_one_out(K, Y, F0, weights, wide, None)
    assert found.relative == pytest.approx(choice.alpha * narrow.size / wide.size)
    left, start = (narrow.evaluate(Y, F).value.mean() for F in (choice.predictions, F0))
    assert found.score == pytest.approx(1 - left / start)
