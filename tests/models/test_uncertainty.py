"""Predictive standard deviations: against dense algebra, refits, and coverage of new observations."""

import numpy as np
import problems
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from problems import regression, to
from scipy import sparse
from scipy.optimize import minimize
from scipy.stats import norm
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor

from sk_implicit import ImplicitReLUKernel, ImplicitReLURegressor
from sk_implicit.function_space import ridge
from sk_implicit.function_space.leaving_out import LeavingOut
from sk_implicit.function_space.penalty import Penalty
from sk_implicit.function_space.posterior import LeftOut, LeftOutRows, calibrate, leave_out
from sk_implicit.function_space.ridge import fit_ridge
from sk_implicit.limit import limit_diagonal, limit_kernel
from sk_implicit.models.limit_solution import limit_kernel_rows
from sk_implicit.models.uncertainty import tangent_posterior
from sk_implicit.network import Network
from sk_implicit.network.tangent import TangentFeatures, joint_kernel

WIDTHS = [12, np.inf]
NOISE = 0.3


def problem(n=40, d=3, k=1, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    Y = np.sin(X @ rng.standard_normal((d, k))) + NOISE * rng.standard_normal((n, k))
    return X, Y[:, 0] if k == 1 else Y


def regressor(width, **parameters):
    parameters = {"relevance": None, "alpha": 0.1, "tol": 1e-3, **parameters}
    return ImplicitReLURegressor(width, uncertainty=True, standardize=False, random_state=0, **parameters)


# ---------------------------------------------------------------- the formulas


def test_infinite_width_is_the_gaussian_process_with_the_limit_kernel():
    X, y = problem()
    model = regressor(np.inf, fit_intercept=False).fit(X[:30], y[:30])
    mean, std = model.predict(X, return_std=True)
    amplitude, noise = (float(model._posterior[name][0]) for name in ("amplitudes", "noises"))
    a = float(model._posterior["penalties"][0])
    kernel = ImplicitReLUKernel(bias=0.0, bias_bounds="fixed", length_scale=model.input_scale_[0])
    gp = GaussianProcessRegressor(kernel, alpha=a, optimizer=None).fit(X[:30], y[:30] / model.y_scale_)
    gp_mean, gp_std = gp.predict(X, return_std=True)
    np.testing.assert_allclose(mean, gp_mean * model.y_scale_, atol=1e-8)
    np.testing.assert_allclose(std, np.sqrt(amplitude * gp_std**2 + noise) * model.y_scale_, rtol=1e-6)


def jacobian(network, X, c):
    tangent = TangentFeatures.at(network, network.forward(X, to(1e-13))[0], to(1e-13))
    rows = []
    for i in range(len(X)):
        C = np.zeros((len(X), network.shape.k))
        C[i, c] = 1
        rows.append(tangent.vjp(C))
    return np.array(rows)


@pytest.mark.parametrize("k", [1, 2])
def test_finite_width_is_the_posterior_with_the_jacobian_at_the_optimum(k):
    X, Y = problem(k=k)
    model = regressor(12, equilibrium_tol=1e-13).fit(X[:30], Y[:30])
    _, std = model.predict(X, return_std=True)
    std = std.reshape(40, k)
    network = Network(model.A_, model.W_, model.U_, model.V_, gamma=model.gamma_)
    augmented = np.column_stack([X / model.input_scale_, np.full(40, model.bias_)])
    for c in range(k):
        a, s2, noise = (model._posterior[name][c] for name in ("penalties", "amplitudes", "noises"))
        J = jacobian(network, augmented, c)
        # in weight space: s² J (I + J₃₀ᵀJ₃₀/a)⁻¹ Jᵀ
        covariance = np.linalg.inv(np.eye(J.shape[1]) + J[:30].T @ J[:30] / a)
        variance = s2 * np.einsum("ni,ij,nj->n", J, covariance, J) + noise
        np.testing.assert_allclose(std[:, c], np.sqrt(variance) * model.y_scale_[c], rtol=1e-6)


def test_noise_is_at_least_what_the_penalty_stands_for():
    X, y = problem()
    for width in WIDTHS:
        model = regressor(width).fit(X, y)
        amplitudes, noises, a = (model._posterior[n] for n in ("amplitudes", "noises", "penalties"))
        assert np.all(noises >= amplitudes * a * (1 - 1e-12))
        np.testing.assert_allclose(model.noise_std_, np.sqrt(noises) * model.y_scale_)


@pytest.mark.parametrize("landmarks", [np.arange(12), np.arange(0, 12, 2)], ids=["exact", "landmarks"])
@pytest.mark.parametrize("cells", [False, True, "together"])
def test_left_out_rows_are_those_of_refits(landmarks, cells):
    X, y = problem(n=12)
    a, weights = 0.3, np.array([1.0, 2, 0.5, 3.5, *np.ones(8)])
    kernel = limit_kernel_rows(X, landmarks, 0.4)
    diagonal = limit_diagonal(X, gamma=0.4)
    unit = np.minimum(weights, 1.0) if cells is True else weights
    group = np.arange(12) // 3 if cells == "together" else np.arange(12)
    rows = LeftOutRows(weights, LeavingOut(unit, group), landmarks)
    left_out = leave_out(fit_ridge(kernel, landmarks, y[:, None], weights, a), 0, kernel, diagonal, rows)
    # a landmark is one without its row, too: it is not asked
    asked = np.arange(12) if len(landmarks) == 12 else np.setdiff1d(np.arange(12), landmarks)
    assert_array_equal(left_out.weights, weights[asked])
    K = limit_kernel(X, gamma=0.4)
    V = np.linalg.solve(np.linalg.cholesky(K[np.ix_(landmarks, landmarks)]), K[landmarks]).T
    for place, i in enumerate(asked):
        left = weights.copy()
        left[group == group[i]] -= unit[group == group[i]]
        # in the weight space that the landmarks span
        precision = np.eye(len(landmarks)) + V.T @ (left[:, None] * V) / a
        mean = V[i] @ np.linalg.solve(precision, V.T @ (left * y)) / a
        variance = V[i] @ np.linalg.solve(precision, V[i]) + diagonal[i] - V[i] @ V[i]
        assert left_out.residual[place] == pytest.approx(y[i] - mean, rel=1e-6)
        assert left_out.variance[place] == pytest.approx(variance, rel=1e-6)


def test_calibration_counts_a_row_of_weight_two_twice():
    rng = np.random.RandomState(0)
    counts = rng.randint(1, 6, size=30)
    variance = 10.0 ** rng.uniform(-3, 1, size=30)
    residual = rng.standard_normal(30) * np.sqrt(variance + 0.05)
    weighted = calibrate(LeftOut(residual, variance, counts.astype(float)), 1e-4)
    rows = np.repeat(np.arange(30), counts)
    assert_allclose(weighted, calibrate(LeftOut(residual[rows], variance[rows], np.ones(len(rows))), 1e-4))

    def density(logarithms):
        s2, noise = np.exp(logarithms)
        spread = s2 * variance + noise
        return np.sum(counts * (residual**2 / spread + np.log(spread)))

    best = minimize(density, np.log(weighted), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10})
    assert_allclose(density(np.log(weighted)), best.fun, rtol=1e-3)
    assert_allclose(np.log(weighted), best.x, atol=0.03)


