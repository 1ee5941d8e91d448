"""Exported ONNX graphs predict what the estimators predict."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit.models import fitted_model
from sk_implicit.onnx import register
from sk_implicit.onnx._equilibrium import Loop

skl2onnx = pytest.importorskip("skl2onnx")
onnxruntime = pytest.importorskip("onnxruntime")

pytestmark = [
    pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:skl2onnx"),
]

# Agreement with the estimator, relative to the largest prediction.
PRECISION = {np.float64: 1e-6, np.float32: 1e-4}
both_precisions = pytest.mark.parametrize("dtype", list(PRECISION))

ROWS = np.random.RandomState(0).standard_normal((1000, 4)) * [1.0, 10.0, 0.1, 1.0] + [0, 5, 0, 0]
TARGET = 100 + 20 * (np.sin(ROWS[:, 0]) + 0.01 * ROWS[:, 1] ** 2 - ROWS[:, 3])


def small(**settings):
    return ImplicitReLURegressor(**({"width": 40, "max_iter": 4, "random_state": 0} | settings))


def run(model, X, *, target_opset=None, **options):
    """Export for the precision of X and run on it; all outputs."""
    options = {id(model): options} if options else None
    exported = skl2onnx.to_onnx(model, X[:1], options=options, target_opset=target_opset)
    session = onnxruntime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda X: session.run(None, {"X": X})


def assert_close(found, expected, dtype):
    assert found.dtype == dtype
    assert np.abs(found.reshape(expected.shape) - expected).max() < PRECISION[dtype] * np.abs(expected).max()


def assert_regressor_agrees(model, dtype, X=ROWS):
    X = X.astype(dtype)
    predict = run(model, X)
    for n in (1, 7, 1000):
        assert_close(predict(X[:n])[0], model.predict(X[:n]), dtype)


@both_precisions
@pytest.mark.parametrize("loss", ["poisson", "gamma"])
@pytest.mark.parametrize("width", [40, np.inf])
def test_links(loss, width, dtype):
    y = np.exp(TARGET / 20 - 5)
    for clip in ("auto", False):
        model = small(width=width, loss=loss, clip=clip).fit(ROWS[:200], y[:200])
        assert_regressor_agrees(model, dtype)
    assert_regressor_agrees(small(width=width, loss=loss).fit(ROWS[:200], np.c_[y, 1 + y][:200]), dtype)


@both_precisions
@pytest.mark.parametrize("width", [40, np.inf])
def test_quantiles(width, dtype):
    noisy = TARGET + 20 * np.random.RandomState(1).standard_normal(len(TARGET))
    for quantile in (0.3, [0.45, 0.5, 0.55]):
        model = small(width=width, loss="quantile", quantile=quantile).fit(ROWS[:200], noisy[:200])
        assert_regressor_agrees(model, dtype)
    if width == 40:  # they cross, before they are sorted
        F = fitted_model(model).outputs(ROWS).values * model.y_scale_ + model.y_mean_
        assert (np.diff(F, axis=1) < 0).any()


@both_precisions
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"output_init": "gaussian"},
        {"output_init": "zero", "fit_intercept": False},
        {"width": 200, "relevance": None, "gamma": 0.2},
        {"gamma": 1.0, "width": 100},
        {"solver": "adam", "init": "bernoulli"},
        {"depth": 1},
        {"depth": 2, "output_init": "gaussian"},
        {"depth": 5, "gamma": 3.0},
        {"width": np.inf},
        {"width": np.inf, "fit_intercept": False, "gamma": 1.2},
    ],
    ids=str,
)
def test_regressor(settings, dtype):
    assert_regressor_agrees(small(**settings).fit(ROWS[:150], TARGET[:150]), dtype)


@both_precisions
@pytest.mark.parametrize("width", [40, np.inf])
def test_trained_in_single_precision_and_on_several_targets(width, dtype):
    targets = np.column_stack([TARGET, -3 * TARGET + ROWS[:, 2]])
    model = small(width=width).fit(ROWS[:150].astype(np.float32), targets[:150])
    X = ROWS.astype(dtype)
    found = run(model, X)(X)[0]
    expected = model.predict(X)
    assert found.dtype == dtype  # the estimator's own predictions have the digits of float32
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


@both_precisions
@pytest.mark.parametrize("width", [40, np.inf])
def test_predictions_within_the_range_of_the_targets(width, dtype):
    rng = np.random.RandomState(1)
    Y = np.column_stack([TARGET + 30 * rng.standard_normal(1000), ROWS[:, 3]])[:200]
    model = small(width=width, relevance="linear", standardize=False).fit(ROWS[:200].astype(dtype), Y)
    assert np.isinf(model.y_limits_).any(axis=0).tolist() == [False, True]
    far = (4 * ROWS).astype(dtype)
    predicted = model.predict(far)
    assert (predicted[:, 0] == Y[:, 0].max().astype(dtype)).any()
    assert_close(run(model, far)(far)[0], predicted, dtype)
    model.set_params(clip=True).fit(ROWS[:200].astype(dtype), Y)
    assert np.abs(model.predict(far) - predicted).max() > 1
    assert_close(run(model, far)(far)[0], model.predict(far), dtype)


@both_precisions
@pytest.mark.parametrize("width", [40, np.inf])
@pytest.mark.parametrize("complete", [True, False])
def test_units_and_gaps_are_in_the_graph(width, dtype, complete):
    A = ROWS * [1e-5, 1, 1e4, 30][: ROWS.shape[1]] + 100
    holes = np.where(np.random.RandomState(0).uniform(size=A.shape) < 0.1, np.nan, A).astype(dtype)
    fitted = A.astype(dtype) if complete else holes
    model = small(width=width, alpha=0.01).fit(fitted[:150], TARGET[:150])
    assert_close(run(model, holes)(holes)[0], model.predict(holes), dtype)


@pytest.mark.filterwarnings("ignore:.*are taken for mistakes:UserWarning")
@both_precisions
@pytest.mark.parametrize("width", [40, np.inf])
def test_mistakes_count_as_means_in_the_graph(width, dtype):
    A = ROWS * [1e-3, 1, 1e2, 30][: ROWS.shape[1]] + 10
    A[:9, 0] = np.nan
    A = A.astype(dtype)
    model = small(width=width, clip="auto").fit(A[:150], TARGET[:150])
    assert np.isfinite(model.x_believed_).all()
    for size in (3, 8, 1500):
        far = A[:200].copy()
        far[:, 1] = model.x_mean_[1] + size * np.ptp(A[:150, 1]) * (-1) ** np.arange(200)
        assert_close(run(model, far)(far)[0], model.predict(far), dtype)


def test_levels_are_refused_by_name():
    model = small(categorical_features=[0]).fit(np.round(ROWS[:150]), TARGET[:150])
    with pytest.raises(ValueError, match="categorical features cannot be exported"):
        skl2onnx.to_onnx(model, ROWS[:1])


def test_trained_on_sparse_rows():
    model = small(width=np.inf).fit(csr_matrix(ROWS[:150]), TARGET[:150])
    assert_regressor_agrees(model, np.float64)


@both_precisions
@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
@pytest.mark.parametrize("labels", [["no", "yes"], ["a", "b", "c"], [-1.0, 1.0], [3, 5, 9], [False, True]])
def test_classifier(loss, labels, dtype):
    quantiles = np.quantile(TARGET, np.linspace(0, 1, len(labels) + 1)[1:-1])
    y = np.array(labels)[np.digitize(TARGET, quantiles)]
    model = ImplicitReLUClassifier(width=30, loss=loss, max_iter=4, random_state=0).fit(ROWS[:150], y[:150])
    X = ROWS.astype(dtype)
    predict = run(model, X, zipmap=False)
    for n in (1, 7, 1000):
        found, P = predict(X[:n])
        assert_close(P, model.predict_proba(X[:n]), dtype)
        margins = np.sort(P, axis=1)
        clear = margins[:, -1] - margins[:, -2] > 1e-3
        assert_array_equal(found[clear], model.predict(X[:n])[clear])


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_classifier_at_infinite_width(loss):
    y = TARGET > 100
    model = ImplicitReLUClassifier(width=np.inf, loss=loss).fit(ROWS[:150], y[:150])
    assert_close(run(model, ROWS, zipmap=False)(ROWS)[1], model.predict_proba(ROWS), np.float64)


@pytest.mark.parametrize("width", [30, np.inf])
@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_labels(width, loss):
    Y = np.column_stack([TARGET > 100, TARGET > 120, ROWS[:, 0] > 0]).astype(int)
    model = ImplicitReLUClassifier(width, loss=loss, max_iter=4, random_state=0).fit(ROWS[:150], Y[:150])
    found, P = run(model, ROWS, zipmap=False)(ROWS)
    assert_close(P, model.predict_proba(ROWS), np.float64)
    clear = np.abs(P - 0.5) > 1e-3
    assert found.shape == Y.shape
    assert_array_equal(found[clear], model.predict(ROWS)[clear])
    *_, scores = run(model, ROWS, zipmap=False, raw_scores=True)(ROWS)
    assert_close(scores, model.decision_function(ROWS), np.float64)


def test_options_of_classifiers():
    y = np.where(TARGET > 100, "b", "a")
    model = ImplicitReLUClassifier(width=20, max_iter=2, random_state=0).fit(ROWS[:60], y[:60])
    codes, _ = run(model, ROWS, nocl=True, zipmap=False)(ROWS)
    assert_array_equal(model.classes_[codes], model.predict(ROWS))
    single = ROWS.astype(np.float32)  # ZipMap takes no other
    _, maps = run(model, single)(single[:3])
    assert maps[0].keys() == {"a", "b"}
    *_, second = run(model, ROWS, zipmap="columns")(ROWS)
    assert_close(second, model.predict_proba(ROWS)[:, 1], np.float64)


@both_precisions
def test_pipeline_and_search(dtype):
    pipeline = make_pipeline(StandardScaler(), small())
    search = GridSearchCV(pipeline, {"implicitreluregressor__gamma": [0.2, 0.4]}, cv=2)
    search.fit(ROWS[:100], TARGET[:100])
    assert_regressor_agrees(search.best_estimator_, dtype)
    assert_regressor_agrees(search, dtype)


@both_precisions
def test_column_transformer_on_a_data_frame(dtype):
    frame = pd.DataFrame(
        {"length": ROWS[:, 0], "mass": ROWS[:, 1], "site": np.where(ROWS[:, 3] > 0, "n", "s")}
    )
    columns = make_column_transformer(
        (StandardScaler(), ["length", "mass"]), (OneHotEncoder(sparse_output=False), ["site"])
    )
    model = make_pipeline(columns, small()).fit(frame[:150], TARGET[:150])
    types = skl2onnx.common.data_types
    real = {np.float64: types.DoubleTensorType, np.float32: types.FloatTensorType}[dtype]
    inputs = [
        ("length", real([None, 1])),
        ("mass", real([None, 1])),
        ("site", types.StringTensorType([None, 1])),
    ]
    exported = skl2onnx.to_onnx(model, initial_types=inputs)
    session = onnxruntime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
    for n in (1, 7, 1000):
        part = frame[:n]
        feed = {name: part[[name]].to_numpy(dtype) for name in ("length", "mass")}
        feed["site"] = part[["site"]].to_numpy(object)
        assert_close(session.run(None, feed)[0], model.predict(part), dtype)


WIDTHS = pytest.mark.parametrize("width", [20, np.inf])


def classified(n_classes):
    """Return classes 3, 4, … of all rows."""
    return 3 + np.digitize(TARGET, np.quantile(TARGET, np.linspace(0, 1, n_classes + 1)[1:-1]))


@both_precisions
@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
@WIDTHS
def test_raw_scores(width, loss, n_classes, dtype):
    y = classified(n_classes)
    model = ImplicitReLUClassifier(width, loss=loss, max_iter=2, random_state=0).fit(ROWS[:150], y[:150])
    X = ROWS.astype(dtype)
    expected = model.decision_function(X)
    if n_classes == 2:
        expected = np.column_stack([-expected, expected])
    assert_close(run(model, X, zipmap=False, raw_scores=True)(X)[1], expected, dtype)
    assert_close(np.column_stack(run(model, X, zipmap="columns", raw_scores=True)(X)[1:]), expected, dtype)
    assert_close(run(model, X, zipmap=False, raw_scores=False)(X)[1], model.predict_proba(X), dtype)


LOGISTIC = LogisticRegression(max_iter=1000)
# Each as a function of the classifier within it.
CLASSIFIERS = {
    "calibrated": lambda model: CalibratedClassifierCV(model, cv=2),
    "soft votes": lambda model: VotingClassifier(
        [("a", model), ("b", LOGISTIC)], voting="soft", flatten_transform=False
    ),
    "hard votes": lambda model: VotingClassifier(
        [("a", model), ("b", LOGISTIC), ("c", LogisticRegression(C=0.01))],
        flatten_transform=False,
    ),
    "stacked": lambda model: StackingClassifier([("a", model), ("b", LOGISTIC)], cv=2),
    "stacked scores": lambda model: StackingClassifier(
        [("a", model), ("b", LOGISTIC)], LOGISTIC, cv=2, stack_method="decision_function"
    ),
    "last of a stack": lambda model: StackingClassifier([("a", LOGISTIC)], model, cv=2),
    "bagged": lambda model: BaggingClassifier(model, 2, max_features=0.75, random_state=0),
    "one against the rest": OneVsRestClassifier,
    "one against one": OneVsOneClassifier,
    "search": lambda model: GridSearchCV(model, {"gamma": [0.2]}, cv=2),
    "pipeline": lambda model: make_pipeline(
        make_column_transformer((StandardScaler(), [1, 2]), remainder="passthrough"), model
    ),
}


# The scores of two classes, two columns of any classifier, are more than ONNX Runtime finds weights for.
@pytest.mark.parametrize(
    ("name", "n_classes"),
    [(name, n) for name in CLASSIFIERS for n in (2, 5) if (name, n) != ("stacked scores", 2)],
)
@WIDTHS
def test_classifiers_within_others(width, name, n_classes):
    y = classified(n_classes)
    model = CLASSIFIERS[name](ImplicitReLUClassifier(width, max_iter=2, random_state=0))
    model.fit(ROWS[:150], y[:150])
    found, P, *_ = run(model, ROWS, zipmap=False)(ROWS)
    if name == "one against one":  # of any classifier, the codes of the classes
        found = model.classes_[found.ravel()]
    assert np.mean(found == model.predict(ROWS)) > 0.998
    if hasattr(model, "predict_proba"):
        assert_close(P, model.predict_proba(ROWS), np.float64)
    elif hasattr(model, "decision_function"):
        assert_close(P if n_classes > 2 else P[:, 1], model.decision_function(ROWS), np.float64)


@WIDTHS
def test_isotonic_calibration_is_within_a_step(width):
    """skl2onnx takes the nearest of the steps where scikit-learn interpolates."""
    y = classified(2)
    model = CalibratedClassifierCV(
        ImplicitReLUClassifier(width, max_iter=2, random_state=0), method="isotonic", cv=2
    ).fit(ROWS[:150], y[:150])
    _, P = run(model, ROWS, zipmap=False)(ROWS)
    expected = []
    for part in model.calibrated_classifiers_:
        (calibrator,), scores = part.calibrators, part.estimator.decision_function(ROWS)
        steps = calibrator.X_thresholds_
        clipped = np.clip(scores, calibrator.X_min_, calibrator.X_max_)
        expected.append(calibrator.y_thresholds_[np.abs(clipped[:, None] - steps).argmin(axis=1)])
    apart = np.abs(P[:, 1] - np.mean(expected, axis=0))
    assert np.mean(apart < 1e-6) > 0.99  # what is half way between two steps goes to either


@WIDTHS
def test_several_outputs_of_classifiers(width):
    Y = np.column_stack([classified(2), ROWS[:, 0] > 0])
    model = MultiOutputClassifier(ImplicitReLUClassifier(width, max_iter=2, random_state=0))
    found, P = run(model.fit(ROWS[:150], Y[:150]), ROWS, zipmap=False)(ROWS)
    assert_array_equal(found, model.predict(ROWS))
    for part, expected in zip(P, model.predict_proba(ROWS), strict=True):
        assert_close(part, expected, np.float64)


REGRESSORS = {
    "votes": lambda model: VotingRegressor([("a", model), ("b", Ridge())]),
    "stacked": lambda model: StackingRegressor([("a", model), ("b", Ridge())], cv=2, passthrough=True),
    "last of a stack": lambda model: StackingRegressor([("a", Ridge()), ("b", Ridge(10))], model, cv=2),
    "bagged": lambda model: BaggingRegressor(model, 2, max_features=0.75, random_state=0),
    "several outputs": MultiOutputRegressor,
    "against the rest": OneVsRestClassifier,
}


@both_precisions
@pytest.mark.parametrize("name", list(REGRESSORS))
@WIDTHS
def test_regressors_within_others(width, name, dtype):
    model = REGRESSORS[name](small(width=width, max_iter=2))
    if name == "against the rest":
        model.fit(ROWS[:150], classified(3)[:150])
        X = ROWS.astype(dtype)
        assert np.mean(run(model, X, zipmap=False)(X)[0] == model.predict(X)) > 0.998
        return
    Y = np.column_stack([TARGET, ROWS[:, 2]]) if name == "several outputs" else TARGET
    assert_regressor_agrees(model.fit(ROWS[:150], Y[:150]), dtype)


@both_precisions
@pytest.mark.parametrize("settings", [{}, {"depth": 3}, {"width": np.inf}], ids=str)
def test_versions_of_onnx(settings, dtype):
    """From the oldest that has all of the operators on; those before are refused by name."""
    model = small(max_iter=2, relevance="auto", clip=True, **settings).fit(ROWS[:150], TARGET[:150])
    X = ROWS.astype(dtype)
    for version in (12, 13, 18):
        assert_close(run(model, X, target_opset=version)(X)[0], model.predict(X), dtype)
    with pytest.raises(ValueError, match=r"ImplicitReLURegressor needs target_opset >= 12; got 11"):
        run(model, X, target_opset=11)


def test_perceptron():
    mlp = MLPRegressor(hidden_layer_sizes=(8, 8), solver="lbfgs", max_iter=50, random_state=0, tol=1e-2)
    model = ImplicitReLURegressor.from_mlp(mlp.fit(ROWS[:100] / 10, TARGET[:100] / 100))
    assert_regressor_agrees(model, np.float64, ROWS / 10)


def test_rows_do_not_depend_on_their_neighbours():
    model = small(gamma=0.5).fit(ROWS[:150], TARGET[:150])
    predict = run(model, ROWS)
    together = predict(ROWS)[0]
    alone = np.vstack([predict(ROWS[i : i + 1])[0] for i in range(20)])
    assert np.abs(alone - together[:20]).max() < 1e-9 * np.abs(together).max()
    poisoned = ROWS.copy()
    poisoned[3] = np.inf
    found = predict(poisoned)[0]
    assert np.isnan(found[3]).all()
    others = np.arange(1000) != 3
    assert np.abs(found - together)[others].max() < 1e-9 * np.abs(together).max()
    assert predict(ROWS[:0])[0].shape == (0, 1)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("depth", [1, 3])
def test_rows_of_a_finite_network_that_are_not_numbers_stay_so(depth, clip):
    model = small(depth=depth, clip=clip).fit(ROWS[:100], TARGET[:100])
    predict = run(model, ROWS)
    poisoned = ROWS.copy()
    poisoned[3, 1], poisoned[5, 0] = -np.inf, np.inf
    lost = np.isin(np.arange(1000), [3, 5])
    assert np.isnan(predict(poisoned)[0][lost]).all()
    assert np.abs(predict(poisoned)[0] - predict(ROWS)[0])[~lost].max() < 1e-9


def test_classifier_of_finite_depth():
    y = np.digitize(TARGET, [90, 110])
    model = ImplicitReLUClassifier(width=30, depth=3, max_iter=4, random_state=0).fit(ROWS[:150], y[:150])
    _, P = run(model, ROWS, zipmap=False)(ROWS)
    assert_close(P, model.predict_proba(ROWS), np.float64)


def test_a_row_stays_as_it_is_once_its_step_is_small(monkeypatch):
    """Seen at a tolerance so loose that what further steps would change shows."""
    model = small().fit(ROWS[:100], TARGET[:100])
    loop = Loop(np.dtype(np.float64), 1e-2, max_iter=2000)
    monkeypatch.setattr("sk_implicit.onnx._equilibrium.certified_loop", lambda *_: loop)
    far = np.vstack([ROWS, np.zeros((1, 4))])
    predict = run(model, far)
    together = predict(far)[0]
    alone = np.vstack([predict(far[i : i + 1])[0] for i in range(100)])
    assert np.abs(alone - together[:100]).max() < 1e-11 * np.abs(together).max()
    assert np.abs(model.predict(far) - together[:, 0]).max() > 1e-5 * np.abs(together).max()


def test_training_rows_have_the_cosine_one_at_infinite_width():
    """Cosines are rounded, as in the kernel of the fit: it bends like the root of one less a cosine."""
    X = 1 + 1e-3 * np.random.RandomState(0).standard_normal((150, 4))
    model = ImplicitReLURegressor(width=np.inf, alpha=1e-9, relevance=None, clip=False).fit(X, TARGET[:150])
    found, expected = run(model, X)(X)[0][:, 0], model.predict(X)
    assert np.abs(found - expected).max() < 1e-7 * np.abs(expected).max()


def test_rows_without_an_equilibrium_in_time_are_nan(monkeypatch):
    model = small().fit(ROWS[:100], TARGET[:100])
    loop = Loop(np.dtype(np.float64), 1e-11, max_iter=2)
    monkeypatch.setattr("sk_implicit.onnx._equilibrium.certified_loop", lambda *_: loop)
    assert np.isnan(run(model, ROWS)(ROWS)[0]).all()


@both_precisions
@pytest.mark.parametrize("contraction", [0.95, 0.997])
@pytest.mark.parametrize("width", [1, 10])
def test_loops_last_until_every_row_has_its_equilibrium(width, contraction, dtype):
    """Each step of theirs shortens the slowest direction by the contraction, and no more than that."""
    classes = np.array(list("abc"))[np.digitize(TARGET, [90, 110])]
    model = ImplicitReLUClassifier(width, max_iter=2, random_state=0).fit(ROWS[:100], classes[:100])
    direction = np.random.RandomState(0).uniform(1, 2, width)
    direction /= np.linalg.norm(direction)
    model.A_ = contraction * np.sqrt(width) / model.gamma * np.outer(direction, direction)
    X = ROWS.astype(dtype)
    found, P = run(model, X, zipmap=False)(X)
    expected = model.predict_proba(X)
    assert_close(P, expected, dtype)
    best_two = np.sort(expected, axis=1)[:, -2:]
    clear = best_two[:, 1] - best_two[:, 0] > 1e-3
    assert_array_equal(found[clear], model.predict(X)[clear])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_rows_of_unknown_probabilities_are_of_the_first_class(n_classes):
    y = np.digitize(TARGET, np.quantile(TARGET, np.linspace(0, 1, n_classes + 1)[1:-1])) + 5
    model = ImplicitReLUClassifier(20, max_iter=2, random_state=0).fit(ROWS[:100], y[:100])
    poisoned = ROWS.copy()
    poisoned[3, 0], poisoned[8, 1] = -np.inf, np.inf
    found, P = run(model, ROWS, zipmap=False)(poisoned)
    assert np.isnan(P[[3, 8]]).all() and not np.isnan(np.delete(P, [3, 8], axis=0)).any()
    assert_array_equal(found[[3, 8]], 5)


def test_networks_that_plain_iteration_does_not_solve_are_refused():
    model = small().fit(ROWS[:100], TARGET[:100])
    model.A_ = -8 * np.abs(model.A_)  # flips between none and all of the units
    with pytest.raises(ValueError, match=r"are not reached by 2000 plain iterations .* smaller gamma"):
        run(model, ROWS)


@both_precisions
def test_networks_with_several_equilibria_are_refused_unless_the_same_are_found(dtype):
    half = 65  # units of different blocks: a Gauss-Seidel sweep turns them on one after the other
    model = small(width=2 * half, relevance=None).fit(ROWS[:100], TARGET[:100])
    own, other = np.eye(half), -0.8 * np.eye(half)  # of each pair, one unit turns the other off
    pairs = np.block([[0.5 * own, other], [other, 0.5 * own]])
    model.A_ = pairs * np.sqrt(2 * half) / model.gamma
    X = ROWS.astype(dtype)
    with pytest.raises(
        ValueError, match=r"not the only ones: .* equilibrium_solver='auto'\. Fit .*='picard'"
    ):
        run(model, X)
    assert_regressor_agrees(model.set_params(equilibrium_solver="picard"), dtype)


def test_unfitted_estimators_and_numbers_out_of_range_are_refused():
    with pytest.raises(NotFittedError):
        run(small(), ROWS)
    model = small().fit(ROWS[:60], 1e60 * TARGET[:60])
    with pytest.raises(ValueError, match=r"beyond the range of float32.*DoubleTensorType"):
        run(model, ROWS.astype(np.float32))
    assert_regressor_agrees(model, np.float64)


def test_registering_again_changes_nothing():
    model = small().fit(ROWS[:100], TARGET[:100])
    before = run(model, ROWS)(ROWS)[0]
    register()
    register()
    assert_array_equal(run(model, ROWS)(ROWS)[0], before)


def test_importing_works_without_skl2onnx_and_tells_when_asked():
    code = (
        "import sys\nsys.modules['skl2onnx'] = None\nimport sk_implicit.onnx\n"
        "try:\n    sk_implicit.onnx.register()\nexcept ImportError as error:\n    print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert 'pip install "sk-implicit[onnx]"' in said


def test_missing_skl2onnx_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r'pip install "sk-implicit\[onnx\]"'):
        register()
