"""Norms and eigenvalues where Lanczos, Cholesky and power iterations need help."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, aslinearoperator

from sk_implicit._numerics import spectral
from sk_implicit._numerics.spectral import largest_eigenvalue, norm_is_below, operator_norm, perron_bound


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e19), (np.float64, 1e200), (np.float64, 1.0)])
def test_norms_of_matrices_whose_squares_overflow(dtype, size):
    A = np.random.RandomState(0).standard_normal((100, 100)).astype(dtype)
    norm, vector = operator_norm(A * dtype(size), tol=1e-8)
    assert_allclose(norm, size * np.linalg.norm(A.astype(float), 2), rtol=1e-5)
    assert_allclose(np.linalg.norm(A @ vector), np.linalg.norm(A.astype(float), 2), rtol=1e-3)


@pytest.mark.parametrize("m", [3, 100])
def test_norm_of_nothing_is_zero(m):
    norm, vector = operator_norm(np.zeros((m, m)))
    assert norm == 0 and np.linalg.norm(vector) == pytest.approx(1)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_operators_too_small_for_lanczos(order):
    K = np.diag(np.arange(1.0, order + 1))
    operator = LinearOperator((order, order), matvec=lambda v: K @ v, dtype=float)
    value, vector = largest_eigenvalue(operator, tol=1e-10)
    assert_allclose(value, order)
    assert_allclose(np.abs(vector), np.eye(order)[-1], atol=1e-6)


def test_eigenvalues_that_do_not_converge_are_the_best_there_are(monkeypatch):
    found = (np.array([2.0]), np.ones((70, 1)))

    def eigsh(*_, **__):
        raise ArpackNoConvergence("not converged", *found)

    monkeypatch.setattr(spectral, "eigsh", eigsh)
    operator = aslinearoperator(np.eye(70))
    assert largest_eigenvalue(operator)[0] == 2
    found = (np.empty(0), np.empty((70, 0)))
    with pytest.raises(ArpackNoConvergence):
        largest_eigenvalue(operator)


@pytest.mark.parametrize("m", [5, 50, 200])
def test_norms_are_proven_up_to_the_rounding_errors_that_the_proof_allows_for(m):
    """Of a multiple of the identity, whose products have next to no rounding errors of their own."""
    margin = 2 * (m + 4) * np.finfo(float).eps * 2 * m  # ‖B‖_F² and the trace of bound² I are m each
    for bound in (1.0, 2.0**-60, 2.0**60):
        assert norm_is_below(bound * np.sqrt(1 - 1.1 * margin) * np.eye(m), bound)
        assert not norm_is_below(bound * np.sqrt(1 - 0.9 * margin) * np.eye(m), bound)


@pytest.mark.parametrize("entry", [1e200, np.inf, np.nan])
def test_nothing_is_proven_of_matrices_beyond_all_numbers(entry):
    B = np.diag([entry, 0.5])
    assert not norm_is_below(B, 1.0)
    assert norm_is_below(np.diag([0.9, 0.5]), 1.0)
    assert perron_bound(np.full((20, 20), 1e308)) == np.inf
