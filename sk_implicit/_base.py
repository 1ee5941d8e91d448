"""What the estimators share: their parameters, the story of ``fit``, and their form in pickles."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, Options, RealNotInt, StrOptions

from ._estimator.callbacks import CallbackSupport, FitWatch
from ._estimator.saving import from_plain, to_plain
from ._estimator.validate import drop_weightless
from ._estimator.warn import warn
from ._finite_width import FiniteWidth
from ._numerics.blas import one_pool
from ._version import __version__
from .equilibrium import solver_names
from .function_space.losses import Loss, SquaredError
from .inputs.relevance import choose_inputs
from .inputs.rows import DistinctRows, distinct_rows
from .inputs.scaling import InputScaling
from .inputs.targets import TargetScaling
from .network import INITS, OUTPUT_INITS
from .training import SOLVERS

# Attributes that hold records or sparse arrays, which are saved as plain values.
_RECORDS = ("_training", "_posterior", "_inputs", "X_fit_")
# Where the HTML representation links to.
_DOCUMENTATION = "https://sk-implicit.readthedocs.io/en/stable"


class BaseImplicitReLU(FiniteWidth, CallbackSupport, BaseEstimator):
    """Base of the estimators: parameters and the story of ``fit``."""

    _parameter_constraints: dict[str, list] = {
        "width": [
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, None, closed="right"),
        ],
        "gamma": [Interval(Real, 0, None, closed="neither")],
        "depth": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "fit_intercept": ["boolean"],
        "solver": [StrOptions(set(SOLVERS))],
        "relevance": [StrOptions({"auto", "linear"}), None],
        "alpha": [Interval(Real, 0, None, closed="left"), StrOptions({"loo"})],
        "init": [StrOptions(set(INITS))],
        "output_init": [StrOptions(set(OUTPUT_INITS))],
        "equilibrium_solver": [str],
        "equilibrium_tol": [Interval(Real, 0, 1, closed="neither"), StrOptions({"auto"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [
            Interval(Integral, None, -1, closed="right"),
            Interval(Integral, 1, None, closed="left"),
            None,
        ],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    # Whether the constant input is as large as the features together, instead of 1 (`choose_inputs`).
    _balanced_bias = False

    _doc_link_module = "sk_implicit"
    _doc_link_template = _DOCUMENTATION + "/generated/sk_implicit.{estimator_name}.html"

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # ------------------------------------------------------------------ fit

    def _watch(self, X, y, sample_weight) -> FitWatch:
        """Tell the callbacks that ``fit`` begins, with its arguments as they were given."""
        return FitWatch(self, X, y, sample_weight, max_steps=0 if self._at_infinity else self.max_iter)

    @one_pool()
    def _fit_network(self, X, Y, weights, counts, scores, watch):
        """Train on validated rows.

        Parameters
        ----------
        X : (n, d) array or CSR array
            Inputs.
        Y : (n, k) float array
            Targets on the user's scale.
        weights : (n,) array
            Sample weights; rows of weight 0 are dropped here.
        counts : (n,) array
            Those of them that may be counts of equal rows (see `left_out_weights`).
        scores : callable
            ``scores(Y, prediction, weights)``, the validation score for early stopping.
        watch : FitWatch
            Told of every step, and of the end.
        """
        if self.equilibrium_solver not in solver_names():  # asked now, for they may be registered later
            raise ValueError(
                f"The 'equilibrium_solver' parameter of {type(self).__name__} must be one of "
                f"{solver_names()}. Got {self.equilibrium_solver!r} instead."
            )
        rows = distinct_rows(*drop_weightless(X, Y, weights, counts))
        self._forget()
        if self._at_infinity:
            self._fit_limit(rows)
            if self.verbose:
                self._print_line(1, self.loss_, "closed form")
        else:
            self._fit_finite(rows, scores, watch)
        watch.ends_fit()

    def _choose_inputs(self, rows: DistinctRows) -> InputScaling:
        """Return what the network is to see of X."""
        return choose_inputs(
            rows.X, rows.Y, rows.weights, gamma=self.gamma, bias=self.fit_intercept,
            relevance=self.relevance, balanced=self._balanced_bias, left_out=rows.left_out,
        )  # fmt: skip

    def _set_scaling(self, inputs: InputScaling, target):
        """Store the scaling of inputs and targets."""
        self._inputs = inputs
        self.input_scale_, self.bias_ = inputs.scale, inputs.bias
        self.knots_, self.encoded_mean_ = inputs.knots(), inputs.encoded_mean()
        if inputs.relevance is not None:
            self.relevance_ = inputs.relevance
        self.y_mean_, self.y_scale_ = target.mean, target.scale

    def _target_scaling(self, Y, weights):
        """Return what takes targets to the network's scale, and predictions back."""
        return TargetScaling.of(Y, weights, centre=self.fit_intercept)

    def _set_limits(self, X, Y, penalty) -> None:
        """Store how far beyond the training rows predictions go."""

    def _loss(self, target) -> Loss:
        """Return the loss that training minimises, given the scaling of the targets."""
        return SquaredError()

    # --------------------------------------------------------------- pickle

    def __getstate__(self):
        state = {**super().__getstate__(), "_sk_implicit_version": __version__}
        return state | {name: to_plain(state[name]) for name in _RECORDS if name in state}

    def __setstate__(self, state):
        state = dict(state)
        version = state.pop("_sk_implicit_version", "unknown")
        if version != __version__:
            warn(
                f"This {type(self).__name__} was pickled by sk_implicit {version} and is loaded by "
                f"{__version__}; its predictions may differ. Refit it, or install {version}.",
                UserWarning,
            )
        state |= {name: from_plain(state[name]) for name in _RECORDS if name in state}
        super().__setstate__(state)
