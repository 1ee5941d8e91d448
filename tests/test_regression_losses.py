"""Losses of the regressor other than the squared error: fits, scales, scores, and what is refused."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import GammaRegressor, PoissonRegressor
from sklearn.metrics import d2_pinball_score, d2_tweedie_score

from sk_implicit import ImplicitReLURegressor
from sk_implicit._estimator.regression import LOSSES
from sk_implicit.training import SOLVERS

POWER = {"poisson": 1, "gamma": 2}
ROBUST = ("absolute_error", "huber", "quantile")
NAMES = [name for name in LOSSES if name != "squared_error"]
# Few steps are taken here, and some fits follow noise.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def data(loss, n=120, seed=0):
    """Return rows and targets that a loss is made for; read-only."""
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, 3))
    mean = 3 * np.exp(0.8 * np.sin(2 * X[:, 0]) + 0.5 * X[:, 1])
    if loss in ROBUST:
        y = np.log(mean) + 0.3 * rng.standard_t(2, n)
        X.flags.writeable = y.flags.writeable = False
        return X, y
    y = rng.poisson(mean).astype(float) if loss == "poisson" else rng.gamma(4.0, mean / 4)
    X.flags.writeable = y.flags.writeable = False
    return X, y


def small(width=40, **parameters):
    return ImplicitReLURegressor(width, random_state=0, **parameters)


@pytest.mark.parametrize("loss", NAMES)
@pytest.mark.parametrize("solver", [*SOLVERS, "limit"])
def test_every_solver_explains_new_rows(loss, solver):
    X, y = data(loss, 240)
    options = {"width": np.inf} if solver == "limit" else {"solver": solver, "width": 25, "max_iter": 25}
    model = small(**options, loss=loss).fit(X[:140], y[:140])
    least = {"gd": 0.0 if loss in ROBUST else 0.1}.get(solver, 0.4)  # whose 25 steps are few
    assert model.score(X[140:], y[140:]) > least
    assert model.loss_ == min(model.loss_curve_)
    assert 0.3 < model.loo_score_ < 0.8


def of_scikit_learn(loss, y, predicted, weights):
    """Return the score of one output, by scikit-learn."""
    if loss in POWER:
        return d2_tweedie_score(y, predicted, sample_weight=weights, power=POWER[loss])
    return d2_pinball_score(y, predicted, sample_weight=weights, alpha=0.3 if loss == "quantile" else 0.5)


@pytest.mark.parametrize("loss", NAMES)
@pytest.mark.parametrize("k", [1, 2])
def test_score_is_that_of_scikit_learn(loss, k):
    X, y = data(loss)
    Y = y if k == 1 else np.column_stack([y, 10 * y[::-1]])
    weights = np.linspace(0.5, 2, len(y))
    model = small(loss=loss, quantile=0.3, max_iter=2).fit(X, Y)
    pairs = zip(np.atleast_2d(Y.T), np.atleast_2d(model.predict(X).T))
    expected = [of_scikit_learn(loss, *pair, weights) for pair in pairs]
    # by its quantiles, which are those of another convention
    assert model.score(X, Y, weights) == pytest.approx(np.mean(expected), rel=1e-9 if loss in POWER else 1e-2)
    constant = 0 * y + 2
    assert small(loss=loss).fit(X, constant).score(X, constant) == pytest.approx(1.0)


@pytest.mark.parametrize("loss, linear", [("poisson", PoissonRegressor), ("gamma", GammaRegressor)])
def test_a_large_penalty_predicts_the_mean_and_a_linear_target_its_model(loss, linear):
    X, y = data(loss)
    weights = np.linspace(0.5, 2, len(y))
    constant = small(loss=loss, alpha=1e8, relevance=None).fit(X, y, weights)
    assert_allclose(constant.predict(X), np.average(y, weights=weights), rtol=1e-4)
    rng = np.random.RandomState(1)
    mean = np.exp(0.5 * X[:, 0] - 0.3 * X[:, 2])
    y = 0.1 * rng.poisson(10 * mean) if loss == "poisson" else rng.gamma(50.0, mean / 50)
    ours, theirs = small(np.inf, loss=loss).fit(X, y).predict(X), linear(alpha=0).fit(X, y).predict(X)
    assert np.corrcoef(np.log(ours), np.log(theirs))[0, 1] > 0.97


@pytest.mark.parametrize("loss", NAMES)
@pytest.mark.parametrize("width", [30, np.inf])
def test_units_of_the_targets_are_those_of_the_predictions(loss, width):
    """To 1e-9 only: the targets' logarithms round."""
    X, y = data(loss, 60)
    model, other = (small(width, loss=loss, max_iter=3).fit(X, unit * y) for unit in (1.0, 1000.0))
    assert_allclose(other.predict(X), 1000 * model.predict(X), rtol=1e-6)
    assert_allclose(other.y_scale_, 1000 * model.y_scale_)
    assert_allclose(other.y_mean_, 1000 * model.y_mean_)


