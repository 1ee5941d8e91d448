"""Pipelines are taken apart in one place, and what is none is refused in words."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import regression
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit._estimator.pipelines import last_step, taken_apart
from sk_implicit.theory import convergence_certificate, network_inputs, tangent_kernel, tangent_margin

pytestmark = pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")
X, y = regression(n=15)
RAW = 4 * X - 9


def network(cls=ImplicitReLURegressor):
    return cls(20, max_iter=3, random_state=0)


@pytest.fixture(scope="module")
def fitted():
    pipeline = make_pipeline(StandardScaler(), network()).fit(RAW, y)
    return pipeline, pipeline[-1], pipeline[:-1].transform(RAW)


def test_an_estimator_is_itself(fitted):
    _, last, scaled = fitted
    assert taken_apart(last, scaled) == (last, scaled) and last_step(last) is last


def test_nested_pipelines_and_steps_that_pass_rows_through(fitted):
    _, last, scaled = fitted
    scaler = StandardScaler().fit(RAW)
    inner = Pipeline([("none", None), ("through", "passthrough"), ("network", last)])
    outer = Pipeline([("scaler", scaler), ("inner", inner)])
    found, rows = taken_apart(outer, RAW)
    assert found is last and last_step(outer) is last
    assert_array_equal(rows, scaled)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (GridSearchCV(network(), {"width": [10]}), "got GridSearchCV"),
        (TransformedTargetRegressor(network()), "got TransformedTargetRegressor"),
        (make_pipeline(StandardScaler(), Ridge()), "got a Pipeline that ends in Ridge"),
    ],
)
@pytest.mark.parametrize(
    "function", [taken_apart, network_inputs, tangent_kernel, convergence_certificate, tangent_margin]
)
def test_what_is_no_pipeline_of_ours_is_refused_in_words(function, wrong, named):
    with pytest.raises(TypeError, match=rf"{named}\. .*give \.best_estimator_"):
        function(wrong, RAW, y) if function is tangent_margin else function(wrong, RAW)


def test_the_theory_takes_pipelines(fitted):
    pipeline, last, scaled = fitted
    assert_array_equal(network_inputs(pipeline, RAW), network_inputs(last, scaled))
    frame = pd.DataFrame(RAW, columns=list("abcd"))
    of_frame = make_pipeline(StandardScaler(), network()).fit(frame, y)
    assert_array_equal(tangent_kernel(pipeline, RAW, RAW[:3]), tangent_kernel(last, scaled, scaled[:3]))
    assert_allclose(tangent_kernel(of_frame, frame), tangent_kernel(last, scaled), rtol=1e-6)
    ours, theirs = convergence_certificate(pipeline, RAW, y), convergence_certificate(last, scaled, y)
    assert ours.reproduced and ours.start == theirs.start
    classes = np.array(["low", "high"])[(y > 0).astype(int)]
    of_classes = make_pipeline(StandardScaler(), network(ImplicitReLUClassifier)).fit(RAW, classes)
    assert tangent_margin(of_classes, RAW, classes) == tangent_margin(of_classes[-1], scaled, classes) > 0


def test_steps_that_are_not_fitted_say_so():
    with pytest.raises(NotFittedError, match="StandardScaler"):
        network_inputs(make_pipeline(StandardScaler(), network()), RAW)
