"""What ``warm_start`` keeps between two fits, and what a fit returns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..function_space.penalty import Penalty
from ..inputs.scaling import InputScaling
from ..inputs.targets import Targets
from ..network import Network
from ..training import TrainingState
from .protocol import FittedModel


@dataclass(frozen=True, slots=True)
class FitState:
    """A fit that can be continued: all that is fixed at its start, and where it got to.

    Attributes
    ----------
    inputs, target : InputScaling, Targets
        Scales measured on the first training rows.
    start : Network
        The network before the first step, θ₀.
    solver : str
        The training solver that ``state`` belongs to.
    settings : dict
        Parameters of the estimator that only the start reads, as they were.
    split_seed : int or None
        Seed of the rows that are held out, once some are: the same in fits that continue.
    penalty : Penalty or None
        The penalty; None in a network that was made elsewhere, before it is trained.
    state : TrainingState or None
        Weights, history and the solver's memory; None before the first step.
    """

    inputs: InputScaling
    target: Targets
    start: Network
    solver: str
    settings: dict[str, Any]
    split_seed: int | None = None
    penalty: Penalty | None = None
    state: TrainingState | None = None

    def copied(self) -> FitState:
        """Return a fit to continue without a trace in this one; arrays are shared, and never written to."""
        state = None if self.state is None else self.state.copied()
        return replace(self, settings=dict(self.settings), state=state)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a fit returns.

    Attributes
    ----------
    model : NetworkModel or LimitModel
        What predictions are computed from.
    facts : dict
        What else an estimator publishes of the fit: steps, losses, penalty, certificates.
    state : FitState or None
        Where to continue from.
    warning : str or None
        What a user is to be told.
    """

    model: FittedModel
    facts: dict[str, Any]
    state: FitState | None = None
    warning: str | None = None

    def but(self, warning: str) -> Fitted:
        """Return the fit with more to tell."""
        return replace(self, warning=" ".join(filter(None, (self.warning, warning))))

    def attributes(self) -> dict[str, Any]:
        """Return all that an estimator publishes."""
        return self.model.attributes() | self.facts
