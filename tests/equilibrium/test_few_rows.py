"""Single rows are solved by themselves, to the same equilibria, and only where there is no other."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_implicit.equilibrium import EquilibriumOperator, auto, solve, solve_adjoint, solve_tangent
from sk_implicit.equilibrium.few_rows import FewRows, is_monotone


def problem(m, gamma, n, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, m)).astype(dtype)
    return EquilibriumOperator(A, gamma), (np.maximum(rng.standard_normal((n, m)), 0) / m**0.5).astype(dtype)


def residuals(operator, c, Z, activate):
    image = activate(Z @ (operator.scale * operator.A.astype(np.float64)).T + c)
    return np.linalg.norm(image - Z, axis=1) / np.linalg.norm(Z, axis=1)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize(("m", "gamma"), [(5, 0.3), (40, 0.4), (200, 0.65), (500, 0.4)])
def test_rows_by_themselves_are_solved_as_in_a_block(m, gamma, n):
    operator, c = problem(m, gamma, 40)
    alone, block = solve(operator, c[:n], tol=1e-10), solve(operator, c, tol=1e-12)
    assert alone.solver == "few_rows" and alone.converged and (alone.residual <= 1e-10).all()
    np.testing.assert_allclose(alone.solution, block.solution[:n], rtol=0, atol=1e-9 * abs(c).max())
    measured = residuals(operator, c[:n], alone.solution, lambda g: np.maximum(g, 0))
    np.testing.assert_allclose(measured, alone.residual, rtol=1e-2, atol=1e-15)


@pytest.mark.parametrize(("function", "transposed"), [(solve_adjoint, True), (solve_tangent, False)])
def test_linear_equations_are_solved_by_themselves_too(function, transposed):
    operator, c = problem(120, 0.5, 2)
    B = np.random.default_rng(1).standard_normal(c.shape)
    result = function(operator, B, c > 0, tol=1e-11)
    assert result.solver == "few_rows" and result.converged
    sA = operator.scale * operator.A
    for z, b, active in zip(result.solution, B, c > 0):
        matrix = (sA if transposed else sA.T)[np.ix_(active, active)]
        expected = np.linalg.solve(np.eye(active.sum()) - matrix.T, b[active])
        np.testing.assert_allclose(z[active], expected, rtol=1e-9, atol=1e-11)
        assert not z[~active].any()


@given(seed=st.integers(0, 10_000), gamma=st.floats(0.1, 0.69), exponent=st.integers(-200, 200))
def test_any_row_reaches_its_equilibrium_at_any_scale(seed, gamma, exponent):
    operator, c = problem(30, gamma, 1, seed)
    result = solve(operator, np.ldexp(c, exponent), tol=1e-10)
    assert result.converged
    expected = solve(operator, c, tol=1e-13, solver="picard", max_iter=5000).solution
    np.testing.assert_allclose(np.ldexp(result.solution, -exponent), expected, rtol=0, atol=1e-9 * c.max())


def test_a_row_of_zeros_is_its_own_equilibrium():
    operator, c = problem(30, 0.4, 2)
    c[0] = 0
    result = solve(operator, c, tol=1e-10)
    assert result.converged and result.residual[0] == 0 and not result.solution[0].any()
    assert result.solution[1].any()


def test_float32_is_solved_to_its_digits():
    operator, c = problem(100, 0.4, 1, dtype=np.float32)
    result = solve(operator, c, tol=1e-6)
    assert result.converged and result.solution.dtype == np.float32


def test_the_proof_is_that_of_the_symmetric_part():
    rng = np.random.default_rng(3)
    for scale in (0.9, 0.99, 1.01, 1.5):
        A = rng.standard_normal((25, 25))
        A *= scale / np.linalg.eigvalsh((A + A.T) / 2)[-1]
        operator = EquilibriumOperator(A, 5.0)  # s = 1
        assert is_monotone(operator) == (scale < 1)
        skew = EquilibriumOperator(A - A.T + 0.5 * np.eye(25), 5.0)  # of any norm
        assert is_monotone(skew)
    assert not is_monotone(EquilibriumOperator(np.diag([1e-3, 1e200]), 1.0))


def test_where_there_may_be_several_equilibria_other_stages_work():
    operator, c = problem(40, 1.15, 1)
    assert not is_monotone(operator)
    assert "few_rows" not in solve(operator, c, tol=1e-10).solver
    bounded = solve(*problem(40, 0.4, 1), tol=1e-10, norm_bound=0.9)
    assert bounded.solver == "few_rows"  # proven already


def test_many_rows_and_wide_networks_share_products(monkeypatch):
    operator, c = problem(40, 0.4, 9)
    assert solve(operator, c[:8], tol=1e-10).solver == "few_rows"
    assert solve(operator, c, tol=1e-10).solver != "few_rows"
    assert solve(operator, c[:1], tol=1e-10, Z0=c[:1]).solver != "few_rows"  # a start is worth more
    monkeypatch.setattr(auto, "FEW_ROWS", replace(FewRows(), width=30))
    assert solve(operator, c[:1], tol=1e-10).solver != "few_rows"
    monkeypatch.setattr(auto, "FEW_ROWS", replace(FewRows(), entries=60))
    assert solve(operator, c[:1], tol=1e-10).solver == "few_rows"
    assert solve(operator, c[:2], tol=1e-10).solver != "few_rows"


@pytest.mark.parametrize("changes", [{"max_steps": 1, "max_corrections": 2}, {"first": 1, "doubt": -1e3}])
def test_a_row_that_is_not_solved_is_passed_on(changes, monkeypatch):
    monkeypatch.setattr(auto, "FEW_ROWS", replace(FewRows(), **changes))
    operator, c = problem(100, 0.6, 1)
    result = solve(operator, c, tol=1e-10)
    assert result.converged and result.solver.startswith("few_rows+")
    np.testing.assert_allclose(
        result.solution, solve(operator, np.tile(c, (20, 1)), tol=1e-12).solution[:1], atol=1e-9 * c.max()
    )


def test_units_that_wake_late_are_not_left_out():
    # unit 1 is awoken by unit 0 only after the pattern has been read, through a chain of units
    m, chain = 12, 8
    A, c = np.zeros((m, m)), np.zeros((1, m))
    A[np.arange(1, chain), np.arange(chain - 1)] = 0.9
    c[0, 0] = 1.0
    result = solve(EquilibriumOperator(A, m**0.5), c, tol=1e-10)
    np.testing.assert_allclose(result.solution[0, :chain], 0.9 ** np.arange(chain), rtol=1e-9)


def test_products_are_counted_by_the_bytes_they_read():
    """At this tolerance all are in float32, half a product each; one more follows the first steps."""
    A = np.random.default_rng(0).standard_normal((40, 40))
    result = solve(A, np.ones((1, 40)), gamma=0.3, tol=1e-4)
    assert result.solver == "few_rows" and result.converged and (result.solution > 0).all()
    assert result.n_products == (result.n_iter + 1) / 2


def test_first_steps_tell_the_active_units():
    """They are steps with the ReLU from zero; what they lead to is found without trying all units."""
    operator, c = problem(60, 0.4, 1)
    M = operator.by_rows(np.dtype(np.float32), False)
    e, low = c[0].astype(np.float32), np.zeros(60, np.float32)
    e -= 0.5 * e.max()
    relative, change = FewRows()._first(M, e, low)
    before = delta = np.maximum(e, 0)
    for _ in range(FewRows().first):
        before, delta = delta, np.maximum(delta @ M + e, 0)
    assert (delta == 0).any()
    np.testing.assert_allclose(relative, delta @ M, rtol=1e-5, atol=1e-7)
    assert change == pytest.approx(np.linalg.norm(delta - before), rel=1e-3)
