"""What every registered equilibrium solver promises, for all three equations."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sk_implicit import equilibrium
from sk_implicit.equilibrium import BlockResult, EquilibriumOperator, EquilibriumOptions, Status

EQUATIONS = ["forward", "adjoint", "tangent"]
# At m = 260 the units are split into blocks, at m = 30 they are not.
WIDTHS = [30, 260]

# What every solver promises, one that was registered from outside among them, and what these promise beside.
over_solvers = pytest.mark.parametrize("solver", [*equilibrium.solver_names(), "outside"])
over_built_in = pytest.mark.parametrize("solver", equilibrium.solver_names())
pytestmark = pytest.mark.usefixtures("outside_solver")
over_equations = pytest.mark.parametrize("equation", EQUATIONS)


def read_only(X):
    X.flags.writeable = False
    return X


def row_norms(X):
    """Norms without overflow or underflow."""
    X = X.astype(np.float64)
    largest = np.abs(X).max(axis=1, initial=1e-300)
    return largest * np.linalg.norm(X / largest[:, None], axis=1)


class Case:
    """One equation on random data, with its reference solution by dense linear algebra."""

    def __init__(self, equation, m=30, n=12, gamma=0.4, seed=0):
        rng = np.random.default_rng(seed)
        self.equation, self.gamma, self.m, self.n = equation, gamma, m, n
        self.A = read_only(rng.standard_normal((m, m)))
        self.c = read_only(rng.standard_normal((n, m)))
        sA = gamma / np.sqrt(m) * self.A
        self.M = sA if equation == "adjoint" else sA.T
        self.active = None
        if equation != "forward":
            self.active = read_only(rng.random((n, m)) < 0.5)

    def solve(self, c=None, A=None, rows=slice(None), **options):
        c = self.c[rows] if c is None else c
        A = self.A if A is None else A
        options.setdefault("gamma", self.gamma)
        if self.equation == "forward":
            return equilibrium.solve(A, c, **options)
        function = getattr(equilibrium, f"solve_{self.equation}")
        return function(A, c, self.active[rows], **options)

    def image(self, Z, c=None, rows=slice(None)):
        """F(Z), from the equation's definition, in float64."""
        G = Z.astype(np.float64) @ self.M + (self.c[rows] if c is None else c)
        return np.maximum(G, 0) if self.active is None else np.where(self.active[rows], G, 0)

    def residual(self, Z, c=None, rows=slice(None)):
        step, size = row_norms(self.image(Z, c, rows) - Z), row_norms(Z)
        with np.errstate(divide="ignore"):
            return np.divide(step, size, out=np.zeros_like(step), where=step > 0)

    def reference(self):
        """Dense solve on the active pattern, which plain iteration finds for the forward one."""
        active = self.active
        if active is None:
            Z = np.zeros((self.n, self.m))
            for _ in range(400):
                Z = self.image(Z)
            active = Z > 0
        solution = np.zeros((self.n, self.m))
        for i, on in enumerate(active):
            matrix = np.eye(on.sum()) - self.M[np.ix_(on, on)].T
            solution[i, on] = np.linalg.solve(matrix, self.c[i, on])
        if self.active is None:
            np.testing.assert_allclose(solution, Z, atol=1e-12)
        return solution


def assert_same_rows(actual, expected, tol):
    error = row_norms(actual - expected)
    assert np.all(error <= tol * row_norms(expected)), error.max()


@over_solvers
@over_equations
@pytest.mark.parametrize("m", WIDTHS)
@pytest.mark.parametrize("gamma", [0.4, 0.9])
def test_agrees_with_dense_solution(solver, equation, m, gamma):
    case = Case(equation, m=m, gamma=gamma)
    result = case.solve(solver=solver, tol=1e-10)
    assert result.converged
    # At gamma = 0.9 the inverse of the Jacobian is about 1 / (1 - 0.64), here and there more.
    assert_same_rows(result.solution, case.reference(), 1e-9)


@over_solvers
@over_equations
@pytest.mark.parametrize(("tol", "allowance"), [(1e-3, 0), (1e-5, 0.06), (1e-8, 0.01), (1e-12, 0.01)])
def test_reports_the_residual_it_reached(solver, equation, tol, allowance):
    case = Case(equation, m=260, gamma=0.6)
    result = case.solve(solver=solver, tol=tol)
    assert result.converged and result.status is Status.CONVERGED
    assert result.residual.shape == (case.n,)
    # Residuals are rounded to float32, and those near 1e-12 lose digits in the subtraction. What is measured
    # on a correction is above the actual one, by an allowance for rounding.
    actual = case.residual(result.solution)
    np.testing.assert_allclose(np.clip(actual, result.residual - allowance * tol, result.residual), actual,
                               rtol=1e-3, atol=1e-14)  # fmt: skip
    assert result.residual.max() <= tol
    expected = {"auto": "gauss_seidel", "newton_krylov": "gauss_seidel"}.get(solver, solver)
    assert result.solver == expected
    assert 0 < result.n_products <= result.n_iter * 60


