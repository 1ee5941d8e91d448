"""What is kept of a model for the next rows, and that no change goes unseen."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit.models import fitted_model, kept_model

X = np.random.default_rng(0).standard_normal((80, 3))
y = np.sin(X[:, 0]) + X[:, 1] ** 2


@pytest.fixture(params=[20, np.inf])
def model(request):
    return ImplicitReLURegressor(width=request.param, random_state=0, uncertainty=True).fit(X, y)


def test_a_row_alone_equals_the_row_among_others(model):
    expected, std = model.predict(X, return_std=True)
    for i in (0, 7, 7):
        alone, own = model.predict(X[i : i + 1], return_std=True)
        np.testing.assert_allclose(alone[0], expected[i], rtol=1e-8)
        np.testing.assert_allclose(own[0], std[i], rtol=1e-7)


def test_few_rows_keep_the_model_and_many_do_not(model):
    model.predict(X)
    assert kept_model(model) is None
    model.predict(X[:1])
    kept = kept_model(model)
    model.predict(X[:3].tolist())
    assert kept is not None and kept_model(model) is kept
    assert kept_model(copy.deepcopy(model)) is None


def test_what_is_set_anew_counts(model):
    before = model.predict(X[:1])
    name = "U_" if np.isfinite(model.width) else "dual_coef_"
    setattr(model, name, getattr(model, name) * 2)
    assert kept_model(model) is None
    doubled = model.predict(X[:1])
    assert doubled != before
    np.testing.assert_allclose(doubled, model.predict(X)[:1], rtol=1e-8)
    model.fit(X, -y)
    np.testing.assert_allclose(model.predict(X[:1]), model.predict(X)[:1], rtol=1e-8)
    assert model.predict(X[:1]) != doubled


def test_what_is_kept_cannot_change_unseen(model):
    name = "A_" if np.isfinite(model.width) else "X_fit_"
    getattr(model, name)[0] += 1  # nothing is kept yet
    before = model.predict(X[:1])
    with pytest.raises(ValueError, match="read-only"):
        getattr(model, name)[0] += 1
    again = pickle.loads(pickle.dumps(model))
    getattr(again, name)[0] += 1
    assert again.predict(X[:1]) != before


def test_parameters_of_predictions_count(model):
    model.predict(X[:1])
    model.set_params(equilibrium_tol=1e-2, n_jobs=1)
    assert kept_model(model) is None


def test_an_estimator_that_is_gone_keeps_nothing():
    from sk_implicit.models import fitted

    model = ImplicitReLURegressor(width=5, max_iter=2, random_state=0)
    with pytest.warns(match="Training"):
        model.fit(X, y)
    model.predict(X[:1])
    before = len(fitted._KEPT)
    del model
    assert len(fitted._KEPT) == before - 1


def test_rows_that_need_a_look_get_one():
    model = ImplicitReLURegressor(width=np.inf).fit(X, y)
    row = X[:1]
    with pytest.raises(ValueError, match="infinity"):
        model.predict(np.where(np.arange(3) == 1, np.inf, row))
    with pytest.raises(ValueError, match="2 features"):
        model.predict(row[:, :2])
    with pytest.raises(ValueError, match="minimum of 1"):
        model.predict(row[:0])
    with pytest.raises(ValueError, match="1D array"):
        model.predict(row[0])
    assert np.isfinite(model.predict(np.where(np.arange(3) == 1, np.nan, row))).all()
    np.testing.assert_allclose(model.predict(row.astype(np.float32)), model.predict(row), rtol=1e-5)
    named = ImplicitReLURegressor(width=np.inf).fit(pd.DataFrame(X, columns=list("abc")), y)
    with pytest.warns(UserWarning, match="feature names"):
        named.predict(row)
    mixed = named.predict(pd.DataFrame(row[:, ::-1], columns=list("cba"))[list("abc")])
    np.testing.assert_allclose(mixed, model.predict(row))


def test_classifiers_keep_theirs():
    model = ImplicitReLUClassifier(width=20, random_state=0).fit(X, y > 1)
    expected = model.predict_proba(X)
    np.testing.assert_allclose(model.predict_proba(X[4:6]), expected[4:6], rtol=1e-7)
    assert kept_model(model) is not None and fitted_model(model) is not kept_model(model)
