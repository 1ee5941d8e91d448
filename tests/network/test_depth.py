"""Finite depth: the layers, their derivatives, and the way to the equilibrium."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from problems import difference_jacobian, objective, outputs, problem, product_jacobian, regression, to
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import InvalidParameterError

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit.display import SpectrumDisplay
from sk_implicit.equilibrium import EquilibriumOperator, Status
from sk_implicit.equilibrium.recursion import layer_states, recur
from sk_implicit.network import Network
from sk_implicit.network.adjoint import pairs_are_cheaper, vjp_at
from sk_implicit.network.tangent import TangentFeatures, joint_kernel, kernel_block, mean_kernel
from sk_implicit.theory import convergence_certificate, tangent_kernel, tangent_margin
from sk_implicit.training import SOLVERS

every_solver = pytest.mark.parametrize("solver", list(SOLVERS))
pytestmark = pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")
DEPTHS = (1, 2, 5)


def naive(network, X):
    """z_depth, one row and one layer at a time."""
    Z = np.zeros((X.shape[0], network.shape.m))
    for i, x in enumerate(X.toarray() if hasattr(X, "toarray") else X):
        phi = np.maximum(network.W @ x, 0) / np.sqrt(network.shape.m)
        for _ in range(network.depth):
            Z[i] = np.maximum(network.s * network.A @ Z[i] + phi, 0)
    return Z


# --- the network ------------------------------------------------------------------------------------


@given(
    m=st.integers(1, 20),
    n=st.integers(1, 7),
    depth=st.integers(1, 12),
    gamma=st.floats(0.01, 5),
    kind=st.sampled_from(["dense", "csr"]),
    seed=st.integers(0, 1000),
)
def test_forward_pass_is_the_recursion(m, n, depth, gamma, kind, seed):
    case = problem(m, n, kind=kind, gamma=gamma, seed=seed, depth=depth)
    Z = naive(case.network, case.X)
    assert_allclose(case.layers.Z, Z, rtol=1e-10, atol=1e-12 * np.abs(Z).max())
    assert case.result.converged
    assert not case.result.residual.any()


def test_one_layer_is_the_feature_map():
    case = problem(depth=1)
    assert_array_equal(case.layers.Z, case.layers.Phi)
    assert not np.shares_memory(case.layers.Z, case.layers.Phi)
    assert case.result.n_products == 0


def test_rows_that_overflow_are_nan_and_said_to_be():
    network = problem(m=5, n=1, gamma=50.0, depth=3).network
    network.A[:] = np.abs(network.A)
    Phi = np.array([[1.0] * 5, [1e307] * 5])
    result = recur(network.operator, Phi, 40)
    assert result.status is Status.DIVERGED
    assert_array_equal(result.residual, [0.0, np.inf])
    assert np.isnan(result.solution[1]).all()
    assert np.isfinite(result.solution[0]).all()


def test_layers_that_change_nothing_are_not_computed():
    result = problem(m=60, n=5, depth=10**6).result
    assert result.n_iter < 60


def test_networks_made_from_a_network_keep_its_depth():
    network = problem(depth=3).network
    for made in (
        network.with_theta(network.theta),
        network.with_outputs(network.U, network.V),
        network.astype(np.float32),
    ):
        assert made.depth == 3


# --- derivatives ------------------------------------------------------------------------------------

cases = pytest.mark.parametrize(
    ("k", "kind", "gamma", "depth"),
    [(k, kind, gamma, L) for L in DEPTHS for k, kind, gamma in [(1, "dense", 0.4), (3, "csr", 2.0)]],
)


@cases
def test_every_product_and_kernel_agrees_with_finite_differences(k, kind, gamma, depth):
    case = problem(k=k, kind=kind, gamma=gamma, depth=depth)
    J = difference_jacobian(case)
    scale = np.abs(J).max()
    assert_allclose(product_jacobian(case), J, atol=1e-6 * scale)
    rng = np.random.RandomState(5)
    theta = rng.standard_normal(J.shape[1])
    assert_allclose(case.tangent.jvp(theta).ravel(order="F"), J @ theta, atol=1e-6 * np.abs(J @ theta).max())
    C = rng.standard_normal((case.n, k))
    assert_allclose(case.tangent.vjp(C), C.ravel(order="F") @ J, atol=1e-6 * scale)
    K = J @ J.T
    assert_allclose(joint_kernel(case.tangent), K, atol=1e-6 * np.abs(K).max())


@given(
    m=st.integers(1, 15),
    n=st.integers(1, 7),
    k=st.integers(1, 3),
    depth=st.integers(1, 8),
    kind=st.sampled_from(["dense", "csr"]),
    gamma=st.floats(0.01, 3),
    seed=st.integers(0, 1000),
)
def test_products_are_adjoint_and_kernels_are_their_composition(m, n, k, depth, kind, gamma, seed):
    case = problem(m, n, k=k, kind=kind, gamma=gamma, seed=seed, depth=depth)
    rng = np.random.RandomState(seed)
    C, theta = rng.standard_normal((n, k)), rng.standard_normal(case.network.theta.size)
    J = product_jacobian(case)
    size = max(1.0, np.abs(J).max())
    assert_allclose(J @ theta, case.tangent.jvp(theta).ravel(order="F"), atol=1e-11 * size)
    assert_allclose(C.ravel(order="F") @ J, case.tangent.vjp(C), atol=1e-11 * size)
    assert_allclose(
        vjp_at(case.network, case.layers, C, to(1e-14))[0], case.tangent.vjp(C), atol=1e-11 * size
    )
    K = joint_kernel(case.tangent)
    assert_allclose(K, J @ J.T, atol=1e-11 * size**2)
    assert_allclose(case.tangent.kernel_diagonal().ravel(order="F"), np.diag(K), atol=1e-11 * size**2)
    assert_allclose(kernel_block(case.tangent), kernel_block(case.tangent).T, atol=1e-13 * size**2)


@pytest.mark.parametrize("chosen", [slice(None), [4, 1]])
def test_kernels_by_columns_of_A_are_those_by_pairs_of_layers(chosen, monkeypatch):
    case = problem(m=12, n=6, k=2, depth=7, gamma=1.0)
    other = None if chosen == slice(None) else case.tangent.take(chosen)
    columns = joint_kernel(case.tangent, other)
    assert not pairs_are_cheaper(*[[(left[0], right) for left, right, _ in case.tangent.inner_terms]] * 2)
    monkeypatch.setattr("sk_implicit.network.tangent.pairs_are_cheaper", lambda *_: True)
    assert_allclose(joint_kernel(case.tangent, other), columns, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("depth", DEPTHS)
def test_taken_rows_and_kernels_between_two_sets(depth):
    case = problem(n=8, k=2, depth=depth)
    chosen = [6, 5, 7]
    left, right = case.tangent.take(slice(0, 5)), case.tangent.take(chosen)
    both = joint_kernel(case.tangent).reshape(2, 8, 2, 8)
    cross = both[:, :5][:, :, :, chosen]
    assert_allclose(joint_kernel(left, right), cross.reshape(10, 6), rtol=1e-12)
    assert_allclose(mean_kernel(left, right), np.mean([cross[c, :, c] for c in range(2)], axis=0), rtol=1e-12)
    theta = np.random.RandomState(1).standard_normal(case.network.theta.size)
    assert_allclose(right.jvp(theta), case.tangent.jvp(theta)[chosen], rtol=1e-12)
    assert_allclose(right.kernel_diagonal(), case.tangent.kernel_diagonal()[chosen], rtol=1e-13)


def test_derivatives_in_blocks_of_rows_are_those_at_once(monkeypatch):
    case = problem(m=20, n=40, k=2, depth=4)
    monkeypatch.setattr("sk_implicit._numerics.blocks.BLOCK_ENTRIES", 400)
    again = TangentFeatures.at(case.network, case.layers, to(1e-14))
    assert_allclose(joint_kernel(again), joint_kernel(case.tangent), rtol=1e-12)


def test_inputs_come_out_unchanged():
    case = problem(m=20, n=10, depth=2)
    Phi, Z = case.layers.Phi.copy(), case.layers.Z.copy()
    case.layers.Phi.flags.writeable = case.layers.Z.flags.writeable = False
    TangentFeatures.at(case.network, case.layers, to(1e-14))
    assert_array_equal(case.layers.Phi, Phi)
    assert_array_equal(case.layers.Z, Z)


# --- the limit --------------------------------------------------------------------------------------


def test_deep_networks_end_at_the_equilibrium():
    infinite = problem(m=60, n=10, k=2, tol=1e-13)
    deep = problem(m=60, n=10, k=2, depth=200, tol=1e-13)
    assert_allclose(outputs(deep, deep.network.theta), outputs(infinite, infinite.network.theta), atol=1e-8)
    K = joint_kernel(infinite.tangent)
    assert_allclose(joint_kernel(deep.tangent), K, atol=1e-8 * np.abs(K).max())
    assert len(deep.tangent.terms) == 1  # the layers are put together


def test_layers_are_put_together_as_far_as_the_tolerance_allows():
    exact = problem(m=60, n=10, depth=12, tol=0.0)
    assert len(exact.tangent.terms) == 12
    J = product_jacobian(exact)
    for tol in (1e-2, 1e-4, 1e-6):
        found = problem(m=60, n=10, depth=12, tol=tol)
        assert np.abs(product_jacobian(found) - J).max() < tol * np.abs(J).max()
    assert len(problem(m=60, n=10, depth=12, tol=1e-2).tangent.terms) == 1


@pytest.mark.parametrize(("gamma", "tol"), [(0.8, 1e-6), (1.0, 1e-1), (1.0, 1e-2)])
def test_what_is_put_together_of_many_layers_adds_up_to_the_tolerance(gamma, tol):
    """Where layers change slowly, each of them may leave out its part of it only."""
    settings = {"m": 30, "n": 8, "depth": 40, "gamma": gamma}
    J, found = (product_jacobian(problem(**settings, tol=t)) for t in (0.0, tol))
    assert np.abs(found - J).max() < tol * np.abs(J).max()
    assert np.linalg.norm(found - J) < 0.5 * tol * np.linalg.norm(J)


@pytest.mark.parametrize("seed", range(3))
def test_layers_are_left_out_where_they_change_nothing_but_rounding(seed):
    rng = np.random.RandomState(seed)
    A, Phi = rng.standard_normal((40, 40)), np.maximum(rng.standard_normal((30, 40)), 0)
    Phi[1:] *= 1e-9  # a row is measured by itself
    result = recur(EquilibriumOperator(A, 1.0), Phi, 400)
    Z = Phi
    for _ in range(399):
        Z = np.maximum(Z @ A.T / 40**0.5 + Phi, 0)
    assert 200 < result.n_iter < 400  # slow: what is left is a dozen times the last change
    apart = np.linalg.norm(result.solution - Z, axis=1) / np.linalg.norm(Z, axis=1)
    assert apart.max() < 1e-13


def test_single_precision_stays_single_and_agrees():
    single = problem(m=30, n=8, k=2, depth=5, dtype=np.float32, tol=1e-6)
    double = problem(m=30, n=8, k=2, depth=5)
    K, K2 = joint_kernel(single.tangent), joint_kernel(double.tangent)
    assert K.dtype == np.float32
    assert_allclose(K, K2, atol=1e-4 * np.abs(K2).max())


def test_copy_of_the_weights_is_the_same_network():
    network = problem(depth=3).network
    copy = Network(network.A, network.W, network.U, network.V, gamma=network.gamma, depth=3)
    assert_array_equal(copy.theta, network.theta)


# --- training ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("k", [1, 2])
def test_gradient_of_the_objective_agrees_with_finite_differences(depth, k):
    task = objective(m=8, n=6, k=k, penalty=0.1, depth=depth)
    rng = np.random.RandomState(0)
    theta = task.start.theta + 0.1 * rng.standard_normal(task.start.theta.size)
    gradient, _ = task.gradient(task.evaluate(theta))
    expected = np.empty_like(gradient)
    for j, step in enumerate(1e-6 * np.eye(len(theta))):
        expected[j] = (task.evaluate(theta + step).value - task.evaluate(theta - step).value) / 2e-6
    assert_allclose(gradient, expected, atol=1e-6 * np.abs(expected).max())


def regressor(**settings):
    return ImplicitReLURegressor(**({"width": 30, "max_iter": 5, "random_state": 0} | settings))


@every_solver
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("settings", [{}, {"gamma": 2.0, "alpha": 0.1, "output_init": "zero"}], ids=str)
def test_every_solver_lowers_the_loss(solver, depth, settings):
    X, y = regression()
    model = regressor(solver=solver, depth=depth, **settings).fit(X, y)
    assert model.loss_ < model.history_["loss"][0]
    assert model.equilibrium_residual_ == 0
    assert model.depth_ == depth


@every_solver
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_classifier_is_trained_by_every_solver(solver, kind):
    X, y = regression()
    y = np.digitize(y, [0, 1])
    model = ImplicitReLUClassifier(width=30, depth=3, solver=solver, max_iter=5, random_state=0)
    model.fit(kind(X), y)
    assert model.loss_ < model.history_["loss"][0]
    assert_allclose(model.predict_proba(kind(X)).sum(axis=1), 1)
    assert model.equilibrium(kind(X)).shape == (40, 30)


def test_predictions_are_those_of_the_recursion():
    X, y = regression(k=2)
    model = regressor(depth=4, relevance="linear", clip=False, standardize=False).fit(X, y)
    network = Network(model.A_, model.W_, model.U_, model.V_, gamma=model.gamma_, depth=4)
    start = Network(model.A_init_, model.W_init_, model.U_init_, model.V_init_, gamma=model.gamma_, depth=4)
    inputs = np.column_stack([X / model.input_scale_, np.full(len(X), model.bias_)])
    F = [naive(net, inputs) @ net.U.T + net.feature_map(inputs) @ net.V.T for net in (network, start)]
    assert_allclose(model.predict(X), (F[0] - F[1]) * model.y_scale_ + model.y_mean_, rtol=1e-9)
    assert_allclose(model.equilibrium(X), naive(network, inputs), atol=1e-13)


@every_solver
def test_no_contraction_is_needed_and_none_is_kept(solver):
    X, y = regression()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = regressor(solver=solver, depth=3, gamma=0.48, alpha=0, max_iter=50).fit(X, y**3)
    assert model.loss_ < model.history_["loss"][0]
    rate = 1e-3 if solver == "adam" else "auto"  # gradients are large
    wide = regressor(solver=solver, depth=3, gamma=7.0, alpha=0.5, learning_rate=rate).fit(X, y)
    assert min(wide.history_["contraction"]) > 1
    assert wide.loss_ < wide.history_["loss"][0]


def test_a_deep_fit_is_that_of_the_equilibrium():
    X, y = regression()
    deep, infinite = (regressor(depth=depth).fit(X, y) for depth in (200, np.inf))
    assert_allclose(deep.predict(X), infinite.predict(X), rtol=1e-6, atol=1e-6)
    assert_allclose(deep.loo_score_, infinite.loo_score_, rtol=1e-8)
    deep.A_, deep.W_, deep.U_, deep.V_ = infinite.A_, infinite.W_, infinite.U_, infinite.V_
    assert_allclose(deep.predict(X), infinite.predict(X), atol=1e-8 * np.abs(y).max())


@every_solver
@pytest.mark.parametrize("k", [None, 2])
def test_weight_two_is_the_same_row_twice_to_the_bit(solver, k):
    X, y = regression(n=20, k=k)
    weights = np.random.RandomState(1).randint(0, 4, size=20)
    rows = np.random.RandomState(2).permutation(np.repeat(np.arange(20), weights))
    heavy = regressor(solver=solver, depth=3, batch_size=7).fit(X, y, weights)
    repeated = regressor(solver=solver, depth=3, batch_size=7).fit(X[rows], y[rows])
    assert heavy.loss_curve_ == repeated.loss_curve_
    assert_array_equal(heavy.predict(X), repeated.predict(X))


def test_single_precision_and_sparse_rows():
    X, y = regression()
    model = regressor(depth=3, alpha=0.1, standardize=False)
    dense = clone(model).fit(X, y)
    assert_allclose(clone(model).fit(sparse.csr_array(X), y).predict(X), dense.predict(X), rtol=1e-6)
    single = clone(model).fit(X.astype(np.float32), y)
    assert single.predict(X).dtype == np.float32
    assert_allclose(single.predict(X), dense.predict(X), atol=1e-2)


def test_early_stopping():
    X, y = regression(n=60)
    model = regressor(depth=3, early_stopping=True, max_iter=20).fit(X, y)
    assert model.best_validation_score_ == max(model.validation_scores_)


@every_solver
def test_warm_start_continues_and_refuses_another_depth(solver):
    X, y = regression()
    settings = {"solver": solver, "depth": 3, "tol": 0, "alpha": 0.1}
    whole = regressor(max_iter=4, **settings).fit(X, y)
    parts = regressor(max_iter=2, warm_start=True, **settings).fit(X, y)
    parts = pickle.loads(pickle.dumps(parts)).fit(X, y)
    assert_allclose(parts.predict(X), whole.predict(X), atol=1e-6)
    for depth in (2, np.inf):
        with pytest.raises(ValueError, match=f"depth was 3 and is now {depth}.*warm_start=False"):
            parts.set_params(depth=depth).fit(X, y)


@pytest.mark.parametrize("depth", DEPTHS)
def test_predictive_deviations_are_those_of_the_linearised_network(depth):
    X, y = regression(n=30)
    model = regressor(width=10, depth=depth, alpha=0.1, uncertainty=True, max_iter=20).fit(X, y)
    _, std = model.predict(X, return_std=True)
    K = tangent_kernel(model, X)
    a, s2, noise = (model._posterior[name][0] for name in ("penalties", "amplitudes", "noises"))
    variance = s2 * np.diag(K - K @ np.linalg.solve(K + a * np.eye(30), K)) + noise
    assert_allclose(std, np.sqrt(variance) * model.y_scale_, rtol=1e-6)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X, return_std=True)[1], std)


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [ImplicitReLURegressor, ImplicitReLUClassifier])
@pytest.mark.parametrize("depth", [0, -1, 2.5, 5.0, np.nan, -np.inf, "inf", None])
def test_bad_depths_are_refused(estimator, depth):
    X, y = regression()
    with pytest.raises(InvalidParameterError, match="The 'depth' parameter"):
        estimator(depth=depth).fit(X, y > 0)


@pytest.mark.parametrize("depth", [np.int64(3), np.float64(np.inf), float("inf"), np.float32(np.inf)])
def test_depths_of_numpy_are_taken(depth):
    X, y = regression()
    model = regressor(depth=depth).fit(X, y)
    assert model.depth_ == depth
    assert type(model.depth_) in (int, float)


def test_infinite_width_is_that_of_the_equilibrium():
    X, y = regression()
    with pytest.raises(ValueError, match=r"width=inf is the limit of the equilibrium.*got depth=3"):
        regressor(depth=3, width=np.inf).fit(X, y)
    assert regressor(width=np.inf).fit(X, y).depth_ == np.inf


def test_layers_that_overflow_are_refused_or_warned_of():
    X, y = regression()
    with pytest.raises(ValueError, match=r"gamma=1e\+60 is too large for depth=9.*smaller depth"):
        regressor(depth=9, gamma=1e60).fit(X, y)
    model = regressor(depth=9, gamma=1e5, relevance=None, alpha=1.0, output_init="gaussian", clip=False).fit(
        X, y
    )
    X = np.array(X)
    X[3] *= 1e290
    with pytest.warns(ConvergenceWarning, match="The last of 9 layers overflows for 1 rows"):
        F = model.predict(X)
    assert np.isnan(F[3])
    assert np.isfinite(np.delete(F, 3)).all()


# --- theory, displays -------------------------------------------------------------------------------


def test_tangent_kernel_of_estimators_is_that_of_their_layers():
    X, y = regression()
    model = regressor(depth=3, relevance=None, standardize=False)
    start = tangent_kernel(model, X)
    model.fit(X, y)
    assert tangent_margin(ImplicitReLUClassifier(20, depth=2, random_state=0).fit(X, y > 0), X, y > 0) > 0
    network = Network(model.A_init_, model.W_init_, model.U_init_, model.V_init_, gamma=0.4, depth=3)
    inputs = np.column_stack([X, np.ones(len(X))])
    inputs /= np.sqrt(np.mean(np.sum(inputs**2, axis=1)))
    layers, _ = network.forward(inputs, to(0))
    assert_allclose(start, joint_kernel(TangentFeatures.at(network, layers, to(0))), rtol=1e-7)


def test_certificate_needs_no_well_posedness_and_says_so():
    X, y = regression(n=15)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = regressor(width=200, depth=4, gamma=1.0, solver="gd", alpha=0, tol=0, max_iter=30).fit(X, y)
    certificate = convergence_certificate(model, X, y)
    assert certificate.depth == 4
    assert not certificate.well_posed.certified
    assert certificate.certified
    assert certificate.reproduced
    assert certificate.observed_rate > certificate.certified_rate
    text = str(certificate)
    assert "4 layers, whose output is defined for all weights" in text
    assert "one about equilibria" in text
    assert "Not certified" not in text


def test_spectrum_display_draws_no_limit():
    pytest.importorskip("matplotlib").use("Agg")
    X, y = regression()
    display = SpectrumDisplay.from_estimator(regressor(depth=2).fit(X, y), X)
    assert display.limit is None
    assert len(display.lines_) == 2


@pytest.mark.parametrize("m", [10, 40])
def test_diagonal_of_the_kernel_of_many_layers(m, monkeypatch):
    """Fewer and more layers than units, some rows at a time."""
    monkeypatch.setattr("sk_implicit._numerics.blocks.BLOCK_ENTRIES", 4000)
    case = problem(m=m, n=7, p=3, k=2, gamma=1.3, depth=25, tol=1e-12)
    tangent = case.tangent
    assert len(tangent.inner_terms) == 24
    for c in range(2):
        assert_allclose(
            tangent.kernel_diagonal()[:, c], np.diag(kernel_block(tangent, tangent, c)), rtol=1e-9
        )


def test_layers_leave_their_callers_warnings_alone():
    case = problem(m=10, n=4, p=3, depth=20)
    before = np.geterr()
    for _ in layer_states(case.network.operator, case.layers.Phi, 20):
        assert np.geterr() == before