@pytest.mark.parametrize("kind", ["gaussian", "positive", "heavy-tailed", "sparse"])
@over_equations
@pytest.mark.parametrize("tol", [7e-6, 1e-10, 1e-14])
def test_a_residual_measured_in_float32_is_a_bound(kind, equation, tol):
    """One correction, or two, whose rounding is as large as it can get beside the tolerance."""
    case = Case(equation, m=700, n=100)
    rng = np.random.default_rng(1)
    A = {
        "gaussian": case.A,
        "positive": np.abs(case.A),
        "heavy-tailed": case.A * np.exp(2 * rng.standard_normal(case.A.shape)),
        "sparse": case.A * (rng.random(case.A.shape) < 0.01),
    }[kind]
    A = A * (0.6 * np.sqrt(case.m) / case.gamma / np.linalg.norm(A, 2))
    case.M = case.gamma / np.sqrt(case.m) * (A if equation == "adjoint" else A.T)
    result = case.solve(A=A, tol=tol)
    actual = case.residual(result.solution)
    assert result.converged
    assert np.all(actual <= result.residual * (1 + 1e-8) + 1e-16)  # some are measured in float64
    assert np.median(result.residual - actual) > 1e-4 * tol  # most are not


@over_equations
def test_a_large_correction_is_measured_against_what_it_leaves(equation):
    case = Case(equation, m=260)
    solution = case.solve(tol=1e-12).solution
    result = case.solve(tol=5e-5, Z0=1.7 * solution)
    actual = case.residual(result.solution)
    assert np.all(actual <= result.residual * (1 + 1e-8)) and np.all(result.residual < actual + 1e-6)


def test_an_image_in_float32_is_rounded_too():
    """With ‖sA‖ = 0.02 little but rounding is left."""
    m = 700
    rng = np.random.default_rng(0)
    operator = EquilibriumOperator(np.linalg.qr(rng.standard_normal((m, m)))[0], 0.02 * np.sqrt(m), 0.0201)
    c, active = rng.standard_normal((100, m)), np.ones((100, m), bool)
    result = equilibrium.solve_adjoint(operator, c, active, tol=7e-6)
    step = result.solution @ (0.02 * operator.A) + c - result.solution
    assert np.all(row_norms(step) <= result.residual * row_norms(result.solution))


@over_solvers
@over_equations
def test_exact_zeros_where_inactive(solver, equation):
    case = Case(equation, m=260)
    result = case.solve(solver=solver)
    active = case.reference() > 0 if case.active is None else case.active
    np.testing.assert_array_equal(result.solution != 0, active)


@over_solvers
@over_equations
def test_row_does_not_depend_on_its_company(solver, equation):
    case = Case(equation, m=260, n=40, gamma=0.8)
    together = case.solve(solver=solver).solution
    for rows in (slice(3, 4), slice(5, 17)):
        alone = case.solve(solver=solver, rows=rows).solution
        assert_same_rows(alone, together[rows], 1e-7)
    in_blocks = case.solve(solver=solver, block_size=7)
    assert in_blocks.converged
    assert_same_rows(in_blocks.solution, together, 1e-7)


@pytest.mark.parametrize("solver", ["picard", "gauss_seidel", "modulus"])
@over_equations
def test_easy_rows_stop_by_themselves(solver, equation):
    case = Case(equation, m=260, n=40, gamma=0.9)
    alone = [case.solve(solver=solver, rows=slice(i, i + 1)).n_products for i in range(40)]
    together = case.solve(solver=solver, block_size=40).n_products
    assert abs(together - np.mean(alone)) < 0.3


@over_equations
def test_one_block_of_units_costs_what_picard_does(equation):
    case = Case(equation, m=60)
    for tol in (1e-3, 1e-8):
        picard, sweeps = (case.solve(solver=solver, tol=tol) for solver in ("picard", "gauss_seidel"))
        assert (sweeps.n_products, sweeps.n_iter) == (picard.n_products, picard.n_iter)


