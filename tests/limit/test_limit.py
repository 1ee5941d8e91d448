"""Infinite-width limit functions against quadrature, random networks and their own definitions."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.legendre import leggauss
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import dblquad
from scipy.special import ndtr, owens_t

from sk_implicit.limit import (
    _moments,
    limit_diagonal,
    limit_functions,
    limit_kernel,
    limit_kernel_derivatives,
)
from sk_implicit.limit._matrix import limit_matrices, normalised, upper_tiles
from sk_implicit.limit._moments import (
    fixed_point_at_one,
    limit_gamma_derivatives,
    limit_values,
    solve_fixed_point,
)

GAMMAS = [1e-3, 0.1, 0.4, 0.9, 1.2]
NAMES = ["phi", "k", "kappa", "l", "nngp", "ntk"]


# --- the defining expectations, by direct quadrature over (p, p') ---------------------------------


def normal_pdf(x):
    return np.exp(-(x**2) / 2.0) / math.sqrt(2.0 * math.pi)


def both_above(x, y, c):
    """P(h > −x, h' > −y) for x, y ≥ 0, standard normals of correlation c (Owen 1956)."""
    s = math.sqrt(1.0 - c * c)
    x, y = np.maximum(x, 1e-300), np.maximum(y, 1e-300)
    return (ndtr(x) + ndtr(y)) / 2.0 - owens_t(x, (y - c * x) / (x * s)) - owens_t(y, (x - c * y) / (y * s))


def shifted_relu_moment(x, y, c):
    """E[(h + x)₊ (h' + y)₊] for x, y ≥ 0."""
    s = math.sqrt(1.0 - c * c)
    joint_pdf = normal_pdf(x) * normal_pdf((y - c * x) / s) / s
    return (
        (x * y + c) * both_above(x, y, c)
        + y * normal_pdf(x) * ndtr((y - c * x) / s)
        + x * normal_pdf(y) * ndtr((x - c * y) / s)
        + s * s * joint_pdf
    )


def expectations(gamma, rho, K, K_one):
    """E[σ(g)σ(g')], P(g, g' > 0) and P(g, g', p, p' > 0) at a given K(ρ), by Gauss-Legendre."""
    a, c, s = gamma * math.sqrt(K_one), K / K_one, math.sqrt(1.0 - rho * rho)
    x, w = leggauss(240)
    p, w_p = 4.75 * (x + 1.0), 4.75 * w * normal_pdf(4.75 * (x + 1.0))
    # p' = ρ p + s q is positive for q above −ρ p / s
    low = np.clip(-rho * p / s, -9.5, 9.5)[:, None]
    q = low + (9.5 - low) * (x + 1.0) / 2.0
    weight = w_p[:, None] * (9.5 - low) / 2.0 * w * normal_pdf(q)
    shift_p, shift_q = np.broadcast_to(p[:, None] / a, q.shape), (rho * p[:, None] + s * q) / a
    one_sided = 2.0 * w_p * ndtr(-rho * p / s)  # p > 0 > p' and its mirror image
    both_negative = 0.25 + math.asin(rho) / (2.0 * math.pi)
    zero = np.zeros(1)
    results = []
    for f in (shifted_relu_moment, both_above):
        results.append(np.sum(weight * f(shift_p, shift_q, c)))
        results.append(one_sided @ f(p / a, zero, c) + both_negative * f(zero, zero, c)[0])
    F, kappa = a * a * (results[0] + results[1]), results[2] + results[3]
    return F, kappa, results[2]


@pytest.mark.parametrize("gamma", [0.1, 0.4, 0.9, 1.2])
@pytest.mark.parametrize("rho", [-0.97, -0.6, 0.0, 0.35, 0.8, 0.995])
def test_limit_functions_equal_their_definitions(gamma, rho):
    functions = limit_functions(gamma)
    at = np.array([rho, 1.0])
    K, K_one = functions.k(at)
    F, kappa, kappa_pp = expectations(gamma, rho, K, K_one)
    theta = math.acos(rho)
    phi = (math.sin(theta) + (math.pi - theta) * rho) / (2.0 * math.pi)
    phi_rho = (math.pi - theta) / (2.0 * math.pi)
    L = kappa / (1.0 - gamma**2 * kappa)
    ntk = phi + K + gamma**2 * L * K + rho * (kappa_pp * (gamma**2 * L + 1.0) + phi_rho)
    got = [float(getattr(functions, name)(at)[0]) for name in NAMES]
    assert_allclose(got, [phi, F, kappa, L, phi + F, ntk], rtol=0, atol=1e-10)


@pytest.mark.parametrize(("gamma", "rho"), [(0.4, -0.7), (0.7, 0.5), (1.2, 0.9)])
def test_fixed_point_against_adaptive_quadrature(gamma, rho):
    functions = limit_functions(gamma)
    K, K_one = functions.k(np.array([rho, 1.0]))
    a, c, s = gamma * math.sqrt(K_one), K / K_one, math.sqrt(1.0 - rho * rho)
    kappa = functions.kappa(rho)

    def expectation(f):
        """E[f(σ(p)/a, σ(p')/a)], cut where p and p' change sign."""

        def integrand(q, p):
            x, y = np.array([max(p, 0.0) / a]), np.array([max(rho * p + s * q, 0.0) / a])
            return float(normal_pdf(p) * normal_pdf(q) * f(x, y, c)[0])

        def kink(p):
            return min(max(-rho * p / s, -9.0), 9.0)

        return sum(
            dblquad(integrand, lo, hi, low, high, epsabs=1e-11, epsrel=1e-11)[0]
            for lo, hi in [(-9.0, 0.0), (0.0, 9.0)]
            for low, high in [(-9.0, kink), (kink, 9.0)]
        )

    assert_allclose(a * a * expectation(shifted_relu_moment), K, rtol=0, atol=1e-10)
    assert_allclose(expectation(both_above), kappa, rtol=0, atol=1e-10)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_value_at_one_solves_the_closed_form(gamma):
    K = float(limit_functions(gamma).k(np.ones(1))[0])
    a = gamma * math.sqrt(K)
    x, w = leggauss(400)
    p, w = 5.0 * (x + 1.0), 5.0 * w
    # E[(a h + p)₊²] for fixed p, and half the mass at p < 0
    inner = (a * a + p * p) * ndtr(p / a) + a * p * normal_pdf(p / a)
    assert_allclose(K, a * a / 4.0 + w @ (normal_pdf(p) * inner), rtol=1e-12)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_ends_of_the_table(gamma):
    functions, one = limit_functions(gamma), fixed_point_at_one(gamma)
    gain = 1.0 / (1.0 - gamma**2 * one.kappa)
    expected = [0.5, one.K, one.kappa, one.kappa * gain, 0.5 + one.K]
    expected.append(1.0 + gain * (one.kappa_pp + one.K))
    got = [float(getattr(functions, name)(1.0)) for name in NAMES]
    assert_allclose(got, expected, rtol=1e-12)
    # ρ = −1: never both positive p, p' = −p, so κ is twice P(p > 0, a h + p > 0, h' > 0) of three normals
    c, a = float(functions.k(-1.0)) / one.K, one.a
    r_hp, r_hh = 0.0, c
    r_gp, r_gh = 1.0 / math.sqrt(1.0 + a * a), a * r_hh / math.sqrt(1.0 + a * a)
    orthant = 0.125 + (math.asin(r_hp) + math.asin(r_gp) + math.asin(r_gh)) / (4.0 * math.pi)
    assert_allclose(float(functions.kappa(-1.0)), 2.0 * orthant, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    gamma=st.floats(1e-6, 1.38),
    theta=st.lists(st.floats(1e-6, math.pi - 1e-6), min_size=1, max_size=8),
    near=st.floats(-7.0, -1.0),
)
def test_table_equals_direct_evaluation(gamma, theta, near):
    theta = np.array([*theta, 10.0**near, math.pi - 10.0**near])
    rho = np.cos(theta)
    # The angle of the rounded cosine, in full precision near the ends.
    from_end = 2.0 * np.arcsin(np.sqrt((1.0 - np.abs(rho)) / 2.0))
    inside = from_end > 0.0
    rho, from_end = rho[inside], from_end[inside]
    theta = np.where(rho > 0.0, from_end, math.pi - from_end)
    solution = solve_fixed_point(gamma, theta)
    direct = limit_values(gamma, theta, solution) | limit_gamma_derivatives(gamma, theta, solution)
    functions = limit_functions(gamma)
    for name in NAMES:
        function = getattr(functions, name)
        atol = 1e-10 * max(1.0, float(function(1.0)))
        assert_allclose(function(rho), direct[name], rtol=0, atol=atol, err_msg=name)
    for kind in ("ntk", "nngp"):
        for derivative in ("theta", "gamma"):
            values = getattr(functions, f"{derivative}_derivative")(kind, rho)
            expected = direct[f"{kind}_{derivative}"]
            scale = max(1.0, abs(float(functions.gamma_derivative(kind, 1.0))))
            assert_allclose(values, expected, rtol=1e-8, atol=1e-9 * scale)


@pytest.mark.parametrize("gamma", [0.05, 0.4, 0.9, 1.3])
def test_panels_have_as_many_nodes_as_they_need(gamma, monkeypatch):
    theta = np.concatenate([np.linspace(1e-6, np.pi - 1e-6, 300), np.logspace(-7, -1, 50)])
    values = limit_values(gamma, theta, solve_fixed_point(gamma, theta))
    monkeypatch.setattr(_moments, "_PANEL_NODES", 30)
    more = limit_values(gamma, theta, solve_fixed_point(gamma, theta))
    for name, expected in more.items():
        assert_allclose(values[name], expected, rtol=0, atol=1e-13 * np.abs(expected).max(), err_msg=name)


@pytest.mark.parametrize("gamma", [1e-4, 0.1, 0.4, 1.1, 1.38])
def test_table_is_far_more_accurate_than_promised(gamma):
    """Down to the largest cosine below 1, and on both sides of every octave."""
    u = np.concatenate(
        [np.logspace(-8, 0, 2000), 2.0 ** np.arange(-26, 0), 2.0 ** np.arange(-26, 0) * (1 - 1e-9)]
    )
    rho = 1 - u**2
    rho = np.unique(np.concatenate([rho, -rho, np.nextafter([1.0, -1.0], 0)]))
    rho = rho[np.abs(rho) < 1]
    from_end = 2 * np.arcsin(np.sqrt((1 - np.abs(rho)) / 2))
    theta = np.where(rho > 0, from_end, math.pi - from_end)
    direct = limit_values(gamma, theta, solve_fixed_point(gamma, theta))
    functions = limit_functions(gamma)
    for name in NAMES:
        atol = 2e-12 * np.abs(direct[name]).max()
        assert_allclose(getattr(functions, name)(rho), direct[name], rtol=0, atol=atol, err_msg=name)


@settings(max_examples=20, deadline=None)
@given(gamma=st.floats(0.01, 1.38))
def test_shape_of_the_functions(gamma):
    functions = limit_functions(gamma)
    rho = np.linspace(-1.0, 1.0, 501)
    for name in NAMES:
        values = getattr(functions, name)(rho)
        assert np.all(np.abs(values) <= values[-1] * (1.0 + 1e-14)), name
        if name != "ntk":  # the NTK need not be monotone: ρ Φ' falls near ρ = −1
            assert np.all(np.diff(values) >= -1e-13 * values[-1]), name
            assert values[0] >= -1e-13, name
    assert np.all(functions.kappa(rho) < 1.0 / gamma**2)


@pytest.mark.parametrize("kind", ["ntk", "nngp"])
@pytest.mark.parametrize("gamma", [0.02, 0.4, 0.9, 1.2])
def test_derivatives_against_finite_differences(kind, gamma):
    theta = np.linspace(0.05, math.pi - 0.05, 40)

    def extrapolated(f, h):
        coarse, fine = (f(h) - f(-h)) / (2.0 * h), (f(h / 2.0) - f(-h / 2.0)) / h
        return (4.0 * fine - coarse) / 3.0

    def by_theta(h):
        return getattr(limit_functions(gamma), kind)(np.cos(theta + h))

    def by_gamma(h):
        return getattr(limit_functions(gamma + h), kind)(np.cos(theta))

    functions, rho = limit_functions(gamma), np.cos(theta)
    got = functions.theta_derivative(kind, rho)
    assert_allclose(got, extrapolated(by_theta, 2e-3), rtol=1e-7, atol=2e-8)
    got = functions.gamma_derivative(kind, rho)
    assert_allclose(got, extrapolated(by_gamma, gamma / 400.0), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", ["nngp", "ntk"])
def test_arc_cosine_kernel_as_gamma_vanishes(name):
    theta = np.linspace(0.0, math.pi, 200)
    rho = np.cos(theta)
    phi = (np.sin(theta) + (math.pi - theta) * rho) / (2.0 * math.pi)
    # z = φ at γ = 0: both layers of weights double the arc-cosine kernels of order 1 and 0.
    expected = 2.0 * phi + (name == "ntk") * rho * (math.pi - theta) / math.pi
    gaps = [
        np.abs(getattr(limit_functions(gamma), name)(rho) - expected).max()
        for gamma in (1e-2, 1e-3, 1e-6, 1e-12)
    ]
    assert gaps[-1] < 1e-11
    assert_allclose(gaps[:3], np.array([1e-2, 1e-3, 1e-6]) * gaps[2] / 1e-6, rtol=0.1)


# --- random networks --------------------------------------------------------------------------------


def network_kernels(X, gamma, m, rng):
    """Tangent kernel and output covariance of one random network, from the formulas of the model."""
    A, W, u, v = (rng.standard_normal(s) for s in [(m, m), (m, X.shape[1]), m, m])
    s, P = gamma / math.sqrt(m), X @ W.T / math.sqrt(m)
    Phi = np.maximum(P, 0.0)
    Z = Phi
    for _ in range(80):
        Z = np.maximum(s * Z @ A.T + Phi, 0.0)
    Lam = np.zeros_like(Z)
    for _ in range(80):
        Lam = (Z > 0.0) * (s * Lam @ A + u)
    E = (P > 0.0) * (Lam + v)
    forward = Phi @ Phi.T + Z @ Z.T
    ntk = forward + s**2 * (Lam @ Lam.T) * (Z @ Z.T) + (E @ E.T) * (X @ X.T) / m
    return {"nngp": forward, "ntk": ntk}


def test_random_networks_approach_the_limit_like_one_over_root_width():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((6, 4))
    X[1] = -X[0]
    gamma, widths, n_networks = 0.6, [64, 256, 1024], 6
    gaps = {"nngp": [], "ntk": []}
    for m in widths:
        networks = [network_kernels(X, gamma, m, rng) for _ in range(n_networks)]
        for kind, gap in gaps.items():
            limit = limit_kernel(X, gamma=gamma, kind=kind)
            errors = np.array([network[kind] - limit for network in networks])
            gap.append(np.sqrt(np.mean(errors**2)))
    for kind, gap in gaps.items():
        slope = np.polyfit(np.log(widths), np.log(gap), 1)[0]
        assert -0.65 < slope < -0.35, (kind, gap)
        assert gap[-1] < 0.1 * np.abs(limit_kernel(X, gamma=gamma, kind=kind)).max()


# --- matrices -----------------------------------------------------------------------------------------


@pytest.fixture
def X():
    X = np.random.default_rng(0).standard_normal((300, 7))
    X.flags.writeable = False
    return X


@pytest.mark.parametrize("kind", ["ntk", "nngp", "phi"])
def test_kernel_is_norms_times_function_of_the_cosine(X, kind):
    norms = np.linalg.norm(X, axis=1)
    cosines = np.clip((X @ X.T) / np.outer(norms, norms), -1.0, 1.0)
    np.fill_diagonal(cosines, 1.0)
    expected = np.outer(norms, norms) * getattr(limit_functions(0.4), kind)(cosines)
    K = limit_kernel(X, gamma=0.4, kind=kind)
    assert_allclose(K, expected, rtol=1e-12, atol=1e-10)
    assert_array_equal(K, K.T)
    assert_array_equal(np.diag(K), limit_diagonal(X, gamma=0.4, kind=kind))
    assert_allclose(limit_kernel(X, X.copy(), gamma=0.4, kind=kind), K, rtol=1e-12, atol=1e-10)
    assert_allclose(limit_kernel(X, X[:37], gamma=0.4, kind=kind), K[:, :37], atol=1e-10)


def test_phi_is_the_arc_cosine_kernel(X):
    W = np.random.default_rng(1).standard_normal((200_000, 7))
    features = np.maximum(X[:5] @ W.T, 0.0)
    sampled = features @ features.T / len(W)
    assert_allclose(limit_kernel(X[:5], gamma=0.4, kind="phi"), sampled, rtol=0.03, atol=0.03)


def test_more_columns_than_a_tile(X):
    Y = np.random.default_rng(2).standard_normal((9001, 7))
    K = limit_kernel(X[:3], Y, gamma=0.4)
    assert_allclose(K[:, [0, 8191, 8192, 9000]], limit_kernel(X[:3], Y[[0, 8191, 8192, 9000]], gamma=0.4))
    assert_allclose(K, limit_kernel(Y, X[:3], gamma=0.4).T, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", ["ntk", "nngp"])
@pytest.mark.parametrize("gamma", [0.01, 0.4, 1.2])
def test_positive_semi_definite(X, kind, gamma):
    near = np.vstack([X[:100], X[:100] * (1.0 + 1e-3), X[:50] + 1e-6, -X[:50]])
    eigenvalues = np.linalg.eigvalsh(limit_kernel(near, gamma=gamma, kind=kind))
    assert eigenvalues[0] > -1e-8 * eigenvalues[-1]
    # Distinct directions: the limit kernel is positive definite.
    assert np.linalg.eigvalsh(limit_kernel(X, gamma=gamma, kind=kind))[0] > 1e-6


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 100))
def test_homogeneous_in_each_argument(scale, seed):
    rng = np.random.default_rng(seed)
    X, Y = rng.standard_normal((4, 3)), rng.standard_normal((5, 3))
    K = limit_kernel(X, Y, gamma=0.4)
    assert_allclose(limit_kernel(scale * X, Y, gamma=0.4), scale * K, rtol=1e-9, atol=1e-9 * scale)


def test_equal_and_opposite_rows(X):
    Y = np.vstack([X[:50], -2.0 * X[:50]])
    K = limit_kernel(X[:50], Y, gamma=0.4)
    ends = limit_functions(0.4).ntk(np.array([1.0, -1.0]))
    squares = np.sum(X[:50] ** 2, axis=1)
    assert_allclose(np.diag(K), squares * ends[0], rtol=1e-13)
    assert_allclose(np.diag(K[:, 50:]), 2.0 * squares * ends[1], rtol=1e-12)


def test_zero_rows_and_no_rows(X):
    Z = X[:5].copy()
    Z[2] = 0.0
    K = limit_kernel(Z, gamma=0.4)
    assert_array_equal(K[2], 0.0)
    assert_array_equal(K[:, 2], 0.0)
    assert_array_equal(limit_kernel(X, Z, gamma=0.4)[:, 2], 0.0)
    assert limit_kernel(X, X[:0], gamma=0.4).shape == (300, 0)


def test_float32(X):
    X32 = X.astype(np.float32)
    K = limit_kernel(X32, gamma=0.4)
    assert K.dtype == np.float32
    assert limit_diagonal(X32, gamma=0.4).dtype == np.float32
    assert limit_kernel(X32, X, gamma=0.4).dtype == np.float64
    assert_allclose(K, limit_kernel(X32.astype(np.float64), gamma=0.4), rtol=2e-7, atol=1e-6)
    rho = np.linspace(-1, 1, 11, dtype=np.float32)
    assert limit_functions(0.4).ntk(rho).dtype == np.float32


def test_scalars_shapes_and_rounding_beyond_one():
    functions = limit_functions(0.4)
    assert functions.ntk(0.3).shape == ()
    assert functions.k(np.full((2, 3, 4), 0.3)).shape == (2, 3, 4)
    assert functions.ntk(1.0 + 1e-15) == functions.ntk(1.0)
    assert np.isnan(functions.ntk(np.array([np.nan, 0.2]))).tolist() == [True, False]
    assert limit_functions(0.4) == functions


def test_threads_get_the_same_table(X):
    gamma = 0.4321
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: limit_kernel(X[:50], gamma=gamma), range(8)))
    for K in results:
        assert_array_equal(K, results[0])


