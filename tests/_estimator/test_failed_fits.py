"""A fit that fails leaves the estimator as it was: with the fit before, or without any."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from problems import regression
from sklearn.exceptions import NotFittedError

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit._estimator.callbacks import FitWatch

X, y = regression()
CLASSES = np.array(["no", "yes"])[(y > 0).astype(int)]
pytestmark = pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")


def make(cls=ImplicitReLURegressor, **options):
    return cls(**{"width": 20, "max_iter": 3, "random_state": 0} | options)


def refuse(model, X, y, match, **params):
    """Refuse to fit, and return the attributes from before and after."""
    model.set_params(**params)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=match):
        model.fit(X, y)
    return before, vars(model)


@pytest.mark.parametrize(
    ("start", "params", "rows", "target", "match"),
    [
        ({"early_stopping": True}, {"output_init": "zero", "early_stopping": False, "gamma": 5.0},
         X, y, "gamma=5 is too large"),
        ({}, {"gamma": 5.0}, X, np.c_[y, y], "gamma=5 is too large"),
        ({}, {"gamma": 5.0}, X[:, :2], y, "gamma=5 is too large"),
        ({"warm_start": True}, {}, X, np.c_[y, y], "the number of outputs was 1 and is now 2"),
        ({"uncertainty": True}, {"width": np.inf, "depth": 3}, X, y, "width=inf is the limit"),
        ({"uncertainty": True}, {"width": np.inf, "gamma": 2.0}, X, y, "gamma=2 is too large for width=inf"),
        ({"width": np.inf, "uncertainty": True}, {"width": 20, "gamma": 5.0}, X, y, "gamma=5 is too large"),
    ],
)  # fmt: skip
def test_a_regressor_keeps_the_fit_before(start, params, rows, target, match):
    model = make(**start).fit(X, y)
    predicted = model.predict(X)
    before, after = refuse(model, rows, target, match, **params)
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)
    assert_array_equal(model.predict(X), predicted)


@pytest.mark.parametrize("warm_start", [False, True])
def test_a_classifier_keeps_its_classes(warm_start):
    model = make(ImplicitReLUClassifier, warm_start=warm_start).fit(X, CLASSES)
    predicted = model.predict(X)
    with pytest.raises(ValueError, match=r"too large|cannot continue"):
        model.set_params(gamma=5.0).fit(X, np.arange(len(X)) % 4)
    assert_array_equal(model.classes_, ["no", "yes"])
    assert_array_equal(model.predict(X), predicted)
    assert model.predict_proba(X).shape == (len(X), 2)


def test_an_error_while_a_fit_continues_leaves_no_trace(monkeypatch):
    model = make(verbose=1, warm_start=True, max_iter=2).fit(X, y)
    state = pickle.dumps(model)
    printed = FitWatch._print

    def fail(self, step, *rest):
        if step == 4:
            raise RuntimeError("the disk is full")
        printed(self, step, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(FitWatch, "_print", fail)
        with pytest.raises(RuntimeError, match="the disk is full"):
            model.set_params(max_iter=5, solver="gd").fit(X, y)
    model.set_params(max_iter=2, solver="lm")
    assert pickle.dumps(model) == state
    assert model.fit(X, y).n_iter_ == 4


def test_an_error_in_the_midst_of_training_keeps_the_fit_before(monkeypatch):
    model = make(verbose=1).fit(X, y)
    predicted = model.predict(X)

    def fail(self, *rest):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(FitWatch, "_print", fail)
    with pytest.raises(RuntimeError, match="the disk is full"):
        model.fit(X[:20], np.c_[y, y][:20])
    assert_array_equal(model.predict(X), predicted)


@pytest.mark.parametrize("cls", [ImplicitReLURegressor, ImplicitReLUClassifier])
def test_a_first_fit_that_fails_leaves_an_unfitted_estimator(cls):
    model = make(cls, gamma=5.0)
    before, after = refuse(model, X, CLASSES if cls is ImplicitReLUClassifier else y, "too large")
    assert after == before
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_a_classifier_of_infinite_width_continues_nothing():
    """Its loss may change, with warm_start too."""
    model = make(ImplicitReLUClassifier, warm_start=True).fit(X, CLASSES)
    with pytest.warns(UserWarning, match="warm_start=True is without effect"):
        model.set_params(width=np.inf, loss="squared_error").fit(X, CLASSES)
    assert model.score(X, CLASSES) > 0.8


def test_a_record_of_other_fields_is_refused_in_words():
    model = make(warm_start=True).fit(X, y)
    state = model.__getstate__()
    state["_training"]["unheard_of"] = 1
    with pytest.raises(
        ValueError, match=r"a 'fit' that this version of sk_implicit cannot read .*unheard_of"
    ):
        ImplicitReLURegressor().__setstate__(state)
