"""Searches and predictions on a Dask cluster of two worker processes."""

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import regression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor

distributed = pytest.importorskip("distributed")

# Dask, tornado and joblib warn of their own affairs; what is tested are the numbers.
pytestmark = pytest.mark.filterwarnings("ignore")

ROWS = np.random.RandomState(1).standard_normal((3000, 4))
X, y = regression()


@pytest.fixture(scope="module")
def cluster():
    """Two processes with a thread each, and no dashboard."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0
        ) as local,
        distributed.Client(local) as client,
    ):
        yield client


@pytest.fixture
def many_blocks(monkeypatch):
    monkeypatch.setattr("sk_implicit._numerics.blocks.BLOCK_ENTRIES", 20_000)


def workers_of(client, function):
    """Return the workers that have had blocks of rows for a function, from their own records."""

    def names(dask_worker):
        return [str(event[0]) for event in dask_worker.state.log]

    return {worker for worker, keys in client.run(names).items() if any(function in key for key in keys)}


@pytest.mark.parametrize("width", [40, np.inf])
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_predictions_are_the_local_ones(cluster, many_blocks, width, n_jobs):
    model = ImplicitReLURegressor(width=width, n_jobs=n_jobs, random_state=0).fit(X, y)
    expected = model.predict(ROWS)
    with joblib.parallel_config(backend="dask"):
        found = model.predict(ROWS)
    assert_allclose(found, expected, rtol=0, atol=1e-8 * np.abs(expected).max())
    assert len(workers_of(cluster, "network_outputs" if width == 40 else "limit_outputs")) == 2


def test_equilibria_and_probabilities_are_the_local_ones(cluster, many_blocks):
    classes = np.digitize(y, [0, 1])
    model = ImplicitReLUClassifier(width=40, random_state=0).fit(X, classes)
    expected = model.equilibrium(ROWS), model.predict_proba(ROWS)
    with joblib.parallel_config(backend="dask"):
        found = model.equilibrium(ROWS), model.predict_proba(ROWS)
    for ours, theirs in zip(found, expected, strict=True):
        assert_allclose(ours, theirs, rtol=0, atol=1e-8)


def test_search_is_the_local_one(cluster):
    model = make_pipeline(StandardScaler(), ImplicitReLURegressor(width=20, random_state=0))
    grid = {"implicitreluregressor__gamma": [0.1, 0.4], "implicitreluregressor__alpha": [0.01, "loo"]}
    local = GridSearchCV(model, grid, cv=2).fit(X, y)
    with joblib.parallel_config(backend="dask"):
        search = GridSearchCV(model, grid, cv=2).fit(X, y)
    assert search.best_params_ == local.best_params_
    for name in ("mean_test_score", "rank_test_score"):
        assert_allclose(search.cv_results_[name], local.cv_results_[name], rtol=0, atol=1e-8)
    assert_allclose(search.predict(X), local.predict(X), rtol=0, atol=1e-8)
