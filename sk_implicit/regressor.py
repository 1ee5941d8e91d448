"""`ImplicitReLURegressor`: the ReLU implicit network as a scikit-learn regressor."""

from __future__ import annotations

from numbers import Real
from typing import Literal, Self, overload

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin, _fit_context
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, assert_all_finite, check_is_fitted

from ._estimator.base import BaseImplicitReLU
from ._estimator.batches import is_first, learns_batches, validated_batch
from ._estimator.posterior import check_posterior, covariance, samples
from ._estimator.regression import (
    LOSSES,
    check_range,
    check_targets,
    check_uncertainty,
    columns_of,
    explained,
    levels_of,
)
from ._estimator.validate import (
    all_or_nothing,
    check_bounds,
    hold_out,
    validate_groups,
    validate_weights,
    validated_table,
)
from .models import Task
from .models.from_mlp import embedded


class ImplicitReLURegressor(MultiOutputMixin, RegressorMixin, BaseImplicitReLU):
    r"""ReLU implicit network (deep equilibrium model) for regression.

    The prediction for a row x is that of a network of infinitely many layers with tied weights [1]_:

    .. math::

        z = \sigma\!\left(\frac{\gamma}{\sqrt m} A z + \phi(x)\right), \qquad
        f(x) = U z + V \phi(x),

    .. math::

        \phi(x) = \frac{1}{\sqrt m} \sigma(W \tilde x),

    where :math:`\sigma(t) = \max(t, 0)`, m is the width and x̃ is x with its features scaled by
    relevance and a constant appended, at unit root mean square norm. All four weight matrices are
    trained, by default in function space: Levenberg-Marquardt steps on the tangent kernel, three to
    fifteen of them instead of thousands of epochs.

    Tables may come as they are: features and targets are centred and scaled inside, gaps are filled and
    marked, and strings, booleans and categories count as levels.

    Parameters
    ----------
    width : int or float, default=500
        Width m of the network. An int is the width itself, a float a multiple of the number of
        distinct training rows (the over-parameterisation ratio m/n); 50.0 is not 50 units, and floats above
        10 are refused. `numpy.inf` is the limit: kernel ridge regression with the tangent kernel of infinite
        width, solved in closed form (see Notes).
    loss : str, default="squared_error"
        What training minimises: "squared_error", "poisson", "gamma", "absolute_error", "huber" or "quantile".
        "poisson" and "gamma" are half the deviances of targets y ≥ 0 (counts; rates,
        with the exposure as ``sample_weight``) and y > 0 (amounts): the network's outputs are then logarithms
        of the predictions, over the targets' means. "absolute_error" estimates medians, "huber" means that
        outliers do not move (linear beyond 1.345 standard deviations of the noise), "quantile" quantiles, by
        the pinball loss. The kinks of the first and the last are rounded off, over 0.1 and 0.4 of the noise.
    quantile : float or array-like of shape (n_quantiles,), default=0.5
        With ``loss="quantile"``: the quantile to estimate, or several of one target in rising order. Of
        several, ``predict`` returns one column each, which do not cross. At infinite width, as many targets
        as the quantile says are below predictions of rows left out: quantiles are moved there, by a constant,
        or in proportion to the distance of the outermost ones.
    gamma : float, default=0.4
        Scale γ of the equilibrium's weights: how far the network looks beyond its first layer. Below
        0.5 a wide random network is certified to have one equilibrium for every input; the limit
        exists below √2.
    depth : int or float, default=inf
        Number of layers L. `numpy.inf` is the equilibrium; an int stops the recursion that leads to it:
        the prediction is made from z_L, z_l = σ(γ/√m A z_{l−1} + φ) with z_0 = 0, so that 1 means
        z = φ. Any ``gamma`` will then do, during training too.
    fit_intercept : bool, default=True
        Whether to append a 1 to x and to centre the targets (with a log link, to divide them by their means).
    solver : {"lm", "gd", "adam", "lbfgs"}, default="lm"
        How the network is trained: Levenberg-Marquardt in function space; full-batch gradient descent
        (the algorithm of [1]_); minibatch Adam; limited-memory BFGS.
    relevance : {"auto", "linear"} or None, default="auto"
        "linear" learns one scale per feature by the marginal likelihood of the infinitely wide network
        (automatic relevance determination), on at most 500 rows; of targets that are noisy and far from
        normal, it is that of their normal scores (ranks). A prior keeps scales near the features' own, and
        (up to 512 features) those of correlated ones together; columns of two values of which one is rare
        start smaller. "auto" does the same, and features of at least 6 distinct values also enter through a
        piecewise-linear encoding along their quantiles, with a scale of its own: the network can follow
        steps and is robust to outliers. (Up to 512 features, 128 of them encoded; beyond, "auto" is
        "linear". Of more than 5000, both are None.) None takes the features as they are.
    standardize : bool, default=True
        Whether each feature is centred and divided by its standard deviation first, so that a fit does not
        depend on units and origins, and features that do not vary count for nothing; sparse features are
        divided only. With ``relevance=None``, features whose values are mostly alike start smaller. False
        takes features as they are: for those that share one unit, and for the theory.
    categorical_features : "from_dtype", None, or array-like of bool, int or str, default="from_dtype"
        Which features are levels instead of numbers: columns of a data frame (or of an array of objects) that
        hold strings, booleans or categories; none of them; or those that a mask, numbers or names say. The
        frequent levels of a feature become columns that share one scale; rare and unseen ones count as the
        mean, and a gap is a level.
    alpha : float or "loo", default="loo"
        Penalty ½ a ‖θ − θ₀‖² on the distance from the start, relative to the mean of the tangent
        kernel's diagonal (a = alpha · mean diag K), which makes it free of scale. "loo" chooses it by
        the leave-one-out loss of the network linearised at its start: in closed form for the squared error,
        by one Newton step for each row for other losses. 0 interpolates.
    clip : bool, "auto" or pair of floats, default="auto"
        Whether predictions are kept within the range of the training targets. "auto" keeps those of an output
        where the leave-one-out predictions that ``alpha="loo"`` is chosen by are no worse for it and have
        an R² of at most 0.95, and none with a number for ``alpha``. A noisy trend that goes on beyond the
        training rows is then cut off. Where all outputs are kept, so are the features: of new rows they count
        as at most one range beyond those of the training rows (and zero, in sparse tables). With
        ``standardize=True``, "auto" follows features for two ranges where outputs are not kept; an entry more
        than five ranges beyond is taken for a mistake, warned of, and counts as the feature's mean. A pair
        (low, high) are bounds that you know of the targets: predictions are kept within them, and features
        are free.
    init : {"gaussian", "bernoulli"}, default="gaussian"
        Entries of A and W at the start: standard normal, or ±1.
    output_init : {"centred", "gaussian", "zero"}, default="centred"
        U and V at the start: Gaussian, with the start's random function subtracted from every
        prediction ("centred"); Gaussian as in [1]_; or zero.
    equilibrium_solver : str, default="auto"
        Solver for the equilibria: "auto", or a name registered in `sk_implicit.equilibrium`.
    equilibrium_tol : float or "auto", default="auto"
        Relative residual ‖σ(sAz + φ) − z‖/‖z‖ at which an equilibrium counts as reached. "auto":
        1e-10 (1e-6 in float32) to predict, and as tight as the residuals need while training.
    max_iter : int, default=50
        Most steps to take; a step of "adam" is an epoch.
    tol : float, default=1e-4
        Training stops when two steps in a row lower the loss by less than this fraction of itself
        ("gd" and "adam": ``n_iter_no_change`` steps; "lm": by less than 400 times this fraction, since
        a step does the work of many), or of a hundredth of the leave-one-out error that ``alpha="loo"``
        has measured, where that is more; with early stopping, when the validation score does not rise by
        ``tol`` for ``n_iter_no_change`` steps.
    learning_rate : float or "auto", default="auto"
        Step size of "gd" (on the summed loss; "auto" is 1/λ_max of the tangent kernel at the start, and is
        measured again where the loss rises; with other losses, over their largest curvature) and of "adam"
        ("auto" is 0.01).
    batch_size : int or "auto", default="auto"
        Rows in a minibatch of "adam"; "auto" is min(200, n_samples).
    early_stopping : bool, default=False
        Whether to hold out ``validation_fraction`` of the rows and keep the weights that score best
        on them.
    validation_fraction : float, default=0.1
        Fraction of the rows that early stopping holds out.
    n_iter_no_change : int, default=10
        Patience of early stopping, and of the solvers that are not monotone.
    uncertainty : bool, default=False
        Whether ``fit`` keeps what ``predict(X, return_std=True)``, ``predict(X, return_cov=True)`` and
        ``sample_y`` need: the training rows (beyond 4000 of them, 2500 random ones), their Jacobian, and a
        factorised kernel matrix. With the squared error only.
    n_jobs : int or None, default=None
        Jobs that share the blocks of rows in predictions, where there are several blocks (one holds about
        2,000,000 / width rows, fewer where the network has more inputs than that): threads, unless
        ``joblib.parallel_config`` names another backend. None is 1 unless such a context says otherwise, -1
        all processors. No prediction depends on it.
    warm_start : bool, default=False
        Whether ``fit`` continues from where the previous call ended, for ``max_iter`` more steps with
        the same solver state and penalty. The estimator then keeps that state.
    random_state : int, RandomState instance or None, default=None
        Draws the start, the held-out rows and the minibatches.
    verbose : int, default=0
        Print one line per step.

    Attributes
    ----------
    A_ : ndarray of shape (width_, width_)
        Weights of the equilibrium.
    W_ : ndarray of shape (width_, n_inputs + 1)
        Weights of the feature map. The inputs are the n_features_in_ features and, with
        ``relevance="auto"``, their encoded columns; the last column is the bias (absent with
        ``fit_intercept=False``).
    U_, V_ : ndarray of shape (n_outputs_, width_)
        Output weights.
    A_init_, W_init_, U_init_, V_init_ : ndarray
        The start, which predictions subtract; with ``output_init="centred"`` only.
    x_mean_, x_scale_ : ndarray of shape (n_features_in_,)
        What is subtracted from the features and what they are divided by, before all else: their means,
        with which gaps are filled, and standard deviations, infinite for features that do not vary and for
        levels. 0 and 1 with ``standardize=False``, and where features are standardised already.
    categories_ : list of n_features_in_ lists
        Levels of each feature as text, None for a gap; none of a feature that is a number.
    input_scale_ : ndarray of shape (n_inputs,)
        What the features and the encoded columns are divided by: a common scale over the learnt relevance.
    relevance_ : ndarray of shape (n_features_in_,)
        How much of the network's input varies with each feature: the root of the variance that it has
        there, as itself and encoded. The mean square of the whole input is 1. It says how fast the function
        may change along a feature, not how much predictions depend on it: a feature of linear effect has a
        small one, however strong the effect (of Friedman's function, x₄ is the most important feature and
        has the fourth relevance). For importance take `sklearn.inspection.permutation_importance`.
    knots_ : list of n_features_in_ ndarrays
        Knots e_0 < … < e_K of each feature, none where it enters as itself only. Its encoded columns are
        min(max((x − e_{i−1})/(e_i − e_{i−1}), 0), 1) − mean; those of all features stand side by side.
    encoded_mean_ : ndarray of shape (n_inputs - n_features_in_,)
        What is subtracted from the encoded columns.
    bias_ : float
        The constant that is appended to every row; 0 with ``fit_intercept=False``.
    y_mean_, y_scale_ : ndarray of shape (n_outputs_,)
        Centre and scale of the targets; with a log link 0 and their means, with the losses of medians and
        quantiles those, and robust deviations. The scale of a target that is constant, but for rounding, is
        0: it is predicted as it is, with a standard deviation of 0.
    y_limits_, x_limits_ : ndarray of shape (2, n_outputs_) and (2, n_features_in_)
        Least and largest prediction of each output, and least and largest value that a feature counts as in
        predictions; infinite where ``clip`` leaves them free.
    x_believed_ : ndarray of shape (2, n_features_in_)
        With ``clip="auto"`` and ``standardize=True``: least and largest value that is taken for one of a
        feature; another counts as its mean.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X had names that are all strings.
    n_outputs_ : int
        Number of targets, or of quantiles of one target.
    width_ : int, or inf
        The width in use.
    gamma_ : float
        The γ in use.
    depth_ : int or float
        The depth in use.
    n_iter_ : int
        Steps taken.
    loss_ : float
        The objective at the weights that were kept, per unit of weight and output: half the mean
        squared error of the scaled targets (or half their mean deviance, Huber's loss or the pinball loss,
        which is half the absolute error), plus the penalty.
    loss_curve_ : list of float of length n_iter_
        The loss after each step.
    history_ : dict of lists of length n_iter_ + 1
        ``loss``, ``squared_error`` (the mean square of the loss's derivatives: of y − p for "poisson", of
        y/p − 1 for "gamma", of errors that are cut where "huber" and the pinball loss are linear),
        ``contraction`` (‖γ/√m A‖₂ to 0.2 %), ``step_size``, ``validation_score`` (early stopping only) and
        ``n_rows``, the distinct rows that a step was measured on: beyond 4,000 the first steps of "lm" are
        taken on samples. The start is included.
    alpha_ : float
        The penalty in use, relative to the mean of the tangent kernel's diagonal at the start.
    loo_score_ : float
        Leave-one-out R² of the network linearised at its start, or share of the start's loss that it
        explains with other losses; with ``alpha="loo"`` only.
    contraction_ : float
        ‖γ/√m A‖₂: below 1, every input is certified to have exactly one equilibrium. A finite depth
        needs no such bound.
    equilibrium_residual_ : float
        The largest relative residual of the training rows' equilibria; 0 at finite depth.
    validation_scores_ : list of float of length n_iter_
        What ``score`` is on the held-out rows after each step; with early stopping only.
    best_validation_score_ : float
        The best of them.
    noise_std_ : ndarray of shape (n_outputs_,)
        Standard deviation of an observation around its expectation, on the targets' scale, one for all rows
        whatever their weights; with ``uncertainty=True`` only.
    X_fit_ : {ndarray, CSR array} of shape (n_landmarks, n_inputs + fit_intercept)
        Scaled and augmented training rows that predictions are computed from; with infinite width only.
    dual_coef_ : ndarray of shape (n_landmarks, n_outputs_)
        Their coefficients: scaled predictions are the kernel of the rows times these; with infinite
        width only.

    Notes
    -----
    With ``width=numpy.inf`` there are no weights to draw or to train. ``gamma``, ``fit_intercept``,
    ``relevance``, ``alpha``, ``clip`` and ``uncertainty`` mean the same as at finite width; all parameters
    of the random start, the solvers, early stopping and warm starts are without effect, the last two with a
    warning. ``n_iter_`` is 1
    and ``loss_curve_`` holds ``loss_``. What belongs to weights or steps is absent: ``A_``, ``W_``, ``U_``,
    ``V_`` and their starts, ``history_``, ``contraction_``, ``equilibrium_residual_``, the validation
    scores, and `equilibrium`. Up to 4000 rows the solution is exact; beyond, 2500 random rows span it
    (Nyström's method), so that memory does not grow with the square of the rows. ``alpha="loo"`` is
    computed from at most 2000 random rows.

    At finite depth the layers share A and are differentiated one by one, exactly as they are computed;
    ``equilibrium_solver`` is without effect, and a finite ``depth`` with ``width=numpy.inf`` is refused.
    A step of "lm" then takes up to L² times the products that the part of A in an equilibrium's tangent
    kernel takes. In a deep network whose layers converge, layers that make no difference to the
    derivatives (to ``equilibrium_tol``) are put together, and the cost falls to that of the equilibrium.

    Beyond 4000 rows, Levenberg-Marquardt steps are solved by preconditioned conjugate gradients to within
    1 % of the loss of the best step, in float32 unless ``equilibrium_tol`` is set below 1e-6, and
    ``alpha="loo"`` is computed from 2000 random rows. For each row a fit then
    holds at most about (6 + n_outputs) · width + 500 float32 numbers and its scaled and encoded features
    (up to 33 numbers for each feature, some 500 for all), and some 200 MB beside, more with many threads;
    while X is read, six copies of it.

    The predictive standard deviation is that of the network linearised at its optimum: a Gaussian
    process with the tangent kernel there (at infinite width, the limit kernel), the noise that ``alpha``
    stands for, and an amplitude that gives the leave-one-out residuals the variance they have. The
    outputs of a network are taken as independent of each other, and the noise as the same everywhere.

    References
    ----------
    .. [1] T. Gao, H. Liu, J. Liu, H. Rajan and H. Gao, "A global convergence theory for deep ReLU
       implicit networks via over-parameterization", ICLR 2022, arXiv:2110.05645.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sk_implicit import ImplicitReLURegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), ImplicitReLURegressor(width=200, random_state=0))
    >>> model.fit(X, y).predict(X[:3]).shape
    (3,)
    """

    _parameter_constraints = {
        **BaseImplicitReLU._parameter_constraints,
        "loss": [StrOptions(set(LOSSES))],
        "quantile": [Interval(Real, 0, 1, closed="neither"), "array-like"],
        "clip": ["boolean", StrOptions({"auto"}), tuple, list],
        "uncertainty": ["boolean"],
    }

    def __init__(
        self,
        width=500,
        *,
        loss="squared_error",
        quantile=0.5,
        gamma=0.4,
        depth=np.inf,
        fit_intercept=True,
        solver="lm",
        relevance="auto",
        standardize=True,
        categorical_features="from_dtype",
        alpha="loo",
        clip="auto",
        init="gaussian",
        output_init="centred",
        equilibrium_solver="auto",
        equilibrium_tol="auto",
        max_iter=50,
        tol=1e-4,
        learning_rate="auto",
        batch_size="auto",
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        uncertainty=False,
        n_jobs=None,
        warm_start=False,
        random_state=None,
        verbose=0,
    ) -> None:
        self.width = width
        self.loss = loss
        self.quantile = quantile
        self.gamma = gamma
        self.depth = depth
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.relevance = relevance
        self.standardize = standardize
        self.categorical_features = categorical_features
        self.alpha = alpha
        self.clip = clip
        self.init = init
        self.output_init = output_init
        self.equilibrium_solver = equilibrium_solver
        self.equilibrium_tol = equilibrium_tol
        self.max_iter = max_iter
        self.tol = tol
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.uncertainty = uncertainty
        self.n_jobs = n_jobs
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @all_or_nothing
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs. float32 is kept, anything else becomes float64.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights: 2 counts as the same row twice, 0 as its absence.
        groups : array-like of shape (n_samples,), default=None
            Rows of one group belong together (patients, schools, series), and new rows are of groups of their
            own: ``alpha="loo"``, ``loo_score_``, ``clip`` and standard deviations leave out whole groups.
            None: rows of equal features are such groups, but for cells of a table.

        Returns
        -------
        self : ImplicitReLURegressor
            The fitted estimator.
        """
        watch = self._watch(X, y, sample_weight=sample_weight, groups=groups)
        X, y = validated_table(self, X, y, multi_output=True, y_numeric=True)
        weights = validate_weights(sample_weight, X)
        with np.errstate(over="ignore"):
            Y = y.reshape(len(y), -1).astype(np.float64)
        # extended precision is not checked before, and may overflow here
        assert_all_finite(Y, input_name="y")
        check_bounds(self.clip)
        check_targets(self.loss, Y, weights)
        check_uncertainty(self.loss, self.uncertainty)
        Y = columns_of(self.loss, self.quantile, Y)
        self._flat_y = y.ndim == 1 and not (self.loss == "quantile" and np.ndim(self.quantile))
        self.n_outputs_ = Y.shape[1]
        self._levels = levels_of(self.loss, self.quantile, Y.shape[1]).copy()
        self._fit(X, Y, weights, weights, watch, validate_groups(groups, weights))
        self._fitted_loss = self.loss
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = self.loss in LOSSES and LOSSES[self.loss].least is not None
        return tags

    @available_if(learns_batches)
    @all_or_nothing
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None) -> Self:
        """Learn a batch of rows, and keep what earlier calls have learnt of others.

        The first call measures scales, relevance and encoding, draws the network and chooses the penalty: it
        should have some hundreds of rows that are like those to come. Every call then takes one pass through
        its rows, in minibatches of at most 2000 rows times outputs, each learnt by Gauss-Newton steps against
        what the rows so far say of the weights. Where a minibatch is foretold worse than chance allows, the
        past is discounted: the network follows a drift. No row is kept, and the result does not depend on the
        order of rows within a call.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights: 2 counts as the same row twice, 0 as its absence.

        Returns
        -------
        self : ImplicitReLURegressor
            The estimator. ``n_iter_`` counts minibatches; ``loss_`` and ``loss_curve_`` are the mean losses
            of each call's rows before they were learnt (half the mean squared error of the scaled targets);
            there is no ``history_`` and no ``equilibrium_residual_``. ``fit`` begins
            anew, and so does ``partial_fit`` after ``fit``.

        Raises
        ------
        ValueError
            With ``early_stopping=True`` or ``uncertainty=True``, or if y has another number of
            columns than in the first call.
        AttributeError
            With ``width=numpy.inf`` or a loss without a curvature (absolute error, Huber, quantiles): there
            is no such method then.
        """
        first = is_first(self)
        X, y = validated_batch(self, X, y, first=first, multi_output=True, y_numeric=True)
        weights = validate_weights(sample_weight, X)
        Y = y.reshape(len(y), -1).astype(np.float64)
        check_targets(self.loss, Y, weights)
        if first:
            check_bounds(self.clip)
            self._flat_y, self.n_outputs_ = y.ndim == 1, Y.shape[1]
            self._fitted_loss = self.loss
            self._levels = levels_of(self.loss, self.quantile, Y.shape[1]).copy()
        elif Y.shape[1] != self.n_outputs_:
            raise ValueError(
                f"y has {Y.shape[1]} columns, and had {self.n_outputs_} in the first call of partial_fit. "
                "Use the same targets, or a new estimator."
            )
        self._learn(X, Y, weights)
        return self

    def _task(self) -> Task:
        """Return what a regressor adds to a fit."""
        loss = LOSSES[self.loss]
        several = self.loss == "quantile" and np.ndim(self.quantile) > 0
        scaling = {"centre": self.fit_intercept, "ordered": several}
        return Task(
            scale_targets=lambda Y, weights: loss.scale(Y, weights, levels=self._levels, **scaling),
            loss=lambda target: loss.make(levels_of(self.loss, self.quantile, len(target.mean))),
            score=lambda Y, P, weights: explained(self.loss, Y, P, weights, self._levels),
            split=lambda Y, left_out, seed: hold_out(left_out, seed, self.validation_fraction),
            spread=self.loss == "quantile" and not np.array_equal(self.quantile, 0.5),
        )

    def score(self, X, y, sample_weight=None) -> float:
        """Return D², the share of the loss of the best constant that predictions explain.

        For the squared error it is R², for "poisson" and "gamma" `sklearn.metrics.d2_tweedie_score` with a
        power of 1 and 2, for "quantile" `sklearn.metrics.d2_pinball_score`, for "absolute_error" and "huber"
        `sklearn.metrics.d2_absolute_error_score`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        score : float
            At most 1; 0 is that of a constant, of several outputs or quantiles the mean.
        """
        loss = getattr(self, "_fitted_loss", "squared_error")
        if loss == "squared_error":
            return super().score(X, y, sample_weight)
        P = self.predict(X)
        Y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        check_consistent_length(P, Y, sample_weight)
        weights = _check_sample_weight(sample_weight, Y)
        Y = Y.reshape(len(Y), -1)
        check_range(loss, Y)
        P = P.reshape(len(P), -1)
        return explained(loss, np.broadcast_to(Y, P.shape), P, weights, self._levels)

    @classmethod
    def from_mlp(cls, mlp) -> Self:
        """Return an implicit network with the predictions of a fitted ReLU `MLPRegressor`.

        Its equilibrium holds all layers of the perceptron at once; A is strictly block triangular, so
        that its Perron-Frobenius radius is 0, and one iteration more than it has layers solves it. The
        factors that ReLU leaves free are chosen such that ‖sA‖₂ < 1 as well.

        Parameters
        ----------
        mlp : sklearn.neural_network.MLPRegressor
            Fitted, with ``activation="relu"`` and any number of hidden layers. Fitted on the features
            that the implicit network is to be given.

        Returns
        -------
        model : ImplicitReLURegressor
            Fitted, with ``warm_start=True``: ``fit`` trains it further from here, as an implicit
            network whose A is free. Its width is one more than all hidden units together. ``history_`` has
            the one entry of the start, of which only the contraction is known; the rest is NaN, as ``loss_``.

        Raises
        ------
        TypeError
            If ``mlp`` is not an `MLPRegressor`.
        ValueError
            If its activation is not ReLU, or its output not linear.
        sklearn.exceptions.NotFittedError
            If it is not fitted.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.neural_network import MLPRegressor
        >>> from sk_implicit import ImplicitReLURegressor
        >>> X = np.random.RandomState(0).standard_normal((50, 3))
        >>> mlp = MLPRegressor(hidden_layer_sizes=(8, 8), random_state=0, solver="lbfgs")
        >>> mlp = mlp.fit(X, X[:, 0])
        >>> model = ImplicitReLURegressor.from_mlp(mlp)
        >>> bool(np.allclose(model.predict(X), mlp.predict(X), rtol=0, atol=1e-10))
        True
        """
        _check_mlp(mlp)
        model = cls(output_init="gaussian", equilibrium_tol=1e-15, warm_start=True)
        fitted = embedded(mlp.coefs_, mlp.intercepts_, model._settings())
        model._publish(fitted)
        model.width = model.width_
        model.n_features_in_ = mlp.n_features_in_
        if hasattr(mlp, "feature_names_in_"):
            model.feature_names_in_ = mlp.feature_names_in_.copy()
        model.n_outputs_ = mlp.n_outputs_
        model._flat_y = mlp.n_outputs_ == 1
        return model

    @overload
    def predict(
        self, X, return_std: Literal[False] = False, return_cov: Literal[False] = False, *,
        observation_noise: bool = True,
    ) -> np.ndarray: ...  # fmt: skip

    @overload
    def predict(
        self, X, return_std: Literal[True], return_cov: Literal[False] = False, *,
        observation_noise: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]: ...  # fmt: skip

    @overload
    def predict(
        self, X, return_std: Literal[False] = False, *, return_cov: Literal[True],
        observation_noise: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]: ...  # fmt: skip

    def predict(self, X, return_std=False, return_cov=False, *, observation_noise=True):
        """Predict the targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        return_std : bool, default=False
            Whether to return the predictive standard deviation too; needs ``uncertainty=True``.
        return_cov : bool, default=False
            Whether to return the covariance between the rows too, instead; needs ``uncertainty=True``, and
            memory for n_samples² numbers an output.
        observation_noise : bool, default=True
            Whether standard deviation and covariance are those of new observations, the square of
            ``noise_std_`` included in every variance, or of the function without noise.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions, in the precision the network was trained in; in float64 where float32 does not hold
            the digits of the targets (1.7e9 ± 60).
        std : ndarray of the shape of y
            Standard deviation of a new observation at each row, on the targets' scale, the noise of
            the observation included; with ``return_std=True`` only. Infinite after a fit to a single row, 0
            for a target that was constant.
        cov : ndarray of shape (n_samples, n_samples) or (n_samples, n_samples, n_outputs)
            Covariance of new observations, in float64; with ``return_cov=True`` only. Its diagonal is std².
            Outputs are independent of each other. ``clip`` bounds neither of them, only y.

        Raises
        ------
        ValueError
            If one of them is asked for and the estimator was fitted with ``uncertainty=False``, or was
            interrupted before it knew its standard deviations; or if both are.
        """
        if return_std and return_cov:
            raise ValueError(
                "predict(X) returns one of standard deviation and covariance; got return_std=True and "
                "return_cov=True. The standard deviation is the root of the covariance's diagonal."
            )
        X, model = self._rows_and_model(X)
        if return_std or return_cov:
            check_posterior(self, model, f"predict(X, return_{'std' if return_std else 'cov'}=True)")
        F = self._predictions(model, X)
        y = F.ravel() if self._flat_y else F
        if return_cov:
            cov = covariance(model, X, observation_noise)
            return y, cov[:, :, 0] if self._flat_y else cov
        if not return_std:
            return y
        std = model.std(X, self.n_jobs, noise=observation_noise) * self.y_scale_
        std = std.astype(F.dtype, copy=False)
        return y, std.ravel() if self._flat_y else std

    def sample_y(self, X, n_samples=1, random_state=0, *, observation_noise=True) -> np.ndarray:
        """Draw targets from the predictive distribution, jointly for all rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples_X, n_features)
            Inputs.
        n_samples : int, default=1
            How many samples to draw for each row.
        random_state : int, RandomState instance or None, default=0
            Draws them.
        observation_noise : bool, default=True
            Whether to draw new observations, or functions without noise.

        Returns
        -------
        samples : ndarray of shape (n_samples_X, n_samples) or (n_samples_X, n_outputs, n_samples)
            Normal, with the mean and the covariance of ``predict(X, return_cov=True)``. ``clip`` bounds the
            mean only.

        Raises
        ------
        ValueError
            If the estimator was fitted with ``uncertainty=False``, or ``n_samples`` is no positive int.
        """
        X, model = self._rows_and_model(X)
        check_posterior(self, model, "sample_y(X)")
        F = self._predictions(model, X)
        drawn = samples(model, X, F, n_samples, random_state, observation_noise)
        return drawn[:, 0] if self._flat_y else drawn


def _check_mlp(mlp) -> None:
    """Refuse what `ImplicitReLURegressor.from_mlp` cannot represent."""
    from sklearn.neural_network import MLPRegressor

    if not isinstance(mlp, MLPRegressor):
        raise TypeError(
            "from_mlp expects a fitted sklearn.neural_network.MLPRegressor; got "
            f"{type(mlp).__name__}. Of a pipeline, give the last step: pipeline[-1]."
        )
    check_is_fitted(mlp)
    if mlp.activation != "relu":
        raise ValueError(
            f"from_mlp expects activation='relu'; got {mlp.activation!r}. An implicit ReLU network has "
            "ReLU units only: fit the MLPRegressor with activation='relu'."
        )
    if mlp.out_activation_ != "identity":
        raise ValueError(
            f"from_mlp expects a linear output (squared loss); got the output activation "
            f"{mlp.out_activation_!r}. Fit the MLPRegressor with its squared loss."
        )
