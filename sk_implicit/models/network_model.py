"""A network of finite width with its scales: what a fit made, and what predictions are computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..equilibrium import EquilibriumOptions, EquilibriumResult
from ..function_space.posterior import Posterior
from ..inputs.scaling import InputScaling, brought_near, taken_back
from ..network import Network
from ..network.tangent import TangentFeatures
from .protocol import Outputs
from .row_blocks import map_rows
from .scales import Scales
from .uncertainty import observed, spanning_features, tangent_variance

# Accuracy of predicted equilibria with equilibrium_tol="auto".
PREDICT_TOL = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-6}


@dataclass(frozen=True)
class NetworkModel:
    """A trained network of finite width; the protocol is `FittedModel`.

    Attributes
    ----------
    scales : Scales
        From rows to inputs, and from outputs to predictions.
    network : Network
        The network.
    start : Network or None
        The one that training started from, where it is kept.
    centred : bool
        Whether the start's outputs are subtracted.
    solver : str
        Name of the solver for predicted equilibria.
    tol : float or "auto"
        Their tolerance.
    posterior : dict of arrays or None
        What standard deviations need, where it is kept.
    squared_error : float
        Mean squared error of the training rows on the network's scale; NaN where there were none.
    loss : str
        Name of the loss that was trained.
    """

    scales: Scales
    network: Network
    start: Network | None
    centred: bool
    solver: str = "auto"
    tol: float | str = "auto"
    posterior: dict[str, np.ndarray] | None = None
    squared_error: float = np.nan
    loss: str = "squared_error"

    @property
    def dtype(self) -> np.dtype:
        """Precision of rows and predictions."""
        return self.network.A.dtype

    @property
    def networks(self) -> list[Network]:
        """The network and, where it is centred, the start."""
        return [self.network, self.start] if self.centred and self.start is not None else [self.network]

    def tolerance(self, dtype) -> float:
        """Return the tolerance of equilibria of rows in some precision."""
        return PREDICT_TOL[np.dtype(dtype)] if isinstance(self.tol, str) else self.tol

    def options(self, dtype) -> EquilibriumOptions:
        """Return how equilibria of rows in some precision are solved for."""
        return EquilibriumOptions(self.solver, self.tolerance(dtype))

    def outputs(self, X, n_jobs: int | None = None) -> Outputs:
        """Return f(x; θ), less f(x; θ₀) with a centred start, (n, k)."""
        return self.outputs_of(X, self.networks, n_jobs)

    def outputs_of(self, X, networks: Sequence[Network], n_jobs: int | None = None) -> Outputs:
        """Return the outputs of a network with these scales, less those of a second one, (n, k)."""
        k = networks[0].shape.k
        return self._gathered(network_outputs, X, self.scales.inputs_to_predict, networks, k, n_jobs)

    def equilibria(self, X, n_jobs: int | None = None) -> Outputs:
        """Return the equilibria of rows, or their last layers, (n, m)."""
        network = self.network
        return self._gathered(network_equilibria, X, self.scales.inputs, [network], network.shape.m, n_jobs)

    def _gathered(self, function, X, inputs: InputScaling, networks, n_columns: int, n_jobs) -> Outputs:
        """Return what a function makes of the rows, block by block."""
        values = np.empty((X.shape[0], n_columns), dtype=networks[0].A.dtype)
        missed = np.zeros(X.shape[0], dtype=bool)
        for rows, block in map_rows(
            function, X, max(networks[0].shape[:2]), inputs, *networks,
            n_jobs=n_jobs, options=self.options(X.dtype),
        ):  # fmt: skip
            values[rows], missed[rows] = block
        return Outputs(values, missed)

    @cached_property
    def uncertainty(self) -> tuple[Posterior, TangentFeatures]:
        """The posterior, and the Jacobian on the rows that span it."""
        assert self.posterior is not None, "fitted without what standard deviations need"
        return Posterior.from_arrays(self.posterior), spanning_features(self.network, self.posterior)

    def std(self, X, n_jobs: int | None = None, *, noise: bool = True) -> np.ndarray:
        """Return the standard deviation of new observations, (n, k), on the network's scale."""
        posterior, spanning = self.uncertainty
        network = self.network
        std = np.empty((X.shape[0], len(posterior.amplitudes)))
        for rows, block in map_rows(
            network_std, X, max(network.shape[:2]), self.scales.inputs, posterior, spanning,
            n_jobs=n_jobs, options=self.options(X.dtype), noise=noise,
        ):  # fmt: skip
            std[rows] = block
        return std

    def covariance(self, X, *, noise: bool = True) -> np.ndarray:
        """Return the covariance of new observations, (n, n, k), on the network's scale."""
        return network_std(
            X, self.scales.inputs, *self.uncertainty,
            options=self.options(X.dtype), noise=noise, full=True,
        )  # fmt: skip

    def attributes(self) -> dict[str, Any]:
        """Return what an estimator publishes."""
        network = self.network
        attributes = self.scales.attributes() | {f"{name}_": getattr(network, name) for name in "AWUV"}
        if self.centred:
            attributes |= {f"{name}_init_": getattr(self.start, name) for name in "AWUV"}
        attributes |= {"width_": network.shape.m, "gamma_": network.gamma, "depth_": network.depth}
        if not np.isnan(self.squared_error):
            attributes["_squared_error"] = self.squared_error
        return attributes | posterior_attributes(self.posterior, self.scales)

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> NetworkModel:
        """Return the model that published attributes, and the parameters beside them, stand for."""
        gamma, depth = attributes["gamma_"], attributes["depth_"]
        network = Network(*(attributes[f"{name}_"] for name in "AWUV"), gamma=gamma, depth=depth)
        centred, start = "A_init_" in attributes, None
        if centred:
            start = Network(*(attributes[f"{name}_init_"] for name in "AWUV"), gamma=gamma, depth=depth)
        elif attributes.get("_training") is not None:
            start = attributes["_training"].start
        return cls(
            Scales.of(attributes), network, start, centred,
            solver=attributes["equilibrium_solver"], tol=attributes["equilibrium_tol"],
            posterior=attributes.get("_posterior"), squared_error=attributes.get("_squared_error", np.nan),
            loss=attributes.get("_fitted_loss", "squared_error"),
        )  # fmt: skip


