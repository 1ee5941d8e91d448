"""Saving and loading: other processes, memory mapping, other versions, and what a pickle may hold."""

import copy
import io
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from problems import regression

import sk_implicit._estimator.base
from sk_implicit import ImplicitReLURegressor
from sk_implicit._estimator.saving import from_plain
from sk_implicit.training import SOLVERS

every_solver = pytest.mark.parametrize("solver", list(SOLVERS))
pytestmark = pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")

PLAIN = (bool, int, float, str, bytes, type(None), np.ndarray, np.generic)


def fitted(n=40, **options):
    X, y = regression(n=n, k=options.pop("k", None))
    options = {"width": 20, "max_iter": 3, "random_state": 0} | options
    return ImplicitReLURegressor(**options).fit(X, y), X, y


def leaves(value, path="state"):
    """Yield every value that is not a container, with where it stands."""
    if type(value) is dict:
        for key, part in value.items():
            assert type(key) is str, path
            yield from leaves(part, f"{path}[{key!r}]")
    elif type(value) in (list, tuple):
        for i, part in enumerate(value):
            yield from leaves(part, f"{path}[{i}]")
    else:
        yield path, value


@every_solver
@pytest.mark.parametrize("warm_start", [False, True])
def test_pickles_hold_arrays_and_plain_values_only(solver, warm_start):
    model, *_ = fitted(solver=solver, warm_start=warm_start, early_stopping=True, k=2)
    for path, value in leaves(model.__getstate__()):
        assert isinstance(value, PLAIN), f"{path} is a {type(value)}"
        if isinstance(value, np.ndarray):
            assert value.dtype.kind in "fiub", path


class Recorder(pickle.Unpickler):
    """Loads a pickle and notes the names that it asks for."""

    def __init__(self, saved):
        super().__init__(io.BytesIO(saved))
        self.named = set()

    def find_class(self, module, name):
        self.named.add((module.partition(".")[0], name))
        return super().find_class(module, name)


@every_solver
@pytest.mark.parametrize("warm_start", [False, True])
def test_pickles_name_no_class_but_the_estimator(solver, warm_start):
    """What a careful reader (skops) would have to trust."""
    model, *_ = fitted(solver=solver, warm_start=warm_start)
    recorder = Recorder(pickle.dumps(model))
    recorder.load()
    assert {name for package, name in recorder.named if package == "sk_implicit"} == {"ImplicitReLURegressor"}
    assert {package for package, _ in recorder.named} <= {"sk_implicit", "numpy", "copyreg"}


@every_solver
@pytest.mark.parametrize("warm_start", [False, True])
def test_pickles_never_hold_the_training_data(solver, warm_start):
    """Nothing in them grows with the rows, apart from numbers that count them."""
    # knots are as many as there can be, and both are trained in one precision
    few, *_ = fitted(n=400, solver=solver, warm_start=warm_start, tol=0, alpha=1e-4)
    many, *_ = fitted(n=1600, solver=solver, warm_start=warm_start, tol=0, alpha=1e-4)
    sizes = [{path: np.size(value) for path, value in leaves(model.__getstate__())} for model in (few, many)]
    assert sizes[0] == sizes[1]
    assert abs(len(pickle.dumps(many)) - len(pickle.dumps(few))) < 500


@every_solver
def test_loaded_state_continues_to_the_same_bits(solver):
    model, X, y = fitted(solver=solver, warm_start=True)
    loaded = pickle.loads(pickle.dumps(model))
    assert_array_equal(loaded.predict(X), model.predict(X))
    assert_array_equal(loaded.fit(X, y).A_, model.fit(X, y).A_)
    assert loaded.history_ == model.history_ or np.isnan(loaded.history_["step_size"][0])


def test_copies_are_equal_and_independent():
    model, X, y = fitted(warm_start=True)
    twin = copy.deepcopy(model)
    before = model.predict(X)
    twin.fit(X, y)
    assert_array_equal(model.predict(X), before)
    assert twin.n_iter_ > model.n_iter_


