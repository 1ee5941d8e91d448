"""Sample weights: weight 2 is the same row twice, weight 0 its absence."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from problems import regression
from scipy import sparse

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit.function_space.leaving_out import LeavingOut
from sk_implicit.inputs.rows import distinct_rows, left_out_weights
from sk_implicit.inputs.targets import TargetScaling
from sk_implicit.training import SOLVERS

every_solver = pytest.mark.parametrize("solver", list(SOLVERS))
pytestmark = pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")


def fit(X, y, sample_weight=None, **options):
    options = {"width": 30, "random_state": 0, "max_iter": 5} | options
    return ImplicitReLURegressor(**options).fit(X, y, sample_weight)


@every_solver
@pytest.mark.parametrize("kind", ["dense", "csr"])
@pytest.mark.parametrize("k", [None, 2])
def test_rows_of_weight_zero_are_absent_to_the_bit(solver, kind, k):
    X, y = regression(k=k)
    weights = np.random.RandomState(0).uniform(0.5, 2, size=40)
    weights[[0, 7, 39]] = 0
    kept = weights > 0
    X = sparse.csr_array(X) if kind == "csr" else X
    with_zeros = fit(X, y, weights, solver=solver)
    without = fit(X[kept], y[kept], weights[kept], solver=solver)
    for name in ("A_", "W_", "U_", "V_", "y_mean_", "input_scale_"):
        assert_array_equal(getattr(with_zeros, name), getattr(without, name))
    assert_array_equal(with_zeros.predict(X), without.predict(X))


@every_solver
@pytest.mark.parametrize("alpha", ["loo", 0.1])
@pytest.mark.parametrize("k", [None, 2])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_weight_two_is_the_same_row_twice_to_the_bit(solver, alpha, k, early_stopping):
    """Optimisers amplify rounding errors, so that nothing less would hold after fifty steps."""
    X, y = regression(n=20, k=k)
    weights = np.random.RandomState(1).randint(1, 4, size=20)
    rows = np.random.RandomState(2).permutation(np.repeat(np.arange(20), weights))
    settings = {"solver": solver, "alpha": alpha, "early_stopping": early_stopping, "batch_size": 7}
    if early_stopping:
        settings["validation_fraction"] = 0.2
    heavy, repeated = fit(X, y, weights, **settings), fit(X[rows], y[rows], **settings)
    assert heavy.alpha_ == repeated.alpha_
    assert heavy.loss_curve_ == repeated.loss_curve_
    assert_array_equal(heavy.predict(X), repeated.predict(X))


@every_solver
def test_order_and_layout_of_the_rows_do_not_matter_to_the_bit(solver):
    X, y = regression()
    order = np.random.RandomState(3).permutation(40)
    reference = fit(X, y, solver=solver).predict(X)
    assert_array_equal(fit(X[order], y[order], solver=solver).predict(X), reference)
    assert_array_equal(fit(np.asfortranarray(X), y, solver=solver).predict(X), reference)


@settings(max_examples=50)
@given(
    n=st.integers(1, 30),
    d=st.integers(1, 3),
    k=st.integers(1, 2),
    kind=st.sampled_from([np.asarray, sparse.csr_array, sparse.csr_matrix]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 1000),
)
def test_distinct_rows_keep_every_row_and_its_weight(n, d, k, kind, dtype, seed):
    rng = np.random.RandomState(seed)
    X, Y = rng.randint(0, 2, size=(n, d)).astype(dtype), rng.randint(0, 2, size=(n, k)).astype(float)
    weights = rng.randint(1, 5, size=n).astype(float)
    X1, Y1, weights1, _ = distinct_rows(kind(X), Y, weights)
    X1 = X1.toarray() if sparse.issparse(X1) else X1
    assert X1.dtype == dtype
    assert X1.flags.c_contiguous
    expected = {}
    for x, y, w in zip(X, Y, weights, strict=True):
        key = (*x, *y)
        expected[key] = expected.get(key, 0) + w
    assert {(*x, *y): w for x, y, w in zip(X1, Y1, weights1, strict=True)} == expected
    assert len(X1) == len(expected)
    # the same order from any order, dense or sparse
    shuffled = rng.permutation(n)
    again = distinct_rows(X[shuffled], Y[shuffled], weights[shuffled])
    assert_array_equal(again[0], X1)
    assert_array_equal(again[1], Y1)
    # and for any unit of the targets
    scaled = distinct_rows(X, 4 * Y, weights)
    assert_array_equal(scaled[0], X1)
    assert_array_equal(scaled[1], 4 * Y1)


@pytest.mark.parametrize("width", [10, np.inf])
def test_the_unit_of_targets_decides_nothing_where_the_kernel_is_singular(width):
    """Without a penalty, rows that next to coincide have the order of the rows decide on the last digits."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((40, 2))
    X[20:] = X[:20] + 1e-9
    y = np.sin(X[:, 0]) + rng.standard_normal(40)
    one, four = (
        fit(X, factor * y, width=width, alpha=0.0, max_iter=5, relevance=None, clip=False).predict(X + 0.1)
        for factor in (1, 4)
    )
    assert_array_equal(4 * one, four)


