"""The training objective and its gradient."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import objective, to

from sk_implicit.network import Network, Shape
from sk_implicit.training import Objective
from sk_implicit.training.adam import Adam

STEP = 1e-6


@pytest.mark.parametrize(("k", "centred", "alpha"), [(1, True, 0.7), (2, False, 0.0), (3, True, 0.7)])
def test_gradient_agrees_with_finite_differences(k, centred, alpha):
    weights = np.random.RandomState(0).uniform(0.2, 3, size=5)
    goal = objective(m=7, n=5, k=k, penalty=alpha, centred=centred, weights=weights, tol=1e-14)
    rng = np.random.RandomState(1)
    theta = goal.start.theta + 0.3 * rng.standard_normal(goal.start.theta.size)
    gradient, _ = goal.gradient(goal.evaluate(theta))
    difference = np.empty_like(gradient)
    for j in range(theta.size):
        step = np.zeros_like(theta)
        step[j] = STEP
        difference[j] = (goal.evaluate(theta + step).value - goal.evaluate(theta - step).value) / (2 * STEP)
    assert_allclose(gradient, difference, atol=1e-6 * np.abs(difference).max())


def test_value_is_the_formula_of_the_module():
    weights = np.random.RandomState(0).uniform(0.2, 3, size=6)
    goal = objective(m=8, n=6, k=2, penalty=0.7, centred=True, weights=weights, tol=1e-13)
    theta = goal.start.theta + 0.1
    point = goal.evaluate(theta)
    start = goal.start.output(goal.start.forward(goal.X, to(1e-13))[0])
    residual = goal.Y - (point.network.output(point.layers) - start)
    squares = np.sum(weights[:, None] * residual**2)
    unit = weights.sum() * 2
    assert_allclose(point.residual, residual, atol=1e-11)
    assert_allclose(point.squared_error, squares / unit)
    assert_allclose(point.value, (0.5 * squares + 0.5 * 0.7 * 0.01 * theta.size) / unit)


def test_centred_start_predicts_zero():
    goal = objective()
    assert_allclose(goal.first.residual, goal.Y, atol=1e-12)
    assert_allclose(goal.first.squared_error, 1, rtol=1e-12)


def test_evaluation_near_a_point_is_that_from_scratch():
    goal = objective(tol=1e-13)
    theta = goal.start.theta + 0.01 * np.random.RandomState(0).standard_normal(goal.start.theta.size)
    near, scratch = goal.evaluate(theta, near=goal.first), goal.evaluate(theta)
    assert_allclose(near.residual, scratch.residual, atol=1e-11)
    assert_allclose(near.contraction, scratch.contraction, rtol=1e-4)


def test_of_several_equilibria_the_one_of_a_cold_start_counts():
    """Two units that switch each other off have an equilibrium with either; predictions start with none."""
    shape = Shape(2, 2, 1)
    network = Network(-3 * (1 - np.eye(2)), np.eye(2), np.ones((1, 2)), np.zeros((1, 2)), gamma=1.0)
    X = np.array([[1.0, 0.9], [0.9, 1.0]])
    goal = Objective(X, np.zeros((2, 1)), np.ones(2), Network.from_theta(network.theta, shape, 1.0))
    cold = goal.first
    assert goal.first.contraction > 1
    other = np.where(cold.layers.Z > 0, 0, cold.layers.Phi)
    image = np.maximum(network.s * other @ network.A.T + cold.layers.Phi, 0)
    assert_allclose(image, other)  # an equilibrium as well
    there = replace(cold, layers=replace(cold.layers, Z=other))
    for options in ({"near": there}, {"near": there, "Z0": other}):
        assert_allclose(goal.evaluate(network.theta, **options).layers.Z, cold.layers.Z, atol=1e-9)
    Adam(1e-3, 2, np.random.RandomState(0))._gradient(goal, goal.start, np.arange(2), other)
    assert_allclose(other, cold.layers.Z, atol=1e-9)  # brought up to date


@pytest.mark.parametrize(("tol", "certified", "elsewhere"), [(None, 1e-12, 1e-10), (1e-13, 1e-13, 1e-13)])
def test_a_tolerance_that_was_asked_for_is_kept(tol, certified, elsewhere, monkeypatch):
    asked = []
    forward = Network.forward
    monkeypatch.setattr(
        Network,
        "forward",
        lambda self, X, options, **kw: asked.append(options.tol) or forward(self, X, options, **kw),
    )
    for gamma in (0.4, 0.9):
        objective(gamma=gamma, tol=tol).begin()
    assert asked == [certified, elsewhere]


def test_certified_start_admits_no_uncertified_point():
    goal = objective(gamma=0.4)
    scaled = goal.start.theta.copy()
    scaled[: 40 * 40] *= 1.01 / goal.first.contraction
    assert goal.admits(goal.first)
    assert not goal.admits(goal.evaluate(scaled))


def test_start_that_is_not_certified_may_train():
    goal = objective(gamma=0.8)
    assert goal.first.contraction > 1
    assert goal.first.usable
    assert goal.admits(goal.first)


def test_evaluation_leaves_its_inputs_alone():
    goal = objective(k=2, penalty=0.3)
    theta, X, Y = goal.start.theta.copy(), goal.X.copy(), goal.Y.copy()
    theta.flags.writeable = goal.Y.flags.writeable = False
    point = goal.evaluate(theta, near=goal.first)
    residual = point.residual.copy()
    goal.gradient(point)
    goal.tangent(point)
    assert_array_equal(goal.X, X)
    assert_array_equal(goal.Y, Y)
    assert_array_equal(point.residual, residual)


def test_a_point_keeps_the_bound_that_it_was_solved_with():
    """A network is a value: what training knows of its norm is the point's, not the operator's."""
    goal = objective()
    point = goal.evaluate(0.999 * goal.start.theta)
    assert point.norm_bound < 1
    assert point.network.operator.norm_bound == goal.start.operator.norm_bound == np.inf
    assert point.result.solution is point.layers.Z