LOAD = """
import sys, numpy, joblib
model, X = joblib.load(sys.argv[1])
numpy.save(sys.argv[2], model.predict(X))
"""


def test_another_process_predicts_the_same_bits(tmp_path):
    model, X, _ = fitted()
    joblib.dump((model, X), tmp_path / "model.joblib")
    command = [sys.executable, "-c", LOAD, tmp_path / "model.joblib", tmp_path / "prediction.npy"]
    subprocess.run([str(part) for part in command], check=True)
    assert_array_equal(np.load(tmp_path / "prediction.npy"), model.predict(X))


def test_memory_mapped_model_predicts_and_is_read_only(tmp_path):
    model, X, y = fitted(warm_start=True)
    joblib.dump(model, tmp_path / "model.joblib")
    mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    assert isinstance(mapped.A_, np.memmap)
    assert not mapped.A_.flags.writeable
    assert_array_equal(mapped.predict(X), model.predict(X))
    assert_array_equal(mapped.equilibrium(X), model.equilibrium(X))
    assert_array_equal(mapped.fit(X, y).predict(X), model.fit(X, y).predict(X))


def test_pickle_of_another_version_warns_and_names_both(monkeypatch):
    model, X, _ = fitted()
    saved = pickle.dumps(model)
    monkeypatch.setattr(sk_implicit._estimator.base, "__version__", "9.9.9")
    with pytest.warns(UserWarning, match=r"pickled by sk_implicit 0\.1.* and is loaded by 9\.9\.9"):
        loaded = pickle.loads(saved)
    assert_array_equal(loaded.predict(X), model.predict(X))


@pytest.mark.parametrize(
    "name",
    ["os:system", "sk_implicit.training:train", "sk_implicit._fit_state:Enum", "absent", 3, ["fit"], None],
)
def test_state_that_names_anything_but_a_record_is_refused(name):
    with pytest.raises(ValueError, match="which is no record of this version"):
        from_plain({"class": name, "value": "true"})


CSR = {
    "class": "csr",
    "data": np.ones(1),
    "indices": np.array([0]),
    "indptr": np.array([0, 1]),
    "shape": [1, 3],
}


def test_the_sparse_array_that_is_damaged_next_is_sound():
    assert from_plain(CSR).toarray().tolist() == [[1, 0, 0]]


@pytest.mark.parametrize(
    "state",
    [
        {"class": "network", "theta": np.zeros(3)},
        {"class": "network", "theta": np.zeros(3), "shape": [2, 2, 1], "gamma": 0.4, "depth": np.inf},
        {"class": "penalty", "relative": 1.0},
        {"class": "penalty", "relative": 1.0, "absolute": 1.0, "absent": 1.0},
        {"class": "status", "value": "absent"},
        {"class": "csr", "data": np.ones(1)},
        {
            "class": "csr",
            "data": np.ones(1),
            "indices": np.array([5]),
            "indptr": np.array([0, 1]),
            "shape": [1, 3],
        },
        {
            "class": "csr",
            "data": np.ones(1),
            "indices": np.array([-1]),
            "indptr": np.array([0, 1]),
            "shape": [1, 3],
        },
        {
            "class": "csr",
            "data": np.ones(1),
            "indices": np.array([0]),
            "indptr": np.array([0, 9]),
            "shape": [1, 3],
        },
    ],
)
def test_state_with_fields_that_make_no_record_is_refused(state):
    with pytest.raises(ValueError, match=r"cannot read \(.*\)\. Refit the estimator"):
        from_plain(state)


def test_tags_are_short_and_name_no_module():
    model, *_ = fitted(warm_start=True)
    tags = {value for path, value in leaves(model.__getstate__()) if path.endswith("['class']")}
    assert tags == {
        "fit",
        "inputs",
        "table",
        "encoding",
        "optimism",
        "targets",
        "network",
        "penalty",
        "training",
        "history",
        "status",
        "lm",
    }


def test_unfitted_estimators_can_be_saved():
    stream = io.BytesIO()
    joblib.dump(ImplicitReLURegressor(width=7), stream)
    stream.seek(0)
    assert joblib.load(stream).width == 7
