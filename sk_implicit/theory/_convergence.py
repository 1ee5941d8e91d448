"""The certificate of a fit: the theory's guarantees beside what training did.

The rates it compares are those of `_rates`.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse.linalg import aslinearoperator, eigsh

from .._estimator.pipelines import taken_apart
from .._numerics.spectral import extreme_eigenvalues, operator_norm
from ..models import NetworkModel
from ..network.tangent import joint_kernel
from ._certificate import ConvergenceCertificate
from ._inputs import closest_pair, lambda_0
from ._rates import certified_rate, linearised_rate, observed_rate, worst
from ._states import fitted_states, tangent_features
from ._well_posedness import well_posedness

# Accuracy of equilibria and adjoints: λ_min then has 7 digits at a condition number of 1e5, for the errors
# of different rows hardly add up. A unit that is nearer to its kink may be taken for the wrong side of it,
# which was seen to change λ_min by 0.2 %.
_TOL = 1e-6
# Joint kernels are formed up to this order: two of them, and a factor, are alive at a time.
_MAX_ORDER = 20_000
# Squared error that predictions at accuracy _TOL may have, relative to the variance of y.
_ROUNDING_OF_F = 1e-8
# Share of the steps that final_rate looks at.
_FINAL = 0.25


def convergence_certificate(estimator, X, y=None, sample_weight=None) -> ConvergenceCertificate:
    """Compare a fit with what the theory guarantees for it.

    Parameters
    ----------
    estimator : ImplicitReLURegressor, ImplicitReLUClassifier or a Pipeline that ends in one
        Fitted. Its start must be stored (``output_init="centred"`` or ``warm_start=True``) or be
        drawn again from an int ``random_state``.
    X : array or sparse matrix of shape (n, d)
        The training inputs, of the whole pipeline where it is one.
    y : array of shape (n,) or (n, k), default=None
        The training targets of a regressor, to check that these are the rows of the fit.
    sample_weight : array of shape (n,), default=None
        The weights of the fit.

    Returns
    -------
    certificate : ConvergenceCertificate
        A record that prints as text and shows as a table in a notebook.

    Raises
    ------
    ValueError
        If the estimator is not fitted, or was made by ``from_mlp`` and not trained since, its start is not to
        be had, an equilibrium is not reached, or the kernel would have more than 20000 rows.

    Notes
    -----
    Two forward passes and adjoints, two tangent kernels (four products each), and for each of them
    Lanczos iterations and two Cholesky factorisations: about a Levenberg-Marquardt step, and no
    eigendecomposition.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_implicit import ImplicitReLURegressor
    >>> from sk_implicit.theory import convergence_certificate
    >>> X = np.random.RandomState(0).standard_normal((30, 5))
    >>> model = ImplicitReLURegressor(400, solver="gd", alpha=0, max_iter=200, tol=0, random_state=0)
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # more than 200 steps would lower the loss further
    ...     model = model.fit(X, X[:, 0])
    >>> certificate = convergence_certificate(model, X, X[:, 0])
    >>> certificate.certified, certificate.observed_rate > certificate.certified_rate > 0
    (True, True)
    """
    estimator, X = taken_apart(estimator, X)
    states = fitted_states(estimator, X)
    _require_training(estimator)
    model, start, end = states.model, states.start, states.end
    n, k = states.X.shape[0], end.shape.k
    if n * k > _MAX_ORDER:
        raise ValueError(
            f"The tangent kernel of {n} rows and {k} outputs has order {n * k}; up to {_MAX_ORDER} is "
            "certified. Fit and certify fewer rows."
        )
    weights = np.ones(n) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (n,) or not (weights >= 0).all() or not weights.any():
        raise ValueError(
            f"sample_weight must be {n} non-negative numbers, a row's weight each, not all of them 0."
        )
    inputs, kept = states.X, weights > 0
    if not kept.all():
        inputs, weights = inputs[kept], weights[kept]
    root = np.tile(np.sqrt(weights), k)

    tangent_start = tangent_features(start, inputs, tol=_TOL)
    tangent_end = tangent_features(end, inputs, tol=_TOL, near=tangent_start)
    reproduced = None
    loss = model.loss
    if y is not None and not hasattr(estimator, "classes_") and loss == "squared_error":
        reproduced = _reproduces(model, tangent_start, tangent_end, y, kept, weights)
    S = _weighted(joint_kernel(tangent_start), root)
    del tangent_start
    S_end = _weighted(joint_kernel(tangent_end), root)
    del tangent_end
    at_start, at_end = extreme_eigenvalues(S), extreme_eigenvalues(S_end)
    S_end -= S
    kernel_drift = _symmetric_norm(S_end)
    del S, S_end

    history = estimator.history_
    observable = estimator.alpha_ == 0 and loss == "squared_error"
    smallest, largest = worst(at_start, at_end)
    step = _reciprocal(at_start.largest)
    if estimator.solver == "gd" and estimator.n_iter_:
        step = history["step_size"][-1]
    errors, kept_error = history["squared_error"], model.squared_error
    contraction = np.array(history["contraction"])
    return ConvergenceCertificate(
        n_samples=n,
        n_outputs=k,
        width=end.shape.m,
        depth=end.depth,
        solver=estimator.solver,
        start=at_start,
        end=at_end,
        kernel_drift=kernel_drift,
        lambda_0=lambda_0(inputs),
        closest=closest_pair(inputs),
        step=float(step),
        certified_rate=certified_rate(smallest, largest, step),
        linearised_rate=linearised_rate(smallest, largest, step),
        flow_rate=2 * smallest,
        observed_rate=observed_rate(errors) if observable else np.nan,
        final_rate=observed_rate(errors, share=_FINAL) if observable else np.nan,
        decrease=kept_error / errors[0] if errors[0] > 0 else np.nan,
        drift_A=_relative_drift(end.A, start.A),
        drift_W=_relative_drift(end.W, start.W),
        contraction=(float(contraction[0]), float(estimator.contraction_), float(contraction.max())),
        well_posed=well_posedness(end.A, end.gamma),
        penalty=float(estimator.alpha_),
        loss=loss,
        reproduced=reproduced,
    )


def _require_training(estimator) -> None:
    """Refuse a network that was made elsewhere and has taken no step."""
    if np.isnan(estimator.loss_):
        raise ValueError(
            f"This {type(estimator).__name__} has the weights of another model and is not trained yet: a "
            "certificate compares the start of training with its end. Call fit first."
        )


def _reciprocal(value: float) -> float:
    return 1 / value if value > 0 else np.inf


def _weighted(K: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Return √W K √W in float64, in place where it is."""
    K = K.astype(np.float64, copy=False)
    if not (root == 1).all():
        K *= root[:, None]
        K *= root
    return K


