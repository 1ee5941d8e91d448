"""A multilayer perceptron as an implicit network: the same predictions, ready to be trained further."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor

from sk_implicit import ImplicitReLURegressor
from sk_implicit.equilibrium import EquilibriumOptions
from sk_implicit.models import fitted_model, from_mlp
from sk_implicit.theory import convergence_certificate, network_inputs, well_posedness

X = np.random.RandomState(0).standard_normal((60, 4))
Y = np.column_stack([np.sin(X[:, 0]) * 50 + 100, X[:, 1] * X[:, 2], X[:, 3]])
LAYERS = [(), (7,), (30,), (8, 6), (5, 9, 4), (6,) * 6]


def perceptron(layers, y, **params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        defaults = {"solver": "lbfgs", "max_iter": 50, "random_state": 0}
        return MLPRegressor(hidden_layer_sizes=layers, **(defaults | params)).fit(X, y)


@pytest.mark.parametrize("y", [Y[:, 0], Y], ids=["one output", "three outputs"])
@pytest.mark.parametrize("layers", LAYERS, ids=str)
def test_the_predictions_are_the_same(layers, y):
    mlp = perceptron(layers, y)
    model = ImplicitReLURegressor.from_mlp(mlp)
    new = 3 * np.random.RandomState(1).standard_normal((500, 4))
    expected = mlp.predict(new)
    got = model.predict(new)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("layers", [(8, 6), (6, 12)], ids=str)
def test_norms_of_layers_are_taken_of_tall_matrices(layers, monkeypatch):
    """Whichever is longer, the iteration's vectors are the shorter side's."""
    shapes, operator_norm = [], from_mlp.operator_norm

    def recorded(B, **options):
        shapes.append(B.shape)
        return operator_norm(B, **options)

    monkeypatch.setattr(from_mlp, "operator_norm", recorded)
    ImplicitReLURegressor.from_mlp(perceptron(layers, Y))
    assert shapes and all(high >= wide for high, wide in shapes)


@pytest.mark.parametrize("layers", [layers for layers in LAYERS if layers], ids=str)
def test_the_equilibrium_holds_the_layers(layers):
    mlp = perceptron(layers, Y)
    model = ImplicitReLURegressor.from_mlp(mlp)
    assert model.width_ == 1 + sum(layers)
    assert not np.triu(model.A_).any()
    Z, h, begin = model.equilibrium(X), X, 1
    for C, b in zip(mlp.coefs_[:-1], mlp.intercepts_[:-1]):
        h = np.maximum(h @ C + b, 0)
        block = Z[:, begin : begin + h.shape[1]]
        factor = np.sum(block * h) / np.sum(h * h)
        assert factor > 0
        np.testing.assert_allclose(block, factor * h, rtol=1e-9, atol=1e-12 * factor * h.max())
        begin += h.shape[1]


@pytest.mark.parametrize("layers", LAYERS, ids=str)
def test_one_iteration_more_than_layers_solves_it(layers):
    model = ImplicitReLURegressor.from_mlp(perceptron(layers, Y))
    record = well_posedness(model.A_, model.gamma_)
    assert record.perron_bound == 0 and record.n_blocks == model.width_
    assert record.certified and model.contraction_ < 0.9 + 1e-6
    network = fitted_model(model).network
    Phi = network.feature_map(network_inputs(model, X))
    Z = Phi
    for _ in range(max(len(layers), 1)):
        Z = np.maximum(network.s * Z @ network.A.T + Phi, 0)
    np.testing.assert_allclose(Z, model.equilibrium(X), rtol=1e-10, atol=1e-14)


def test_no_unit_starts_on_the_kink_of_its_relu():
    """Derivatives there would say nothing about what a step does, however small it is."""
    model = ImplicitReLURegressor.from_mlp(perceptron((5, 9, 4), Y))
    network = fitted_model(model).network
    layers, _ = network.forward(network_inputs(model, X), EquilibriumOptions(tol=1e-14))
    inputs = network.s * layers.Z @ network.A.T + layers.Phi
    assert (inputs < 0).any() and (inputs > 0).any()
    assert np.abs(inputs).min() > 1e-7
    assert (layers.Phi[:, 6:] > 0).all()  # units beyond the constant and the first layer


def test_training_goes_on_from_there():
    y = Y[:, 0]
    mlp = perceptron((30, 20), y, max_iter=15)
    model = ImplicitReLURegressor.from_mlp(mlp).set_params(max_iter=8, alpha=1e-3, tol=1e-8)
    before = np.mean((y - mlp.predict(X)) ** 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    history = model.history_
    assert history["squared_error"][0] * model.y_scale_[0] ** 2 == pytest.approx(before, rel=1e-8)
    assert np.mean((y - model.predict(X)) ** 2) < 0.5 * before
    assert np.triu(model.A_).any()  # A is free now
    assert max(history["contraction"]) < 1
    certificate = convergence_certificate(model, X, y)
    assert certificate.drift_A > 0 and certificate.reproduced


def test_it_is_an_estimator_like_any_other():
    frame = pd.DataFrame(X, columns=list("abcd"))
    mlp = MLPRegressor(hidden_layer_sizes=(5,), solver="lbfgs", max_iter=500, random_state=0, tol=1e-2)
    model = ImplicitReLURegressor.from_mlp(mlp.fit(frame, Y[:, 0]))
    assert list(model.feature_names_in_) == list("abcd") and model.n_features_in_ == 4
    expected = model.predict(frame)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(frame), expected)
    assert not hasattr(clone(model), "A_")
    assert clone(model).get_params() == model.get_params()
    assert model.score(frame, Y[:, 0]) == pytest.approx(mlp.score(frame, Y[:, 0]))
    mlp.coefs_[0][:] = 0  # its weights are its own
    np.testing.assert_array_equal(model.predict(frame), expected)


def test_history_is_that_of_a_start_without_data():
    model = ImplicitReLURegressor.from_mlp(perceptron((5,), Y[:, 0]))
    history = model.history_
    assert history["contraction"] == [model.contraction_] and model.n_iter_ == 0
    assert history.pop("validation_score") == []
    assert all(len(values) == 1 for values in history.values())
    assert all(np.isnan(history[name][0]) for name in ("loss", "squared_error", "step_size"))


def test_what_is_not_trained_has_no_certificate():
    model = ImplicitReLURegressor.from_mlp(perceptron((5,), Y[:, 0]))
    with pytest.raises(ValueError, match=r"not trained yet: .* Call fit first"):
        convergence_certificate(model, X, Y[:, 0])


def test_float32_stays_float32():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mlp = MLPRegressor(hidden_layer_sizes=(6, 5), max_iter=20, random_state=0)
        mlp.fit(X.astype(np.float32), Y[:, 0].astype(np.float32))
    model = ImplicitReLURegressor.from_mlp(mlp)
    assert model.A_.dtype == np.float32
    expected = mlp.predict(X.astype(np.float32))
    np.testing.assert_allclose(model.predict(X.astype(np.float32)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("mlp", "error", "message"),
    [
        (MLPRegressor(), NotFittedError, "not fitted"),
        (Ridge(), TypeError, "Ridge"),
        (MLPClassifier(), TypeError, "MLPClassifier"),
    ],
)
def test_what_it_cannot_represent_is_refused(mlp, error, message):
    with pytest.raises(error, match=message):
        ImplicitReLURegressor.from_mlp(mlp)


def test_other_activations_are_refused():
    with pytest.raises(ValueError, match="tanh"):
        ImplicitReLURegressor.from_mlp(perceptron((3,), Y[:, 0], activation="tanh"))
    other_output = perceptron((3,), Y[:, 0])
    other_output.out_activation_ = "exp"  # that of the Poisson loss, which scikit-learn has from 1.7 on
    with pytest.raises(ValueError, match="output activation"):
        ImplicitReLURegressor.from_mlp(other_output)
