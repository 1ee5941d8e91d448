"""`ImplicitReLUClassifier`: the ReLU implicit network as a scikit-learn classifier."""

from __future__ import annotations

from typing import Self

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets

from ._estimator.base import BaseImplicitReLU
from ._estimator.batches import is_first, learns_batches, validated_batch
from ._estimator.labels import checked_classes, codes_of, has_labels, indicators
from ._estimator.validate import all_or_nothing, hold_out, validate_groups, validate_weights, validated_table
from .function_space.losses import BinaryCrossEntropy, CrossEntropy, Loss, SquaredError, log_probabilities
from .inputs.targets import ClassScaling, Targets, TargetScaling
from .models import Task
from .models.start import refuse_to_continue

# Probabilities of loss="squared_error" stay this far from 0 and 1: its scores are not bounded.
CLIPPED = 1e-3


class ImplicitReLUClassifier(ClassifierMixin, BaseImplicitReLU):
    r"""ReLU implicit network (deep equilibrium model) for classification.

    The network is that of `ImplicitReLURegressor` [1]_, with one output for two classes and one for each
    class beyond; its outputs are log-odds, and training minimises the cross-entropy. The default solver
    takes generalised Gauss-Newton steps in function space: the curvature of the loss, diag(p) − ppᵀ for
    each row, stands where the regressor has the sample weights. An indicator matrix for y is multilabel
    classification: one output for each label, with a sigmoid and a cross-entropy of its own.

    Tables may come as they are: features are centred and scaled inside, gaps are filled and marked, and
    strings, booleans and categories count as levels.

    Parameters
    ----------
    width : int or float, default=200
        Width m of the network. An int is the width itself, a float a multiple of the number of
        distinct training rows (the over-parameterisation ratio m/n); 50.0 is not 50 units, and floats above
        10 are refused. ``numpy.inf`` is the exact limit, without weights: kernel logistic regression with the
        tangent kernel of infinite width (and a thousandth of each target spread over all classes), or kernel
        ridge regression with ``loss="squared_error"``.
    loss : {"log_loss", "squared_error"}, default="log_loss"
        Cross-entropy; or the squared error of ±1 targets, one against the rest, which the theorem of
        [1]_ covers. Probabilities of the latter are (1 + f)/2, what the squared error's minimiser
        estimates, clipped to [0.001, 0.999] and scaled to a sum of 1.
    gamma : float, default=0.4
        Scale γ of the equilibrium's weights: how far the network looks beyond its first layer. Below
        0.5 a wide random network is certified to have one equilibrium for every input.
    depth : int or float, default=inf
        Number of layers L. `numpy.inf` is the equilibrium; an int stops the recursion that leads to it:
        the prediction is made from z_L, z_l = σ(γ/√m A z_{l−1} + φ) with z_0 = 0, so that 1 means
        z = φ. Any ``gamma`` will then do, during training too.
    fit_intercept : bool, default=True
        Whether to append a 1 to x and to start from the frequencies of the classes.
    solver : {"lm", "gd", "adam", "lbfgs"}, default="lm"
        How the network is trained: Levenberg-Marquardt (generalised Gauss-Newton) in function space;
        full-batch gradient descent; minibatch Adam; limited-memory BFGS.
    relevance : {"auto", "linear"} or None, default=None
        None takes the features as they are. "linear" learns one scale per feature, before the network is
        drawn, by the marginal likelihood of the infinitely wide network (automatic relevance
        determination), with the classes' indicators as its targets: features that do not matter
        shrink. "auto" adds a piecewise-linear encoding of the features, as for `ImplicitReLURegressor`.
        The fourth root of what is learnt counts, for indicators are no normal targets: taken as learnt, the
        scales leave networks of finite width next to no kinks among the data. "auto" has the better
        probabilities on most tables of a hundred rows and more, and takes twice as long at infinite width; a
        few dozen rows, and images, are better taken as they are.
    standardize : bool, default=True
        Whether each feature is centred and divided by its standard deviation first, so that a fit does not
        depend on units and origins, and features that do not vary count for nothing; sparse features are
        divided only. With ``relevance=None``, features whose values are mostly alike (pixels at the edge)
        start smaller. False takes features as they are: for those that share one unit, and for the
        theory.
    categorical_features : "from_dtype", None, or array-like of bool, int or str, default="from_dtype"
        Which features are levels instead of numbers: columns of a data frame (or of an array of objects) that
        hold strings, booleans or categories; none of them; or those that a mask, numbers or names say. The
        frequent levels of a feature become columns that share one scale; rare and unseen ones count as the
        mean, and a gap is a level.
    alpha : float or "loo", default="loo"
        Penalty ½ a ‖θ − θ₀‖² on the distance from the start, relative to the mean of the tangent
        kernel's diagonal (a = alpha · mean diag K), which makes it free of scale. "loo" chooses it by
        the leave-one-out loss of the network linearised at its start: in closed form for the squared
        error, by one Newton step for each row for the cross-entropy.
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
        Training stops when two steps in a row lower the loss by less than this fraction of itself ("gd" and
        "adam": ``n_iter_no_change`` steps; "lm": by less than 400 times this fraction, since a step does the
        work of many), or of a hundredth of the leave-one-out error that ``alpha="loo"`` has measured, where
        that is more; with ``loss="log_loss"``, of an eighth of the start's loss. With early stopping, when
        the validation score does not rise by ``tol`` for ``n_iter_no_change`` steps.
    learning_rate : float or "auto", default="auto"
        Step size of "gd" (on the summed loss; "auto" is 1/λ_max of the tangent kernel at the start over the
        largest curvature of the loss, and is measured again where the loss rises) and of "adam" ("auto" is
        0.01).
    batch_size : int or "auto", default="auto"
        Rows in a minibatch of "adam"; "auto" is min(200, n_samples).
    early_stopping : bool, default=False
        Whether to hold out ``validation_fraction`` of the rows, stratified by class, and keep the
        weights that score best on them.
    validation_fraction : float, default=0.1
        Fraction of the rows that early stopping holds out.
    n_iter_no_change : int, default=10
        Patience of early stopping, and of the solvers that are not monotone.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, which multiply the sample weights. "balanced": inverse to the total
        sample weight of each class.
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
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted; of labels, the numbers of their columns.
    multilabel_ : bool
        Whether y was an indicator matrix of labels.
    A_ : ndarray of shape (width_, width_)
        Weights of the equilibrium.
    W_ : ndarray of shape (width_, n_inputs + 1)
        Weights of the feature map, for the features and, with ``relevance="auto"``, their encoded columns;
        the last column is the bias (absent with ``fit_intercept=False``).
    U_, V_ : ndarray of shape (1, width_) or (n_classes, width_)
        Output weights; one row for two classes.
    A_init_, W_init_, U_init_, V_init_ : ndarray
        The start, which predictions subtract; with ``output_init="centred"`` only.
    x_mean_, x_scale_ : ndarray of shape (n_features_in_,)
        What is subtracted from the features and what they are divided by, before all else: their means,
        with which gaps are filled, and standard deviations, infinite for features that do not vary and for
        levels. 0 and 1 with ``standardize=False``, and where features are standardised already.
    categories_ : list of n_features_in_ lists
        Levels of each feature as text, None for a gap; none of a feature that is a number.
    input_scale_ : ndarray of shape (n_inputs,)
        What the features and the encoded columns are divided by.
    bias_ : float
        The constant that is appended to every row; 0 with ``fit_intercept=False``. With ``relevance=None``
        it is such that half of a row's mean square is the same in all rows, the features' means included,
        but at least a hundredth.
    relevance_ : ndarray of shape (n_features_in_,)
        Root of the variance that each feature, as itself and encoded, has in the network's input: how fast
        the function may change along it. It is no importance; take
        `sklearn.inspection.permutation_importance` for that.
    knots_, encoded_mean_ : list of n_features_in_ ndarrays, ndarray
        The piecewise-linear encoding of the features, as in `ImplicitReLURegressor`.
    y_mean_, y_scale_ : ndarray of shape (1,) or (n_classes,)
        What the network's outputs are multiplied by (1 for the cross-entropy) and shifted by: the
        log-odds of the classes in the training rows, or the mean of the ±1 targets.
    X_fit_ : {ndarray, CSR array} of shape (n_landmarks, n_inputs + fit_intercept)
        With ``width=numpy.inf``, in the place of the weights: the inputs that span the solution, scaled
        and with their bias.
    dual_coef_ : ndarray of shape (n_landmarks, 1) or (n_landmarks, n_classes)
        With ``width=numpy.inf``: their coefficients.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X had names that are all strings.
    width_ : int, or inf
        The width in use.
    gamma_ : float
        The γ in use.
    depth_ : int or float
        The depth in use.
    n_iter_ : int
        Steps taken.
    loss_ : float
        The objective at the weights that were kept, per unit of weight: the mean cross-entropy (or
        half the mean squared error of the scaled targets), plus the penalty.
    loss_curve_ : list of float of length n_iter_
        The loss after each step.
    history_ : dict of lists of length n_iter_ + 1
        ``loss``, ``squared_error`` (of the probabilities: the Brier score), ``contraction``
        (‖γ/√m A‖₂ to 0.2 %), ``step_size``, ``validation_score`` (early stopping only) and ``n_rows``, the
        distinct rows that a step was measured on: beyond 4,000 the first steps of "lm" are taken on
        samples. The start is included.
    alpha_ : float
        The penalty in use, relative to the mean of the tangent kernel's diagonal at the start.
    loo_score_ : float
        Share of the start's loss that the network linearised there explains, leave-one-out; with
        ``alpha="loo"`` only.
    contraction_ : float
        ‖γ/√m A‖₂: below 1, every input is certified to have exactly one equilibrium. A finite depth
        needs no such bound.
    equilibrium_residual_ : float
        The largest relative residual of the training rows' equilibria; 0 at finite depth.
    validation_scores_ : list of float of length n_iter_
        Minus the log-loss of the held-out rows after each step; with early stopping only.
    best_validation_score_ : float
        The best of them.

    References
    ----------
    .. [1] T. Gao, H. Liu, J. Liu, H. Rajan and H. Gao, "A global convergence theory for deep ReLU
       implicit networks via over-parameterization", ICLR 2022, arXiv:2110.05645.
    .. [2] Z. Chen, Y. Cao, D. Zou and Q. Gu, "How much over-parameterization is sufficient to learn
       deep ReLU networks?", ICLR 2021, arXiv:1911.12360.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sk_implicit import ImplicitReLUClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), ImplicitReLUClassifier(width=100, random_state=0))
    >>> model.fit(X, y).predict_proba(X[:4]).shape
    (4, 3)
    """

    _parameter_constraints = {
        **BaseImplicitReLU._parameter_constraints,
        "loss": [StrOptions({"log_loss", "squared_error"})],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        width=200,
        *,
        loss="log_loss",
        gamma=0.4,
        depth=np.inf,
        fit_intercept=True,
        solver="lm",
        relevance=None,
        standardize=True,
        categorical_features="from_dtype",
        alpha="loo",
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
        class_weight=None,
        n_jobs=None,
        warm_start=False,
        random_state=None,
        verbose=0,
    ) -> None:
        self.width = width
        self.loss = loss
        self.gamma = gamma
        self.depth = depth
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.relevance = relevance
        self.standardize = standardize
        self.categorical_features = categorical_features
        self.alpha = alpha
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
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @all_or_nothing
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs. float32 is kept, anything else becomes float64.
        y : array-like of shape (n_samples,), or {array-like, sparse matrix} of shape (n_samples, n_labels)
            Classes: numbers or strings. Or an indicator matrix of labels: 1 where a row has the label, else
            0 (multilabel classification).
        sample_weight : array-like of shape (n_samples,), default=None
            Weights: 2 counts as the same row twice, 0 as its absence.
        groups : array-like of shape (n_samples,), default=None
            Rows of one group belong together (patients, schools, series), and new rows are of groups of their
            own: ``alpha="loo"`` and ``loo_score_`` leave out whole groups. None: rows of equal features are
            such groups, but for cells of a table.

        Returns
        -------
        self : ImplicitReLUClassifier
            The fitted estimator.
        """
        watch = self._watch(X, y, sample_weight=sample_weight, groups=groups)
        multilabel = has_labels(y)
        X, y = validated_table(self, X, y, multi_output=multilabel)
        counts = validate_weights(sample_weight, X)
        classes, Y, weights = self._labels(y, counts) if multilabel else self._classes(y, counts)
        training = getattr(self, "_training", None)
        if self.warm_start and not self._settings().at_infinity and training is not None:
            self._check_same_problem(classes, multilabel)
        self.classes_ = classes
        self._fitted_loss, self.multilabel_ = self.loss, multilabel
        Y = Y if self.loss == "log_loss" else 2 * Y - 1
        self._fit(X, Y, weights, counts, watch, validate_groups(groups, weights))
        return self

    @available_if(learns_batches)
    @all_or_nothing
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None) -> Self:
        """Learn a batch of rows, and keep what earlier calls have learnt of others.

        The first call measures scales and the shares of the classes, draws the network and chooses the
        penalty: it should have some hundreds of rows that are like those to come. Every call then takes one
        pass through its rows, in minibatches of at most 2000 rows times outputs, each learnt by Gauss-Newton
        steps against what the rows so far say of the weights. Where a minibatch is foretold worse than chance
        allows, the past is discounted: the network follows a drift. No row is kept, and the result does not
        depend on the order of rows within a call.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,), or {array-like, sparse matrix} of shape (n_samples, n_labels)
            Classes, or an indicator matrix of labels.
        classes : array-like of shape (n_classes,), default=None
            All classes that there will be; needed in the first call (after ``fit``, None means those of the
            fit), and not for labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights: 2 counts as the same row twice, 0 as its absence.

        Returns
        -------
        self : ImplicitReLUClassifier
            The estimator. ``n_iter_`` counts minibatches; ``loss_`` and ``loss_curve_`` are the mean losses
            of each call's rows before they were learnt; there is no ``history_`` and no
            ``equilibrium_residual_``. ``fit`` begins
            anew, and so does ``partial_fit`` after ``fit``.

        Raises
        ------
        ValueError
            With ``early_stopping=True`` or ``class_weight="balanced"``; if the first call has
            no ``classes``, or rows of one class only; or if y has a class that is not among them.
        AttributeError
            With ``width=numpy.inf``: there is no such method then.
        """
        first = is_first(self)
        if self.class_weight == "balanced":
            raise ValueError(
                "partial_fit does not know how frequent classes will be; got class_weight='balanced'. Use "
                "sample_weight, or a dict of weights."
            )
        multilabel = has_labels(y)
        X, y = validated_batch(self, X, y, first=first, multi_output=multilabel)
        counts = validate_weights(sample_weight, X)
        if multilabel:
            known, Y, weights = self._labels(y, counts)
        else:
            fitted = (
                None if first and (classes is not None or self._multilabel) else vars(self).get("classes_")
            )
            known = checked_classes(classes, fitted)
            known, Y, weights = self._classes(y, counts, known, at_least=2 if first else 1)
        if first:
            self.classes_, self._fitted_loss, self.multilabel_ = known, self.loss, multilabel
        elif multilabel != self.multilabel_ or len(known) != len(self.classes_):
            now, before = ("labels" if several else "classes" for several in (multilabel, self.multilabel_))
            raise ValueError(
                f"y has {len(known)} {now}, and had {len(self.classes_)} {before} in the first call of "
                "partial_fit. Use the same targets, or a new estimator."
            )
        self._learn(X, Y if self._fitted_loss == "log_loss" else 2 * Y - 1, weights)
        return self

    def _classes(
        self, y, counts, classes=None, at_least: int = 2
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the classes, their indicators (one column for two of them), and the rows' weights."""
        check_classification_targets(y)
        if classes is None:
            classes, codes = np.unique(y, return_inverse=True)
        else:
            codes = codes_of(y, classes)
        weights = counts * self._class_weights(classes, codes, counts)[codes]
        present = np.unique(codes[weights > 0])
        if len(present) < at_least:
            raise ValueError(
                f"{type(self).__name__} needs rows of at least 2 classes with a positive weight; got "
                f"{len(present)} class(es): {classes[present]}."
            )
        k = len(classes)
        Y = (codes == 1)[:, None] if k == 2 else codes[:, None] == np.arange(k)
        return classes, Y.astype(np.float64), weights

    def _labels(self, y, counts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the numbers of the labels, their indicators, and the rows' weights."""
        Y = indicators(y)
        if self.class_weight is not None:
            raise ValueError(
                f"class_weight weighs rows by their class, and multilabel rows have none; got "
                f"class_weight={self.class_weight!r} and {Y.shape[1]} labels. Use sample_weight."
            )
        return np.arange(Y.shape[1]), Y, counts

    @property
    def _multilabel(self) -> bool:
        """Whether y is, or was, an indicator matrix of labels."""
        return getattr(self, "multilabel_", False)

    def _task(self) -> Task:
        """Return what a classifier adds to a fit."""
        centre, exclusive = self.fit_intercept, not self._multilabel

        def scale_targets(Y, weights) -> Targets:
            if self.loss == "squared_error":
                return TargetScaling.of(Y, weights, centre=centre)
            return ClassScaling.of(Y, weights, centre=centre, exclusive=exclusive)

        def loss(target: Targets) -> Loss:
            if self.loss == "squared_error":
                return SquaredError()
            several = exclusive and len(target.origin) > 1
            return (CrossEntropy if several else BinaryCrossEntropy)(target.origin)

        return Task(
            scale_targets=scale_targets,
            loss=loss,
            score=self._log_score,
            split=lambda Y, left_out, seed: hold_out(
                left_out, seed, self.validation_fraction, self._strata(Y)
            ),
            balanced=True,  # labels are noisy: smoother networks have lower log-losses
            classes=True,
        )

    def _class_weights(self, classes, codes, weights) -> np.ndarray:
        """Return one weight for each class."""
        if self.class_weight == "balanced":
            totals = np.bincount(codes, weights, minlength=len(classes))
            shares = totals / totals.sum() * np.count_nonzero(totals)
            return np.divide(1, shares, out=np.ones_like(shares), where=shares > 0)
        values = compute_class_weight(self.class_weight, classes=classes, y=classes[codes])
        if not (np.isfinite(values).all() and (values >= 0).all() and values.any()):
            raise ValueError(
                f"class_weight must give finite weights >= 0, not all of them 0; got "
                f"{dict(zip(classes.tolist(), values.tolist()))}. Use 0 to leave a class out, or 'balanced'."
            )
        return values

    def _check_same_problem(self, classes, multilabel: bool) -> None:
        """Refuse to continue a fit with other classes or another loss."""
        wrong = []
        if self._multilabel != multilabel:
            kinds = ("one class for each row", "an indicator matrix of labels")
            wrong.append(f"y was {kinds[self._multilabel]} and is now {kinds[multilabel]}")
        if self._fitted_loss != self.loss:
            wrong.append(f"loss was {self._fitted_loss!r} and is now {self.loss!r}")
        if not np.array_equal(classes, self.classes_):
            wrong.append(f"the classes were {self.classes_} and are now {classes}")
        refuse_to_continue(wrong)

    def _strata(self, Y):
        """Return the classes of the rows, or None where they have none, or too few of some to be split."""
        if self._multilabel:
            return None
        codes = (Y[:, 0] > 0).astype(int) if Y.shape[1] == 1 else np.argmax(Y, axis=1)
        _, counts = np.unique(codes, return_counts=True)
        n_held_out = int(np.ceil(self.validation_fraction * len(Y)))
        enough = counts.min() >= 2 and min(n_held_out, len(Y) - n_held_out) >= len(counts)
        return codes if enough else None

    def _log_score(self, Y, F, weights) -> float:
        """Return minus the log-loss, which early stopping watches; of labels, their mean."""
        from sklearn.metrics import log_loss

        P = self._probabilities(F.astype(np.float64))  # in float32 they do not add up to 1
        if self._multilabel:
            return float(np.average(np.log(np.where(Y > 0, P, 1 - P)).mean(axis=1), weights=weights))
        codes = (Y[:, 0] > 0).astype(int) if Y.shape[1] == 1 else np.argmax(Y, axis=1)
        return -log_loss(codes, P, sample_weight=weights, labels=np.arange(P.shape[1]))

    def _probabilities(self, F) -> np.ndarray:
        """Return the probabilities of the classes for unscaled outputs F, (n, n_classes)."""
        if self._fitted_loss == "log_loss":
            return np.exp(self._log_probabilities(F))
        if self._multilabel:
            return np.clip((1 + F) / 2, CLIPPED, 1 - CLIPPED)
        scores = np.hstack([-F, F]) if F.shape[1] == 1 else F
        P = np.clip((1 + scores) / 2, CLIPPED, 1 - CLIPPED)
        return P / P.sum(axis=1, keepdims=True)

    def _log_probabilities(self, F) -> np.ndarray:
        """Return their logarithms, of outputs that are log-odds."""
        return -np.logaddexp(0, -F) if self._multilabel else log_probabilities(F)

    def _outputs(self, X) -> np.ndarray:
        """Return the network's outputs, (n, 1) or (n, n_classes)."""
        X, model = self._rows_and_model(X)
        with np.errstate(over="ignore"):
            F = self._predictions(model, X)
        largest = np.finfo(F.dtype).max / 4
        return np.clip(F, -largest, largest)  # infinite scores would have no probabilities

    def decision_function(self, X) -> np.ndarray:
        """Return the scores that decide between the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            For two classes the log-odds of ``classes_[1]``; else one score for each class, of which
            the softmax gives the probabilities; of labels, the log-odds of each. With
            ``loss="squared_error"``, estimates of the ±1 targets.
        """
        F = self._outputs(X)
        return F.ravel() if F.shape[1] == 1 else F

    def predict(self, X) -> np.ndarray:
        """Predict the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_labels)
            The class with the highest score; of labels, an indicator matrix of those that are more likely
            than not.
        """
        F = self._outputs(X)
        if self._multilabel:
            return (F > 0).astype(int)
        return self.classes_[(F[:, 0] > 0).astype(int) if F.shape[1] == 1 else np.argmax(F, axis=1)]

    def predict_proba(self, X) -> np.ndarray:
        """Predict the probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        P : ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of ``classes_``. Of labels, the probability of each, as
            `sklearn.neural_network.MLPClassifier` returns it: rows do not add up to 1.
        """
        return self._probabilities(self._outputs(X))

    def predict_log_proba(self, X) -> np.ndarray:
        """Predict the logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        log_P : ndarray of shape (n_samples, n_classes)
            Logarithms of the probabilities, finite where those underflow.
        """
        F = self._outputs(X)
        logs = self._fitted_loss == "log_loss"
        return self._log_probabilities(F) if logs else np.log(self._probabilities(F))
