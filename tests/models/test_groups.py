"""Groups and replicates: rows that tell of each other what they tell of no new row are left out together."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.model_selection import GridSearchCV, GroupKFold

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit.function_space.leaving_out import LeavingOut
from sk_implicit.function_space.losses import SquaredError
from sk_implicit.inputs.rows import distinct_rows, left_out_at_a_time
from sk_implicit.models.limit_solution import limit_penalty

WIDTHS = [30, np.inf]
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{words}:sklearn.exceptions.ConvergenceWarning")
    for words in ("Training with solver", "Nothing was found")
]
both_widths = pytest.mark.parametrize("width", WIDTHS)


def patients(n_patients=15, visits=6, d=3, seed=0, spread=1.0):
    """Rows of patients: features that hardly differ within one, and a level of each one's own."""
    rng = np.random.RandomState(seed)
    group = np.repeat(np.arange(n_patients), visits)
    X = rng.standard_normal((n_patients, d))[group] + 0.1 * rng.standard_normal((len(group), d))
    y = spread * rng.standard_normal(n_patients)[group] + 0.1 * rng.standard_normal(len(group))
    return X, y, group


def groups_of(X, levels=None, times=1):
    """Return which rows leave together, each rows' number of fellows, itself included."""
    n = X.shape[0]
    y = np.arange(float(n))[:, None]
    left_out = left_out_at_a_time(X, y, np.ones(n), np.full(n, times), levels)
    return np.bincount(left_out.numbers())[left_out.numbers()]


@both_widths
@pytest.mark.parametrize("cls", [ImplicitReLURegressor, ImplicitReLUClassifier])
def test_values_of_patients_are_no_function_of_their_features(width, cls):
    """By rows the score claims to know new patients; by patients it knows that it does not."""
    X, y, group = patients()
    y = y if cls is ImplicitReLURegressor else y > 0
    by_row, by_patient = (
        cls(width, max_iter=3, random_state=0).fit(X, y, groups=groups) for groups in (None, group)
    )
    assert by_row.loo_score_ > 0.5
    assert by_patient.loo_score_ < 0.2
    assert by_patient.alpha_ > 10 * by_row.alpha_


@both_widths
def test_replicates_are_left_out_together(width):
    rng = np.random.RandomState(0)
    X = np.repeat(rng.standard_normal((30, 4)), 3, axis=0)
    y = np.repeat(rng.standard_normal(30), 3) + 0.1 * rng.standard_normal(90)
    model = ImplicitReLURegressor(width, max_iter=3, uncertainty=True, random_state=0).fit(X, y)
    assert model.loo_score_ < 0.2
    new, targets = rng.standard_normal((500, 4)), rng.standard_normal(500)
    predicted, std = model.predict(new, return_std=True)
    assert np.mean((targets - predicted) ** 2) < 1.15 * np.mean((targets - y.mean()) ** 2)
    assert np.mean(np.abs(targets - predicted) < 1.645 * std) > 0.8


def test_replicates_of_a_function_are_worth_what_they_are():
    rng = np.random.RandomState(0)
    X = np.repeat(rng.uniform(-2, 2, (40, 2)), 3, axis=0)
    y = np.sin(2 * X[:, 0]) + X[:, 1] + 0.3 * rng.standard_normal(120)
    new = rng.uniform(-2, 2, (500, 2))
    model = ImplicitReLURegressor(np.inf).fit(X, y)
    assert model.score(new, np.sin(2 * new[:, 0]) + new[:, 1]) > 0.9


def test_the_score_is_that_of_refits_without_each_group():
    X, y, group = patients(n_patients=6, visits=3, spread=0.5)
    y = (y + X[:, 0]) - np.mean(y + X[:, 0])
    order = np.random.RandomState(1).permutation(len(y))
    X, Y, left_out = X[order], y[order][:, None], LeavingOut(np.ones(18), group[order])
    rows = np.column_stack([X, np.ones(18)])
    found = limit_penalty(rows, Y, np.ones(18), SquaredError(), gamma=0.4, alpha="loo", left_out=left_out)
    from sk_implicit.limit import limit_kernel

    K, errors = limit_kernel(rows, gamma=0.4), []
    for number in range(6):
        kept = left_out.groups != number
        system, mean = K[np.ix_(kept, kept)] + found.absolute * np.eye(15), Y[kept].mean()
        dual = np.linalg.solve(system, Y[kept] - mean)
        errors.append(Y[~kept] - mean - K[np.ix_(~kept, kept)] @ dual)
    assert_allclose(found.score, 1 - np.mean(np.square(errors)) / np.var(Y, ddof=1), atol=2e-3)