def test_posterior_is_that_of_the_targets_of_the_linearised_network():
    """By dense algebra: ridge regression about the start, to residuals and what the drift explains."""
    case, n = problems.problem(m=20, n=15, p=4), 15
    rng = np.random.RandomState(0)
    drift = 0.2 * rng.standard_normal(case.network.shape.n_weights)
    residual, ones, penalty = 0.3 * rng.standard_normal((n, 1)), np.ones(n), 0.1
    posterior, _ = tangent_posterior(
        case.tangent, drift, residual, ones, LeavingOut(ones), Penalty(0.1, penalty)
    )
    K = joint_kernel(case.tangent)
    targets = residual + case.tangent.jvp(drift)
    hat = K @ np.linalg.inv(K + penalty * np.eye(n))
    left = 1 - np.diag(hat)
    own = (targets - hat @ targets)[:, 0]
    expected = own / left + residual[:, 0] - own
    spread = penalty * np.diag(hat) / left
    assert_allclose(
        (posterior.amplitudes[0], posterior.noises[0]),
        calibrate(LeftOut(expected, spread, ones), penalty),
        rtol=1e-6,
    )


def test_calibration_finds_the_variances_that_residuals_were_drawn_from():
    rng = np.random.default_rng(0)
    variance = rng.uniform(0, 2, 20_000)
    residual = rng.standard_normal(20_000) * np.sqrt(3.0 * variance + 0.6)
    amplitude, noise = calibrate(LeftOut(residual, variance, np.ones(20_000)), 1e-3)
    assert amplitude == pytest.approx(3.0, rel=0.05)
    assert noise == pytest.approx(0.6, rel=0.05)


