"""What a fit is told: the parameters that it reads, and what a regressor or a classifier adds to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any, Protocol, Self

import numpy as np

from ..function_space.leaving_out import LeavingOut
from ..function_space.losses import Loss
from ..inputs.targets import Targets
from ..training import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The parameters of an estimator that a fit reads, under their names there.

    Three of them a classifier does not have: ``clip`` and ``quantile`` are then None, ``uncertainty`` False.
    """

    width: float
    loss: str
    quantile: float | list[float] | None = None
    gamma: float
    depth: float
    fit_intercept: bool
    solver: str
    relevance: str | None
    standardize: bool
    alpha: float | str
    clip: bool | str | tuple[float, float] | None = None
    init: str
    output_init: str
    equilibrium_solver: str
    equilibrium_tol: float | str
    max_iter: int
    tol: float
    learning_rate: float | str
    batch_size: int | str
    early_stopping: bool
    n_iter_no_change: int
    uncertainty: bool = False
    warm_start: bool
    n_jobs: int | None

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Self:
        """Take what is read from all parameters of an estimator."""
        read = {f.name: parameters[f.name] for f in fields(cls) if f.name in parameters}
        if "quantile" in read:  # an array, or several, as what a pickle holds
            read["quantile"] = np.asarray(read["quantile"], dtype=np.float64).tolist()
        return cls(**read)

    @property
    def at_infinity(self) -> bool:
        """Whether the width is infinite."""
        return self.width == np.inf

    @property
    def n_layers(self) -> float:
        """The depth as an int, or infinite."""
        return int(self.depth) if isfinite(self.depth) else np.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a regressor or a classifier adds to a fit: a record of functions.

    Attributes
    ----------
    scale_targets : callable
        ``scale_targets(Y, weights)`` measures what takes targets to the network's scale, and back.
    loss : callable
        ``loss(target)`` is the loss that training minimises, given that scaling.
    score : callable
        ``score(Y, predictions, weights)`` is what early stopping watches.
    split : callable
        ``split(Y, left_out, seed)`` returns the numbers of the rows that are kept and of those
        that are held out.
    balanced : bool
        Whether the constant input is as large as the features together, instead of 1 (see `choose_inputs`).
    categorical : (d,) bool array or None
        Which columns are numbers of levels; None for none.
    spread : bool
        Whether the network is to follow how far targets spread, too (see `choose_inputs`).
    classes : bool
        Whether targets are indicators of classes (see `choose_inputs`).
    """

    scale_targets: Callable[[np.ndarray, np.ndarray], Targets]
    loss: Callable[[Targets], Loss]
    score: Callable[[np.ndarray, np.ndarray, np.ndarray], float]
    split: Callable[[np.ndarray, LeavingOut, int], tuple[np.ndarray, np.ndarray]]
    balanced: bool = False
    categorical: np.ndarray | None = None
    spread: bool = False
    classes: bool = False


class Listener(Protocol):
    """Who is told of the steps of a fit."""

    def begins_step(self) -> None:
        """Tell that a step begins."""

    def ends_step(self, progress: Progress, attributes: Callable[[], dict[str, Any]]) -> bool:
        """Tell that a step was taken; return whether to stop.

        ``attributes()`` makes what an estimator would publish if the fit ended here.
        """
