"""Displays: what they hold, what they draw, and how they share axes."""

import sys
import warnings

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit.display import ConvergenceDisplay, SpectrumDisplay, WidthDisplay
from sk_implicit.display.width import WidthCurves
from sk_implicit.limit import limit_kernel
from sk_implicit.theory import convergence_certificate, network_inputs, tangent_kernel

rng = np.random.RandomState(0)
X = rng.standard_normal((15, 4))
Y = np.sin(X[:, 0]) + X[:, 1]


def estimator(width=40, **params):
    defaults = {"solver": "gd", "alpha": 0, "tol": 0, "max_iter": 50, "equilibrium_tol": 1e-8}
    return ImplicitReLURegressor(width, **(defaults | {"relevance": None, "random_state": 0} | params))


@pytest.fixture(scope="module")
def model():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator().fit(X, Y)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_convergence_shows_the_curve_above_nothing_it_is_certified_below(model):
    display = ConvergenceDisplay.from_estimator(model, X, Y)
    certificate = convergence_certificate(model, X, Y)
    assert display.certified_rate == pytest.approx(certificate.certified_rate)
    steps, errors = display.line_.get_data()
    np.testing.assert_array_equal(steps, np.arange(51))
    np.testing.assert_allclose(errors, model.history_["squared_error"])
    guaranteed = display.certified_line_.get_ydata()
    assert (errors <= guaranteed * (1 + 1e-9)).all()
    np.testing.assert_allclose(np.diff(np.log(guaranteed)), -certificate.certified_rate)
    assert display.ax_.get_yscale() == "log"
    assert display.ax_.get_xlabel() and display.ax_.get_ylabel()
    assert labels(display.ax_) == ["gd, m = 40", "certified for gradient descent"]


def test_several_curves_share_axes_in_different_colours(model):
    figure, ax = plt.subplots()
    certificate = convergence_certificate(model, X, Y)
    drawn = [
        ConvergenceDisplay.from_estimator(model, X, Y, name=name, ax=ax, certificate=certificate)
        for name in ("first", "second", "third")
    ]
    assert all(display.ax_ is ax and display.figure_ is figure for display in drawn)
    assert len({display.line_.get_color() for display in drawn}) == 3
    assert labels(ax) == ["first", "second", "third", "certified for gradient descent"]
    assert [display.certified_line_.get_color() for display in drawn] == [d.line_.get_color() for d in drawn]
    display = drawn[0]
    assert display.plot() is display and display.ax_ is not ax


def test_convergence_without_a_rate_draws_no_line():
    display = ConvergenceDisplay(np.array([1.0, 0.1, 0.0]), certified_rate=0.0).plot()
    assert display.certified_line_ is None
    np.testing.assert_array_equal(display.line_.get_xdata(), [0, 1])  # 0 has no logarithm
    assert ConvergenceDisplay([1.0, 0.5], name="a").plot(name="b", color="k").line_.get_color() == "k"


def test_convergence_without_rows_draws_the_observed_curve_alone(model):
    display = ConvergenceDisplay.from_estimator(model)
    np.testing.assert_allclose(display.line_.get_ydata(), model.history_["squared_error"])
    assert display.certified_line_ is None and display.certificate is None
    assert labels(display.ax_) == ["gd, m = 40"]
    assert display.ax_.get_ylabel() == "squared error / variance of y"
    certificate = convergence_certificate(model, X, Y)
    drawn = ConvergenceDisplay.from_estimator(model, certificate=certificate)
    assert drawn.certified_line_ is not None
    with pytest.raises(NotFittedError):
        ConvergenceDisplay.from_estimator(estimator())
    with pytest.raises(AttributeError, match=r"has no history_, for .* width=inf"):
        ConvergenceDisplay.from_estimator(estimator(np.inf).fit(X, Y))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_convergence_without_rows_knows_probabilities():
    model = ImplicitReLUClassifier(20, alpha=0.01, max_iter=2, random_state=0).fit(X, Y > 0)
    assert "probabilities" in ConvergenceDisplay.from_estimator(model).ax_.get_ylabel()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_pipelines_are_drawn_as_their_last_step_on_transformed_rows():
    raw = 3 * X + 7
    pipeline = make_pipeline(StandardScaler(), estimator()).fit(raw, Y)
    last, scaled = pipeline[-1], pipeline[:-1].transform(raw)
    ours, theirs = (ConvergenceDisplay.from_estimator(*a) for a in ((pipeline, raw, Y), (last, scaled, Y)))
    assert ours.certified_rate == theirs.certified_rate > 0 and ours.certificate.reproduced
    np.testing.assert_array_equal(ours.line_.get_ydata(), theirs.line_.get_ydata())
    assert ConvergenceDisplay.from_estimator(pipeline).name == "gd, m = 40"
    ours, theirs = (SpectrumDisplay.from_estimator(*a) for a in ((pipeline, raw), (last, scaled)))
    np.testing.assert_array_equal(ours.end, theirs.end)
    shown = {"widths": (10, 20), "random_states": (0,)}
    unfitted = make_pipeline(StandardScaler(), estimator(max_iter=3))
    ours = WidthDisplay.from_estimator(unfitted, raw, Y, X_test=raw[:4], y_test=Y[:4], **shown).curves
    theirs = WidthDisplay.from_estimator(
        estimator(max_iter=3), scaled, Y, X_test=scaled[:4], y_test=Y[:4], **shown
    ).curves
    np.testing.assert_array_equal(ours.test_loss, theirs.test_loss)
    np.testing.assert_array_equal(ours.norm_end, theirs.norm_end)
    assert not hasattr(unfitted[-1], "width_") and unfitted[-1].width == 40
    with pytest.raises(TypeError, match="a Pipeline that ends in StandardScaler"):
        WidthDisplay.from_estimator(make_pipeline(StandardScaler()), raw, Y)


