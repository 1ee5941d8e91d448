"""Covariances between new rows and samples of them: against dense algebra, deviations and statistics."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import to
from sklearn.gaussian_process import GaussianProcessRegressor

from sk_implicit import ImplicitReLUKernel, ImplicitReLURegressor
from sk_implicit.function_space import ridge
from sk_implicit.function_space.posterior import draws
from sk_implicit.limit import limit_kernel
from sk_implicit.network import Network
from sk_implicit.network.tangent import TangentFeatures, kernel_block

WIDTHS = [15, np.inf]


def problem(n=40, k=1, dtype=np.float64):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 3)).astype(dtype)
    Y = np.sin(X @ rng.standard_normal((3, k))) + 0.3 * rng.standard_normal((n, k))
    return X, Y[:, 0] if k == 1 else Y


def fitted(width, k=1, dtype=np.float64, n=30, **parameters):
    parameters = {"relevance": None, "standardize": False, "alpha": 0.1, "tol": 1e-3, **parameters}
    X, Y = problem(k=k, dtype=dtype)
    model = ImplicitReLURegressor(width, uncertainty=True, random_state=0, **parameters).fit(X[:n], Y[:n])
    return model, X


def test_infinite_width_is_the_gaussian_process_with_the_limit_kernel():
    model, X = fitted(np.inf, fit_intercept=False)
    y = problem()[1]
    amplitude, a = (float(model._posterior[name][0]) for name in ("amplitudes", "penalties"))
    kernel = ImplicitReLUKernel(bias=0.0, bias_bounds="fixed", length_scale=model.input_scale_[0])
    gp = GaussianProcessRegressor(kernel, alpha=a, optimizer=None).fit(X[:30], y[:30] / model.y_scale_)
    expected = amplitude * model.y_scale_**2 * gp.predict(X, return_cov=True)[1]
    assert_allclose(model.predict(X, return_cov=True, observation_noise=False)[1], expected, atol=1e-8)
    noise = model.noise_std_[0] ** 2 * np.eye(len(X))
    assert_allclose(model.predict(X, return_cov=True)[1], expected + noise, atol=1e-8)


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("depth", [np.inf, 2])
def test_finite_width_is_the_gaussian_process_with_the_tangent_kernel(k, depth):
    model, X = fitted(15, k, equilibrium_tol=1e-13, depth=depth)
    cov = model.predict(X, return_cov=True, observation_noise=False)[1].reshape(40, 40, k)
    network = Network(model.A_, model.W_, model.U_, model.V_, gamma=model.gamma_, depth=model.depth_)
    augmented = np.column_stack([X / model.input_scale_, np.full(40, model.bias_)])
    tangent = TangentFeatures.at(network, network.forward(augmented, to(1e-13))[0], to(1e-13))
    for c in range(k):
        a, amplitude = (model._posterior[name][c] for name in ("penalties", "amplitudes"))
        K = kernel_block(tangent, c=c)
        expected = K - K[:, :30] @ np.linalg.solve(K[:30, :30] + a * np.eye(30), K[:30])
        assert_allclose(cov[:, :, c], amplitude * model.y_scale_[c] ** 2 * expected, atol=1e-8)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("noise", [True, False])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_diagonal_is_the_square_of_the_standard_deviation(width, k, noise, dtype):
    model, X = fitted(width, k, dtype)
    mean, cov = model.predict(X, return_cov=True, observation_noise=noise)
    again, std = model.predict(X, return_std=True, observation_noise=noise)
    assert_array_equal(mean, again)
    assert cov.shape == (40, 40) + std.shape[1:] and cov.dtype == np.float64
    assert_allclose(np.diagonal(cov).T, std**2, rtol=1e-9 if dtype == np.float64 else 1e-4)
    for c in range(k):
        part = cov.reshape(40, 40, k)[:, :, c]
        assert_allclose(part, part.T, atol=1e-12 if dtype == np.float64 else 1e-6)
        assert np.linalg.eigvalsh(part).min() > -1e-6


@pytest.mark.parametrize("width", WIDTHS)
def test_noise_is_in_the_variances_only(width):
    model, X = fitted(width, 2)
    with_noise, without = (
        model.predict(X, return_cov=True, observation_noise=noise)[1] for noise in (True, False)
    )
    assert_allclose(with_noise - without, np.eye(40)[:, :, None] * model.noise_std_**2, atol=1e-12)


def test_on_landmarks_it_is_that_of_the_deterministic_training_conditional(monkeypatch):
    monkeypatch.setattr(ridge, "LIMITS", ridge.RidgeLimits(exact_rows=20, n_landmarks=12))
    model, X = fitted(np.inf, fit_intercept=False)
    cov = model.predict(X, return_cov=True, observation_noise=False)[1]
    amplitude, a = (float(model._posterior[name][0]) for name in ("amplitudes", "penalties"))
    inputs = X / model.input_scale_
    K_p, K = limit_kernel(inputs, model.X_fit_, gamma=0.4), limit_kernel(inputs, gamma=0.4)
    K_pp = limit_kernel(model.X_fit_, gamma=0.4)
    fitted_rows = K_p[:30]
    posterior = K_p @ np.linalg.solve(K_pp + fitted_rows.T @ fitted_rows / a, K_p.T)
    expected = K - K_p @ np.linalg.solve(K_pp, K_p.T) + posterior
    assert_allclose(cov, amplitude * model.y_scale_**2 * expected, atol=1e-7)
    std = model.predict(X, return_std=True, observation_noise=False)[1]
    assert_allclose(np.diagonal(cov), std**2, rtol=1e-9)


@pytest.mark.parametrize("width", WIDTHS)
def test_far_rows_are_homogeneous(width):
    """Far rows are brought near by powers of two, each by its own."""
    model, X = fitted(width, fit_intercept=False)
    factors = np.array([1.0, 2.0**40, 2.0**45, 1.0])
    near, far = X[:4], X[:4] * factors[:, None]
    options = {"return_cov": True, "observation_noise": False}
    expected = model.predict(near, **options)[1] * np.outer(factors, factors)
    assert_allclose(model.predict(far, **options)[1], expected, rtol=1e-6)
    with pytest.raises(ValueError, match="beyond the range of float64"):
        model.predict(far * 1e160, **options)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("noise", [True, False])
def test_samples_have_the_mean_and_the_covariance(width, noise):
    model, X = fitted(width, 2)
    X, n = X[:6], 20_000
    mean, cov = model.predict(X, return_cov=True, observation_noise=noise)
    drawn = model.sample_y(X, n, observation_noise=noise)
    assert drawn.shape == (6, 2, n)
    for c in range(2):
        root = np.linalg.cholesky(cov[:, :, c])
        white = np.linalg.solve(root, drawn[:, c] - mean[:, c, None])
        # of n standard normal vectors: five standard errors
        assert np.abs(white.mean(axis=1)).max() < 5 / np.sqrt(n)
        assert np.abs(white @ white.T / n - np.eye(6)).max() < 5 * np.sqrt(2 / n)
    between = np.mean((drawn[:, 0] - mean[:, 0, None]) * (drawn[:, 1] - mean[:, 1, None]), axis=1)
    scale = np.sqrt(np.diagonal(cov[:, :, 0]) * np.diagonal(cov[:, :, 1]))
    assert np.all(np.abs(between) < 5 * scale / np.sqrt(n))


def test_samples_without_noise_are_functions():
    """Equal rows get equal values, and different ones where there is noise."""
    model, X = fitted(15)
    rows = X[[0, 1, 0]]
    functions = model.sample_y(rows, 3, observation_noise=False)
    assert_allclose(functions[0], functions[2], atol=1e-6)
    observations = model.sample_y(rows, 3)
    assert np.all(np.abs(observations[0] - observations[2]) > 1e-3)


@pytest.mark.parametrize("width", WIDTHS)
def test_samples_are_those_of_the_random_state(width):
    model, X = fitted(width)
    assert model.sample_y(X).shape == (40, 1)
    assert_array_equal(model.sample_y(X, 2), model.sample_y(X, 2, random_state=0))
    assert np.any(model.sample_y(X, 2) != model.sample_y(X, 2, random_state=1))
    rng = np.random.RandomState(0)
    assert np.any(model.sample_y(X, random_state=rng) != model.sample_y(X, random_state=rng))


def test_samples_of_large_targets_and_single_precision():
    X, y = problem()
    settings = {"alpha": 0.1, "uncertainty": True, "relevance": None}
    model = ImplicitReLURegressor(np.inf, **settings).fit(X, 1e200 * y)
    assert np.isfinite(model.sample_y(X, 2)).all()
    with pytest.raises(ValueError, match="standard deviation of"):
        model.predict(X, return_cov=True)
    single = ImplicitReLURegressor(np.inf, **settings).fit(X.astype(np.float32), y)
    assert single.sample_y(X, 2).dtype == np.float32


def test_what_rounding_leaves_of_a_covariance_below_zero_counts_as_zero():
    root = np.random.RandomState(0).standard_normal((5, 1))
    singular = root @ root.T - 1e-14 * np.eye(5)
    drawn = draws(singular[:, :, None], 4, np.random.RandomState(0))
    assert_allclose(drawn[:, 0] / root, np.broadcast_to(drawn[0, 0] / root[0], (5, 4)), atol=1e-6)


@pytest.mark.parametrize("width", WIDTHS)
def test_what_cannot_be_had_is_refused(width):
    model, X = fitted(width)
    with pytest.raises(ValueError, match="one of standard deviation and covariance"):
        model.predict(X, return_std=True, return_cov=True)
    for n_samples in (0, 1.5):
        with pytest.raises(ValueError, match="n_samples must be an int of at least 1"):
            model.sample_y(X, n_samples)
    model.set_params(uncertainty=False).fit(X, X[:, 0])
    with pytest.raises(ValueError, match=r"return_cov=True\) needs what fit keeps with uncertainty=True"):
        model.predict(X, return_cov=True)
    with pytest.raises(ValueError, match=r"sample_y\(X\) needs what fit keeps with uncertainty=True"):
        model.sample_y(X)