@pytest.mark.parametrize("loss", NAMES)
@pytest.mark.parametrize("width", [20, np.inf])
def test_weight_two_is_the_row_twice_and_weight_zero_none(loss, width):
    X, y = data(loss, 50)
    weights = np.random.RandomState(0).randint(0, 3, len(y)).astype(float)
    repeated = np.repeat(np.arange(len(y)), weights.astype(int))
    weighted = small(width, loss=loss, max_iter=4).fit(X, y, weights)
    copied = small(width, loss=loss, max_iter=4).fit(X[repeated], y[repeated])
    assert_allclose(weighted.predict(X), copied.predict(X), rtol=1e-6)


@pytest.mark.parametrize("loss", NAMES)
@pytest.mark.parametrize("width", [20, np.inf])
def test_sparse_rows_single_precision_and_finite_depth(loss, width):
    X, y = data(loss, 60)
    dense = small(width, loss=loss, max_iter=4, relevance=None).fit(X, y)
    sparse = small(width, loss=loss, max_iter=4, relevance=None, standardize=True).fit(csr_matrix(X), y)
    assert sparse.predict(csr_matrix(X)).shape == (60,)
    single = small(width, loss=loss, max_iter=4, relevance=None).fit(X.astype(np.float32), y)
    predicted = single.predict(X.astype(np.float32))
    assert predicted.dtype == np.float32
    assert_allclose(predicted, dense.predict(X), atol=0.03 * np.abs(y).max())
    if width != np.inf:
        assert small(width, loss=loss, depth=3, max_iter=4).fit(X, y).score(X, y) > 0.15  # few units


@pytest.mark.parametrize("loss", NAMES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_warm_starts_go_on_through_pickles_and_refuse_another_loss(loss, solver):
    X, y = data(loss, 60)
    options = {"loss": loss, "solver": solver, "warm_start": True}
    whole = small(20, **options, max_iter=4).fit(X, y)
    halves = pickle.loads(pickle.dumps(small(20, **options, max_iter=2).fit(X, y))).fit(X, y)
    assert_allclose(halves.predict(X), whole.predict(X), rtol=1e-7)
    with pytest.raises(ValueError, match=r"loss was .* and is now squared_error"):
        halves.set_params(loss="squared_error").fit(X, y)


@pytest.mark.parametrize("loss", NAMES)
def test_early_stopping_watches_the_score(loss):
    X, y = data(loss)
    model = small(loss=loss, early_stopping=True, validation_fraction=0.25, max_iter=6).fit(X, y)
    scores = model.history_["validation_score"]
    assert model.best_validation_score_ == max(scores)
    assert scores[0] == pytest.approx(0, abs=0.2) and max(scores) > 0.2  # a constant at the start


@pytest.mark.parametrize("loss", NAMES)
@pytest.mark.parametrize("clip", ["auto", True, False, (1.0, 2.0)])
@pytest.mark.filterwarnings("ignore:.* entries of X:UserWarning")
def test_predictions_far_out_are_finite_and_kept_where_asked(loss, clip):
    X, y = data(loss)
    model = small(loss=loss, clip=clip, max_iter=3).fit(X, y)
    predicted = model.predict(1e8 * X)
    assert np.isfinite(predicted).all() and (loss in ROBUST or (predicted >= 0).all())
    free = -np.inf if loss in ROBUST else 0
    low, high = {"auto": (y.min(), y.max()), True: (y.min(), y.max()), False: (free, np.inf)}.get(clip, clip)
    assert (predicted >= low).all() and (predicted <= high).all()
    if clip is False:
        assert predicted.max() > 100 * y.max()


@pytest.mark.parametrize(
    "loss, bad, said",
    [
        ("poisson", -1.0, r"loss='poisson' expects targets y >= 0; got -1 in row 7, one of 1 such rows"),
        ("gamma", 0.0, r"loss='gamma' expects targets y > 0; got 0 in row 7, .*poisson takes zeros"),
    ],
)
def test_targets_out_of_range_are_refused(loss, bad, said):
    X, y = data(loss)
    y = np.where(np.arange(len(y)) == 7, bad, y)
    with pytest.raises(ValueError, match=said):
        small(loss=loss).fit(X, y)
    model = small(loss=loss, max_iter=1).fit(X, np.abs(y) + 1)
    with pytest.raises(ValueError, match=said):
        model.score(X, y)


def test_counts_that_are_all_zero_are_refused():
    X, y = data("poisson")
    Y = np.column_stack([y, np.where(np.arange(len(y)) == 0, 3.0, 0.0)])
    weights = np.where(np.arange(len(y)) == 0, 0.0, 1.0)
    with pytest.raises(ValueError, match=r"expects a target above 0 in some row .* output 1 has none"):
        small(loss="poisson").fit(X, Y, weights)


@pytest.mark.parametrize("loss", NAMES)
def test_standard_deviations_are_refused(loss):
    X, y = data(loss)
    with pytest.raises(ValueError, match="uncertainty=True needs loss='squared_error'"):
        small(loss=loss, uncertainty=True).fit(X, y)


def test_tags_tell_of_positive_targets():
    tags = {loss: ImplicitReLURegressor(loss=loss).__sklearn_tags__().target_tags for loss in LOSSES}
    assert {loss for loss in tags if tags[loss].positive_only} == {"poisson", "gamma"}


def test_without_an_intercept_rows_of_zeros_predict_one():
    X, y = data("poisson")
    X = np.vstack([X, np.zeros(3)])
    model = small(loss="poisson", fit_intercept=False, standardize=False, relevance=None)
    model.fit(X[:-1], y)
    assert_array_equal(model.y_scale_, [1.0])
    assert model.predict(X[-1:])[0] == pytest.approx(1.0)


def test_counts_of_noise_are_warned_of():
    X, _ = data("poisson")
    y = np.random.RandomState(1).poisson(2.0, len(X)).astype(float)
    with pytest.warns(ConvergenceWarning, match="Nothing was found in the features"):
        small(np.inf, loss="poisson").fit(X, y)


@pytest.mark.parametrize("width", [60, np.inf])
def test_outliers_do_not_move_medians(width):
    X, y = data("huber")
    wild = np.where(np.arange(len(y)) % 20 == 0, y + 1e4, y)
    X_new, _ = data("huber", 300, seed=1)
    truth = np.log(3) + 0.8 * np.sin(2 * X_new[:, 0]) + 0.5 * X_new[:, 1]
    errors = {}
    for loss in ("absolute_error", "huber", "squared_error"):
        model = small(width, loss=loss).fit(X, wild)
        errors[loss] = np.abs(model.predict(X_new) - truth).mean()
    assert errors["absolute_error"] < 0.4 and errors["huber"] < 0.5 and errors["squared_error"] > 50


@pytest.mark.parametrize("width", [60, np.inf])
def test_quantiles_have_their_share_of_targets_below_them(width):
    X, _ = data("quantile", 900)
    y = X[:, 0] + np.random.RandomState(1).standard_exponential(900)
    for level in (0.2, 0.8):
        model = small(width, loss="quantile", quantile=level).fit(X[:300], y[:300])
        assert np.mean(y[300:] < model.predict(X[300:])) == pytest.approx(level, abs=0.07)


@pytest.mark.parametrize("width", [30, np.inf])
def test_several_quantiles_of_one_fit_do_not_cross(width):
    X, y = data("quantile")
    levels = [0.1, 0.5, 0.9]
    model = small(width, loss="quantile", quantile=levels, max_iter=4, warm_start=width == 30).fit(X, y)
    far = np.vstack([X, 4 * X])
    predicted = model.predict(far)
    assert predicted.shape == (240, 3) and model.n_outputs_ == 3
    assert (np.diff(predicted, axis=1) >= 0).all()
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(far), predicted)
    assert again.score(X, y) == model.score(X, y)
    pinball = [d2_pinball_score(y, predicted[:120, c], alpha=level) for c, level in enumerate(levels)]
    assert model.score(X, y) == pytest.approx(np.mean(pinball), abs=0.02)
    one = small(width, loss="quantile", quantile=[0.5], max_iter=2).fit(X, y)
    assert one.predict(X).shape == (120, 1)
    with pytest.raises(ValueError, match=r"quantile was .* and is now"):
        small(30, loss="quantile", max_iter=1, warm_start=True).fit(X, y).set_params(quantile=0.6).fit(X, y)


