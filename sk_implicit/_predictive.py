"""What the regressor keeps and computes for ``predict(X, return_std=True)``."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._base import BaseImplicitReLU
from .equilibrium import EquilibriumResult, Status
from .network import Layers
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
        layers = spanning.layers
        self._posterior |= {"X": layers.X, "Phi": layers.Phi, "Z": layers.Z, "Lambda": spanning.Lambda}

    def _keep_posterior(self, posterior: Posterior):
        """Store plain arrays, and the noise on the targets' scale."""
        self._posterior = posterior.to_arrays()
        self.noise_std_ = np.sqrt(posterior.noises) * self.y_scale_

    def _predictive_variance(self, X) -> np.ndarray:
        """Return the variance of new observations on the scaled targets, (n, k), in blocks of rows."""
        X = self._augment(X)
        posterior = Posterior.from_arrays(self._posterior)
        variance = np.empty((X.shape[0], len(posterior.amplitudes)))
        if self.width_ == np.inf:
            for rows in self._limit_blocks(X.shape[0]):
                variance[rows] = limit_variance(posterior, self.X_fit_, X[rows], gamma=self.gamma_)
            return variance
        network = self._networks()[0]
        kept = self._posterior
        reached = EquilibriumResult(
            kept["Z"], 0, np.zeros(len(kept["Z"])), Status.CONVERGED, solver="", n_products=0.0
        )
        layers = Layers(kept["X"], kept["Phi"], kept["Z"], reached)
        spanning = TangentFeatures(network, layers, kept["Lambda"])
        for rows, layers in self._forward_blocks(network, X):
            new = TangentFeatures.at(
                network, layers, tol=self._tolerance(X.dtype), solver=self.equilibrium_solver
            )
            variance[rows] = tangent_variance(posterior, spanning, new)
        return variance
