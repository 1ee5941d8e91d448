"""‖sA‖₂ along training, beside dense norms."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import objective, run

from sk_implicit.network import Shape, draw_network
from sk_implicit.training import contraction as module
from sk_implicit.training.contraction import Contraction

M = 90


def network(seed=0, dtype=np.float64):
    return draw_network(Shape(m=M, p=3, k=1), 0.4, np.random.RandomState(seed), dtype=dtype)


def moved(net, size, seed=1):
    """Return the network with A changed by a random matrix of Frobenius norm ``size`` · ‖A‖₂."""
    theta = net.theta.copy()
    change = np.random.RandomState(seed).standard_normal(M * M)
    theta[: M * M] += size * np.linalg.norm(net.A, 2) / np.linalg.norm(change) * change
    return net.with_theta(theta.astype(net.theta.dtype))


def norm(net):
    return np.linalg.norm(net.s * net.A.astype(np.float64), 2)


@pytest.fixture
def lanczos(monkeypatch):
    """Count the Lanczos iterations."""
    calls = []

    def counted(*args, measure=module.operator_norm, **options):
        calls.append(args)
        return measure(*args, **options)

    monkeypatch.setattr(module, "operator_norm", counted)
    return calls


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_norm_of_a_network_is_that_of_its_matrix(dtype, lanczos):
    net = network(dtype=dtype)
    found = Contraction(net)
    assert found.upper == np.inf
    assert_allclose(found.value, norm(net), rtol=1e-4)
    assert found.upper == found.value
    assert found.bound > norm(net)
    assert len(lanczos) == 1


def test_small_steps_take_no_iteration_and_keep_the_norm_between_both_ends(lanczos):
    net = network()
    known = Contraction(net)
    known.measure()
    for step in range(12):
        net = moved(net, 1e-4, seed=step)
        known = Contraction(net, known)
        assert known.value <= norm(net) * (1 + 1e-6)
        assert norm(net) <= known.upper * (1 + 1e-5)  # Lanczos comes from below
        assert norm(net) <= known.bound
    assert len(lanczos) == 1


def test_many_small_steps_are_measured_again(lanczos):
    """Steps in one direction, each of which would pass, that raise the norm by a tenth."""
    net = network()
    left, values, right = np.linalg.svd(net.A)
    second = np.outer(left[:, 1], right[1])  # not the vector that is known
    known = Contraction(net)
    known.measure()
    gap = (1.1 * values[0] - values[1]) / 300
    for _ in range(300):
        theta = net.theta.copy()
        theta[: M * M] += (gap * second).ravel()
        net = net.with_theta(theta)
        known = Contraction(net, known)
        assert_allclose(known.value, norm(net), rtol=2e-3)
    assert 2 < len(lanczos) < 30  # once it is the largest, the vector is known again


@pytest.mark.parametrize("size", [0.01, 0.1])
def test_a_long_step_is_measured_when_it_is_asked_for(size, lanczos):
    net = network()
    known = Contraction(net)
    known.measure()
    found = Contraction(moved(net, size), known)
    assert norm(found.network) < found.upper < known.upper * (1 + 1.01 * size)
    assert found.is_below(0.99)
    assert len(lanczos) == 1
    assert_allclose(found.value, norm(found.network), rtol=1e-4)
    assert len(lanczos) == 2


def test_near_a_limit_the_norm_is_measured(lanczos):
    net = network()
    known = Contraction(net)
    known.measure()
    limit = known.upper * 1.02
    assert Contraction(moved(net, 0.05), known).is_below(limit)
    assert len(lanczos) == 2
    theta = net.theta.copy()
    theta[: M * M] *= 1.03
    assert not Contraction(net.with_theta(theta), known).is_below(limit)


def test_an_estimate_from_below_does_not_pass_for_a_bound(lanczos):
    """The norm grows past the limit in a direction of which the vector that is known sees nothing."""
    net = network()
    left, values, right = np.linalg.svd(net.A)
    values[1] = values[0] * (1 - 2e-4)
    theta = net.theta.copy()
    theta[: M * M] = ((left * values) @ right).ravel()
    near = net.with_theta(theta)
    known = Contraction(near)
    known.measure()
    limit = known.upper * (1 + 2e-4)
    theta[: M * M] += (8e-4 * values[0] * np.outer(left[:, 1], right[1])).ravel()
    found = Contraction(moved(net.with_theta(theta), 2e-4), known)
    assert norm(found.network) > limit > found.value
    assert len(lanczos) == 1
    assert not found.is_below(limit)
    assert_allclose(found.value, norm(found.network), rtol=1e-4)


@pytest.mark.parametrize(("scale", "least"), [(1e60, 0), (1e-200, np.finfo(np.float32).tiny)])
def test_entries_out_of_the_range_of_single_precision(scale, least):
    """Huge ones are measured in double precision; tiny ones are zero to single precision."""
    net = network()
    theta = net.theta.copy()
    theta[: M * M] *= scale
    assert_allclose(Contraction(net.with_theta(theta)).value, scale * norm(net), rtol=1e-4, atol=least)


def test_training_measures_the_points_it_keeps_only(lanczos):
    """Levenberg-Marquardt: trials that were rejected, or only a stage on the way, are bounded."""
    goal = objective(m=80, n=40, penalty=1e-3)
    evaluations = []
    evaluate = goal.evaluate
    goal.evaluate = lambda *a, **k: evaluations.append(1) or evaluate(*a, **k)
    state = run(goal, "lm")
    assert len(evaluations) > state.history.n_iter + 1
    assert len(lanczos) <= state.history.n_iter + 1
    assert_allclose(state.history.contraction[-1], norm(goal.start.with_theta(state.theta)), rtol=2e-3)