@pytest.mark.parametrize(
    "gamma", [0.0, -0.4, math.sqrt(2.0), math.nextafter(math.sqrt(2.0), 0), 2.0, math.nan]
)
def test_gamma_out_of_range(gamma):
    with pytest.raises(ValueError, match=r"gamma must lie between .* got"):
        limit_functions(gamma)


def test_bad_arguments(X):
    with pytest.raises(ValueError, match=r"rho must hold cosines.*3\.5"):
        limit_functions(0.4).k(np.array([0.1, -3.5]))
    with pytest.raises(ValueError, match="kind must be one of"):
        limit_kernel(X, gamma=0.4, kind="rbf")
    with pytest.raises(ValueError, match="same number of columns; got 7 and 3"):
        limit_kernel(X, X[:, :3], gamma=0.4)
    with pytest.raises(ValueError, match="Y must have shape"):
        limit_kernel(X, X[0], gamma=0.4)


@pytest.mark.parametrize(("scale", "dtype"), [(1e160, np.float64), (1e20, np.float32), (np.nan, np.float64)])
def test_kernels_that_are_not_numbers_are_refused(X, scale, dtype):
    far = X.astype(dtype) * dtype(scale)
    for evaluate in (limit_kernel, limit_diagonal):
        with pytest.raises(ValueError, match=f"product of the rows' norms.*range of {np.dtype(dtype)}"):
            evaluate(far, gamma=0.4)
    if not np.isnan(scale):  # far rows beside near ones are within the range
        assert np.isfinite(limit_kernel(far, X.astype(dtype), gamma=0.4)).all()


