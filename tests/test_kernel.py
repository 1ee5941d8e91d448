"""ImplicitReLUKernel: scikit-learn's own kernel checks, its gradient, and the estimators that use it.

The first part follows ``sklearn/gaussian_process/tests/test_kernels.py`` test by test; those on
stationary kernels and on particular other kernels do not apply.
"""

import pickle
from inspect import signature

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_almost_equal, assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.decomposition import KernelPCA
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    CompoundKernel,
    Exponentiation,
    KernelOperator,
    WhiteKernel,
    _approx_fprime,
)
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVR

from sk_implicit.kernel import ImplicitReLUKernel
from sk_implicit.limit import limit_functions
from sk_implicit.limit._moments import limit_values, solve_fixed_point

X = np.random.RandomState(0).normal(0, 1, (5, 2))
Y = np.random.RandomState(0).normal(0, 1, (6, 2))
X.flags.writeable = False
Y.flags.writeable = False

kernel_plus_white = ImplicitReLUKernel() + WhiteKernel(noise_level=3.0)
kernels = [
    ImplicitReLUKernel(),
    ImplicitReLUKernel(gamma=0.9, kind="nngp", bias=0.3, length_scale=2.0),
    ImplicitReLUKernel(gamma=1.1, length_scale=[0.5, 2.0]),
    ImplicitReLUKernel(gamma=0.05, kind="nngp", length_scale=[0.5, 2.0]),
    ImplicitReLUKernel(length_scale=[2.0]),
    ImplicitReLUKernel(gamma_bounds="fixed"),
    ImplicitReLUKernel(length_scale_bounds="fixed", bias_bounds="fixed"),
    2.0 * ImplicitReLUKernel(length_scale=0.33, length_scale_bounds="fixed"),
    3.0 * ImplicitReLUKernel(length_scale=[2.0, 0.5], kind="nngp") + RBF(2.0),
    ImplicitReLUKernel() ** 2,
    kernel_plus_white,
]
basic_kernels = [k for k in kernels if not isinstance(k, (KernelOperator, Exponentiation))]


# --- scikit-learn's checks ----------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", kernels)
def test_kernel_gradient(kernel):
    kernel = clone(kernel)
    K, K_gradient = kernel(X, eval_gradient=True)
    assert K_gradient.shape == (X.shape[0], X.shape[0], kernel.theta.shape[0])

    def eval_kernel_for_theta(theta):
        return kernel.clone_with_theta(theta)(X, eval_gradient=False)

    approx = _approx_fprime(kernel.theta, eval_kernel_for_theta, 1e-8)
    assert_almost_equal(K_gradient, approx, 4)
    assert_array_equal(K, kernel(X))


@pytest.mark.parametrize("kernel", basic_kernels)
def test_kernel_theta(kernel):
    kernel = clone(kernel).set_params(
        gamma_bounds=(1e-2, 1.2), bias_bounds=(1e-5, 1e5), length_scale_bounds=(1e-5, 1e5)
    )
    theta = kernel.theta
    _, K_gradient = kernel(X, eval_gradient=True)

    arguments = [p for p in signature(type(kernel).__init__).parameters if p != "self"]
    theta_vars = {p.removesuffix("_bounds") for p in arguments if p.endswith("_bounds")}
    assert {h.name for h in kernel.hyperparameters} == theta_vars

    first = 0
    for hyperparameter in kernel.hyperparameters:
        entries = slice(first, first + hyperparameter.n_elements)
        first = entries.stop
        assert_array_equal(theta[entries], np.log(np.ravel(getattr(kernel, hyperparameter.name))))
        # A fixed hyperparameter leaves theta and gradient; the rest stays.
        params = kernel.get_params()
        params[hyperparameter.name + "_bounds"] = "fixed"
        new_kernel = ImplicitReLUKernel(**params)
        _, K_gradient_new = new_kernel(X, eval_gradient=True)
        assert_array_equal(new_kernel.theta, np.delete(theta, entries))
        assert_array_equal(K_gradient_new, np.delete(K_gradient, entries, axis=2))

    for i, hyperparameter in enumerate(kernel.hyperparameters):
        if hyperparameter.n_elements > 1:
            continue
        theta[i] = np.log(42)
        kernel.theta = theta
        assert_almost_equal(getattr(kernel, hyperparameter.name), 42)
        setattr(kernel, hyperparameter.name, 43)
        assert_almost_equal(kernel.theta[i], np.log(43))


