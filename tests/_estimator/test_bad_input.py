"""Input that is wrong, extreme or degenerate: a result that makes sense, or an error in words."""

import re
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import regression
from scipy import sparse
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit.function_space.penalty import Penalty
from sk_implicit.inputs.scaling import brought_near, taken_back
from sk_implicit.training import SOLVERS, History, TrainingState, TrainingStatus, message
from sk_implicit.training.lm import LMState

every_solver = pytest.mark.parametrize("solver", list(SOLVERS))
unfinished = pytest.mark.filterwarnings(
    "ignore:Training with solver.*max_iter:sklearn.exceptions.ConvergenceWarning"
)


def fit(X, y, sample_weight=None, **settings):
    settings = {"width": 30, "random_state": 0} | settings
    return ImplicitReLURegressor(**settings).fit(X, y, sample_weight)


def r2(y, prediction):
    """R² that does not overflow for targets of 1e200."""
    size = np.abs(y).max()
    y, prediction = y / size, prediction / size
    return 1 - np.sum((y - prediction) ** 2) / np.sum((y - y.mean()) ** 2)


# --- data that have no meaning ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("y", np.nan),
        *((where, v) for where in ("X", "y", "sparse X", "prediction") for v in (np.inf, -np.inf)),
    ],
)
def test_entries_that_are_not_finite_are_refused(value, where):
    X, y = (a.copy() for a in regression())
    model = fit(X, y)
    (y if where == "y" else X)[3] = value
    if where == "sparse X":
        X = sparse.csr_array(X)
    with pytest.raises(ValueError, match=rf"Input {'y' if where == 'y' else 'X'} contains (NaN|infinity)"):
        model.predict(X) if where == "prediction" else fit(X, y)