@over_solvers
@over_equations
def test_warm_start_at_the_solution_costs_one_product(solver, equation):
    case = Case(equation, m=260)
    cold = case.solve(solver=solver)
    warm = case.solve(solver=solver, Z0=read_only(cold.solution.copy()))
    assert warm.converged and warm.n_products <= 1.01 and warm.n_iter <= 1
    np.testing.assert_array_equal(warm.solution, cold.solution)


@over_built_in
@over_equations
def test_warm_start_nearby_is_cheaper(solver, equation):
    case = Case(equation, m=260)
    cold = case.solve(solver=solver)
    moved = cold.solution * (1 + 1e-5)
    warm = case.solve(solver=solver, Z0=moved)
    assert warm.converged and warm.n_products < 0.75 * cold.n_products
    assert_same_rows(warm.solution, cold.solution, 1e-7)


@over_built_in
@over_equations
@pytest.mark.parametrize("tol", [1e-6, 1e-3])  # in float64 and in float32
def test_plain_steps_end_a_start_that_is_nearly_there(solver, equation, tol):
    """The product that measures the first step is the only one beside that which finds it small enough."""
    case = Case(equation, m=260)
    solution = case.solve(solver=solver, tol=1e-12).solution
    error = np.random.default_rng(1).standard_normal(solution.shape) * (solution != 0)
    moved = solution + 2 * tol * error * (row_norms(solution) / row_norms(error))[:, None]
    assert case.residual(moved).min() > 1.2 * tol
    result = case.solve(solver=solver, tol=tol, Z0=moved)
    assert result.converged and result.n_iter == 2
    assert result.n_products == (2 if tol == 1e-6 else 1)
    if tol == 1e-6:
        assert_same_rows(result.solution, case.image(moved), 1e-14)


@over_built_in
@over_equations
def test_plain_steps_are_decided_row_by_row(solver, equation):
    """Rows that are nearly there end as they do alone, beside rows that are not."""
    case = Case(equation, m=260)
    solution = case.solve(solver=solver, tol=1e-12).solution
    near = np.arange(case.n) % 2 == 1
    sizes = np.where(near, 2e-6, 1e-1)[:, None]
    moved = solution * (1 + sizes * np.random.default_rng(1).standard_normal(solution.shape))
    result = case.solve(solver=solver, tol=1e-6, Z0=moved)
    assert result.converged and case.residual(result.solution).max() <= 1.001e-6
    alone = case.solve(solver=solver, tol=1e-6, Z0=moved[near], rows=near)
    assert alone.n_iter == 2 < result.n_iter
    assert_same_rows(result.solution[near], alone.solution, 1e-14)


@over_built_in
def test_plain_steps_do_not_crawl(solver):
    """Where one leaves 97 % of the residual, thirty would be needed; after two come float32 sweeps."""
    m, n = 260, 12
    A, active = 0.97 * np.sqrt(m) / 0.4 * np.eye(m), np.ones((n, m), bool)
    solution = np.full((n, m), 1 / (1 - 0.97))
    start = solution * (1 + 2.5e-6 / 0.03)
    result = equilibrium.solve_adjoint(
        A, np.ones((n, m)), active, gamma=0.4, solver=solver, tol=1e-6, Z0=start
    )
    assert result.converged and result.n_products < result.n_iter


@over_built_in
@over_equations
def test_loose_solves_are_in_float32(solver, equation):
    """A product in float32 counts as half, and the answer has the precision of the data all the same."""
    case = Case(equation, m=260)
    result = case.solve(solver=solver, tol=1e-3)
    assert result.solution.dtype == np.float64 and result.converged
    assert_same_rows(result.solution, case.reference(), 2e-3)
    sweeps = case.solve(solver=solver, tol=1e-3, max_iter=1)
    assert sweeps.n_products <= 0.5
    huge = case.solve(solver=solver, tol=1e-3, c=case.c * 1e200)
    assert_same_rows(huge.solution, result.solution * 1e200, 1e-5)


ITERATIVE = ["picard", "gauss_seidel", "modulus", "anderson", "auto"]


@pytest.mark.parametrize("solver", ITERATIVE)
@over_equations
@pytest.mark.parametrize("tol", [1e-3, 1e-6, 1e-10])
def test_a_norm_below_one_buys_the_image(solver, equation, tol):
    """With the norm known, the answer is one step further, at the same products, and its residual a bound."""
    case = Case(equation, m=260, gamma=0.35)
    norm = np.linalg.norm(case.A, 2) * 0.35 / np.sqrt(260)
    assert norm < 1
    known = EquilibriumOperator(case.A, 0.35, norm_bound=norm * (1 + 1e-12))
    plain, result = case.solve(solver=solver, tol=tol), case.solve(solver=solver, tol=tol, A=known)
    assert result.converged and result.n_products <= plain.n_products
    actual = case.residual(result.solution)
    assert np.all(actual <= result.residual * (1 + 1e-6) + 1e-15) and result.residual.max() <= tol
    assert np.median(actual / case.residual(plain.solution)) < norm
    if case.active is not None:
        np.testing.assert_array_equal(result.solution != 0, case.active)


