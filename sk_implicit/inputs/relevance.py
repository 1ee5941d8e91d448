r"""What a network sees of its inputs: a scale for each feature, learnt by the limit's marginal likelihood.

Before the network is drawn, the infinitely wide network at its start stands for it: a Gaussian process
with the tangent kernel K of `sk_implicit.limit`, whose inputs are x̃ = [x ∘ e^t, b e^{t₀}]. Columns that
encode one feature (`inputs.encoding`) share their t, next to that of the feature itself. They maximise the
marginal likelihood (`inputs.likelihood`), with a prior on t (`inputs.scale_prior`) that keeps features that
the likelihood says nothing about where the user put them, and their encoded columns, whose t counts from a
fraction of the feature's own size, in the background [1]_.

Of targets that are noisy and far from normal (skewed, heavy-tailed) the likelihood is that of their normal
scores (`inputs.normal_scores`). How noisy they are is the leave-one-out error of the process that a few
iterations on a small sample learn from the targets themselves.

References
----------
.. [1] C. E. Rasmussen and C. K. I. Williams, "Gaussian processes for machine learning", MIT Press 2006,
   section 5.1 (automatic relevance determination).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import issparse

from .._numerics.blocks import sample_rows
from .._numerics.ranges import largest_magnitude, power_of_two
from ..function_space.leave_one_out import leave_one_out
from ..function_space.leaving_out import LeavingOut
from ..limit import limit_kernel
from .encoding import PiecewiseLinear, dense
from .likelihood import FAILED, Likelihood
from .normal_scores import far_from_normal, normal_scores
from .optimism import measure_optimism
from .scale_prior import ScalePrior, indicator_sizes
from .scaling import InputScaling
from .table import Table, rare_sizes
from .targets import TargetScaling


@dataclass(frozen=True, slots=True)
class RelevanceSettings:
    """What the scales are learnt from, and how long; chosen on the development tables where nothing is said.

    Attributes
    ----------
    sampled_rows : int
        Rows the likelihood is computed from: more cost n³ and change the scales little.
    dense_columns : int
        Columns beyond which a sparse table is not made dense, and the scales stay as they are.
    max_iter, least_gain : int and float
        Iterations at most, and the gain per observation that ends them: 1e-4 nats move no scale that matters.
    halved_rows, first_iter, first_gain : int, int and float
        From so many rows on, half of them tell first where to look, at an eighth of the cost, in so many
        iterations and to such a gain: then it takes about half as many on all. Mean R² of the development
        tables (500 rows) changes by .0002.
    pilot_rows, pilot_iter : int
        Rows and iterations that tell how noisy targets are.
    noisy : float
        The leave-one-out R² below which they are.
    noise, noise_bounds : float and pair of floats
        Noise variance relative to the kernel at the start, that of groups likewise, and their bounds.
    scale_bounds : pair of floats
        Bounds on u and t₀.
    encoded_share : float
        Size of a feature's encoded columns beside the feature itself, before anything is learnt.
    spread_share : float
        Weight of the spread's scales over the share of it that is foretold on rows left out, up to 1: of two
        noises, one four times the other, a quarter is.
    power_of_classes : float
        Of the factors learnt from indicators as if they were normal targets. On 24 tables of classes the
        log-loss at infinite width is .424, .424, .425, .426 and .435 for powers of 0, .25, .35, .5 and 1
        (.443 without encoded features), the accuracy .795, .800, .798, .801 and .800 (.792); at width 200
        the log-loss rises from .25 on.
    largest_gamma : float
        The limit kernel has to exist (γ < √2) and to be far enough from where it ceases to.
    """

    sampled_rows: int = 500
    dense_columns: int = 5000
    max_iter: int = 25
    least_gain: float = 1e-4
    halved_rows: int = 300
    first_iter: int = 15
    first_gain: float = 3e-4
    pilot_rows: int = 250
    pilot_iter: int = 8
    noisy: float = 0.9
    noise: float = 0.1
    noise_bounds: tuple[float, float] = (1e-6, 30.0)
    scale_bounds: tuple[float, float] = (-6.0, 4.0)
    encoded_share: float = 0.45
    spread_share: float = 4.0
    power_of_classes: float = 0.25
    largest_gamma: float = 1.2


SETTINGS = RelevanceSettings()
_INDEPENDENT = ScalePrior()


def choose_inputs(
    X, Y: np.ndarray, weights: np.ndarray, *, gamma: float, bias: bool, relevance: str | None,
    balanced: bool = False, left_out: LeavingOut | None = None, standardize: bool = False,
    categorical: np.ndarray | None = None, spread: bool = False, classes: bool = False,
) -> InputScaling:  # fmt: skip
    """Return what the network is to see of X.

    Parameters
    ----------
    X : (n, d) array or CSR array
        Inputs.
    Y : (n, k) array
        Targets.
    weights : (n,) array
        Positive sample weights.
    gamma : float
        Scale γ of the network.
    bias : bool
        Whether the inputs get a constant column, and the targets are centred.
    relevance : {"auto", "linear"} or None
        Whether features are encoded and scales learnt, only scales are learnt, or none of both.
    balanced : bool, default=False
        Whether the constant column, where nothing is learnt, is as large as what varies of the features,
        instead of 1.
    left_out : LeavingOut or None
        What leave-one-out would take away at a time, None for every row by itself.
    standardize, categorical
        As in `Table.of`.
    spread : bool, default=False
        Whether the network is to follow how far targets spread, too: see `following_spread`.
    classes : bool, default=False
        Whether targets are indicators of classes, of which the likelihood believes too much: of what was
        learnt a power is taken (`RelevanceSettings.power_of_classes`), and features that are mostly alike
        start smaller, whatever their values.
    """
    if left_out is not None and left_out.counted is not None:
        rows = left_out.measured()
        X, Y, weights, left_out = X[rows], Y[rows], weights[rows], left_out[rows]
    d = X.shape[1]
    table = Table.of(X, weights, standardize=standardize, categorical=categorical)
    X = table.apply(X)
    if relevance is None or X.shape[1] > SETTINGS.dense_columns:
        sizes = rare_sizes(X, weights) if standardize else None
        return InputScaling.unlearnt(X, weights, bias=bias, balanced=balanced, columns=sizes, table=table)
    encoding = PiecewiseLinear.of(X, weights, d, left_out) if relevance == "auto" else None
    rows = sample_rows(len(weights), SETTINGS.sampled_rows)
    features, weights_of_sample = dense(X[rows]).astype(np.float64), weights[rows]
    sample, encoded = features, np.arange(0)
    groups = table.column_features
    columns = indicator_sizes(features, weights_of_sample, _varies(X))
    if classes and standardize:
        columns = np.minimum(columns, rare_sizes(X, weights))
    columns[d:] = 1.0  # have their size
    if encoding is not None:
        sample, encoded = np.hstack([features, encoding.apply(features)]), np.unique(encoding.feature)
        groups = np.append(groups, d + encoding.feature)
        columns = np.append(columns, SETTINGS.encoded_share * encoding.size)
    if spread:
        Y = np.unique(Y, axis=1)  # one target stands for all of its quantiles
    Y = TargetScaling.of(Y, weights, centre=bias).apply(Y, np.float64)[rows]
    sample = sample * columns
    options: dict[str, Any] = {
        "gamma": gamma,
        "bias": bias,
        "left_out": None if left_out is None else left_out[rows],
        "prior": ScalePrior.of(features[:, :d], weights_of_sample, encoded),
    }
    Y = likelihood_targets(sample, Y, weights_of_sample, groups, **options)
    most = most_likely(sample, Y, weights_of_sample, groups, **options)
    if most is None:
        factors, bias_factor, optimism = np.ones(len(groups)), float(bias), None
    else:
        factors, bias_factor = most.factors(bias)
        optimism = measure_optimism(*most)
        optimism = optimism.of_share(float(weights_of_sample.sum() / weights.sum()))
    if classes:
        power = SETTINGS.power_of_classes
        factors, bias_factor = factors**power, bias_factor**power if bias else 0.0
        optimism = None if optimism is None else optimism.of_share(power**2)
    if spread:
        learnt = factors, bias_factor
        factors, bias_factor = following_spread(learnt, sample, Y, weights_of_sample, groups, **options)
    return InputScaling.of(
        X, weights, columns=columns * factors, bias=bias_factor, encoding=encoding, table=table,
        optimism=optimism,
    )  # fmt: skip


def _varies(X) -> np.ndarray:
    """Return which columns of X, an array or a CSR array, are not constant, (d,)."""
    low, high = X.min(axis=0), X.max(axis=0)
    if issparse(X):
        low, high = low.toarray(), high.toarray()
    return np.ravel(low < high)


def likelihood_targets(
    X: np.ndarray, Y: np.ndarray, weights: np.ndarray, groups: np.ndarray, *, gamma: float, bias: bool,
    left_out: LeavingOut | None = None, prior: ScalePrior = _INDEPENDENT,
) -> np.ndarray:  # fmt: skip
    """Return what the scales are learnt from, (n, k): targets, or scores of noisy ones far from normal.

    Parameters
    ----------
    X, Y, weights, groups, gamma, bias, left_out, prior
        As in `learn_relevance`.
    """
    if not bias:  # targets are not centred then, as scores are
        return Y
    scores = normal_scores(Y, weights)
    candidates = far_from_normal(Y, scores, weights)
    if not candidates.any():
        return Y
    rows = sample_rows(len(Y), SETTINGS.pilot_rows)
    left_out = None if left_out is None else left_out[rows]
    X, pilot, weights = X[rows], Y[rows] - np.average(Y[rows], axis=0, weights=weights[rows]), weights[rows]
    columns, constant = learn_relevance(
        X, pilot, weights, groups, gamma=gamma, bias=bias, left_out=left_out, prior=prior,
        max_iter=SETTINGS.pilot_iter,
    )  # fmt: skip
    X = np.hstack([X * columns, np.full((len(X), 1), constant)])
    X /= power_of_two(largest_magnitude(X))  # products of rows stay in range; the factor says nothing
    K = limit_kernel(X, gamma=min(gamma, SETTINGS.largest_gamma))
    residual = leave_one_out(K, pilot, weights, left_out).residual
    noisy = weights @ residual**2 > (1 - SETTINGS.noisy) * (weights @ pilot**2)
    return np.where(candidates & noisy, scores, Y)


def following_spread(
    learnt: tuple[np.ndarray, float], X: np.ndarray, Y: np.ndarray, weights: np.ndarray, groups: np.ndarray,
    *, gamma: float, bias: bool, left_out: LeavingOut | None, prior: ScalePrior,
) -> tuple[np.ndarray, float]:  # fmt: skip
    """Return factors that let the network see what moves the targets, and what their spread about it.

    The spread has scales of its own: those learnt from the normal scores of the residuals' magnitudes when
    rows are left out. Squares of both, each of the same size, are added, those of the spread by how well it
    is foretold on rows left out.

    Parameters
    ----------
    learnt : pair of (p,) array and float
        The factors that were learnt from the targets.
    X, Y, weights, groups, gamma, bias, left_out, prior
        As in `learn_relevance`.
    """
    options: dict[str, Any] = {"gamma": gamma, "bias": bias, "left_out": left_out, "prior": prior}

    def residual(factors: tuple[np.ndarray, float], Y: np.ndarray) -> np.ndarray:
        """Return what rows left out leave of targets."""
        inputs = np.hstack([X * factors[0], np.full((len(X), 1), factors[1])])
        inputs /= power_of_two(largest_magnitude(inputs) or 1.0)
        K = limit_kernel(inputs, gamma=min(gamma, SETTINGS.largest_gamma))
        return leave_one_out(K, Y, weights, left_out).residual

    centred = Y - np.average(Y, axis=0, weights=weights)
    scores = normal_scores(np.abs(residual(learnt, centred)), weights)
    if not scores.any():
        return learnt
    of_spread = learn_relevance(X, scores, weights, groups, **options, at_once=True)
    left = np.sum(weights @ residual(of_spread, scores) ** 2) / np.sum(weights @ scores**2)
    share = float(np.clip(SETTINGS.spread_share * (1 - left), 0, 1))
    squares = [np.append(*factors) ** 2 for factors in (learnt, of_spread)]
    first, second = (square * (weights @ (X**2 @ square[:-1])) ** -1 for square in squares)
    both = np.sqrt(first + share * second)
    return both[:-1], float(both[-1])


class Learnt(NamedTuple):
    """The likelihood of scales, and the parameters that it is maximised by."""

    likelihood: Likelihood
    parameters: np.ndarray

    def factors(self, bias: bool) -> tuple[np.ndarray, float]:
        """Return the factors of the columns, and that of the constant one, 0 for none."""
        columns = np.exp(self.likelihood.log_scales(self.parameters))[self.likelihood.groups]
        return (columns[:-1], float(columns[-1])) if bias else (columns, 0.0)


def learn_relevance(
    X: np.ndarray, Y: np.ndarray, weights: np.ndarray, groups: np.ndarray, *, bias: bool, **options
) -> tuple[np.ndarray, float]:
    """Learn one factor per group of columns.

    Parameters
    ----------
    X, Y, weights, groups, bias, **options
        As in `most_likely`.

    Returns
    -------
    columns : (p,) array
        Their factors. All ones where there is nothing to learn from.
    bias : float
        That of the constant column, 0 for none.
    """
    learnt = most_likely(X, Y, weights, groups, bias=bias, **options)
    return (np.ones(X.shape[1]), float(bias)) if learnt is None else learnt.factors(bias)


def most_likely(
    X: np.ndarray, Y: np.ndarray, weights: np.ndarray, groups: np.ndarray, *, gamma: float, bias: bool,
    left_out: LeavingOut | None = None, prior: ScalePrior = _INDEPENDENT, max_iter: int = SETTINGS.max_iter,
    at_once: bool = False,
) -> Learnt | None:  # fmt: skip
    """Maximise the likelihood of one scale per group of columns.

    Parameters
    ----------
    X : (n, p) float64 array
        Inputs.
    Y : (n, k) array
        Centred and scaled targets; the outputs share the factors.
    weights : (n,) array
        Positive sample weights.
    groups : (p,) int array
        Columns of equal number share a factor.
    gamma : float
        Scale γ of the network.
    bias : bool
        Whether the inputs get a constant column.
    left_out : LeavingOut or None
        As in `choose_inputs`.
    prior : ScalePrior
        That of the groups' log scales, in the order of their numbers; independent by default.
    max_iter : int
        Iterations at most.
    at_once : bool
        Whether to look at all rows from the first: what is next to noise in half of them misleads.

    Returns
    -------
    learnt : Learnt or None
        None where there is nothing to learn from: constant targets, or kernels that are singular to rounding.
    """
    Y = Y[:, np.any(Y, axis=0)].astype(np.float64)  # a constant target says nothing
    largest = max(largest_magnitude(X), float(bias))
    if not (np.any(X) and np.any(Y)):
        return None
    left_out = LeavingOut(weights) if left_out is None else left_out
    unit = left_out.observations(weights) / float(weights.sum())
    weights, left_out = weights * unit, replace(left_out, weights=left_out.weights * unit)
    groups = np.unique(groups, return_inverse=True)[1]
    n_groups = int(groups.max()) + 1
    if bias:
        X = np.hstack([X, np.ones((len(X), 1))])
        groups = np.append(groups, n_groups)
    X = X / (np.sqrt(np.average(np.sum((X / largest) ** 2, axis=1), weights=weights)) * largest)
    likelihood = Likelihood(
        X, Y, weights, groups, min(gamma, SETTINGS.largest_gamma), prior, n_groups, left_out
    )
    n_scales, noises = n_groups + bias, likelihood.n_noises
    bounds = [SETTINGS.scale_bounds] * n_scales + [tuple(np.log(SETTINGS.noise_bounds))] * noises
    start = np.append(np.zeros(n_scales), np.full(noises, np.log(SETTINGS.noise * likelihood.unit_diagonal)))
    if len(Y) >= SETTINGS.halved_rows and not at_once:
        half = likelihood.of_rows(sample_rows(len(Y), len(Y) // 2))
        if half.Y.any():
            near = _minimised(half, start, bounds, SETTINGS.first_iter, SETTINGS.first_gain)
            start = start if near is None else near
    found = _minimised(likelihood, start, bounds, max_iter, SETTINGS.least_gain)
    return None if found is None else Learnt(likelihood, found)


def _minimised(
    likelihood: Likelihood, start: np.ndarray, bounds: list, max_iter: int, gain: float
) -> np.ndarray | None:
    """Return the most likely parameters that are found, None where there are none."""
    options = {"maxiter": max_iter, "maxfun": 2 * max_iter, "ftol": gain}
    found = minimize(likelihood, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return found.x if np.isfinite(found.fun) and found.fun < FAILED else None
