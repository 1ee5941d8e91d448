"""What the regressor keeps and computes for ``predict(X, return_std=True)``."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._base import BaseImplicitReLU
from .equilibrium import EquilibriumOptions
from .function_space.posterior import Posterior
from .inputs.scaling import InputScaling, brought_near, taken_back
from .models.row_blocks import map_rows
from .models.uncertainty import limit_posterior, limit_variance, tangent_posterior, tangent_variance
from .network import Layers, Network
from .network.adjoint import State, Term
from .network.tangent import TangentFeatures


class PredictiveUncertainty(BaseImplicitReLU):
    """The part of `ImplicitReLURegressor` that knows of uncertainty."""

    uncertainty: bool
    _posterior: dict[str, Any]

    def _keep_limit(self, fit, X, weights, left_out):
        if self.uncertainty:
            self._keep_posterior(limit_posterior(fit, X, weights, left_out, gamma=self.gamma_))

    def _keep_network(self, objective, training):
        if not self.uncertainty:
            return
        point = objective.evaluate(training.state.best_theta)
        tangent = objective.tangent(point)
        drift = point.network.theta - objective.start.theta
        posterior, spanning = tangent_posterior(
            tangent, drift, point.residual, objective.weights, objective.left_out, training.penalty.absolute
        )
        self._keep_posterior(posterior)
        self._posterior |= _to_arrays(spanning)

    def _keep_posterior(self, posterior: Posterior):
        """Store plain arrays, and the noise on the targets' scale."""
        self._posterior = posterior.to_arrays()
        self.noise_std_ = np.sqrt(posterior.noises) * self.y_scale_

    def _predictive_std(self, X) -> np.ndarray:
        """Return the standard deviation of new observations on the scaled targets, (n, k)."""
        arrays = self._posterior
        std = np.empty((X.shape[0], len(arrays["amplitudes"])))
        if self.width_ == np.inf:
            results = map_rows(
                limit_std, X, self._limit_blocks(X.shape[0]), self._inputs, self.X_fit_, arrays,
                n_jobs=self.n_jobs, gamma=self.gamma_,
            )  # fmt: skip
        else:
            network = self._networks()[0]
            results = map_rows(
                network_std, X, self._blocks(network, X.shape[0]), self._inputs, network, arrays,
                n_jobs=self.n_jobs, tol=self._tolerance(X.dtype), solver=self.equilibrium_solver,
            )  # fmt: skip
        for rows, block in results:
            std[rows] = block
        return std


def limit_std(
    X, inputs: InputScaling, landmarks, arrays: dict[str, np.ndarray], *, gamma: float
) -> np.ndarray:
    """Return the standard deviation of new observations by the infinitely wide network, (n, k).

    Parameters
    ----------
    X : (n, d) array or CSR array
        Rows as the user has them.
    inputs : InputScaling
        What the network sees of them.
    landmarks : (p, q) array or CSR array
        Augmented training rows that span the fit.
    arrays : dict
        The `Posterior`, as plain arrays.
    gamma : float
        Scale γ.
    """
    posterior = Posterior.from_arrays(arrays)
    X, exponents = brought_near(inputs.apply(X))
    return _observed(posterior, limit_variance(posterior, landmarks, X, gamma=gamma), exponents)


def network_std(
    X, inputs: InputScaling, network: Network, arrays: dict[str, np.ndarray], *, tol: float, solver: str
) -> np.ndarray:
    """Return the standard deviation of new observations by a network, (n, k); as `limit_std`.

    ``tol`` and ``solver`` are those of the equilibria; the arrays hold the Jacobian on the landmarks, too.
    """
    posterior = Posterior.from_arrays(arrays)
    X, exponents = brought_near(inputs.apply(X))
    options = EquilibriumOptions(solver, tol)
    layers, _ = network.forward(X, options)
    new = TangentFeatures.at(network, layers, options)
    return _observed(posterior, tangent_variance(posterior, _from_arrays(network, arrays), new), exponents)


def _observed(posterior: Posterior, variance: np.ndarray, exponents: np.ndarray | None) -> np.ndarray:
    """Return the standard deviation of observations, given the variance of the function at near rows."""
    return np.hypot(taken_back(np.sqrt(variance), exponents), np.sqrt(posterior.noises))


def _to_arrays(tangent: TangentFeatures) -> dict[str, Any]:
    """Return the Jacobian's factors as plain values; the network, which the estimator has, aside."""
    layers = tangent.layers
    arrays: dict[str, Any] = {"X": layers.X, "Phi": layers.Phi, "Z": layers.Z}
    for number, (left, state, own) in enumerate(tangent.terms):
        arrays |= {f"left_{number}": left, f"state_{number}": state.value}
        if own is not None:
            arrays[f"right_{number}"] = own
    return arrays


def _from_arrays(network: Network, arrays: dict[str, Any]) -> TangentFeatures:
    """Return what `_to_arrays` was made from."""
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
    return TangentFeatures(network, layers, tuple(terms))
