"""The regressor: what fit stores, several outputs, precision, sparse input, stopping, repeatability."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import regression
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit.equilibrium import solver_names
from sk_implicit.inputs.rows import distinct_rows
from sk_implicit.models import finite_width
from sk_implicit.network import INITS, OUTPUT_INITS, network
from sk_implicit.theory import tangent_kernel
from sk_implicit.training import SOLVERS

every_solver = pytest.mark.parametrize("solver", list(SOLVERS))
few_steps = pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")


def fit(X, y, sample_weight=None, **settings):
    settings = {"width": 40, "standardize": False, "random_state": 0} | settings
    return ImplicitReLURegressor(**settings).fit(X, y, sample_weight)


def implicit_prediction(model, X):
    """The prediction from the public attributes alone, by plain Picard iteration."""

    encoded = [
        np.clip((X[:, [j]] - knots[:-1]) / np.diff(knots), 0, 1)
        for j, knots in enumerate(model.knots_)
        if len(knots)
    ]
    columns = np.hstack([X, *encoded])
    columns[:, X.shape[1] :] -= model.encoded_mean_

    def f(A, W, U, V):
        s = model.gamma_ / np.sqrt(len(A))
        inputs = columns / model.input_scale_
        if model.bias_:
            inputs = np.column_stack([inputs, np.full(len(X), model.bias_)])
        Phi = np.maximum(inputs @ W.T, 0) / np.sqrt(len(A))
        Z = np.zeros_like(Phi)
        for _ in range(300):
            Z = np.maximum(s * Z @ A.T + Phi, 0)
        return Z @ U.T + Phi @ V.T

    F = f(model.A_, model.W_, model.U_, model.V_)
    if model.output_init == "centred":
        F -= f(model.A_init_, model.W_init_, model.U_init_, model.V_init_)
    return F * model.y_scale_ + model.y_mean_


@few_steps
@every_solver
@pytest.mark.parametrize("k", [None, 2])
def test_prediction_is_that_of_the_stored_weights(solver, k):
    X, y = regression(k=k)
    model = fit(X, y, solver=solver, max_iter=5)
    expected = implicit_prediction(model, X)
    assert_allclose(model.predict(X), expected if k else expected.ravel(), rtol=1e-6, atol=1e-6)


@few_steps
@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("output_init", OUTPUT_INITS)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_every_start_learns(init, output_init, fit_intercept):
    X, y = regression(n=60, noise=0.01)
    model = fit(X, y, init=init, output_init=output_init, fit_intercept=fit_intercept, gamma=0.3, alpha=1e-3)
    assert model.score(X, y) > 0.9
    assert model.W_.shape == (40, len(model.input_scale_) + fit_intercept)
    assert hasattr(model, "A_init_") == (output_init == "centred")
    assert (model.y_mean_ == 0).all() != fit_intercept
    assert_allclose(model.predict(X), implicit_prediction(model, X).ravel(), atol=1e-6)


@few_steps
@pytest.mark.parametrize("equilibrium_solver", solver_names())
def test_every_equilibrium_solver_gives_the_same_fit(equilibrium_solver):
    X, y = regression()
    reference = fit(X, y, equilibrium_solver="picard", equilibrium_tol=1e-12, max_iter=3)
    model = fit(X, y, equilibrium_solver=equilibrium_solver, equilibrium_tol=1e-12, max_iter=3)
    assert_allclose(model.predict(X), reference.predict(X), rtol=1e-6, atol=1e-7)


@few_steps
def test_an_equilibrium_solver_from_outside_is_as_good_as_any(outside_solver):
    X, y = regression()
    settings = {"equilibrium_tol": 1e-12, "max_iter": 3}
    model = fit(X, y, equilibrium_solver=outside_solver, **settings)
    assert_allclose(model.predict(X), fit(X, y, **settings).predict(X), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("width", [20, np.inf])
def test_an_equilibrium_solver_that_nobody_registered_is_refused(width):
    X, y = regression()
    model = ImplicitReLURegressor(width=width, equilibrium_solver="unheard of")
    with pytest.raises(ValueError, match=r"a str among \{.*'auto'.*\}. Got 'unheard of' instead"):
        model.fit(X, y)


@few_steps
@every_solver
def test_fitted_attributes_are_those_of_the_docstring(solver):
    X, y = regression(k=2)
    model = fit(X, y, solver=solver, max_iter=4)
    assert (model.n_features_in_, model.n_outputs_, model.width_) == (4, 2, 40)
    n_inputs = len(model.input_scale_)
    assert n_inputs == 4 + sum(max(len(knots) - 1, 0) for knots in model.knots_) > 4
    assert (model.A_.shape, model.W_.shape) == ((40, 40), (40, n_inputs + 1))
    assert len(model.knots_) == 4 and model.encoded_mean_.shape == (n_inputs - 4,)
    assert model.U_.shape == model.V_.shape == (2, 40)
    assert model.gamma_ == 0.4
    assert len(model.loss_curve_) == model.n_iter_ <= 4
    assert all(len(values) in (0, model.n_iter_ + 1) for values in model.history_.values())
    assert model.loss_ == min(model.history_["loss"])
    assert_allclose(model.contraction_, 0.4 / np.sqrt(40) * np.linalg.norm(model.A_, 2), rtol=1e-6)
    assert 0 <= model.equilibrium_residual_ < 1e-6
    assert model.alpha_ > 0
    assert model.loo_score_ < 1
    assert not hasattr(model, "validation_scores_")
    numbers = (model.loss_, model.contraction_, model.equilibrium_residual_, model.alpha_, model.loo_score_)
    assert all(isinstance(value, float) for value in numbers)


def test_float_width_is_a_multiple_of_the_number_of_distinct_rows():
    X, y = regression(n=30)
    assert fit(X, y, width=1.5).width_ == 45
    assert fit(X, y, width=0.01).width_ == 1
    weights = np.ones(30)
    weights[:10] = 0
    assert fit(X, y, weights, width=1.5).width_ == 30
    rows = np.repeat(np.arange(30), 2)
    assert fit(X[rows], y[rows], width=1.5).width_ == 45


@pytest.mark.parametrize("width", [50.0, np.float64(50.0), np.nextafter(10, 11)])
@pytest.mark.parametrize("cls", [ImplicitReLURegressor, ImplicitReLUClassifier])
def test_a_float_that_was_meant_as_a_number_of_units_is_refused(cls, width):
    X, y = regression(n=30)
    number = round(float(width))
    with pytest.raises(
        ValueError,
        match=rf"width={float(width)} is a multiple of the number of rows.*on 30 rows.* {30 * number} units.*"
        rf"Use the int {number} for {number} units",
    ):
        cls(width).fit(X, y > 0)
    with pytest.raises(ValueError, match="is a multiple of the number of rows"):
        tangent_kernel(cls(width), X)


@few_steps
def test_ten_times_the_rows_is_the_largest_float():
    X, y = regression(n=5)
    assert fit(X, y, width=10.0, max_iter=1).width_ == 50
    assert fit(X, y, width=np.int64(11), max_iter=1).width_ == 11


@few_steps
@every_solver
def test_outputs_may_be_fitted_together(solver):
    X, y = regression(n=60, k=3, noise=0.01)
    model = fit(X, y, solver=solver, max_iter=60, alpha=1e-3)
    assert model.predict(X).shape == (60, 3)
    scores = r2_score(y, model.predict(X), multioutput="raw_values")
    assert scores.min() > {"lm": 0.9, "lbfgs": 0.9}.get(solver, 0.6)


@few_steps
def test_column_of_targets_stays_a_column():
    X, y = regression(k=1)
    column, flat = fit(X, y, max_iter=3), fit(X, y.ravel(), max_iter=3)
    assert column.predict(X).shape == (40, 1)
    assert_array_equal(column.predict(X).ravel(), flat.predict(X))


@few_steps
@every_solver
def test_single_precision_goes_through(solver):
    X, y = regression(k=2)
    single = fit(X.astype(np.float32), y.astype(np.float32), solver=solver, max_iter=5, alpha=0.1)
    double = fit(X, y, solver=solver, max_iter=5, alpha=0.1)
    for name in ("A_", "W_", "U_", "V_", "A_init_", "W_init_", "U_init_", "V_init_"):
        assert getattr(single, name).dtype == np.float32
    assert single.predict(X.astype(np.float32)).dtype == np.float32
    assert single.predict(X).dtype == np.float32  # the precision of the training
    assert single.equilibrium(X).dtype == np.float32
    assert double.predict(X.astype(np.float32)).dtype == np.float64
    assert_allclose(single.predict(X), double.predict(X), atol=0.02 * np.ptp(y))


@few_steps
@every_solver
@pytest.mark.parametrize(
    "container", [sparse.csr_array, sparse.csr_matrix, sparse.csc_array, sparse.coo_matrix]
)
def test_sparse_input_gives_the_fit_of_dense_input(solver, container):
    X, y = regression()
    X = X * (np.random.RandomState(0).uniform(size=X.shape) < 0.5)
    settings = {"solver": solver, "max_iter": 3, "alpha": 0.1}
    dense, other = fit(X, y, **settings), fit(container(X), y, **settings)
    assert_allclose(other.A_, dense.A_, atol=1e-8)
    assert_allclose(other.predict(container(X)), dense.predict(X), atol=1e-8)
    assert_allclose(other.predict(X), dense.predict(X), atol=1e-8)
    assert_allclose(other.equilibrium(container(X)), dense.equilibrium(X), atol=1e-8)


@few_steps
@every_solver
def test_equal_seeds_give_equal_bits_and_others_do_not(solver):
    X, y = regression()
    first, again, other = (fit(X, y, solver=solver, max_iter=4, random_state=seed) for seed in (7, 7, 8))
    assert_array_equal(first.predict(X), again.predict(X))
    assert_array_equal(first.A_, again.A_)
    assert np.abs(first.predict(X) - other.predict(X)).max() > 1e-6
    shared = np.random.RandomState(7)
    assert_array_equal(fit(X, y, solver=solver, max_iter=4, random_state=shared).A_, first.A_)


def test_equilibrium_solves_its_equation():
    X, y = regression()
    model = fit(X, y, relevance="linear")
    Z = model.equilibrium(X)
    inputs = np.column_stack([X / model.input_scale_, np.full(len(X), model.bias_)])
    Phi = np.maximum(inputs @ model.W_.T, 0) / np.sqrt(40)
    right = np.maximum(0.4 / np.sqrt(40) * Z @ model.A_.T + Phi, 0)
    assert np.all(np.linalg.norm(right - Z, axis=1) <= 1.01e-8 * np.linalg.norm(Z, axis=1))


@few_steps
@every_solver
def test_early_stopping_keeps_the_weights_that_score_best(solver):
    X, y = regression(n=80, noise=0.5)
    model = fit(
        X, y, solver=solver, alpha=0.0, tol=0,
        early_stopping=True, validation_fraction=0.25, n_iter_no_change=3,
    )  # fmt: skip
    assert len(model.validation_scores_) == model.n_iter_
    start = model.history_["validation_score"][0]
    assert model.best_validation_score_ == max(start, *model.validation_scores_)
    if model.n_iter_ < 50:  # stopped by the rule: no better score in the last three steps
        assert max(model.validation_scores_[-3:]) <= model.best_validation_score_
    kept = model.history_["validation_score"].index(model.best_validation_score_)
    assert model.loss_ == model.history_["loss"][kept]


def test_early_stopping_scores_rows_that_were_not_trained_on():
    """The split is the first use of the seed, so that it can be repeated here."""
    X, y = regression(n=60)
    model = fit(X, y, early_stopping=True, validation_fraction=0.2, random_state=3, alpha=0.01)
    seed = np.random.RandomState(3).randint(2**31 - 1)
    rows, targets, *_ = distinct_rows(X, y[:, None], np.ones(60))
    _, held_out = train_test_split(np.arange(60), test_size=12, random_state=seed)
    score = model.score(rows[held_out], targets[held_out])
    assert_allclose(model.best_validation_score_, score, rtol=1e-6)


@few_steps
def test_verbose_prints_a_line_for_every_step(capsys):
    X, y = regression()
    fit(X, y, max_iter=3, tol=0)
    assert capsys.readouterr().out == ""
    model = fit(X, y, max_iter=3, tol=0, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == model.n_iter_ == 3
    for number, (line, loss) in enumerate(zip(lines, model.loss_curve_, strict=True), start=1):
        assert line.startswith(f"[ImplicitReLURegressor] step {number:4d}")
        assert f"{loss:.6e}" in line
    fit(X, y, max_iter=2, tol=0, verbose=1, early_stopping=True)
    assert all("validation score" in line for line in capsys.readouterr().out.splitlines())


@every_solver
def test_steps_used_up_are_reported(solver):
    X, y = regression()
    with pytest.warns(ConvergenceWarning, match=r"stopped at max_iter=2 .* Increase max_iter, or"):
        fit(X, y, solver=solver, max_iter=2, tol=0)


def test_prediction_before_fit_is_refused():
    X, _ = regression()
    for method in ("predict", "equilibrium"):
        with pytest.raises(NotFittedError, match="not fitted"):
            getattr(ImplicitReLURegressor(), method)(X)


def test_training_learns_more_than_the_mean_of_held_out_rows():
    X, y = regression(n=300, noise=0.1)
    model = fit(X[:200], y[:200], width=150)
    assert model.score(X[200:], y[200:]) > 0.9
    assert abs(model.loo_score_ - model.score(X[200:], y[200:])) < 0.15


def test_outputs_on_different_scales_are_fitted_alike():
    X, y = regression(k=1, n=60)
    scaled = np.hstack([y, 1e6 * y + 1e7])
    model = fit(X, scaled, alpha=0.01)
    F = model.predict(X)
    assert_allclose(r2_score(scaled[:, 1], F[:, 1]), r2_score(scaled[:, 0], F[:, 0]), atol=0.1)
    assert r2_score(scaled[:, 1], F[:, 1]) > 0.9


def test_a_start_is_as_accurate_as_predictions_have_to_be():
    """Where rounding errors grow, small problems are not solved to 1e-12, and need not be."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((60, 4))
    y = X[:, 0] + np.sin(X[:, 1])
    model = ImplicitReLURegressor(
        100, gamma=1.25, alpha=0.1, relevance=None, standardize=False, random_state=1, max_iter=2
    )
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        model.fit(X, y)
    assert model.contraction_ > 1
    assert model.score(X, y) > 0.9