@pytest.mark.parametrize("kernel", [k for k in kernels if k != kernel_plus_white])
def test_auto_vs_cross(kernel):
    assert_allclose(clone(kernel)(X), clone(kernel)(X, X), rtol=1e-12)


@pytest.mark.parametrize("kernel", kernels)
def test_kernel_diag(kernel):
    assert_allclose(clone(kernel).diag(X), np.diag(clone(kernel)(X)), rtol=1e-12)


def test_kernel_operator_commutative():
    kernel = ImplicitReLUKernel()
    assert_almost_equal((kernel + 1.0)(X), (1.0 + kernel)(X))
    assert_almost_equal((3.0 * kernel)(X), (kernel * 3.0)(X))


def test_kernel_anisotropic():
    kernel = 3.0 * ImplicitReLUKernel(length_scale=[0.5, 2.0])
    K = kernel(X)
    X1 = X * [4.0, 1.0]
    assert_almost_equal(K, (3.0 * ImplicitReLUKernel(length_scale=2.0))(X1))
    X2 = X / [1.0, 4.0]
    assert_almost_equal(K, (3.0 * ImplicitReLUKernel(length_scale=0.5))(X2))

    kernel.theta = kernel.theta + np.log(2)
    assert_allclose(np.exp(kernel.theta), [6.0, 2.0, 0.8, 1.0, 4.0])
    assert_allclose(kernel.k2.length_scale, [1.0, 4.0])


@pytest.mark.parametrize("kernel", kernels)
def test_not_stationary(kernel):
    assert not kernel.is_stationary()


@pytest.mark.parametrize("kernel", kernels)
def test_kernel_input_type(kernel):
    assert kernel.requires_vector_input
    assert CompoundKernel([WhiteKernel(), kernel]).requires_vector_input


def check_hyperparameters_equal(kernel1, kernel2):
    for attr in set(dir(kernel1) + dir(kernel2)):
        if attr.startswith("hyperparameter_"):
            assert getattr(kernel1, attr) == getattr(kernel2, attr)


@pytest.mark.parametrize("kernel", kernels)
def test_kernel_clone(kernel):
    kernel = clone(kernel)
    kernel_cloned = clone(kernel)
    assert kernel == kernel_cloned
    assert kernel is not kernel_cloned
    assert kernel.get_params() == kernel_cloned.get_params()
    check_hyperparameters_equal(kernel, kernel_cloned)


@pytest.mark.parametrize("kernel", basic_kernels)
def test_kernel_clone_after_set_params(kernel):
    bounds = (1e-5, 1e5)
    kernel_cloned = clone(kernel)
    params = kernel.get_params()
    length_scale = params["length_scale"]
    if np.iterable(length_scale):
        params["length_scale"] = length_scale[0]
        params["length_scale_bounds"] = bounds
    else:
        params["length_scale"] = [length_scale] * 2
        params["length_scale_bounds"] = [bounds] * 2
    kernel_cloned.set_params(**params)
    kernel_cloned_clone = clone(kernel_cloned)
    assert kernel_cloned_clone.get_params() == kernel_cloned.get_params()
    assert kernel_cloned_clone is not kernel_cloned
    check_hyperparameters_equal(kernel_cloned, kernel_cloned_clone)


