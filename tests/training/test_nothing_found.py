"""A fit that learns nothing says so, once; fits that learn little do not."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit.function_space.penalty import Penalty
from sk_implicit.training import History, TrainingState, TrainingStatus, message, nothing_found

every_width = pytest.mark.parametrize("width", [30, np.inf])
both = pytest.mark.parametrize("cls", [ImplicitReLURegressor, ImplicitReLUClassifier])
NOTHING = "Nothing was found in the features that foretells the targets"


def noise(n=40, d=5, seed=0):
    rng = np.random.RandomState(seed)
    return rng.standard_normal((n, d)), rng.standard_normal(n)


def said(model, X, y):
    """Fit, and return what is said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y)
    assert {warning.category for warning in caught} <= {ConvergenceWarning}
    return [str(warning.message) for warning in caught]


def make(cls, width, **settings):
    return cls(width, random_state=0, **settings)


@every_width
@both
def test_noise_is_reported_once_with_cause_and_remedy(cls, width):
    X, y = noise()
    model = make(cls, width)
    lines = said(model, X, y if cls is ImplicitReLURegressor else y > 0)
    assert len(lines) == 1 and lines[0].startswith(NOTHING)
    assert "explains 0% of" in lines[0] and f"alpha_={model.alpha_:.3g}" in lines[0]
    assert "More rows may tell more" in lines[0] and "\n" not in lines[0]
    assert model.loo_score_ <= 0
    outputs = model.predict(X) if cls is ImplicitReLURegressor else model.predict_proba(X)[:, 1]
    assert np.std(outputs) < 0.02


@every_width
def test_a_target_that_is_too_fast_for_the_rows_is_reported(width):
    X = np.linspace(-1, 1, 60)[:, None]
    assert said(make(ImplicitReLURegressor, width, relevance=None), X, np.cos(30 * np.pi * X[:, 0]))


@pytest.mark.parametrize("solver", ["gd", "lbfgs"])
def test_other_solvers_say_the_same(solver):
    (line,) = said(make(ImplicitReLURegressor, 30, solver=solver), *noise())
    assert line.startswith(NOTHING)


def test_early_stopping_and_other_starts_say_the_same():
    for settings in ({"early_stopping": True}, {"output_init": "zero"}):
        (line,) = said(make(ImplicitReLURegressor, 30, **settings), *noise())
        assert line.startswith(NOTHING)


@every_width
@both
@pytest.mark.parametrize("seed", range(3))
def test_little_is_not_nothing(cls, width, seed):
    """A few per cent of the variance, as in many an honest table."""
    X, y = noise(n=400, seed=seed)
    y = y + 0.4 * X[:, 0]
    model = make(cls, width)
    assert not said(model, X, y if cls is ImplicitReLURegressor else y > 0)
    assert 0 < model.loo_score_ < 0.25


@every_width
@pytest.mark.parametrize("value", [0.0, 3.3, 0.1 * 3 + 1e10, -1e200])
def test_constant_targets_have_nothing_to_be_found(width, value):
    X, _ = noise()
    assert not said(make(ImplicitReLURegressor, width), X, np.full(len(X), value))


@every_width
def test_a_penalty_that_was_given_is_as_it_was_meant(width):
    assert not said(make(ImplicitReLURegressor, width, alpha=1e3), *noise())


def test_one_warning_is_enough():
    """A fit that was cut short says that, and not this too."""
    (line,) = said(make(ImplicitReLURegressor, 30, max_iter=1), *noise())
    assert "max_iter=1" in line


@pytest.mark.filterwarnings("ignore:lbfgs failed:sklearn.exceptions.ConvergenceWarning")
def test_a_start_that_is_no_constant_is_not_judged_by_it():
    """A perceptron that has learnt all leaves nothing to be found, and is no constant."""
    X, y = noise(n=200)
    y = X[:, 0] + 0.3 * y
    mlp = MLPRegressor(
        hidden_layer_sizes=(10,), solver="lbfgs", alpha=1.0, random_state=0, max_iter=2000
    ).fit(X, y)
    model = ImplicitReLURegressor.from_mlp(mlp).set_params(equilibrium_tol="auto")
    assert not any(line.startswith(NOTHING) for line in said(model, X, y))
    assert model.loo_score_ < 0.05  # beside its start


def penalty(score):
    return Penalty(1e3, 1.0, score)


@pytest.mark.parametrize(
    ("score", "Y", "due"),
    [
        (-1e-9, [0.0, 1.0], True),
        (0.0, [0.0, 1.0], True),
        (1e-9, [0.0, 1.0], False),
        (None, [0.0, 1.0], False),
        (-1.0, [0.3, 0.1 * 3], False),  # the same up to rounding
        (-1.0, [-1e308, 1e308], True),
    ],
)
def test_what_counts_as_nothing(score, Y, due):
    assert (nothing_found(penalty(score), np.array(Y)[:, None]) is not None) is due


def state(status, start=1.0, end=1.0):
    history = History([start, end], [start, end], [0.5, 0.5], [1.0, 1.0])
    theta = np.zeros(3)
    return TrainingState(None, history, theta, theta, 0.0, end, 0.0, 0, status)


OPTIONS = {"solver": "lm", "max_iter": 50, "tol": 1e-4, "contraction": 0.5, "warm_start": False}


@pytest.mark.parametrize("status", TrainingStatus)
def test_it_is_said_where_training_came_to_rest(status):
    text = message(state(status), penalty(-0.1), **OPTIONS, nothing="NOTHING")
    assert (text == "NOTHING") is (status.name in ("CONVERGED", "STALLED", "EARLY_STOPPED"))


def test_a_network_that_stays_a_constant_is_reported_at_low_scores():
    stuck = state(TrainingStatus.CONVERGED, end=0.9995)
    assert "came to rest" in message(stuck, penalty(0.03), **OPTIONS, linear_promise=False)
    assert message(stuck, penalty(0.003), **OPTIONS, linear_promise=False) is None
    moved = state(TrainingStatus.CONVERGED, end=0.99)
    assert message(moved, penalty(0.03), **OPTIONS, linear_promise=False) is None
