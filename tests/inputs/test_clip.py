"""Predictions within the range of the targets: the rule, and what it does to fits."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.neural_network import MLPRegressor

from sk_implicit import ImplicitReLURegressor
from sk_implicit.function_space.approximate_leave_one_out import kept_in_range
from sk_implicit.function_space.deviances import PoissonDeviance
from sk_implicit.function_space.leave_one_out import LeaveOneOutErrors, keeps_to_range
from sk_implicit.function_space.leaving_out import LeavingOut
from sk_implicit.function_space.losses import CrossEntropy
from sk_implicit.function_space.pinball import Pinball

WIDTHS = [40, np.inf]


def trend(n=60, noise=0.0, seed=0):
    """Targets along a line, in random order, rows at both ends included."""
    rng = np.random.RandomState(seed)
    x = np.append(rng.uniform(-1, 1, n - 2), [-1, 1])
    return x[:, None], 3 * x + noise * rng.standard_normal(n)


def noisy(n=80, k=None, seed=0):
    """Targets that most features say nothing about."""
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, 4))
    y = np.sin(X[:, 0]) + rng.standard_normal(n)
    return X, (y if k is None else np.column_stack([y, *(X[:, 1] for _ in range(k - 1))]))


def regressor(**parameters):
    return ImplicitReLURegressor(**{"width": 40, "standardize": False, "random_state": 0, **parameters})


# --- the rule -----------------------------------------------------------------------------------------


@given(
    n=st.integers(3, 12),
    levels=st.integers(2, 8),
    size=st.sampled_from([0.03, 0.3, 1.0, 3.0]),
    seed=st.integers(0, 10_000),
)
def test_the_rule_row_by_row(n, levels, size, seed):
    rng = np.random.RandomState(seed)
    Y = rng.randint(levels, size=(n, 2)).astype(float)  # ties among the least and the largest
    residual, weights = size * rng.standard_normal((n, 2)), rng.uniform(0.1, 2, n)
    for c in range(2):
        free, kept = np.empty(n), np.empty(n)
        for i in range(n):
            others = np.delete(Y[:, c], i)
            prediction = Y[i, c] - residual[i, c]
            free[i] = (Y[i, c] - prediction) ** 2
            kept[i] = (Y[i, c] - min(max(prediction, others.min()), others.max())) ** 2
        variance = np.cov(Y[:, c], aweights=weights, ddof=0) * weights.sum()
        known = weights @ free < 0.05 * variance
        if abs(np.sum(weights * (kept - free))) > 1e-12 or np.array_equal(free, kept):
            expected = not known and weights @ kept <= weights @ free
            assert keeps_to_range(Y, residual, weights)[c] == expected


def test_little_noise_is_believed_beyond_the_range():
    Y, weights = np.linspace(-1, 1, 41)[:, None], np.ones(41)  # of variance 0.35
    residual = 0.1 * (-1) ** np.arange(41.0)[:, None]
    residual[0], residual[-1] = -0.1, 0.1  # towards the mean: the range makes no difference
    assert not keeps_to_range(Y, residual, weights)
    assert keeps_to_range(Y, 1.5 * residual, weights)
    residual[:5] = residual[-5:] = 0  # exact at both ends, where the range loses
    assert not keeps_to_range(Y, 1.5 * residual, weights)


def test_two_rows_have_no_range():
    assert not keeps_to_range(np.array([[0.0], [1.0]]), np.zeros((2, 1)), np.ones(2)).any()


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_residuals_are_those_of_refits(share):
    rng = np.random.RandomState(0)
    factors, Y, weights = rng.standard_normal((9, 14)), rng.standard_normal((9, 2)), rng.uniform(0.5, 2, 9)
    K, a = factors @ factors.T / 9, 0.3
    got = LeaveOneOutErrors(K, Y, weights, LeavingOut(share * weights)).residual(a)
    for i in range(9):
        w = weights.copy()
        w[i] *= 1 - share
        kept = w > 0
        C = np.linalg.solve(K[np.ix_(kept, kept)] + a * np.diag(1 / w[kept]), Y[kept])
        assert_allclose(got[i], Y[i] - K[i, kept] @ C, rtol=1e-9)


# --- fits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
def test_a_trend_goes_on(width):
    X, y = trend()
    model = regressor(width=width).fit(X, y)
    assert_array_equal(model.y_limits_, [[-np.inf], [np.inf]])
    assert_array_equal(model.x_limits_, [[-np.inf], [np.inf]])
    assert model.predict([[2.0]]) > 1.3 * y.max()
    assert regressor(width=width, clip=True).fit(X, y).predict([[2.0]]) == y.max()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_does_not(width, dtype):
    X, y = noisy()
    X = X.astype(dtype)
    model, free = (regressor(width=width, clip=clip).fit(X, y) for clip in ("auto", False))
    assert_array_equal(model.y_limits_, [[y.min()], [y.max()]])
    assert_array_equal(free.y_limits_, [[-np.inf], [np.inf]])
    low, high = X.min(axis=0).astype(float), X.max(axis=0).astype(float)
    assert_array_equal(model.x_limits_, [low - (high - low), high + (high - low)])
    assert_array_equal(free.x_limits_, np.repeat([[-np.inf], [np.inf]], 4, axis=1))
    far = 50 * X
    assert free.predict(far).max() > y.max()
    assert free.predict(far).min() < y.min()
    assert model.predict(far).dtype == dtype
    expected = free.predict(np.clip(far, *model.x_limits_.astype(dtype)))
    assert_array_equal(model.predict(far), np.clip(expected, y.min(), y.max()).astype(dtype))


def test_one_outlying_entry_leaves_a_say_to_the_others():
    X, y = noisy()
    model = regressor().fit(X, y)
    rows = X[:20].copy()
    rows[:, 3] = 1e6
    assert np.isin(
        np.clip(regressor(clip=False).fit(X, y).predict(rows), y.min(), y.max()), [y.min(), y.max()]
    ).all()
    assert np.corrcoef(model.predict(rows), model.predict(X[:20]))[0, 1] > 0.5


def test_features_are_kept_if_all_outputs_are():
    X, Y = noisy(k=2)
    for clip, kept in (("auto", False), (True, True)):
        model = regressor(relevance="linear", clip=clip).fit(X, Y)
        assert np.isfinite(model.x_limits_).all() == kept


@pytest.mark.parametrize("relevance", [None, "auto"])
def test_sparse_rows_have_the_same_limits(relevance):
    X, y = noisy()
    X[np.abs(X) < 0.7] = 0
    X[:, 2] = np.abs(X[:, 2]) + 3  # no zeros
    X[:, 3] = -np.abs(X[:, 3]) - 3
    dense, sparse = (regressor(relevance=relevance).fit(kind(X), y) for kind in (np.asarray, csr_array))
    assert_array_equal(sparse.x_limits_[0], np.minimum(dense.x_limits_[0], 0))  # zeros are within
    assert_array_equal(sparse.x_limits_[1], np.maximum(dense.x_limits_[1], 0))
    assert dense.x_limits_[0, 2] == 2 * X[:, 2].min() - X[:, 2].max() > 0
    assert dense.x_limits_[1, 3] == 2 * X[:, 3].max() - X[:, 3].min() < 0
    far = 10 * X
    assert_allclose(sparse.predict(csr_array(far)), dense.predict(far), rtol=1e-6)
    assert_allclose(dense.predict(far), dense.predict(np.clip(far, *dense.x_limits_)), rtol=1e-12)
    unchanged = csr_array(far)
    sparse.predict(unchanged)
    assert_array_equal(unchanged.toarray(), far)


def test_equilibria_are_those_of_the_rows_as_they_are():
    X, y = noisy()
    far = 50 * X
    model, free = (regressor(clip=clip).fit(X, y) for clip in (True, False))
    assert_array_equal(model.equilibrium(far), free.equilibrium(far))


@pytest.mark.parametrize("width", WIDTHS)
def test_outputs_are_kept_one_by_one(width):
    X, Y = noisy(k=2)
    model = regressor(width=width, relevance="linear").fit(X, Y)
    assert_array_equal(model.y_limits_, [[Y[:, 0].min(), -np.inf], [Y[:, 0].max(), np.inf]])
    far = model.predict([[30.0, 30.0, 0.0, 0.0], [-30.0, -30.0, 0.0, 0.0]])
    assert (np.abs(far[:, 1]) > np.abs(Y[:, 1]).max()).all()
    assert ((far[:, 0] >= Y[:, 0].min()) & (far[:, 0] <= Y[:, 0].max())).all()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_number_for_alpha_leaves_predictions_free(width):
    X, y = noisy()
    assert np.isinf(regressor(width=width, alpha=0.1).fit(X, y).y_limits_).all()
    model = regressor(width=width, alpha=0.1, clip=True).fit(X, y)
    assert_array_equal(model.y_limits_, [[y.min()], [y.max()]])


@pytest.mark.parametrize("width", WIDTHS)
def test_rows_of_no_weight_are_not_in_the_range(width):
    X, y = noisy()
    weights = np.ones(len(y))
    weights[np.argmax(y)] = 0
    model = regressor(width=width).fit(X, y, sample_weight=weights)
    assert_array_equal(model.y_limits_, [[y.min()], [np.sort(y)[-2]]])


def test_continued_fits_have_the_range_of_their_own_targets():
    X, y = noisy()
    model = regressor(warm_start=True, max_iter=2, tol=0.5).fit(X, y)
    model.fit(X, y + 1)
    assert_array_equal(model.y_limits_, [[y.min() + 1], [y.max() + 1]])
    loaded = pickle.loads(pickle.dumps(model)).set_params(clip=False).fit(X, y)
    assert np.isinf(loaded.y_limits_).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_early_stopping_scores_what_is_predicted():
    X, y = noisy()
    X[0] *= 60  # its prediction is far from the others'
    kept, free = (
        regressor(early_stopping=True, clip=clip, max_iter=3, validation_fraction=0.9, alpha=1e-3).fit(X, y)
        for clip in (True, False)
    )
    assert kept.validation_scores_ != free.validation_scores_
    assert max(kept.validation_scores_) > max(free.validation_scores_)


def test_standard_deviations_are_those_of_the_network():
    X, y = noisy()
    model, free = (regressor(clip=clip, uncertainty=True).fit(X, y) for clip in ("auto", False))
    mean, std = model.predict(50 * X, return_std=True)
    assert_array_equal(mean, model.predict(50 * X))
    assert_array_equal(std, free.predict(50 * X, return_std=True)[1])


def test_a_perceptron_is_not_kept():
    X, y = noisy()
    mlp = MLPRegressor(hidden_layer_sizes=(8,), max_iter=5000, random_state=0, tol=1e-3).fit(X, y)
    model = ImplicitReLURegressor.from_mlp(mlp)
    assert np.isinf(model.y_limits_).all() and np.isinf(model.x_limits_).all()
    assert_allclose(model.predict(50 * X), mlp.predict(50 * X), rtol=1e-8)


def test_other_values_are_refused():
    with pytest.raises(ValueError, match="'clip' parameter of ImplicitReLURegressor must be"):
        regressor(clip="never").fit(*noisy())


def exact(n=80, seed=0):
    """Targets with little noise, believed beyond their range, and features in units of their own."""
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, 3)) * [1, 1e4, 1e-3] + [0, 3e4, 5]
    return X, (X[:, 0] + X[:, 1] / 1e4 + 1e3 * (X[:, 2] - 5) + 0.02 * rng.standard_normal(n)) * 1e3


def beyond(X, ranges):
    """Return the values so many ranges below and above those of each column."""
    low, high = X.min(axis=0).astype(float), X.max(axis=0).astype(float)
    return np.array([low - ranges * (high - low), high + ranges * (high - low)])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kept", [False, True])
def test_features_are_followed_for_some_ranges_and_mistakes_are_the_mean(width, dtype, kept):
    X, y = noisy() if kept else exact()
    X = X.astype(dtype)
    model, free = (regressor(width=width, standardize=True, clip=clip).fit(X, y) for clip in ("auto", False))
    assert np.isfinite(model.y_limits_).all() == kept
    assert_allclose(model.x_limits_, beyond(X, 1 if kept else 2), rtol=1e-12)
    assert_allclose(model.x_believed_, beyond(X, 5), rtol=1e-12)
    assert not hasattr(free, "x_believed_")
    assert_array_equal(free.predict(X), model.predict(X))
    for ranges, expected in ((0.9, 0.9), (4.9, 1 if kept else 2), (5.1, None), (1500, None), (1e9, None)):
        for side in (0, 1):
            rows, near = X[:9].copy(), X[:9].astype(float)
            rows[:, 1] = beyond(X, ranges)[side, 1]
            near[:, 1] = X[:, 1].mean(dtype=float) if expected is None else beyond(X, expected)[side, 1]
            if expected is None:
                with pytest.warns(
                    UserWarning, match=r"9 entries of X, in the columns 1, lie more than 5 ranges"
                ):
                    got = model.predict(rows)
            else:
                got = model.predict(rows)
            wanted = np.clip(free.predict(near.astype(dtype)), *model.y_limits_[:, 0])
            assert_allclose(got, wanted, rtol=1e-6 if dtype == np.float64 else 1e-3)
            alone = [model.predict(row[None]) for row in rows[:2]] if expected else got[:2, None]
            assert_allclose(np.ravel(alone), got[:2], rtol=1e-5, atol=2e-5 * np.ptp(y))


@pytest.mark.filterwarnings("ignore:.*are taken for mistakes:UserWarning")
@pytest.mark.parametrize("width", WIDTHS)
def test_a_mistake_upstream_does_not_send_predictions_away(width):
    X, y = exact()
    model = regressor(width=width, standardize=True).fit(X[:60], y[:60])
    for j in range(3):
        rows = X[60:].copy()
        rows[:, j] = X[:, j].mean() + 1500 * X[:, j].std()
        others = np.delete(np.arange(3), j)
        assert (
            np.corrcoef(model.predict(rows), ((rows - X.mean(axis=0)) / X.std(axis=0))[:, others].sum(1))[
                0, 1
            ]
            > 0.97
        )
        assert np.abs(model.predict(rows) - y.mean()).max() < 2 * np.ptp(y)


@pytest.mark.filterwarnings("ignore:.*are taken for mistakes:UserWarning")
def test_gaps_stay_gaps_and_levels_levels_beside_mistakes():
    X, y = exact()
    X[:8, 0] = np.nan
    X[:, 2] = np.arange(80) % 3
    model = regressor(width=np.inf, standardize=True, categorical_features=[2]).fit(X, y)
    assert np.isinf(model.x_believed_[:, 2]).all() and np.isinf(model.x_limits_[:, 2]).all()
    rows = np.repeat(X[9:10], 4, axis=0)
    rows[1:, 0] = [np.nan, 1e7, np.nanmean(X[:, 0])]
    gap, mistake, mean = model.predict(rows)[1:]
    assert mistake == pytest.approx(mean)
    assert gap != pytest.approx(mean, rel=1e-6)  # that of a row with a gap, which has an indicator


@pytest.mark.filterwarnings("ignore:.*are taken for mistakes:UserWarning")
def test_mistakes_in_sparse_rows():
    X, y = exact()
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    X[np.abs(X) < 0.3] = 0
    model = regressor(standardize=True, relevance=None).fit(csr_array(X), y)
    rows = X[:5].copy()
    rows[:, 1] = 1e6
    mean = X[:5].copy()
    mean[:, 1] = X[:, 1].mean()
    kept = csr_array(rows)
    assert_allclose(model.predict(kept), model.predict(csr_array(mean)), rtol=1e-9)
    assert_array_equal(kept.toarray(), rows)


@pytest.mark.parametrize("parameters", [{"standardize": False}, {"clip": False}, {"clip": (-1e9, 1e9)}])
def test_features_are_followed_anywhere_otherwise(parameters):
    X, y = exact()
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    model = regressor(**{"standardize": True, **parameters}).fit(X, y)
    assert np.isinf(model.x_limits_).all() and not hasattr(model, "x_believed_")
    assert model.predict(1000 * X[:9]).max() > 50 * y.max()


def test_names_of_columns_with_mistakes_are_told():
    X, y = exact()
    names = [f"column {j}" for j in range(9)]
    frame = pd.DataFrame(np.tile(X, 3), columns=names)
    model = regressor(standardize=True).fit(frame, y)
    with pytest.warns(UserWarning, match="2 entries of X, in the columns 'column 1', 'column 4', lie"):
        model.predict(frame[:3].assign(**{"column 1": [1e9, 3e4, 3e4], "column 4": [3e4, 3e4, -1e9]}))
    with pytest.warns(UserWarning, match="'column 3', 'column 4', …, lie more"):
        model.predict(frame[:3] * 1e5)
    loaded = pickle.loads(pickle.dumps(model))
    assert_array_equal(loaded.x_believed_, model.x_believed_)


@pytest.mark.parametrize("width", WIDTHS)
def test_bounds_that_the_user_knows(width):
    X, y = trend()
    free = regressor(width=width, clip=False).fit(X, y)
    model = regressor(width=width, clip=(0.0, np.inf)).fit(X, y)
    far = np.linspace(-5, 5, 40)[:, None]
    assert free.predict(far).min() < 0
    assert_allclose(model.predict(far), np.maximum(free.predict(far), 0), rtol=1e-9)
    assert_array_equal(model.y_limits_, [[0], [np.inf]])


@pytest.mark.parametrize("clip", [(1, 0), (1.0,), ("low", "high"), [0, 1, 2], (np.nan, 1)])
def test_bounds_that_are_none_are_refused(clip):
    X, y = trend()
    with pytest.raises(ValueError, match=r"clip as a pair must be two numbers \(low, high\)"):
        regressor(clip=clip).fit(X, y)


def test_every_output_is_kept_by_its_own_loss():
    """Of quantiles with widths of their own: as each of them alone."""
    rng = np.random.RandomState(0)
    Y = np.repeat(rng.standard_normal((30, 1)), 2, axis=1)
    F = np.column_stack([1.5 * Y[:, 0] + 2.0, 0.3 * Y[:, 1]])  # beyond the range, and within
    F[:, 1] += np.where(Y[:, 1] > 1.5, -3.0, 0.0)
    loss = Pinball(np.array([0.1, 0.6]), np.array([0.01, 2.0]))
    both = kept_in_range(Y, F, np.ones(30), loss)
    alone = [kept_in_range(Y[:, [c]], F[:, [c]], np.ones(30), loss.of_output(c))[0] for c in range(2)]
    np.testing.assert_array_equal(both, alone)
    assert both[0]
    assert kept_in_range(Y[:2], F[:2], np.ones(2), loss) is None
    assert kept_in_range(Y, F, np.ones(30), CrossEntropy(np.zeros(2))) is None


@pytest.mark.parametrize("kept", [True, False])
def test_logarithms_are_kept_in_the_range_of_logarithms(kept):
    """Counts of 0 leave them free below; where counts go on along a trend, above too."""
    x = np.linspace(-3, 3, 60)
    Y = np.round(20 * np.exp(x))[:, None] / 100
    F = np.log(0.2) + x[:, None]
    F[-3:] += 1.0 if kept else 0.3
    Y[-3:] *= 1.0 if kept else 2.0
    assert kept_in_range(Y, F + 0.4 * np.sin(9 * x)[:, None], np.ones(60), PoissonDeviance())[0] == kept
