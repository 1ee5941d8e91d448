"""How much leave-one-out is too good with scales that were learnt from all rows."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit.function_space.leaving_out import LeavingOut
from sk_implicit.inputs import likelihood as likelihood_module
from sk_implicit.inputs import optimism
from sk_implicit.inputs.likelihood import Likelihood, measure
from sk_implicit.inputs.optimism import measure_optimism
from sk_implicit.inputs.scale_prior import SETTINGS as PRIOR
from sk_implicit.inputs.scale_prior import ScalePrior
from sk_implicit.limit import limit_kernel


def problem(n=20, p=6, k=1, groups=None, left_out=None, seed=0):
    """Return the likelihood of noise, two columns of one scale and a bias, and parameters."""
    rng = np.random.RandomState(seed)
    X = np.hstack([rng.standard_normal((n, p)), np.ones((n, 1))]) / np.sqrt(p)
    Y = rng.standard_normal((n, k))
    numbers = np.append(np.maximum(np.arange(p) - 1, 0), p - 1)
    mixed = rng.standard_normal((p - 1, p - 1))
    prior = ScalePrior((mixed + mixed.T) / 4 + np.eye(p - 1))
    weights = np.ones(n)
    left_out = LeavingOut(weights, groups) if left_out is None else left_out
    likelihood = Likelihood(X, Y - Y.mean(axis=0), weights, numbers, 0.4, prior, p - 1, left_out)
    return likelihood, np.append(0.1 * rng.standard_normal(p), np.zeros(likelihood.n_noises))


def test_derivatives_by_the_scales_agree_with_finite_differences():
    likelihood, parameters = problem()
    n_scales, alpha = 6, np.random.RandomState(1).standard_normal(20)

    def product(parameters):
        t = likelihood.log_scales(parameters)
        return limit_kernel(likelihood.X * np.exp(t)[likelihood.groups], gamma=0.4) @ alpha

    X = likelihood.X * np.exp(likelihood.log_scales(parameters))[likelihood.groups]
    angles = measure(X, 0.4)[1].in_full(np.float64)
    found = optimism._by_scales(likelihood, angles, alpha)
    stds = np.append(np.full(n_scales - 1, PRIOR.std), optimism.SETTINGS.bias_std)
    for j, std in enumerate(stds):
        step = np.zeros_like(parameters)
        step[j] = 1e-5
        expected = std * (product(parameters + step) - product(parameters - step)) / 2e-5
        assert_allclose(found[:, j], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("n, p", [(3, 9), (5, 9), (9, 5)])
def test_leverages_are_those_of_the_dense_matrix(n, p, monkeypatch):
    factorised, cholesky = [], optimism.cholesky

    def recorded(matrix, **options):
        factorised.append(len(matrix))
        return cholesky(matrix, **options)

    monkeypatch.setattr(optimism, "cholesky", recorded)
    slopes = list(np.random.RandomState(0).standard_normal((2, n, p)))
    Z = np.sqrt(optimism.SETTINGS.curvature) * np.vstack(slopes)
    expected = np.eye(2 * n) - Z @ np.linalg.inv(Z.T @ Z + np.eye(p)) @ Z.T
    found = optimism._unexplained(slopes)
    assert_allclose(found[0], expected[:n, :n], atol=1e-12)
    assert_allclose(found[1], expected[n:, n:], atol=1e-12)
    assert factorised == [min(2 * n, p)]


def test_a_newton_step_predicts_what_scales_without_a_row_make_of_it(monkeypatch):
    """Errors of rows left out by refits of the scales as well, near a strong prior where a step is all.

    Bias and noise are held. How variances move is left out, so that the step is too long where few scales
    change the size of all of the kernel; of many scales that is one direction among many.
    """
    strong = replace(PRIOR, std=0.25)
    monkeypatch.setattr(optimism, "PRIOR", strong)
    monkeypatch.setattr(likelihood_module, "PRIOR", strong)
    settings = replace(optimism.SETTINGS, penalties=(1.0,), bias_std=1e-9, most_leverage=np.inf)
    monkeypatch.setattr(optimism, "SETTINGS", settings)

    def best(likelihood):
        noise = np.log(likelihood.unit_diagonal)  # near the penalty that is asked for
        start, bounds = np.append(np.zeros(12), noise), [(-3, 3)] * 11 + [(0, 0), (noise, noise)]
        return minimize(likelihood, start, jac=True, bounds=bounds, method="L-BFGS-B").x

    measured, refitted = [], []
    for seed in range(8):
        likelihood, _ = problem(n=30, p=12, seed=seed)
        X, Y, groups, at = likelihood.X, likelihood.Y, likelihood.groups, best(likelihood)
        measured.append(measure_optimism(likelihood, at).factors[0])
        plain, without = [], []
        for i in range(30):
            rest = np.arange(30) != i
            fewer = Likelihood(X[rest], Y[rest], np.ones(29), groups, 0.4, likelihood.prior, 11)
            for parameters, errors in ((at, plain), (best(fewer), without)):
                K = limit_kernel(X * np.exp(likelihood.log_scales(parameters))[groups], gamma=0.4)
                system = K[np.ix_(rest, rest)] + np.mean(np.diag(K)) * np.eye(29)
                errors.append(float(Y[i, 0] - K[i, rest] @ np.linalg.solve(system, Y[rest, 0])))
        refitted.append(np.mean(np.square(without)) / np.mean(np.square(plain)))
    assert np.mean(refitted) > 1.02
    assert 1 < (np.mean(measured) - 1) / (np.mean(refitted) - 1) < 4


def test_a_row_to_a_group_and_copies():
    plain = measure_optimism(*problem()).factors
    assert (plain >= 1).all() and plain.max() > 1.1 and plain[-1] == 1
    likelihood, parameters = problem(groups=np.arange(20) // 2)
    pairs = measure_optimism(likelihood, parameters).factors
    assert pairs.max() > 1.1
    copies = measure_optimism(*problem(left_out=LeavingOut(np.full(20, 0.25)))).factors
    assert (copies[:-1] < plain[:-1]).all()


def test_a_singular_kernel_has_no_optimism(monkeypatch):
    monkeypatch.setattr(optimism, "SETTINGS", replace(optimism.SETTINGS, penalties=(1e-300, 1.0)))
    likelihood, parameters = problem()
    likelihood.X[:] = likelihood.X[0]
    factors = measure_optimism(likelihood, parameters).factors
    assert factors[0] == 1 and np.isfinite(factors).all()


@pytest.mark.parametrize("width", [50, np.inf])
@pytest.mark.filterwarnings("ignore:Nothing was found:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")
def test_noise_in_wide_tables_is_not_believed(width):
    """Half of the targets' variance was claimed, where predictions were worse than their mean."""
    claims, truths, inside = [], [], []
    for seed in range(6 if width == np.inf else 2):
        rng = np.random.RandomState(seed)
        X, y = rng.standard_normal((560, 120)), rng.standard_normal(560)
        model = ImplicitReLURegressor(width, uncertainty=True, max_iter=3, random_state=0).fit(X[:60], y[:60])
        predicted, std = model.predict(X[60:], return_std=True)
        claims.append(model.loo_score_)
        truths.append(model.score(X[60:], y[60:]))
        inside.append(np.mean(np.abs(predicted - y[60:]) < 1.645 * std))
    assert abs(np.mean(claims) - np.mean(truths)) < 0.1
    assert np.mean(truths) > -0.1
    assert 0.8 < np.mean(inside) < 0.96


def test_scales_that_no_target_had_a_say_in_hide_nothing():
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((40, 5)), rng.standard_normal(40)
    assert ImplicitReLURegressor(np.inf, relevance=None).fit(X, y + X[:, 0])._inputs.optimism is None
    learnt = ImplicitReLURegressor(np.inf).fit(X, y + 3 * X[:, 0])._inputs.optimism
    assert learnt is not None and learnt.factors.max() > 1
    labels = ImplicitReLUClassifier(np.inf, relevance="linear").fit(X, X[:, 0] > 0)
    assert labels._inputs.optimism.factors.max() > 1
