"""Predictions over blocks of rows: the same bits whoever computes them."""

import pickle
import sys
import tracemalloc

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from problems import regression
from scipy.sparse import csr_array

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit.equilibrium import EquilibriumOptions
from sk_implicit.models import row_blocks
from sk_implicit.network import Network, Shape, draw_network

ROWS = np.random.RandomState(1).standard_normal((200, 4))
X, y = regression()


@pytest.fixture(autouse=True)
def many_blocks(monkeypatch):
    monkeypatch.setattr("sk_implicit._numerics.blocks.BLOCK_ENTRIES", 7 * 30)


def regressor(**options):
    return ImplicitReLURegressor(**{"width": 30, "max_iter": 5, "random_state": 0} | options)


@pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_jobs", [2, 3, -1])
@pytest.mark.parametrize("kind", [np.asarray, csr_array, np.float32])
@pytest.mark.parametrize("width", [30, np.inf])
def test_jobs_change_no_bit(n_jobs, kind, width):
    model = regressor(width=width).fit(kind(X), y)
    expected = model.predict(kind(ROWS))
    assert_array_equal(model.set_params(n_jobs=n_jobs).predict(kind(ROWS)), expected)
    if width == 30:
        expected = model.set_params(n_jobs=None).equilibrium(kind(ROWS))
        assert_array_equal(model.set_params(n_jobs=n_jobs).equilibrium(kind(ROWS)), expected)


@pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", [np.asarray, csr_array, np.float32])
@pytest.mark.parametrize("width", [30, np.inf])
def test_standard_deviations_are_shared_as_well(width, kind, monkeypatch):
    model = regressor(width=width, uncertainty=True).fit(kind(X), y)
    expected = model.predict(kind(ROWS), return_std=True)
    calls = []
    original = row_blocks.Parallel
    monkeypatch.setattr(
        row_blocks, "Parallel", lambda **options: calls.append(options) or original(**options)
    )
    for found, part in zip(
        model.set_params(n_jobs=2).predict(kind(ROWS), return_std=True), expected, strict=True
    ):
        assert_array_equal(found, part)
    assert [call["n_jobs"] for call in calls] == [2, 2]


@pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")
def test_jobs_change_no_bit_of_a_fit_and_of_a_classifier():
    classes = np.array(["no", "yes"])[(y > 0).astype(int)]
    options = {"width": 30, "max_iter": 5, "early_stopping": True, "random_state": 0}
    one, two = (
        ImplicitReLUClassifier(n_jobs=jobs, validation_fraction=0.5, **options).fit(X, classes)
        for jobs in (1, 2)
    )
    assert_array_equal(one.A_, two.A_)
    assert_array_equal(one.predict_proba(ROWS), two.predict_proba(ROWS))


@pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_active_backend_is_used(backend, monkeypatch):
    model = regressor().fit(X, y)
    expected = model.predict(ROWS)
    seen = []
    original = row_blocks.Parallel

    def parallel(**options):
        made = original(**options)
        seen.append((type(made._backend).__name__, made.n_jobs))
        return made

    monkeypatch.setattr(row_blocks, "Parallel", parallel)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        assert_array_equal(model.predict(ROWS), expected)
    assert seen == [({"threading": "ThreadingBackend", "loky": "LokyBackend"}[backend], 2)]
    model.predict(ROWS)
    model.set_params(n_jobs=2).predict(ROWS[:7])  # one block
    assert len(seen) == 1


@pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("output_init", ["zero", "centred"])
def test_missed_equilibria_are_counted_over_all_blocks(output_init):
    """Once a row, with the centred start, too, whose network misses the same rows."""
    model = regressor(output_init=output_init).fit(X, y)
    model.A_ = -40 * np.abs(model.A_)
    if output_init == "centred":
        model.A_init_ = model.A_
    model.equilibrium_solver = "picard"
    with pytest.warns(UserWarning) as one:
        model.predict(ROWS)
    with pytest.warns(UserWarning) as two:
        model.set_params(n_jobs=2).predict(ROWS)
    assert str(one[0].message) == str(two[0].message)
    assert "of 200 rows was not reached" in str(one[0].message)


def test_a_network_is_sent_as_its_weights():
    network = draw_network(Shape(40, 5, 1), 0.4, np.random.RandomState(0))
    network.forward(ROWS[:, [0, 1, 2, 3, 0]], EquilibriumOptions(tol=1e-8))
    assert len(pickle.dumps(network)) < 1.1 * 8 * network.shape.n_weights
    assert sys.getsizeof(network) > 8 * network.shape.n_weights
    twin = pickle.loads(pickle.dumps(network))
    assert isinstance(twin, Network)
    assert_array_equal(twin.theta, network.theta)


@pytest.mark.parametrize("width", [20, np.inf])
@pytest.mark.parametrize("return_std", [False, True])
@pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")
def test_memory_of_predictions_does_not_grow_with_the_rows(width, return_std, monkeypatch):
    """Not even through the encoding, which has thirty columns for each of X."""
    monkeypatch.setattr("sk_implicit._numerics.blocks.BLOCK_ENTRIES", 20_000)
    rng = np.random.RandomState(0)
    rows = rng.standard_normal((200, 3))
    model = regressor(width=width, uncertainty=True).fit(rows, rows[:, 0])
    peaks = []
    for n in (1000, 8000):
        new = rng.standard_normal((n, 3))
        tracemalloc.start()
        model.predict(new, return_std=return_std)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert model._inputs.scale.size > 48
    few_columns = 8 * 8000 * 8
    assert peaks[1] <= peaks[0] + few_columns < 8 * 8000 * 48