def test_weights_count_in_proportion_only_where_alpha_is_zero():
    X, y = regression(n=20)
    weights = np.random.RandomState(1).uniform(0.5, 2, size=20)
    one, ten = (fit(X, y, factor * weights, alpha=0.0, relevance=None) for factor in (1, 10))
    assert_allclose(one.predict(X), ten.predict(X), atol=1e-8)


def test_weights_decide_between_contradictory_rows():
    X = np.repeat([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], 2, axis=0)
    y = np.array([0.0, 1.0, 2.0, 3.0, 5.0, 4.0])
    weights = np.array([3.0, 1.0, 1.0, 3.0, 1.0, 1.0])
    model = fit(X, y, weights, alpha=0.0, max_iter=20)
    assert_allclose(model.predict(X[::2]), [0.25, 2.75, 4.5], atol=1e-5)


def test_one_heavy_row_is_fitted_more_closely():
    X, y = regression(n=40, noise=1.0)
    weights = np.ones(40)
    weights[3] = 1000
    plain, heavy = fit(X, y, alpha=0.3), fit(X, y, weights, alpha=0.3)
    miss = [abs(model.predict(X[3:4])[0] - y[3]) for model in (plain, heavy)]
    assert miss[1] < 0.2 * miss[0]


@pytest.mark.parametrize("scale", [1e6, 1e20])
def test_large_weights_are_fitted(scale):
    X, y = regression(n=20)
    assert fit(X, y, np.full(20, scale)).score(X, y) > 0.99


@pytest.mark.parametrize("factor", [1e-3, 1e-10, 1e-100, 10.0, 1e20])
@pytest.mark.parametrize("width", [20, np.inf])
@pytest.mark.parametrize("relevance", [None, "linear"])
def test_a_common_factor_of_the_weights_does_not_matter(factor, width, relevance):
    """Weights of 1/n, or of ten people each: rows are left out whole, and the penalty moves with them."""
    X, y = regression(n=60, noise=0.3)
    options = {"width": width, "relevance": relevance, "alpha": "loo", "random_state": 0}
    one, small = (fit(X, y, np.full(60, c), **options) for c in (1.0, factor))
    assert_allclose(small.alpha_, factor * one.alpha_, rtol=1e-3)
    assert_allclose(small.loo_score_, one.loo_score_, rtol=1e-3)
    assert_allclose(small.predict(X), one.predict(X), atol=0.02 * np.std(y))


@pytest.mark.parametrize("width", [20, np.inf])
def test_without_a_penalty_small_weights_interpolate(width):
    X, y = regression(n=15)
    assert fit(X, y, np.full(15, 1e-14), width=width, alpha=0.0, max_iter=50).score(X, y) > 1 - 1e-6


def test_score_takes_weights():
    X, y = regression()
    model = fit(X, y)
    weights = np.arange(40.0)
    residual, centre = y - model.predict(X), np.average(y, weights=weights)
    expected = 1 - weights @ residual**2 / (weights @ (y - centre) ** 2)
    assert_allclose(model.score(X, y, sample_weight=weights), expected)


def test_early_stopping_scores_with_the_weights():
    X, y = regression(n=60)
    y = y + np.r_[np.zeros(59), 1e3]
    weights = np.r_[np.ones(59), 1e-9]
    model = fit(X, y, weights, early_stopping=True, validation_fraction=0.9, alpha=0.01, random_state=1)
    assert model.best_validation_score_ > -1


