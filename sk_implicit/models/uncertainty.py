"""What a fitted model keeps for standard deviations, and those of new rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..function_space.leaving_out import LeavingOut
from ..function_space.penalty import Penalty
from ..function_space.posterior import LeftOutRows, Posterior, calibrated, leave_out
from ..function_space.ridge import choose_landmarks, fit_ridge
from ..inputs.scaling import taken_back
from ..limit import limit_diagonal, limit_kernel
from ..limit._matrix import UnitRows
from ..network import Layers, Network
from ..network.adjoint import State, Term
from ..network.tangent import TangentFeatures, kernel_block
from .limit_solution import LimitSolution, limit_kernel_rows


def limit_posterior(
    fit: LimitSolution, X, weights: np.ndarray, left_out: LeavingOut, *, gamma: float
) -> Posterior:
    """Return the posterior of the infinitely wide network; the outputs share its kernel.

    Parameters
    ----------
    fit : LimitSolution
        The trained network, a ridge regression.
    X, weights, left_out, gamma
        As in `solve_limit`.
    """
    kernel = limit_kernel_rows(X, fit.landmarks, gamma)
    diagonal = limit_diagonal(X, gamma=gamma)
    rows = LeftOutRows(weights, left_out, fit.landmarks, fit.penalty.optimism)
    ridge = fit.ridge
    if ridge is None:
        raise ValueError("Standard deviations are those of the squared error; got another loss.")
    predictions = [leave_out(ridge, c, kernel, diagonal, rows) for c in range(fit.dual.shape[1])]
    return calibrated([ridge.system], predictions, left_out.mean_weight(weights))


def tangent_posterior(
    tangent: TangentFeatures, drift: np.ndarray, residual: np.ndarray, weights: np.ndarray,
    left_out: LeavingOut, penalty: Penalty,
) -> tuple[Posterior, TangentFeatures]:  # fmt: skip
    """Return the posterior of a network linearised at its optimum, and the Jacobian on the landmarks.

    The outputs are taken as independent: a network's outputs share A and W, and the blocks of the kernel
    between two of them, of relative size 1/√m at the start, are left out.

    Parameters
    ----------
    tangent : TangentFeatures
        The Jacobian on the training rows.
    drift : (n_weights,) array
        θ − θ₀.
    residual : (n, k) array
        Targets less predictions.
    weights : (n,) array
        Positive sample weights.
    left_out : LeavingOut
        What is left out at a time.
    penalty : Penalty
        The penalty.
    """
    targets = residual + tangent.jvp(drift)  # what the linearised network was trained on
    landmarks = choose_landmarks(len(weights), left_out)
    rows = LeftOutRows(weights, left_out, landmarks, penalty.optimism)
    spanning, diagonals = tangent.take(landmarks), tangent.kernel_diagonal()
    systems, predictions = [], []
    for c in range(residual.shape[1]):

        def kernel(rows, c=c):
            return kernel_block(tangent.take(rows), spanning, c).astype(np.float64, copy=False)

        fit = fit_ridge(kernel, landmarks, targets[:, c : c + 1], weights, penalty.absolute)
        systems.append(fit.system)
        excess = residual[:, c] - fit.residual[:, 0]
        predictions.append(leave_out(fit, 0, kernel, diagonals[:, c], rows, excess))
    return calibrated(systems, predictions, left_out.mean_weight(weights)), spanning


def tangent_variance(
    posterior: Posterior, spanning: TangentFeatures, new: TangentFeatures, *, full: bool = False
) -> np.ndarray:
    """Return the variance of the function at new rows, (r, k), for the Jacobian on them.

    With ``full``, the covariance between them, (r, r, k).
    """
    outputs = range(len(posterior.systems))
    cross = [kernel_block(new, spanning, c).astype(np.float64, copy=False) for c in outputs]
    if not full:
        return posterior.variance(cross, list(new.kernel_diagonal().T))
    return posterior.covariance(cross, [kernel_block(new, c=c).astype(np.float64) for c in outputs])


def limit_variance(posterior: Posterior, X_p: UnitRows, X, *, gamma: float, full: bool = False) -> np.ndarray:
    """Return the variance of the function, (r, k), given the landmarks and the new augmented rows.

    With ``full``, the covariance between the new rows, (r, r, k).
    """
    X = X.astype(np.float64)
    cross = limit_kernel(X, X_p, gamma=gamma)
    if not full:
        return posterior.variance([cross], [limit_diagonal(X, gamma=gamma)])
    return posterior.covariance([cross], [limit_kernel(X, gamma=gamma)])


def observed(
    posterior: Posterior, variance: np.ndarray, exponents: np.ndarray | None, *, noise: bool = True
) -> np.ndarray:
    """Return the standard deviation of observations, given the variance of the function at near rows.

    Without ``noise``, that of the function; of a covariance, (r, r, k), the covariance.
    """
    noises = posterior.noises if noise else np.zeros_like(posterior.noises)
    if variance.ndim == 2:
        return np.hypot(taken_back(np.sqrt(variance), exponents), np.sqrt(noises))
    if exponents is not None:
        variance = np.ldexp(variance, (exponents[:, None] + exponents)[:, :, None])
    return variance + np.eye(len(variance))[:, :, None] * noises


def spanning_arrays(tangent: TangentFeatures) -> dict[str, Any]:
    """Return the Jacobian's factors as plain values; the network, which a model has, aside."""
    layers = tangent.layers
    arrays: dict[str, Any] = {"X": layers.X, "Phi": layers.Phi, "Z": layers.Z}
    for number, (left, state, own) in enumerate(tangent.terms):
        arrays |= {f"left_{number}": left, f"state_{number}": state.value}
        if own is not None:
            arrays[f"right_{number}"] = own
    return arrays


@dataclass(frozen=True, slots=True)
class SpanningFeatures(TangentFeatures):
    """The Jacobian's factors on landmarks, which meet one block of new rows after another: E is made once."""

    columns: tuple[np.ndarray, ...] = ()

    def E(self, c: int) -> np.ndarray:
        """Return E^c, (p, m)."""
        return self.columns[c]


def spanning_features(network: Network, arrays: dict[str, Any]) -> SpanningFeatures:
    """Return what `spanning_arrays` was made from."""
    layers = Layers(arrays["X"], arrays["Phi"], arrays["Z"])
    terms, number = [], 0
    while f"left_{number}" in arrays:
        own = arrays.get(f"right_{number}")
        if f"state_{number}" in arrays:
            state = State(arrays[f"state_{number}"])
        elif own is None:  # saved by 0.1, which held the state itself instead of its name
            state = State.ZERO
        elif np.isinf(network.depth):
            state = State.Z
        else:
            state = State.PHI if np.array_equal(own, layers.Phi) else State.OWN
        terms.append(Term(arrays[f"left_{number}"], state, own if state is State.OWN else None))
        number += 1
    tangent = TangentFeatures(network, layers, tuple(terms))
    columns = tuple(tangent.E(c) for c in range(network.shape.k))
    return SpanningFeatures(network, layers, tangent.terms, columns)