@few_steps
@pytest.mark.parametrize("alpha", ["loo", 0.1])
@pytest.mark.parametrize("warm_start", [False, True])
def test_the_leave_one_out_error_says_when_enough_is_learnt(alpha, warm_start, monkeypatch):
    objectives, train = [], finite_width.train_on_samples

    def recorded(objective, *args, **options):
        objectives.append(objective)
        return train(objective, *args, **options)

    monkeypatch.setattr(finite_width, "train_on_samples", recorded)
    X, y = regression()
    model = ImplicitReLURegressor(width=40, alpha=alpha, max_iter=1, warm_start=warm_start, random_state=0)
    model.fit(X, y).fit(X, y)
    expected = 0.01 * (1 - model.loo_score_) * 0.5 if alpha == "loo" else 0.0
    assert [goal.unit(0.0) for goal in objectives] == pytest.approx([expected] * 2)
    assert objectives[0].unit(0.3) == 0.3


@few_steps
def test_a_start_in_double_precision_begins_where_that_in_single_ended(monkeypatch):
    """The penalty is measured in float32 first; where it is too small for that, the start is solved again."""
    solves = []
    solve = network.solve

    def recorded(*args, **options):
        solves.append((args[1].dtype, options["Z0"], solve(*args, **options)))
        return solves[-1][2]

    monkeypatch.setattr(network, "solve", recorded)
    rng = np.random.RandomState(0)
    X = rng.standard_normal((60, 5))
    ImplicitReLURegressor(width=400, relevance=None, max_iter=1, random_state=0).fit(X, X[:, 0])
    (single, nothing, first), (double, start, second) = solves[:2]
    assert single == np.float32 and nothing is None and double == np.float64
    assert start is first.solution
    assert second.n_products < 0.8 * first.n_products and second.residual.max() < 1e-8