@pytest.mark.parametrize("d", [1, 3, 17, 64, 200, 1000, 5000, 20000])
@pytest.mark.parametrize("kind", ["normal", "indicators", "constant"])
def test_equal_rows_have_the_cosine_one(d, kind):
    rng = np.random.default_rng(0)
    X = {
        "normal": rng.standard_normal((20, d)),
        "indicators": rng.integers(0, 2, (20, d)) + 0.1,
        "constant": np.ones((20, d)) * rng.random((20, 1)),
    }[kind]
    twice = limit_kernel_derivatives(np.vstack([X, -X, X]), gamma=0.4).cosine
    assert_array_equal(np.diag(twice, 40), 1)
    assert_array_equal(np.diag(twice, 20), -1)
    between = limit_kernel(X[:7], X, gamma=0.4)
    assert_allclose(np.diag(between), np.diag(limit_kernel(X, gamma=0.4))[:7], rtol=1e-14)


@pytest.mark.parametrize("n", [1, 3, 150, 2100])
def test_tiles_are_those_of_the_matrix(n):
    X = np.random.default_rng(0).standard_normal((n, 4))
    names = ("ntk", "nngp_theta")
    expected = limit_matrices(X, None, 0.4, names, cosine=True)
    found, times = np.full((3, n, n), np.nan), np.zeros((n, n), int)
    for rows, cols, rho, values in upper_tiles(*normalised(X, "X"), 0.4, names, np.zeros((n, n))):
        found[:, rows, cols] = [*values, rho]
        times[rows, cols] += 1
    above = np.triu_indices(n, 1)
    assert (times[np.triu_indices(n)] == 1).all() and times.max() == 1
    for tiles, matrix in zip(found, expected):
        np.testing.assert_array_equal(tiles[above], matrix[above])
        np.testing.assert_array_equal(matrix, matrix.T)
