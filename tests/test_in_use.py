"""The regressor where it will be used: pipelines, searches, ensembles, data frames, threads."""

from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import regression
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.ensemble import BaggingRegressor, StackingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.inspection import permutation_importance
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    learning_curve,
)
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit.training import SOLVERS

pytestmark = pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")


def small(**options):
    return ImplicitReLURegressor(**({"width": 30, "max_iter": 10, "random_state": 0} | options))


def pipeline(**options):
    return make_pipeline(StandardScaler(), small(**options))


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    return X.iloc[:150], y.iloc[:150]


def test_pipeline_beats_the_mean_and_takes_weights(diabetes):
    X, y = diabetes
    model = pipeline()
    assert cross_val_score(model, X, y, cv=3).mean() > 0.2
    weights = np.ones(len(y))
    weights[:20] = 0
    model.fit(X, y, implicitreluregressor__sample_weight=weights)
    scaled = StandardScaler().fit(X).transform(X)
    expected = small().fit(scaled[20:], y[20:]).predict(scaled)
    assert_array_equal(model.predict(X), expected)


def test_grid_search_in_two_processes(diabetes):
    X, y = diabetes
    grid = {"implicitreluregressor__width": [10, 20], "implicitreluregressor__gamma": [0.1, 0.4]}
    search = GridSearchCV(pipeline(), grid, n_jobs=2, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_["implicitreluregressor__width"] in (10, 20)
    assert search.predict(X).shape == y.shape


def test_randomized_search_over_width_gamma_alpha_and_solver(diabetes):
    X, y = diabetes
    space = {
        "width": [10, 0.2, 25],
        "gamma": loguniform(0.05, 0.45),
        "alpha": [*loguniform(1e-4, 1).rvs(5, random_state=0), "loo"],
        "solver": list(SOLVERS),
    }
    space = {f"implicitreluregressor__{name}": values for name, values in space.items()}
    search = RandomizedSearchCV(pipeline(), space, n_iter=8, cv=2, random_state=0).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len({str(p["implicitreluregressor__solver"]) for p in search.cv_results_["params"]}) > 2


def test_cross_val_predict_of_several_outputs(diabetes):
    X, y = diabetes
    F = cross_val_predict(pipeline(), X, np.column_stack([y, -y]), cv=2)
    assert F.shape == (150, 2)
    assert np.corrcoef(F[:, 0], y)[0, 1] > 0.5


def test_transformed_target(diabetes):
    X, y = diabetes
    model = TransformedTargetRegressor(pipeline(), func=np.log, inverse_func=np.exp).fit(X, y)
    assert (model.predict(X) > 0).all()
    assert model.score(X, y) > 0.3


def test_bagging_and_stacking(diabetes):
    X, y = diabetes
    bagged = BaggingRegressor(pipeline(), n_estimators=3, n_jobs=2, random_state=0).fit(X, y)
    assert bagged.score(X, y) > 0.3
    stacked = StackingRegressor(
        [("implicit", pipeline()), ("ridge", Ridge())], final_estimator=RidgeCV(), cv=2
    ).fit(X, y)
    assert stacked.score(X, y) > 0.3


def test_other_tools_of_scikit_learn(diabetes):
    X, y = diabetes
    model = pipeline()
    several = MultiOutputRegressor(model).fit(X, np.column_stack([y, y]))
    assert several.predict(X).shape == (150, 2)
    _, _, scores = learning_curve(model, X, y, cv=2, train_sizes=[20, 60])
    assert scores.shape == (2, 2)
    importance = permutation_importance(model.fit(X, y), X, y, n_repeats=2, random_state=0)
    assert X.columns[np.argmax(importance.importances_mean)] in ("bmi", "s5")


def test_clone_has_the_parameters_and_no_more():
    X, y = regression()
    model = small(gamma=0.3, alpha=0.01)
    twin = clone(model.fit(X, y))
    assert twin.get_params() == model.get_params()
    assert not [name for name in vars(twin) if name.endswith("_") or name.startswith("_")]
    assert_array_equal(twin.fit(X, y).predict(X), model.predict(X))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames(library):
    X, y = regression()
    names = ["length", "breadth", "height", "mass"]
    frame = pd.DataFrame(X, columns=names) if library == "pandas" else pl.DataFrame(X, schema=names)
    target = pd.Series(y) if library == "pandas" else pl.Series(y)
    model = small().fit(frame, target)
    assert model.feature_names_in_.tolist() == names
    reference = small().fit(X, y)
    assert not hasattr(reference, "feature_names_in_")
    assert_array_equal(model.predict(frame), reference.predict(X))
    shuffled = frame[["mass", "length", "breadth", "height"]]
    with pytest.raises(ValueError, match=r"(?s)feature names.*same order"):
        model.predict(shuffled)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.predict(X)


def test_lists_and_integers():
    X, y = np.arange(20).reshape(10, 2), np.arange(10)
    from_lists, from_arrays = (
        small().fit(X.tolist(), y.tolist()),
        small().fit(X.astype(float), y.astype(float)),
    )
    assert_array_equal(from_lists.predict(X.tolist()), from_arrays.predict(X))


@pytest.mark.parametrize(("gamma", "tol"), [(0.1, "auto"), (0.4, "auto"), (0.4, 1e-12)])
def test_one_row_is_predicted_as_in_a_batch_of_thousands(gamma, tol):
    X, y = regression()
    model = small(width=100, gamma=gamma, equilibrium_tol=tol, clip=False).fit(X, y)
    many = np.random.RandomState(5).standard_normal((5000, 4)) * np.logspace(-3, 3, 5000)[:, None]
    batch = model.predict(many)
    rows = [0, 1, 777, 2500, 4998, 4999]
    alone = np.array([model.predict(many[i : i + 1])[0] for i in rows])
    # equilibria are accurate to `tol` relative to their size, which grows with the row
    scale = 1 + np.linalg.norm(many[rows], axis=1)
    assert np.all(np.abs(alone - batch[rows]) <= (1e-7 if tol == "auto" else 1e-10) * scale * np.ptp(y))
    assert_allclose(model.predict(many[::-1])[::-1], batch, rtol=1e-6, atol=1e-6)


def test_prediction_in_blocks_is_that_at_once(monkeypatch):
    X, y = regression()
    model = small().fit(X, y)
    whole = model.predict(X), model.equilibrium(X)
    monkeypatch.setattr("sk_implicit._numerics.blocks.BLOCK_ENTRIES", 7 * 30)
    assert_allclose(model.predict(X), whole[0], atol=1e-7)
    assert_allclose(model.equilibrium(X), whole[1], atol=1e-7)


def test_threads_predict_at_once():
    X, y = regression()
    model = small(width=60).fit(X, y)
    rows = np.random.RandomState(0).standard_normal((400, 4))
    expected = model.predict(rows)
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda _: model.predict(rows), range(32)))
    for result in results:
        assert_array_equal(result, expected)