def test_a_row_to_a_group_is_leave_one_out():
    X, y, _ = patients()
    plain = ImplicitReLURegressor(np.inf).fit(X, y)
    named = ImplicitReLURegressor(np.inf).fit(X, y, groups=[f"row {i}" for i in range(len(y))])
    assert_allclose(named.loo_score_, plain.loo_score_, rtol=1e-8)
    assert_allclose(named.predict(X), plain.predict(X), rtol=1e-6)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_equal_rows_of_two_groups_are_two(kind):
    X, Y, group = np.ones((4, 2)), np.zeros((4, 1)), np.array([0, 0, 1, 1])
    rows = distinct_rows(kind(X), Y, np.ones(4), None, group)
    assert_array_equal(rows.weights, [2, 2])
    assert_array_equal(rows.left_out.weights, [2, 2])
    assert len(rows.left_out.several()) == 0
    assert_array_equal(np.sort(rows.left_out.groups), [0, 1])


@both_widths
def test_order_names_and_weights_of_groups(width):
    """Names say nothing; a group of weight 0 is absent, and weight 2 is the row twice."""
    X, y, group = patients(n_patients=8, visits=3)
    options = {"max_iter": 2, "random_state": 0}
    reference = ImplicitReLURegressor(width, **options).fit(X, y, groups=group).predict(X)
    named = pd.Series([f"patient {9 - g}" for g in group], dtype="string")
    order = np.random.RandomState(0).permutation(len(y))
    again = ImplicitReLURegressor(width, **options).fit(X[order], y[order], groups=named[order].to_numpy())
    assert_allclose(again.predict(X), reference, rtol=1e-6, atol=1e-8)
    weights = np.where(group == 3, 0.0, 1.0 + (np.arange(len(y)) % 2))
    weighted = ImplicitReLURegressor(width, **options).fit(X, y, weights, groups=group)
    rows = np.repeat(np.arange(len(y)), weights.astype(int))
    repeated = ImplicitReLURegressor(width, **options).fit(X[rows], y[rows], groups=group[rows])
    assert_array_equal(weighted.predict(X), repeated.predict(X))


def test_groups_are_routed():
    X, y, group = patients(n_patients=6, visits=4)
    with sklearn.config_context(enable_metadata_routing=True):
        model = ImplicitReLURegressor(np.inf).set_fit_request(groups=True)
        search = GridSearchCV(model, {"gamma": [0.3]}, cv=GroupKFold(3)).fit(X, y, groups=group)
    alone = ImplicitReLURegressor(np.inf, gamma=0.3).fit(X, y, groups=group)
    assert_array_equal(search.predict(X), alone.predict(X))


def test_early_stopping_holds_out_whole_groups():
    from sk_implicit._estimator.validate import hold_out

    left_out = LeavingOut(np.ones(30), np.repeat(np.arange(6), 5))
    for seed in range(5):
        kept, held = hold_out(left_out, seed, 0.3)
        assert len(held) == 10
        assert not set(left_out.groups[kept]) & set(left_out.groups[held])
        assert_array_equal(np.sort(np.append(kept, held)), np.arange(30))
    two = LeavingOut(np.ones(30), np.repeat([0, 1], 15))
    assert [len(part) for part in hold_out(two, 0, 0.9)] == [15, 15]


def test_bad_groups_are_refused():
    X, y, group = patients()
    with pytest.raises(ValueError, match=r"at least 2 groups.*got 1.*groups=None"):
        ImplicitReLURegressor(np.inf).fit(X, y, groups=np.zeros(len(y)))
    with pytest.raises(ValueError, match="at least 2 groups"):
        ImplicitReLURegressor(np.inf).fit(X, y, np.where(group == 2, 1.0, 0.0), groups=group)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        ImplicitReLURegressor(np.inf).fit(X, y, groups=group[1:])


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_which_equal_inputs_are_replicates(kind):
    rng = np.random.RandomState(0)
    numbers = np.repeat(rng.standard_normal((10, 2)), 3, axis=0)
    assert_array_equal(groups_of(kind(numbers)), 3)
    # one feature: replicates where they are few, cells where they are many
    assert_array_equal(groups_of(kind(np.repeat(np.arange(1.0, 11), 3)[:, None])), 3)
    assert_array_equal(groups_of(kind(np.repeat(np.arange(1.0, 11), 12)[:, None])), 1)
    # cells: of indicators of one factor, of few levels, of a table that is filled
    assert_array_equal(groups_of(kind(np.eye(8)[np.repeat(np.arange(8), 4)])), 1)
    assert_array_equal(groups_of(kind(rng.randint(0, 4, (60, 5)).astype(float))), 1)
    table = np.array([(i, j) for i in range(7) for j in range(8)] * 2, dtype=float)
    assert_array_equal(groups_of(kind(table)), 1)
    # an indicator that only one input has: without it, nothing were known of it
    marked = np.column_stack([numbers, np.arange(30) < 3])
    assert_array_equal(groups_of(kind(marked)), np.where(np.arange(30) < 3, 1, 3))


def test_levels_that_only_one_input_has_stay_known():
    numbers = np.repeat(np.random.RandomState(0).standard_normal((10, 2)), 3, axis=0)
    person, sex = np.repeat(np.arange(10.0), 3), np.repeat(np.arange(10.0) % 3, 3)
    levels = np.array([False, False, True])
    assert_array_equal(groups_of(np.column_stack([numbers, person]), levels), 1)
    assert_array_equal(groups_of(np.column_stack([numbers, sex]), levels), 3)