@pytest.mark.parametrize("kernel", kernels)
def test_kernel_versus_pairwise(kernel):
    if kernel != kernel_plus_white:
        assert_allclose(kernel(X), pairwise_kernels(X, metric=kernel), rtol=1e-12)
    assert_allclose(kernel(X, Y), pairwise_kernels(X, Y, metric=kernel), rtol=1e-12)


@pytest.mark.parametrize("kernel", kernels)
def test_set_get_params(kernel):
    kernel = clone(kernel)
    index, params, value = 0, kernel.get_params(), 10
    for hyperparameter in kernel.hyperparameters:
        if hyperparameter.fixed:
            continue
        size = hyperparameter.n_elements
        entries = slice(index, index + size)
        index += size
        assert_almost_equal(np.exp(kernel.theta[entries]), np.ravel(params[hyperparameter.name]))
        kernel.set_params(**{hyperparameter.name: [value] * size if size > 1 else value})
        assert_almost_equal(np.exp(kernel.theta[entries]), [value] * size)


@pytest.mark.parametrize("kernel", kernels)
def test_pickle(kernel):
    copy = pickle.loads(pickle.dumps(kernel))
    assert copy == kernel
    assert_array_equal(copy(X, Y), kernel(X, Y))


@pytest.mark.parametrize("kernel", basic_kernels)
def test_repr_evaluates_to_the_kernel(kernel):
    copy = eval(repr(kernel))  # three digits suffice for these values
    assert_array_equal(copy(X), kernel(X))
    assert "length_scale" in repr(kernel + WhiteKernel())


# --- the mathematics ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ntk", "nngp"])
def test_entry_by_hand(kind):
    x, y = np.array([1.0, -2.0]), np.array([0.5, 3.0])
    scales, bias = np.array([0.5, 2.0]), 0.7
    u, v = np.append(x / scales, bias**0.5), np.append(y / scales, bias**0.5)
    cosine = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
    expected = np.linalg.norm(u) * np.linalg.norm(v) * getattr(limit_functions(0.8), kind)(cosine)
    kernel = ImplicitReLUKernel(gamma=0.8, kind=kind, bias=bias, length_scale=scales)
    assert_allclose(kernel(x[None], y[None]), [[expected]], rtol=1e-12)


@settings(max_examples=20, deadline=None)
@given(
    gamma=st.floats(0.02, 1.2),
    bias=st.floats(0.05, 20.0),
    scales=st.lists(st.floats(0.2, 5.0), min_size=3, max_size=3),
    kind=st.sampled_from(["ntk", "nngp"]),
    seed=st.integers(0, 1000),
)
def test_gradient_to_seven_digits(gamma, bias, scales, kind, seed):
    data = np.random.default_rng(seed).standard_normal((6, 3))
    data[1] = data[0] * 1.05
    for length_scale in (scales, scales[0]):
        kernel = ImplicitReLUKernel(gamma, kind, bias, length_scale)
        _, gradient = kernel(data, eval_gradient=True)
        for i in range(gradient.shape[2]):

            def along(h, i=i, kernel=kernel):
                theta = kernel.theta
                theta[i] += h
                return kernel.clone_with_theta(theta)(data)

            coarse = (along(2e-3) - along(-2e-3)) / 4e-3
            fine = (along(1e-3) - along(-1e-3)) / 2e-3
            scale = np.abs(fine).max()
            assert_allclose(gradient[..., i], (4.0 * fine - coarse) / 3.0, atol=1e-7 * scale)