@given(seed=st.integers(0, 2**16), least=st.floats(1e-3, 1.0))
def test_calibrated_residuals_have_unit_variance(seed, least):
    rng = np.random.default_rng(seed)
    variance, weights = rng.uniform(0, 2, 50), rng.uniform(0.1, 3, 50)
    residual = rng.standard_normal(50)
    amplitude, noise = calibrate(LeftOut(residual, variance, weights), least)
    standardised = residual**2 / (amplitude * variance + noise)
    assert np.average(standardised, weights=weights) == pytest.approx(1.0)
    assert noise >= least * amplitude * (1 - 1e-9)


# ---------------------------------------------------------------- the estimator


@pytest.mark.parametrize("width", WIDTHS)
def test_coverage_of_new_observations(width):
    """Of nine tenths, in the mean over three samples of the problem."""
    inside = []
    for seed in range(3):
        X, y = problem(n=700, d=2, seed=seed)
        model = regressor(200 if width == 12 else width, alpha="loo", relevance="auto", tol=1e-4)
        mean, std = model.fit(X[:120], y[:120]).predict(X[120:], return_std=True)
        inside.append(np.mean(np.abs(y[120:] - mean) <= norm.ppf(0.95) * std))
        assert 0.8 < inside[-1] < 0.98
        assert model.noise_std_[0] == pytest.approx(NOISE, rel=0.2)
        assert np.all(std > model.noise_std_)
    assert 0.85 < np.mean(inside) < 0.95


@pytest.mark.parametrize("width", WIDTHS)
def test_std_grows_away_from_the_rows(width):
    X, y = problem()
    model = regressor(width).fit(X, y)
    _, std = model.predict(np.vstack([X.mean(axis=0), 30 * X[0]]), return_std=True)
    assert std[1] > 2 * std[0]


@pytest.mark.parametrize("width", WIDTHS)
@settings(max_examples=5)
@given(seed=st.integers(0, 2**16))
def test_weights_are_repetitions(width, seed):
    X, y = problem(n=15, seed=seed)
    weights = np.random.default_rng(seed).integers(0, 4, size=15)
    weights[:2] = [2, 0]
    rows = np.repeat(np.arange(15), weights)
    weighted = regressor(width).fit(X, y, weights).predict(X, return_std=True)
    repeated = regressor(width).fit(X[rows], y[rows]).predict(X, return_std=True)
    np.testing.assert_allclose(weighted[1], repeated[1], rtol=1e-5)