def test_messages_about_weights():
    X, y = regression()
    with pytest.raises(ValueError, match=r"(?i)sample.weight.*zero"):
        fit(X, y, np.zeros(40))
    with pytest.raises(ValueError, match=r"(?i)negative values in data passed to `sample_weight`"):
        fit(X, y, np.r_[-1.0, np.ones(39)])
    with pytest.raises(ValueError, match=r"sample_weight.shape == \(39,\), expected \(40,\)"):
        fit(X, y, np.ones(39))
    with pytest.raises(ValueError, match=r"(?i)sample_weight contains NaN"):
        fit(X, y, np.r_[np.nan, np.ones(39)])


@settings(max_examples=50)
@given(
    n=st.integers(1, 12),
    size=st.sampled_from([1e-200, 1e-3, 1.0, 1e5, 1e200]),
    shift=st.sampled_from([0.0, 1.0, -50.0]),
    seed=st.integers(0, 100),
    centre=st.booleans(),
)
def test_target_scaling_is_undone_and_weighted(n, size, shift, seed, centre):
    rng = np.random.RandomState(seed)
    Y = size * (shift + rng.standard_normal((n, 2)))
    weights = rng.randint(1, 4, size=n)
    scaling = TargetScaling.of(Y, weights.astype(float), centre=centre)
    scaled = scaling.apply(Y, np.float64)
    assert_allclose(scaling.invert(scaled), Y, rtol=1e-10, atol=1e-12 * size * (1 + abs(shift)))
    assert np.abs(scaled).max() <= np.sqrt(weights.sum()) * (1 + 1e-9)
    if n == 1:  # rows given several times are one in a fit, and one says nothing of how targets vary
        return
    rows = np.repeat(np.arange(n), weights)
    again = TargetScaling.of(Y[rows], np.ones(len(rows)), centre=centre)
    assert_allclose(scaling.scale, again.scale, rtol=1e-6)
    assert_allclose(scaling.mean, again.mean, rtol=1e-9, atol=1e-12 * size * (1 + abs(shift)))


@pytest.mark.parametrize("scale", [1e-2, 1e-5])
def test_small_weights_are_trained_as_well_as_others(scale):
    """The objective is the same when weights and penalty are scaled together, and so are the steps."""
    X, y = regression(n=120, noise=0.5)
    fits = [
        ImplicitReLURegressor(60, alpha=0.003 * unit, random_state=0).fit(X, y, np.full(120, unit))
        for unit in (1.0, scale)
    ]
    one, small = fits
    assert max(one.history_["step_size"][1:]) > 0  # damped
    assert_allclose(small.loss_curve_, one.loss_curve_, rtol=1e-3)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_leave_one_out_takes_whole_rows_but_of_tables_of_counts(kind):
    """Rows: continuous inputs; cells with several targets; cells with one; a target of its own."""
    X = np.array([[0.1, 0.7], [0.2, 0.8], [1, 1], [1, 1], [1, 0], [0, 1], [0, 1], [0, 0]])
    y = np.array([0, 1, 0, 1, 0, 5, 1.0, 7])[:, None]
    weights = np.array([3.0, 1, 9, 4, 2, 6, 2, 2])
    given = weights.astype(int)
    cells = [3, 1, 1, 1, 2, 6, 1, 2]

    def left_out(times, *weights):
        """That of the rows, each given so many times, in their order."""
        rows = np.repeat(np.arange(8), times)
        found = distinct_rows(kind(X[rows]), y[rows], *(w[rows] for w in weights))
        distinct = found.X.toarray() if sparse.issparse(found.X) else found.X
        equal = (distinct == X[:, None]).all(axis=2) & (y[:, None] == found.Y).all(axis=2)
        return found.left_out.weights[np.argmax(equal, axis=1)]

    ones, once = np.ones(8), np.ones(8, int)
    assert_array_equal(left_out(given, ones), cells)  # a row of weight 2 is the row twice
    assert_array_equal(left_out(once, weights), cells)
    assert_allclose(left_out(given, 0.3 * ones), 0.3 * np.array(cells))
    assert_array_equal(left_out(once, weights + 0.5), weights + 0.5)
    # counts times something else, as the weights of classes are
    assert_allclose(left_out(once, 0.3 * weights, weights), 0.3 * np.array(cells))
    # all cells of a table, but for one whose target is its own
    assert_array_equal(left_out_weights(kind(X[2:]), y[2:], weights[2:], given[2:]), [1, 1, 1, 6, 1, 2])
    assert_array_equal(
        left_out_weights(kind(X[2:]), y[2:], 0 * weights[2:] + 1, 1 + 0 * given[2:]), np.ones(6)
    )


