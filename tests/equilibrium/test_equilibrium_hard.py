"""Equilibria at and past the edge of contraction, and the pieces the solvers are built from."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sk_implicit.equilibrium import (
    BlockOptions,
    EquilibriumOperator,
    Status,
    register,
    solve,
    solve_adjoint,
    solve_tangent,
    solver_names,
    unregister,
)
from sk_implicit.equilibrium.anderson import Anderson
from sk_implicit.equilibrium.auto import Auto
from sk_implicit.equilibrium.correction import Aim, Correction
from sk_implicit.equilibrium.modulus import Modulus, modulus_matrix
from sk_implicit.equilibrium.newton_krylov import NewtonKrylov
from sk_implicit.equilibrium.picard import GaussSeidel, GaussSeidelSweep, Picard
from sk_implicit.equilibrium.problem import FixedPoint
from sk_implicit.equilibrium.refinement import RefinementSettings
from sk_implicit.equilibrium.registry import solver_named
from sk_implicit.equilibrium.row_gmres import solve_rows
from sk_implicit.equilibrium.stages import ByCorrections, in_turn
from sk_implicit.equilibrium.sweeps import Schedule
from sk_implicit.equilibrium.symmetric import halved

over_solvers = pytest.mark.parametrize("solver", [*solver_names(), "outside"])
over_built_in = pytest.mark.parametrize("solver", solver_names())
pytestmark = pytest.mark.usefixtures("outside_solver")


def gaussian_problem(m, n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, m)), np.maximum(rng.standard_normal((n, m)), 0) / np.sqrt(m)


def relative_residual(A, Phi, gamma, Z):
    step = np.maximum(gamma / np.sqrt(len(A)) * Z @ A.T + Phi, 0) - Z
    return np.linalg.norm(step, axis=1) / np.linalg.norm(Z, axis=1)


def feed_forward(depth, width, amplitude, seed=0):
    """Strictly block-triangular A: a network of `depth` layers, solved layer by layer."""
    rng = np.random.default_rng(seed)
    m = depth * width
    A = np.zeros((m, m))
    for layer in range(1, depth):
        rows = slice(layer * width, (layer + 1) * width)
        before = slice((layer - 1) * width, layer * width)
        A[rows, before] = amplitude * rng.standard_normal((width, width))
    Phi = np.zeros((20, m))
    Phi[:, :width] = rng.standard_normal((20, width))
    Phi[:, width:] = rng.standard_normal(m - width)
    Z = np.maximum(Phi, 0)
    for _ in range(depth):
        Z = np.maximum(0.4 / np.sqrt(m) * Z @ A.T + Phi, 0)
    return A, Phi, Z


@pytest.mark.parametrize("solver", ["auto", "modulus", "newton_krylov"])
def test_past_the_reach_of_picard(solver):
    rng = np.random.default_rng(3)
    A, X = rng.standard_normal((1000, 1000)), rng.standard_normal((100, 20))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    Phi = np.maximum(X @ rng.standard_normal((20, 1000)), 0)[[0, 12, 25, 54]] / np.sqrt(1000)
    picard = solve(A, Phi, gamma=1.2, solver="picard", max_iter=500)
    assert picard.status is Status.MAX_ITER
    result = solve(A, Phi, gamma=1.2, solver=solver, max_iter=500)
    assert result.converged and (solver if solver != "auto" else "modulus") in result.solver
    assert relative_residual(A, Phi, 1.2, result.solution).max() <= 1.001e-8


@pytest.mark.parametrize("rows", [1, 4, 200])
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("tol", [1e-10, 1e-3])
@pytest.mark.parametrize(("gamma", "expected"), [(0.4, "gauss_seidel"), (1.1, "modulus")])
def test_auto_takes_the_same_way_however_it_is_asked(gamma, expected, tol, warm, rows):
    A, Phi = gaussian_problem(200, 200)
    Z0 = np.ones((rows, 200)) if warm else None
    result = solve(A, Phi[:rows], gamma=gamma, Z0=Z0, tol=tol)
    if gamma == 0.4 and rows <= 4 and not warm:
        expected = "few_rows"  # to the same equilibrium, the only one
    assert result.converged and result.solver == expected


@pytest.mark.parametrize(
    ("rows", "warm", "expected"),
    [
        (200, False, "modulus"),  # promised by the size of A's entries
        (200, True, "gauss_seidel"),  # sweeps are tried first
        (10, False, "gauss_seidel"),  # too few rows for the inverse
        (4, False, "few_rows"),  # and for a block
    ],
)
@pytest.mark.parametrize("linear", [True, False])
def test_auto_takes_what_pays_where_there_is_one_solution(linear, rows, warm, expected):
    A, Phi = gaussian_problem(200, 200)
    A = np.linalg.qr(A)[0] * np.sqrt(200)  # ‖sA‖₂ = γ
    Z0 = np.ones((rows, 200)) if warm else None
    if linear:
        result = solve_tangent(A, Phi[:rows], Phi[:rows] > 1, gamma=0.8, Z0=Z0)
    else:
        result = solve(A, Phi[:rows], gamma=0.8, Z0=Z0, norm_bound=0.8)
    assert result.converged and result.solver == expected


def test_rows_get_the_same_of_several_equilibria_alone_and_in_any_company():
    """Where nothing contracts, the way to an equilibrium decides which it is."""
    sweeps_first = in_turn(
        ByCorrections("gauss_seidel", GaussSeidel(schedule=Schedule(patience=128))), solver_named("auto")
    )
    apart = others = 0
    register("sweeps_first", sweeps_first)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        A, Phi = rng.standard_normal((40, 40)), np.maximum(rng.standard_normal((60, 40)), 0) / 40**0.5

        def found(step, solver="auto", A=A, Phi=Phi):
            parts = [
                solve(A, Phi[i : i + step], gamma=1.4, tol=1e-10, solver=solver) for i in range(0, 60, step)
            ]
            Z = np.concatenate([part.solution for part in parts])
            Z[np.concatenate([part.residual for part in parts]) > 1e-10] = np.nan
            return Z

        together = found(60)
        for step in (1, 3):
            apart += np.sum(np.linalg.norm(found(step) - together, axis=1) > 1e-6)
        others += np.sum(np.linalg.norm(found(60, "sweeps_first") - together, axis=1) > 1e-6)
    unregister("sweeps_first")
    assert apart == 0 and others > 0  # there are several


def test_rows_share_no_krylov_space():
    """Rows of GMRES against dense solves, with companions that converge at once and never."""
    rng = np.random.default_rng(0)
    B = rng.standard_normal((8, 20, 20)) / 20**0.5 * np.linspace(0, 2, 8)[:, None, None]
    right = rng.standard_normal((8, 20))

    def apply(V, rows):
        return V - np.einsum("bij,bj->bi", B[rows], V)

    X = solve_rows(apply, right, tol=1e-10, restart=20, cycles=2)
    expected = np.linalg.solve(np.eye(20) - B, right[:, :, None])[:, :, 0]
    assert_allclose(X, expected, rtol=1e-8, atol=1e-8)
    loose = solve_rows(apply, right, tol=1e-3, restart=8, cycles=3)
    for i in range(8):
        alone = solve_rows(lambda V, _, i=i: V - V @ B[i].T, right[i : i + 1], tol=1e-3, restart=8, cycles=3)
        assert_allclose(loose[i], alone[0], rtol=1e-9, atol=1e-12)
    assert_allclose(X[0], right[0], rtol=1e-14)  # of one step
    assert np.all(solve_rows(apply, 0 * right, tol=1e-3, restart=8, cycles=2) == 0)


@pytest.mark.parametrize("solver", ["auto", "newton_krylov"])
def test_outlying_eigenvalue_past_contraction(solver):
    # A trained network: the bulk contracts, one direction of feedback does not. Its eigenvalue,
    # -3 on the active units, lets Picard and the modulus form diverge; the equation is well-posed.
    A, Phi = gaussian_problem(300, 20)
    Phi += 0.05
    A -= 6 * np.sqrt(300) / 0.4 * np.outer(np.ones(300), np.ones(300)) / 300
    assert not solve(A, Phi, gamma=0.4, solver="picard").converged
    result = solve(A, Phi, gamma=0.4, solver=solver)
    assert result.converged
    assert relative_residual(A, Phi, 0.4, result.solution).max() <= 1.001e-8


@pytest.mark.parametrize("solver", ["auto", "newton_krylov"])
def test_linear_solves_where_the_spectrum_surrounds_one(solver):
    A, _ = gaussian_problem(200, 1)
    rng = np.random.default_rng(1)
    active, B = rng.random((6, 200)) < 0.5, rng.standard_normal((6, 200))
    result = solve_adjoint(A, B, active, gamma=3.0, solver=solver)
    assert result.converged
    for z, on, b in zip(result.solution, active, B):
        M = 3.0 / np.sqrt(200) * A[np.ix_(on, on)]
        expected = np.linalg.solve(np.eye(on.sum()) - M.T, b[on])
        np.testing.assert_allclose(z[on], expected, atol=1e-5 * np.abs(expected).max())


@over_solvers
def test_no_solution_is_reported(solver):
    # z = max(1.5 z + 1, 0) has none.
    result = solve([[1.5]], [[1.0], [-1.0]], gamma=1.0, solver=solver)
    assert not result.converged
    assert result.residual[1] == 0 and result.residual[0] > 0.1
    assert np.all(np.isfinite(result.solution))


@over_solvers
@pytest.mark.parametrize("gamma", [1.6, 2.0, 4.0])
def test_hopeless_problems_end(solver, gamma):
    # gamma = 2 makes I - sA/2 nearly singular, for the modulus form.
    A, Phi = gaussian_problem(100, 10)
    result = solve(A, Phi, gamma=gamma, solver=solver, max_iter=100)
    assert result.n_iter <= 100 and np.all(np.isfinite(result.solution))
    if not result.converged:
        assert result.status in (Status.MAX_ITER, Status.STALLED, Status.DIVERGED)


@over_solvers
def test_singular_modulus_matrix(solver):
    # sA = 2 I: the modulus form does not exist; z = max(2 z - 1, 0) is solved by 0.
    A = 2 * np.sqrt(5) * np.eye(5)
    result = solve(A, -np.ones((3, 5)), gamma=1.0, solver=solver)
    assert result.converged
    np.testing.assert_array_equal(result.solution, 0)


@over_built_in
@pytest.mark.parametrize(
    ("depth", "width", "amplitude"), [(5, 40, 1.0), (5, 40, 100.0), (30, 10, 10.0), (12, 20, 1e5)]
)
def test_feed_forward_networks(solver, depth, width, amplitude):
    # The norm of sA reaches 1e5, transients 1e39, past float32; the spectral radius is zero.
    A, Phi, Z = feed_forward(depth, width, amplitude)
    forward = solve(A, Phi, gamma=0.4, solver=solver)
    adjoint = solve_adjoint(A, np.ones(len(A)), Z > 0, gamma=0.4, solver=solver)
    assert forward.converged and adjoint.converged
    assert relative_residual(A, Phi, 0.4, forward.solution).max() <= 1.001e-8


def test_feed_forward_network_takes_depth_many_iterations():
    A, Phi, Z = feed_forward(6, 30, 3.0)
    for solver in ("auto", "picard", "gauss_seidel"):
        result = solve(A, Phi, gamma=0.4, solver=solver, tol=1e-12)
        assert result.converged
        # Three corrections to 1e-12, each of depth 6 at most, and their residuals.
        assert result.n_iter <= 3 * (6 + 1)
        np.testing.assert_allclose(result.solution, Z, rtol=0, atol=1e-11 * Z.max())


@pytest.mark.parametrize("solver", ["auto", "picard", "gauss_seidel", "modulus"])
def test_matrix_too_large_for_float32(solver):
    A, Phi, Z = feed_forward(3, 20, 1e50)
    result = solve(A, Phi, gamma=0.4, solver=solver)
    assert result.converged
    np.testing.assert_allclose(result.solution, Z, rtol=1e-10)


def test_rows_of_one_batch_may_need_different_solvers():
    A, Phi = gaussian_problem(200, 12)
    Phi[::3] = -Phi[::3]  # solved by zero at once
    result = solve(A, Phi, gamma=1.1)
    assert result.converged
    np.testing.assert_array_equal(result.solution[::3], 0)
    others = np.arange(12) % 3 > 0
    assert relative_residual(A, Phi[others], 1.1, result.solution[others]).max() <= 1.001e-8


def test_cost_stays_near_that_of_the_method():
    # float32 sweeps at one half, two float64 residuals: bounds that a regression would pass.
    A, Phi = gaussian_problem(500, 200)
    for gamma, bound in ((0.2, 7), (0.4, 9), (0.9, 25), (1.2, 60)):
        assert solve(A, Phi, gamma=gamma).n_products <= bound
    for gamma in (0.4, 0.9, 1.2):
        picard = solve(A, Phi, gamma=gamma, solver="picard").n_products
        assert solve(A, Phi, gamma=gamma, solver="gauss_seidel").n_products < 0.9 * picard


def test_loose_tolerance_is_cheaper():
    A, Phi = gaussian_problem(300, 50)
    costs = [solve(A, Phi, gamma=0.6, tol=tol).n_products for tol in (1e-2, 1e-4, 1e-8, 1e-12)]
    assert costs == sorted(costs) and costs[0] < 0.4 * costs[2]


def test_memory_is_bounded_by_the_block(monkeypatch):
    import tracemalloc

    A, Phi = gaussian_problem(100, 20_000)
    tracemalloc.start()
    try:
        solve(A, Phi, gamma=0.4, block_size=500)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    solution, block = Phi.nbytes, 500 * 100 * 8
    assert peak < solution + 16 * block + 4 * A.nbytes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_modulus_matrix(dtype):
    A, _ = gaussian_problem(40, 1)
    B = modulus_matrix(EquilibriumOperator(A, 0.8), np.dtype(dtype))
    M = 0.8 / np.sqrt(40) * A
    expected = M / 2 @ np.linalg.inv(np.eye(40) - M / 2)
    np.testing.assert_allclose(B, expected, atol=30 * np.finfo(dtype).eps)


@pytest.mark.parametrize("m", [1, 64, 65, 127, 128, 1000])
@pytest.mark.parametrize("forward", [True, False])
def test_sweeps_cover_one_triangle_once(m, forward):
    seen = np.zeros((m, m), int)
    replaced = []
    for rows, columns in halved(0, m, forward):
        seen[rows, columns] += 1
        if rows is columns:
            replaced.append(rows)
        else:  # of what this sweep has replaced, to what it has not
            done = np.concatenate([np.arange(m)[block] for block in replaced])
            assert np.isin(np.arange(m)[columns], done).all()
            assert not np.isin(np.arange(m)[rows], done).any()
    on_diagonal = np.zeros((m, m), bool)
    for block in replaced:
        assert block.stop - block.start <= 64 and block.start % 64 == 0  # where products are quickest
        on_diagonal[block, block] = True
    triangle = np.tri(m, dtype=bool)
    np.testing.assert_array_equal(seen, (triangle if forward else triangle.T) | on_diagonal)


def test_sweeps_contract_as_foretold():
    """By (2/π) g² for a pair of sweeps with a block for each unit; by a third more at most with 16 blocks."""
    m, g = 1000, 0.2
    A = np.random.default_rng(0).standard_normal((m, m))
    M = g / np.sqrt(m) * A
    L, U = np.tril(M, -1), np.triu(M, 1)
    pair = np.linalg.solve(np.eye(m) - U, L) @ np.linalg.solve(np.eye(m) - L, U)
    radius = np.abs(np.linalg.eigvals(pair)).max()
    assert radius == pytest.approx(2 / np.pi * g**2, rel=0.15)
    B = np.random.default_rng(1).standard_normal((4, m))
    on = np.ones((4, m), bool)
    problem = FixedPoint(EquilibriumOperator(A, g), True, B, on, 4)
    iteration = GaussSeidelSweep(
        Correction.around(problem, None, B, np.ones(4), np.ones(4), np.dtype(np.float64))
    )
    steps = [np.sqrt(iteration.sweep(measure=True)) for _ in range(12)]
    assert np.all((steps[-1] / steps[-7]) ** (1 / 3) < 4 / 3 * radius)


@pytest.mark.parametrize("solver", ["modulus", "auto"])
def test_no_row_takes_more_than_its_iterations(solver):
    A, Phi = gaussian_problem(300, 6)
    budgets = np.array([1, 2, 3, 4, 20, 50])
    problem = FixedPoint(EquilibriumOperator(A, 0.9), False, Phi, None, 300)
    rows = solver_named(solver)(problem, np.ones_like(Phi), BlockOptions(1e-8, budgets, warm=True))
    assert np.all(rows.n_iter <= budgets)


@over_solvers
@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e20), (np.float64, 1e160)])
def test_matrices_whose_squares_overflow(solver, dtype, size):
    A = np.triu(np.ones((20, 20), dtype), 1) * dtype(size)
    result = solve(A, np.ones((20, 20), dtype), gamma=0.4, solver=solver, max_iter=50)
    assert np.all(np.isfinite(result.solution))


@pytest.mark.parametrize("masked", [False, True])
def test_symmetric_sweeps_use_the_newest_units(masked):
    # Against sums formed anew for every block; sweep 3 drops columns before.
    m, k = 150, 7
    A, Phi = gaussian_problem(m, k)
    rng = np.random.default_rng(3)
    active = rng.random((k, m)) < 0.5 if masked else None
    problem = FixedPoint(EquilibriumOperator(A, 0.6), masked, Phi, active, k)
    task = Correction.around(problem, None, Phi, np.ones(k), np.ones(k), np.dtype(np.float64))
    iteration = GaussSeidelSweep(task)
    M = 0.6 / np.sqrt(m) * (A if masked else A.T)
    y, columns = np.zeros((m, k)), np.arange(k)
    for sweep in range(5):
        if sweep == 3:
            columns = np.array([4, 1, 6])
            iteration.keep(columns)
            y = y[:, columns]
        before = y.copy()
        for rows, source in halved(0, m, sweep % 2 == 0):
            if rows is source:
                g = M[:, rows].T @ y + Phi.T[rows][:, columns]
                y[rows] = g * active.T[rows][:, columns] if masked else np.maximum(g, 0)
        squared = iteration.sweep(measure=True)
        np.testing.assert_allclose(iteration.solution(), y, atol=1e-14)
        np.testing.assert_allclose(squared, ((y - before) ** 2).sum(axis=0), rtol=1e-10)


@pytest.mark.parametrize("masked", [False, True])
def test_correction_equation_is_exact(masked):
    # z + δ solves the equation when δ solves the correction's: the identity behind refinement.
    A, Phi = gaussian_problem(20, 5)
    rng = np.random.default_rng(3)
    active = rng.random((5, 20)) < 0.5 if masked else None
    problem = FixedPoint(EquilibriumOperator(A, 0.3), False, Phi, active, len(Phi))
    z = np.abs(rng.standard_normal((5, 20)))
    z = z * active if masked else np.maximum(z - 0.5, 0)
    scale = np.linalg.norm(z, axis=1)
    g = problem.preactivation(z, out=np.empty_like(z))
    task = Correction.around(problem, z, g, np.ones(5), scale, np.dtype(np.float64))
    task.delta, M = task.first_iterate(), 0.3 / np.sqrt(20) * A.T
    for _ in range(200):
        g = (task.delta.T @ M).T + task.e
        task.delta = np.where(active.T, g, 0) if masked else np.maximum(g, task.low)
    new = task.applied(z, scale)
    g = new @ M + Phi
    np.testing.assert_allclose(new, np.where(active, g, 0) if masked else np.maximum(g, 0), atol=1e-14)


@pytest.mark.parametrize("gamma", [1.15, 1.3])
@pytest.mark.parametrize("solver", ["newton_krylov", "auto"])
def test_units_that_are_off_are_zero(gamma, solver):
    """The pattern Z > 0 is what adjoints are solved on: what rounding leaves of a unit must not be in it."""
    m, n_solved = 60, 0
    for seed in range(4):
        rng = np.random.RandomState(seed)
        A = rng.standard_normal((m, m))
        Phi = np.maximum(rng.standard_normal((40, 6)) @ rng.standard_normal((6, m)), 0) / np.sqrt(m)
        result = solve(A, Phi, gamma=gamma, solver=solver, tol=1e-10)
        Z = result.solution[result.residual <= 1e-10]
        g = gamma / np.sqrt(m) * Z @ A.T + Phi[result.residual <= 1e-10]
        clear = np.abs(g) > 1e-7 * np.linalg.norm(Z, axis=1)[:, None]
        assert np.array_equal((Z > 0)[clear], (g > 0)[clear])
        assert Z.min() >= 0
        n_solved += len(Z)
    assert n_solved > 100


@pytest.mark.parametrize(
    "solver",
    [
        ByCorrections("other", Picard(Schedule(check_every=3, drop=0.0))),
        ByCorrections("other", GaussSeidel(block_units=16)),
        ByCorrections("other", Modulus(block_units=16)),
        ByCorrections("other", Anderson(window=2, growth=1.1, restarts=0)),
        ByCorrections("other", GaussSeidel(), RefinementSettings(Aim(single=1e-2), max_plain=0)),
        NewtonKrylov(basis_bytes=2**16, restart=5, cycles=1, row_tol=1e-3),
        Auto(sweeps=1, wide=0.0),
    ],
    ids=lambda solver: type(getattr(solver, "correct", solver)).__name__,
)
def test_numbers_that_steer_are_fields(solver):
    """Other ones take another way to the same solution."""
    A, Phi = gaussian_problem(100, 30)
    expected = solve(A, Phi, gamma=0.6, tol=1e-12)
    register("other", solver)
    try:
        result = solve(A, Phi, gamma=0.6, solver="other", tol=1e-10)
    finally:
        unregister("other")
    assert result.converged and result.n_products != expected.n_products
    np.testing.assert_allclose(result.solution, expected.solution, atol=1e-9)


def test_safeguards_of_anderson_acceleration_are_needed_where_residuals_grow_first():
    """A feed-forward network: 80 layers of growth, through which only plain steps lead."""
    rng = np.random.default_rng(0)
    A, Phi = 10 * np.triu(rng.standard_normal((80, 80)), 1), np.maximum(rng.standard_normal((20, 80)), 0)

    def solved(**settings):
        register("variant", ByCorrections("variant", Anderson(**settings)))
        try:
            return solve(A, Phi, gamma=1.0, solver="variant", max_iter=500)
        finally:
            unregister("variant")

    result = solved()
    assert result.converged
    assert solved(growth=np.inf).n_products > 1.5 * result.n_products  # follows steps that lead away
    assert not solved(restarts=10**9).converged  # mixes on for ever


@pytest.mark.parametrize("solver", ["picard", "gauss_seidel", "anderson", "auto"])
def test_a_budget_of_one_is_one_plain_step_whatever_memory_holds(solver, monkeypatch):
    new = np.empty_like

    def used(*args, **kwargs):
        array = new(*args, **kwargs)
        array.fill(77)
        return array

    monkeypatch.setattr(np, "empty_like", used)
    rng = np.random.default_rng(0)
    A, Phi = rng.standard_normal((30, 30)), rng.standard_normal((5, 30))
    result = solve(A, Phi, gamma=0.4, solver=solver, max_iter=1)
    assert_allclose(result.solution, np.maximum(Phi, 0), rtol=1e-6)


def test_single_precision_is_for_matrices_with_room_in_it_once_they_are_scaled():
    assert not EquilibriumOperator(np.array([[5e29]]), 10.0).fits_float32
    assert EquilibriumOperator(np.array([[5e30]]), 0.1).fits_float32


@pytest.mark.parametrize("masked", [False, True])
def test_line_search_takes_the_first_length_that_lowers_the_residual_enough(masked):
    rng = np.random.default_rng(3)
    solver, rows = NewtonKrylov(), 200
    z, g, w, delta = (rng.standard_normal((rows, 4)) * size for size in (1, 1, 3, 2))
    mask = (rng.random((rows, 4)) < 0.5) if masked else None

    def residual(i, t):
        at = g[i] + t * w[i]
        image = np.maximum(at, 0) if mask is None else np.where(mask[i], at, 0)
        return np.linalg.norm(image - z[i] - t * delta[i])

    step = np.array([residual(i, 0.0) for i in range(rows)])
    lengths = 0.5 ** np.arange(solver.halvings)
    expected = [
        next((t for t in lengths if residual(i, t) <= (1 - solver.decrease * t) * step[i]), 1.0)
        for i in range(rows)
    ]
    assert_allclose(solver._line_search(mask, z, g, delta, w, step), expected)
    assert len(set(expected)) > 3


def test_gmres_keeps_what_a_cycle_without_convergence_has_found():
    rng = np.random.default_rng(5)
    M = np.eye(20) + 0.4 / np.sqrt(20) * rng.standard_normal((20, 20))
    right = rng.standard_normal((3, 20))

    def left(cycles):
        X = solve_rows(lambda V, rows: V @ M.T, right, tol=1e-12, restart=4, cycles=cycles)
        return np.linalg.norm(right - X @ M.T, axis=1)

    assert (left(1) < 0.1 * np.linalg.norm(right, axis=1)).all()
    assert (left(4) < 1e-2 * left(1)).all()