def test_shapes_that_do_not_fit_are_refused():
    X, y = regression()
    model = fit(X, y)
    with pytest.raises(ValueError, match="X has 3 features, but ImplicitReLURegressor is expecting 4"):
        model.predict(X[:, :3])
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array instead"):
        fit(X[:, 0], y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fit(X, y[:-1])
    with pytest.raises(ValueError, match="0 sample"):
        fit(X[:0], y[:0])
    with pytest.raises(TypeError, match="Column 0 of X holds levels where numbers were expected"):
        fit(np.full((len(y), 1), "a"), y, categorical_features=None)


# --- data with little to learn from -------------------------------------------------------------------


@every_solver
@pytest.mark.parametrize("value", [0.0, 3.3, -1e200, 1e-200])
@unfinished
@pytest.mark.parametrize("max_iter", [3, 50])
def test_constant_target_is_predicted(solver, value, max_iter):
    X, y = regression()
    model = fit(X, np.full_like(y, value), solver=solver, max_iter=max_iter)
    assert_allclose(model.predict(X + 1), value, rtol=1e-12)
    assert np.isfinite(model.loss_)


@unfinished
@every_solver
def test_one_constant_target_among_others(solver):
    X, y = regression()
    model = fit(
        X, np.column_stack([y, np.full_like(y, 7.0)]), solver=solver, max_iter=10, tol=1e-2, alpha=0.1
    )
    F = model.predict(X)
    assert_allclose(F[:, 1], 7.0, atol=0.3)
    assert r2(y, F[:, 0]) > 0.3


@every_solver
@pytest.mark.parametrize("alpha", ["loo", 0.0])
def test_one_sample_is_remembered(solver, alpha):
    X, y = regression()
    model = fit(X[:1], y[:1], solver=solver, alpha=alpha)
    assert_allclose(model.predict(X[:1]), y[:1])
    assert np.isfinite(model.predict(X)).all()


def wide():
    """Return 15 rows of 400 features, of which the target is one."""
    X = np.random.RandomState(0).standard_normal((15, 400))
    return X, X[:, 0]


@unfinished
@every_solver
@pytest.mark.parametrize("alpha", ["loo", 0.01])
def test_more_features_than_samples(solver, alpha):
    X, y = wide()
    # of so many columns, a step of 0.01 in every weight is a long one
    rate = 2e-3 if solver == "adam" else "auto"
    model = fit(X, y, solver=solver, alpha=alpha, max_iter=20, learning_rate=rate)
    assert np.abs(model.predict(X)).max() < 2 * np.abs(y).max()
    assert r2(y, model.predict(X)) > (0.5 if alpha == 0.01 else -0.1)


@unfinished
@every_solver
def test_repeated_rows_with_different_targets_are_averaged(solver):
    X, y = regression(n=5)
    noise = np.random.RandomState(0).standard_normal((5, 8))
    noise -= noise.mean(axis=1, keepdims=True)
    rows, targets = np.repeat(X, 8, axis=0), (10 * y[:, None] + noise).ravel()
    model = fit(rows, targets, solver=solver, alpha=1e-4, max_iter=80)
    tolerance = {"lm": 0.1, "lbfgs": 0.2}.get(solver, 2.0)
    assert_allclose(model.predict(X), 10 * y, atol=tolerance)


@every_solver
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_features_that_are_all_zero(solver, fit_intercept):
    X, y = regression()
    with pytest.warns(ConvergenceWarning, match="Nothing was found in the features"):
        model = fit(0 * X, y, solver=solver, fit_intercept=fit_intercept)
    assert_allclose(model.predict(X[:3] * 0), y.mean() if fit_intercept else 0.0, atol=1e-3)


# --- scales -------------------------------------------------------------------------------------------


@unfinished
@every_solver
def test_features_on_scales_from_1e_minus_9_to_1e9(solver):
    """The large feature is what the network sees unless they are standardised; nothing overflows."""
    X, y = regression()
    scales = np.array([1e-9, 1e-3, 1e3, 1e9])
    model = fit(X * scales, y, solver=solver)
    assert np.abs(model.predict(X * scales)).max() < 3 * np.abs(y).max()
    large = fit(X * scales, X[:, 3], solver=solver, max_iter=20)
    assert r2(X[:, 3], large.predict(X * scales)) > 0.8


@unfinished
@every_solver
@pytest.mark.parametrize("size", [1e-150, 1e-9, 1e9, 1e150])
def test_common_scale_of_the_features_does_not_matter_without_a_bias(solver, size):
    X, y = regression()
    settings = {"solver": solver, "max_iter": 3, "fit_intercept": False, "alpha": 0.1}
    plain, scaled = fit(X, y, **settings), fit(size * X, y, **settings)
    assert_allclose(scaled.predict(size * X), plain.predict(X), rtol=1e-3, atol=1e-3)


@every_solver
@pytest.mark.parametrize("size", [1e-300, 1e-150, 1e150])
def test_features_out_of_all_proportion_to_the_bias(solver, size):
    X, y = regression()
    model = fit(size * X, y, solver=solver, alpha=0.1, max_iter=200, tol=1e-2)
    assert np.abs(model.predict(size * X)).max() < 3 * np.abs(y).max()


@unfinished
@every_solver
@pytest.mark.parametrize("size", [1e-290, 1e-9, 1e12, 1e290])
def test_scale_of_the_target_does_not_matter(solver, size):
    X, y = regression()
    settings = {"solver": solver, "max_iter": 3, "alpha": 0.1}
    plain, scaled = fit(X, y, **settings), fit(X, size * y, **settings)
    assert_allclose(scaled.predict(X) / size, plain.predict(X), rtol=1e-6, atol=1e-6)
    assert_allclose(scaled.loss_, plain.loss_, rtol=1e-6)


@unfinished
def test_target_far_from_zero():
    X, y = regression()
    settings = {"max_iter": 3, "alpha": 0.1}
    plain, shifted = fit(X, y, **settings), fit(X, y + 1e9, **settings)
    assert_allclose(shifted.predict(X) - 1e9, plain.predict(X), atol=1e-4)


@pytest.mark.parametrize("size", [1e60, 1e-60])
def test_targets_beyond_single_precision_are_refused_in_words(size):
    X, y = regression()
    with pytest.raises(ValueError, match=r"y reaches .* but float32, the precision of X .* rescale y"):
        fit(X.astype(np.float32), size * y)


@unfinished
@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_single_precision_takes_its_whole_range(size):
    X, y = regression()
    settings = {"max_iter": 3, "alpha": 0.1, "fit_intercept": False}
    plain = fit(X.astype(np.float32), y, **settings)
    scaled = fit((size * X).astype(np.float32), y, **settings)
    assert_allclose(scaled.predict((size * X).astype(np.float32)), plain.predict(X), rtol=0.01, atol=0.02)


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("width", [30, np.inf])
def test_rows_beyond_the_precision_of_the_fit_are_refused_in_words(width, convert):
    X, y = regression()
    model = fit(X.astype(np.float32), y, width=width, max_iter=2, tol=10.0, relevance=None)
    X = np.array(X)
    X[3, 0] = -1e100
    with pytest.raises(ValueError, match=r"X reaches 1e\+100, but float32, the precision that .* Rescale X"):
        model.predict(convert(X))


@pytest.mark.parametrize("width", [30, np.inf])
def test_rows_beyond_the_range_of_numbers_are_refused_in_words(width):
    X, y = regression()
    model = fit(
        1e-9 * X, y, width=width, fit_intercept=False, max_iter=2, tol=10.0, relevance=None, clip=False
    )
    with pytest.raises(ValueError, match=r"are NaN or, divided by input_scale_, beyond the range of float64"):
        model.predict(1e301 * X)


@pytest.mark.parametrize("relevance", [None, "auto"])
@pytest.mark.parametrize("settings", [{}, {"depth": 3}, {"width": np.inf}], ids=str)
@pytest.mark.parametrize(("dtype", "sizes"), [(np.float64, [1e160, 1e306]), (np.float32, [1e18, 1e25, 1e36])])
def test_far_rows_lie_on_straight_lines(settings, relevance, dtype, sizes):
    """A network is linear along rays, but for its bias; so is its standard deviation, but for the noise."""
    X, y = regression()
    X = X.astype(dtype)
    model = fit(X, y, uncertainty=True, relevance=relevance, clip=False, max_iter=2, tol=10.0, **settings)
    expected = [part / 1e8 for part in model.predict(dtype(1e8) * X, return_std=True)]
    for size in sizes:
        for part, far in zip(expected, model.predict(dtype(size) * X, return_std=True), strict=True):
            assert far.dtype == dtype
            assert_allclose(far / dtype(size), part, rtol=1e-3, atol=1e-4 * np.abs(part).max())


def test_far_rows_leave_the_others_as_they_are():
    X, y = regression()
    model = fit(X, y, uncertainty=True, clip=False)
    expected, Z = model.predict(X, return_std=True), model.equilibrium(X)
    mixed = np.vstack([X, 1e200 * X[:2]])
    for part, found in zip(expected, model.predict(mixed, return_std=True), strict=True):
        assert_allclose(found[:-2], part, rtol=1e-6)
        assert np.isfinite(found).all() and (np.abs(found[-2:]) > 1e190).all()
    assert_allclose(model.equilibrium(mixed)[:-2], Z, rtol=1e-6, atol=1e-9)
    near, exponents = brought_near(mixed)
    assert not exponents[:-2].any() and np.abs(near[-2:]).max() <= 1
    assert_allclose(taken_back(near, exponents), mixed, rtol=0)
    from_sparse, same = brought_near(sparse.csr_array(mixed))
    assert_allclose(from_sparse.toarray(), near, rtol=0)
    assert_allclose(same, exponents, rtol=0)
    assert brought_near(X)[0] is X


@unfinished
@pytest.mark.parametrize("width", [30, np.inf])
@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(("dtype", "size"), [(np.float64, 1e307), (np.float32, 1e38)])
def test_far_rows_have_probabilities(width, loss, n_classes, dtype, size):
    X, y = regression()
    X, codes = X.astype(dtype), np.digitize(y, np.quantile(y, np.linspace(0, 1, n_classes + 1)[1:-1]))
    model = ImplicitReLUClassifier(width, loss=loss, alpha=1e-3, max_iter=3, random_state=0).fit(X, codes)
    far = np.clip(X, -10, 10) * dtype(size)
    P = model.predict_proba(far)
    assert_allclose(P.sum(axis=1), 1, rtol=1e-6)
    assert np.isfinite(model.decision_function(far)).all() and np.isfinite(model.predict_log_proba(far)).all()


# --- settings that ask for too much ---------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [3.0, 100.0])
def test_gamma_too_large_names_cause_and_remedy(gamma):
    X, y = regression()
    with pytest.raises(ValueError) as caught:
        fit(X, y, gamma=gamma, width=100)
    message = str(caught.value)
    assert message.startswith(
        f"gamma={gamma:g} is too large: the equilibrium of the random start was not found"
    )
    assert "of 40 rows" in message
    assert message.endswith("Use a smaller gamma.")


def test_an_equilibrium_that_a_solver_has_no_time_for_is_no_fault_of_gamma():
    """One unit that turns itself on contracts by 0.99, for which Picard needs some 2,300 iterations."""
    X, y = regression()
    settings = {"gamma": 0.99, "width": 1, "init": "bernoulli", "max_iter": 1}
    with pytest.raises(ValueError) as caught:
        fit(X, y, equilibrium_solver="picard", **settings)
    message = str(caught.value)
    assert re.match(r"The equilibrium of the random start was not reached for \d+ of 40 rows", message)
    assert "in the 500 iterations that equilibrium_solver='picard' has at most" in message
    assert "too large" not in message and "‖sA‖₂ = 0.9900 is below 1" in message
    for solver in ("auto", "newton_krylov"):  # as it says
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            assert fit(X, y, equilibrium_solver=solver, **settings).contraction_ < 1


def test_beyond_the_largest_gamma_narrow_networks_may_have_equilibria():
    """So the message speaks of wide ones."""
    X, y = regression()
    found = set()
    for seed in range(8):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                ImplicitReLURegressor(width=5, gamma=1.45, max_iter=1, random_state=seed).fit(X, y)
            found.add(True)
        except ValueError as error:
            assert "a wide network has no stable one" in str(error)
            found.add(False)
    assert found == {True, False}


def test_a_fit_to_which_leave_one_out_finds_nothing_is_told_what_helps():
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((18, 3)), rng.standard_normal(18)
    with pytest.warns(ConvergenceWarning, match=r"Nothing was found") as caught:
        model = ImplicitReLURegressor(width=50, early_stopping=True, random_state=0).fit(X, y)
    message = str(caught[0].message)
    assert model.alpha_ > 100 and model.loo_score_ < 0.01
    assert "explains 0% of the loss" in message and "More rows may tell more (early_stopping=True" in message
    assert "andardise" not in message and "larger alpha" not in message


@pytest.mark.parametrize("solver", ["gd", "adam"])
@pytest.mark.parametrize("learning_rate", [1e4, 1e300])
def test_learning_rate_too_large_warns_and_keeps_the_best(solver, learning_rate):
    X, y = regression()
    with pytest.warns(ConvergenceWarning, match=r"diverged after .* rate is too large: use learning_rate="):
        model = fit(X, y, solver=solver, learning_rate=learning_rate)
    assert np.isfinite(model.predict(X)).all()
    assert model.loss_ <= 0.5 + 1e-9


@pytest.mark.parametrize("rate", ["auto", 0.01])
def test_an_automatic_learning_rate_is_not_said_to_be_the_remedy_of_itself(rate):
    with pytest.warns(ConvergenceWarning, match=r"use a smaller learning_rate \('auto' is 0\.01\)"):
        fit(*wide(), solver="adam", max_iter=20, learning_rate=rate)


@pytest.mark.parametrize("width", [10**7, 10**200])
def test_width_that_does_not_fit_in_memory_is_refused_before_anything_is_drawn(width):
    X, y = regression()
    with pytest.raises(MemoryError, match=r"width=.* takes at least .* GiB .* Use a smaller width"):
        fit(X, y, width=width)


def test_early_stopping_with_too_few_rows_names_the_numbers():
    X, y = regression()
    with pytest.raises(ValueError, match=r"of the 5 samples, which leaves 4 to train and 1 to validate"):
        fit(X[:5], y[:5], early_stopping=True)
    settings = {"validation_fraction": 0.4, "max_iter": 50, "tol": 0.1, "alpha": 0.1}
    assert fit(X[:5], y[:5], early_stopping=True, **settings).n_iter_ > 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", 0),
        ("width", -1.5),
        ("width", "wide"),
        ("gamma", 0.0),
        ("gamma", -0.4),
        ("alpha", -1.0),
        ("alpha", "cv"),
        ("solver", "sgd"),
        ("init", "uniform"),
        ("output_init", "centered"),
        ("equilibrium_solver", "magic"),
        ("equilibrium_tol", 0.0),
        ("max_iter", 0),
        ("tol", -1e-3),
        ("learning_rate", 0.0),
        ("batch_size", 0),
        ("validation_fraction", 1.0),
        ("n_iter_no_change", 0),
    ],
)
def test_settings_out_of_range_are_named_with_what_they_may_be(name, value):
    X, y = regression()
    with pytest.raises(ValueError, match=f"The '{name}' parameter of ImplicitReLURegressor must be .* Got "):
        fit(X, y, **{name: value})