@pytest.mark.parametrize("solver", ITERATIVE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bound_of_the_image_is_tight(solver, dtype):
    """With sA = L I and all units on, ‖F(F(z)) − F(z)‖ is L ‖F(z) − z‖, and so is the bound."""
    m, L, tol = 100, 0.7, 1e-2
    A = (L * np.sqrt(m) * np.eye(m)).astype(dtype)
    operator = EquilibriumOperator(A, 1.0, norm_bound=L * (1 + 1e-6))
    solution = np.full((40, m), 1 / (1 - L))
    sizes = np.geomspace(1e-6, 10, 40)[:, None]  # from solved at once to far off
    signs = np.random.default_rng(0).choice([-1, 1], solution.shape)
    result = equilibrium.solve_adjoint(
        operator, np.ones((40, m), dtype), np.ones((40, m), bool), solver=solver, tol=tol,
        Z0=(solution * (1 + sizes * signs)).astype(dtype),
    )  # fmt: skip
    Z = result.solution.astype(float)
    actual = np.linalg.norm(L * Z + 1 - Z, axis=1) / np.linalg.norm(Z, axis=1)
    assert result.converged and result.residual.max() <= tol
    large = actual > 1e-5  # smaller ones are measured, to rounding
    assert large.sum() > 10 and np.all(actual[large] <= result.residual[large])
    assert np.all(result.residual[large] < 1.02 * actual[large] + 1e-6)


def test_a_solution_stays_where_its_image_is_no_better():
    operator = EquilibriumOperator(np.zeros((3, 3)), 0.5, norm_bound=0.5)
    result = equilibrium.solve(operator, np.ones((2, 3)), Z0=np.ones((2, 3)))
    assert result.residual.max() == 0
    np.testing.assert_array_equal(result.solution, 1)


@over_equations
def test_a_norm_may_be_told_for_one_solve(equation):
    """It is that of the call, whatever the operator knows, and the operator does not learn it."""
    case = Case(equation, m=60, gamma=0.35)
    norm = np.linalg.norm(case.A, 2) * 0.35 / np.sqrt(60) * (1 + 1e-12)
    known, unknown = EquilibriumOperator(case.A, 0.35, norm_bound=norm), EquilibriumOperator(case.A, 0.35)
    expected, plain = case.solve(tol=1e-6, A=known), case.solve(tol=1e-6, A=unknown)
    told = case.solve(tol=1e-6, A=unknown, norm_bound=norm)
    np.testing.assert_array_equal(told.solution, expected.solution)
    assert unknown.norm_bound == np.inf and not np.array_equal(told.solution, plain.solution)
    untold = case.solve(tol=1e-6, A=known, norm_bound=np.inf)
    np.testing.assert_array_equal(untold.solution, plain.solution)


@over_equations
@pytest.mark.parametrize("bound", [1.0, 1.4, np.inf])
def test_a_norm_beyond_one_changes_nothing(equation, bound):
    case = Case(equation, m=60, gamma=0.7)
    operator = EquilibriumOperator(case.A, 0.7, norm_bound=bound)
    result, expected = case.solve(tol=1e-6, A=operator), case.solve(tol=1e-6)
    np.testing.assert_array_equal(result.solution, expected.solution)
    assert pickle.loads(pickle.dumps(operator)).norm_bound == bound


@over_solvers
@over_equations
@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e20), (np.float64, 1e155), (np.float64, 1e300)])
def test_a_start_past_the_range_of_norms_is_forgotten(solver, equation, dtype, size):
    case = Case(equation)
    Z0 = np.where(np.arange(case.n) % 2, size, 1.0)[:, None] * np.ones((case.n, case.m))
    result = case.solve(solver=solver, A=case.A.astype(dtype), c=case.c.astype(dtype), Z0=Z0, tol=1e-5)
    assert result.converged
    assert_same_rows(result.solution, case.reference(), 1e-4)


@over_solvers
def test_a_solution_past_the_range_of_numbers_is_no_success(solver):
    result = equilibrium.solve(
        np.array([[0.95]], np.float32), np.array([[3e37], [1.0]], np.float32), gamma=1.0, solver=solver
    )
    assert result.status is Status.DIVERGED and np.all(np.isfinite(result.solution))
    assert result.residual[0] == np.inf and result.residual[1] < 1e-6
    assert abs(result.solution[1, 0] - 20) < 1e-3


