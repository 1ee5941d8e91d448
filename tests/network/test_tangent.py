"""Jacobian products, gradients and the tangent kernel against finite differences and dense algebra."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from problems import TIGHT, difference_jacobian, problem, product_jacobian, rows, to
from scipy import sparse

from sk_implicit.network.adjoint import vjp_at
from sk_implicit.network.tangent import (
    TangentFeatures,
    joint_kernel,
    kernel_block,
    mean_diagonal,
    mean_kernel,
    squared_row_norms,
)

cases = pytest.mark.parametrize(
    ("k", "kind", "gamma"),
    [(1, "dense", 0.4), (3, "dense", 0.4), (1, "csr", 0.4), (2, "csr", 0.4), (2, "dense", 0.9)],
)


@cases
def test_every_product_and_kernel_agrees_with_finite_differences(k, kind, gamma):
    case = problem(k=k, kind=kind, gamma=gamma)
    J = difference_jacobian(case)
    scale = np.abs(J).max()
    assert_allclose(product_jacobian(case), J, atol=1e-6 * scale)
    rng = np.random.RandomState(5)
    theta = rng.standard_normal(J.shape[1])
    assert_allclose(case.tangent.jvp(theta).ravel(order="F"), J @ theta, atol=1e-6 * np.abs(J @ theta).max())
    K = J @ J.T
    assert_allclose(joint_kernel(case.tangent), K, atol=1e-6 * np.abs(K).max())


@cases
def test_kernels_are_products_of_the_jacobian(k, kind, gamma):
    case = problem(k=k, kind=kind, gamma=gamma)
    J = product_jacobian(case)
    K = (J @ J.T).reshape(k, case.n, k, case.n)
    for c in range(k):
        for c2 in range(k):
            assert_allclose(kernel_block(case.tangent, c=c, c2=c2), K[c, :, c2], rtol=1e-11, atol=1e-11)
    assert_allclose(joint_kernel(case.tangent), J @ J.T, rtol=1e-11, atol=1e-11)
    assert_allclose(mean_kernel(case.tangent), sum(K[c, :, c] for c in range(k)) / k, rtol=1e-11)
    diagonal = np.array([np.diag(K[c, :, c]) for c in range(k)]).T
    assert_allclose(case.tangent.kernel_diagonal(), diagonal, rtol=1e-11)
    weights = np.random.RandomState(0).uniform(0.1, 3, size=case.n)
    expected = np.average(diagonal.mean(axis=1), weights=weights)
    assert_allclose(mean_diagonal(case.tangent, weights), expected, rtol=1e-11)


@pytest.mark.parametrize("kind", ["dense", "csr"])
@pytest.mark.parametrize("k", [1, 2])
def test_kernel_between_two_sets_is_a_part_of_the_joint_one(kind, k):
    case = problem(n=8, k=k, kind=kind)
    left, right = case.tangent.take(slice(0, 5)), case.tangent.take([6, 5, 7])
    both = joint_kernel(case.tangent).reshape(k, 8, k, 8)
    cross = both[:, :5][:, :, :, [6, 5, 7]]
    assert_allclose(joint_kernel(left, right), cross.reshape(5 * k, 3 * k), rtol=1e-12)
    assert_allclose(mean_kernel(left, right), np.mean([cross[c, :, c] for c in range(k)], axis=0), rtol=1e-12)


@pytest.mark.parametrize("k", [1, 2])
def test_taken_rows_have_the_jacobian_of_those_rows(k):
    case = problem(n=8, k=k)
    chosen = [5, 0, 3]
    taken = case.tangent.take(chosen)
    theta = np.random.RandomState(1).standard_normal(case.network.theta.size)
    assert_allclose(taken.jvp(theta), case.tangent.jvp(theta)[chosen], rtol=1e-12)
    C, full = np.random.RandomState(2).standard_normal((3, k)), np.zeros((8, k))
    full[chosen] = C
    assert_allclose(taken.vjp(C), case.tangent.vjp(full), atol=1e-13)
    assert_allclose(taken.kernel_diagonal(), case.tangent.kernel_diagonal()[chosen], rtol=1e-13)


@cases
def test_adjoint_equilibrium_is_the_dense_solution(k, kind, gamma):
    case = problem(k=k, kind=kind, gamma=gamma)
    net, Z = case.network, case.layers.Z
    for i in range(case.n):
        D = np.diag((Z[i] > 0).astype(float))
        # λ = D (s Aᵀ λ + u), a column per output
        expected = np.linalg.solve(np.eye(len(D)) - D @ (net.s * net.A.T), D @ net.U.T)
        found = [case.tangent.adjoint(c)[i] for c in range(k)]
        assert_allclose(np.transpose(found), expected, atol=1e-12)


@pytest.mark.parametrize("k", [1, 3])
def test_one_adjoint_for_any_coefficients_is_the_sum_over_outputs(k):
    case = problem(k=k)
    C = np.random.RandomState(3).standard_normal((case.n, k))
    pulled, _ = vjp_at(case.network, case.layers, C, to(TIGHT))
    assert_allclose(pulled, case.tangent.vjp(C), atol=1e-12)


@given(
    m=st.integers(1, 20),
    n=st.integers(1, 7),
    p=st.integers(1, 6),
    k=st.integers(1, 3),
    kind=st.sampled_from(["dense", "csr"]),
    gamma=st.floats(0.01, 0.45),
    seed=st.integers(0, 1000),
)
def test_products_are_adjoint_and_the_kernel_is_their_composition(m, n, p, k, kind, gamma, seed):
    # A Gaussian A of small order can be larger than 2√m: scale γ to a certified contraction.
    norm = problem(m=m, n=1, p=p, k=k, gamma=1e-3, seed=seed).network.contraction()
    case = problem(m, n, p, k, kind=kind, gamma=min(gamma, 0.9e-3 / norm), seed=seed)
    rng = np.random.RandomState(seed)
    C, theta = rng.standard_normal((n, k)), rng.standard_normal(case.network.theta.size)
    left, right = np.sum(C * case.tangent.jvp(theta)), case.tangent.vjp(C) @ theta
    assert_allclose(left, right, rtol=1e-9, atol=1e-9)
    K = joint_kernel(case.tangent)
    assert_allclose(K @ C.ravel(order="F"), case.tangent.jvp(case.tangent.vjp(C)).ravel(order="F"), atol=1e-8)
    assert_allclose(K, K.T, atol=1e-12 * (1 + np.abs(K).max()))
    assert np.linalg.eigvalsh(K)[0] >= -1e-10 * np.trace(K)


def test_kernel_dominates_the_gram_matrix_of_the_feature_map():
    case = problem(m=40, n=10)
    excess = joint_kernel(case.tangent) - case.layers.Phi @ case.layers.Phi.T
    assert np.linalg.eigvalsh(excess)[0] >= -1e-12


def test_warm_started_adjoint_equals_a_fresh_one():
    case = problem(m=30, n=8, k=2, tol=1e-12)
    nearby = case.network.with_theta(1.01 * case.network.theta)
    layers, _ = nearby.forward(case.X, to(1e-12), Z0=case.layers.Z)
    warm = TangentFeatures.at(nearby, layers, to(1e-12), start=case.tangent.terms)
    fresh = TangentFeatures.at(nearby, layers, to(1e-12))
    for c in range(2):
        assert_allclose(warm.adjoint(c), fresh.adjoint(c), atol=1e-10)


def test_single_precision_products_stay_single_and_agree():
    single = problem(m=30, n=8, k=2, dtype=np.float32, tol=1e-6)
    double = problem(m=30, n=8, k=2, tol=1e-12)
    C = np.random.RandomState(0).standard_normal((8, 2)).astype(np.float32)
    theta = double.network.theta.astype(np.float32)
    for product, reference in (
        (single.tangent.vjp(C), double.tangent.vjp(C)),
        (single.tangent.jvp(theta), double.tangent.jvp(theta)),
        (joint_kernel(single.tangent), joint_kernel(double.tangent)),
    ):
        assert product.dtype == np.float32
        assert_allclose(product, reference, atol=1e-4 * np.abs(reference).max())


def test_row_norms_of_dense_and_sparse_rows():
    X = rows(5, 4, kind="csr")
    expected = np.sum(X.toarray() ** 2, axis=1)
    assert_allclose(squared_row_norms(X), expected)
    assert_allclose(squared_row_norms(sparse.csr_matrix(X)), expected)
    assert_allclose(squared_row_norms(X.toarray()), expected)