@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("cls", [ImplicitReLURegressor, ImplicitReLUClassifier])
@pytest.mark.parametrize("width", [60, np.inf])
def test_cells_are_learnt_from_many_equal_rows(noise, cls, width):
    """A parity of four bits: a cell says nothing of its neighbours, and its own rows say it all."""
    rng = np.random.RandomState(0)
    cells = np.array(list(itertools.product([-1.0, 1.0], repeat=4)))
    X = cells[rng.randint(0, 16, 500)]
    y = X.prod(axis=1) * np.where(rng.uniform(size=500) < noise, -1, 1)
    for weights in (None, np.full(500, 0.01), np.full(500, 3.0)):
        model = cls(width, random_state=0).fit(X, y, weights)
        assert_array_equal(np.sign(model.predict(cells)), cells.prod(axis=1))
    if noise:  # as a contingency table
        table, targets, counts, _ = distinct_rows(X, y[:, None], np.ones(500))
        model = cls(width, random_state=0).fit(table, targets[:, 0], counts)
        assert_array_equal(np.sign(model.predict(cells)), cells.prod(axis=1))


@pytest.mark.parametrize("width", [60, np.inf])
def test_whole_numbers_may_be_importance(width):
    """Inputs and targets of one decimal share their entries; weights of them are no counts yet."""
    rng = np.random.RandomState(0)
    X = np.round(rng.standard_normal((300, 3)), 1)
    std = rng.uniform(0.1, 1.0, 300)
    y = np.round(X[:, 0] + np.abs(X[:, 1]) + std * rng.standard_normal(300), 1)
    weights = np.round(1 / std**2)
    scores = []
    for exact in (weights, weights + 1e-3):
        model = ImplicitReLURegressor(width, random_state=0).fit(X[:150], y[:150], exact[:150])
        scores.append(model.score(X[150:], y[150:], weights[150:]))
    assert abs(scores[0] - scores[1]) < 0.02


@pytest.mark.parametrize("light", [1e-30, 1e-100])
def test_rows_of_next_to_no_weight_do_not_free_the_damping(light):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((150, 3))
    y = np.sin(3 * X[:, 0]) + X[:, 1] ** 2 + 0.1 * rng.standard_normal(150)
    weights = np.where(np.arange(150) % 2, 1.0, light)
    model = ImplicitReLURegressor(100, random_state=0).fit(X, y, weights)
    alone = ImplicitReLURegressor(100, random_state=0).fit(X[1::2], y[1::2])
    assert model.score(X[1::2], y[1::2]) > alone.score(X[1::2], y[1::2]) - 0.02


