"""Multilabel classification: independent sigmoids, at both widths."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import f1_score, log_loss
from sklearn.model_selection import cross_val_predict
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.estimator_checks import check_classifier_multioutput

from sk_implicit import ImplicitReLUClassifier
from sk_implicit.display import WidthDisplay
from sk_implicit.limit import limit_kernel
from sk_implicit.training import SOLVERS

WIDTHS = [20, np.inf]
pytestmark = pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")


def problem(n=120, k=3, seed=0):
    """Rows, labels that are functions of theirs, and rows whose labels are not shown."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((2 * n, 4))
    scores = np.column_stack([X[:, 0] * X[:, 1], np.sin(2 * X[:, 2]), X[:, 3] - 0.5, -X[:, 0]])[:, :k]
    Y = (scores + 0.3 * rng.standard_normal((2 * n, k)) > 0).astype(int)
    return X[:n], Y[:n], X[n:], Y[n:]


def classifier(width=20, **parameters):
    return ImplicitReLUClassifier(width, **({"random_state": 0, "max_iter": 10} | parameters))


def mean_log_loss(Y, P):
    return np.mean([log_loss(y, p, labels=[0, 1]) for y, p in zip(Y.T, P.T)])


def test_infinite_width_is_the_minimum_of_each_labels_cross_entropy():
    """Against a minimiser that knows neither curvature nor factorisation."""
    X, Y, *_ = problem(n=30, k=2)
    model = classifier(np.inf, alpha=0.1).fit(X, Y)
    K = limit_kernel(model.X_fit_, gamma=0.4)
    a = 0.1 * np.mean(np.diag(K))
    root = np.linalg.cholesky(K + 1e-10 * np.eye(30))
    order = [int(np.flatnonzero((model._inputs.apply(X) == row).all(axis=1))[0]) for row in model.X_fit_]
    for c in range(2):
        soft = (1e-3 * (0.5 - Y) + Y)[order, c]
        base = np.log(Y[:, c].mean() / (1 - Y[:, c].mean()))

        def objective(beta, soft=soft, base=base):
            f = root @ beta + base
            value = np.sum(np.logaddexp(0, f) - soft * f) + 0.5 * a * beta @ beta
            return value, root.T @ (expit(f) - soft) + a * beta

        best = minimize(objective, np.zeros(30), jac=True, method="BFGS", options={"gtol": 1e-10})
        scores = root @ best.x + base
        assert_allclose(model.decision_function(X)[order, c], scores, atol=1e-5)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_probabilities_are_those_of_the_labels(width, loss):
    X, Y, X_new, Y_new = problem()
    model = classifier(60 if width == 20 else width, loss=loss).fit(X, Y)
    P, F = model.predict_proba(X_new), model.decision_function(X_new)
    assert P.shape == F.shape == Y_new.shape
    predicted = model.predict(X_new)
    assert_array_equal(predicted, (P > 0.5).astype(int))
    assert_array_equal(predicted, (F > 0).astype(int))
    expected = expit(F) if loss == "log_loss" else np.clip((1 + F) / 2, 1e-3, 1 - 1e-3)
    assert_allclose(P, expected, rtol=1e-10)
    assert_allclose(model.predict_log_proba(X_new), np.log(P), rtol=1e-8)
    assert_array_equal(model.classes_, [0, 1, 2])
    assert model.multilabel_
    assert mean_log_loss(Y_new, P) < 0.75 * mean_log_loss(Y_new, np.tile(Y.mean(axis=0), (len(X_new), 1)))
    assert model.score(X_new, Y_new) == np.mean((predicted == Y_new).all(axis=1))


@pytest.mark.parametrize("width", WIDTHS)
def test_labels_are_independent_of_each_other(width):
    """At a given penalty, each is what it is alone; at finite width they share A and W."""
    X, Y, X_new, _ = problem()
    model = classifier(width, alpha=0.1).fit(X, Y)
    assert_array_equal(model.fit(X, Y[:, ::-1]).classes_, np.arange(3))
    if width == np.inf:
        for c in range(3):
            alone = classifier(width, alpha=0.1).fit(X, Y[:, ::-1][:, c])
            assert_allclose(model.decision_function(X_new)[:, c], alone.decision_function(X_new), atol=1e-6)
    several = model.predict_proba(X_new)
    assert np.ptp(several.sum(axis=1)) > 0.5


def test_as_good_as_a_classifier_for_each_label():
    X, Y, X_new, Y_new = problem()
    joint = mean_log_loss(Y_new, classifier(100).fit(X, Y).predict_proba(X_new))
    alone = MultiOutputClassifier(classifier(100)).fit(X, Y).predict_proba(X_new)
    alone = mean_log_loss(Y_new, np.column_stack([P[:, 1] for P in alone]))
    assert joint < 1.1 * alone


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_learns_the_labels(solver):
    X, Y, *_ = problem(n=60)
    model = classifier(solver=solver, max_iter=60, alpha=1e-3).fit(X, Y)
    assert model.loss_ < 0.8 * model.history_["loss"][0]
    constant = Y.mean(axis=0)
    entropy = -np.mean(constant * np.log(constant) + (1 - constant) * np.log(1 - constant))
    assert model.history_["loss"][0] == pytest.approx(entropy)  # a mean over rows and labels