@over_solvers
@over_equations
def test_wild_warm_start(solver, equation):
    case = Case(equation, m=30)
    Z0 = 1e6 * np.random.default_rng(1).standard_normal((case.n, case.m))
    result = case.solve(solver=solver, Z0=Z0, tol=1e-10)
    assert result.converged
    assert_same_rows(result.solution, case.reference(), 1e-9)


@over_solvers
@over_equations
def test_float32_in_float32_out(solver, equation):
    case = Case(equation, m=260)
    result = case.solve(c=case.c.astype(np.float32), A=case.A.astype(np.float32), solver=solver)
    assert result.solution.dtype == np.float32 and result.converged
    # tol = 1e-8 is floored to what float32 can do.
    assert case.residual(result.solution).max() < 4e-6
    assert_same_rows(result.solution, case.reference(), 1e-5)


@over_solvers
@pytest.mark.parametrize("types", [(np.float32, np.float64), (np.float64, np.float32)])
def test_mixed_types_follow_the_right_hand_side(solver, types):
    case = Case("forward", m=30)
    A, c = case.A.astype(types[0]), case.c.astype(types[1])
    result = case.solve(c=c, A=A, solver=solver)
    assert result.solution.dtype == types[1] and result.converged
    assert_same_rows(result.solution, case.reference(), 1e-5)


@over_solvers
def test_single_precision_matrix_is_taken_at_its_value(solver):
    case = Case("forward", m=30)
    A = case.A.astype(np.float32)
    expected = case.solve(A=A.astype(np.float64), solver=solver, tol=1e-13).solution
    assert_same_rows(case.solve(A=A, solver=solver, tol=1e-13).solution, expected, 1e-11)


@over_solvers
@over_equations
def test_zero_rows_and_zero_problems(solver, equation):
    case = Case(equation)
    c = case.c.copy()
    c[[0, 5]] = 0
    mixed = case.solve(c=c, solver=solver)
    assert mixed.converged
    np.testing.assert_array_equal(mixed.solution[[0, 5]], 0)
    np.testing.assert_array_equal(mixed.residual[[0, 5]], 0)
    rest = np.setdiff1d(np.arange(case.n), [0, 5])
    assert_same_rows(mixed.solution[rest], case.reference()[rest], 1e-7)
    nothing = case.solve(c=np.zeros_like(c), solver=solver)
    assert nothing.converged and nothing.n_products == 0
    np.testing.assert_array_equal(nothing.solution, 0)
    # A start away from zero comes closer for ever, relative to which it never is close.
    for n_rows in (1, case.n):
        rows = slice(n_rows)
        back = case.solve(c=np.zeros_like(c[rows]), solver=solver, Z0=np.ones_like(c[rows]), rows=rows)
        assert back.converged
        np.testing.assert_array_equal(back.solution, 0)
    mixed = case.solve(c=c, solver=solver, Z0=np.ones_like(c))
    assert mixed.converged
    np.testing.assert_array_equal(mixed.solution[[0, 5]], 0)
    assert_same_rows(mixed.solution[rest], case.reference()[rest], 1e-7)


@over_solvers
def test_negative_features_switch_everything_off(solver):
    case = Case("forward")
    warm = case.solve(c=-np.abs(case.c), solver=solver, Z0=np.ones_like(case.c))
    np.testing.assert_array_equal(warm.solution, 0)
    assert warm.converged
    result = case.solve(c=-np.abs(case.c), solver=solver)
    assert result.converged
    np.testing.assert_array_equal(result.solution, 0)


@over_solvers
@over_equations
@pytest.mark.parametrize("n", [0, 1])
def test_no_row_and_one_row(solver, equation, n):
    case = Case(equation)
    result = case.solve(rows=slice(0, n), solver=solver)
    assert result.converged and result.solution.shape == (n, case.m)
    assert_same_rows(result.solution, case.reference()[:n], 1e-7)


@over_solvers
def test_width_one(solver):
    # z = max(-0.4 z + 1, 0) and z = max(0.4 z + 1, 0)
    for a, z in ((-1.0, 1 / 1.4), (1.0, 1 / 0.6)):
        result = equilibrium.solve([[a]], [[1.0]], gamma=0.4, solver=solver)
        np.testing.assert_allclose(result.solution, z, rtol=1e-7)