@pytest.mark.parametrize("width", WIDTHS)
def test_std_is_on_the_scale_of_each_target(width):
    X, Y = problem(k=2)
    mean, std = regressor(width).fit(X, Y).predict(X, return_std=True)
    assert std.shape == mean.shape == (40, 2)
    _, scaled = regressor(width).fit(X, 1000 * Y + 5).predict(X, return_std=True)
    np.testing.assert_allclose(scaled, 1000 * std, rtol=1e-6)


def test_outputs_of_the_limit_do_not_see_each_other():
    X, Y = problem(k=2)
    _, std = regressor(np.inf).fit(X, Y).predict(X, return_std=True)
    _, alone = regressor(np.inf).fit(X, Y[:, 1]).predict(X, return_std=True)
    np.testing.assert_allclose(std[:, 1], alone, rtol=1e-9)


@pytest.mark.parametrize("width", WIDTHS)
def test_precision_and_sparsity_of_the_input(width):
    X, y = problem()
    X[np.abs(X) < 0.4] = 0
    _, std = regressor(width).fit(X, y).predict(X, return_std=True)
    _, single = regressor(width).fit(X.astype(np.float32), y).predict(X, return_std=True)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, std, rtol=1e-3)
    S = sparse.csr_array(X)
    _, from_sparse = regressor(width).fit(S, y).predict(S, return_std=True)
    np.testing.assert_allclose(from_sparse, std, rtol=1e-6)


@pytest.mark.parametrize("width", WIDTHS)
def test_without_uncertainty_nothing_is_kept_and_std_is_refused(width):
    X, y = problem(n=37)
    model = regressor(width).fit(X, y)
    plain = clone(model).set_params(uncertainty=False).fit(X, y)
    np.testing.assert_array_equal(plain.predict(X), model.predict(X))
    assert set(vars(model)) - set(vars(plain)) == {"_posterior", "noise_std_"}
    if width == 12:
        assert not any(37 in np.shape(value) for value in vars(plain).values() if not isinstance(value, dict))
    with pytest.raises(ValueError, match="uncertainty=True"):
        plain.predict(X, return_std=True)
    model.set_params(uncertainty=False).fit(X, y)
    assert not hasattr(model, "noise_std_") and not hasattr(model, "_posterior")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("target", ["constant", "interpolated"])
def test_extremes_stay_finite(width, target):
    X, y = problem(n=20)
    y = np.full(20, 3.0) if target == "constant" else y
    model = regressor(100 if width == 12 else width, alpha=0.0, tol=1e-6).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, y, atol=1e-3)
    assert np.all(std >= 0) and np.isfinite(std).all()