def _symmetric_norm(D: np.ndarray) -> float:
    """Return ‖D‖₂ of a symmetric matrix, by Lanczos."""
    if len(D) <= 64 or not D.any():
        return float(np.linalg.norm(D, 2)) if len(D) else 0.0
    v0 = np.random.RandomState(0).standard_normal(len(D))
    value = eigsh(aslinearoperator(D), k=1, which="LM", v0=v0, tol=1e-6, return_eigenvectors=False)
    return float(abs(value[0]))


def _relative_drift(now: np.ndarray, start: np.ndarray) -> float:
    """Return ‖A − A₀‖₂/‖A₀‖₂."""
    reference = _norm(start)
    drift = _norm(now - start)
    return drift / reference if reference > 0 else (np.inf if drift > 0 else 0.0)


def _norm(B: np.ndarray) -> float:
    if B.shape[0] < B.shape[1]:
        B = B.T
    return operator_norm(B)[0]


def _reproduces(model: NetworkModel, at_start, at_end, y, kept, weights) -> bool:
    """Whether the squared error at these rows is the one that training kept the weights for."""
    y = np.asarray(y, dtype=np.float64)
    k = at_end.network.shape.k
    if y.shape not in ([(len(kept),)] if k == 1 else []) + [(len(kept), k)]:
        raise ValueError(f"y must have {len(kept)} rows, as X has, of {k} targets; got shape {y.shape}.")
    target = model.scales.target
    scaled = (y.reshape(len(y), -1)[kept] - target.mean) / np.where(target.scale > 0, target.scale, np.inf)
    F = at_end.network.output(at_end.layers)
    if model.centred:
        F -= at_start.network.output(at_start.layers)
    squares = np.einsum("nk,nk->n", scaled - F, scaled - F)
    error = float(weights @ squares / (weights.sum() * scaled.shape[1]))
    expected = model.squared_error
    return bool(abs(error - expected) <= 1e-3 * expected + _ROUNDING_OF_F)