def test_gradient_of_nearly_equal_rows():
    # dk/dρ diverges as the angle vanishes. The reference takes the angle from the chord in extended
    # precision, because a finite difference of the kernel itself would see the cosine's rounding.
    data = np.array([[1.0, -2.0, 0.3], [1.0, -2.0, 0.3]]) * [[1.0], [1.0001]]
    kernel = ImplicitReLUKernel(0.8, "ntk", 0.5, [1.0, 0.7, 3.0])

    def entry(theta):
        k = kernel.clone_with_theta(theta)
        rows = np.column_stack([data / k.length_scale, np.full(2, k.bias**0.5)])
        norms = np.linalg.norm(rows, axis=1)
        extended = rows.astype(np.longdouble)
        unit = extended / np.sqrt(np.sum(extended**2, axis=1, keepdims=True))
        angle = 2.0 * np.arcsin(np.linalg.norm((unit[0] - unit[1]).astype(float)) / 2.0)
        solution = solve_fixed_point(k.gamma, np.array([angle]))
        return np.prod(norms) * limit_values(k.gamma, np.array([angle]), solution)["ntk"][0]

    _, gradient = kernel(data, eval_gradient=True)
    for i, h in enumerate(1e-3 * np.eye(5)):
        coarse = (entry(kernel.theta + 2 * h) - entry(kernel.theta - 2 * h)) / 4e-3
        fine = (entry(kernel.theta + h) - entry(kernel.theta - h)) / 2e-3
        assert_allclose(gradient[0, 1, i], (4.0 * fine - coarse) / 3.0, rtol=1e-8)


def test_gradient_of_equal_and_opposite_rows_is_finite():
    data = np.vstack([X, X, -X])
    kernel = ImplicitReLUKernel(bias=0.0, bias_bounds="fixed", length_scale=[0.7, 1.3])
    K, gradient = kernel(data, eval_gradient=True)
    assert np.all(np.isfinite(gradient))
    # Equal and opposite rows stay so: K there is the squared norm times a constant.
    squares = (X / kernel.length_scale) ** 2
    for block in (slice(5, 10), slice(10, 15)):
        at_end = np.diag(K[:5, block]) / squares.sum(axis=1)
        for j in range(2):
            got = np.diag(gradient[:5, block, 1 + j])
            assert_allclose(got, -2.0 * squares[:, j] * at_end, rtol=1e-10)


def test_sparse_inputs_give_the_same_kernel():
    kernel, sparse = ImplicitReLUKernel(), csr_array(X)
    assert_array_equal(kernel(sparse), kernel(X))
    assert_array_equal(kernel(X, sparse), kernel(X, X))
    assert_array_equal(kernel.diag(sparse), kernel.diag(X))


def test_float32_and_lists_give_float64():
    kernel = ImplicitReLUKernel()
    assert kernel(X.astype(np.float32)).dtype == np.float64
    assert_allclose(kernel(X.tolist()), kernel(X))
    assert_allclose(kernel(X.astype(np.float32)), kernel(X), rtol=1e-6)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"gamma": 1.5}, "gamma must lie between"),
        ({"gamma_bounds": (0.1, 5.0)}, r"gamma_bounds must end below √2 = 1.4142.*got \(0.1, 5.0\)"),
        ({"kind": "rbf"}, "kind must be 'ntk' or 'nngp'; got 'rbf'"),
        ({"bias": -1.0}, "bias is a variance"),
        ({"length_scale": 0.0}, "length_scale must be positive"),
        ({"length_scale": [1.0, 2.0, 3.0]}, "one value per feature, 2 of them"),
    ],
)
def test_bad_hyperparameters(params, message):
    with pytest.raises(ValueError, match=message):
        ImplicitReLUKernel(**params)(X)


def test_no_gradient_of_a_cross_kernel():
    with pytest.raises(ValueError, match="Gradient can only be evaluated when Y is None"):
        ImplicitReLUKernel()(X, Y, eval_gradient=True)


# --- estimators ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def regression():
    """A draw from the process itself, with noise of variance 0.01."""
    rng = np.random.default_rng(0)
    data = rng.standard_normal((150, 3))
    kernel = ImplicitReLUKernel(gamma=1.1, kind="nngp", length_scale=[0.4, 0.7, 3.0], bias=1.0)
    target = rng.multivariate_normal(np.zeros(150), kernel(data) + 0.01 * np.eye(150))
    return data[:120], target[:120], data[120:], target[120:]


