"""``partial_fit``: against recursive least squares, one fit to all rows, and streams that drift."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import to
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import r2_score
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_estimators_partial_fit_n_features,
    check_n_features_in_after_fitting,
)

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit.function_space.losses import BinaryCrossEntropy, CrossEntropy, SquaredError
from sk_implicit.network import Shape, draw_network
from sk_implicit.network.tangent import TangentFeatures, joint_kernel
from sk_implicit.training import recursive
from sk_implicit.training.recursive import Batch, Information, RecursiveSettings, learn


def function(X):
    return np.sin(2 * X[:, 0]) * X[:, 1] + np.abs(X[:, 2])


def rows(n, seed=0, noise=0.3):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4))
    return X, function(X) + noise * rng.standard_normal(n)


def regressor(width=60, **parameters):
    return ImplicitReLURegressor(width, **({"random_state": 0} | parameters))


def stream(model, X, y, size=100, **parameters):
    for start in range(0, X.shape[0], size):
        model.partial_fit(X[start : start + size], y[start : start + size], **parameters)
    return model


# ---------------------------------------------------------------- the recursion


def small_problem(k, loss, n=12):
    rng = np.random.RandomState(0)
    network = draw_network(Shape(m=9, p=4, k=k), 0.4, rng)
    X, weights = rng.standard_normal((n, 4)), rng.uniform(0.5, 2, n)
    Y = (
        rng.standard_normal((n, k))
        if loss.constant_curvature
        else np.eye(max(k, 2))[rng.randint(0, k, n)][:, :k]
    )
    offset = network.output(network.forward(X, to(1e-13))[0])
    return network, Batch(X, Y, weights, offset)


LOSSES = {
    "squared": (SquaredError(), 2),
    "binary": (BinaryCrossEntropy(np.array([0.3])), 1),
    "multinomial": (CrossEntropy(np.log([0.2, 0.5, 0.3])), 3),
}


def dense(network, information):
    """Return P."""
    m, k, n_inner = network.shape.m, network.shape.k, network.shape.n_inner
    P = np.diag(np.full(network.shape.n_weights, information.inner))
    for c in range(k):
        places = n_inner + np.concatenate([c * m + np.arange(m), k * m + c * m + np.arange(m)])
        P[np.ix_(places, places)] = information.outputs[c % len(information.outputs)]
    return P


def jacobian(network, X):
    """Return J, (n k, n_weights), row by row."""
    tangent = TangentFeatures.at(network, network.forward(X, to(1e-13))[0], to(1e-13))
    k, n = tangent.shape
    unit = np.eye(n * k).reshape(n * k, n, k)
    return np.array([tangent.vjp(C) for C in unit])


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_minimises_the_batch_against_the_past(name):
    """In weight space, with dense matrices."""
    loss, k = LOSSES[name]
    network, batch = small_problem(k, loss)
    rng, shape = np.random.RandomState(1), network.shape
    root = rng.standard_normal((1 if k == 2 else k, 2 * shape.m, 2 * shape.m))
    outputs = root @ root.swapaxes(1, 2) + 50 * np.eye(2 * shape.m)
    information = Information(50.0, outputs, 200.0, n_batches=1)
    one = RecursiveSettings(further_steps=1, curved_steps=1)
    found, after, before = learn(network, batch, loss, information, to(1e-13), certified=False, settings=one)
    evaluation = loss.evaluate(batch.Y, np.zeros((12, k)))
    assert before == pytest.approx(batch.weights @ evaluation.value)
    curvature, _ = loss.curvature(batch.Y, evaluation.residual, batch.weights)
    L = np.stack([curvature.root(np.tile(e, (12, 1))) for e in np.eye(k)], axis=-1)
    B = np.zeros((12 * k, 12 * k))
    for i in range(12):
        B[i * k : (i + 1) * k, i * k : (i + 1) * k] = L[i] @ L[i].T
    J, P = jacobian(network, batch.X), dense(network, information)
    gradient = J.T @ np.ravel(batch.weights[:, None] * evaluation.residual)
    expected = np.linalg.solve(P + J.T @ B @ J, gradient)
    change = found.theta - network.theta
    share = float(
        change @ expected / (expected @ expected)
    )  # 1, or a power of ½ where the whole one overshoots
    assert share in (1.0, 0.5, 0.25) or abs(share - 1) < 1e-8
    assert_allclose(change, share * expected, atol=1e-8)
    # what the rows add: exact for the outputs, a share of the trace for A and W
    layers, _ = found.forward(batch.X, to(1e-13))
    F = found.output(layers) - batch.offset
    curvature, _ = loss.curvature(batch.Y, loss.evaluate(batch.Y, F).residual, batch.weights)
    diagonal = np.stack(
        [np.sum(curvature.root_t(np.tile(e, (12, 1))) ** 2, axis=1) for e in np.eye(k)], axis=1
    )
    features = np.hstack([layers.Z, layers.Phi])
    for c, block in enumerate(after.outputs):
        assert_allclose(block - outputs[c], features.T @ (diagonal[:, [c]] * features), atol=1e-8)
    added = (after.inner - 200.0) * k * shape.m / RecursiveSettings().inner_share
    tangent = TangentFeatures.at(network, network.forward(batch.X, to(1e-13))[0], to(1e-13))
    inner = tangent.kernel_diagonal() - np.sum(
        np.hstack([tangent.layers.Z, tangent.layers.Phi]) ** 2, axis=1, keepdims=True
    )
    assert added == pytest.approx(np.sum(diagonal * inner), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_a_damped_step_from_elsewhere_minimises_the_damped_model(name):
    loss, k = LOSSES[name]
    network, batch = small_problem(k, loss)
    information, shape = Information.of(2.0, network, loss), network.shape
    d = 0.1 * np.random.RandomState(2).standard_normal(shape.n_weights)
    here = recursive._evaluate(network.with_theta(network.theta + d), network, batch, loss, information,
                               to(1e-13), None)  # fmt: skip
    system = recursive._System(here, batch, loss, information, to(1e-13))
    change = system.step(d, information, 0.5)
    curvature, q = loss.curvature(batch.Y, here.residual, batch.weights)
    tangent = TangentFeatures.at(here.network, here.layers, to(1e-13))
    damping = np.zeros(shape.n_weights)
    damping[: shape.n_inner] = 0.5 * system.scale
    pushed = tangent.vjp(curvature.root(q - curvature.root_t(tangent.jvp(change))))
    assert_allclose(pushed, dense(network, information) @ (d + change) + damping * change, atol=1e-8)


def test_a_step_does_not_depend_on_the_dampings_before_it():
    loss, k = LOSSES["squared"]
    network, batch = small_problem(k, loss)
    information = Information.of(2.0, network, loss)
    d = np.zeros(network.shape.n_weights)
    here = recursive._evaluate(network, network, batch, loss, information, to(1e-13), None)
    system = recursive._System(here, batch, loss, information, to(1e-13))
    for damping in (0.0, 0.5, 0.5, 0.0):
        alone = recursive._System(here, batch, loss, information, to(1e-13)).step(d, information, damping)
        assert_allclose(system.step(d, information, damping), alone, rtol=1e-12)


def test_misfit_is_that_of_the_covariance_of_the_batch():
    loss, k = LOSSES["squared"]
    network, batch = small_problem(k, loss)
    information = Information.of(3.0, network, loss)
    _, after, _ = learn(network, batch, loss, information, to(1e-13), certified=False)
    tangent = TangentFeatures.at(network, network.forward(batch.X, to(1e-13))[0], to(1e-13))
    root = np.tile(np.sqrt(batch.weights), k)
    S = root[:, None] * joint_kernel(tangent) * root / 3.0 + np.eye(12 * k)
    q = root * np.ravel(batch.Y.T)
    misfit = q @ np.linalg.solve(S, q) / len(q)
    assert after.misfit == pytest.approx(misfit) and after.n_batches == 1
    fourth = replace(information, misfit=3 * misfit, n_batches=3)  # the mean of four batches
    _, after, _ = learn(network, batch, loss, fourth, to(1e-13), certified=False)
    assert after.misfit == pytest.approx(2.5 * misfit) and after.n_batches == 4


def test_batches_foretold_worse_than_chance_are_learnt_against_less_of_a_past():
    loss, k = LOSSES["squared"]
    network, batch = small_problem(k, loss, n=400)
    certain = Information(1.0, np.tile(1e4 * np.eye(18), (1, 1, 1)), 1e4, misfit=1e-2, n_batches=5)
    _, kept, _ = learn(network, batch, loss, certain, to(1e-10), certified=False,
                       settings=RecursiveSettings(excess=1e9))  # fmt: skip
    _, after, _ = learn(network, batch, loss, certain, to(1e-10), certified=False)
    assert kept.inner > 1e4 > after.inner > 1e4 * RecursiveSettings().least_memory / 4
    assert np.trace(after.outputs[0]) < np.trace(kept.outputs[0])
    forgotten = certain.forgetting(0.25)
    assert_allclose(forgotten.outputs[0], (0.25 * 1e4 + 0.75) * np.eye(18))
    assert forgotten.inner == pytest.approx(0.25 * 1e4 + 0.75)


# ---------------------------------------------------------------- the estimators


def test_a_stream_comes_near_one_fit_to_all_rows():
    X, y = rows(2000)
    X_new, y_new = rows(1000, seed=1)
    model = stream(regressor(), X, y, size=250)
    score = r2_score(y_new, model.predict(X_new))
    assert score > r2_score(y_new, regressor().fit(X, y).predict(X_new)) - 0.02
    assert score > r2_score(y_new, regressor().partial_fit(X[:250], y[:250]).predict(X_new)) + 0.02
    assert model.n_iter_ == len(model.loss_curve_) == 8
    assert model.loss_ == model.loss_curve_[-1] < model.loss_curve_[1] < model.loss_curve_[0]


def test_the_first_batch_is_learnt_as_by_fit():
    X, y = rows(300)
    X_new, y_new = rows(1000, seed=1)
    fitted, begun = regressor().fit(X, y), regressor().partial_fit(X, y)
    assert begun.alpha_ == fitted.alpha_ and begun.loo_score_ == fitted.loo_score_
    for name in ("A_init_", "W_init_", "y_mean_", "y_scale_", "input_scale_"):
        assert_array_equal(getattr(begun, name), getattr(fitted, name))
    scores = [r2_score(y_new, model.predict(X_new)) for model in (begun, fitted)]
    assert scores[0] > scores[1] - 0.02


def test_a_drift_is_followed():
    """The function turns over; a stream that forgets nothing stays behind."""
    X, y = rows(3000, noise=0.1)
    X_new, y_new = rows(500, seed=1, noise=0.1)
    model = stream(regressor(), X[:2000], y[:2000], size=200)
    before = r2_score(y_new, model.predict(X_new))
    stream(model, X[2000:], -y[2000:], size=200)
    assert before > 0.88
    assert r2_score(-y_new, model.predict(X_new)) > before - 0.05


def test_a_level_that_moves_slowly_is_followed():
    X, y = rows(6000, noise=0.1)
    level = np.linspace(0, 5, len(y))
    model = stream(regressor(30), X, y + level, size=200)
    X_new, y_new = rows(500, seed=1, noise=0.1)
    assert abs(np.mean(model.predict(X_new) - y_new) - 5) < 0.5


def test_the_same_stream_gives_the_same_bits_also_through_pickles():
    X, y = rows(400)
    whole = stream(regressor(), X, y)
    model = regressor()
    for start in range(0, 400, 100):
        order = np.random.RandomState(start).permutation(100) + start  # any order of the rows of a call
        model = pickle.loads(pickle.dumps(model.partial_fit(X[order], y[order])))
    assert_array_equal(model.predict(X), whole.predict(X))
    assert_array_equal(model._stream.information.outputs, whole._stream.information.outputs)
    assert np.any(stream(regressor(random_state=1), X, y).predict(X) != whole.predict(X))


@pytest.mark.parametrize("classifies", [False, True])
def test_weights_are_repetitions(classifies):
    X, y = rows(120)
    y = (y > 0.5).astype(int) if classifies else y
    weights = np.random.default_rng(0).integers(0, 3, 120)
    make = ImplicitReLUClassifier if classifies else ImplicitReLURegressor
    classes = {"classes": [0, 1]} if classifies else {}
    weighted, repeated = make(20, random_state=0), make(20, random_state=0)
    for part in (slice(60), slice(60, 120)):
        weighted.partial_fit(X[part], y[part], sample_weight=weights[part], **classes)
        again = np.repeat(X[part], weights[part], axis=0), np.repeat(y[part], weights[part])
        repeated.partial_fit(*again, **classes)
    rtol = 1e-6
    scores = [m.decision_function(X) if classifies else m.predict(X) for m in (weighted, repeated)]
    assert_allclose(*scores, rtol=rtol, atol=1e-8)


def test_minibatches_of_many_rows_and_outputs():
    X, y = rows(1500)
    model = regressor(30).partial_fit(X, np.column_stack([y, -y, y + X[:, 0]]))
    assert model.n_iter_ == 3  # 1500 rows with 3 outputs, 2000 at a time
    assert model.predict(X).shape == (1500, 3)
    assert r2_score(y, model.predict(X)[:, 0]) > 0.6


@pytest.mark.parametrize("parameters", [
    {"depth": 3}, {"gamma": 0.7}, {"output_init": "zero"}, {"output_init": "gaussian"}, {"alpha": 0.0},
    {"relevance": None, "fit_intercept": False}, {"init": "bernoulli", "clip": (-1.0, 2.0)},
])  # fmt: skip
def test_parameters_of_the_start(parameters):
    X, y = rows(300)
    model = stream(regressor(**parameters), X, y)
    assert r2_score(y, model.predict(X)) > 0.6


def test_single_precision_sparse_rows_gaps_and_levels():
    X, y = rows(300)
    double = stream(regressor(relevance=None, alpha=0.1), X, y).predict(X)
    model = stream(regressor(relevance=None, alpha=0.1), X.astype(np.float32), y)
    assert model.A_.dtype == model.predict(X).dtype == np.float32
    assert_allclose(model.predict(X), double, atol=0.05)
    sparse = stream(regressor(relevance=None, standardize=False, alpha=0.1), csr_array(X), y)
    dense = stream(regressor(relevance=None, standardize=False, alpha=0.1), X, y)
    assert_allclose(sparse.predict(csr_array(X)), dense.predict(X), atol=1e-6)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X[:, :2], columns=["a", "b"]).assign(c=np.where(X[:, 2] > 0, "x", "y"))
    frame.loc[::7, "a"] = np.nan
    model = regressor().partial_fit(frame[:150], y[:150])
    frame.loc[160, "c"] = "new"
    assert np.isfinite(model.partial_fit(frame[150:], y[150:]).predict(frame)).all()


def test_limits_grow_with_the_rows():
    X, y = rows(300)
    model = regressor(clip=True).partial_fit(X[:150], y[:150])
    model.partial_fit(X[150:], y[150:] + 3)
    assert model.y_limits_[1, 0] == np.max(y[150:] + 3)
    assert model.y_limits_[0, 0] == min(y[:150].min(), np.min(y[150:] + 3))
    given = regressor(clip=(0.0, 1.0)).partial_fit(X[:150], y[:150]).partial_fit(X[150:], y[150:])
    assert_array_equal(given.y_limits_[:, 0], [0, 1])


def test_classes_one_batch_at_a_time():
    X, y = load_digits(return_X_y=True)
    X, y, X_new, y_new = X[:800], y[:800], X[1200:], y[1200:]
    model = ImplicitReLUClassifier(40, random_state=0)
    model.partial_fit(X[:200], y[:200], classes=range(10))
    before = model.score(X_new, y_new)
    stream(model, X[200:], y[200:], size=200)
    assert model.score(X_new, y_new) > before
    assert model.score(X_new, y_new) > 0.85
    assert_allclose(model.predict_proba(X_new).sum(axis=1), 1)
    rare = y[:400] < 5  # a call need not have all classes
    model.partial_fit(X[:400][rare], y[:400][rare])
    with pytest.raises(
        ValueError, match=r"classes that partial_fit was not told of in its first call: \[10\]"
    ):
        model.partial_fit(X[:2], [3, 10])


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_two_classes_by_name_and_labels(loss):
    X, y = rows(400)
    names = np.where(y > 0.5, "yes", "no")
    model = ImplicitReLUClassifier(40, loss=loss, random_state=0)
    stream(model, X, names, classes=["no", "yes"])
    assert model.score(X, names) > 0.77
    labels = np.column_stack([y > 0.5, X[:, 0] > 0]).astype(int)
    model = stream(ImplicitReLUClassifier(40, loss=loss, random_state=0), X, labels)
    assert np.mean(model.predict(X) == labels) > 0.8
    with pytest.raises(ValueError, match="y has 3 labels, and had 2 labels"):
        model.partial_fit(X, labels[:, [0, 1, 1]])


@pytest.mark.parametrize("loss", ["poisson", "gamma"])
def test_counts_and_amounts(loss):
    X, _ = rows(800)
    rng = np.random.default_rng(0)
    mean = np.exp(1 + 0.5 * function(X))
    y = rng.poisson(mean) if loss == "poisson" else rng.gamma(2, mean / 2) + 1e-6
    model = regressor(30, loss=loss).partial_fit(X[:200], y[:200])
    before = model.score(X[600:], y[600:])
    stream(model, X[200:600], y[200:600], size=200)
    assert model.score(X[600:], y[600:]) > before + 0.03
    assert np.all(model.predict(X) > 0)


def test_fit_begins_anew_and_so_does_a_stream_after_it():
    X, y = rows(200)
    model = regressor(20, max_iter=3, tol=1e-1).partial_fit(X, y)
    assert "_stream" in vars(model)
    with pytest.raises(AttributeError, match="it was fitted by partial_fit"):
        _ = model.history_
    fitted = clone(model).fit(X, y)
    assert_array_equal(model.fit(X, y).predict(X), fitted.predict(X))
    assert "_stream" not in vars(model) and model.history_
    assert_array_equal(model.partial_fit(X, y).predict(X), clone(model).partial_fit(X, y).predict(X))
    names = np.where(y > 0, "a", "b")
    classifier = ImplicitReLUClassifier(20, max_iter=3, tol=1e-1, random_state=0).fit(X, names)
    begun = clone(classifier).partial_fit(X, names, classes=["a", "b"])
    assert_array_equal(classifier.partial_fit(X, names).predict_proba(X), begun.predict_proba(X))


def test_a_call_that_fails_leaves_no_trace():
    X, y = rows(200)
    model = regressor(20).partial_fit(X[:100], y[:100])
    before = pickle.dumps(model)
    far = X[100:].copy()
    far[3] = 1e200
    with pytest.raises(ValueError, match="no finite output"):
        model.partial_fit(far, y[100:])
    assert pickle.dumps(model) == before


def test_what_cannot_be_is_refused():
    X, y = rows(60)
    for parameters, words in (
        ({"early_stopping": True}, "holds none out"),
        ({"uncertainty": True}, "keeps no training rows"),
    ):
        with pytest.raises(ValueError, match=words):
            regressor(**parameters).partial_fit(X, y)
    for parameters in (
        {"width": np.inf},
        {"loss": "absolute_error"},
        {"loss": "huber"},
        {"loss": "quantile"},
    ):
        assert not hasattr(regressor(**parameters), "partial_fit")
    with pytest.raises(AttributeError) as refused:
        ImplicitReLUClassifier(np.inf).partial_fit(X, y)
    assert "Use a finite width" in str(refused.value.__cause__)
    model = regressor(20).partial_fit(X, y)
    with pytest.raises(ValueError, match="the loss of its first call, 'squared_error'"):
        clone(model).partial_fit(X, y).set_params(loss="poisson").partial_fit(X, y)
    with pytest.raises(ValueError, match="y has 2 columns, and had 1"):
        model.partial_fit(X, np.column_stack([y, y]))
    classifier = ImplicitReLUClassifier(20)
    labels = (y > 0).astype(int)
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        classifier.partial_fit(X, labels)
    with pytest.raises(ValueError, match="at least 2 classes with a positive weight"):
        classifier.partial_fit(X, np.zeros(60, int), classes=[0, 1])
    with pytest.raises(ValueError, match="must name at least 2"):
        classifier.partial_fit(X, labels, classes=[0])
    with pytest.raises(ValueError, match="balanced"):
        clone(classifier).set_params(class_weight="balanced").partial_fit(X, labels, classes=[0, 1])
    classifier.partial_fit(X, labels, classes=[0, 1])
    with pytest.raises(ValueError, match="not the same as in the first call"):
        classifier.partial_fit(X, labels, classes=[0, 1, 2])


@pytest.mark.parametrize("estimator", [ImplicitReLURegressor(20), ImplicitReLUClassifier(12)], ids=str)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_checks_of_scikit_learn(estimator):
    name = type(estimator).__name__
    check_estimators_partial_fit_n_features(name, estimator)
    check_n_features_in_after_fitting(name, estimator)
    check_dataframe_column_names_consistency(name, estimator)