def test_spectrum_holds_the_eigenvalues(model):
    display = SpectrumDisplay.from_estimator(model, X)
    expected = np.linalg.eigvalsh(tangent_kernel(model, X))[::-1]
    np.testing.assert_allclose(display.end, expected, rtol=1e-6)
    limit = np.linalg.eigvalsh(limit_kernel(network_inputs(model, X), gamma=0.4))[::-1]
    np.testing.assert_allclose(display.limit, limit, rtol=1e-6)
    certificate = convergence_certificate(model, X, Y)
    assert display.extremes["start"] == pytest.approx(tuple(certificate.start), rel=1e-4)
    assert labels(display.ax_) == ["m = 40: start", "m = 40: end", "limit m → ∞"]
    again = SpectrumDisplay(display.start, display.end, display.limit, name="other").plot(display.ax_)
    assert labels(again.ax_)[-1] == "limit m → ∞" and labels(again.ax_).count("limit m → ∞") == 1
    assert len(again.lines_) == 2
    assert SpectrumDisplay(display.start, display.end).plot().extremes.keys() == {"start", "end"}


def test_width_fits_every_width_and_seed():
    display = WidthDisplay.from_estimator(
        estimator(max_iter=5), X, Y, widths=(10, 20), random_states=(0, 1), X_test=X[:5], y_test=Y[:5]
    )
    curves = display.curves
    assert curves.train_loss.shape == curves.rate.shape == (2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        single = estimator(20, max_iter=5, random_state=1).fit(X, Y)
    assert curves.train_loss[1, 1] == pytest.approx(np.mean((Y - single.predict(X)) ** 2))
    assert curves.test_loss[1, 1] == pytest.approx(np.mean((Y[:5] - single.predict(X[:5])) ** 2))
    norm = np.linalg.norm(single.A_, 2) / np.sqrt(20)
    assert curves.norm_end[1, 1] == pytest.approx(norm, rel=1e-3)
    norm = np.linalg.norm(single.A_init_, 2) / np.sqrt(20)
    assert curves.norm_start[1, 1] == pytest.approx(norm, rel=1e-3)
    losses, rates, norms = display.axes_
    assert labels(losses) == ["train", "test"] and labels(norms) == ["end", "start"]
    assert rates.get_legend() is None  # one curve, one meaning
    assert [tick.get_text() for tick in losses.get_xticklabels()] == ["10", "20"]
    assert display.plot(display.axes_, name="again") is display
    assert len(labels(display.axes_[0])) == 4
    for ax in display.axes_:  # one colour for each of the two, in every panel
        colours = [line.get_color() for line in ax.get_lines()]
        assert len(set(colours)) == 2 and colours[: len(colours) // 2] == [colours[0]] * (len(colours) // 2)


@pytest.mark.parametrize(("factor", "scale"), [(3, "linear"), (300, "log")])
def test_losses_are_on_a_logarithmic_axis_where_they_span_decades(factor, scale):
    ones = np.ones((2, 1))
    loss = np.array([[1.0], [factor]])
    display = WidthDisplay([10, 20], WidthCurves(loss, np.nan * ones, ones, ones, ones)).plot()
    assert display.axes_[0].get_yscale() == scale


def test_width_without_test_rows_has_no_test_curve():
    display = WidthDisplay.from_estimator(estimator(max_iter=3), X, Y, widths=(10,), random_states=(0,))
    assert np.isnan(display.curves.test_loss).all() and labels(display.axes_[0]) == ["train"]
    with pytest.raises(ValueError, match="3 axes"):
        display.plot(plt.subplots()[1])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_classifiers_are_drawn_by_their_log_loss():
    labels = np.array(["low", "middle", "high"])[np.digitize(Y, [-0.5, 0.5])]
    model = ImplicitReLUClassifier(20, alpha=0.01, max_iter=5, random_state=0)
    display = WidthDisplay.from_estimator(
        model, X, labels, widths=(10, 20), random_states=(0,), X_test=X[:3], y_test=labels[:3]
    )
    model.fit(X, labels)
    expected = log_loss(labels, model.predict_proba(X), labels=model.classes_)
    assert display.curves.train_loss[1, 0] == pytest.approx(expected)
    assert np.isfinite(display.curves.test_loss).all()
    assert display.axes_[0].get_ylabel() == "log-loss"
    assert "probabilities" in ConvergenceDisplay.from_estimator(model, X, labels).ax_.get_ylabel()
    assert len(SpectrumDisplay.from_estimator(model, X).start) == len(X)


def test_drawing_without_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="pip install"):
        ConvergenceDisplay([1.0, 0.5]).plot()
