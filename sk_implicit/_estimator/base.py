"""What the estimators share: parameters, the story of ``fit`` and ``predict``, and their form in pickles."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, RealNotInt, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._numerics.blas import one_pool
from .._numerics.blocks import FEW_ROWS
from .._version import __version__
from ..equilibrium import solver_names
from ..inputs.limits import LIMITS as RANGES
from ..inputs.rows import distinct_rows
from ..models import (
    Fitted,
    FittedModel,
    LimitModel,
    NetworkModel,
    Settings,
    Task,
    fit_limit,
    fit_network,
    fitted_model,
    kept_model,
    learn_batch,
    predictions,
)
from ..network import INITS, OUTPUT_INITS
from ..training import INTERRUPTED_BEFORE, SOLVERS
from .absent import reason_of_absence
from .callbacks import CallbackSupport, FitWatch
from .columns import Levels, categorical_mask
from .saving import AS_IT_WAS, from_plain, published_names, to_plain
from .validate import NameAmong, check_limit, check_width, drop_weightless, validated_rows
from .warn import warn

# Attributes that hold records or sparse arrays, which are saved as plain values.
_RECORDS = ("_training", "_stream", "_posterior", "_inputs", "_targets", "X_fit_")
# Where the HTML representation links to.
_DOCUMENTATION = "https://sk-implicit.readthedocs.io/en/stable"


class BaseImplicitReLU(CallbackSupport, BaseEstimator):
    """Base of the estimators: a fit publishes a model's attributes, and predictions are made of them."""

    _parameter_constraints: dict[str, list] = {
        "width": [
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, None, closed="right"),
        ],
        "gamma": [Interval(Real, 0, None, closed="neither")],
        "depth": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "fit_intercept": ["boolean"],
        "solver": [NameAmong(lambda: SOLVERS)],
        "relevance": [StrOptions({"auto", "linear"}), None],
        "standardize": ["boolean"],
        "categorical_features": ["array-like", StrOptions({"from_dtype"}), None],
        "alpha": [Interval(Real, 0, None, closed="left"), StrOptions({"loo"})],
        "init": [StrOptions(set(INITS))],
        "output_init": [StrOptions(set(OUTPUT_INITS))],
        "equilibrium_solver": [NameAmong(solver_names)],
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
    # Set by ``fit``.
    width_: float
    categories_: list[Levels]
    _training: Any

    _doc_link_module = "sk_implicit"
    _doc_link_template = _DOCUMENTATION + "/generated/sk_implicit.{estimator_name}.html"

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        return tags

    if not TYPE_CHECKING:  # a type checker would take any name for an attribute

        def __getattr__(self, name):
            """Raise AttributeError for a name that was not found, and say why a fitted estimator lacks it."""
            reason = reason_of_absence(name, vars(self))
            if reason is None:
                return super().__getattribute__(name)  # raises what it raised before
            raise AttributeError(f"This {type(self).__name__} has no {name}, for {reason}.")

    def _task(self) -> Task:
        """Return what the estimator adds to a fit."""
        raise NotImplementedError

    # ------------------------------------------------------------------ fit

    def _settings(self) -> Settings:
        """Return what a fit reads of the parameters."""
        return Settings.of(self.get_params(deep=False))

    def _watch(self, X, y, **metadata) -> FitWatch:
        """Tell the callbacks that ``fit`` begins, with its arguments as they were given."""
        max_steps = 0 if self._settings().at_infinity else self.max_iter
        return FitWatch(self, X, y, max_steps=max_steps, **metadata)

    @one_pool()
    def _fit(
        self, X, Y: np.ndarray, weights: np.ndarray, counts: np.ndarray, watch: FitWatch, groups=None
    ) -> None:
        """Fit validated rows, and publish what comes of it.

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
        watch : FitWatch
            Told of every step, and of the end.
        groups : (n,) int array or None
            Rows of equal number are left out together.
        """
        settings = self._settings()
        task = replace(self._task(), categorical=categorical_mask(self.categories_))
        check_width(settings.width, X.shape[0])
        if settings.at_infinity:
            check_limit(settings)
            self._warn_without_effect(settings)
        previous = getattr(self, "_training", None) if settings.warm_start else None
        self._forget()
        rows = distinct_rows(*drop_weightless(X, Y, weights, counts, groups), levels=task.categorical)
        try:
            if settings.at_infinity:
                fitted = fit_limit(rows, task, settings)
            else:
                rng = check_random_state(self.random_state)
                fitted = fit_network(rows, task, settings, rng=rng, previous=previous, listener=watch)
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(INTERRUPTED_BEFORE) from interrupt
        self._publish(fitted)
        if fitted.warning is not None:
            warn(fitted.warning, ConvergenceWarning)
        watch.ends_fit(fitted)

    @one_pool()
    def _learn(self, X, Y: np.ndarray, weights: np.ndarray) -> None:
        """Learn validated rows of a stream (as in `_fit`), and publish what comes of it."""
        settings = self._settings()
        task = replace(self._task(), categorical=categorical_mask(self.categories_))
        check_width(settings.width, X.shape[0])
        rows = distinct_rows(*drop_weightless(X, Y, weights, weights, None), levels=task.categorical)
        previous = dict(vars(self)) if "_stream" in vars(self) else None
        rng = check_random_state(self.random_state if previous is None else 0)
        fitted = learn_batch(rows, task, settings, rng=rng, previous=previous)
        self._forget()
        self._publish(fitted)

    def _warn_without_effect(self, settings: Settings) -> None:
        """Warn of what was asked of steps, where there are none."""
        names = [name for name in ("early_stopping", "warm_start") if getattr(settings, name)]
        if names:
            asked = " and ".join(f"{name}=True" for name in names)
            warn(
                f"{asked} {'is' if len(names) == 1 else 'are'} without effect at width=inf, which is solved "
                "in one piece from all rows. Leave it out there, or use a finite width (an int).",
                UserWarning,
            )

    def _publish(self, fitted: Fitted) -> None:
        """Set the attributes of a fit."""
        attributes = fitted.attributes()
        if isinstance(fitted.model, NetworkModel):
            attributes["_training"] = fitted.state
        self.__dict__.update(attributes)
        self._published = tuple(attributes)

    def _forget(self) -> None:
        """Drop what an earlier fit has set."""
        for name in self.__dict__.pop("_published", ()):
            self.__dict__.pop(name, None)

    # -------------------------------------------------------------- predict

    def _rows_and_model(self, X) -> tuple[Any, NetworkModel | LimitModel]:
        """Return validated rows, and the model of the estimator, which must be fitted."""
        few = _are_few(X)
        model = kept_model(self) if few else None
        if model is None:
            check_is_fitted(self)
            model = fitted_model(self, keep=few)
        return validated_rows(self, X, model.dtype), model

    def _predictions(self, model: FittedModel, X) -> np.ndarray:
        """Return predictions on the scale of the targets, (n, k), for validated rows."""
        self._warn_mistaken(model, X)
        values, missed = predictions(model, X, self.n_jobs)
        self._warn_missed(missed)
        return values

    def _warn_mistaken(self, model: FittedModel, X) -> None:
        """Warn of entries that are so far from those of the fit that they are taken for mistakes."""
        if model.scales.x_believed is None:
            return
        mistaken = model.scales.inputs_to_predict.mistaken(X)
        if not mistaken.any():
            return
        columns = np.unique(X.indices[mistaken] if issparse(X) else np.flatnonzero(mistaken.any(axis=0)))
        names = getattr(self, "feature_names_in_", np.arange(X.shape[1]))[columns].tolist()
        listed = ", ".join(map(repr, names[:5])) + (", …" if len(names) > 5 else "")
        warn(
            f"{np.count_nonzero(mistaken)} entries of X, in the columns {listed}, lie more than "
            f"{RANGES.believed:g} ranges beyond those of the fit. They are taken for mistakes and count as "
            "the means of their columns. Check their units; clip=False lets predictions follow them.",
            UserWarning,
        )

    def _warn_missed(self, rows: np.ndarray) -> None:
        """Warn of rows, as a mask, whose equilibrium or last layer is not what was asked for."""
        missed = int(np.count_nonzero(rows))
        if not missed:
            return
        known = vars(self)
        if np.isfinite(known["depth_"]):
            warn(
                f"The last of {known['depth_']} layers overflows for {missed} rows, whose predictions are "
                f"NaN: a layer multiplies norms by up to ‖sA‖₂ = {known['contraction_']:.3g}. If the rows "
                "are on the scale of those of the fit, refit with a smaller gamma or depth.",
                ConvergenceWarning,
            )
        else:
            warn(
                f"The equilibrium of {missed} rows was not reached (equilibrium_tol="
                f"{known['equilibrium_tol']!r}); their predictions are those of the best iterate. The "
                f"network's contraction is {known['contraction_']:.3f} (below 1 is certified): refit with a "
                "smaller gamma, or use equilibrium_solver='newton_krylov'.",
                ConvergenceWarning,
            )

    def equilibrium(self, X) -> np.ndarray:
        """Return the equilibrium z of each row; at finite depth, the last layer z_L.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        Z : ndarray of shape (n_samples, width_)
            The solution of z = σ(γ/√m · A z + φ(x)), to ``equilibrium_tol``; with ``depth=L``, z_L of
            the recursion z_l = σ(γ/√m · A z_{l−1} + φ(x)) from z_0 = 0.
        """
        X, model = self._rows_and_model(X)
        if not isinstance(model, NetworkModel):
            raise ValueError(
                f"equilibrium(X) needs the weights of a network of finite width; this {type(self).__name__} "
                "was fitted with width=inf, which has none. Fit it with an int or float width."
            )
        Z, missed = model.equilibria(X, self.n_jobs)
        self._warn_missed(missed)
        return Z

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
        for name, value in AS_IT_WAS.items():
            state.setdefault(name, value)
        state.setdefault("_published", published_names(state))
        super().__setstate__(state)


def _are_few(X) -> bool:
    """Whether X, which may be anything, holds a few rows."""
    shape = getattr(X, "shape", None)
    n = shape[0] if shape else len(X) if isinstance(X, list | tuple) else np.inf
    return isinstance(n, Integral) and n <= FEW_ROWS
