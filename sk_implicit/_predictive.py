"""What the regressor keeps and computes for ``predict(X, return_std=True)``."""

from __future__ import annotations

from functools import partial
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
        posterior = Posterior.from_arrays(self._posterior)
        std = np.empty((X.shape[0], len(posterior.amplitudes)))
        if self.width_ == np.inf:
            blocks = self._limit_blocks(X.shape[0])
            variance = partial(limit_variance, posterior, self.X_fit_, gamma=self.gamma_)
        else:
            network = self._networks()[0]
            blocks = self._blocks(network, X.shape[0])
            variance = partial(self._network_variance, posterior, _from_arrays(network, self._posterior))
        for rows in blocks:
            near, exponents = brought_near(self._augment(X[rows]))
            function = taken_back(np.sqrt(variance(near)), exponents)
            std[rows] = np.hypot(function, np.sqrt(posterior.noises))
        return std

    def _network_variance(self, posterior: Posterior, spanning: TangentFeatures, X) -> np.ndarray:
        """Return the variance of the function at augmented rows, (n, k)."""
        options: dict[str, Any] = {"tol": self._tolerance(X.dtype), "solver": self.equilibrium_solver}
        network = spanning.network
        new = TangentFeatures.at(network, network.forward(X, **options), **options)
        return tangent_variance(posterior, spanning, new)


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
