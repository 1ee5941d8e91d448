"""The model that the attributes of a fitted estimator stand for."""

from __future__ import annotations

import numpy as np

from .limit_model import LimitModel
from .network_model import NetworkModel


def fitted_model(estimator) -> NetworkModel | LimitModel:
    """Return the model of a fitted estimator, made of its attributes.

    Its ``equilibrium_solver`` and ``equilibrium_tol`` count as they are now.
    """
    attributes = vars(estimator)
    return LimitModel.of(attributes) if attributes["width_"] == np.inf else NetworkModel.of(attributes)
