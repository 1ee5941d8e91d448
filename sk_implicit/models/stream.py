"""Rows in batches at finite width: scales and start of the first batch, recursive steps from then on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..equilibrium import EquilibriumOptions
from ..function_space.penalty import Penalty
from ..inputs.rows import DistinctRows
from ..network import Network
from ..training.recursive import Batch, Information, learn, least_penalty, parts
from .finite_width import untrained_model
from .network_model import NetworkModel
from .settings import Settings, Task
from .start import new_start, penalised
from .state import Fitted

# Relative residual of equilibria and adjoints along a stream: far below what a batch can tell.
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Stream:
    """What is kept of a stream of rows between two batches, beside the model.

    Attributes
    ----------
    penalty : Penalty
        The penalty, chosen on the first batch.
    information : Information
        What the rows so far say of the weights.
    losses : list of float
        Mean loss of the rows of each call, before they were learnt.
    certified : bool
        Whether the start was certified to have one equilibrium for every input.
    """

    penalty: Penalty
    information: Information
    losses: list[float]
    certified: bool


def learn_batch(
    rows: DistinctRows, task: Task, settings: Settings, *, rng: np.random.RandomState,
    previous: Mapping[str, Any] | None,
) -> Fitted:  # fmt: skip
    """Learn rows of positive weight, the first ones of a stream or further ones.

    Parameters
    ----------
    rows : DistinctRows
        The rows.
    task : Task
        What is to be learnt of them.
    settings : Settings
        How; after the first batch, the scales, the network and the penalty stay.
    rng : numpy.random.RandomState
        Draws the start.
    previous : mapping or None
        Attributes that were published of the stream so far; None to begin one.

    Raises
    ------
    ValueError
        If the start has no equilibrium, or a row is beyond what the network has an output for.
    """
    model, stream = _begun(rows, task, settings, rng) if previous is None else _resumed(previous)
    model = replace(model, scales=model.scales.widened(rows.X, rows.Y, settings.clip))
    target, loss = model.scales.target, task.loss(model.scales.target)
    options = EquilibriumOptions(settings.equilibrium_solver, TOLERANCE)
    X = model.scales.inputs.apply(rows.X).astype(model.dtype, copy=False)
    Y = target.apply(rows.Y, model.dtype)
    network, information, total = model.network, stream.information, 0.0
    for part in parts(len(Y), Y.shape[1]):
        batch = Batch(X[part], Y[part], rows.weights[part], _offset(model, X[part], options))
        if not information.n_batches:
            least = least_penalty(information.penalty, network, batch, options)
            information = Information.of(least, network, loss)
        network, information, before = learn(
            network, batch, loss, information, options, certified=stream.certified
        )
        total += before
    unit = float(rows.weights.sum()) * loss.n_terms(Y.shape[1])
    stream = replace(stream, information=information, losses=[*stream.losses, total / unit])
    return _fitted(replace(model, network=network), stream)


def _begun(
    rows: DistinctRows, task: Task, settings: Settings, rng: np.random.RandomState
) -> tuple[NetworkModel, Stream]:
    """Measure the scales, draw the network and choose the penalty on the first batch."""
    fit, objective = penalised(new_start(rows, task, settings, rng), rows, task, settings)
    penalty = fit.penalty
    assert penalty is not None, "chosen"
    certified = np.isfinite(objective.max_contraction)
    nothing = Information.of(penalty.absolute, fit.start, objective.loss)
    return untrained_model(fit, rows, task, settings), Stream(penalty, nothing, [], bool(certified))


def _resumed(previous: Mapping[str, Any]) -> tuple[NetworkModel, Stream]:
    return NetworkModel.of(previous), previous["_stream"]


def _offset(model: NetworkModel, X, options: EquilibriumOptions) -> np.ndarray:
    """Return what the start predicts where it is subtracted, (n, k) or 0."""
    if not model.centred or model.start is None:
        return np.zeros((1, model.network.shape.k), model.dtype)
    layers, _ = model.start.forward(X, options)
    return model.start.output(layers)


def _fitted(model: NetworkModel, stream: Stream) -> Fitted:
    """Return what an estimator publishes of a stream."""
    network: Network = model.network
    facts = {
        "n_iter_": stream.information.n_batches,
        "loss_": stream.losses[-1],
        "loss_curve_": list(stream.losses),
        "alpha_": stream.penalty.relative,
        "contraction_": network.contraction(),
        "_stream": stream,
    }
    if stream.penalty.score is not None:
        facts["loo_score_"] = stream.penalty.score
    return Fitted(model, facts)