@pytest.mark.parametrize("width", [60, np.inf])
def test_weights_above_one_do_not_turn_the_penalty_off(width):
    """Inverse variances: a row of weight 100 is not predicted by the other 99 of itself."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((300, 4))
    std = rng.uniform(0.1, 1.0, 300)
    y = X[:, 0] + np.abs(X[:, 1]) + std * rng.standard_normal(300)
    train, test = slice(150), slice(150, None)
    weights = 1 / std**2
    model = ImplicitReLURegressor(width, uncertainty=True, random_state=0)
    model.fit(X[train], y[train], weights[train])
    assert model.score(X[test], y[test], weights[test]) > 0.85
    assert abs(model.loo_score_ - model.score(X[test], y[test], weights[test])) < 0.1
    mean, std = model.predict(X[test], return_std=True)
    inside = np.average(np.abs(y[test] - mean) < 1.96 * std, weights=weights[test])
    assert 0.85 < inside < 0.995


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_as_far_apart_as_may_be(dtype):
    X, y = regression(n=60)
    small, large = (1e-14, 1e15) if dtype == np.float32 else (1e-100, 1e99)
    weights = np.r_[np.full(30, small), np.full(30, large)]
    for width in (20, np.inf):
        model = fit(X.astype(dtype), y, weights, width=width, uncertainty=True)
        _, std = model.predict(X.astype(dtype), return_std=True)
        assert model.score(X[30:], y[30:]) > 0.9 and np.isfinite(std).all()


@pytest.mark.parametrize("extreme", [1e300, 5e-324])
def test_weights_beyond_all_numbers_are_refused(extreme):
    X, y = regression(n=20)
    with pytest.raises(ValueError, match=r"must lie between 1e-200 and 1e\+100.*Divide them by their mean"):
        fit(X, y, np.r_[extreme, np.ones(19)])


def test_minus_zero_is_zero():
    X = np.ones((2, 1))
    assert len(distinct_rows(X, np.array([[0.0], [-0.0]]), np.ones(2))[0]) == 1
    assert len(distinct_rows(np.array([[0.0, 1.0], [-0.0, 1.0]]), np.ones((2, 1)), np.ones(2))[0]) == 1


@pytest.mark.parametrize("width", [20, np.inf])
@pytest.mark.parametrize("weight", [1e-12, 1e-7])
def test_rows_of_no_weight_to_speak_of_are_absent_to_the_bit(width, weight):
    """A far row that nobody believes is no knot, no limit, no row of the sample and no observation."""
    X, y = regression(n=60)
    far, high = np.vstack([X, np.full((1, X.shape[1]), 30.0)]), np.append(y, 50.0)
    options = {"width": width, "uncertainty": True}
    without = fit(X, y, np.ones(60), **options).predict(X, return_std=True)
    with_it = fit(far, high, np.append(np.ones(60), weight), **options).predict(X, return_std=True)
    assert_array_equal(with_it, without)


@pytest.mark.parametrize("clip", [True, "auto"])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_predictions_are_continuous_where_a_weight_goes_to_zero(clip, kind):
    X, y = regression(n=60, noise=0.3)
    far, high = np.vstack([X, np.full((1, X.shape[1]), 30.0)]), np.append(y, 50.0)
    options = {"width": np.inf, "clip": clip, "uncertainty": True}
    without = fit(kind(X), y, **options).predict(X, return_std=True)
    apart = []
    for weight in (1e-3, 1e-4, 1e-5, 2e-6):
        found = fit(kind(far), high, np.append(np.ones(60), 0.9 * weight), **options)
        apart.append(np.abs(np.subtract(found.predict(X, return_std=True), without)).max())
        assert found.y_limits_[1, 0] != 50
    assert apart[-1] < 1e-2 * np.std(y) and apart[-1] < 0.1 * apart[0]


def test_old_rows_of_decaying_weights_do_not_matter():
    X, y = regression(n=400, noise=0.3)
    weights = 0.5 ** (np.arange(400) / 4)
    few, many = (fit(X[:n], y[:n], weights[:n], width=np.inf) for n in (100, 400))
    assert_allclose(few.predict(X), many.predict(X), atol=1e-5)


def test_number_of_observations_is_the_effective_one():
    """Of n equal weights n, whatever they are; of a geometric series (1 + q)/(1 − q); copies count."""
    for weight in (1.0, 0.1, 1e-90, 1e90):
        assert LeavingOut(np.full(7, weight)).observations(np.full(7, weight)) == pytest.approx(7)
    decay = 0.9 ** np.arange(1000)
    assert LeavingOut(decay).observations(decay) == pytest.approx(1.9 / 0.1)
    assert LeavingOut(decay).effective_rows() == 19
    assert LeavingOut(np.ones(3)).observations(np.array([1.0, 2, 4])) == 7
    copies = LeavingOut(np.array([3.0, 1, 2]), units=np.ones(3))
    assert copies.observations(copies.weights) == 3 and copies.mean_weight(copies.weights) == 2


def test_rows_of_next_to_no_weight_are_behind_the_others_and_in_no_sample():
    rng = np.random.RandomState(0)
    X, Y = rng.standard_normal((50, 2)), rng.standard_normal((50, 1))
    weights = np.where(np.arange(50) % 5 == 0, 1e-4, 0.7)
    rows, alone = (
        distinct_rows(X, Y, weights),
        distinct_rows(*(part[weights > 0.1] for part in (X, Y, weights))),
    )
    assert_array_equal(rows.left_out.counted, np.arange(50) < 40)
    assert_array_equal(rows.measured().X, alone.X)
    assert alone.left_out.counted is None
    assert_array_equal(rows.left_out.sample(10), alone.left_out.sample(10))
    assert_array_equal(rows.left_out.sample(50), np.arange(50))
    groups = np.arange(50) % 4
    grouped = distinct_rows(X, Y, weights, None, groups).left_out
    assert_array_equal(np.bincount(grouped.groups), np.bincount(groups))
    # weights that are whole numbers are counts, however far apart
    assert distinct_rows(X, Y, np.where(np.arange(50) % 5, 10000.0, 1.0)).left_out.counted is None
