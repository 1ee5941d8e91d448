"""Units, gaps and levels: what a fit must not depend on, and what it is to see of them."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.datasets import load_wine, make_friedman1
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit._estimator.columns import read_table
from sk_implicit.inputs.rows import row_keys
from sk_implicit.inputs.table import LIMITS, LevelLimits, Table, rare_sizes

rng = np.random.RandomState(0)
X = rng.standard_normal((60, 3)) * [1, 5, 0.2] + [0, 3, -2]
y = np.sin(X[:, 0]) + 0.3 * X[:, 1] + 0.05 * rng.standard_normal(60)
ONES = np.ones(60)
pytestmark = pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")


def table_of(X, weights=None, standardize=True, categorical=None):
    weights = np.ones(len(X)) if weights is None else weights
    return Table.of(X, weights, standardize=standardize, categorical=categorical)


def test_columns_get_weighted_mean_0_and_variance_1():
    weights = rng.uniform(0.1, 4, 60)
    Z = table_of(X, weights).apply(X)
    assert_allclose(np.average(Z, axis=0, weights=weights), 0, atol=1e-14)
    assert_allclose(np.average(Z**2, axis=0, weights=weights), 1, rtol=1e-13)
    assert_allclose(table_of(X).apply(X), StandardScaler().fit_transform(X), rtol=1e-12, atol=1e-13)


def test_standardised_columns_are_left_alone_to_the_bit():
    Z = StandardScaler().fit_transform(X)
    for A, table in ((Z, table_of(Z)), (X, table_of(X, standardize=False))):
        assert table.is_identity and table.apply(A) is A
        gap = np.where(np.arange(3) == 1, np.nan, A)
        assert_allclose(table.apply(gap)[:, 1], A[:, 1].mean(), atol=1e-15)


def test_weight_two_is_a_row_given_twice():
    weights = np.where(np.arange(60) < 20, 2.0, 1.0)
    once, twice = table_of(X, weights), table_of(np.vstack([X, X[:20]]))
    assert_allclose(once.centre, twice.centre, rtol=1e-13)
    assert_allclose(once.unit, twice.unit, rtol=1e-13)


@pytest.mark.parametrize("value", [0.0, 1000.0, 1e-300, -1e300, 0.1 + 0.2])
def test_constant_columns_count_for_nothing_whatever_they_are_later(value):
    A = np.column_stack([X, np.full(60, value)])
    table = table_of(A)
    moved = A.copy()
    moved[:, 3] = 17.0
    assert np.isinf(table.unit[3])
    assert_array_equal(table.apply(moved)[:, 3], 0)


def test_gaps_are_the_mean_and_have_an_indicator():
    A = X.copy()
    A[:6, 1] = np.nan
    table = table_of(A)
    Z = table.apply(A)
    assert_allclose(table.centre[1], A[6:, 1].mean(), rtol=1e-13)
    assert Z.shape == (60, 4) and table.column_features.tolist() == [0, 1, 2, 1]
    assert_array_equal(Z[:6, 1], 0)
    p = 0.1
    assert_allclose(Z[:, 3], np.sqrt(2) * (np.isnan(A[:, 1]) - p) / (p * (1 - p)) ** 0.25)
    new = X[:3].copy()
    new[0, 0] = np.nan  # where there was none
    assert_array_equal(table.apply(new)[0, 0], 0)


def test_gaps_are_filled_without_standardising_too():
    A = X.copy()
    A[:6, 1] = np.nan
    Z = table_of(A, standardize=False).apply(A)
    assert_allclose(Z[:6, 1], A[6:, 1].mean())
    assert_array_equal(Z[6:, :3], A[6:])


def test_levels_of_a_feature_have_the_variance_of_one_column():
    codes = rng.randint(0, 4, 60).astype(float)
    A = np.column_stack([X, codes])
    table = table_of(A, categorical=np.array([False, False, False, True]))
    Z = table.apply(A)
    assert_array_equal(Z[:, 3], 0)
    assert table.column_features.tolist() == [0, 1, 2, 3, 3, 3, 3, 3]
    assert_allclose(Z[:, 4:].mean(axis=0), 0, atol=1e-14)
    assert_allclose(Z[:, 4:].var(axis=0).sum(), 1, rtol=1e-12)
    indicators = OneHotEncoder(sparse_output=False).fit_transform(codes[:, None])
    assert_allclose(Z[:, 4:] / table.factor + table.share, indicators, atol=1e-14)


def test_two_balanced_levels_are_a_standardised_column():
    codes = np.tile([0.0, 1.0], 30)[:, None]
    Z = table_of(codes, categorical=np.array([True])).apply(codes)[:, 1:]
    assert_allclose(Z @ Z.T, np.outer(2 * codes - 1, 2 * codes - 1), rtol=1e-12)


def test_rare_and_unseen_levels_are_the_mean():
    codes = np.append(np.tile([0.0, 1.0], 29), [2.0, 3.0])[:, None]
    table = table_of(codes, categorical=np.array([True]))
    assert table.level.tolist() == [0, 1]  # the others have one row each
    new = np.array([[2.0], [7.0], [np.nan]])
    assert_array_equal(table.apply(new), 0)


@pytest.mark.parametrize("n", [900, 1300])
def test_no_more_levels_than_the_limit_and_the_most_frequent_ones(n):
    counts = np.arange(n) % 7 + 2
    codes = np.repeat(np.arange(float(n)), counts)[:, None]
    few = (np.arange(len(codes)) % 3).astype(float)[:, None]
    table = table_of(np.hstack([few, codes]), categorical=np.array([True, True]))
    assert (table.feature == 0).sum() == 3  # as frequent as any
    kept = table.level[table.feature == 1]
    assert len(kept) == min(n, LIMITS.columns - 3)
    others = np.setdiff1d(np.arange(n), kept)
    assert not len(others) or counts[kept].min() >= counts[others].max()
    Z = table.apply(np.hstack([few, codes]))
    assert_array_equal(Z[np.isin(codes[:, 0], others), 5:], 0)
    assert_allclose(
        table.share, [np.mean((few, codes)[f][:, 0] == l) for f, l in zip(table.feature, table.level)]
    )


def test_fewer_levels_where_there_are_many_rows():
    assert [LIMITS.of_rows(n) for n in (1, 10_000, 20_000, 10**6)] == [1000, 1000, 500, 200]
    codes = np.repeat(np.arange(150.0), 2)[:, None]
    few = LevelLimits(columns=120, least_columns=20, entries=300 * 40)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sk_implicit.inputs.table.LIMITS", few)
        assert len(table_of(codes, categorical=np.array([True])).level) == 40


def test_weights_share_levels():
    codes, weights = np.array([[0.0], [1.0], [1.0], [0.0], [2.0]]), np.array([3.0, 1.0, 1.0, 1.0, 4.0])
    assert_allclose(table_of(codes, weights, categorical=np.array([True])).share, [0.4, 0.2])


def test_memory_does_not_grow_with_rows_times_levels():
    """A matrix of 4,000 rows and 4,000 levels would take 128 MB; that of 1,000 levels takes 32 MB."""
    codes = np.random.RandomState(0).randint(0, 4000, (4000, 1)).astype(float)
    column = pd.DataFrame({"level": codes[:, 0].astype(int).astype(str)})
    tracemalloc.start()
    try:
        read_table(column, "from_dtype")
        table_of(codes, categorical=np.array([True])).apply(codes)
        assert tracemalloc.get_traced_memory()[1] < 45e6
    finally:
        tracemalloc.stop()


@given(
    st.integers(0, 10_000),
    st.sampled_from([np.float32, np.float64]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_complete_tables_lose_nothing_to_the_bit(seed, dtype, standardize, weighted, is_sparse):
    """Rows without gaps are what they would be without the word, also beside rows that have some."""
    rng = np.random.RandomState(seed)
    A = (rng.standard_normal((12, 3)) * 10.0 ** rng.randint(-5, 6, 3) + rng.standard_normal(3)).astype(dtype)
    A[rng.uniform(size=A.shape) < 0.2] = 0
    weights = rng.uniform(0.1, 3, 12) if weighted else np.ones(12)
    kind = csr_array if is_sparse else np.asarray
    table = Table.of(kind(A), weights, standardize=standardize, categorical=None)
    assert len(table.feature) == 0
    complete = table.apply(kind(A))
    centre, unit = table.centre, table.unit
    numbers = complete.toarray() if is_sparse else complete
    assert_array_equal(numbers, np.where(np.isinf(unit), 0, (A - centre) / unit).astype(dtype))
    holes = A.copy()
    holes[:4, 1] = np.nan
    beside = table.apply(kind(holes))
    assert_array_equal((beside.toarray() if is_sparse else beside)[4:], numbers[4:])


def test_sparse_columns_are_divided_only():
    A = X * (rng.uniform(size=X.shape) < 0.5)
    A[3, 1] = np.nan
    sparse, dense = csr_array(A), table_of(A)
    table = Table.of(sparse, ONES, standardize=True, categorical=None)
    assert_allclose(table.unit, dense.unit, rtol=1e-12)
    assert_allclose(table.fill, dense.fill, rtol=1e-12)
    assert not table.centre.any()
    Z = table.apply(sparse).toarray()
    expected = np.where(np.isnan(A), dense.centre, A) / dense.unit
    assert_allclose(Z[:, :3], expected, rtol=1e-12)
    assert_array_equal(Z[:, 3] != 0, np.isnan(A[:, 1]))


def test_rare_values_start_smaller_by_their_kurtosis():
    A = np.zeros((1000, 3))
    A[:, 0], A[:10, 1], A[::2, 2] = rng.standard_normal(1000), 1.0, 1.0
    Z = table_of(A).apply(A)
    sizes = rare_sizes(Z, np.ones(1000))
    kurtosis = np.mean(Z[:, 1] ** 4)
    assert_allclose(sizes[[1, 2]], [(3 / kurtosis) ** 0.6, 1], rtol=1e-10)
    assert 0.9 < sizes[0] <= 1
    assert_allclose(rare_sizes(csr_array(Z), np.ones(1000)), sizes, rtol=1e-10)


units = st.lists(st.floats(-6, 6), min_size=4, max_size=4).map(lambda powers: 10.0 ** np.array(powers))
shifts = st.lists(st.floats(-1e3, 1e3), min_size=4, max_size=4).map(np.array)


@given(units, shifts, st.booleans())
def test_the_limit_depends_on_no_unit_and_no_origin(unit, shift, weighted):
    A, target = make_friedman1(80, n_features=5, random_state=0)
    A, weights = A[:, :4], (np.linspace(0.2, 3, 80) if weighted else None)
    moved = (A + shift * A.std(axis=0)) * unit
    for model, goal in (
        (ImplicitReLURegressor(np.inf), target),
        (ImplicitReLUClassifier(np.inf), target > target.mean()),
    ):
        plain = model.fit(A, goal, weights)
        predict = plain.predict if model.__class__ is ImplicitReLURegressor else plain.predict_proba
        expected, alpha, relevance = predict(A), plain.alpha_, getattr(plain, "relevance_", 0)
        other = model.fit(moved, goal, weights)
        assert_allclose(predict(moved), expected, atol=1e-6 * max(np.ptp(expected), 1))
        assert_allclose(other.alpha_, alpha, rtol=1e-5)
        assert_allclose(getattr(other, "relevance_", 0), relevance, atol=1e-6)


@settings(max_examples=8)
@given(units, shifts, st.booleans(), st.sampled_from([np.float32, np.float64]), st.booleans())
def test_a_network_depends_on_no_unit_and_no_origin(unit, shift, weighted, dtype, classes):
    """As closely as training repeats itself: it takes rounding further than the limit does."""
    A, target = make_friedman1(110, n_features=5, noise=0.5, random_state=0)
    A, weights = A[:, :4], (np.linspace(0.2, 3, 70) if weighted else None)
    shift = shift if dtype == np.float64 else shift / 1000  # of which the digits are left
    moved = ((A + shift * A.std(axis=0)) * unit).astype(dtype)
    goal = target > target.mean() if classes else target
    model = (ImplicitReLUClassifier if classes else ImplicitReLURegressor)(20, random_state=0)

    def score(X):
        model.fit(X[:70], goal[:70], weights)
        return (model.predict(X[70:]) == goal[70:]).mean() if classes else model.score(X[70:], goal[70:])

    plain = score(A.astype(dtype))
    assert plain > 0.6
    assert abs(score(moved) - plain) < (0.002 if dtype == np.float64 else 0.03)


@pytest.mark.parametrize("width", [60, np.inf])
def test_units_change_no_score(width):
    A, target = make_friedman1(200, noise=0.5, random_state=0)
    wild = (A + 1e4) * np.logspace(-6, 6, 10)
    model = ImplicitReLURegressor(width, random_state=0)
    plain = model.fit(A[:150], target[:150]).score(A[150:], target[150:])
    assert plain > 0.8
    assert abs(model.fit(wild[:150], target[:150]).score(wild[150:], target[150:]) - plain) < 0.02


@pytest.mark.parametrize("width", [40, np.inf])
def test_a_raw_table_of_classes_is_fitted_as_a_standardised_one(width):
    A, classes = load_wine(return_X_y=True)
    A = np.column_stack([A, np.full(len(A), 1000.0)])
    raw = ImplicitReLUClassifier(width, random_state=0).fit(A, classes).predict_proba(A)
    scaled = StandardScaler().fit_transform(A)
    same = ImplicitReLUClassifier(width, random_state=0).fit(scaled, classes).predict_proba(scaled)
    assert_allclose(raw, same, atol=1e-4)


@pytest.mark.parametrize("cls", [ImplicitReLURegressor, ImplicitReLUClassifier])
def test_without_standardising_and_relevance_features_are_taken_as_they_come(cls):
    goal = y if cls is ImplicitReLURegressor else y > 0
    model = cls(30, standardize=False, relevance=None, random_state=0).fit(X, goal)
    assert_array_equal(model.x_scale_, 1)
    assert_array_equal(model.x_mean_, 0)
    assert len(np.unique(model.input_scale_)) == 1


def test_order_of_rows_depends_on_no_unit_layout_or_sign_of_zero():
    A = np.round(X * (rng.uniform(size=X.shape) < 0.5), 1)
    keys = row_keys(A)
    assert_array_equal(row_keys(csr_array(A)), keys)
    assert_array_equal(row_keys(np.where(A == 0, -0.0, A)), keys)
    assert_array_equal(row_keys(A * [1e-5, 3, 1e9] + [0, 1, -7]), keys)
    assert len(np.unique(keys, axis=0)) == len(np.unique(A, axis=0))


def test_y_and_four_times_y_are_the_same_problem():
    """Where it is singular, the order of the rows decides; it comes from X."""
    A = np.repeat(X[:20], 2, axis=0)
    goal = np.arange(40.0) % 7
    model = ImplicitReLURegressor(20, alpha=0, relevance=None, max_iter=5, random_state=0)
    once = model.fit(A, goal).predict(X)
    assert_allclose(model.fit(A, 4 * goal).predict(X), 4 * once, atol=1e-6 * np.ptp(once))


@pytest.mark.parametrize("width", [40, np.inf])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_gaps_in_fit_and_predict(width, dtype):
    A, target = make_friedman1(200, random_state=0)
    holes = np.where(rng.uniform(size=A.shape) < 0.1, np.nan, A).astype(dtype)
    model = ImplicitReLURegressor(width, random_state=0).fit(holes[:150], target[:150])
    assert model.score(holes[150:], target[150:]) > 0.6
    assert model.predict(holes).dtype == dtype
    whole = ImplicitReLURegressor(width, random_state=0).fit(A[:150], target[:150])
    new = A[150:].copy()
    new[:, 9] = np.nan  # of no relevance, and complete when it was fitted
    assert whole.score(new, target[150:]) > 0.8
    with pytest.raises(ValueError, match="NaN"):
        model.fit(A, np.where(np.arange(200) == 3, np.nan, target))
    with pytest.raises(ValueError, match="infinity"):
        model.fit(np.where(np.arange(10) == 3, np.inf, A), target)


def test_nullable_columns_are_numbers_with_gaps():
    frame = pd.DataFrame(X, columns=list("abc"))
    frame["n"] = pd.array(np.arange(60), dtype="Int64")
    frame.loc[5, "n"] = pd.NA
    model = ImplicitReLURegressor(np.inf).fit(frame, y)
    assert model.categories_ == [[]] * 4 and np.isfinite(model.predict(frame)).all()