@pytest.mark.parametrize("quantile", [[], [0.5, 0.1], [0.1, 0.1], [0.1, 1.0], [[0.1, 0.5]], [np.nan]])
def test_quantiles_that_do_not_rise_between_0_and_1_are_refused(quantile):
    X, y = data("quantile")
    with pytest.raises(
        ValueError, match="quantile must be a number between 0 and 1, or several in rising order"
    ):
        small(loss="quantile", quantile=quantile).fit(X, y)


def test_several_quantiles_of_several_targets_are_refused():
    X, y = data("quantile")
    with pytest.raises(ValueError, match="Several quantiles are those of one target"):
        small(loss="quantile", quantile=[0.1, 0.9]).fit(X, np.column_stack([y, y]))


@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_a_number_for_alpha_still_measures_the_noise(alpha):
    X, y = data("quantile")
    for width in (60, np.inf):
        model = small(width, loss="absolute_error", alpha=alpha).fit(X, y)
        assert model.alpha_ == alpha and model.score(X, y) > 0.4
        assert not hasattr(model, "loo_score_")


def test_intervals_cover_rows_of_either_noise():
    """Of two sizes, told apart by a feature that moves nothing else."""
    rng = np.random.RandomState(3)
    X = rng.uniform(size=(2400, 4))
    quiet = X[:, 3] < 0.5
    y = 5 * np.sin(4 * X[:, 0]) + 3 * X[:, 1] + np.where(quiet, 0.5, 2.0) * rng.standard_normal(2400)
    model = small(np.inf, loss="quantile", quantile=[0.05, 0.95]).fit(X[:400], y[:400])
    low, high = model.predict(X[400:]).T
    covered = (low < y[400:]) & (y[400:] < high)
    assert abs(covered[quiet[400:]].mean() - 0.9) < 0.06
    assert abs(covered[~quiet[400:]].mean() - 0.9) < 0.06
    assert np.mean((high - low)[~quiet[400:]]) > 2 * np.mean((high - low)[quiet[400:]])
