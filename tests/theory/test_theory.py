"""Gram matrices, tangent kernels, convergence certificates and advice on the width."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit.theory import (
    certified_rate,
    closest_pair,
    convergence_certificate,
    lambda_0,
    limit_gram,
    linearised_rate,
    network_inputs,
    observed_rate,
    recommend_width,
    tangent_kernel,
)


def unit_rows(n, d, seed=0):
    X = np.random.RandomState(seed).standard_normal((n, d))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def network(width=60, **params):
    """Return an estimator as the theorem has it: no bias, features as they are, no penalty."""
    defaults = {"gamma": 0.4, "solver": "gd", "alpha": 0, "tol": 0, "equilibrium_tol": 1e-10, "max_iter": 30}
    defaults |= {"random_state": 0, "fit_intercept": False, "relevance": None}
    return ImplicitReLURegressor(width, standardize=False, **(defaults | params))


def fitted(X, y, width=60, **params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        weights = params.pop("sample_weight", None)
        return network(width, **params).fit(X, y, sample_weight=weights)


@pytest.fixture(scope="module")
def data():
    X = unit_rows(12, 5)
    X.flags.writeable = False
    return X, np.sin(4 * X[:, 0]) + X[:, 1]


@pytest.fixture(scope="module")
def model(data):
    return fitted(*data)


# ------------------------------------------------------------------ inputs


def test_limit_gram_is_the_closed_form_and_the_mean_of_feature_maps():
    X = np.random.RandomState(0).standard_normal((6, 4)) * np.array([[1], [2], [3], [0.1], [1], [5]])
    G = limit_gram(X)
    norms = np.linalg.norm(X, axis=1)
    theta = np.arccos(np.clip(X @ X.T / np.outer(norms, norms), -1, 1))
    exact = np.outer(norms, norms) * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi)
    np.testing.assert_allclose(G, exact, rtol=1e-8, atol=1e-10)
    Phi = np.maximum(X @ np.random.RandomState(1).standard_normal((4, 400_000)), 0)
    np.testing.assert_allclose(Phi @ Phi.T / Phi.shape[1], G, atol=0.02 * norms.max() ** 2)
    assert lambda_0(X) == pytest.approx(np.linalg.eigvalsh(exact)[0], rel=1e-6)
    np.testing.assert_array_equal(limit_gram(sparse.csr_array(X)), G)


def test_lambda_0_vanishes_for_parallel_inputs_only():
    X = unit_rows(20, 3)
    assert lambda_0(X) > 1e-6
    assert lambda_0(np.vstack([X, 2 * X[:1]])) == 0


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("angle", [1e-9, 1e-4, 0.3])
def test_closest_pair(convert, sign, angle):
    X = np.zeros((600, 600))
    np.fill_diagonal(X, 1.0)
    X[577] = 0
    X[577, 30], X[577, 577] = 3 * sign * np.cos(angle), 3 * np.sin(angle)
    pair = closest_pair(convert(X))
    assert pair.rows == (30, 577)
    assert pair.angle == pytest.approx(angle, rel=1e-6)
    assert pair.parallel == (angle < 1e-3)


@pytest.mark.parametrize("scale", [1e200, 1e-200, 100])
def test_closest_pair_is_free_of_scale_and_of_integers(scale):
    X = np.random.RandomState(0).standard_normal((20, 4))
    X = np.round(scale * X).astype(np.int8) if scale == 100 else scale * X
    expected = closest_pair(X / float(np.abs(X.astype(float)).max()))
    pair = closest_pair(X)
    assert pair.rows == expected.rows and 0 < expected.angle < np.pi / 2
    assert pair.angle == pytest.approx(expected.angle, rel=1e-12)
    for small in (1e-200, 5e-324):
        far_apart = np.array([[small, 0], [0, 1.0]])
        for kind in (np.asarray, sparse.csr_array, sparse.csc_array):
            assert closest_pair(kind(far_apart)).angle == pytest.approx(np.pi / 2)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_verdict_tells_a_narrow_network_from_parallel_inputs():
    X = unit_rows(20, 3)
    narrow = network(width=1, max_iter=2).fit(X, X[:, 0])  # 6 weights
    assert "Probably the network is too narrow" in convergence_certificate(narrow, X, X[:, 0]).verdict
    X[1] = X[0]
    twins = network(width=60, max_iter=2).fit(X, X[:, 0])
    assert "Probably two inputs are (nearly) parallel" in convergence_certificate(twins, X, X[:, 0]).verdict


def test_closest_pair_of_one_row_and_of_a_zero_row():
    assert closest_pair(np.ones((1, 3))).angle == pytest.approx(np.pi / 2)
    assert closest_pair(np.zeros((1, 3))).angle == pytest.approx(np.pi / 2)
    assert closest_pair(np.array([[1.0, 0], [0, 0], [0, 1]])).rows == (1, 0)


# ---------------------------------------------------------- tangent kernel


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_tangent_kernel_is_that_of_finite_differences(n_outputs):
    X = unit_rows(4, 3)
    y = np.column_stack([X[:, 0], X[:, 1] ** 2])[:, :n_outputs]
    model = fitted(
        X, y, width=5, equilibrium_tol=1e-14, fit_intercept=True, output_init="gaussian", max_iter=2
    )
    rows = []
    for name in ("A_", "W_", "U_", "V_"):
        part = getattr(model, name)
        for index in np.ndindex(*part.shape):
            outputs = []
            for step in (1e-6, -1e-6):
                moved = part.copy()
                moved[index] += step
                setattr(model, name, moved)
                outputs.append(model.predict(X).reshape(4, -1) / model.y_scale_)
            setattr(model, name, part)
            rows.append(((outputs[0] - outputs[1]) / 2e-6).ravel(order="F"))
    J = np.array(rows).T
    np.testing.assert_allclose(tangent_kernel(model, X), J @ J.T, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(
        tangent_kernel(model, X[:3], X[2:]), _blocks(J, 4, [0, 1, 2], [2, 3]), atol=1e-6
    )


def _blocks(J, n, rows, columns):
    k = len(J) // n
    pick = [[c * n + i for c in range(k) for i in chosen] for chosen in (rows, columns)]
    return J[pick[0]] @ J[pick[1]].T


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_an_estimator_that_is_not_fitted_has_the_kernel_of_its_start(data, fit_intercept):
    X, y = data
    started = fitted(X, y, max_iter=1, learning_rate=1e-30, fit_intercept=fit_intercept)
    K = tangent_kernel(clone(started), X)
    np.testing.assert_allclose(K, tangent_kernel(started, X), rtol=1e-8)
    np.testing.assert_allclose(tangent_kernel(clone(started), X, X[:5]), K[:, :5], rtol=1e-8)
    np.testing.assert_allclose(network_inputs(clone(started), X), network_inputs(started, X))


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("width", [20, np.inf])
def test_a_classifier_that_is_not_fitted_has_the_inputs_of_its_fit(data, fit_intercept, width):
    """Its constant input is not 1."""
    X, y = data
    options = {"fit_intercept": fit_intercept, "max_iter": 1, "random_state": 0}
    model = ImplicitReLUClassifier(width, **options)
    inputs = network_inputs(model, X + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X + 1, y > 0)
    np.testing.assert_allclose(inputs, network_inputs(model, X + 1))


def test_the_certificate_is_of_the_weights_that_were_kept(data):
    """Adam's last step need not be its best."""
    X, y = data
    model = fitted(X, y, solver="adam", learning_rate=0.03, max_iter=40)
    losses = model.history_["loss"]
    best = int(np.argmin(losses))
    assert best < 40 and losses[-1] > 1.05 * losses[best]
    certificate = convergence_certificate(model, X, y)
    assert certificate.decrease == pytest.approx(losses[best] / losses[0])
    assert certificate.contraction[1] == pytest.approx(model.history_["contraction"][best], rel=5e-3)
    assert certificate.reproduced
    for name in "AWUV":  # the squared error of another step
        setattr(model, f"{name}_", getattr(model, f"{name}_init_"))
    assert not convergence_certificate(model, X, y).reproduced


