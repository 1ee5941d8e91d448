"""Tables as they come: frames of numbers, strings, categories, booleans and gaps."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit._estimator.columns import read_table

rng = np.random.RandomState(0)
n = 120
NUMBER = rng.standard_normal(n)
COLOUR = np.array(["red", "green", "blue"])[rng.randint(0, 3, n)]
SWITCH = rng.uniform(size=n) < 0.4
EFFECT = {"red": 1.0, "green": -1.0, "blue": 0.0}
Y = NUMBER + np.array([EFFECT[c] for c in COLOUR]) + 2 * SWITCH + 0.05 * rng.standard_normal(n)
FRAME = pd.DataFrame({"number": NUMBER, "colour": COLOUR, "switch": SWITCH})
pytestmark = pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")


def regressor(width=np.inf, **options):
    return ImplicitReLURegressor(width, random_state=0, **options)


FORMS = {
    "object": FRAME.astype({"colour": object}),
    "string": FRAME.astype({"colour": "string", "switch": "boolean"}),
    "category": FRAME.astype({"colour": "category", "switch": "category"}),
    "polars": pl.DataFrame({"number": NUMBER, "colour": COLOUR.tolist(), "switch": SWITCH}),
    "polars categorical": pl.DataFrame(
        {"number": NUMBER, "colour": COLOUR.tolist(), "switch": SWITCH}
    ).with_columns(pl.col("colour").cast(pl.Categorical)),
    "array": FRAME.to_numpy(dtype=object),
}


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("width", [50, np.inf])
def test_levels_are_learnt_from_every_form_of_a_table(form, width):
    table = FORMS[form]
    model = regressor(width).fit(table[:90], Y[:90])
    assert model.score(table[90:], Y[90:]) > 0.95
    assert model.categories_ == [[], ["blue", "green", "red"], ["False", "True"]]
    assert_allclose(model.predict(table), regressor(width).fit(FRAME[:90], Y[:90]).predict(FRAME), atol=1e-9)


def test_a_classifier_takes_them_too():
    model = ImplicitReLUClassifier(50, random_state=0).fit(FRAME[:90], Y[:90] > 1)
    assert model.score(FRAME[90:], Y[90:] > 1) > 0.85


def test_a_missing_level_is_a_level_and_an_unseen_one_the_mean():
    holes = FRAME.astype({"colour": object})
    holes.loc[holes.index % 4 == 0, "colour"] = None
    model = regressor().fit(holes, Y)
    assert model.categories_[1] == ["blue", "green", "red", None]
    new = holes[:3].copy()
    new["colour"] = ["violet", np.nan, pd.NA]
    assert np.isfinite(model.predict(new)).all()
    assert model.predict(new[1:2]) == pytest.approx(
        model.predict(holes[:1].assign(**new.iloc[1][["number", "switch"]].to_dict()))
    )
    complete = regressor().fit(FRAME, Y)
    assert_array_equal(
        complete.predict(FRAME[:1].assign(colour="violet")), complete.predict(FRAME[:1].assign(colour=None))
    )


@pytest.mark.parametrize("features", [[1], ["code"], [False, True]])
def test_codes_are_levels_where_they_are_named(features):
    code = rng.permutation(8)[rng.randint(0, 8, n)]
    effect = rng.standard_normal(8)[code]
    table = pd.DataFrame({"number": NUMBER, "code": code})
    model = regressor(categorical_features=features).fit(table, effect)
    assert model.categories_[1] == [str(i) for i in range(8)]
    assert model.score(table, effect) > 0.99
    floats = table.astype({"code": float})
    assert_array_equal(model.predict(floats), model.predict(table))
    if features != ["code"]:
        array = regressor(categorical_features=features).fit(table.to_numpy(), effect)
        assert_allclose(array.predict(table.to_numpy()), model.predict(table), atol=1e-9)


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ([3], "numbers from 0 to 2"),
        (["shape"], r"\['shape'\], which are no columns"),
        ([True], "one entry for each of the 3"),
    ],
)
def test_columns_that_are_not_there_are_refused(features, words):
    with pytest.raises(ValueError, match=words):
        regressor(categorical_features=features).fit(FRAME, Y)


def test_sparse_tables_have_no_levels_to_name():
    with pytest.raises(ValueError, match="X is sparse"):
        regressor(categorical_features=[0]).fit(csr_array(NUMBER[:, None]), Y)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pd.Series(pd.date_range("2020", periods=n)), "datetime64"),
        (pd.Series([[1, 2]] * n), "list"),
        (pd.Series([1, "a"] * (n // 2)), r"levels \(strings, booleans\) and numbers"),
        (pd.Series([{"a": 1}] * n), "dict"),
    ],
)
def test_what_is_neither_number_nor_level_is_refused_by_the_columns_name(column, kind):
    with pytest.raises(TypeError, match=rf"Column 'odd' of X holds {kind}.*skrub.TableVectorizer"):
        regressor().fit(FRAME.assign(odd=column), Y)


@pytest.mark.parametrize("name", ["number", "colour"])
@pytest.mark.parametrize("odd", [pd.date_range("2020", periods=n), [[1]] * n], ids=["dates", "lists"])
def test_nor_is_it_taken_when_predicting(name, odd):
    for table in (FRAME, FRAME[["number"]]):
        if name in table:
            with pytest.raises(TypeError, match=rf"Column '{name}' of X holds (datetime64|list)"):
                regressor().fit(table, Y).predict(table.assign(**{name: odd}))


def test_an_array_of_dates_is_no_array_of_numbers():
    with pytest.raises(TypeError, match="Column 0 of X holds datetime64"):
        regressor().fit(np.arange(n).astype("datetime64[D]")[:, None], Y)


def test_types_of_arrow_and_sparse_columns():
    switch, code = pd.Series(SWITCH), pd.Series(COLOUR)
    table = pd.DataFrame({
        "double": pd.Series(NUMBER).astype("double[pyarrow]"),
        "bool": switch.astype("bool[pyarrow]"),
        "large": code.astype(pd.ArrowDtype(pa.large_string())),
        "dictionary": code.astype(pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))),
        "sparse": pd.arrays.SparseArray(SWITCH.astype(float)),
    })  # fmt: skip
    model = regressor().fit(table, Y)
    assert [len(levels) for levels in model.categories_] == [0, 2, 3, 3, 0]
    assert model.score(table, Y) > 0.95
    numbers = table[["double"]]
    assert_allclose(
        regressor().fit(numbers, Y).predict(numbers),
        regressor().fit(numbers.astype(float), Y).predict(numbers.astype(float)),
    )


def test_truth_values_are_numbers_where_nothing_is_a_level():
    table = FRAME[["number", "switch"]]
    model = regressor(categorical_features=None).fit(table, Y)
    assert model.categories_ == [[], []]
    assert_array_equal(model.predict(table), model.predict(table.astype(float)))


def test_a_lazy_frame_has_no_rows():
    with pytest.raises(TypeError, match="collect"):
        regressor().fit(pl.DataFrame({"a": NUMBER}).lazy(), Y)
    for table in (pl.DataFrame({"a": NUMBER}), FORMS["polars"]):
        with pytest.raises(TypeError, match="collect"):
            regressor().fit(table, Y).predict(table.lazy())


def test_without_categories_strings_are_refused_by_name():
    with pytest.raises(TypeError, match="Column 'colour' of X holds levels where numbers were expected"):
        regressor(categorical_features=None).fit(FRAME, Y)


def test_tables_of_numbers_are_not_touched():
    table = FRAME[["number"]]
    assert read_table(table, "from_dtype")[0] is table
    assert read_table(NUMBER[:, None], "from_dtype")[0].dtype == np.float64


@pytest.mark.parametrize("width", [30, np.inf])
@pytest.mark.parametrize("cls", [ImplicitReLURegressor, ImplicitReLUClassifier])
def test_a_fitted_table_survives_pickling_and_cloning(cls, width):
    goal = Y if cls is ImplicitReLURegressor else Y > 1
    model = cls(width, random_state=0, warm_start=width == 30).fit(FRAME, goal)
    twin = pickle.loads(pickle.dumps(model))
    assert_array_equal(twin.predict(FRAME), model.predict(FRAME))
    assert clone(model).get_params() == model.get_params()
    if width == 30:
        assert_array_equal(twin.fit(FRAME, goal).predict(FRAME), model.fit(FRAME, goal).predict(FRAME))


def test_names_are_kept_and_checked():
    model = regressor().fit(FRAME, Y)
    assert model.feature_names_in_.tolist() == ["number", "colour", "switch"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(FRAME[["colour", "number", "switch"]])
    with pytest.raises(ValueError, match="features, but"):
        model.fit(FRAME.to_numpy(dtype=object), Y).predict(FRAME[["number", "colour"]].to_numpy(dtype=object))


def test_searches_and_importances_take_frames():
    search = GridSearchCV(regressor(), {"gamma": [0.3, 0.5]}, cv=3).fit(FRAME, Y)
    assert search.best_score_ > 0.9
    importance = permutation_importance(search, FRAME, Y, n_repeats=2, random_state=0).importances_mean
    assert importance.min() > 0.05


@pytest.mark.parametrize("feature", ["number", "colour"])
def test_partial_dependence_of_a_frame(feature):
    model = regressor().fit(FRAME, Y)
    found = partial_dependence(
        model,
        FRAME,
        [feature],
        categorical_features=[feature] if feature == "colour" else None,
        grid_resolution=5,
    )
    expected = [model.predict(FRAME.assign(**{feature: value})).mean() for value in found["grid_values"][0]]
    assert_allclose(found.average[0], expected)
    assert np.ptp(expected) > 1


@pytest.mark.parametrize("form", ["pandas", "polars", "default"])
def test_frames_come_out_of_transformers(form):
    scaled = ColumnTransformer([("scaled", StandardScaler(), ["number"])], remainder="passthrough")
    model = make_pipeline(scaled.set_output(transform=form), regressor())
    table = FORMS["polars"] if form == "polars" else FRAME
    assert model.fit(table[:90], Y[:90]).score(table[90:], Y[90:]) > 0.95
    assert [len(levels) for levels in model[-1].categories_] == [0, 3, 2]


def test_many_levels_stay_small():
    table = pd.DataFrame(
        {"level": rng.randint(0, 5000, 1500).astype(str), "number": rng.standard_normal(1500)}
    )
    model = regressor(20, max_iter=2, relevance=None, alpha=0.01).fit(table, table["number"])
    assert len(model.categories_[0]) > 1200
    assert model.W_.shape[1] < 1100
    assert model.score(table, table["number"]) > 0.9


def test_warm_start_keeps_the_numbers_of_levels():
    model = regressor(30, warm_start=True, max_iter=3).fit(FRAME, Y)
    before = [list(levels) for levels in model.categories_]
    part = FRAME["colour"] != "blue"
    model.fit(FRAME[part], Y[part])
    assert model.categories_ == before
    kept = model.predict(FRAME[part])
    assert np.corrcoef(kept, Y[part])[0, 1] > 0.5


def test_a_warm_start_takes_levels_that_it_has_not_seen_for_the_mean():
    part = FRAME["colour"] != "blue"
    model = regressor(30, warm_start=True, max_iter=3).fit(FRAME[part], Y[part])
    before = [list(levels) for levels in model.categories_]
    model.set_params(max_iter=20).fit(FRAME, Y)
    assert model.categories_ == before
    blue = FRAME[~part]
    as_other = [model.predict(blue.assign(colour=colour)) for colour in ("green", "red")]
    assert_allclose(model.predict(blue), np.mean(as_other, axis=0), atol=0.3)  # as its effect is
    assert model.score(FRAME, Y) > 0.98
    assert_array_equal(model.predict(blue), model.predict(blue.assign(colour="violet")))
    classifier = ImplicitReLUClassifier(30, warm_start=True, random_state=0)
    classifier.fit(FRAME[part], Y[part] > 1)
    assert classifier.fit(FRAME, Y > 1).score(FRAME, Y > 1) > 0.9
