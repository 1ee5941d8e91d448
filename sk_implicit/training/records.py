"""Records of training: how it ended, what each step did, and where it got to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from enum import Enum

import numpy as np

from ..network import Network


class TrainingStatus(Enum):
    """How training ended."""

    CONVERGED = "converged"
    EARLY_STOPPED = "early_stopped"
    STOPPED = "stopped"
    MAX_ITER = "max_iter"
    STALLED = "stalled"
    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"


@dataclass(slots=True)
class History:
    """What every step of training left behind, whatever the solver; entry 0 is the start.

    Attributes
    ----------
    loss : list of float
        The objective per unit of weight and output: half the mean squared error of the scaled
        targets, plus the penalty.
    squared_error : list of float
        The mean squared error alone, in units of the target's variance.
    contraction : list of float
        ‖sA‖₂.
    step_size : list of float
        Damping μ ("lm"), learning rate ("gd", "adam") or length along the line ("lbfgs").
    validation_score : list of float
        Score on the held-out rows, with early stopping only.
    n_rows : list of int
        Distinct rows that it was measured on: large tables begin with samples (`training.samples`).
    """

    loss: list[float] = field(default_factory=list)
    squared_error: list[float] = field(default_factory=list)
    contraction: list[float] = field(default_factory=list)
    step_size: list[float] = field(default_factory=list)
    validation_score: list[float] = field(default_factory=list)
    n_rows: list[int] = field(default_factory=list)

    def copied(self) -> History:
        """Return a history of its own."""
        return History(*(list(getattr(self, part.name)) for part in fields(self)))

    @property
    def n_iter(self) -> int:
        """Number of steps taken."""
        return max(len(self.loss) - 1, 0)

    @property
    def last_change(self) -> float:
        """How much the last step changed the objective; infinite before the first."""
        return abs(self.loss[-2] - self.loss[-1]) if self.n_iter else float("inf")


@dataclass(frozen=True, slots=True)
class Progress:
    """What a monitor is shown after each step."""

    n_iter: int
    history: History
    network: Network


Monitor = Callable[[Progress], bool]
"""Called after each step; returning True stops training."""


@dataclass(slots=True)
class TrainingState:
    """Everything that continuing needs: plain values and weights, no training data.

    Attributes
    ----------
    solver_state : object
        The solver's own record.
    history : History
        All steps so far.
    theta : (n_weights,) array
        The current weights, from which training continues.
    best_theta : (n_weights,) array
        The weights to use: those of the best score, or the current ones.
    best_score : float
        The best validation score, or minus the best loss.
    best_loss : float
        The loss of ``best_theta``.
    equilibrium_residual : float
        The largest relative residual of its equilibria on the training rows.
    n_no_change : int
        Steps without improvement, so far.
    status : TrainingStatus
        How training ended.
    best_squared_error : float
        The squared error of ``best_theta``.
    """

    solver_state: object
    history: History
    theta: np.ndarray
    best_theta: np.ndarray
    best_score: float
    best_loss: float
    equilibrium_residual: float
    n_no_change: int
    status: TrainingStatus
    best_squared_error: float = float("nan")

    def copied(self) -> TrainingState:
        """Return a state with a history of its own."""
        return replace(self, history=self.history.copied())