@over_solvers
@over_equations
def test_extreme_scales_of_rows(solver, equation):
    case = Case(equation)
    scale = 10.0 ** np.array([-300, -150, -40, -30, -8, 0, 0, 8, 30, 40, 150, 300])[:, None]
    result = case.solve(c=case.c * scale, solver=solver)
    assert result.converged
    assert_same_rows(result.solution / scale, case.reference(), 1e-7)
    again = case.solve(c=case.c * scale, solver=solver, Z0=result.solution)
    assert again.n_products <= 1.01
    single = case.solve(
        c=(case.c * np.clip(scale, 1e-30, 1e30)).astype(np.float32),
        A=case.A.astype(np.float32),
        solver=solver,
    )
    assert single.converged
    assert_same_rows(single.solution / np.clip(scale, 1e-30, 1e30), case.reference(), 1e-5)


@over_solvers
@over_equations
def test_max_iter_is_reported_not_raised(solver, equation):
    case = Case(equation, m=260, gamma=0.9)
    for max_iter in (1, 2, 3, 7):
        result = case.solve(solver=solver, max_iter=max_iter)
        assert result.n_iter <= max_iter
        assert not result.converged
        assert result.status is Status.MAX_ITER and "max_iter" in result.status.message
        assert np.all(np.isfinite(result.solution))
        np.testing.assert_allclose(result.residual, case.residual(result.solution), rtol=1e-4)


@over_solvers
@over_equations
def test_never_worse_than_its_start(solver, equation):
    case = Case(equation, m=260, gamma=3.0)  # nothing contracts here
    Z0 = case.image(np.abs(np.random.default_rng(1).standard_normal((case.n, case.m))))
    result = case.solve(solver=solver, Z0=Z0, max_iter=60)
    assert np.all(np.isfinite(result.solution))
    before, after = case.residual(Z0), case.residual(result.solution)
    assert np.all(after <= before * (1 + 1e-5))
    np.testing.assert_allclose(result.residual, after, rtol=1e-3, atol=1e-14)


@over_solvers
@over_equations
def test_divergence_ends_with_a_finite_iterate(solver, equation):
    case = Case(equation, gamma=1e6)
    result = case.solve(solver=solver, max_iter=2000)
    assert np.all(np.isfinite(result.solution))
    residual = case.residual(result.solution)
    assert result.converged == bool(residual.max() <= 1e-8)
    if not result.converged:
        assert result.status.message


@over_solvers
@over_equations
def test_inputs_unchanged(solver, equation):
    case = Case(equation)
    A, c, Z0 = case.A.copy(), case.c.copy(), np.ones((case.n, case.m))
    case.solve(solver=solver, A=A, c=c, Z0=Z0)
    np.testing.assert_array_equal(A, case.A)
    np.testing.assert_array_equal(c, case.c)
    np.testing.assert_array_equal(Z0, 1)


@over_solvers
def test_memory_layout_does_not_matter(solver):
    case = Case("forward", m=260)
    expected = case.solve(solver=solver).solution
    for A, c in (
        (np.asfortranarray(case.A), np.asfortranarray(case.c)),
        (np.repeat(case.A, 2, axis=1)[:, ::2], np.repeat(case.c, 2, axis=0)[::2]),
    ):
        assert_same_rows(case.solve(A=A, c=c, solver=solver).solution, expected, 1e-7)


@over_solvers
@pytest.mark.parametrize("equation", ["adjoint", "tangent"])
def test_one_right_hand_side_for_all_rows(solver, equation):
    case = Case(equation)
    one = case.solve(c=case.c[0], solver=solver)
    all_equal = case.solve(c=np.tile(case.c[0], (case.n, 1)), solver=solver)
    np.testing.assert_array_equal(one.solution, all_equal.solution)


@over_solvers
def test_operator_in_place_of_the_matrix(solver):
    case = Case("forward")
    operator = EquilibriumOperator(case.A, case.gamma)
    expected = case.solve(solver=solver).solution
    for gamma in (None, case.gamma):
        actual = equilibrium.solve(operator, case.c, gamma=gamma, solver=solver).solution
        np.testing.assert_array_equal(actual, expected)


def test_operator_is_pickled_without_its_caches():
    operator = EquilibriumOperator(np.eye(3), 0.4)
    expected = equilibrium.solve(operator, np.ones((2, 3)), solver="modulus").solution
    copy = pickle.loads(pickle.dumps(operator))
    assert len(pickle.dumps(operator)) < 400
    actual = equilibrium.solve(copy, np.ones((2, 3)), solver="modulus").solution
    np.testing.assert_array_equal(actual, expected)


