"""The public interface under arbitrary input: documented exceptions only, and predictions that are finite."""

import subprocess
import sys
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from sk_implicit import ImplicitReLUClassifier, ImplicitReLUKernel, ImplicitReLURegressor
from sk_implicit.equilibrium import solve
from sk_implicit.limit import limit_kernel
from sk_implicit.theory import limit_gram, recommend_width, well_posedness

# What the documentation names: values that are wrong, types that are wrong, networks that are too large.
DOCUMENTED = (ValueError, TypeError, MemoryError, NotFittedError)

budget = settings(max_examples=25)
shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=7)
dtypes = st.sampled_from(
    [
        "float64",
        "float32",
        "float16",
        "int64",
        "uint8",
        "bool",
        "complex128",
        "longdouble",
        ">f8",
        "<U3",
        "object",
    ]
)
sizes = st.sampled_from([0.0, 1e-320, 1e-160, 1e-30, 1.0, 1e30, 1e160, 1e307])
layouts = st.sampled_from(
    ["C", "F", "reversed", "every other", "read-only", "memory-mapped", "list", "csr", "coo"]
)


def laid_out(array, layout):
    """Return equal values in another layout."""
    if array.ndim == 0:
        return array
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "reversed":
        return array[::-1].copy()[::-1]
    if layout == "every other":
        return np.repeat(array, 2, axis=-1)[..., ::2]
    if layout == "read-only":
        array = array.copy()
        array.flags.writeable = False
        return array
    if layout == "memory-mapped" and array.size and array.dtype != object:
        with tempfile.NamedTemporaryFile(suffix=".npy") as file:
            np.save(file.name, array)
            return np.load(file.name, mmap_mode="r")
    if layout == "list":
        return array.tolist()
    if (
        layout in ("csr", "coo")
        and array.ndim == 2
        and array.dtype.kind in "biuf"
        and array.dtype != np.float16
    ):
        if array.dtype.itemsize > 8 or not array.dtype.isnative:
            return array
        return {"csr": sparse.csr_array, "coo": sparse.coo_array}[layout](array)
    return array


@st.composite
def arrays(draw, shape=shapes):
    """Draw arrays of any dtype, size and layout, now and then with entries that are not finite."""
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    dtype = draw(dtypes)
    rng = np.random.RandomState(draw(st.integers(0, 1000)))
    values = np.asarray(rng.standard_normal(shape) * draw(sizes))
    if draw(st.integers(0, 9)) == 0 and values.size:
        values.flat[rng.randint(values.size)] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = values.astype(dtype)
    return laid_out(values, draw(layouts))


