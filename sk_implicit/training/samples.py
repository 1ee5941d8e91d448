"""Training on growing samples of the rows, so that large tables begin with steps that are exact.

Up to some thousand rows a step is solved exactly, with a damping of A and W alone, and a trial costs little.
Beyond, steps are solved by iteration, to a few digits, and the first of them decide by chance which features
the network learns. So the first steps are taken on a random sample that can be solved exactly, those that
follow on larger ones, and the last on all rows, from the weights that the sample before has led to. The
penalty a is that of all rows throughout: it stands for the noise's variance, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import tangent_system
from .driver import Solver, train
from .objective import Objective
from .records import TrainingState, TrainingStatus


@dataclass(frozen=True, slots=True)
class Growth:
    """How samples grow; chosen on a robot arm's 6,000 rows, three values each.

    Attributes
    ----------
    first : float
        Size of the first sample, relative to the most rows that are solved exactly.
    factor : float
        From one sample to the next, at most.
    tol : float
        Factor of the tolerance on samples: what they leave is for more rows to gain.
    share : float
        Share of the steps that all samples together may take, where ``max_iter`` is what ends them.
    """

    first: float = 0.5
    factor: float = 2.0
    tol: float = 3.0
    share: float = 0.5


_DEFAULT = Growth()
# Ends after which no larger sample is gone on with.
_ENDED = (TrainingStatus.STOPPED, TrainingStatus.INTERRUPTED)


def sample_sizes(n: int, growth: Growth = _DEFAULT) -> list[int]:
    """Return the sizes of the samples before all n rows; none where n rows are solved exactly."""
    largest = tangent_system.LIMITS.factored_rows
    if n <= largest:
        return []
    first = growth.first * largest
    steps = int(np.ceil(np.log(n / first) / np.log(growth.factor)))
    return [round(first * (n / first) ** (i / steps)) for i in range(steps)]


def train_on_samples(
    objective: Objective, solver: Callable[[], Solver], *, max_iter: int, tol: float,
    previous: TrainingState | None = None, growth: Growth = _DEFAULT, **options: Any,
) -> TrainingState:  # fmt: skip
    """Train on growing samples of the rows, then on all of them.

    Small tables, training that goes on from an earlier fit, and solvers whose steps cost little take all rows
    at once.

    Parameters
    ----------
    objective : Objective
        What is minimised.
    solver : callable
        Makes a solver: one for each sample, which may remember what it computed of the rows.
    max_iter : int
        Steps to take, at most, on samples and on all rows together.
    tol, previous, options
        As in `train`.
    growth : Growth
        How samples grow.
    """
    n, taken, resampled = len(objective.weights), 0, False
    if previous is None and solver().by_samples:
        order = np.random.RandomState(0).permutation(n)
        for size in sample_sizes(n, growth):
            steps = int(growth.share * max_iter) - taken
            if steps <= 0:
                break
            try:
                sample = objective.sample(np.sort(order[:size]))
                previous = train(
                    sample, solver(), max_iter=steps, tol=growth.tol * tol, previous=previous,
                    resampled=resampled, **options,
                )  # fmt: skip
            except KeyboardInterrupt:  # between two samples
                if previous is None:
                    raise
                previous.status = TrainingStatus.INTERRUPTED
            taken, resampled = previous.history.n_iter, True
            if previous.status in _ENDED:
                return previous
    return train(
        objective, solver(), max_iter=max_iter - taken, tol=tol, previous=previous, resampled=resampled,
        **options,
    )  # fmt: skip
