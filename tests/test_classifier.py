"""`ImplicitReLUClassifier`: what it predicts, its weights, its losses, and its training."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import rows
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris, load_wine, make_circles
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sk_implicit import ImplicitReLUClassifier
from sk_implicit.function_space.losses import BinaryCrossEntropy, CrossEntropy
from sk_implicit.inputs import relevance
from sk_implicit.network import Shape, draw_network, weight_views
from sk_implicit.training import SOLVERS, Objective, tangent_system
from sk_implicit.training.lm import LevenbergMarquardt, LMSettings, LMState
from sk_implicit.training.nystroem import NystroemFactor, NystroemSystem

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    X, y = StandardScaler().fit_transform(X), np.array(["setosa", "versicolor", "virginica"])[y]
    X.flags.writeable = y.flags.writeable = False
    return X, y


def classifier(**parameters):
    defaults = {"width": 30, "random_state": 0, "max_iter": 6}
    return ImplicitReLUClassifier(**{**defaults, **parameters})


def goal(k, n=7, m=12, alpha=0.7, seed=0):
    """Return the objective of a small classification problem with uneven weights."""
    rng = np.random.RandomState(seed)
    X = rows(n, 4, seed=seed + 1)
    codes = np.arange(n) % max(k, 2)
    Y = codes[:, None].astype(float) if k == 1 else np.eye(k)[codes]
    start = draw_network(Shape(m, 4, k), 0.4, rng)
    loss = (CrossEntropy if k > 1 else BinaryCrossEntropy)(np.linspace(-0.5, 0.5, k))
    weights = rng.uniform(0.3, 3, n)
    return Objective(X, Y, weights, start, penalty=alpha, loss=loss, equilibrium_tol=1e-13)


def jacobian(objective, point):
    """Return J, output by output, (k n, n_weights)."""
    tangent, (n, k) = objective.tangent(point), objective.Y.shape
    return np.stack([tangent.vjp(np.eye(n * k)[j].reshape((n, k), order="F")) for j in range(n * k)])


@pytest.mark.parametrize("k", [1, 3])
def test_gradient_agrees_with_finite_differences(k):
    objective = goal(k, n=5, m=6)
    theta = objective.start.theta + 0.3 * np.random.RandomState(1).standard_normal(objective.start.theta.size)
    gradient, _ = objective.gradient(objective.evaluate(theta))
    for j in np.random.RandomState(2).choice(theta.size, 25, replace=False):
        step = np.zeros_like(theta)
        step[j] = 1e-6
        values = [objective.evaluate(theta + sign * step).value for sign in (1, -1)]
        assert_allclose(gradient[j], (values[0] - values[1]) / 2e-6, atol=1e-7)


@pytest.mark.parametrize("k", [1, 3])
def test_step_is_the_generalised_gauss_newton_step_in_the_weights(k):
    objective, rng = goal(k), np.random.RandomState(3)
    drift = 0.05 * rng.standard_normal(objective.start.theta.size)
    point = objective.evaluate(objective.start.theta + drift)
    solver = LevenbergMarquardt(LMSettings(max_corrections=0))
    new, _, mu = solver.step(objective, point, LMState(damping=0.01))
    J, (n, _) = jacobian(objective, point), objective.Y.shape
    P = objective.Y - point.residual
    B = np.zeros((k * n, k * n))
    for i in range(n):
        rows_of_i = i + n * np.arange(k)
        hessian = P[i] * (1 - P[i]) * np.eye(1) if k == 1 else np.diag(P[i]) - np.outer(P[i], P[i])
        B[np.ix_(rows_of_i, rows_of_i)] = objective.weights[i] * hessian
    scale = np.average(np.mean(np.sum(J**2, axis=1).reshape(k, n), axis=0), weights=objective.weights)
    scale *= np.prod(objective.weights) ** (1 / n)
    normal = J.T @ B @ J + (objective.penalty + mu * scale) * np.eye(J.shape[1])
    right = J.T @ (objective.weights[:, None] * point.residual).ravel(order="F") - objective.penalty * drift
    delta = np.linalg.solve(normal, right)
    assert_allclose(new.network.theta - point.network.theta, delta, atol=1e-7 * np.abs(delta).max())


@pytest.mark.parametrize("k", [1, 3])
def test_systems_by_iteration_agree_with_those_by_factorisation(k):
    objective = goal(k)
    tangent = objective.tangent(objective.first)
    curvature, q = objective.curvature(objective.first)
    dense = tangent_system.DenseSystem(tangent)
    kernel = tangent_system.kernel_block(tangent)
    iterative = tangent_system.IterativeSystem(tangent, kernel, 1e-12)
    expected = dense.solve(q, curvature, 0.3)
    assert_allclose(iterative.solve(q, curvature, 0.3), expected, atol=1e-9)
    factor = NystroemFactor.of(tangent, 5)
    loose = NystroemSystem(tangent, factor).solve(q, curvature, 0.3)
    assert_allclose(loose, expected, atol=0.2 * np.linalg.norm(expected))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_every_solver_separates_iris(solver, loss, iris):
    X, y = iris
    model = classifier(solver=solver, loss=loss, alpha=1e-2, max_iter=40).fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.loss_curve_[-1] < 0.5 * model.history_["loss"][0]
    assert len(model.loss_curve_) == model.n_iter_
    assert model.contraction_ < 1


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_predictions_agree_with_each_other(loss, n_classes, iris):
    X, y = (part[: 50 * n_classes] for part in iris)
    model = classifier(loss=loss, alpha=1e-2).fit(X, y)
    P, scores = model.predict_proba(X), model.decision_function(X)
    assert_array_equal(model.classes_, np.unique(y))
    assert P.shape == (len(X), n_classes)
    assert_allclose(P.sum(axis=1), 1, rtol=1e-12)
    assert_array_equal(model.predict(X), model.classes_[P.argmax(axis=1)])
    assert_allclose(np.exp(model.predict_log_proba(X)), P, rtol=1e-10)
    if n_classes == 2:
        assert scores.shape == (len(X),)
        assert_array_equal(scores > 0, P[:, 1] > 0.5)
        assert model.U_.shape == (1, 30)
    if loss == "log_loss":
        odds = np.log(P[:, 1] / P[:, 0])
        assert_allclose(odds, scores if n_classes == 2 else scores[:, 1] - scores[:, 0], atol=1e-8)


def test_default_predicts_real_data_well_and_calibrated():
    X, y = load_breast_cancer(return_X_y=True)
    X, X_test, y, y_test = train_test_split(StandardScaler().fit_transform(X), y, random_state=0)
    scores, losses = [], []
    for seed in range(3):  # of 143 rows, one more or less is chance
        model = ImplicitReLUClassifier(width=100, random_state=seed).fit(X, y)
        scores.append(model.score(X_test, y_test))
        losses.append(-np.mean(np.log(model.predict_proba(X_test)[np.arange(len(y_test)), y_test])))
        assert 0.8 < model.loo_score_ < 1
    assert np.mean(scores) >= 0.95
    assert np.mean(losses) < 0.15


def test_class_weight_multiplies_sample_weight(iris):
    X, y = iris
    given = np.random.RandomState(0).uniform(0.5, 2, len(y))
    factors = {"setosa": 1.0, "versicolor": 3.0, "virginica": 0.5}
    both = classifier(class_weight=factors, alpha=1e-2).fit(X, y, given)
    product = classifier(alpha=1e-2).fit(X, y, given * np.array([factors[c] for c in y]))
    assert_allclose(both.predict_proba(X), product.predict_proba(X), rtol=1e-9)


def test_balanced_classes_have_equal_weight(iris):
    X, y = (part[:80] for part in iris)  # 50 and 30
    given = np.random.RandomState(0).uniform(0.5, 2, len(y))
    balanced = classifier(class_weight="balanced", alpha=1e-2).fit(X, y, given)
    first = y == "setosa"
    equal = np.where(first, given / given[first].sum(), given / given[~first].sum())
    by_hand = classifier(alpha=1e-2).fit(X, y, equal * given.sum() / 2)
    assert_allclose(balanced.predict_proba(X), by_hand.predict_proba(X), rtol=1e-8)
    assert_allclose(balanced.y_mean_, 0, atol=1e-12)


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_weight_two_is_the_row_twice_and_weight_zero_its_absence(loss, iris):
    X, y = (part[:110] for part in iris)
    weights = np.random.RandomState(0).randint(0, 3, len(y)).astype(float)
    repeated = np.repeat(np.arange(len(y)), weights.astype(int))
    weighted = classifier(loss=loss).fit(X, y, weights)
    copied = classifier(loss=loss).fit(X[repeated], y[repeated])
    assert_allclose(weighted.predict_proba(X), copied.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("width", [30, np.inf])
def test_a_common_factor_of_small_weights_does_not_matter(iris, width):
    X, y = (part[::2] for part in iris)  # none of them twice
    model = classifier(width=width).fit(X, y)
    for factor in (1e-6, 1e-200):
        scaled = classifier(width=width).fit(X, y, np.full(len(y), factor))
        assert_allclose(scaled.alpha_, factor * model.alpha_, rtol=1e-6)
        assert_allclose(scaled.predict_proba(X), model.predict_proba(X), atol=1e-6)
    assert model.score(X, y) > 0.9


@pytest.mark.parametrize(
    ("class_weight", "named"),
    [
        ({"setosa": -1}, "'setosa': -1.0"),
        ({"setosa": np.nan}, "'setosa': nan"),
        ({"setosa": np.inf}, "'setosa': inf"),
        ({"setosa": 0, "versicolor": 0, "virginica": 0}, "'virginica': 0.0"),
    ],
    ids=str,
)
def test_class_weights_that_weigh_nothing_are_refused(iris, class_weight, named):
    with pytest.raises(ValueError, match=rf"class_weight must give finite weights >= 0, .*{named}"):
        classifier(class_weight=class_weight).fit(*iris)


@pytest.mark.parametrize("width", [30, np.inf])
@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_features_that_are_all_zero_say_nothing(width, loss, n_classes):
    X, y = np.zeros((6, 2)), np.arange(6) % n_classes
    model = classifier(width=width, loss=loss, fit_intercept=False).fit(X, y)
    assert_allclose(model.predict_proba(X), 1 / n_classes)


def test_without_learning_the_shares_of_the_classes_are_predicted(iris):
    X, y = (part[:120] for part in iris)
    model = classifier(alpha=1e9, max_iter=1).fit(X, y)
    assert_allclose(model.predict_proba(X[:5]), np.tile([50 / 120, 50 / 120, 20 / 120], (5, 1)), atol=1e-5)


def test_sparse_rows_are_their_dense_ones(iris):
    X, y = iris
    dense = classifier(alpha=1e-2).fit(X, y)
    csr = classifier(alpha=1e-2).fit(sparse.csr_array(X), y)
    assert_allclose(csr.predict_proba(sparse.csr_array(X)), dense.predict_proba(X), atol=1e-7)


def test_single_precision_is_kept(iris):
    X, y = iris
    model = classifier(alpha=1e-2).fit(X.astype(np.float32), y)
    assert model.A_.dtype == np.float32
    expected = classifier(alpha=1e-2).fit(X, y).predict_proba(X)
    assert_allclose(model.predict_proba(X.astype(np.float32)), expected, atol=0.02)


def test_early_stopping_keeps_the_best_weights_of_stratified_rows(iris):
    X, y = iris
    model = classifier(early_stopping=True, validation_fraction=0.2, n_iter_no_change=3, max_iter=10)
    model.fit(X, y)
    assert len(model.validation_scores_) == model.n_iter_
    assert model.best_validation_score_ >= max(model.validation_scores_)
    codes = np.unique(y, return_inverse=True)[1]
    indicators = np.eye(3)[codes]
    strata = model._strata(indicators)
    assert_array_equal(strata, codes)
    assert model._strata(indicators[:101]) is None  # one row of the third class


def test_warm_start_continues(iris):
    X, y = iris
    model = classifier(alpha=1e-2, warm_start=True, max_iter=2).fit(X, y)
    first = list(model.loss_curve_)
    model.fit(X, y)
    assert model.loss_curve_[: len(first)] == first
    assert len(model.loss_curve_) > len(first)
    straight = classifier(alpha=1e-2, max_iter=4).fit(X, y)
    assert_allclose(model.loss_curve_, straight.loss_curve_, rtol=1e-6)


def test_warm_start_refuses_other_classes_and_another_loss(iris):
    X, y = iris
    model = classifier(alpha=1e-2, warm_start=True, max_iter=1).fit(X, y)
    with pytest.raises(ValueError, match="the classes were"):
        clone_fitted(model).fit(X, np.char.upper(y))
    with pytest.raises(ValueError, match="loss was 'log_loss' and is now 'squared_error'"):
        clone_fitted(model).set_params(loss="squared_error").fit(X, y)


def clone_fitted(model):
    """Return a copy of a fitted model that a failed fit may spoil."""
    copy = clone(model)
    copy.__dict__.update(model.__dict__)
    return copy


@pytest.mark.parametrize("weights", [None, "second class only"])
def test_one_class_is_refused(weights, iris):
    X, y = (part[:100] for part in iris)
    if weights is None:
        y = y[:50].repeat(2)
    else:
        weights = (y == "versicolor").astype(float)
    with pytest.raises(ValueError, match="at least 2 classes with a positive weight; got 1"):
        classifier().fit(X, y, weights)


def test_views_of_the_weights_have_one_row_for_each_class(iris):
    X, y = iris
    model = classifier(alpha=1e-2, max_iter=1).fit(X, y)
    parts = weight_views(np.zeros(30 * (30 + 5 + 6)), Shape(30, 5, 3))
    assert [part.shape for part in parts] == [part.shape for part in (model.A_, model.W_, model.U_, model.V_)]


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_probabilities_of_float32_are_scored_without_a_warning(loss, iris):
    X, y = iris
    model = classifier(loss=loss, early_stopping=True, max_iter=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X.astype(np.float32), y)
        F = np.random.RandomState(0).standard_normal((500, 3)).astype(np.float32)
        model._log_score(np.eye(3)[np.arange(500) % 3], F, np.ones(500))
    assert len(model.validation_scores_) == model.n_iter_


@pytest.mark.parametrize("random_state", range(5))
def test_features_as_they_come_are_fitted(random_state):
    """One of wine's is a thousand times larger than others, and its kernel singular in float32."""
    X, y = load_wine(return_X_y=True)
    assert ImplicitReLUClassifier(random_state=random_state).fit(X, y).score(X, y) > 0.7


