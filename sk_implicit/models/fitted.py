"""The model that the attributes of a fitted estimator stand for."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from .limit_model import LimitModel
from .network_model import NetworkModel

# Models that served few rows, with the attributes that each was made of. A service asks for a row at a time:
# what is derived of the weights (copies in another precision, scaled, normalised) is worth keeping there.
_KEPT: WeakKeyDictionary[Any, tuple[dict[str, Any], NetworkModel | LimitModel]] = WeakKeyDictionary()


def fitted_model(estimator, *, keep: bool = False) -> NetworkModel | LimitModel:
    """Return the model of a fitted estimator, made of its attributes.

    Its ``equilibrium_solver`` and ``equilibrium_tol`` count as they are now.

    Parameters
    ----------
    estimator : estimator
        A fitted one.
    keep : bool, default=False
        Whether `kept_model` will know it. The estimator's arrays become read-only, so that none can change
        unseen: one that is set anew counts, as always.
    """
    attributes = vars(estimator)
    model = LimitModel.of(attributes) if attributes["width_"] == np.inf else NetworkModel.of(attributes)
    if keep:
        for value in attributes.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        _KEPT[estimator] = dict(attributes), model
    return model


def kept_model(estimator) -> NetworkModel | LimitModel | None:
    """Return the model that was kept of an estimator; None where none was, or an attribute was set since."""
    of, model = _KEPT.get(estimator, (None, None))
    attributes = vars(estimator)
    if of is None or len(of) != len(attributes):
        return None
    return model if all(attributes.get(name, of) is value for name, value in of.items()) else None