def posterior_attributes(posterior: dict[str, np.ndarray] | None, scales: Scales) -> dict[str, Any]:
    """Return what is published of a posterior: its plain arrays, and the noise on the targets' scale."""
    if posterior is None:
        return {}
    return {"_posterior": posterior, "noise_std_": np.sqrt(posterior["noises"]) * scales.target.scale}


def network_outputs(X, inputs: InputScaling, *networks: Network, options: EquilibriumOptions):
    """Return the outputs of a network, less those of a second one, and which equilibria were missed.

    Parameters
    ----------
    X : (n, d) array or CSR array
        Rows as the user has them.
    inputs : InputScaling
        What the networks see of them.
    *networks : Network
        One or two.
    options : EquilibriumOptions
        How equilibria are solved for.
    """
    X, exponents = _inputs_of(networks[0], inputs, X)
    outputs, missed = [], np.zeros(X.shape[0], bool)
    for network in networks:
        layers, result = network.forward(X, options)
        missed |= missed_rows(result, options.tol)
        outputs.append(network.output(layers))
    F, *start = outputs
    for F0 in start:
        F -= F0
    return taken_back(F, exponents), missed


def network_equilibria(X, inputs: InputScaling, network: Network, *, options: EquilibriumOptions):
    """Return the equilibria Z of a network and the rows for which they were missed; as `network_outputs`."""
    X, exponents = _inputs_of(network, inputs, X)
    _, result = network.forward(X, options)
    return taken_back(result.solution, exponents), missed_rows(result, options.tol)


def network_std(
    X, inputs: InputScaling, posterior: Posterior, spanning: TangentFeatures, *, options: EquilibriumOptions,
    noise: bool = True, full: bool = False,
) -> np.ndarray:  # fmt: skip
    """Return the standard deviation of new observations by a network, (n, k).

    Parameters
    ----------
    X, inputs, options
        As in `network_outputs`.
    posterior : Posterior
        Of the function.
    spanning : TangentFeatures
        The network's Jacobian on the landmarks.
    noise : bool
        Whether the noise of an observation is in it.
    full : bool
        Whether to return the covariance between the rows instead, (n, n, k).
    """
    network = spanning.network
    X, exponents = brought_near(inputs.apply(X))
    layers, _ = network.forward(X, options)
    new = TangentFeatures.at(network, layers, options)
    variance = tangent_variance(posterior, spanning, new, full=full)
    return observed(posterior, variance, exponents, noise=noise)


def _inputs_of(network: Network, inputs: InputScaling, X):
    """Return what a network sees of rows, and what far ones are divided by, as `brought_near`.

    At finite depth no row is: those whose layers overflow are warned of.
    """
    X = inputs.apply(X)
    return brought_near(X) if np.isinf(network.depth) else (X, None)


def missed_rows(result: EquilibriumResult, tol: float) -> np.ndarray:
    """Mark the rows whose equilibrium was not reached, (n,)."""
    return np.zeros(len(result.residual), bool) if result.converged else ~(result.residual <= tol)
