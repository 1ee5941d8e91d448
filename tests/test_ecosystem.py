"""What scikit-learn offers around an estimator: routing, outputs with names, documentation, processes."""

import inspect
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from problems import regression
from sklearn.compose import make_column_transformer
from sklearn.inspection import partial_dependence
from sklearn.model_selection import GridSearchCV, PredefinedSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

import sk_implicit
from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning"),
    # halves of 20 rows may hold nothing to learn
    pytest.mark.filterwarnings("ignore:Nothing was found:sklearn.exceptions.ConvergenceWarning"),
]

X, y = regression()
ESTIMATORS = [ImplicitReLURegressor, ImplicitReLUClassifier]


def small(cls=ImplicitReLURegressor, **options):
    return cls(**{"width": 15, "max_iter": 4, "random_state": 0} | options)


def targets(cls):
    return y if cls is ImplicitReLURegressor else np.where(y > 0, "high", "low")


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_weights_are_routed_through_pipeline_and_search(cls, routing):
    """Rows of weight 0 in fit and in score are as if they were not there."""
    model = small(cls).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    weights = np.tile([1.0, 0.0], 20)
    folds = np.arange(40) // 2 % 2
    options = {"cv": PredefinedSplit(folds), "params": {"sample_weight": weights}}
    scores = cross_val_score(model, X, targets(cls), **options)
    kept = weights > 0
    expected = cross_val_score(small(cls), X[kept], targets(cls)[kept], cv=PredefinedSplit(folds[kept]))
    assert_allclose(scores, expected, rtol=1e-10)
    alone = small(cls, gamma=0.2).fit(X, targets(cls), weights)
    search = GridSearchCV(model, {"gamma": [0.2]}, cv=2).fit(X, targets(cls), sample_weight=weights)
    assert_array_equal(search.predict(X), alone.predict(X))
    pipe = make_pipeline(FunctionTransformer(), model.set_params(gamma=0.2))
    assert_array_equal(pipe.fit(X, targets(cls), sample_weight=weights).predict(X), alone.predict(X))


def test_standard_deviations_are_routed(routing):
    model = small(uncertainty=True).set_predict_request(return_std=True)
    pipe = make_pipeline(StandardScaler(), model).fit(X, y)
    mean, std = pipe.predict(X, return_std=True)
    assert mean.shape == std.shape == y.shape


def test_unrequested_weights_are_refused(routing):
    with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="sample_weight"):
        cross_val_score(small(), X, y, params={"sample_weight": np.ones(40)})


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output_hands_names_to_the_network(library):
    frame = pd.DataFrame(X, columns=list("abcd"))
    pipe = make_pipeline(StandardScaler(), small()).set_output(transform=library)
    assert pipe.fit(frame, y)[-1].feature_names_in_.tolist() == list("abcd")
    expected = make_pipeline(StandardScaler(), small()).fit(X, y).predict(X)
    assert_allclose(pipe.predict(frame), expected, atol=1e-7)  # the frame lies in memory by columns


def test_pandas_categories_and_missing_levels():
    frame = pd.DataFrame({"a": X[:, 0], "kind": pd.Categorical(np.where(X[:, 1] > 0, "p", "q"))})
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["kind"]), (StandardScaler(), ["a"])
    )
    pipe = make_pipeline(columns, small(ImplicitReLUClassifier)).fit(frame, targets(ImplicitReLUClassifier))
    unknown = frame.assign(kind="r")
    assert set(pipe.predict(unknown)) <= {"high", "low"}


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_partial_dependence_of_both_kinds(cls):
    model = small(cls).fit(X, targets(cls))
    curve = partial_dependence(model, X, [0], grid_resolution=7, kind="both")
    assert curve["individual"].shape == (1, 40, 7)
    assert np.isfinite(curve["average"]).all()


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_notebooks_link_to_the_estimators_page(cls):
    html = small(cls)._repr_html_()
    assert f"https://sk-implicit.readthedocs.io/en/stable/generated/sk_implicit.{cls.__name__}.html" in html


def test_module_paths_of_public_classes():
    """Pickles and skops files name them: they stay."""
    modules = ["", ".theory", ".display", ".equilibrium", ".limit"]
    found = set()
    for name in modules:
        module = __import__(f"sk_implicit{name}", fromlist=["_"])
        for public in getattr(module, "__all__", []):
            if inspect.isclass(thing := getattr(module, public)):
                found.add(f"{module.__name__}.{thing.__name__}")
    assert found >= {
        "sk_implicit.ImplicitReLUClassifier",
        "sk_implicit.ImplicitReLUKernel",
        "sk_implicit.ImplicitReLURegressor",
        "sk_implicit.display.ConvergenceDisplay",
        "sk_implicit.display.SpectrumDisplay",
        "sk_implicit.display.WidthDisplay",
        "sk_implicit.equilibrium.EquilibriumOperator",
        "sk_implicit.equilibrium.EquilibriumResult",
        "sk_implicit.theory.ConvergenceCertificate",
        "sk_implicit.theory.WellPosedness",
        "sk_implicit.theory.WidthAdvice",
    }
    for path in sk_implicit.SKOPS_TRUSTED_TYPES:
        module, _, name = path.rpartition(".")
        thing = getattr(__import__(module, fromlist=["_"]), name)
        assert f"{thing.__module__}.{thing.__qualname__}" == path


THREADS = """
import os, sys
import numpy as np
from joblib import cpu_count
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_info
from sk_implicit import ImplicitReLURegressor

def threads(estimator, X, y):
    return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")

X = np.random.RandomState(0).standard_normal((40, 3))
model = ImplicitReLURegressor(width=20, random_state=0)
search = GridSearchCV(model, {"gamma": [0.2, 0.4]}, cv=2, n_jobs=2, scoring=threads, refit=False)
print(cpu_count(), *search.fit(X, X[:, 0]).cv_results_["mean_test_score"])
"""


def test_searches_in_processes_do_not_oversubscribe_the_cores():
    """With no limit in the environment, processes times BLAS threads stay within the cores."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    command = [sys.executable, "-c", THREADS]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    cores, *threads = map(float, output.split())
    assert 2 * max(threads) <= max(cores, 2)