@contextmanager
def warnings_of_this_package():
    """Let nothing of this package warn, of overflow say; what scikit-learn says of odd input is its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", module="sk_implicit")
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def fits(make, X, y, *weights) -> bool:
    """Fit and predict; False if the input was refused in a documented way."""
    try:
        with warnings_of_this_package():
            model = make().fit(X, y, *weights)
            predicted = model.predict(X)
    except DOCUMENTED as error:
        assert str(error)
        return False
    assert len(predicted) == len(y)
    if isinstance(model, ImplicitReLURegressor):
        assert np.isfinite(predicted).all()
    else:
        assert np.isfinite(model.predict_proba(X)).all()
        assert set(predicted.tolist()) <= set(model.classes_.tolist())
    return True


@pytest.mark.parametrize("value", ["inf", "nan", "1e4000"])
def test_targets_in_extended_precision(value):
    y = np.array([0, 1, 2, value], dtype=np.longdouble)
    with pytest.raises(ValueError, match=r"Input y contains (NaN|infinity)"):
        regressor().fit(np.eye(4), y)


def regressor(**options):
    return ImplicitReLURegressor(**{"width": 5, "max_iter": 3, "random_state": 0} | options)


def classifier(**options):
    return ImplicitReLUClassifier(**{"width": 5, "max_iter": 3, "random_state": 0} | options)


@budget
@given(arrays(), arrays(), st.sampled_from([regressor, classifier]))
def test_any_arrays(X, y, make):
    fits(make, X, y)


@budget
@given(arrays((6, 3)), arrays(st.sampled_from([(6,), (6, 1), (6, 2)])), st.sampled_from([5, np.inf]))
def test_arrays_of_shapes_that_fit(X, y, width):
    fits(lambda: regressor(width=width), X, y)


@budget
@given(arrays((6, 3)), st.sampled_from(["log_loss", "squared_error"]), st.sampled_from([5, np.inf]))
def test_classes_of_any_kind(X, loss, width):
    for y in (list("abaabb"), [0, 1, 2, 0, 1, 2], [True, False] * 3, [1e300, -1e300] * 3, [None, "a"] * 3):
        fits(lambda: classifier(width=width, loss=loss), X, y)


@budget
@given(arrays(st.sampled_from([(6,), (6, 1), (5,), ()])))
def test_any_weights(weights):
    X = np.arange(18.0).reshape(6, 3) % 5
    fits(regressor, X, X[:, 0], weights)
    fits(classifier, X, [0, 1] * 3, weights)


@budget
@given(arrays(st.tuples(st.integers(0, 9), st.integers(2, 4))))
def test_any_rows_to_predict(rows):
    X = np.random.RandomState(0).standard_normal((12, 3))
    for model in MODELS:
        try:
            with warnings_of_this_package():
                found = model.predict(rows)
        except DOCUMENTED as error:
            assert str(error)
        else:
            assert found.shape == (rows.shape[0] if hasattr(rows, "shape") else len(rows),)
            assert np.isfinite(found).all()
        assert_array_equal(model.predict(X), EXPECTED[MODELS.index(model)])


X12 = np.random.RandomState(0).standard_normal((12, 3))
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    MODELS = [regressor(width=width).fit(X12, X12[:, 0]) for width in (5, np.inf)]
    MODELS.append(classifier().fit(X12, X12[:, 0] > 0))
EXPECTED = [model.predict(X12) for model in MODELS]


values = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 10), st.floats(), st.text(max_size=3), st.complex_numbers(),
    st.sampled_from(
        [[], {}, (1,), np.float32(0.3), np.int64(5), np.array(3), np.array([1, 2]), 1e-300, 1e300, 2**70,
         "auto", "loo", "lm", "gd", object, np.random.default_rng(0), b"lm"]
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("width", "error", "said"),
    [(10**300, MemoryError, "Use a smaller width"), (1e300, ValueError, r"1\.2e\+301 units\. .* numpy\.inf")],
)
def test_width_beyond_all_numbers(width, error, said):
    with pytest.raises(error, match=said):
        regressor(width=width).fit(X12, X12[:, 0])


def test_penalty_beyond_all_numbers():
    model = regressor(alpha=1e200).fit(X12, X12[:, 0])
    assert_allclose(model.predict(X12), X12[:, 0].mean(), atol=1e-9)


@settings(max_examples=100)
@given(st.data())
def test_any_parameters(data):
    """One parameter out of all is anything at all; `max_iter` stays small, as a long fit is no error."""
    make = data.draw(st.sampled_from([regressor, classifier]))
    name = data.draw(st.sampled_from(sorted(set(make().get_params()) - {"verbose"})))
    value = data.draw(values)
    if name in ("max_iter", "n_jobs") and isinstance(value, int) and value > 100:
        value = 100
    y = X12[:, 0] if make is regressor else X12[:, 0] > 0
    fits(lambda: make(**{name: value}), X12, y)


@budget
@given(
    arrays(st.sampled_from([(3, 3), (3, 2), (3,), (0, 0)])),
    arrays(st.sampled_from([(4, 3), (0, 3), (3,)])),
    st.floats(),
)
def test_functions_below_the_estimators(A, Phi, gamma):
    for call in (
        lambda: solve(A, Phi, gamma=gamma, tol=1e-6, max_iter=50).solution,
        lambda: well_posedness(A, gamma),
        lambda: limit_gram(Phi),
        lambda: limit_kernel(Phi, A, gamma=gamma),
        lambda: recommend_width(Phi),
        lambda: ImplicitReLUKernel(gamma=gamma)(Phi),
    ):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                call()
            except DOCUMENTED as error:
                assert str(error)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_rows_whose_squares_overflow(kind):
    rows = np.array([[3.0, 4.0, 0.0], [1.0, 2.0, 3.0]])
    K = limit_kernel(kind(rows * [[1e200], [1.0]]), kind(rows), gamma=0.4)
    assert_allclose(K, [[1e200], [1.0]] * limit_kernel(rows, rows, gamma=0.4), rtol=1e-14)


SAVE = """
import os, sys, joblib, numpy as np
{recipe}
class Model(dict):  # tells when half of it is written, and then takes its time
    def __getstate__(self):
        print("writing", flush=True)
        sys.stdin.read()
model = joblib.load("model.joblib")
save([np.zeros(10**6), model, Model()], "model.joblib")
"""


def test_old_file_survives_a_process_killed_while_it_saves(tmp_path):
    """With the recipe of the documentation, taken from there."""
    page = Path(__file__).parent.parent / "docs" / "user_guide" / "saving.rst"
    if not page.is_file():
        pytest.skip("the source distribution holds no documentation")
    import joblib

    lines = page.read_text(encoding="utf-8").splitlines()
    first = lines.index(">>> def save(model, path):")
    length = next(i for i, line in enumerate(lines[first + 1 :]) if not line.startswith("..."))
    recipe = "\n".join(line[4:] for line in lines[first : first + 1 + length])
    joblib.dump(MODELS[0], tmp_path / "model.joblib")
    with subprocess.Popen(
        [sys.executable, "-c", SAVE.format(recipe=recipe)],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "writing\n"
        assert (tmp_path / "model.joblib.new").stat().st_size > 0
        process.kill()
    assert process.returncode < 0
    assert_array_equal(joblib.load(tmp_path / "model.joblib").predict(X12), EXPECTED[0])