@pytest.mark.parametrize(("solver", "max_iter"), [("gd", 300), ("adam", 60), ("lm", 1)])
@pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")
def test_std_covers_what_training_has_left(solver, max_iter):
    """The noise is that of the network's own residuals, not of what its linearisation would reach."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (300, 1))
    y = np.sin(6 * X[:, 0]) + 0.1 * rng.standard_normal(300)
    model = regressor(60, solver=solver, max_iter=max_iter, alpha="loo").fit(X[:150], y[:150])
    mean, std = model.predict(X[150:], return_std=True)
    assert 0.85 < np.mean(np.abs(y[150:] - mean) < 1.96 * std) <= 1
    left = np.sqrt(np.mean((y[:150] - model.predict(X[:150])) ** 2))
    assert 0.9 * left < model.noise_std_[0] < 1.3 * left


@pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("alpha", [1e-4, 1e-8, 0.0])
def test_std_where_the_kernel_has_the_rounding_errors_of_float32(alpha):
    """Its factorisation takes a larger penalty than was asked for, and leave-one-out has to know."""
    X, y = problem(n=200, d=1)
    model = regressor(100, alpha=alpha, max_iter=5, tol=1e-4).fit(X.astype(np.float32), y)
    assert NOISE < model.noise_std_[0] < 2 * NOISE


@pytest.mark.parametrize("width", [150, np.inf])
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_noise_is_measured_off_the_landmarks(width, noise, monkeypatch):
    monkeypatch.setattr(ridge, "LIMITS", ridge.RidgeLimits(exact_rows=200, n_landmarks=120))
    covered = []
    for seed in range(4):  # of single draws, from .88 to 1
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((500, 3))
        y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + noise * rng.standard_normal(500)
        model = regressor(width, alpha="loo", relevance="auto", tol=1e-4).fit(X[:300], y[:300])
        mean, std = model.predict(X[300:], return_std=True)
        assert model.noise_std_[0] < noise + 0.1
        covered.append(np.mean(np.abs(y[300:] - mean) < 1.96 * std))
    assert 0.9 < np.mean(covered) < 0.985


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("factor", [10.0, 1e-6])
def test_noise_is_free_of_a_common_factor_of_the_weights(width, factor):
    X, y = problem()
    one, scaled = (
        regressor(width, alpha="loo").fit(X, y, np.full(40, c)).predict(X, return_std=True)[1]
        for c in (1.0, factor)
    )
    np.testing.assert_allclose(scaled, one, rtol=2e-2)


@pytest.mark.parametrize("width", [60, np.inf])
def test_noise_of_equal_rows_is_that_of_their_cells(width):
    """One of many equal rows left out: what its cell scatters by, not how far other cells are."""
    rng = np.random.default_rng(0)
    X = rng.choice([-1.0, 1.0], (400, 3))
    y = X.prod(axis=1) * np.where(rng.uniform(size=400) < 0.1, -1, 1)  # a standard deviation of 0.6
    model = regressor(width, alpha="loo").fit(X, y)
    assert 0.5 < model.noise_std_[0] < 0.7


@pytest.mark.parametrize("width", [100, np.inf])
def test_equal_weights_of_any_size_leave_interpolation_and_its_deviations_as_they_are(width):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((40, 3))
    y = X[:, 0] + 0.3 * rng.standard_normal(40)
    settings = {"alpha": 0, "uncertainty": True, "relevance": None, "random_state": 0}
    one = ImplicitReLURegressor(width, **settings).fit(X, y)
    for size in (1e-8, 1e4, 1e8):
        other = ImplicitReLURegressor(width, **settings).fit(X, y, np.full(40, size))
        assert_allclose(other.noise_std_, one.noise_std_, rtol=1e-4)
        assert_allclose(other.predict(X, return_std=True)[1], one.predict(X, return_std=True)[1], rtol=1e-3)


@pytest.mark.filterwarnings("ignore:Training with solver='lm':sklearn.exceptions.ConvergenceWarning")
def test_interpolation_of_equal_inputs_in_single_precision_has_deviations():
    for seed in range(20):
        rng = np.random.RandomState(seed)
        X, y = (rng.rand(10, 1) < 0.5).astype(np.float32), rng.standard_normal(10)
        model = ImplicitReLURegressor(40, alpha=0, uncertainty=True, relevance=None, random_state=2).fit(X, y)
        assert np.isfinite(model.predict(X, return_std=True)[1]).all()


@pytest.mark.parametrize("depth", [np.inf, 2, 3])
def test_a_posterior_saved_by_0_1_is_read(depth):
    """It held the states that its terms meet on their right, where they are named now."""
    X, y = regression()
    settings = {"depth": depth, "relevance": None, "random_state": 0}
    model = ImplicitReLURegressor(30, uncertainty=True, **settings).fit(X, y)
    expected = model.predict(X, return_std=True)[1]
    arrays = dict(model._posterior)
    for name in [name for name in arrays if name.startswith("state_")]:
        state, number = arrays.pop(name), name.removeprefix("state_")
        if state in ("Z", "Phi"):
            arrays[f"right_{number}"] = arrays[state].copy()
    assert any(name.startswith("right_") for name in arrays)
    model._posterior = arrays
    assert_array_equal(model.predict(X, return_std=True)[1], expected)
