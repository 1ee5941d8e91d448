"""Attributes that a fit does not set say why, and nothing else changes for it."""

import copy
import pickle

import numpy as np
import pytest
from problems import regression
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor

X, y = regression()
LIMIT, FINITE = {"width": np.inf}, {"width": 20, "max_iter": 3, "random_state": 0}
OF_WEIGHTS = ("A_", "W_", "U_", "V_", "A_init_", "history_", "contraction_", "equilibrium_residual_")
both = pytest.mark.parametrize("cls", [ImplicitReLURegressor, ImplicitReLUClassifier])
pytestmark = pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")


def fit(cls, **settings):
    return cls(**settings).fit(X, y if cls is ImplicitReLURegressor else y > 0)


@pytest.mark.parametrize(
    ("settings", "names", "why"),
    [
        (LIMIT, (*OF_WEIGHTS, "validation_scores_", "best_validation_score_"),
         r"width=inf, which has no weights.*\. Fit it with a finite width"),
        (FINITE, ("X_fit_", "dual_coef_"), r"finite width \(20\).*\. Fit it with width=numpy.inf"),
        (LIMIT | {"alpha": 0.1}, ("loo_score_",), "not chosen by leave-one-out. Fit it with alpha='loo'"),
        (FINITE | {"alpha": 0.1}, ("loo_score_",), "not chosen by leave-one-out. Fit it with alpha='loo'"),
        (FINITE, ("validation_scores_",), "without early stopping. Fit it with early_stopping=True"),
        (FINITE | {"output_init": "zero"}, ("U_init_",), "Fit it with output_init='centred'"),
    ],
)  # fmt: skip
@both
def test_what_a_fit_does_not_set_says_why(cls, settings, names, why):
    model = fit(cls, **settings)
    for name in names:
        assert not hasattr(model, name) and getattr(model, name, None) is None
        with pytest.raises(AttributeError, match=f"This {cls.__name__} has no {name}, for .*{why}"):
            getattr(model, name)


@pytest.mark.parametrize("settings", [LIMIT, FINITE])
def test_the_noise_is_known_with_uncertainty_only(settings):
    with pytest.raises(AttributeError, match=r"has no noise_std_, for .* Fit it with uncertainty=True"):
        _ = fit(ImplicitReLURegressor, **settings).noise_std_
    assert fit(ImplicitReLURegressor, **settings, uncertainty=True).noise_std_ > 0


@both
def test_other_names_and_estimators_that_are_not_fitted_are_as_ever(cls):
    model = cls(np.inf)
    for name in ("A_", "history_", "loo_score_", "no_such_thing"):
        with pytest.raises(AttributeError, match=f"^'{cls.__name__}' object has no attribute '{name}'$"):
            getattr(model, name)
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        check_is_fitted(model)
    fitted = fit(cls, **LIMIT)
    check_is_fitted(fitted, ["X_fit_", "dual_coef_"])
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        check_is_fitted(fitted, "A_")
    with pytest.raises(AttributeError, match="object has no attribute 'no_such_thing'"):
        _ = fitted.no_such_thing


def test_what_a_property_raises_is_not_hidden():
    with config_context(display="text"), pytest.raises(AttributeError, match="_repr_html_ is only defined"):
        _ = ImplicitReLURegressor()._repr_html_


@pytest.mark.parametrize("settings", [LIMIT, FINITE])
@both
def test_copies_pickles_and_empty_instances(cls, settings):
    model = fit(cls, **settings)
    for twin in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin.predict(X), model.predict(X))
        assert not hasattr(twin, "X_fit_" if settings is FINITE else "A_")
    assert not hasattr(clone(model), "width_")
    empty = cls.__new__(cls)
    assert not hasattr(empty, "A_") and not hasattr(empty, "width")