@pytest.mark.parametrize("width", WIDTHS)
def test_weights_are_repetitions(width):
    X, Y, *_ = problem(n=40)
    weights = np.random.default_rng(0).integers(0, 3, 40)
    weighted, repeated = (classifier(width, alpha=0.1) for _ in range(2))
    weighted.fit(X, Y, weights)
    repeated.fit(np.repeat(X, weights, axis=0), np.repeat(Y, weights, axis=0))
    assert_allclose(weighted.decision_function(X), repeated.decision_function(X), rtol=1e-6)


@pytest.mark.parametrize("width", WIDTHS)
def test_forms_of_the_same_labels(width):
    X, Y, *_ = problem(n=40)
    expected = classifier(width).fit(X, Y).predict_proba(X)
    for form in (Y.tolist(), list(Y), Y.astype(bool), Y.astype(float), csr_array(Y), csr_array(Y).tocoo()):
        assert_array_equal(classifier(width).fit(X, form).predict_proba(X), expected)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    model = classifier(width).fit(frame, pandas.DataFrame(Y))
    loaded = pickle.loads(pickle.dumps(model))
    assert loaded.multilabel_
    assert_array_equal(loaded.predict_proba(frame), expected)


def test_a_label_that_all_rows_or_none_have():
    X, Y, X_new, _ = problem(n=40)
    Y[:, 0], Y[:, 1] = 1, 0
    for width in WIDTHS:
        P = classifier(width).fit(X, Y).predict_proba(X_new)
        assert P[:, 0].min() > 0.9 and P[:, 1].max() < 0.1
        assert np.isfinite(P).all()


def test_early_stopping_and_warm_start():
    X, Y, X_new, Y_new = problem()
    model = classifier(early_stopping=True).fit(X, Y)
    held_out = -model.best_validation_score_
    assert 0.1 < held_out < mean_log_loss(Y_new, np.tile(Y.mean(axis=0), (len(X_new), 1)))
    model = classifier(warm_start=True, max_iter=2).fit(X, Y)
    before = model.loss_
    assert model.fit(X, Y).loss_ < before
    with pytest.raises(ValueError, match="an indicator matrix of labels and is now one class for each row"):
        model.fit(X, Y[:, 0])
    with pytest.raises(ValueError, match="classes were"):
        model.fit(X, Y[:, :2])


def test_single_precision():
    X, Y, X_new, _ = problem()
    for width in WIDTHS:
        single = classifier(width, alpha=0.1).fit(X.astype(np.float32), Y).predict_proba(X_new)
        assert single.dtype == np.float32
        double = classifier(width, alpha=0.1).fit(X, Y).predict_proba(X_new)
        assert_allclose(single, double, atol=2e-2)


def test_in_cross_validation_beside_neighbours():
    X, Y = make_multilabel_classification(150, 8, n_classes=4, random_state=0)
    ours, theirs = (
        f1_score(Y, cross_val_predict(model, X, Y, cv=3), average="macro")
        for model in (classifier(60), KNeighborsClassifier(15))
    )
    assert ours > theirs - 0.05


@pytest.mark.parametrize("width", WIDTHS)
def test_the_check_of_several_outputs(width):
    """scikit-learn calls it for estimators of any number of outputs; it holds for labels."""
    check_classifier_multioutput("ImplicitReLUClassifier", clone(classifier(width)))


def test_what_is_no_indicator_matrix_is_refused():
    X, Y, *_ = problem(n=20)
    with pytest.raises(ValueError, match=r"labels that a row has .* got other values"):
        classifier().fit(X, Y + 1)
    with pytest.raises(ValueError, match="MultiOutputClassifier"):
        classifier().fit(X, np.arange(60).reshape(20, 3) % 3)
    with pytest.raises(ValueError, match="Unknown label type"):
        classifier().fit(X, Y + 0.5)
    with pytest.raises(ValueError, match="multilabel rows have none; got class_weight='balanced' and 3"):
        classifier(class_weight="balanced").fit(X, Y)


def test_widths_are_compared_by_the_mean_log_loss_of_the_labels():
    pytest.importorskip("matplotlib").use("Agg")
    X, Y, X_new, Y_new = problem(n=40)
    tests = {"X_test": X_new, "y_test": Y_new, "random_states": (0,)}
    display = WidthDisplay.from_estimator(classifier(), X, Y, widths=[10], **tests)
    model = classifier(10).fit(X, Y)
    assert display.curves.train_loss[0, 0] == pytest.approx(mean_log_loss(Y, model.predict_proba(X)))
    assert display.curves.test_loss[0, 0] == pytest.approx(mean_log_loss(Y_new, model.predict_proba(X_new)))
