"""Training: one objective, one driver, one history; a solver supplies ``init`` and ``step``."""

from collections.abc import Callable

from .adam import Adam
from .driver import NoStep, Solver, train
from .gradient_descent import GradientDescent
from .lbfgs import LBFGS
from .lm import LevenbergMarquardt
from .messages import (
    INTERRUPTED_AFTER,
    INTERRUPTED_BEFORE,
    UNCERTAINTY_INTERRUPTED,
    message,
    nothing_found,
)
from .objective import Objective
from .records import History, Progress, TrainingState, TrainingStatus
from .samples import train_on_samples

# Adding a solver: its file, and its line here. A factory is given the estimator's settings.
SOLVERS: dict[str, Callable[..., Solver]] = {
    "lm": lambda settings: LevenbergMarquardt(),
    "gd": lambda settings: GradientDescent(settings.learning_rate),
    "adam": lambda settings: Adam(settings.learning_rate, settings.batch_size, settings.rng),
    "lbfgs": lambda settings: LBFGS(),
}

__all__ = [
    "INTERRUPTED_AFTER",
    "INTERRUPTED_BEFORE",
    "SOLVERS",
    "UNCERTAINTY_INTERRUPTED",
    "History",
    "NoStep",
    "Objective",
    "Progress",
    "Solver",
    "TrainingState",
    "TrainingStatus",
    "message",
    "nothing_found",
    "train",
    "train_on_samples",
]