@pytest.mark.parametrize("width", [30, np.inf])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 1, 1: 1.5}])
def test_counts_are_rows_whatever_the_classes_weigh(width, class_weight):
    cells = np.repeat([0.0, 1, 2, 3], 2)[:, None]
    y, counts = np.tile([0, 1], 4), np.array([95, 10, 60, 40, 40, 60, 10, 90])
    rows = np.repeat(np.arange(8), counts)
    model = ImplicitReLUClassifier(width, class_weight=class_weight, random_state=0)
    table = clone(model).fit(cells, y, counts).predict_proba(cells[::2])
    assert_allclose(table, model.fit(cells[rows], y[rows]).predict_proba(cells[::2]), rtol=1e-10)
    assert table[0, 1] < 0.3 and table[-1, 1] > 0.7


def test_a_common_factor_of_weights_does_not_move_the_penalties_that_are_tried(iris):
    X, y = iris
    one = ImplicitReLUClassifier(np.inf).fit(X, y)
    for factor in (0.37, 2.0, 3.0):
        other = ImplicitReLUClassifier(np.inf).fit(X, y, np.full(len(y), factor))
        assert_allclose(other.alpha_, factor * one.alpha_, rtol=1e-8)
        assert_allclose(other.predict_proba(X), one.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("width", [20, np.inf])
def test_probabilities_are_of_the_loss_that_was_fitted(width, iris):
    X, y = iris
    model = ImplicitReLUClassifier(width, random_state=0).fit(X, y)
    P, log_P = model.predict_proba(X), model.predict_log_proba(X)
    model.set_params(loss="squared_error")
    assert_array_equal(model.predict_proba(X), P)
    assert_array_equal(model.predict_log_proba(X), log_P)


def test_training_that_explains_far_less_than_leave_one_out_is_reported(monkeypatch):
    X, y = make_circles(200, noise=0.05, factor=0.5, random_state=0)
    model = ImplicitReLUClassifier(relevance="linear", random_state=0)
    model.fit(StandardScaler().fit_transform(X), y)  # a power of what was learnt starves no unit
    monkeypatch.setattr(relevance, "SETTINGS", replace(relevance.SETTINGS, power_of_classes=1.0))
    with pytest.warns(ConvergenceWarning, match="explains .* on rows left out.*relevance=None"):
        model.fit(StandardScaler().fit_transform(X), y)
    model.set_params(relevance=None).fit(StandardScaler().fit_transform(X), y)  # warnings are errors


def test_a_system_that_cannot_be_factorised_ends_the_corrections():
    objective = goal(1)

    class Singular:
        def propose(self, *args):
            raise np.linalg.LinAlgError

    point = objective.first
    assert LevenbergMarquardt()._correct(objective, point, Singular(), 1.0) is point
