"""Models that earlier versions saved: they load, predict the same, and go on training."""

import gzip
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

SAVED = Path(__file__).parent / "saved"
sys.path.append(str(SAVED))
import make  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning"),
    # some of the 30 rows' classes are foretold by nothing
    pytest.mark.filterwarnings("ignore:Nothing was found:sklearn.exceptions.ConvergenceWarning"),
]
NAMES = sorted(path.name.removesuffix(".pickle.gz") for path in SAVED.glob("*.pickle.gz"))
PREDICTIONS = dict(np.load(SAVED / "predictions.npz"))


def load(name):
    return pickle.loads(gzip.decompress((SAVED / f"{name}.pickle.gz").read_bytes()))


def assert_same(found, name):
    """Compare with what was saved: equilibria are accurate to 1e-10, or 1e-6 in float32."""
    saved = PREDICTIONS[name]
    assert found.dtype == saved.dtype
    # of interpolated targets, deviations are next to nothing, and have the digits that leaves them
    accuracy = 1e-5 if "float32" in name or "__std" in name else 1e-8
    assert_allclose(found, saved, rtol=accuracy, atol=accuracy * np.abs(saved).max())


def test_every_kind_is_kept():
    assert set(NAMES) == set(make.CASES)


@pytest.mark.parametrize("name", NAMES)
def test_saved_model_predicts_the_same(name):
    model, inputs = load(name), make.inputs_of(name)
    assert_same(make.predictions(model, inputs), name)
    if f"{name}__std" in PREDICTIONS:
        assert_same(model.predict(inputs, return_std=True)[1], f"{name}__std")


@pytest.mark.parametrize("name", NAMES)
def test_saved_model_is_fitted_again_as_its_settings_say(name):
    model, inputs = load(name), make.inputs_of(name)
    steps, (_, target) = model.n_iter_, make.CASES[name]
    model.fit(inputs, target)
    if model.early_stopping:  # which rows are held out depends on their order, another one since
        assert model.n_iter_ >= steps and len(model.validation_scores_) == model.n_iter_
    elif model.warm_start:
        assert model.n_iter_ >= steps
        # a few steps carry rounding errors of another BLAS on
        assert_allclose(
            make.predictions(model, inputs), PREDICTIONS[f"{name}__again"], rtol=1e-5,
            atol=1e-5 * np.abs(PREDICTIONS[name]).max(),
        )  # fmt: skip
    else:  # Newton's and Levenberg-Marquardt's last step is one of rounding
        assert abs(model.n_iter_ - steps) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_saved_model_is_saved_again(name):
    model = load(name)
    again = pickle.loads(pickle.dumps(model))
    inputs = make.inputs_of(name)
    np.testing.assert_array_equal(make.predictions(again, inputs), make.predictions(model, inputs))
