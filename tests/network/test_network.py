"""The network's forward pass, its flat weight vector, its random start, and its norm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from problems import problem, rows, to

from sk_implicit._numerics.spectral import largest_eigenvalue, operator_norm
from sk_implicit.network import INITS, Network, Shape, draw_network, weight_views

sizes = st.integers(1, 12)


@pytest.mark.parametrize("kind", ["dense", "csr"])
@pytest.mark.parametrize("k", [1, 3])
def test_forward_pass_satisfies_the_equations_of_the_model(kind, k):
    case = problem(m=30, n=7, k=k, kind=kind, output_init="gaussian")
    net, layers = case.network, case.layers
    X = case.X.toarray() if kind == "csr" else case.X
    Phi = np.maximum(X @ net.W.T, 0) / np.sqrt(30)
    assert_allclose(layers.Phi, Phi, atol=1e-15)
    assert_allclose(layers.Z, np.maximum(0.4 / np.sqrt(30) * layers.Z @ net.A.T + Phi, 0), atol=1e-14)
    assert_allclose(net.output(layers), layers.Z @ net.U.T + Phi @ net.V.T, atol=1e-13)
    assert layers.Z.max() > 0


def test_sparse_rows_give_the_layers_of_dense_ones():
    dense, csr = rows(8, 5, kind="csr").toarray(), rows(8, 5, kind="csr")
    net = problem(m=20, p=5).network
    assert_allclose(net.forward(csr, to(1e-13))[0].Z, net.forward(dense, to(1e-13))[0].Z, atol=1e-14)


def test_taken_layers_are_those_of_the_rows():
    case = problem(m=20, n=9)
    taken = case.layers.take([4, 1])
    again, _ = case.network.forward(case.X[[4, 1]], to(1e-14))
    assert_array_equal(taken.X, again.X)
    assert_allclose(taken.Phi, again.Phi, rtol=1e-14)
    assert_allclose(taken.Z, again.Z, rtol=1e-12, atol=1e-14)


@given(m=sizes, p=sizes, k=sizes)
def test_flat_vector_and_matrices_are_the_same_weights(m, p, k):
    shape = Shape(m, p, k)
    theta = np.arange(shape.n_weights, dtype=float)
    net = Network.from_theta(theta, shape, 0.4)
    assert net.shape == shape
    assert [part.shape for part in (net.A, net.W, net.U, net.V)] == [(m, m), (m, p), (k, m), (k, m)]
    assert all(np.shares_memory(part, theta) for part in weight_views(theta, shape))
    copy = Network(net.A.copy(), net.W.copy(), net.U.copy(), net.V.copy(), gamma=0.4)
    assert_array_equal(copy.theta, theta)


def test_relu_network_is_positively_homogeneous_in_the_row():
    case = problem(m=25, n=5)
    scaled, _ = case.network.forward(3.7 * case.X, to(1e-14))
    assert_allclose(case.network.output(scaled), 3.7 * case.network.output(case.layers), rtol=1e-11)


# --- the random start -------------------------------------------------------------------------------


def draw(init="gaussian", output_init="centred", dtype=np.float64, m=60):
    return draw_network(
        Shape(m, 5, 2), 0.4, np.random.RandomState(3), init=init, output_init=output_init, dtype=dtype
    )


@pytest.mark.parametrize("init", INITS)
def test_seed_means_the_same_network_in_every_precision(init):
    double, single = draw(init), draw(init, dtype=np.float32)
    assert single.theta.dtype == np.float32
    assert_array_equal(single.theta, double.theta.astype(np.float32))


def test_gaussian_start_has_moments_of_the_standard_normal():
    theta = draw(m=150).theta
    assert abs(theta.mean()) < 4 / np.sqrt(theta.size)
    assert abs(theta.var() - 1) < 4 * np.sqrt(2 / theta.size)
    assert abs(np.mean(theta**4) - 3) < 4 * np.sqrt(96 / theta.size)


def test_bernoulli_start_has_balanced_signs_in_A_and_W_and_gaussian_outputs():
    net = draw("bernoulli")
    for part in (net.A, net.W):
        assert set(np.unique(part)) == {-1.0, 1.0}
    assert abs(net.A.mean()) < 4 / net.A.shape[0]
    assert len(np.unique(net.U)) == net.U.size


def test_output_init_zero_changes_only_the_output_weights():
    zero, gaussian, centred = (draw(output_init=name) for name in ("zero", "gaussian", "centred"))
    assert not zero.U.any() and not zero.V.any()
    assert_array_equal(zero.A, gaussian.A)
    assert_array_equal(zero.W, gaussian.W)
    assert_array_equal(centred.theta, gaussian.theta)


# --- norms ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("m", [1, 2, 3, 64, 65, 200])
def test_operator_norm_is_the_largest_singular_value(m):
    A = np.random.RandomState(m).standard_normal((m, m))
    norm, vector = operator_norm(A, tol=1e-10)
    assert_allclose(norm, np.linalg.norm(A, 2), rtol=1e-9)
    assert_allclose(np.linalg.norm(A @ vector), norm, rtol=1e-5)
    warm, _ = operator_norm(A, v0=vector, tol=1e-10)
    assert_allclose(warm, norm, rtol=1e-9)


@pytest.mark.parametrize("m", [65, 100, 200, 400])
@pytest.mark.parametrize("gap", [0.003, 0.01, 0.1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_operator_norm_from_the_wrong_singular_vector(m, gap, dtype):
    U, values, Vt = np.linalg.svd(np.random.RandomState(m).standard_normal((m, m)))
    values[1] = (1 + gap) * values[0]
    norm, _ = operator_norm(((U * values) @ Vt).astype(dtype), v0=Vt[0].astype(dtype))
    assert_allclose(norm, values[1], rtol=1e-4)


@pytest.mark.parametrize("m", [3, 100])
def test_operator_norm_of_the_zero_matrix(m):
    norm, vector = operator_norm(np.zeros((m, m)))
    assert norm == 0
    assert_allclose(np.linalg.norm(vector), 1)


def test_operator_norm_of_a_rank_one_matrix_and_a_wrong_guess():
    u, v = np.random.RandomState(0).standard_normal((2, 90))
    orthogonal = u - v * (u @ v) / (v @ v)
    norm, _ = operator_norm(np.outer(u, v), v0=orthogonal)
    assert_allclose(norm, np.linalg.norm(u) * np.linalg.norm(v), rtol=1e-4)


def test_contraction_is_the_norm_of_the_scaled_matrix():
    net = draw()
    assert_allclose(net.contraction(), np.linalg.norm(net.s * net.A, 2), rtol=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3, 50])
def test_largest_eigenvalue_is_that_of_the_dense_matrix(order):
    M = np.random.RandomState(order).standard_normal((order, order))
    M = M @ M.T
    value, vector = largest_eigenvalue(M, tol=1e-10)
    assert_allclose(value, np.linalg.eigvalsh(M)[-1], rtol=1e-9)
    assert_allclose(M @ vector, value * vector, atol=1e-4 * value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_operator_norm_of_entries_whose_squares_overflow(dtype):
    A = np.random.RandomState(0).standard_normal((80, 80)).astype(dtype)
    size = dtype(np.finfo(dtype).max ** 0.7)
    norm, vector = operator_norm(size * A, tol=1e-8)
    assert_allclose(norm, float(size) * np.linalg.norm(A.astype(np.float64), 2), rtol=1e-5)
    assert_allclose(np.linalg.norm(vector), 1, rtol=1e-5)