def test_the_certificate_is_of_the_last_targets(data):
    X, y = data
    model = fitted(X, y, solver="adam", max_iter=20, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.set_params(learning_rate=0.2, max_iter=3).fit(X, y + 0.1 * X[:, 1])
    certificate = convergence_certificate(model, X, y + 0.1 * X[:, 1])
    assert certificate.reproduced
    assert certificate.contraction[1] == pytest.approx(model.contraction_)
    assert not convergence_certificate(model, X, -y).reproduced


def test_the_kernel_tends_to_that_of_the_limit(data):
    from sk_implicit.limit import limit_kernel

    X, _ = data
    K = tangent_kernel(network(2000), X)
    np.testing.assert_allclose(K, limit_kernel(network_inputs(network(), X), gamma=0.4), atol=0.25)


def test_sparse_rows_have_the_kernel_of_dense_ones(data, model):
    X, _ = data
    K = tangent_kernel(model, sparse.csr_array(X))
    np.testing.assert_allclose(K, tangent_kernel(model, X), rtol=1e-8)


def test_infinite_width_and_wrong_inputs_are_refused(data):
    X, y = data
    with pytest.raises(ValueError, match="limit_kernel"):
        tangent_kernel(network(np.inf), X)
    with pytest.raises(ValueError, match="limit_kernel"):
        convergence_certificate(network(np.inf, solver="lm").fit(X, y), X, y)
    with pytest.raises(ValueError, match="NaN"):
        tangent_kernel(network(), np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match="shape"):
        tangent_kernel(network(), X[0])


# ------------------------------------------------------------------- rates


def test_certified_rate():
    assert certified_rate(0.5, 1.0, 1.0) == pytest.approx(-np.log(0.5))
    assert certified_rate(0.5, 1.0, 2.0) == 0
    assert certified_rate(0.0, 1.0, 1.0) == 0
    assert certified_rate(1.0, 1.0, 1.0) == np.inf
    assert linearised_rate(0.5, 1.0, 1.0) == pytest.approx(-2 * np.log(0.5))
    assert linearised_rate(0.5, 1.0, 1.9) == pytest.approx(-2 * np.log(0.9))
    assert linearised_rate(0.5, 1.0, 2.0) == linearised_rate(0.0, 1.0, 1.0) == 0


@given(
    smallest=st.floats(1e-6, 1.0),
    step=st.floats(0.01, 1.99),
    seed=st.integers(0, 1000),
)
def test_rates_hold_on_quadratics(smallest, step, seed):
    values = np.append(np.random.RandomState(seed).uniform(smallest, 1, 5), [smallest, 1.0])
    residual = np.random.RandomState(seed + 1).standard_normal(7)
    observed = observed_rate([residual @ residual, np.sum(((1 - step * values) * residual) ** 2)])
    certified, linearised = (rate(smallest, 1.0, step) for rate in (certified_rate, linearised_rate))
    assert observed >= linearised * (1 - 1e-9) - 1e-12
    assert certified <= linearised * (1 + 1e-9) + 1e-12


def test_observed_rate_stops_at_rounding():
    errors = np.maximum(np.exp(-2.0 * np.arange(60)), 1e-25)
    assert observed_rate(errors) == pytest.approx(2.0, rel=1e-6)
    assert np.isnan(observed_rate([1.0]))


def test_the_final_rate_is_that_of_the_last_steps():
    errors = np.exp(-np.append(np.linspace(0, 6, 7), [6.5, 7]))  # six steps of 1, two of ½
    assert observed_rate(errors, share=0.25) == pytest.approx(0.5)
    assert observed_rate(errors, share=0.0) == pytest.approx(0.5)  # one step at least
    assert observed_rate(errors, share=0.5) == pytest.approx(0.75)
    assert observed_rate(errors) == pytest.approx(7 / 8)


@settings(max_examples=50)
@given(
    n=st.integers(3, 8),
    d=st.integers(3, 6),
    m=st.integers(30, 90),
    gamma=st.sampled_from([0.2, 0.4]),
    init=st.sampled_from(["gaussian", "bernoulli"]),
    output_init=st.sampled_from(["centred", "gaussian"]),
    seed=st.integers(0, 10**6),
)
def test_training_is_as_fast_as_certified(n, d, m, gamma, init, output_init, seed):
    rng = np.random.RandomState(seed)
    X, y = unit_rows(n, d, seed), rng.standard_normal(n)
    options = {"gamma": gamma, "init": init, "output_init": output_init, "random_state": seed}
    model = fitted(X, y, width=m, max_iter=10, **options)
    certificate = convergence_certificate(model, X, y)
    assert certificate.reproduced
    assert certificate.observed_rate >= certificate.certified_rate
    if certificate.flow_rate > 0:
        assert certificate.certified_rate > 0


# ------------------------------------------------------------- certificate


def test_the_certificate_says_what_dense_computations_say(data, model):
    X, y = data
    certificate = convergence_certificate(model, X, y)
    end = np.linalg.eigvalsh(tangent_kernel(model, X))
    start = clone(model)
    K0 = tangent_kernel(start, X)
    assert certificate.end == pytest.approx((end[0], end[-1]), rel=1e-5)
    assert certificate.start == pytest.approx(tuple(np.linalg.eigvalsh(K0)[[0, -1]]), rel=1e-5)
    drift = np.linalg.norm(tangent_kernel(model, X) - K0, 2)
    assert certificate.kernel_drift == pytest.approx(drift, rel=1e-4)
    for part, now, was in (("A", model.A_, model.A_init_), ("W", model.W_, model.W_init_)):
        expected = np.linalg.norm(now - was, 2) / np.linalg.norm(was, 2)
        assert getattr(certificate, f"drift_{part}") == pytest.approx(expected, rel=1e-3)
    assert certificate.step == model.history_["step_size"][-1]
    smallest = min(certificate.start.smallest, certificate.end.smallest)
    assert certificate.linearised_rate == pytest.approx(-2 * np.log(1 - certificate.step * smallest))
    assert 0 < certificate.certified_rate < certificate.linearised_rate
    assert certificate.flow_rate == pytest.approx(2 * smallest)
    assert certificate.lambda_0 == pytest.approx(lambda_0(network_inputs(model, X)))
    assert certificate.contraction[1] == pytest.approx(model.contraction_, rel=1e-3)
    assert certificate.certified and certificate.well_posed.certified and certificate.reproduced


def test_weights_certify_as_repeated_rows():
    X = unit_rows(8, 4)
    y, weights = X[:, 0] + X[:, 1] ** 2, np.array([1, 2, 0, 3, 1, 1, 2, 1])
    weighted = fitted(X, y, sample_weight=weights)
    certificate = convergence_certificate(weighted, X, y, sample_weight=weights)
    K = tangent_kernel(weighted, np.repeat(X, weights, axis=0))
    # a repeated row adds a zero eigenvalue; the others are those of √W K √W
    positive = np.linalg.eigvalsh(K)[-np.count_nonzero(weights) :]
    assert certificate.end == pytest.approx((positive[0], positive[-1]), rel=1e-5)
    assert certificate.observed_rate >= certificate.certified_rate > 0
    assert certificate.reproduced


def test_several_outputs_are_certified_together():
    X = unit_rows(7, 4)
    Y = np.column_stack([X[:, 0], X[:, 1] ** 2, X[:, 2] * X[:, 3]])
    model = fitted(X, Y, width=80)
    certificate = convergence_certificate(model, X, Y)
    values = np.linalg.eigvalsh(tangent_kernel(model, X))
    assert len(values) == 21
    assert certificate.end == pytest.approx((values[0], values[-1]), rel=1e-5)
    assert certificate.observed_rate >= certificate.certified_rate > 0


@pytest.mark.parametrize("output_init", ["gaussian", "zero"])
def test_a_start_that_is_not_stored_is_drawn_again(data, output_init):
    X, y = data
    kept = fitted(X, y, output_init=output_init, warm_start=True)
    redrawn = fitted(X, y, output_init=output_init)
    expected, certificate = (convergence_certificate(model, X, y) for model in (kept, redrawn))
    assert certificate.start == pytest.approx(expected.start)
    assert certificate.drift_A == pytest.approx(expected.drift_A)
    redrawn.set_params(random_state=1)
    with pytest.raises(ValueError, match="another one"):
        convergence_certificate(redrawn, X, y)
    redrawn.set_params(random_state=None)
    with pytest.raises(ValueError, match="warm_start=True"):
        convergence_certificate(redrawn, X, y)


def test_the_verdict_names_what_is_wrong(data, model):
    X, y = data
    twins = np.vstack([X, X[:1]])
    parallel = convergence_certificate(fitted(twins, np.append(y, -y[0])), twins)
    assert parallel.closest.parallel and parallel.closest.rows == (0, 12)
    assert not parallel.certified and parallel.certified_rate == 0
    assert "parallel" in parallel.verdict and parallel.reproduced is None

    largest = np.linalg.eigvalsh(tangent_kernel(network(), X))[-1]
    fast = convergence_certificate(fitted(X, y, learning_rate=2.05 / largest, max_iter=3), X, y)
    assert fast.certified_rate == 0 < fast.flow_rate
    assert fast.step > fast.largest_step and "too large" in fast.verdict

    other = convergence_certificate(model, X[::-1], y)
    assert other.reproduced is False and "are they the rows" in other.verdict

    penalised = convergence_certificate(fitted(X, y, solver="lm", alpha=0.1, max_iter=3), X, y)
    assert np.isnan(penalised.observed_rate)
    assert "penalty" in penalised.verdict and "lm is not covered" in penalised.verdict

    sliding = fitted(X, y)  # as if along kinks
    sliding.history_["squared_error"][-10:] = [sliding.history_["squared_error"][-1]] * 10
    slow = convergence_certificate(sliding, X, y)
    assert slow.final_rate < slow.certified_rate < slow.observed_rate and "kinks" in slow.verdict
    assert "kinks" not in convergence_certificate(model, X, y).verdict

    loose = convergence_certificate(fitted(X, y, gamma=0.9), X, y)
    assert not loose.well_posed.certified and not loose.certified


def test_classifiers_are_certified_for_the_squared_error(data):
    X, y = data
    labels = np.where(y > np.median(y), "high", "low")
    options = {"solver": "gd", "alpha": 0, "tol": 0, "max_iter": 10, "random_state": 0, "relevance": None}
    for loss in ("squared_error", "log_loss"):
        model = ImplicitReLUClassifier(60, loss=loss, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            certificate = convergence_certificate(model.fit(X, labels), X, labels)
        assert certificate.flow_rate > 0 and certificate.well_posed.certified
        assert certificate.certified == (loss == "squared_error")
        if loss == "squared_error":
            assert certificate.observed_rate >= certificate.certified_rate > 0
        else:
            assert np.isnan(certificate.observed_rate) and "not cover" in certificate.verdict


@pytest.mark.parametrize("other", [{"solver": "lm"}, {"alpha": 0.1}, {"loss": "poisson"}])
def test_nothing_is_certified_that_the_theorem_does_not_cover(data, other):
    X, y = data
    y = np.round(np.exp(y))
    covered = convergence_certificate(fitted(X, y), X, y)
    assert covered.covered and covered.certified and covered.reproduced
    certificate = convergence_certificate(fitted(X, y, **other), X, y)
    assert certificate.certified_rate > 0 and certificate.well_posed.certified
    assert not certificate.covered and not certificate.certified
    assert certificate.reproduced is (None if "loss" in other else True)


def test_the_certificate_reads_as_text_and_as_html(data, model):
    certificate = convergence_certificate(model, *data)
    text, html = str(certificate), certificate._repr_html_()
    for words in ("certified rate", "observed rate (gd)", "λ₀", "drift of A"):
        assert words in text and words in html
    assert certificate.verdict in text


@pytest.mark.parametrize("solver", ["lm", "gd"])
def test_a_target_that_the_start_predicts_leaves_nothing_to_learn(data, solver):
    X, _ = data
    y = np.full(len(X), 3.0)
    certificate = convergence_certificate(fitted(X, y, solver=solver, fit_intercept=True), X, y)
    assert np.isnan(certificate.decrease) and np.isnan(certificate.observed_rate)
    assert certificate.certified_rate > 0 and certificate.reproduced
    text = str(certificate)
    assert "there was nothing to learn" in text and "kernel did not move" in text
    assert "squared error, end over start        0 at the start" in text


@pytest.mark.parametrize("solver", ["lm", "gd"])
def test_a_kernel_of_zeros_certifies_nothing(data, solver):
    X, y = data
    certificate = convergence_certificate(fitted(0 * X, y, solver=solver), 0 * X, y)
    assert certificate.start == certificate.end == (0, 0)
    assert certificate.step == (np.inf if solver == "lm" else 1)
    assert certificate.certified_rate == certificate.linearised_rate == certificate.flow_rate == 0
    assert certificate.decrease == 1 and not certificate.certified
    text = str(certificate)
    assert "Probably all inputs are 0" in text and "kernel did not move" in text


def test_certifying_what_cannot_be_is_refused(data, model):
    X, y = data
    with pytest.raises(ValueError, match="not fitted"):
        convergence_certificate(network(), X, y)
    with pytest.raises(ValueError, match="sample_weight"):
        convergence_certificate(model, X, y, sample_weight=-np.ones(12))
    with pytest.raises(ValueError, match="rows"):
        convergence_certificate(model, X, y[:-1])


def test_float32_networks_are_certified_in_float64(data):
    X, y = data
    model = fitted(X.astype(np.float32), y, equilibrium_tol="auto")
    assert model.A_.dtype == np.float32
    certificate = convergence_certificate(model, X.astype(np.float32), y)
    assert certificate.observed_rate >= certificate.certified_rate > 0


# ------------------------------------------------------------------- width


def test_the_recommended_width_holds_at_other_seeds():
    X = unit_rows(25, 6)
    advice = recommend_width(X, fraction=0.4, confidence=0.9, n_seeds=20)
    target, good = 0.4 * advice.lambda_0, 0
    for seed in range(100, 140):
        W = np.random.RandomState(seed).standard_normal((advice.width, 6))
        Phi = np.maximum(X @ W.T, 0) / np.sqrt(advice.width)
        good += np.linalg.eigvalsh(Phi @ Phi.T)[0] >= target
    assert good >= 0.7 * 40  # 0.9 of 20 seeds were seen; two standard deviations below
    assert advice.shares[-1] >= 0.9 and all(share < 0.9 for share in advice.shares[:-1])
    assert advice.widths[-1] == advice.width > 25
    assert "far larger" in str(advice)


def test_asking_for_more_takes_more_width():
    X = unit_rows(15, 4)
    widths = [recommend_width(X, fraction=fraction).width for fraction in (0.2, 0.5, 0.8)]
    assert widths == sorted(widths) and widths[0] < widths[-1]


def test_signs_need_many_dimensions():
    assert recommend_width(unit_rows(15, 20), init="bernoulli").width > 15
    assert recommend_width(unit_rows(15, 3), init="bernoulli").width is None  # 8 units, 15 rows


def test_widths_are_tried_in_steps_of_an_eighth_of_a_doubling_but_of_one_at_least():
    tried = recommend_width(unit_rows(8, 4), fraction=0.99, confidence=1.0, n_seeds=5, max_width=20).widths
    assert tried == (8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 20)


def test_no_width_will_do():
    X = unit_rows(15, 4)
    assert recommend_width(X, max_width=16).width is None
    assert "raise max_width" in recommend_width(X, max_width=16).verdict
    parallel = recommend_width(np.vstack([X, X[:1]]))
    assert parallel.width is None and "parallel" in str(parallel)


@pytest.mark.parametrize(
    "wrong", [{"fraction": 1.0}, {"fraction": 0}, {"confidence": 0}, {"n_seeds": 0}, {"init": "uniform"}]
)
def test_wrong_questions_about_the_width_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        recommend_width(unit_rows(5, 3), **wrong)


def test_inputs_of_a_fitted_limit_are_those_it_was_fitted_to(data):
    """Encoded, whatever rows are asked for and whatever width the estimator would be fitted with next."""
    X, y = data
    model = ImplicitReLURegressor(np.inf).fit(X, y).set_params(width=20)
    inputs = network_inputs(model, X[:3])
    assert inputs.shape[1] > X.shape[1] + 1
    assert all(np.abs(model.X_fit_ - row).max(axis=1).min() < 1e-12 for row in inputs)
    with pytest.raises(ValueError, match="width=inf has no weights"):
        tangent_kernel(model, X)


def test_targets_of_another_shape_and_weights_of_nothing_are_refused(data):
    X, y = data
    model = fitted(X, y)
    with pytest.raises(ValueError, match=r"of 1 targets; got shape \(\d+, 2\)"):
        convergence_certificate(model, X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="not all of them 0"):
        convergence_certificate(model, X, y, sample_weight=np.zeros(len(y)))


def test_a_width_that_is_a_multiple_of_the_rows_counts_each_once(data):
    """As fit does: the start is drawn again for rows that are given twice, or with no weight."""
    X, y = data
    model = network(3.0, output_init="gaussian", max_iter=3)
    twice, y_twice = np.vstack([X, X[:3]]), np.append(y, y[:3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fits = clone(model).fit(twice, y_twice), clone(model).fit(X, y, np.arange(len(y)) > 3)
    assert convergence_certificate(fits[0], twice, y_twice).reproduced
    assert convergence_certificate(fits[1], X, y, sample_weight=np.arange(len(y)) > 3).reproduced
    K = tangent_kernel(model, twice)
    np.testing.assert_allclose(K[: len(y), : len(y)], tangent_kernel(model, X), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("share", [-1.0, 2.0, np.nan])
def test_shares_of_steps_are_shares(share):
    with pytest.raises(ValueError, match=r"share must lie in \[0, 1\]"):
        observed_rate([1, 0.1, 0.01], share=share)
