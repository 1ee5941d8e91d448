"""Starts of a sequence of solves."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import objective

from sk_implicit.training.extrapolation import LinearExtrapolation
from sk_implicit.training.gradient_descent import GradientDescent


def follow(solutions):
    """Return the starts that are given before each solution, and after the last."""
    line = LinearExtrapolation()
    starts = []
    for solution in solutions:
        start = line.start()
        starts.append(None if start is None else start.copy())
        line.add(solution)
    return [*starts, line.start()]


def path(*, wobble=0.0, shape=(24, 5), n=8):
    rng = np.random.RandomState(0)
    first, direction = rng.standard_normal(shape), rng.standard_normal(shape)
    return [first + t * direction + wobble * rng.standard_normal(shape) for t in range(n)]


@pytest.mark.parametrize("shape", [(24, 5), (1, 24, 5), (1, 1)])
def test_a_straight_path_is_foretold_from_the_third_solution_on(shape):
    solutions = path(shape=shape)
    starts = follow(solutions)
    assert starts[0] is None
    for start, last in zip(starts[1:3], solutions[:2], strict=True):
        assert_allclose(start, last, rtol=0, atol=0)
    for start, solution in zip(starts[3:], solutions[3:], strict=False):
        assert_allclose(start, solution, rtol=1e-12, atol=1e-12)


def test_an_erratic_path_is_started_from_its_last_solution():
    solutions = path(wobble=100.0)
    starts = follow(solutions)
    assert_allclose(starts[-1], solutions[-1], rtol=0, atol=0)


def test_rows_that_jump_do_not_spoil_the_start_of_the_others():
    solutions = path(n=6)
    solutions[-1][0] += 1e3
    assert not np.array_equal(follow(solutions)[-1], solutions[-1])


def test_solutions_are_left_alone():
    solutions = path()
    copies = [solution.copy() for solution in solutions]
    follow(solutions)
    for solution, copy in zip(solutions, copies, strict=True):
        assert_allclose(solution, copy, rtol=0, atol=0)


def test_epochs_of_gradient_descent_take_few_products_once_they_follow_each_other():
    goal = objective(n=30, m=300, tol=1e-6)
    solver, point = GradientDescent(1e-5), goal.first
    state = solver.init(goal, point)
    products = []
    for _ in range(6):
        point, state, _ = solver.step(goal, point, state)
        products.append(point.result.n_products)
    assert products[-1] < 0.75 * products[0]
    assert products[-1] <= 1.1  # the product that finds the start to be a solution is its next step, too