# --- words ----------------------------------------------------------------------------------------------


def words(status, *, tol=1e-4, promised=np.nan, left_out=None, end=0.4, linear_promise=True):
    """What is said of a fit from a loss of .5 (nothing explained) to ``end``."""
    history = History([0.5, end], [1.0, 2 * end], [0.8, 0.8], [np.nan, 1.0])
    theta = np.zeros(1)
    state = TrainingState(LMState(1.0, promised), history, theta, theta, -end, end, 0.0, 2, status)
    penalty = Penalty(0.1, 0.1, left_out)
    return message(
        state,
        penalty,
        solver="lm",
        max_iter=50,
        tol=tol,
        contraction=0.8,
        warm_start=False,
        linear_promise=linear_promise,
    )


def test_no_job_is_refused_at_once():
    X, y = regression()
    with pytest.raises(ValueError, match="n_jobs"):
        ImplicitReLURegressor(20, n_jobs=0).fit(X, y)


@pytest.mark.parametrize("status", list(TrainingStatus))
def test_messages_about_training_are_sentences_with_a_remedy(status):
    text = words(status)
    if status in (TrainingStatus.CONVERGED, TrainingStatus.EARLY_STOPPED, TrainingStatus.STOPPED):
        assert text is None
        text = words(TrainingStatus.CONVERGED, promised=0.1)
    assert text[0].isupper() or text.startswith("fit was")
    assert text.endswith(".")
    assert "  " not in text
    assert "{" not in text
    assert any(remedy in text for remedy in ("Increase", "use ", "Use ", "warm_start=True"))


