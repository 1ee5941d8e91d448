"""Models saved by skops load with one trusted type each, whatever was fitted."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_implicit import (
    SKOPS_TRUSTED_TYPES,
    ImplicitReLUClassifier,
    ImplicitReLUKernel,
    ImplicitReLURegressor,
)
from sk_implicit._estimator.regression import LOSSES
from sk_implicit.training import SOLVERS

io = pytest.importorskip("skops.io")
pytestmark = pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")

X = np.random.RandomState(0).standard_normal((40, 3))
y = X[:, 0] - X[:, 1] ** 2
REGRESSOR, CLASSIFIER, KERNEL = SKOPS_TRUSTED_TYPES


def reloaded(model, trusted):
    """Save and load, and check that nothing but ``trusted`` had to be trusted."""
    saved = io.dumps(model)
    assert io.get_untrusted_types(data=saved) == [trusted]
    return io.loads(saved, trusted=SKOPS_TRUSTED_TYPES)


def test_module_paths_are_frozen():
    assert SKOPS_TRUSTED_TYPES == [
        "sk_implicit.regressor.ImplicitReLURegressor",
        "sk_implicit.classifier.ImplicitReLUClassifier",
        "sk_implicit.kernel.ImplicitReLUKernel",
    ]


@pytest.mark.parametrize("solver", list(SOLVERS))
def test_regressor_of_every_solver_continues_to_the_same_bits(solver):
    model = ImplicitReLURegressor(
        width=15, max_iter=2, solver=solver, warm_start=True, early_stopping=True, random_state=0
    )
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model.fit(frame, y)
    twin = reloaded(model, REGRESSOR)
    assert_array_equal(twin.predict(frame), model.predict(frame))
    assert_array_equal(twin.fit(frame, y).A_, model.fit(frame, y).A_)


@pytest.mark.parametrize("width", [20, np.inf])
@pytest.mark.parametrize("kind", [np.asarray, csr_matrix])
def test_uncertainty_and_infinite_width(width, kind):
    model = ImplicitReLURegressor(width=width, uncertainty=True, random_state=0).fit(kind(X), y)
    twin = reloaded(model, REGRESSOR)
    for ours, theirs in zip(
        model.predict(kind(X), return_std=True), twin.predict(kind(X), return_std=True), strict=True
    ):
        assert_array_equal(ours, theirs)


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_classifier_with_labels(loss):
    classes = np.array(["a", "b", "c"])[np.digitize(X[:, 0], [-0.5, 0.5])]
    model = ImplicitReLUClassifier(width=15, loss=loss, warm_start=True, max_iter=3, random_state=0)
    model.fit(X, classes)
    twin = reloaded(model, CLASSIFIER)
    assert_array_equal(twin.predict(X), model.predict(X))
    assert_array_equal(twin.fit(X, classes).A_, model.fit(X, classes).A_)


@pytest.mark.parametrize("loss", list(LOSSES))
@pytest.mark.parametrize("width", [15, np.inf])
def test_losses(loss, width):
    model = ImplicitReLURegressor(width, loss=loss, warm_start=width == 15, max_iter=3, random_state=0)
    model.fit(X, np.exp(y))
    twin = reloaded(model, REGRESSOR)
    assert_array_equal(twin.predict(X), model.predict(X))
    assert twin.score(X, np.exp(y)) == model.score(X, np.exp(y))
    assert_array_equal(twin.fit(X, np.exp(y)).predict(X), model.fit(X, np.exp(y)).predict(X))


def test_finite_depth():
    settings = {"uncertainty": True, "warm_start": True, "max_iter": 3, "random_state": 0}
    model = ImplicitReLURegressor(width=15, depth=3, **settings).fit(X, y)
    twin = reloaded(model, REGRESSOR)
    for ours, theirs in zip(model.predict(X, return_std=True), twin.predict(X, return_std=True), strict=True):
        assert_array_equal(ours, theirs)
    assert_array_equal(twin.fit(X, y).A_, model.fit(X, y).A_)


def test_unfitted_estimator_and_kernel():
    assert reloaded(ImplicitReLURegressor(width=7), REGRESSOR).width == 7
    assert reloaded(ImplicitReLUKernel(gamma=0.3), KERNEL).gamma == 0.3


def test_pipeline():
    model = make_pipeline(StandardScaler(), ImplicitReLURegressor(width=10, random_state=0)).fit(X, y)
    assert_array_equal(reloaded(model, REGRESSOR).predict(X), model.predict(X))


def test_gaussian_process_with_the_kernel():
    kernel = ImplicitReLUKernel(gamma_bounds="fixed", bias_bounds="fixed", length_scale_bounds="fixed")
    model = GaussianProcessRegressor(kernel, alpha=0.1).fit(X, y)
    saved = io.dumps(model)
    ours = [name for name in io.get_untrusted_types(data=saved) if name.startswith("sk_implicit")]
    assert ours == [KERNEL]


def test_without_trust_nothing_is_loaded():
    with pytest.raises(Exception, match="ImplicitReLURegressor"):
        io.loads(io.dumps(ImplicitReLURegressor()))
