"""‖sA‖₂ along training, beside dense norms."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sk_implicit.network import Shape, draw_network
from sk_implicit.training import contraction as module
from sk_implicit.training.contraction import Contraction, contraction

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
    found = contraction(net, None, np.inf)
    assert_allclose(found.value, norm(net), rtol=1e-4)
    assert found.upper == found.value
    assert found.bound > norm(net)
    assert len(lanczos) == 1


def test_small_steps_take_no_iteration_and_keep_the_norm_between_both_ends(lanczos):
    net = network()
    known = contraction(net, None, np.inf)
    known = known._replace(upper=known.upper * (1 + 1e-5))  # Lanczos comes from below
    for step in range(12):
        last, net = net, moved(net, 1e-4, seed=step)
        known = contraction(net, (last, known), np.inf)
        assert known.value <= norm(net) * (1 + 1e-6)
        assert norm(net) <= known.upper
        assert norm(net) <= known.bound
    assert len(lanczos) == 1


def test_many_small_steps_are_measured_again(lanczos):
    """Steps in one direction, each of which would pass, that raise the norm by a tenth."""
    net = network()
    left, values, right = np.linalg.svd(net.A)
    second = np.outer(left[:, 1], right[1])  # not the vector that is known
    known = contraction(net, None, np.inf)
    gap = (1.1 * values[0] - values[1]) / 300
    for _ in range(300):
        last, theta = net, net.theta.copy()
        theta[: M * M] += (gap * second).ravel()
        net = net.with_theta(theta)
        known = contraction(net, (last, known), np.inf)
        assert_allclose(known.value, norm(net), rtol=2e-3)
    assert 2 < len(lanczos) < 30  # once it is the largest, the vector is known again


@pytest.mark.parametrize("size", [0.01, 0.3])
def test_a_long_step_is_measured(size, lanczos):
    net = network()
    other = moved(net, size)
    found = contraction(other, (net, contraction(net, None, np.inf)), np.inf)
    assert_allclose(found.value, norm(other), rtol=1e-4)
    assert len(lanczos) == 2


def test_near_the_limit_the_norm_is_measured(lanczos):
    net = network()
    other = moved(net, 1e-4)
    known = contraction(net, None, np.inf)
    contraction(other, (net, known), limit=known.value * (1 + 1e-6))
    assert len(lanczos) == 2


@pytest.mark.parametrize("scale", [1e-200, 1e60])
def test_entries_out_of_the_range_of_single_precision(scale):
    net = network()
    theta = net.theta.copy()
    theta[: M * M] *= scale
    found = contraction(net.with_theta(theta), None, np.inf)
    assert_allclose(found.value, scale * norm(net), rtol=1e-4, atol=1e-40)
    assert isinstance(found, Contraction)
