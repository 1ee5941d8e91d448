"""Levenberg-Marquardt steps and the systems they solve, against dense algebra; interpolation of digits."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import objective, product_jacobian, run
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from sk_implicit import ImplicitReLURegressor
from sk_implicit.function_space.losses import Curvature, SquaredError
from sk_implicit.models import finite_width
from sk_implicit.network.tangent import joint_kernel, kernel_block, mean_diagonal
from sk_implicit.training import TrainingStatus, lm, tangent_system
from sk_implicit.training.lm import LevenbergMarquardt, LMSettings, LMState


def uneven(n):
    return np.random.RandomState(8).uniform(0.2, 3, size=n)


def jacobian(goal, point):
    class Case:
        tangent, network, n = goal.tangent(point), point.network, len(goal.Y)

    return product_jacobian(Case)


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize(("alpha", "damping"), [(0.0, 0.3), (0.5, 0.0), (0.5, 0.3)])
@pytest.mark.parametrize("unit", [1.0, 1e-3])
def test_step_minimises_the_damped_quadratic_model(k, alpha, damping, unit):
    """min over δ of Σ w (r − Jδ)² + a ‖d + δ‖² + Σ μ_j δ_j², by its normal equations in weight space."""
    alpha *= unit
    goal = objective(m=10, n=7, k=k, penalty=alpha, weights=unit * uneven(7), tol=1e-14)
    drift = 0.05 * np.random.RandomState(0).standard_normal(goal.start.theta.size)
    point = goal.evaluate(goal.start.theta + drift)
    new, _, used = LevenbergMarquardt(LMSettings(max_corrections=0)).step(goal, point, LMState(damping))
    scale = mean_diagonal(goal.tangent(point), goal.weights)
    scale *= np.prod(goal.weights) ** (1 / 7)
    mu = np.full(goal.start.theta.size, used * scale)
    # U and V, in which predictions are linear, are not damped, but for what keeps a singular K regular
    mu[goal.start.shape.n_inner :] = min(used, max(1e-4 - alpha / scale, 0)) * scale
    J, w = jacobian(goal, point), np.tile(goal.weights, k)
    normal = (J.T * w) @ J + np.diag(alpha + mu)
    right = J.T @ (w * point.residual.ravel(order="F")) - alpha * drift
    delta = np.linalg.solve(normal, right)
    assert_allclose(new.network.theta - point.network.theta, delta, atol=1e-9 * np.abs(delta).max())


def test_undamped_step_without_penalty_is_the_shortest_that_interpolates():
    goal = objective(m=30, n=7, tol=1e-14)
    new, _, used = LevenbergMarquardt(LMSettings(max_corrections=0)).step(goal, goal.first, LMState())
    assert used == 0
    shortest = np.linalg.lstsq(jacobian(goal, goal.first), goal.first.residual.ravel(), rcond=None)[0]
    assert_allclose(new.network.theta - goal.start.theta, shortest, atol=1e-8)


@pytest.mark.parametrize("k", [1, 3])
def test_dense_and_iterative_systems_agree_with_the_definition(k):
    goal = objective(m=15, n=9, k=k, weights=uneven(9))
    tangent = goal.tangent(goal.first)
    curvature, _ = SquaredError().curvature(goal.Y, goal.first.residual, goal.weights)
    b, shift = np.random.RandomState(0).standard_normal((9, k)), 0.7
    root = np.tile(np.sqrt(goal.weights), k)
    S = root[:, None] * joint_kernel(tangent) * root + shift * np.eye(9 * k)
    expected = np.linalg.solve(S, b.ravel(order="F")).reshape(b.shape, order="F")
    dense = tangent_system.DenseSystem(tangent)
    iterative = tangent_system.IterativeSystem(tangent, kernel_block(tangent), rtol=1e-12)
    assert_allclose(dense.solve(b, curvature, shift), expected, rtol=1e-9, atol=1e-12)
    assert_allclose(iterative.solve(b, curvature, shift), expected, rtol=1e-8, atol=1e-10)
    for system in (dense, iterative):  # another shift and another curvature after the first
        other = Curvature(2 * curvature.scale)
        for rescaled, factor, new_shift in ((curvature, 1, 2.5), (other, 4, 2.5)):
            S_new = factor * (S - shift * np.eye(9 * k)) + new_shift * np.eye(9 * k)
            again = np.linalg.solve(S_new, b.ravel(order="F")).reshape(b.shape, order="F")
            assert_allclose(system.solve(b, rescaled, new_shift), again, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("k", [1, 3])
def test_systems_let_the_outputs_weights_move_more(k):
    goal = objective(m=15, n=9, k=k, weights=uneven(9))
    point, shift, ratio = goal.first, 0.7, 30.0
    tangent = goal.tangent(point)
    J = jacobian(goal, point)
    D = np.ones(J.shape[1])
    D[15 * (15 + goal.X.shape[1]) :] = ratio
    root = np.tile(np.sqrt(goal.weights), k)
    S = root[:, None] * ((J * D) @ J.T) * root + shift * np.eye(9 * k)
    b = np.random.RandomState(0).standard_normal((9, k))
    expected = np.linalg.solve(S, b.ravel(order="F")).reshape(b.shape, order="F")
    curvature, _ = SquaredError().curvature(goal.Y, point.residual, goal.weights)
    dense = tangent_system.DenseSystem(tangent)
    dense.solve(b, curvature, shift)  # a factorisation of another ratio
    assert_allclose(dense.solve(b, curvature, shift, ratio), expected, rtol=1e-8, atol=1e-12)
    iterative = tangent_system.IterativeSystem(tangent, kernel_block(tangent), rtol=1e-12)
    assert_allclose(iterative.solve(b, curvature, shift, ratio), expected, rtol=1e-8, atol=1e-10)
    assert iterative.n_products <= (2 if k == 1 else 30)  # the preconditioner knows the ratio


def test_one_output_needs_one_product_in_the_iterative_system():
    goal = objective(m=15, n=9, weights=uneven(9))
    tangent = goal.tangent(goal.first)
    curvature, q = SquaredError().curvature(goal.Y, goal.first.residual, goal.weights)
    system = tangent_system.IterativeSystem(tangent, kernel_block(tangent), rtol=1e-8)
    system.solve(q, curvature, 0.3)
    assert system.n_products <= 2  # the preconditioner is the inverse


@pytest.mark.parametrize("k", [1, 2])
def test_training_by_conjugate_gradients_follows_training_by_factorisation(k, monkeypatch):
    dense = run(objective(k=k, penalty=0.3), "lm", max_iter=5)
    monkeypatch.setattr(tangent_system, "LIMITS", tangent_system.SystemLimits(dense=0))
    iterative = run(objective(k=k, penalty=0.3), "lm", max_iter=5)
    assert_allclose(iterative.history.loss, dense.history.loss, rtol=1e-4)


def test_the_kernel_of_a_preconditioner_serves_in_the_next_steps(monkeypatch):
    made = []

    def counted(tangent):
        made.append(tangent)
        return kernel_block(tangent)

    monkeypatch.setattr(tangent_system, "LIMITS", tangent_system.SystemLimits(dense=0))
    monkeypatch.setattr(tangent_system, "kernel_block", counted)
    state = run(objective(k=2, penalty=0.3), "lm", max_iter=5)
    assert len(state.history.loss) > 3 and len(made) == 1


def test_contradictory_rows_without_penalty_are_fitted_by_their_mean():
    """K is singular: equal rows with different targets cannot be interpolated."""
    goal = objective(n=8)
    X = np.vstack([goal.X, goal.X[:2]])
    Y = np.vstack([goal.Y, goal.Y[:2] + 1])
    goal = type(goal)(X, Y, np.ones(10), goal.start, penalty=0.0)
    state = run(goal, "lm", max_iter=20, tol=1e-10)
    residual = goal.evaluate(state.best_theta).residual
    assert state.status in (TrainingStatus.CONVERGED, TrainingStatus.STALLED)
    expected = np.zeros((10, 1))
    expected[[0, 1]], expected[[8, 9]] = -0.5, 0.5
    assert_allclose(residual, expected, atol=1e-3)


def test_digits_are_interpolated_to_rounding_in_a_dozen_steps():
    X, y = load_digits(return_X_y=True)
    X, y = X[:300], y[:300].astype(float)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = (y - y.mean()) / y.std()
    model = ImplicitReLURegressor(
        width=300, alpha=0.0, fit_intercept=False, max_iter=15, tol=0, random_state=0
    ).fit(X, y)
    assert model.n_iter_ <= 15
    assert np.mean((model.predict(X) - y) ** 2) <= 1e-12
    assert model.history_["squared_error"][-1] <= 1e-12
    assert model.contraction_ < 1
    # the paper: A stays near its start
    moved = np.linalg.norm(model.A_ - model.A_init_, 2) / np.linalg.norm(model.A_init_, 2)
    assert moved < 0.3


@pytest.mark.parametrize(
    ("n", "noise", "alpha", "weight", "expected"),
    [
        (220, 0.5, "loo", 1, np.float32),
        (80, 0.0, 1e-6, 1, np.float64),
        (220, 0.5, 1e-8, 1, np.float64),
        (220, 0.5, 0.1, 1, np.float32),
        (220, 0.5, 0.1, 1000, np.float64),  # which leave a thousandth of it
        (220, 0.5, "loo", 1e-9, np.float32),  # the penalty is as small
        (41, 0.5, 0.1, 1, np.float32),
        (40, 0.5, 0.1, 1, np.float64),  # so small that it is solved to rounding
    ],
)
def test_float32_serves_where_the_penalty_hides_rounding_errors(
    n, noise, alpha, weight, expected, monkeypatch
):
    seen = []

    def train(objective, *args, **kwargs):
        seen.append(objective.Y.dtype)
        return _train(objective, *args, **kwargs)

    _train = finite_width.train_on_samples
    monkeypatch.setattr(finite_width, "train_on_samples", train)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 2))
    y = X @ [1.0, 2.0] + noise * rng.standard_normal(n)
    model = ImplicitReLURegressor(alpha=alpha, max_iter=3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y, np.full(n, float(weight)))
    assert seen == [expected]
    assert model.predict(X).dtype == model.A_.dtype == np.float64


@pytest.mark.parametrize(
    ("shift", "weight", "ratio", "dtype"),
    [
        (1e-2, 1, 1, np.float32),
        (1e-6, 1, 1, np.float64),
        (1e-2, 1e3, 1, np.float64),
        (1e-2, 1, 1e3, np.float64),
    ],
)
def test_a_kernel_in_float32_is_factorised_so_only_far_above_its_rounding_errors(
    shift, weight, ratio, dtype, monkeypatch
):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((60, 5))
    K = (X @ X.T).astype(np.float32)  # of rank 5: the shift alone makes the rest regular
    shift *= float(np.mean(np.diag(K)))
    b = rng.standard_normal((60, 1))
    monkeypatch.setattr(tangent_system, "joint_kernel", lambda tangent: K)
    monkeypatch.setattr(tangent_system, "output_kernel", lambda tangent: K / 2)
    system = tangent_system.DenseSystem(SimpleNamespace(shape=(1, 60)))
    v = system.solve(b, Curvature(np.full((60, 1), weight**0.5)), shift, ratio)
    assert system._factor[0].dtype == dtype
    assert v.dtype == np.float64
    S = weight * (1 + 0.5 * (ratio - 1)) * K.astype(np.float64) + shift * np.eye(60)
    expected = np.linalg.solve(S, b)
    assert_allclose(v, expected, rtol=0, atol=1e-3 * np.abs(expected).max())


def test_a_step_that_gains_little_is_tried_shorter():
    """Targets just so large that the undamped step from the start brings a twentieth of what it promises."""
    goal = objective(m=30, n=40, tol=1e-12)
    noise = np.random.RandomState(1).standard_normal((40, 1))

    def undamped(size):
        scaled = type(goal)(
            goal.X, size * noise, goal.weights, goal.start, penalty=1e-3, equilibrium_tol=1e-12
        )
        point = scaled.first
        delta, predicted = lm.Linearisation(scaled, point, None).propose(scaled, point, scaled.penalty)
        trial = scaled.evaluate(scaled.start.theta + delta, near=point)
        gain = (point.value - trial.value) / (point.value - predicted)
        return scaled, trial, gain if scaled.admits(trial) else -1.0

    small, large = 0.1, 10.0
    assert undamped(small)[2] > 0.5 > 0 > undamped(large)[2]
    for _ in range(60):
        middle = 0.5 * (small + large)
        small, large = (middle, large) if undamped(middle)[2] > 0.05 else (small, middle)
    scaled, trial, gain = undamped(small)
    assert 0.04 < gain < 0.06
    new, state, damping = LevenbergMarquardt().step(scaled, scaled.first, LMState())
    assert new.value < trial.value < scaled.first.value
    assert 0 < damping <= state.damping


# One feature, and targets that jump where only few units have their kinks.
STEEP = np.linspace(-1.7, 1.7, 200)[:, None]


@pytest.mark.filterwarnings(
    "ignore:Training with solver='lm' came to rest:sklearn.exceptions.ConvergenceWarning"
)
def test_a_jump_is_fitted_though_steps_in_the_features_are_short():
    """Of most starts; some come to rest before."""
    y = (STEEP[:, 0] > 0).astype(float)
    fits = [ImplicitReLURegressor(random_state=seed).fit(STEEP, y) for seed in range(16)]
    assert np.median([fit.history_["step_size"][-1] for fit in fits]) > 0.1  # A and W hardly move in the end
    assert np.median([fit.score(STEEP, y) for fit in fits]) > 0.95


def test_a_fit_that_falls_far_short_of_its_linearisation_says_so():
    y = np.mod(3 * STEEP[:, 0], 1)
    with pytest.warns(ConvergenceWarning, match=r"leaves 9\d% of the decrease.*width=numpy.inf"):
        model = ImplicitReLURegressor(random_state=0).fit(STEEP, y)
    assert model.score(STEEP, y) < 0.2 < model.loo_score_
    limit = ImplicitReLURegressor(width=np.inf).fit(STEEP, y)
    assert limit.score(STEEP, y) > 0.95


def test_shortfall_compares_with_what_the_first_linearisation_predicts():
    goal = objective(m=30, n=40, penalty=0.1, tol=1e-12)
    model = lm.Linearisation(goal, goal.first, None)
    _, promised = model.propose(goal, goal.first, goal.penalty)
    state = run(goal, "lm", max_iter=3)
    assert state.solver_state.promised == pytest.approx(promised, rel=1e-9)
    start = goal.first_value
    expected = (state.best_loss - promised) / (start - promised)
    assert lm.shortfall(state) == pytest.approx(max(expected, 0.0), rel=1e-6, abs=1e-9)
    state.best_loss = 0.5 * (start + promised)
    assert lm.shortfall(state) == pytest.approx(0.5)
    for solver in ("gd", "lbfgs"):
        assert lm.shortfall(run(goal, solver, max_iter=3)) == 0


def test_damping_follows_the_gain():
    settings = LMSettings()
    assert settings.next_damping(0.1, 0.1, False, 4) == pytest.approx(0.4)
    assert settings.next_damping(0.1, 0.5, False, 4) == 0.1
    assert settings.next_damping(0.1, 0.9, True, 4) == 0.1
    assert settings.next_damping(0.1, 0.9, False, 4) == pytest.approx(0.025)
    assert settings.next_damping(0.1, 0.9, False, 2) == pytest.approx(0.05)
    assert settings.next_damping(settings.min_damping, 0.9, False, 4) == 0
    assert settings.next_damping(0.0, 0.1, False, 4) == settings.min_damping


@pytest.mark.parametrize(
    ("values", "taken"),
    [
        ([0.4, 0.24, 0.1], 2),  # the second gains less than half
        ([0.4, 0.19, 0.09, 0.04, 0.01], 4),  # four at most
        ([0.4, 0.19, 0.2, 0.01], 2),  # the third is worse
        ([0.55, 0.1], 1),
        ([1.1, 0.1], 0),
    ],
)
def test_corrections_go_on_while_each_halves_the_objective(values, taken):
    def point(value):
        return SimpleNamespace(value=value, network=SimpleNamespace(theta=0.0))

    trials = iter(point(value) for value in values)
    goal = SimpleNamespace(evaluate=lambda theta, near: next(trials), admits=lambda trial: True)
    model = SimpleNamespace(propose=lambda *_: (0.0, 0.0))
    end = LevenbergMarquardt()._correct(goal, point(1.0), model, 1.0)
    assert end.value == [1.0, *values][taken]
    goal.admits, goal.evaluate = (lambda trial: False), (lambda theta, near: point(0.1))
    assert LevenbergMarquardt()._correct(goal, end, model, 1.0) is end
