"""Fitted models, which know no estimator, and the two functions that fit them."""

from .finite_width import fit_network
from .fitted import fitted_model, kept_model
from .infinite_width import fit_limit
from .limit_model import LimitModel
from .network_model import NetworkModel
from .protocol import FittedModel, Outputs, predictions
from .scales import Scales
from .settings import Listener, Settings, Task
from .state import FitState, Fitted
from .stream import Stream, learn_batch

__all__ = [
    "FitState",
    "Fitted",
    "FittedModel",
    "LimitModel",
    "Listener",
    "NetworkModel",
    "Outputs",
    "Scales",
    "Settings",
    "Stream",
    "Task",
    "fit_limit",
    "fit_network",
    "fitted_model",
    "kept_model",
    "learn_batch",
    "predictions",
]