@over_solvers
@over_equations
def test_threads_share_an_operator(solver, equation):
    case = Case(equation, m=260, n=24)
    expected = case.solve(solver=solver).solution
    operator = EquilibriumOperator(case.A, case.gamma)
    with ThreadPoolExecutor(4) as pool:
        parts = [slice(i, i + 6) for i in range(0, 24, 6)] * 2
        results = pool.map(lambda r: case.solve(A=operator, rows=r, solver=solver), parts)
        for rows, result in zip(parts, results):
            assert_same_rows(result.solution, expected[rows], 1e-7)


@over_solvers
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    m=st.integers(1, 12),
    gamma=st.floats(0.05, 0.45),
    log_scale=st.floats(-30, 30),
)
def test_homogeneous_and_converged_when_certified(solver, seed, m, gamma, log_scale):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, m))
    A *= np.sqrt(m) / (gamma * max(np.linalg.norm(A, 2), 1e-300)) * 0.9  # ||sA|| = 0.9
    Phi = rng.standard_normal((3, m))
    scale = 10.0**log_scale
    one = equilibrium.solve(A, Phi, gamma=gamma, solver=solver, tol=1e-10)
    scaled = equilibrium.solve(A, scale * Phi, gamma=gamma, solver=solver, tol=1e-10)
    assert one.converged and scaled.converged
    np.testing.assert_array_less(
        np.linalg.norm(scaled.solution / scale - one.solution, axis=1),
        1e-8 * np.linalg.norm(one.solution, axis=1) + 1e-300,
    )


@over_solvers
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), gamma=st.floats(0.1, 0.9))
def test_adjoint_and_tangent_are_adjoint(solver, seed, gamma):
    # <B, dZ(R)> = <Λ(B), R> on the active units, for any B and R
    rng = np.random.default_rng(seed)
    A, active = rng.standard_normal((20, 20)), rng.random((4, 20)) < 0.5
    B, R = active * rng.standard_normal((2, 4, 20))
    options = {"gamma": gamma, "solver": solver, "tol": 1e-12}
    adjoint = equilibrium.solve_adjoint(A, B, active, **options)
    tangent = equilibrium.solve_tangent(A, R, active, **options)
    if adjoint.converged and tangent.converged:
        left = np.einsum("ij,ij->i", B, tangent.solution)
        right = np.einsum("ij,ij->i", adjoint.solution, R)
        size = np.linalg.norm(adjoint.solution, axis=1) * np.linalg.norm(R, axis=1)
        assert np.all(np.abs(left - right) <= 1e-9 * size + 1e-300)


