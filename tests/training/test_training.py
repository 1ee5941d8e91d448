"""What the driver promises of every registered solver."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import objective, run, training_solver

from sk_implicit.network import Shape, draw_network
from sk_implicit.network.tangent import joint_kernel
from sk_implicit.training import SOLVERS, NoStep, Objective, TrainingStatus, train
from sk_implicit.training.adam import Adam
from sk_implicit.training.gradient_descent import largest_curvature
from sk_implicit.training.objective import Accuracy, Point

every_solver = pytest.mark.parametrize("name", list(SOLVERS))
gradient_solver = pytest.mark.parametrize("name", ["gd", "adam"])


def check_history(state, n_iter):
    history = state.history
    assert history.n_iter == n_iter
    for values in (history.loss, history.squared_error, history.contraction, history.step_size):
        assert len(values) == n_iter + 1
        assert all(isinstance(value, float) for value in values)
    assert len(history.validation_score) in (0, n_iter + 1)


@every_solver
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("centred", [True, False])
def test_loss_falls_and_the_best_weights_are_kept(name, k, centred):
    goal = objective(k=k, penalty=0.1, centred=centred)
    state = run(goal, name)
    check_history(state, 8)
    losses = state.history.loss
    assert min(losses) < 0.7 * losses[0]
    assert state.best_loss == min(losses)
    best = goal.evaluate(state.best_theta)
    assert_allclose(best.value, state.best_loss, rtol=1e-8)
    assert state.equilibrium_residual <= 1e-10
    if training_solver(name).monotone:
        assert losses == sorted(losses, reverse=True)


@every_solver
def test_loss_is_half_the_squared_error_plus_the_penalty(name):
    goal = objective(penalty=0.1)
    state = run(goal, name, max_iter=3)
    drift = state.theta - goal.start.theta
    penalty = 0.5 * 0.1 * (drift @ drift) / goal.total_weight
    assert_allclose(state.history.loss[-1], 0.5 * state.history.squared_error[-1] + penalty, rtol=1e-10)
    assert state.history.step_size[1] >= 0


@every_solver
def test_equal_seeds_give_equal_bits(name):
    first, second = (run(objective(k=2), name, seed=3) for _ in range(2))
    assert_array_equal(first.theta, second.theta)
    assert first.history.loss == second.history.loss


@every_solver
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_continued_equals_uninterrupted(name, alpha):
    whole = run(objective(penalty=alpha), name, max_iter=7)
    part = run(objective(penalty=alpha), name, max_iter=3)
    continued = run(objective(penalty=alpha), name, max_iter=4, previous=part, seed=99)
    check_history(continued, 7)
    assert_allclose(continued.history.loss, whole.history.loss, rtol=1e-7, atol=1e-14)
    assert_allclose(continued.theta, whole.theta, rtol=1e-6, atol=1e-7)


@every_solver
def test_training_leaves_the_data_and_the_start_alone(name):
    goal = objective(k=2, penalty=0.1)
    copies = goal.start.theta.copy(), goal.X.copy(), goal.Y.copy(), goal.weights.copy()
    run(goal, name, max_iter=3)
    for now, then in zip((goal.start.theta, goal.X, goal.Y, goal.weights), copies, strict=True):
        assert_array_equal(now, then)


@pytest.mark.parametrize("name", [name for name in SOLVERS if name != "lm"])
def test_weights_of_one_row_twice_are_those_of_weight_two(name):
    """But for Levenberg-Marquardt, whose damping counts rows: estimators put equal ones together before."""
    weights = np.ones(12)
    weights[[3, 7]] = 2
    repeated = np.r_[np.arange(12), 3, 7]
    heavy = objective(n=12, weights=weights, penalty=0.1)
    twice = type(heavy)(
        heavy.X[repeated], heavy.Y[repeated], np.ones(14), heavy.start, penalty=0.1, centred=True
    )
    # in one batch: smaller ones are drawn from rows, so a repeated row makes other batches
    one, other = (run(goal, name, max_iter=4, batch_size=14) for goal in (heavy, twice))
    assert_allclose(one.history.loss, other.history.loss, rtol=1e-9)
    assert_allclose(one.theta, other.theta, atol=1e-8)


@every_solver
def test_single_precision_trains_and_stays_single(name):
    state = run(objective(dtype=np.float32, k=2), name)
    assert state.theta.dtype == state.best_theta.dtype == np.float32
    assert min(state.history.loss) < 0.7 * state.history.loss[0]
    check_history(state, state.history.n_iter)


@every_solver
def test_contraction_stays_below_one(name):
    """A start just inside the certified set, and a target that pulls A out of it."""
    goal = objective(m=30, gamma=0.49, n=20, seed=4)
    scale = 0.9985 / goal.first.contraction
    start = type(goal.start)(
        goal.start.A * scale, goal.start.W, goal.start.U, goal.start.V, gamma=goal.start.gamma
    )
    goal = type(goal)(goal.X, 5 * goal.Y, goal.weights, start, penalty=0.0, centred=False)
    state = run(goal, name, max_iter=6)
    contractions = state.history.contraction
    assert len(contractions) > 3
    assert max(contractions) < Accuracy().max_contraction
    # the target does pull: without a limit, the same training leaves the set
    free = Accuracy(max_contraction=np.inf)
    goal = type(goal)(goal.X, goal.Y, goal.weights, start, centred=False, accuracy=free)
    assert max(run(goal, name, max_iter=6).history.contraction) > Accuracy().max_contraction


# --- how training ends ------------------------------------------------------------------------------


@every_solver
def test_steps_used_up(name):
    assert run(objective(penalty=0.1), name, max_iter=2).status is TrainingStatus.MAX_ITER


@every_solver
def test_convergence_leaves_a_small_gradient(name):
    """Where all units stay active the objective is smooth, so that its minimum has no gradient."""
    goal = objective(m=20, n=12)
    drawn = goal.start
    start = type(drawn)(0.2 * abs(drawn.A), 0.5 + abs(drawn.W), drawn.U, drawn.V, gamma=drawn.gamma)
    goal = type(goal)(abs(goal.X), 0.3 * goal.Y, goal.weights, start, penalty=0.5)
    tol, gradient_limit, loss_limit = {
        "lm": (1e-11, 1e-5, 1e-7), "lbfgs": (1e-8, 1e-3, 1e-6), "gd": (1e-5, 3e-2, 1e-3),
        "adam": (1e-4, 0.5, 5e-2),
    }[name]  # fmt: skip
    options = {"learning_rate": 1e-3, "n_iter_no_change": 20} if name == "adam" else {}
    state = run(goal, name, max_iter=1000, tol=tol, **options)
    best = goal.evaluate(state.best_theta)
    assert state.status is TrainingStatus.CONVERGED
    assert best.layers.Z.min() > 0
    assert best.layers.Phi.min() > 0
    gradient, _ = goal.gradient(best)
    first, _ = goal.gradient(goal.first)
    assert np.linalg.norm(gradient) < gradient_limit * np.linalg.norm(first)
    assert_allclose(best.value, 0.033610701400, rtol=loss_limit)


def test_gains_that_new_rows_would_not_show_end_training():
    """Interpolation goes on for long: a part of the error expected of new rows is enough."""
    goal = objective(m=25, n=80)
    to_the_end = run(goal, "lm", max_iter=50, tol=1e-4)
    goal.explained = 0.2
    state = run(goal, "lm", max_iter=50, tol=1e-4)
    losses = state.history.loss
    assert state.status is to_the_end.status is TrainingStatus.CONVERGED
    assert len(losses) < len(to_the_end.history.loss)
    assert_allclose(losses, to_the_end.history.loss[: len(losses)], rtol=1e-4)
    none = 1e-4 * 400 * 0.01 * (1 - 0.2) * losses[0]
    gains = -np.diff(losses)
    assert np.all(gains[-2:] <= none) and gains[-3] > none


@every_solver
def test_monitor_sees_every_step_and_can_stop(name):
    seen = []

    def monitor(progress):
        seen.append((progress.n_iter, progress.history.loss[-1], progress.network.theta.copy()))
        return progress.n_iter == 3

    state = run(objective(), name, monitor=monitor)
    assert state.status is TrainingStatus.STOPPED
    assert [n for n, *_ in seen] == [1, 2, 3]
    assert [loss for _, loss, _ in seen] == state.history.loss[1:]
    assert_array_equal(seen[-1][2], state.theta)


@every_solver
@pytest.mark.parametrize("where", ["monitor", "step", "validate", "contraction"])
def test_interrupt_keeps_the_best_so_far(name, where, monkeypatch):
    """Ctrl-C in the fourth step, wherever in it."""
    calls = {"step": 0, "validate": -1, "monitor": 0}

    def tick(what):
        calls[what] += 1
        if what == where and calls[what] == 4:
            raise KeyboardInterrupt

    def validate(network):
        tick("validate")
        return float(-calls["validate"])  # the start is best

    def monitor(progress):
        tick("monitor")
        return False

    def contraction(point):
        if where == "contraction" and calls["step"] == 4:
            raise KeyboardInterrupt
        return point.norm.value

    monkeypatch.setattr(Point, "contraction", property(contraction))
    solver = training_solver(name)
    step = solver.step
    solver.step = lambda *arguments: (tick("step"), step(*arguments))[1]
    state = train(
        objective(), solver, max_iter=10, tol=0.0, n_iter_no_change=10, monitor=monitor, validate=validate
    )
    assert state.status is TrainingStatus.INTERRUPTED
    check_history(state, 4 if where == "monitor" else 3)
    assert len(state.history.validation_score) == len(state.history.loss)
    assert state.best_score == 0
    assert state.best_loss == state.history.loss[0]


@every_solver
def test_interrupted_training_continues_as_if_it_had_not_been(name):
    def interrupt(progress):
        if progress.n_iter == 3:
            raise KeyboardInterrupt
        return False

    state = run(objective(penalty=0.1), name, monitor=interrupt)
    continued = run(objective(penalty=0.1), name, max_iter=3, previous=state)
    whole = run(objective(penalty=0.1), name, max_iter=6)
    assert_allclose(continued.history.loss, whole.history.loss, rtol=1e-7)


@every_solver
def test_early_stopping_waits_and_returns_to_the_best_score(name):
    scores = iter([0.0, 0.5, 0.9, 0.8, 0.85, 0.89, 0.7])
    kept = []

    def validate(network):
        kept.append(network.theta.copy())
        return next(scores)

    state = run(objective(), name, max_iter=50, n_iter_no_change=3, validate=validate)
    assert state.status is TrainingStatus.EARLY_STOPPED
    assert state.history.validation_score == [0.0, 0.5, 0.9, 0.8, 0.85, 0.89]
    assert state.best_score == 0.9
    assert_array_equal(state.best_theta, kept[2])
    assert state.best_loss == state.history.loss[2]


@every_solver
def test_rise_of_the_score_within_tol_counts_as_none(name):
    scores = iter(np.arange(20) * 0.009)
    state = run(
        objective(), name, max_iter=50, tol=0.01, n_iter_no_change=2, validate=lambda _: float(next(scores))
    )
    # only the second of two small rises exceeds tol over the best
    assert state.status is TrainingStatus.EARLY_STOPPED
    assert state.history.n_iter == 2


@gradient_solver
@pytest.mark.parametrize("rate", [1e6, 1e308])
def test_learning_rate_far_too_large_is_reported_as_divergence(name, rate):
    state = run(objective(), name, learning_rate=rate, max_iter=50)
    assert state.status is TrainingStatus.DIVERGED
    assert np.isfinite(state.best_theta).all()
    assert state.best_loss <= state.history.loss[0]
    check_history(state, state.history.n_iter)


@gradient_solver
def test_losses_that_only_rise_are_no_convergence(name):
    """Steps without improvement may be too long as well as too short."""
    rate = {"gd": 2.2 / largest_curvature(objective(), objective().first), "adam": 1.0}[name]
    state = run(objective(), name, learning_rate=rate, max_iter=60, tol=1e-4)
    assert state.history.n_iter < 60
    assert state.history.loss[-1] > 1.5 * state.best_loss
    assert state.status is TrainingStatus.DIVERGED
    state = run(objective(penalty=0.1), name, max_iter=2000, tol=1e-3)
    assert state.status is TrainingStatus.CONVERGED


@every_solver
def test_points_that_training_has_left_are_let_go_of(name):
    """Layers of a point take as much memory as the data's kernel does: the start's are gone after a step."""
    alive, problem = [], objective()
    first = weakref.ref(problem.first.layers.Z)

    def monitor(progress):
        gc.collect()
        alive.append(first() is not None)

    run(problem, name, max_iter=3, monitor=monitor)
    assert alive[-1] is False
    assert problem._first is None  # nor evaluated again


def test_shuffling_leaves_the_callers_generator_alone():
    rng = np.random.RandomState(3)
    solver = Adam("auto", 7, rng)
    problem = objective()
    state = solver.init(problem, problem.first)
    drawn = rng.get_state(legacy=False)["state"]["pos"]
    for _ in range(2):
        _, state, _ = solver.step(problem, problem.first, state)
    assert rng.get_state(legacy=False)["state"]["pos"] == drawn


@gradient_solver
def test_learning_rate_is_taken_as_given(name):
    state = run(objective(), name, learning_rate=1e-4, max_iter=3)
    assert state.history.step_size[1:] == [1e-4] * 3


@pytest.mark.parametrize("seed", [4, 5])
def test_automatic_step_of_gradient_descent_follows_a_kernel_that_outgrows_it(seed):
    """Narrow and without a penalty: the curvature doubles on the way, where a fixed step diverges."""
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((50, 3))
    Y = np.sin(2 * X[:, :1]) + X[:, 1:2] * X[:, 2:]
    goal = Objective(
        np.column_stack([X, np.ones(50)]) / 2,
        (Y - Y.mean()) / Y.std(),
        np.ones(50),
        draw_network(Shape(20, 4, 1), 0.4, np.random.RandomState(seed)),
    )
    fixed = run(goal, "gd", max_iter=250, tol=0.0, learning_rate=1 / largest_curvature(goal, goal.first))
    assert np.max(np.diff(fixed.history.loss)) > 1e-4
    state = run(goal, "gd", max_iter=250, tol=0.0)
    steps = np.array(state.history.step_size[1:])
    assert state.status is TrainingStatus.MAX_ITER and state.history.loss[-1] == state.best_loss
    assert state.best_loss < 0.8 * fixed.best_loss
    shorter = np.flatnonzero(np.diff(steps)) + 1
    assert 1 <= len(shorter) <= 3 and np.all(np.diff(steps) <= 0)  # as long as it is safe, it stays
    assert_allclose(state.history.loss[: shorter[0]], fixed.history.loss[: shorter[0]], rtol=1e-6)


@pytest.mark.parametrize("start", [1e3, 30.0])
def test_automatic_step_recovers_from_one_that_is_far_too_long(start):
    goal = objective(penalty=0.1)
    solver = training_solver("gd")
    state = solver.init(goal, goal.first)
    long = replace(state, learning_rate=start * state.learning_rate)
    point = goal.first
    for _ in range(40):
        point, long, _ = solver.step(goal, point, long)
    assert long.learning_rate <= 2 * state.learning_rate
    assert point.value < goal.first.value


def test_solver_that_cannot_step_keeps_the_start():
    solver = training_solver("gd")

    def step(*_):
        raise NoStep(TrainingStatus.STALLED)

    solver.step = step
    goal = objective()
    state = train(goal, solver, max_iter=5, tol=0.0, n_iter_no_change=10)
    assert state.status is TrainingStatus.STALLED
    assert state.history.n_iter == 0
    assert_array_equal(state.best_theta, goal.start.theta)


def test_gradient_descent_takes_the_papers_step():
    goal = objective(penalty=0.1)
    state = run(goal, "gd", max_iter=1, learning_rate=1e-3)
    gradient, _ = goal.gradient(goal.first)
    expected = goal.start.theta - 1e-3 * goal.total_weight * gradient
    assert_allclose(state.theta, expected, atol=1e-13)


def test_automatic_step_of_gradient_descent_is_one_over_the_curvature():
    weights = np.random.RandomState(0).uniform(0.3, 2, size=25)
    goal = objective(k=2, penalty=0.3, weights=weights)
    root = np.tile(np.sqrt(weights), 2)
    S = root[:, None] * joint_kernel(goal.tangent(goal.first)) * root
    state = run(goal, "gd", max_iter=1)
    largest = np.linalg.eigvalsh(S)[-1] + 0.3
    assert_allclose(state.history.step_size[1], 1 / largest, rtol=1e-6)
    first = training_solver("lbfgs").init(goal, goal.first).first_scale  # of a mean, not of a sum
    assert_allclose(first, goal.total_weight / largest, rtol=1e-6)
