"""The infinitely wide network with its scales: a kernel between new rows and those of the fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse

from ..function_space.posterior import Posterior
from ..inputs.scaling import InputScaling, brought_near, taken_back
from ..limit import limit_kernel
from ..limit._matrix import UnitRows, normalised
from .network_model import posterior_attributes
from .protocol import Outputs
from .row_blocks import map_rows
from .scales import Scales
from .uncertainty import limit_variance, observed


@dataclass(frozen=True)
class LimitModel:
    """A trained network of infinite width; the protocol is `FittedModel`.

    Attributes
    ----------
    scales : Scales
        From rows to inputs, and from outputs to predictions.
    gamma : float
        Scale γ.
    landmarks : (p, q) array or CSR array
        Training rows, as the network sees them, that span the fit.
    dual : (p, k) array
        Their coefficients: outputs are the kernel of the rows times these.
    posterior : dict of arrays or None
        What standard deviations need, where it is kept.
    loss : str
        Name of the loss that was trained.
    """

    scales: Scales
    gamma: float
    landmarks: Any
    dual: np.ndarray
    posterior: dict[str, np.ndarray] | None = None
    loss: str = "squared_error"

    @cached_property
    def unit_landmarks(self) -> UnitRows:
        """The landmarks as kernels need them, in float64."""
        return normalised(self.landmarks, "landmarks")

    @property
    def dtype(self) -> np.dtype:
        """Precision of rows and predictions."""
        return self.landmarks.dtype

    def outputs(self, X, n_jobs: int | None = None) -> Outputs:
        """Return the limit's outputs, (n, k)."""
        values = np.empty((X.shape[0], self.dual.shape[1]), dtype=X.dtype)
        for rows, block in map_rows(
            limit_outputs, X, max(self.landmarks.shape), self.scales.inputs_to_predict, self.unit_landmarks,
            self.dual,
            n_jobs=n_jobs, gamma=self.gamma,
        ):  # fmt: skip
            values[rows] = block
        return Outputs(values, np.zeros(len(values), bool))

    def std(self, X, n_jobs: int | None = None, *, noise: bool = True) -> np.ndarray:
        """Return the standard deviation of new observations, (n, k), on the network's scale."""
        arrays = self.posterior
        assert arrays is not None, "fitted without what standard deviations need"
        std = np.empty((X.shape[0], len(arrays["amplitudes"])))
        for rows, block in map_rows(
            limit_std, X, max(self.landmarks.shape), self.scales.inputs, self.unit_landmarks, arrays,
            n_jobs=n_jobs, gamma=self.gamma, noise=noise,
        ):  # fmt: skip
            std[rows] = block
        return std

    def covariance(self, X, *, noise: bool = True) -> np.ndarray:
        """Return the covariance of new observations, (n, n, k), on the network's scale."""
        assert self.posterior is not None, "fitted without what covariances need"
        return limit_std(
            X,
            self.scales.inputs,
            self.unit_landmarks,
            self.posterior,
            gamma=self.gamma,
            noise=noise,
            full=True,
        )

    def attributes(self) -> dict[str, Any]:
        """Return what an estimator publishes."""
        landmarks = csr_array(self.landmarks) if issparse(self.landmarks) else self.landmarks
        attributes = {"X_fit_": landmarks, "dual_coef_": self.dual}
        attributes |= {"width_": np.inf, "gamma_": self.gamma, "depth_": np.inf}
        return self.scales.attributes() | attributes | posterior_attributes(self.posterior, self.scales)

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> LimitModel:
        """Return the model that published attributes stand for."""
        return cls(
            Scales.of(attributes), attributes["gamma_"], attributes["X_fit_"], attributes["dual_coef_"],
            attributes.get("_posterior"), attributes.get("_fitted_loss", "squared_error"),
        )  # fmt: skip


def limit_outputs(
    X, inputs: InputScaling, landmarks: UnitRows, dual: np.ndarray, *, gamma: float
) -> np.ndarray:
    """Return the outputs of the infinitely wide network, K(X, landmarks) · dual, (n, k)."""
    X, exponents = brought_near(inputs.apply(X))
    F = limit_kernel(X.astype(np.float64), landmarks, gamma=gamma) @ dual
    return taken_back(F, exponents)


def limit_std(
    X, inputs: InputScaling, landmarks: UnitRows, arrays: dict[str, np.ndarray], *, gamma: float,
    noise: bool = True, full: bool = False,
) -> np.ndarray:  # fmt: skip
    """Return the standard deviation of new observations by the infinitely wide network, (n, k).

    Parameters
    ----------
    X : (n, d) array or CSR array
        Rows as the user has them.
    inputs : InputScaling
        What the network sees of them.
    landmarks : UnitRows
        Augmented training rows that span the fit.
    arrays : dict
        The `Posterior`, as plain arrays.
    gamma : float
        Scale γ.
    noise : bool
        Whether the noise of an observation is in it.
    full : bool
        Whether to return the covariance between the rows instead, (n, n, k).
    """
    posterior = Posterior.from_arrays(arrays)
    X, exponents = brought_near(inputs.apply(X))
    variance = limit_variance(posterior, landmarks, X, gamma=gamma, full=full)
    return observed(posterior, variance, exponents, noise=noise)