GOOD = {"A": np.eye(3), "Phi": np.ones((2, 3)), "gamma": 0.4}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"A": np.ones((3, 2))}, r"square matrix .* got shape \(3, 2\)"),
        ({"A": np.full((3, 3), np.nan)}, "A contains NaN or infinity"),
        ({"A": np.full((3, 3), "a")}, "A must hold real numbers"),
        ({"Phi": np.ones((2, 4))}, r"Phi must have shape \(n, 3\) .* got shape \(2, 4\)"),
        ({"Phi": np.ones(3)}, r"Phi must have shape \(n, 3\)"),
        ({"Phi": np.array([[1, np.nan, 1]])}, "Phi contains NaN or infinity"),
        ({"Phi": np.array([[1, np.inf, 1]])}, "Phi contains NaN or infinity"),
        ({"Phi": np.ones((2, 3), complex)}, "Phi must hold real numbers"),
        ({"gamma": 0.0}, "gamma must be a positive finite number; got 0.0"),
        ({"gamma": np.nan}, "gamma must be a positive"),
        ({"gamma": None}, "gamma must be given"),
        ({"solver": "newton"}, r"solver must be one of \['anderson', 'auto'.* got 'newton'"),
        ({"tol": -1.0}, "tol must be a finite number >= 0"),
        ({"tol": np.nan}, "tol must be a finite number >= 0"),
        ({"tol": np.inf}, "tol must be a finite number >= 0"),
        ({"tol": "0.1"}, "tol must be a finite number >= 0"),
        ({"max_iter": 0}, "max_iter must be an integer >= 1"),
        ({"max_iter": 1.5}, "max_iter must be an integer >= 1"),
        ({"block_size": 0}, "block_size must be 'auto' or an integer >= 1"),
        ({"block_size": "large"}, "block_size must be 'auto' or an integer >= 1"),
        ({"Z0": np.ones((3, 3))}, r"Z0 must have the shape of Phi, \(2, 3\); got \(3, 3\)"),
        ({"Z0": np.full((2, 3), np.inf)}, "Z0 must hold finite"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        equilibrium.solve(**{**GOOD, **change})


def test_bad_mask():
    A, B = np.eye(3), np.ones((2, 3))
    with pytest.raises(ValueError, match=r"boolean array.* got dtype float64"):
        equilibrium.solve_adjoint(A, B, np.ones((2, 3)), gamma=0.4)
    with pytest.raises(ValueError, match=r"active must have the shape of B, \(2, 3\)"):
        equilibrium.solve_adjoint(A, B, np.ones((4, 3), bool), gamma=0.4)
    with pytest.raises(ValueError, match=r"R must have shape"):
        equilibrium.solve_tangent(A, np.ones(2), np.ones((4, 3), bool), gamma=0.4)


def test_operator_with_another_gamma():
    with pytest.raises(ValueError, match=r"gamma=0.5 differs .* 0.4"):
        equilibrium.solve(EquilibriumOperator(np.eye(3), 0.4), np.ones((2, 3)), gamma=0.5)


def by_hand(problem, Z, options):
    """Picard iteration on all rows to the last, as a newcomer may write it without `by_sweeps`."""
    result = BlockResult.start(Z if options.warm else problem.activate(problem.c))
    for _ in range(options.max_iter.max() + 1):
        image = problem.image(result.Z)
        step, size = row_norms(image - result.Z), row_norms(result.Z)
        with np.errstate(invalid="ignore"):
            result.residual = np.where(step == 0, 0.0, step / size)
        result.cost += 1
        if np.all(result.residual <= options.tol):
            result.status[:] = Status.CONVERGED.value
            break
        result.n_iter += 1
        result.Z = image
    return result


@pytest.fixture
def registered():
    """Register solvers for the length of a test."""
    before = equilibrium.solver_names()
    yield equilibrium.register
    for name in set(equilibrium.solver_names()) - set(before):
        equilibrium.unregister(name)


@over_equations
def test_a_solver_written_by_hand(registered, equation):
    registered("by hand", by_hand)
    case = Case(equation)
    result = case.solve(solver="by hand", tol=1e-10)
    assert result.converged and result.solver == "by hand"
    assert_same_rows(result.solution, case.reference(), 1e-9)


def test_a_name_is_known_from_when_it_is_registered_until_it_is_not(registered):
    options = EquilibriumOptions("later")
    with pytest.raises(ValueError, match=r"solver must be one of \['anderson', .*\]; got 'later'"):
        equilibrium.solve(np.eye(2), np.ones((1, 2)), gamma=0.4, solver=options.solver)
    registered("later", by_hand)
    assert "later" in equilibrium.solver_names()
    equilibrium.solve(np.eye(2), np.ones((1, 2)), gamma=0.4, solver=options.solver)
    equilibrium.unregister("later")
    assert "later" not in equilibrium.solver_names()
    with pytest.raises(ValueError, match="got 'later'"):
        equilibrium.unregister("later")
    with pytest.raises(ValueError, match="'auto' is a solver of the package"):
        equilibrium.unregister("auto")


@pytest.mark.parametrize(
    ("name", "solver", "error", "message"),
    [
        ("picard", by_hand, ValueError, "'picard' is registered already .* Take another name"),
        ("outside", by_hand, ValueError, r"or call unregister\('outside'\) first"),
        ("", by_hand, ValueError, "must be a non-empty str; got ''"),
        (3, by_hand, ValueError, "must be a non-empty str; got 3"),
        ("new", "picard", TypeError, "'new' must be callable, as solver"),
    ],
)
def test_bad_registrations_are_refused(registered, name, solver, error, message):
    before = equilibrium.solver_names()
    with pytest.raises(error, match=message):
        registered(name, solver)
    assert equilibrium.solver_names() == before


def test_what_a_solver_returns_is_looked_at(registered):
    registered("forgetful", lambda problem, Z, options: None)
    with pytest.raises(TypeError, match=r"must return a BlockResult; .* returned NoneType"):
        equilibrium.solve(np.eye(2), np.ones((1, 2)), gamma=0.4, solver="forgetful")
    registered("narrow", equilibrium.by_sweeps(lambda problem, Z, image: image[:, :1]))
    with pytest.raises(ValueError, match=r"must return an array of shape \(1, 2\), as Z; got \(1, 1\)"):
        equilibrium.solve(np.eye(2), np.ones((1, 2)), gamma=0.4, solver="narrow")


def test_sweeps_that_gain_nothing_stall(registered):
    registered("idle", equilibrium.by_sweeps(lambda problem, Z, image: Z, patience=5, products=0.5))
    result = equilibrium.solve(np.eye(2), np.ones((1, 2)), gamma=0.4, solver="idle")
    assert result.status is Status.STALLED and result.n_iter == 5
    assert result.n_products == 6 + 0.5 * 5
