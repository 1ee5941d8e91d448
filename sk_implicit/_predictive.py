"""What the regressor keeps and computes for ``predict(X, return_std=True)``."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._base import BaseImplicitReLU
from .adjoint import Term
from .equilibrium import EquilibriumResult, Status
from .network import Layers, Network
from .scaling import brought_near, taken_back
from .tangent import TangentFeatures
from .uncertainty import Posterior, limit_posterior, limit_variance, tangent_posterior, tangent_variance


class PredictiveUncertainty(BaseImplicitReLU):
    """The part of `ImplicitReLURegressor` that knows of uncertainty."""

    uncertainty: bool
    _posterior: dict[str, Any]

    def _keep_limit(self, fit, X, weights):
        if self.uncertainty:
            self._keep_posterior(limit_posterior(fit, X, weights, gamma=self.gamma_))

    def _keep_network(self, objective, training):
        if not self.uncertainty:
            return
        point = objective.evaluate(training.state.best_theta)
        tangent = objective.tangent(point)
        drift = point.network.theta - objective.start.theta
        posterior, spanning = tangent_posterior(
            tangent, drift, point.residual, objective.weights, training.penalty.absolute
        )
        self._keep_posterior(posterior)
        self._posterior |= _to_arrays(spanning)

    def _keep_posterior(self, posterior: Posterior):
        """Store plain arrays, and the noise on the targets' scale."""
        self._posterior = posterior.to_arrays()
        self.noise_std_ = np.sqrt(posterior.noises) * self.y_scale_

    def _predictive_std(self, X) -> np.ndarray:
        """Return the standard deviation of new observations on the scaled targets, (n, k)."""
        X, exponents = brought_near(self._augment(X))
        posterior = Posterior.from_arrays(self._posterior)
        variance = self._function_variance(posterior, X)
        std = np.sqrt(variance + posterior.noises)
        if exponents is None:
            return std
        far = exponents > 0
        function = taken_back(np.sqrt(variance[far]), exponents[far])
        std[far] = np.hypot(function, np.sqrt(posterior.noises))
        return std

    def _function_variance(self, posterior: Posterior, X) -> np.ndarray:
        """Return the variance of the function at augmented rows, (n, k), in blocks of rows."""
        variance = np.empty((X.shape[0], len(posterior.amplitudes)))
        if self.width_ == np.inf:
            for rows in self._limit_blocks(X.shape[0]):
                variance[rows] = limit_variance(posterior, self.X_fit_, X[rows], gamma=self.gamma_)
            return variance
        network = self._networks()[0]
        spanning = _from_arrays(network, self._posterior)
        for rows, layers in self._forward_blocks(network, X):
            new = TangentFeatures.at(
                network, layers, tol=self._tolerance(X.dtype), solver=self.equilibrium_solver
            )
            variance[rows] = tangent_variance(posterior, spanning, new)
        return variance


def _to_arrays(tangent: TangentFeatures) -> dict[str, np.ndarray]:
    """Return the Jacobian's factors as plain arrays; the network, which the estimator has, aside."""
    layers = tangent.layers
    arrays = {"X": layers.X, "Phi": layers.Phi, "Z": layers.Z}
    for number, (left, right) in enumerate(tangent.terms):
        arrays[f"left_{number}"] = left
        if right is not None:
            arrays[f"right_{number}"] = right
    return arrays


def _from_arrays(network: Network, arrays: dict[str, np.ndarray]) -> TangentFeatures:
    """Return what `_to_arrays` was made from."""
    Z = arrays["Z"]
    reached = EquilibriumResult(Z, 0, np.zeros(len(Z)), Status.CONVERGED, solver="", n_products=0.0)
    terms, number = [], 0
    while f"left_{number}" in arrays:
        terms.append(Term(arrays[f"left_{number}"], arrays.get(f"right_{number}")))
        number += 1
    return TangentFeatures(network, Layers(arrays["X"], arrays["Phi"], Z, reached), tuple(terms))
