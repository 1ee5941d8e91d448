"""Finite depth: the layers, their derivatives, and the way to the equilibrium."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from problems import outputs, problem
from test_tangent import difference_jacobian, product_jacobian

from sk_implicit.adjoint import pairs_are_cheaper
from sk_implicit.equilibrium import Status, recur
from sk_implicit.network import Network
from sk_implicit.tangent import TangentFeatures, joint_kernel, kernel_block, mean_kernel, vjp_at

DEPTHS = (1, 2, 5)


def naive(network, X):
    """z_depth, one row and one layer at a time."""
    Z = np.zeros((X.shape[0], network.shape.m))
    for i, x in enumerate(X.toarray() if hasattr(X, "toarray") else X):
        phi = np.maximum(network.W @ x, 0) / np.sqrt(network.shape.m)
        for _ in range(network.depth):
            Z[i] = np.maximum(network.s * network.A @ Z[i] + phi, 0)
    return Z


# --- the network ------------------------------------------------------------------------------------


@given(
    m=st.integers(1, 20),
    n=st.integers(1, 7),
    depth=st.integers(1, 12),
    gamma=st.floats(0.01, 5),
    kind=st.sampled_from(["dense", "csr"]),
    seed=st.integers(0, 1000),
)
def test_forward_pass_is_the_recursion(m, n, depth, gamma, kind, seed):
    case = problem(m, n, kind=kind, gamma=gamma, seed=seed, depth=depth)
    Z = naive(case.network, case.X)
    assert_allclose(case.layers.Z, Z, rtol=1e-10, atol=1e-12 * np.abs(Z).max())
    assert case.layers.result.converged
    assert not case.layers.result.residual.any()


def test_one_layer_is_the_feature_map():
    case = problem(depth=1)
    assert_array_equal(case.layers.Z, case.layers.Phi)
    assert not np.shares_memory(case.layers.Z, case.layers.Phi)
    assert case.layers.result.n_products == 0


def test_rows_that_overflow_are_nan_and_said_to_be():
    network = problem(m=5, n=1, gamma=50.0, depth=3).network
    network.A[:] = np.abs(network.A)
    Phi = np.array([[1.0] * 5, [1e307] * 5])
    result = recur(network.operator, Phi, 40)
    assert result.status is Status.DIVERGED
    assert_array_equal(result.residual, [0.0, np.inf])
    assert np.isnan(result.solution[1]).all()
    assert np.isfinite(result.solution[0]).all()


def test_layers_that_change_nothing_are_not_computed():
    result = problem(m=60, n=5, depth=10**6).layers.result
    assert result.n_iter < 60


def test_networks_made_from_a_network_keep_its_depth():
    network = problem(depth=3).network
    for made in (
        network.with_theta(network.theta),
        network.with_outputs(network.U, network.V),
        network.astype(np.float32),
    ):
        assert made.depth == 3


# --- derivatives ------------------------------------------------------------------------------------

cases = pytest.mark.parametrize(
    ("k", "kind", "gamma", "depth"),
    [(k, kind, gamma, L) for L in DEPTHS for k, kind, gamma in [(1, "dense", 0.4), (3, "csr", 2.0)]],
)


@cases
def test_every_product_and_kernel_agrees_with_finite_differences(k, kind, gamma, depth):
    case = problem(k=k, kind=kind, gamma=gamma, depth=depth)
    J = difference_jacobian(case)
    scale = np.abs(J).max()
    assert_allclose(product_jacobian(case), J, atol=1e-6 * scale)
    rng = np.random.RandomState(5)
    theta = rng.standard_normal(J.shape[1])
    assert_allclose(case.tangent.jvp(theta).ravel(order="F"), J @ theta, atol=1e-6 * np.abs(J @ theta).max())
    C = rng.standard_normal((case.n, k))
    assert_allclose(case.tangent.vjp(C), C.ravel(order="F") @ J, atol=1e-6 * scale)
    K = J @ J.T
    assert_allclose(joint_kernel(case.tangent), K, atol=1e-6 * np.abs(K).max())


@given(
    m=st.integers(1, 15),
    n=st.integers(1, 7),
    k=st.integers(1, 3),
    depth=st.integers(1, 8),
    kind=st.sampled_from(["dense", "csr"]),
    gamma=st.floats(0.01, 3),
    seed=st.integers(0, 1000),
)
def test_products_are_adjoint_and_kernels_are_their_composition(m, n, k, depth, kind, gamma, seed):
    case = problem(m, n, k=k, kind=kind, gamma=gamma, seed=seed, depth=depth)
    rng = np.random.RandomState(seed)
    C, theta = rng.standard_normal((n, k)), rng.standard_normal(case.network.theta.size)
    J = product_jacobian(case)
    size = max(1.0, np.abs(J).max())
    assert_allclose(J @ theta, case.tangent.jvp(theta).ravel(order="F"), atol=1e-11 * size)
    assert_allclose(C.ravel(order="F") @ J, case.tangent.vjp(C), atol=1e-11 * size)
    assert_allclose(
        vjp_at(case.network, case.layers, C, tol=1e-14)[0], case.tangent.vjp(C), atol=1e-11 * size
    )
    K = joint_kernel(case.tangent)
    assert_allclose(K, J @ J.T, atol=1e-11 * size**2)
    assert_allclose(case.tangent.kernel_diagonal().ravel(order="F"), np.diag(K), atol=1e-11 * size**2)
    assert_allclose(kernel_block(case.tangent), kernel_block(case.tangent).T, atol=1e-13 * size**2)


@pytest.mark.parametrize("chosen", [slice(None), [4, 1]])
def test_kernels_by_columns_of_A_are_those_by_pairs_of_layers(chosen, monkeypatch):
    case = problem(m=12, n=6, k=2, depth=7, gamma=1.0)
    other = None if chosen == slice(None) else case.tangent.take(chosen)
    columns = joint_kernel(case.tangent, other)
    assert not pairs_are_cheaper(*[[(left[0], right) for left, right in case.tangent.inner_terms]] * 2)
    monkeypatch.setattr("sk_implicit.tangent.pairs_are_cheaper", lambda *_: True)
    assert_allclose(joint_kernel(case.tangent, other), columns, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("depth", DEPTHS)
def test_taken_rows_and_kernels_between_two_sets(depth):
    case = problem(n=8, k=2, depth=depth)
    chosen = [6, 5, 7]
    left, right = case.tangent.take(slice(0, 5)), case.tangent.take(chosen)
    both = joint_kernel(case.tangent).reshape(2, 8, 2, 8)
    cross = both[:, :5][:, :, :, chosen]
    assert_allclose(joint_kernel(left, right), cross.reshape(10, 6), rtol=1e-12)
    assert_allclose(mean_kernel(left, right), np.mean([cross[c, :, c] for c in range(2)], axis=0), rtol=1e-12)
    theta = np.random.RandomState(1).standard_normal(case.network.theta.size)
    assert_allclose(right.jvp(theta), case.tangent.jvp(theta)[chosen], rtol=1e-12)
    assert_allclose(right.kernel_diagonal(), case.tangent.kernel_diagonal()[chosen], rtol=1e-13)


def test_derivatives_in_blocks_of_rows_are_those_at_once(monkeypatch):
    case = problem(m=20, n=40, k=2, depth=4)
    monkeypatch.setattr("sk_implicit.adjoint._BLOCK_ENTRIES", 400)
    again = TangentFeatures.at(case.network, case.layers, tol=1e-14)
    assert_allclose(joint_kernel(again), joint_kernel(case.tangent), rtol=1e-12)


def test_inputs_come_out_unchanged():
    case = problem(m=20, n=10, depth=2)
    Phi, Z = case.layers.Phi.copy(), case.layers.Z.copy()
    case.layers.Phi.flags.writeable = case.layers.Z.flags.writeable = False
    TangentFeatures.at(case.network, case.layers, tol=1e-14)
    assert_array_equal(case.layers.Phi, Phi)
    assert_array_equal(case.layers.Z, Z)


# --- the limit --------------------------------------------------------------------------------------


def test_deep_networks_end_at_the_equilibrium():
    infinite = problem(m=60, n=10, k=2, tol=1e-13)
    deep = problem(m=60, n=10, k=2, depth=200, tol=1e-13)
    assert_allclose(outputs(deep, deep.network.theta), outputs(infinite, infinite.network.theta), atol=1e-8)
    K = joint_kernel(infinite.tangent)
    assert_allclose(joint_kernel(deep.tangent), K, atol=1e-8 * np.abs(K).max())
    assert len(deep.tangent.terms) == 1  # the layers are put together


def test_layers_are_put_together_as_far_as_the_tolerance_allows():
    exact = problem(m=60, n=10, depth=12, tol=0.0)
    assert len(exact.tangent.terms) == 12
    J = product_jacobian(exact)
    for tol in (1e-2, 1e-4, 1e-6):
        found = problem(m=60, n=10, depth=12, tol=tol)
        assert np.abs(product_jacobian(found) - J).max() < tol * np.abs(J).max()
    assert len(problem(m=60, n=10, depth=12, tol=1e-2).tangent.terms) == 1


def test_single_precision_stays_single_and_agrees():
    single = problem(m=30, n=8, k=2, depth=5, dtype=np.float32, tol=1e-6)
    double = problem(m=30, n=8, k=2, depth=5)
    K, K2 = joint_kernel(single.tangent), joint_kernel(double.tangent)
    assert K.dtype == np.float32
    assert_allclose(K, K2, atol=1e-4 * np.abs(K2).max())


def test_copy_of_the_weights_is_the_same_network():
    network = problem(depth=3).network
    copy = Network(network.A, network.W, network.U, network.V, gamma=network.gamma, depth=3)
    assert_array_equal(copy.theta, network.theta)