def test_threads_fit_at_once():
    X, y = regression()
    expected = small().fit(X, y).predict(X)
    with ThreadPoolExecutor(4) as threads:
        for result in threads.map(lambda _: small().fit(X, y).predict(X), range(8)):
            assert_array_equal(result, expected)


@pytest.mark.parametrize("warm_start", [False, True])
def test_prediction_never_changes_the_estimator(warm_start):
    X, y = regression()
    model = small(warm_start=warm_start).fit(X, y)
    before, names = joblib.hash(model), set(vars(model))
    model.predict(X)
    model.equilibrium(X)
    model.score(X, y)
    repr(model)
    assert joblib.hash(model) == before
    assert set(vars(model)) == names


def test_fit_leaves_its_arguments_alone():
    X, y = (a.copy() for a in regression(k=2))
    weights = np.ones(40)
    copies = X.copy(), y.copy(), weights.copy()
    small().fit(X, y, weights).predict(X)
    for now, then in zip((X, y, weights), copies, strict=True):
        assert_array_equal(now, then)


@pytest.mark.parametrize("cls", [ImplicitReLURegressor, ImplicitReLUClassifier])
def test_warnings_name_the_users_line(cls):
    X, y = regression()
    model = cls(width=30, max_iter=1, random_state=0)
    pipeline = make_pipeline(StandardScaler(), model)
    target = y > 0 if cls is ImplicitReLUClassifier else y
    for fitted in (model, pipeline):
        with pytest.warns(ConvergenceWarning, match="max_iter") as caught:
            fitted.fit(X, target)
        assert {warning.filename for warning in caught} == {__file__}
    model.A_ = -40 * np.abs(model.A_)
    model.equilibrium_solver = "picard"
    for method in (model.predict, model.equilibrium, pipeline.predict):
        with pytest.warns(ConvergenceWarning, match="was not reached") as caught:
            method(X)
        assert {warning.filename for warning in caught} == {__file__}
