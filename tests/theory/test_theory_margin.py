"""The margin under the tangent features: against geometry, other directions and a support vector machine."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_iris
from sklearn.svm import SVC

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit.theory import tangent_kernel, tangent_margin
from sk_implicit.theory._margin import gram_margin

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def fitted(n_classes):
    X, y = load_iris(return_X_y=True)
    X, y = X[: 50 * n_classes : 5], y[: 50 * n_classes : 5]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return ImplicitReLUClassifier(width=20, alpha=1e6, max_iter=1, random_state=0).fit(X, y), X, y


def test_margins_of_known_sets():
    assert_allclose(gram_margin(np.eye(4)), 0.5)  # orthonormal features: 1/√n
    assert_allclose(gram_margin(np.ones((3, 3))), 1, rtol=1e-6)
    assert_allclose(gram_margin(np.array([[1.0, -1.0], [-1.0, 1.0]])), 0, atol=1e-6)


def test_two_classes_have_the_margin_of_a_support_vector_machine():
    model, X, y = fitted(2)
    K = tangent_kernel(model, X)
    signs = np.where(y == 1, 1.0, -1.0)
    # without an intercept: each row also with the opposite sign, as a row of the opposite class
    doubled = np.block([[K, -K], [-K, K]])
    svm = SVC(kernel="precomputed", C=1e8, tol=1e-8).fit(doubled, np.concatenate([signs, -signs]))
    dual = svm.dual_coef_[0]
    norm = np.sqrt(dual @ doubled[np.ix_(svm.support_, svm.support_)] @ dual)
    assert_allclose(tangent_margin(model, X, y), 1 / norm / np.sqrt(np.mean(np.diag(K))), rtol=1e-3)


def test_no_direction_has_a_larger_margin():
    model, X, y = fitted(3)
    margin = tangent_margin(model, X, y)
    assert 0 < margin < 1
    K, n = tangent_kernel(model, X), len(X)
    pairs = [(i, c) for i in range(n) for c in range(3) if c != y[i]]
    D = np.zeros((len(pairs), 3 * n))
    for j, (i, c) in enumerate(pairs):
        D[j, y[i] * n + i], D[j, c * n + i] = 1, -1
    Q = D @ K @ D.T
    scale = np.sqrt(np.mean(np.diag(Q)))
    for seed in range(50):  # θ = Σ_j p_j g_j with random p ≥ 0
        p = np.random.RandomState(seed).exponential(size=len(Q)) ** 3
        assert (Q @ p).min() / np.sqrt(p @ Q @ p) / scale <= margin * (1 + 1e-6)


def test_unknown_class_is_refused():
    model, X, y = fitted(2)
    with pytest.raises(ValueError, match="not fitted on"):
        tangent_margin(model, X, y + 1)


@pytest.mark.parametrize("rows", [np.arange(10), np.arange(30) % 20], ids=["too few", "too many"])
def test_every_row_has_one_class(rows):
    model, X, y = fitted(2)
    with pytest.raises(ValueError, match=rf"shape \(20,\), .* got shape \({len(rows)},\)"):
        tangent_margin(model, X, y[rows])
    with pytest.raises(ValueError, match=r"shape \(20,\), .* got shape \(20, 1\)"):
        tangent_margin(model, X, y[:, None])


def test_only_fitted_classifiers_have_a_margin():
    _, X, y = fitted(2)
    with pytest.raises(ValueError, match=r"ImplicitReLURegressor does not have: expected .*Classifier"):
        tangent_margin(ImplicitReLURegressor(10, max_iter=1, random_state=0).fit(X, y), X, y)
    with pytest.raises(ValueError, match="ImplicitReLUClassifier does not have: expected a fitted"):
        tangent_margin(ImplicitReLUClassifier(), X, y)
