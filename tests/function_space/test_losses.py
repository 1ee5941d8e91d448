"""Losses: value, residual and curvature against each other and against finite differences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import huber
from sklearn.metrics import mean_pinball_loss, mean_tweedie_deviance

from sk_implicit.function_space.deviances import GammaDeviance, PoissonDeviance
from sk_implicit.function_space.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    SquaredError,
    log_probabilities,
)
from sk_implicit.function_space.pinball import Huber, Pinball

STEP = 1e-6
LOSSES = {
    "squared": (SquaredError(), 2),
    "binary": (BinaryCrossEntropy(np.array([0.4])), 1),
    "labels": (BinaryCrossEntropy(np.array([0.4, -0.2, 0.0])), 3),
    "multinomial": (CrossEntropy(np.log([0.2, 0.5, 0.3])), 3),
    "poisson": (PoissonDeviance(), 2),
    "gamma": (GammaDeviance(), 2),
    "quantiles": (Pinball(np.array([0.1, 0.8]), np.array([0.3, 0.6])), 2),
    "huber": (Huber(np.array([0.5, 0.5]), 0.7), 2),
}


def rows(name, n=8, seed=0, spread=1.0):
    """Return a loss with targets, predictions and weights for n rows."""
    loss, k = LOSSES[name]
    rng = np.random.RandomState(seed)
    F = spread * rng.standard_normal((n, k))
    if name in ("squared", "quantiles", "huber"):
        Y = rng.standard_normal((n, k))
    elif name == "poisson":
        Y = rng.poisson(1.5, (n, k)).astype(float)
    elif name == "gamma":
        Y = rng.gamma(20.0, 0.05, (n, k))
    elif name != "multinomial":
        Y = rng.randint(0, 2, size=(n, k)).astype(float)
    else:
        Y = np.eye(k)[rng.randint(0, k, size=n)]
    return loss, Y, F, rng.uniform(0.2, 3, size=n)


def derivative(function, F):
    """Return ∂function/∂F for a function of every row alone, on a new last axis."""
    parts = []
    for c in range(F.shape[1]):
        step = np.zeros_like(F)
        step[:, c] = STEP
        parts.append((function(F + step) - function(F - step)) / (2 * STEP))
    return np.stack(parts, axis=-1)


def dense_root(curvature):
    """Return L of every row, (n, k, k)."""
    n, k = curvature.scale.shape
    return np.stack([curvature.root(np.tile(e, (n, 1))) for e in np.eye(k)], axis=-1)


@pytest.mark.parametrize("name", LOSSES)
def test_residual_is_minus_the_derivative_of_the_value(name):
    loss, Y, F, _ = rows(name, spread=2)
    expected = -derivative(lambda F: loss.evaluate(Y, F).value, F)
    assert_allclose(loss.evaluate(Y, F).residual, expected, atol=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_curvature_is_the_weighted_hessian_where_targets_are_not_unlikely(name):
    loss, Y, F, weights = rows(name, spread=0.3)
    residual = loss.evaluate(Y, F).residual
    assert name not in ("binary", "multinomial") or np.abs(residual).max() < 0.9
    curvature, _ = loss.curvature(Y, residual, weights)
    hessian = -derivative(lambda F: loss.evaluate(Y, F).residual, F)
    if name in ("quantiles", "huber"):  # beyond the width, where there is none
        assert 0 < np.mean(np.abs(Y - F) > loss.width) < 1
        hessian += np.where(np.abs(Y - F) > loss.width, loss.far, 0)[:, :, None] * np.eye(2)
    L = dense_root(curvature)
    assert_allclose(L @ L.transpose(0, 2, 1), weights[:, None, None] * hessian, atol=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_the_two_roots_are_transposes(name):
    loss, Y, F, weights = rows(name)
    curvature, _ = loss.curvature(Y, loss.evaluate(Y, F).residual, weights)
    n, k = F.shape
    transposed = np.stack([curvature.root_t(np.tile(e, (n, 1))) for e in np.eye(k)], axis=-1)
    assert_allclose(transposed, dense_root(curvature).transpose(0, 2, 1), atol=1e-14)


@pytest.mark.parametrize("name", LOSSES)
@given(spread=st.floats(0, 50), seed=st.integers(0, 100))
def test_residual_in_the_coordinates_of_the_root(name, spread, seed):
    loss, Y, F, weights = rows(name, seed=seed, spread=spread)
    residual = loss.evaluate(Y, F).residual
    curvature, q = loss.curvature(Y, residual, weights)
    assert np.isfinite(q).all()
    assert_allclose(curvature.root(q), weights[:, None] * residual, atol=1e-6)
    assert_allclose(curvature.project(q), q, atol=1e-12)
    eigenvalues = np.linalg.eigvalsh(dense_root(curvature) @ dense_root(curvature).transpose(0, 2, 1))
    bound = weights * loss.largest_curvature(Y) * (1 + 1e-9)
    if name == "poisson":  # over predictions up to the largest target
        bound = np.where(F.max(axis=1) > np.log(Y.max()), np.inf, bound)
    if name == "gamma":  # over predictions from the mean on
        bound = np.where(F.min(axis=1) < 0, np.inf, bound)
    assert (eigenvalues.max(axis=1) <= bound).all()


def test_rows_predicted_wrongly_for_certain_take_bounded_steps():
    loss = CrossEntropy(np.zeros(3))
    Y, F = np.eye(3)[[0]], np.array([[-800.0, 0.0, 1.0]])
    _, q = loss.curvature(Y, loss.evaluate(Y, F).residual, np.ones(1))
    assert_allclose(np.sum(q**2), 1 / 0.1 + 1 / 0.9)  # exp(800) without the least probability
    assert_allclose(loss.evaluate(Y, F).value, 801 + np.log1p(np.exp(-1.0)))


@pytest.mark.parametrize("name, power", [("poisson", 1), ("gamma", 2)])
def test_deviances_are_half_of_those_of_scikit_learn(name, power):
    loss, Y, F, _ = rows(name)
    for c in range(2):
        half = loss.evaluate(Y[:, [c]], F[:, [c]]).value.mean()
        assert_allclose(2 * half, mean_tweedie_deviance(Y[:, c], np.exp(F[:, c]), power=power))
    assert_allclose(loss.evaluate(Y + 1, loss.linked(Y + 1)).value, 0, atol=1e-12)


@pytest.mark.parametrize("loss, Y, F", [(PoissonDeviance(), 2.0, -30.0), (GammaDeviance(), 1e-9, 0.0)])
def test_targets_far_from_the_mean_take_bounded_steps(loss, Y, F):
    Y, F = np.array([[Y]]), np.array([[F]])
    curvature, q = loss.curvature(Y, loss.evaluate(Y, F).residual, np.ones(1))
    assert abs(q / curvature.scale) == pytest.approx(10)  # 1/0.1, and 1e13 or 1e9 without the least share


def test_rounded_losses_are_those_of_scikit_learn_beyond_their_widths():
    rng = np.random.RandomState(0)
    Y, F = rng.standard_normal((2, 500, 1))
    for level in (0.5, 0.1):
        loss = Pinball(np.array([level]), 1e-6)
        exact = mean_pinball_loss(Y, F, alpha=level)
        assert_allclose(loss.evaluate(Y, F).value.mean() / loss.size, exact, rtol=1e-5)
    loss, delta = Huber(np.array([0.5]), np.array([0.8])), 0.8
    assert_allclose(loss.evaluate(Y, F).value, huber(delta, (Y - F)[:, 0]), atol=1e-14)


def test_widths_follow_the_noise():
    loss, wide = Pinball(np.array([0.5, 0.5])).at_noise(np.array([2.0, 1e-9]))
    assert_allclose(loss.width, [0.2, 0.01])
    assert_allclose(wide.width, [1.0, 0.01])
    assert loss.size == pytest.approx(0.21)
    assert not loss.path()
    assert [wider.width for wider in Pinball(np.array([0.5]), 0.01).path()] == pytest.approx([0.64, 0.08])
    loss, wide = Huber(np.array([0.5])).at_noise(np.array([2.0]))
    assert_allclose([loss.width, wide.width], 2.69)


@pytest.mark.parametrize("several", [True, False])
def test_calibrated_quantiles_have_their_share_of_rows_below_them(several):
    """The rows that they are calibrated on, whose noise differs; each output is less its own constant."""
    rng = np.random.RandomState(0)
    spread = rng.uniform(0.5, 2, (1000, 1))
    y = 3 + spread * rng.standard_normal((1000, 1))
    constants = np.array([-2.0, 0.5, 1.0])
    levels = np.array([0.1, 0.5, 0.9]) if several else np.array([0.2, 0.2, 0.2])
    Q = 3 + 0.5 * spread * [-1.28, 0.1, 1.28]  # too close to each other
    loss = Pinball(levels, several=several, counts=True)
    calibration = loss.calibration(y - constants, Q - constants, np.ones(1000))
    F, shift = loss.calibrated(Q - constants, y - constants, calibration)
    moved = F + shift + constants
    assert_allclose(np.mean(y < moved, axis=0), levels, atol=2e-3)
    if several:  # in proportion to the spread
        assert_allclose(moved[:, 2] - moved[:, 0], 2.56 * spread[:, 0], rtol=0.15)
    else:
        assert_allclose(np.diff(moved - Q, axis=0), 0, atol=1e-12)
    assert Pinball(levels).calibration(y - constants, Q, np.ones(1000)) is None
    assert SquaredError().calibration(y, y, np.ones(1000)) is None


def test_one_output_is_two_classes_of_a_softmax():
    logits = np.linspace(-5, 5, 7)[:, None]
    both = log_probabilities(np.hstack([0 * logits, logits]))
    assert_allclose(log_probabilities(logits), both, atol=1e-12)


def test_softened_targets():
    """Of one output as of two, and with the derivative that the residual says."""
    F, Y = np.linspace(-5, 5, 7)[:, None], np.linspace(0, 1, 7)[:, None]
    loss = BinaryCrossEntropy(np.zeros(1))
    value, residual = loss.evaluate(Y, F)
    two = CrossEntropy(np.zeros(2)).evaluate(np.hstack([1 - Y, Y]), np.hstack([0 * F, F]))
    assert_allclose(value, two.value)
    assert_allclose(residual[:, 0], two.residual[:, 1])
    slope = (loss.evaluate(Y, F + 1e-6).value - loss.evaluate(Y, F - 1e-6).value) / 2e-6
    assert_allclose(-slope, residual[:, 0], atol=1e-8)


def test_probabilities_of_extreme_logits():
    assert_array_equal(log_probabilities(np.array([[1e4], [-1e4]])), [[-1e4, 0], [0, -1e4]])
    assert_array_equal(np.exp(log_probabilities(np.array([[0.0, 1e4, -1e4]]))), [[0, 1, 0]])


def test_precision_of_the_predictions_is_kept():
    for loss, Y, F, _ in map(rows, LOSSES):
        residual = loss.evaluate(Y.astype(np.float32), F.astype(np.float32)).residual
        assert residual.dtype == np.float32
