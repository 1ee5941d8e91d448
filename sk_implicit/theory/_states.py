"""The networks of an estimator, at its start and fitted, and its inputs as they see them."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from scipy import sparse

from .._estimator.pipelines import taken_apart
from .._estimator.validate import unlearnt_inputs, validated_rows
from ..equilibrium import EquilibriumOptions
from ..inputs.rows import distinct_rows
from ..models import FittedModel, NetworkModel, fitted_model
from ..network import Network, Shape, draw_network, units
from ..network.tangent import TangentFeatures, joint_kernel

# Accuracy of equilibria and adjoints for a kernel matrix that is returned.
_TOL = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 1e-6}


def network_inputs(estimator, X) -> Any:
    """Return the rows as the estimator's network sees them, [(X, e(X)) / scale, bias].

    Parameters
    ----------
    estimator : ImplicitReLURegressor, ImplicitReLUClassifier or a Pipeline that ends in one
        Fitted, or not: then the scale is the one that ``fit`` with ``relevance=None`` would measure on X
        (relevances are learnt from y). The steps before it must be fitted.
    X : array or sparse matrix of shape (n, d)
        Inputs, of the whole pipeline where it is one.

    Returns
    -------
    inputs : ndarray or CSR array of shape (n, p)
        p is d, one more with ``fit_intercept=True``, and ``relevance="auto"`` adds the encoded columns.
    """
    estimator, X = taken_apart(estimator, X)
    if _is_fitted(estimator):
        return _seen(estimator, fitted_model(estimator), X)
    X = _floats(X)
    return unlearnt_inputs(estimator, X).apply(X)


def tangent_kernel(estimator, X, Y=None) -> np.ndarray:
    """Return the tangent kernel K = J Jᵀ of an estimator's network, J the Jacobian in all weights.

    Parameters
    ----------
    estimator : ImplicitReLURegressor, ImplicitReLUClassifier or a Pipeline that ends in one
        Fitted; or not, and then K is that of the start that ``fit`` with ``relevance=None`` would draw
        for X and one output (give ``random_state`` as an int for the same start in every call).
    X : array or sparse matrix of shape (n, d)
        Inputs of the rows of K.
    Y : array or sparse matrix of shape (n', d), default=None
        Inputs of its columns; X by default.

    Returns
    -------
    K : ndarray of shape (k n, k n')
        For k outputs, output by output: entry (c n + i, c' n' + j) is the inner product of the gradients
        of f_c(x_i) and f_c'(y_j). In units of the scaled targets, on which the network is trained:
        ``K * y_scale_**2`` is in those of y.

    Raises
    ------
    ValueError
        If an equilibrium is not reached.
    """
    Y = None if Y is None else taken_apart(estimator, Y)[1]
    estimator, X = taken_apart(estimator, X)
    _require_finite(estimator)
    if _is_fitted(estimator):
        model = _network_model(estimator)
        network = model.network
        rows = _seen(estimator, model, X)
        columns = None if Y is None else _seen(estimator, model, Y)
    else:
        X = _floats(X)
        inputs = unlearnt_inputs(estimator, X)
        rows = inputs.apply(X)
        columns = None if Y is None else inputs.apply(_floats(Y))
        n = distinct_rows(X, np.zeros((X.shape[0], 0)), np.ones(X.shape[0])).X.shape[0]
        network = _draw(estimator, Shape(units(estimator.width, n), rows.shape[1], 1), rows.dtype)
    left = tangent_features(network, rows)
    return joint_kernel(left, None if columns is None else tangent_features(network, columns))


def tangent_features(
    network: Network, X, *, tol: float | None = None, near: TangentFeatures | None = None
) -> TangentFeatures:
    """Solve for the equilibrium and the adjoints; ``near`` has those of a network nearby, to start from."""
    options = EquilibriumOptions(tol=_TOL[np.dtype(network.A.dtype)] if tol is None else tol)
    layers, result = network.forward(X, options, Z0=None if near is None else near.layers.Z)
    if not result.converged:
        raise ValueError(
            f"The equilibrium was not reached for every row ({result.status.message}); without it "
            "there is no tangent kernel. Is the network well-posed? See sk_implicit.theory.well_posedness."
        )
    return TangentFeatures.at(network, layers, options, start=None if near is None else near.terms)


@dataclass(frozen=True, slots=True)
class States:
    """A fitted estimator's networks and inputs.

    Attributes
    ----------
    model : NetworkModel
        What was fitted.
    start, end : Network
        The networks that training started from and ended with, in float64.
    X : (n, p) array or CSR array
        Inputs as they see them, in float64.
    """

    model: NetworkModel
    start: Network
    end: Network
    X: np.ndarray


def fitted_states(estimator, X) -> States:
    """Return start, end and inputs of a fitted estimator.

    The start is stored with ``output_init="centred"`` or ``warm_start=True``; otherwise it is drawn again
    from ``random_state``, which must then be an int, and checked against the contraction that training
    recorded.

    Raises
    ------
    ValueError
        If the estimator is not fitted, or its start is not to be had.
    """
    _require_finite(estimator)
    if not _is_fitted(estimator):
        raise ValueError(
            f"This {type(estimator).__name__} is not fitted: a certificate compares the start of training "
            "with its end. Call fit first."
        )
    model = _network_model(estimator)
    start = model.start if model.start is not None else _redrawn(estimator, model.network)
    inputs = _seen(estimator, model, X).astype(np.float64, copy=False)
    return States(model, _double(start), _double(model.network), inputs)


def _network_model(estimator) -> NetworkModel:
    """Return the model of an estimator that was fitted at finite width."""
    model = fitted_model(estimator)
    assert isinstance(model, NetworkModel)
    return model


def _seen(estimator, model: FittedModel, X) -> Any:
    """Return rows as a fitted model sees them."""
    return model.scales.inputs.apply(validated_rows(estimator, X, model.dtype))


def _double(network: Network) -> Network:
    """Return the network in float64, in which the smallest eigenvalues of its kernel are resolved."""
    return network.astype(np.float64)


def _redrawn(estimator, end: Network) -> Network:
    """Draw the start of a fitted estimator again, and check that it is the one that was trained."""
    reason = None
    if not isinstance(estimator.random_state, Integral):
        reason = f"random_state={estimator.random_state!r} cannot draw it again"
    elif estimator.early_stopping:
        reason = "early_stopping=True drew the held-out rows first"
    else:
        start = _draw(estimator, end.shape, end.A.dtype)
        contraction = start.contraction()
        if abs(contraction - estimator.history_["contraction"][0]) <= 1e-3 * contraction:
            return start
        reason = "drawn again from random_state it is another one; were parameters changed since?"
    raise ValueError(
        f"The start of this fit is not stored (output_init={estimator.output_init!r}), and {reason}. Fit "
        "with output_init='centred' or warm_start=True, which keep it, or with an int as random_state."
    )


def _require_finite(estimator) -> None:
    if np.isinf(getattr(estimator, "width_", estimator.width)):
        raise ValueError(
            "width=inf has no weights, hence no tangent kernel of its own and no training to certify: use "
            "sk_implicit.limit.limit_kernel on the rows of network_inputs(estimator, X)."
        )


def _draw(estimator, shape: Shape, dtype) -> Network:
    """Draw the start of that shape as ``fit`` does."""
    return draw_network(
        shape,
        estimator.gamma,
        _generator(estimator.random_state),
        init=estimator.init,
        output_init=estimator.output_init,
        dtype=dtype,
        depth=estimator.depth,
    )


def _generator(seed) -> np.random.RandomState:
    """Return the generator of a ``random_state``, as scikit-learn does."""
    if isinstance(seed, Integral):
        seed = int(seed)
    return np.random.RandomState(seed) if seed is None or isinstance(seed, int) else seed


def _is_fitted(estimator) -> bool:
    return hasattr(estimator, "width_")


def _floats(X):
    """Return X as finite floats, CSR where sparse."""
    X = sparse.csr_array(X) if sparse.issparse(X) else np.asarray(X)
    if X.dtype not in (np.float32, np.float64):
        X = X.astype(np.float64)
    if X.ndim != 2 or X.shape[0] == 0:
        raise ValueError(f"X must have shape (n_samples, n_features), n_samples > 0; got {X.shape}.")
    if not np.isfinite(X.data if sparse.issparse(X) else X).all():
        raise ValueError("X contains NaN or infinity; every entry must be finite.")
    return X
