"""Levenberg-Marquardt beyond the dense limit: the same steps, in memory that does not grow."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import objective, problem, regression, to

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit._numerics import blocks
from sk_implicit.function_space.losses import Curvature, SquaredError
from sk_implicit.network.tangent import TangentFeatures, joint_kernel, kernel_block
from sk_implicit.training import tangent_system
from sk_implicit.training.nystroem import NystroemFactor, NystroemSettings, NystroemSystem
from sk_implicit.training.tangent_system import SystemLimits


def uneven(n: int) -> np.ndarray:
    return np.random.RandomState(7).uniform(0.2, 3, n)


@pytest.fixture
def small_limit(monkeypatch):
    """Treat problems of more than 10 rows as large ones, and work in blocks of a few rows."""
    monkeypatch.setattr(tangent_system, "LIMITS", SystemLimits(dense=10))
    monkeypatch.setattr(blocks, "BLOCK_ENTRIES", 500)
    monkeypatch.setattr(blocks, "SIZES", blocks.BlockSizes(low_rank_rows=16))


@pytest.mark.parametrize("k", [1, 3])
def test_system_agrees_with_the_definition(k):
    tight = NystroemSettings(rtol=1e-11, max_iter=500, least_residual=1e-11)
    goal = objective(m=30, n=50, k=k, weights=uneven(50))
    tangent = goal.tangent(goal.first)
    curvature, q = SquaredError().curvature(goal.Y, goal.first.residual, goal.weights)
    root = np.tile(np.sqrt(goal.weights), k)
    for shift in (0.1, 3.0):
        S = root[:, None] * joint_kernel(tangent) * root + shift * np.eye(50 * k)
        expected = np.linalg.solve(S, q.ravel(order="F")).reshape(q.shape, order="F")
        system = NystroemSystem(tangent, NystroemFactor.of(tangent, 20), tight)
        assert_allclose(system.solve(q, curvature, shift), expected, rtol=1e-7, atol=1e-9)


def test_iterations_end_at_the_duality_gap_that_is_asked_for():
    goal = objective(m=30, n=80)
    tangent = goal.tangent(goal.first)
    curvature, q = SquaredError().curvature(goal.Y, goal.first.residual, goal.weights)
    K, shift = kernel_block(tangent), 0.01

    def primal(v):
        """Loss of the linearised network with weights Jᵀv, and its penalty."""
        return 0.5 * np.sum((q - K @ v) ** 2) + 0.5 * shift * float((v.T @ K @ v)[0, 0])

    exact = np.linalg.solve(K + shift * np.eye(80), q)
    gaps = []
    for rtol in (1.0, 0.3, 0.1):
        system = NystroemSystem(tangent, NystroemFactor.of(tangent, 5), NystroemSettings(rtol=rtol))
        v = system.solve(q, curvature, shift)
        residual = q - K @ v - shift * v
        gap, loss = primal(v) - primal(exact), 0.5 * np.sum((shift * v) ** 2)
        assert -1e-9 * loss <= gap <= 0.5 * np.sum(residual**2) * (1 + 1e-9)
        assert 0.5 * np.sum(residual**2) <= rtol**2 * loss * (1 + 1e-6)
        gaps.append(gap)
    assert gaps[0] > gaps[-1]  # the criterion has something to say


def test_all_rows_as_landmarks_solve_the_system_at_once():
    goal = objective(m=30, n=40, weights=uneven(40))
    tangent = goal.tangent(goal.first)
    curvature, q = SquaredError().curvature(goal.Y, goal.first.residual, goal.weights)
    system = NystroemSystem(tangent, NystroemFactor.of(tangent, 40))
    assert_allclose(system.factor.F @ system.factor.F.T, kernel_block(tangent), atol=1e-5)
    system.solve(q, curvature, 0.3)
    assert system.n_products <= 2


@pytest.mark.parametrize("shift", [1e-9, 1e-3, 10.0])
@pytest.mark.parametrize("direction", [False, True])
def test_preconditioner_is_symmetric_and_positive_definite(shift, direction):
    """Also where the largest eigenvalues of K are 1e9 times the shift, beyond what float32 tells."""
    k, n = 3, 60
    case = problem(m=30, n=n, k=k)
    rng = np.random.RandomState(0)
    scale = rng.uniform(0.1, 2, (n, k))
    along = rng.standard_normal((n, k))
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    curvature = Curvature(scale, along if direction else None)
    system = NystroemSystem(case.tangent, NystroemFactor.of(case.tangent, 20))
    apply = system.preconditioner(curvature, shift)
    M = np.stack([apply(e.reshape(n, k)).ravel() for e in np.eye(n * k)])
    assert_allclose(M, M.T, atol=1e-7 * np.abs(M).max())
    values = np.linalg.eigvalsh((M + M.T) / 2)
    rank = n * k - (n if direction else 0)  # L maps one direction of every row to 0
    assert np.all(values[-rank:] > 0)
    assert np.all(np.abs(values[:-rank]) <= 1e-9 * values[-1])


def test_landmarks_save_iterations():
    goal = objective(m=60, n=300)
    tangent = goal.tangent(goal.first)
    curvature, q = SquaredError().curvature(goal.Y, goal.first.residual, goal.weights)
    products = []
    for landmarks in (1, 60):
        settings = NystroemSettings(rtol=1e-3, max_iter=300)
        system = NystroemSystem(tangent, NystroemFactor.of(tangent, landmarks), settings)
        system.solve(q, curvature, 1e-3)
        products.append(system.n_products)
    assert products[1] < 0.5 * products[0]


@pytest.mark.parametrize("k", [1, 2])
def test_a_fit_beyond_the_limit_agrees_with_the_dense_fit(k, small_limit, monkeypatch):
    X, y = regression(n=120, k=k if k > 1 else None)
    weights = uneven(120)
    settings = {"width": 60, "alpha": 0.05, "relevance": None, "max_iter": 8, "tol": 0, "random_state": 0}
    large = ImplicitReLURegressor(**settings)
    with pytest.warns(UserWarning, match="max_iter"):
        large.fit(X, y, sample_weight=weights)
    monkeypatch.undo()
    dense = ImplicitReLURegressor(**settings)
    with pytest.warns(UserWarning, match="max_iter"):
        dense.fit(X, y, sample_weight=weights)
    assert_allclose(large.loss_, dense.loss_, rtol=0.05)
    difference = large.predict(X) - dense.predict(X)
    assert np.std(difference) < 0.1 * np.std(y)
    for fitted in (large, dense):  # float32 is the business of training alone
        assert fitted.A_.dtype == fitted.predict(X).dtype == np.float64


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_classifier_beyond_the_limit_agrees_with_the_dense_one(n_classes, small_limit, monkeypatch):
    X, y = regression(n=90)
    y = np.digitize(y, np.quantile(y, np.arange(1, n_classes) / n_classes))
    settings = {"width": 40, "alpha": 0.3, "relevance": None, "max_iter": 30, "random_state": 0}
    large = ImplicitReLUClassifier(**settings).fit(X, y)
    monkeypatch.undo()
    dense = ImplicitReLUClassifier(**settings).fit(X, y)
    # the loss is not convex: two paths with different damping end in different places, equally low
    assert large.loss_ <= 1.05 * dense.loss_
    assert np.mean(np.abs(large.predict_proba(X) - dense.predict_proba(X))) < 0.1


def test_a_tight_tolerance_keeps_training_in_the_precision_of_the_data(small_limit):
    X, y = regression(n=30)
    model = ImplicitReLURegressor(
        width=20, alpha=0.1, relevance=None, max_iter=1, equilibrium_tol=1e-10, random_state=0
    )
    with pytest.warns(UserWarning, match="max_iter"):
        model.fit(X, y)
    assert model.equilibrium_residual_ <= 1e-10


def test_products_in_blocks_agree_with_products_at_once(small_limit):
    case = problem(m=20, n=60, k=2)
    assert sum(1 for _ in case.tangent.blocks()) > 2
    rng = np.random.RandomState(0)
    C, theta = rng.standard_normal((60, 2)), rng.standard_normal(case.network.shape.n_weights)
    assert_allclose(case.tangent.vjp(C), case.tangent._vjp(C), rtol=1e-12, atol=1e-12)
    assert_allclose(case.tangent.jvp(theta), case.tangent._jvp(theta), rtol=1e-12, atol=1e-12)
    assert_allclose(case.tangent.kernel_diagonal(), case.tangent._kernel_diagonal(), rtol=1e-12)
    again = TangentFeatures.at(case.network, case.layers, to(1e-14))
    assert_allclose(again.adjoint(0), case.tangent.adjoint(0), atol=1e-12)


def test_memory_of_products_does_not_grow_with_the_rows(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_ENTRIES", 20_000)
    peaks = []
    for n in (1000, 8000):
        case = problem(m=50, n=n, p=3, tol=1e-6)
        C = np.ones((n, 1))
        tracemalloc.start()
        case.tangent.jvp(case.tangent.vjp(C))
        case.tangent.kernel_diagonal()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    vectors = 8 * 8000 * 20  # (n,) arrays and the bookkeeping of blocks
    assert peaks[1] <= peaks[0] + vectors < 8 * 8000 * 50