@pytest.mark.parametrize(
    ("case", "left"),
    [
        ({"promised": 0.1}, "75%"),
        ({"promised": 0.31}, None),  # 47 % of what was promised
        ({"promised": 0.31, "left_out": 0.1}, None),  # of rows left out, the linearised network explains less
        ({"promised": 0.31, "left_out": 0.3}, "47%"),
        ({"promised": 0.395, "left_out": 0.3}, None),  # no promise of more
        ({"promised": 0.1, "tol": 1e-3}, None),  # an early end was asked for
        ({"promised": np.nan, "left_out": 0.3}, None),
        ({"promised": 0.5, "end": 0.4}, None),
    ],
)
def test_a_fit_that_falls_short_of_its_linearisation_is_reported(case, left):
    text = words(TrainingStatus.CONVERGED, **case)
    assert text is None if left is None else f"leaves {left} of the decrease" in text


@pytest.mark.parametrize(
    ("case", "explained"),
    [
        ({"end": 0.45, "left_out": 0.3}, "10%"),
        ({"end": 0.42, "left_out": 0.3}, None),  # more than half of it
        ({"end": 0.499, "left_out": 0.09}, None),  # next to nothing to explain
        ({"end": 0.45}, None),
        ({"end": 0.45, "left_out": 0.3, "tol": 1e-3}, None),
        ({"end": 0.45, "left_out": 0.3, "linear_promise": True}, None),  # where there would be a promise
    ],
)
def test_a_fit_of_classes_that_explains_less_than_leave_one_out_is_reported(case, explained):
    text = words(TrainingStatus.CONVERGED, **({"linear_promise": False} | case))
    assert text is None if explained is None else f"explains {explained} of the loss of the start" in text


def test_features_far_smaller_than_the_constant_are_named():
    """Differences of their kernels are lost in float32, in which a constant was fitted in silence."""
    X, y = load_diabetes(return_X_y=True)
    model = ImplicitReLURegressor(standardize=False, random_state=0)
    with pytest.warns(ConvergenceWarning, match="came to rest.*Standardise the features"):
        model.fit(1e-3 * X[:200], y[:200])
    assert model.loo_score_ > 0.3