def test_gaussian_process_regressor(regression):
    X_train, y_train, X_test, y_test = regression
    start = ImplicitReLUKernel(0.5, "nngp", length_scale=[1.0, 1.0, 1.0], bias_bounds="fixed")
    gpr = GaussianProcessRegressor(start + WhiteKernel(0.1)).fit(X_train, y_train)
    value, gradient = gpr.log_marginal_likelihood(gpr.kernel_.theta, eval_gradient=True)
    assert value > gpr.log_marginal_likelihood((start + WhiteKernel(0.1)).theta) + 50.0
    assert_allclose(gradient, 0.0, atol=0.05)
    mean, std = gpr.predict(X_test, return_std=True)
    assert gpr.score(X_test, y_test) > 0.95
    assert np.mean(np.abs(y_test - mean) < 2.0 * std) > 0.9
    # The likelihood finds the hyperparameters of the draw again, roughly.
    assert_allclose(np.exp(gpr.kernel_.theta), [1.1, 0.4, 0.7, 3.0, 0.01], rtol=0.4)


def test_default_bounds_keep_the_marginal_likelihood_finite():
    # A length scale far below the data's would let K outgrow the noise by the inverse of the rounding
    # error: the Cholesky factorisation fails and L-BFGS-B stops at its start.
    for seed in range(3):
        rng = np.random.default_rng(seed)
        data = rng.standard_normal((80, 3))
        kernel = ImplicitReLUKernel(length_scale=[1.0, 1.0, 1.0]) + WhiteKernel(0.1)
        gpr = GaussianProcessRegressor(kernel, optimizer=None).fit(data, data @ [1.0, 2.0, 0.5])
        for corner in (kernel.bounds[:, 0], kernel.bounds[:, 1]):
            assert np.isfinite(gpr.log_marginal_likelihood(corner))


def test_gaussian_process_classifier():
    data, target = load_iris(return_X_y=True)
    kernel = ImplicitReLUKernel(gamma_bounds="fixed", bias_bounds="fixed")
    gpc = GaussianProcessClassifier(kernel).fit(data[::3], target[::3])
    assert gpc.score(data[1::3], target[1::3]) > 0.9
    start = np.tile(kernel.theta, 3)
    assert gpc.log_marginal_likelihood() > gpc.log_marginal_likelihood(start)


def test_kernel_ridge(regression):
    X_train, y_train, X_test, y_test = regression
    kernel = ImplicitReLUKernel()
    model = KernelRidge(kernel=kernel, alpha=0.1).fit(X_train, y_train)
    K = kernel(X_train)
    dual = np.linalg.solve(K + 0.1 * np.eye(len(K)), y_train)
    assert_allclose(model.predict(X_test), kernel(X_test, X_train) @ dual, rtol=1e-8)
    candidates = [ImplicitReLUKernel(gamma=gamma) for gamma in (0.2, 0.8)]
    search = GridSearchCV(KernelRidge(alpha=0.1), {"kernel": candidates}).fit(X_train, y_train)
    assert search.score(X_test, y_test) > 0.9


def test_support_vector_regression(regression):
    X_train, y_train, X_test, y_test = regression
    assert SVR(kernel=ImplicitReLUKernel(), C=10.0).fit(X_train, y_train).score(X_test, y_test) > 0.9


def test_kernel_pca(regression):
    X_train, _, X_test, _ = regression
    kernel = ImplicitReLUKernel(kind="nngp")
    pca = KernelPCA(n_components=3, kernel=kernel).fit(X_train)
    direct = KernelPCA(n_components=3, kernel="precomputed").fit(kernel(X_train))
    assert_allclose(
        np.abs(pca.transform(X_test)), np.abs(direct.transform(kernel(X_test, X_train))), rtol=1e-6
    )
