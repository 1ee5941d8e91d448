"""warm_start: continuing is what not stopping would have been; what cannot be continued is refused."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import regression
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from sk_implicit import ImplicitReLURegressor
from sk_implicit._estimator.callbacks import FitWatch
from sk_implicit.models import finite_width, infinite_width, start
from sk_implicit.training import SOLVERS
from sk_implicit.training.lm import shortfall

every_solver = pytest.mark.parametrize("solver", list(SOLVERS))
pytestmark = pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")


def make(**options):
    options = {"width": 30, "random_state": 0, "tol": 0, "warm_start": True, "alpha": 0.1} | options
    return ImplicitReLURegressor(**options)


@every_solver
@pytest.mark.parametrize("early_stopping", [False, True])
def test_continued_equals_uninterrupted(solver, early_stopping):
    # the rows that are held out are drawn anew in each call, from the same seed
    options = {"early_stopping": True, "validation_fraction": 0.2} if early_stopping else {}
    X, y = regression()
    whole = make(solver=solver, max_iter=6, warm_start=False, **options).fit(X, y)
    parts = make(solver=solver, max_iter=2, **options)
    for _ in range(3):
        parts.fit(X, y)
    assert parts.n_iter_ == whole.n_iter_ == 6
    assert_allclose(parts.loss_curve_, whole.loss_curve_, rtol=1e-7)
    assert_allclose(parts.predict(X), whole.predict(X), atol=1e-6)
    assert parts.alpha_ == whole.alpha_
    if early_stopping:
        assert_allclose(parts.validation_scores_, whole.validation_scores_, atol=1e-7)


@every_solver
def test_interrupted_fit_warns_keeps_the_best_and_continues(solver, monkeypatch):
    X, y = regression()
    printed = FitWatch._print

    def interrupt(self, step, *rest):
        if step == 2:
            raise KeyboardInterrupt
        return printed(self, step, *rest)

    model = make(solver=solver, max_iter=5, verbose=1)
    with monkeypatch.context() as patch:
        patch.setattr(FitWatch, "_print", interrupt)
        with pytest.warns(ConvergenceWarning, match="fit was interrupted after 2 steps; the best parameters"):
            model.fit(X, y)
    assert model.n_iter_ == 2
    assert model.loss_ == min(model.history_["loss"])
    assert np.isfinite(model.predict(X)).all()
    model.set_params(max_iter=3).fit(X, y)
    whole = make(solver=solver, max_iter=5).fit(X, y)
    assert_allclose(model.predict(X), whole.predict(X), atol=1e-6)


def interrupted(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize("warm_start", [True, False])
def test_an_interrupt_after_training_leaves_the_network_without_standard_deviations(warm_start, monkeypatch):
    X, y = regression()
    settings = {"warm_start": warm_start, "max_iter": 3, "uncertainty": True}

    model = make(**settings)
    with monkeypatch.context() as patch:
        patch.setattr(finite_width, "tangent_posterior", interrupted)
        with pytest.warns(ConvergenceWarning, match="interrupted before it knew its standard deviations"):
            model.fit(X, y)
    whole = make(**settings).fit(X, y)
    assert_array_equal(model.predict(X), whole.predict(X))
    assert model.n_iter_ == whole.n_iter_ and not hasattr(model, "noise_std_")
    with pytest.raises(ValueError, match="fitted without it, or interrupted before"):
        model.predict(X, return_std=True)
    assert np.isfinite(model.fit(X, y).predict(X, return_std=True)[1]).all()


@pytest.mark.parametrize("uncertainty", [False, True])
def test_an_interrupt_after_the_last_step_loses_nothing(uncertainty, monkeypatch):
    X, y = regression()
    whole = make(max_iter=3).fit(X, y)
    message, asked = finite_width.message, []

    def interrupt(*args, **kwargs):
        asked.append(kwargs)
        if len(asked) == 1:
            raise KeyboardInterrupt
        return message(*args, **kwargs)

    monkeypatch.setattr(finite_width, "message", interrupt)
    said = (
        "before it knew its standard deviations"
        if uncertainty
        else "after its last step; the network is kept"
    )
    with pytest.warns(ConvergenceWarning, match=f"fit was interrupted {said}"):
        model = make(max_iter=3, uncertainty=uncertainty).fit(X, y)
    assert_array_equal(model.predict(X), whole.predict(X))
    assert model.history_ == whole.history_ and not hasattr(model, "noise_std_")


@pytest.mark.filterwarnings("ignore:warm_start=True is without effect at width=inf")
def test_an_interrupt_at_infinite_width_leaves_the_network_without_standard_deviations(monkeypatch):
    X, y = regression()
    whole = make(width=np.inf, uncertainty=True).fit(X, y)
    with monkeypatch.context() as patch:
        patch.setattr(infinite_width, "limit_posterior", interrupted)
        with pytest.warns(ConvergenceWarning, match="interrupted before it knew its standard deviations"):
            model = make(width=np.inf, uncertainty=True).fit(X, y)
    assert_array_equal(model.predict(X), whole.predict(X))
    with pytest.raises(ValueError, match="fitted without it, or interrupted before"):
        model.predict(X, return_std=True)


@pytest.mark.filterwarnings("ignore:warm_start=True is without effect at width=inf")
@pytest.mark.parametrize(
    ("width", "module", "where"),
    [
        (np.inf, infinite_width, "choose_inputs"), (np.inf, infinite_width, "solve_limit"),
        (20, start, "choose_inputs"), (20, start, "choose_penalty"), (20, finite_width, "penalised"),
    ],
)  # fmt: skip
def test_an_interrupt_before_there_is_a_network_says_so_and_leaves_the_earlier_fit(
    width, module, where, monkeypatch
):
    X, y = regression()
    settings = {"width": width, "uncertainty": True, "warm_start": False}
    model = make(**settings).fit(X, y)
    before = model.predict(X, return_std=True)
    monkeypatch.setattr(module, where, interrupted)
    with pytest.raises(KeyboardInterrupt, match="before there was a network to keep"):
        model.fit(X, -2 * y)
    fresh = make(**settings)
    with pytest.raises(KeyboardInterrupt, match="relevance=None and a number for alpha"):
        fresh.fit(X, y)
    assert_array_equal(model.predict(X, return_std=True), before)
    with pytest.raises(NotFittedError):
        fresh.predict(X)


def test_without_warm_start_every_fit_begins_anew():
    X, y = regression()
    model = make(warm_start=False, max_iter=2).fit(X, y)
    first = model.predict(X)
    assert_array_equal(model.fit(X, y).predict(X), first)
    assert model.n_iter_ == 2


def test_state_of_an_earlier_fit_is_forgotten_where_warm_start_is_turned_off():
    X, y = regression()
    model = make(max_iter=2).fit(X, y).set_params(warm_start=False).fit(X, y)
    assert model.n_iter_ == 2
    model.set_params(warm_start=True).fit(X, y)
    assert model.n_iter_ == 2


def test_clone_has_no_state():
    X, y = regression()
    model = make(max_iter=2).fit(X, y)
    assert clone(model).fit(X, y).n_iter_ == 2


def test_another_solver_goes_on_from_the_same_weights():
    X, y = regression()
    model = make(solver="gd", max_iter=5).fit(X, y)
    before = model.loss_
    for solver in ("adam", "lbfgs", "lm"):
        model.set_params(solver=solver, max_iter=2).fit(X, y)
    assert model.n_iter_ == 11
    assert model.loss_ < before
    assert len(model.loss_curve_) == 11


def test_another_solver_has_a_patience_of_its_own():
    """Steps of gradient descent that gained nothing do not count against Levenberg-Marquardt."""
    X, y = regression()
    model = make(solver="gd", learning_rate=1e-12, max_iter=5, tol=1e-4, alpha=1e-3).fit(X, y)
    assert model._training.state.n_no_change == 5
    # of which no step is large enough to count
    model.set_params(solver="lm", max_iter=1, tol=1.0).fit(X, y)
    assert model._training.state.n_no_change == 1


@pytest.mark.parametrize(
    ("warm_start", "advice"), [(True, "call fit again"), (False, "fit with warm_start=True")]
)
def test_the_way_to_go_on_is_the_one_that_works(warm_start, advice):
    X, y = regression()
    with pytest.warns(ConvergenceWarning, match=f"stopped at max_iter=1 .*, or {advice}"):
        model = make(max_iter=1, warm_start=warm_start).fit(X, y)
    model.fit(X, y)
    assert model.n_iter_ == (2 if warm_start else 1)


def test_more_rows_may_come():
    X, y = regression(n=80)
    model = make(max_iter=3).fit(X[:40], y[:40])
    scale, before = model.input_scale_, model.score(X[40:], y[40:])
    model.fit(X, y)
    assert_array_equal(model.input_scale_, scale)  # the network goes on seeing what it saw
    assert model.score(X[40:], y[40:]) > before


@every_solver
def test_other_targets_are_learnt(solver):
    """The weights that were best for the first targets are not kept for their score on those."""
    X, y = regression()
    model = make(solver=solver, max_iter=30, alpha=1e-3).fit(X, y)
    first = model.n_iter_
    model.fit(X, -y)
    assert model.loss_ == min(model.loss_curve_[first:])
    assert model.score(X, -y) > 0.3 > 0 > model.score(X, y)
    assert shortfall(model._training.state) == 0  # the first targets' linearisation promises nothing of these


def test_early_stopping_may_be_turned_off_and_on():
    X, y = regression(n=60)
    model = make(max_iter=2, alpha=1e-3, early_stopping=True).fit(X, y)
    first = model.loss_
    model.set_params(early_stopping=False, max_iter=8).fit(X, y)
    assert model.loss_ == min(model.loss_curve_) < 0.5 * first
    assert not hasattr(model, "validation_scores_")
    assert not hasattr(model, "best_validation_score_")
    model.set_params(early_stopping=True, max_iter=2).fit(X, y)
    scores = model.validation_scores_
    assert len(scores) == model.n_iter_ == len(model.loss_curve_)
    n_before = np.flatnonzero(np.isnan(scores))
    assert_array_equal(n_before, np.arange(2, 9))  # eight steps were not scored but for the last of them
    assert model.best_validation_score_ == np.max(scores[9:])


@pytest.mark.parametrize("output_init", ["zero", "gaussian"])
def test_another_output_init_leaves_nothing_of_the_first(output_init):
    X, y = regression()
    model = make(max_iter=3, warm_start=False).fit(X, y).set_params(output_init=output_init).fit(X, y)
    assert_array_equal(model.predict(X), clone(model).fit(X, y).predict(X))
    assert not hasattr(model, "A_init_")


def test_converged_fit_takes_at_most_one_more_step():
    X, y = regression()
    model = make(tol=1e-4, max_iter=50, alpha=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y)
        steps = model.n_iter_
        model.fit(X, y)
    assert model.n_iter_ <= steps + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 31}, "width was 30 and is now 31"),
        ({"width": 2.0}, "width was 30 and is now 2.0"),
        ({"gamma": 0.3}, "gamma was 0.4 and is now 0.3"),
        ({"depth": 3}, "depth was inf and is now 3"),
        ({"fit_intercept": False}, "fit_intercept was True and is now False"),
        ({"output_init": "zero"}, "output_init was centred and is now zero"),
        ({"init": "bernoulli"}, "init was gaussian and is now bernoulli"),
        ({"relevance": None}, "relevance was auto and is now None"),
        ({"alpha": 0.2}, "alpha was 0.1 and is now 0.2"),
    ],
)
def test_changed_parameters_are_refused_in_words(change, message):
    X, y = regression()
    model = make(max_iter=1).fit(X, y).set_params(**change)
    with pytest.raises(ValueError, match=f"warm_start=True cannot continue.*{message}.*warm_start=False"):
        model.fit(X, y)


def test_changed_data_are_refused_in_words():
    X, y = regression(k=2)
    for other, target, message in (
        (X[:, :3], y, "the number of inputs was 4 and is now 3"),
        (X, y[:, 0], "the number of outputs was 2 and is now 1"),
        (X.astype(np.float32), y, "the dtype of X was float64 and is now float32"),
    ):
        model = make(max_iter=1).fit(X, y)
        with pytest.raises(ValueError, match=message):
            model.fit(other, target)


@pytest.mark.parametrize(("solver", "rate"), [("gd", 50.0), ("adam", 5.0)])
def test_the_remedy_of_divergence_helps(solver, rate):
    """From the best weights on, with the new learning rate and nothing remembered of the old one."""
    X, y = regression()
    model = make(solver=solver, max_iter=60, alpha=1e-3, learning_rate=rate)
    with pytest.warns(ConvergenceWarning, match="diverged .* use learning_rate='auto' or a smaller number"):
        model.fit(X, y)
    model.set_params(learning_rate=1e-12, max_iter=1, tol=1.0).fit(X, y)
    assert model._training.state.n_no_change == 1  # the steps that led away do not count
    model.set_params(learning_rate="auto", max_iter=60, tol=0).fit(X, y)
    assert model.score(X, y) > 0.5


def test_the_learning_rate_may_change():
    X, y = regression()
    model = make(solver="gd", max_iter=2).fit(X, y)
    model.set_params(learning_rate=1e-3).fit(X, y)
    assert model.history_["step_size"][3:] == [1e-3, 1e-3]
    model.set_params(learning_rate="auto").fit(X, y)
    assert model.history_["step_size"][-1] > 1e-3


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)], ids=["None", "instance"])
def test_rows_that_are_held_out_stay_so(random_state):
    """Of noise, rows that were trained on once would be told from others."""
    rng = np.random.RandomState(1)
    X, y = rng.standard_normal((100, 5)), rng.standard_normal(100)
    model = make(
        width=200, early_stopping=True, validation_fraction=0.3, max_iter=2, alpha=1e-6, relevance=None,
        n_iter_no_change=100, random_state=random_state,
    )  # fmt: skip
    for _ in range(4):
        model.fit(X, y)
    assert model.loss_curve_[-1] < 0.1  # what was trained on is learnt by heart
    assert max(model.validation_scores_) < 0.2
