"""From a user's targets to the network's scale, and back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from .._numerics.quantiles import robust_deviation, weighted_quantile
from .._numerics.ranges import centred

# Accuracy of predictions, relative to the targets' standard deviation, that their precision has to have.
_DIGITS = 1e-3


class Targets(Protocol):
    """What takes targets to the network's scale and predictions back; a frozen record of arrays."""

    @property
    def mean(self) -> np.ndarray:
        """What is added to the network's outputs, (k,)."""

    @property
    def scale(self) -> np.ndarray:
        """By what they are multiplied before, (k,)."""

    @property
    def origin(self) -> np.ndarray:
        """What is predicted, on the user's scale, where the network's outputs are 0, (k,)."""

    def apply(self, Y: np.ndarray, dtype) -> np.ndarray:
        """Return the targets as the network sees them, (n, k), or raise ValueError if they have no number."""

    def invert(self, F: np.ndarray) -> np.ndarray:
        """Return predictions on the user's scale, in the precision of ``F``."""

    def shifted(self, shift: np.ndarray | float) -> Targets:
        """Return the scaling that adds a constant to the network's outputs, (k,)."""


@dataclass(frozen=True, slots=True)
class TargetScaling:
    """Centre and scale of the targets, one of each per output, (k,), and the link of the predictions.

    A target that is constant up to rounding gets the scale 0: it is predicted as it is, whatever the
    network's outputs. Of a single row nothing is known of how targets vary, and the scale is 1.

    Attributes
    ----------
    mean, scale : (k,) arrays
        What is subtracted from the targets, and what they are divided by then.
    link : str
        "log": the network's outputs are logarithms of what predicts the scaled targets. "identity": are it.
    ordered : bool
        Whether the outputs are rising quantiles of one target: predictions that cross are sorted [1]_.

    References
    ----------
    .. [1] V. Chernozhukov, I. Fernández-Val and A. Galichon, "Quantile and probability curves without
       crossing", Econometrica 78, 2010.
    """

    mean: np.ndarray
    scale: np.ndarray
    link: str = "identity"
    ordered: bool = False

    @classmethod
    def of(cls, Y: np.ndarray, weights: np.ndarray, *, centre: bool) -> TargetScaling:
        """Measure the weighted mean and standard deviation (root mean square if not centred)."""
        Y = Y.astype(np.float64, copy=False)
        _, unit, mean, size = centred(Y, weights, about_mean=centre)
        constant = size <= 10 * np.finfo(np.float64).eps * np.abs(mean)
        return cls(mean * unit, np.where(constant, 0.0 if len(Y) > 1 else 1.0, size * unit))

    @classmethod
    def for_logarithms(cls, Y: np.ndarray, weights: np.ndarray, *, centre: bool) -> TargetScaling:
        """Measure the weighted means of targets ≥ 0, which become 1 (or leave them, if not centred).

        Outputs of 0 then predict the means.
        """
        Y = Y.astype(np.float64, copy=False)
        if not centre:
            return cls(np.zeros(Y.shape[1]), np.ones(Y.shape[1]), "log")
        _, unit, mean, _ = centred(Y, weights)
        return cls(np.zeros(Y.shape[1]), np.where(mean > 0, mean * unit, 1.0), "log")

    @classmethod
    def for_quantiles(
        cls, Y: np.ndarray, weights: np.ndarray, *, centre: bool, levels: np.ndarray, ordered: bool = False
    ) -> TargetScaling:
        """Measure a weighted quantile of each target (0 if not centred) and its robust deviation."""
        Y = Y.astype(np.float64, copy=False)
        unit = np.maximum(np.abs(Y).max(axis=0), np.finfo(np.float64).tiny)
        relative = Y / unit
        middle, origin = np.zeros(Y.shape[1]), np.zeros(Y.shape[1])
        if centre:
            middle, origin = (weighted_quantile(relative, weights, level) for level in (0.5, levels))
        size = robust_deviation(relative - middle, weights)
        constant = size <= 10 * np.finfo(np.float64).eps
        return cls(origin * unit, np.where(constant, 1.0, size * unit), ordered=ordered)

    def apply(self, Y: np.ndarray, dtype) -> np.ndarray:
        """Return the scaled targets, (n, k).

        Raises
        ------
        ValueError
            If predictions of this size or spread are not numbers of the precision ``dtype``.
        """
        limits = np.finfo(dtype)
        largest = float(np.abs(Y).max())
        smallest = float(np.min(self.scale, where=(self.scale > 0) & np.any(Y, axis=0), initial=1.0))
        if largest > float(limits.max) or smallest < float(limits.tiny):
            raise ValueError(
                f"y reaches {largest:.3g} and spreads over {smallest:.3g}, but {np.dtype(dtype)}, the "
                f"precision of X and so of the predictions, ranges from {limits.tiny:.3g} to "
                f"{limits.max:.3g}. Pass X as float64, or rescale y."
            )
        scaled = np.divide(Y - self.mean, self.scale, out=np.zeros(Y.shape), where=self.scale > 0)
        if self.link == "log":  # positive targets stay positive
            scaled = np.where(Y > 0, np.maximum(scaled, float(limits.tiny)), scaled)
        return np.ascontiguousarray(scaled, dtype=dtype)

    def shifted(self, shift: np.ndarray | float) -> TargetScaling:
        """Return the scaling that adds a constant to the network's outputs, (k,)."""
        return replace(self, mean=self.mean + shift * self.scale) if np.any(shift) else self

    @property
    def origin(self) -> np.ndarray:
        """The mean."""
        return self.mean if self.link == "identity" else self.scale

    def invert(self, F: np.ndarray) -> np.ndarray:
        """Return predictions on the user's scale, in the precision of ``F``; logarithms end in its range.

        In float64 where targets are so far from 0 that float32 has not `_DIGITS` of what varies.
        """
        if self.link == "identity":
            spacing = float(np.finfo(F.dtype).eps) * np.abs(self.mean)
            enough = np.all((self.scale == 0) | (_DIGITS * self.scale >= spacing))
            dtype = F.dtype if enough else np.dtype(np.float64)
            predictions = (F * self.scale + self.mean).astype(dtype, copy=False)
            return np.sort(predictions, axis=1) if self.ordered else predictions
        least, largest = (np.log(float(limit)) for limit in (np.finfo(F.dtype).tiny, np.finfo(F.dtype).max))
        logarithms = F.astype(np.float64, copy=False) + np.log(self.scale)
        inside = np.clip(logarithms, least, np.nextafter(largest, 0))
        return np.exp(inside).astype(F.dtype, copy=False)


@dataclass(frozen=True, slots=True)
class ClassScaling:
    """Indicators of classes as they are, and the log-odds of the classes as the predictions' origin.

    Attributes
    ----------
    mean : (k,) array
        Log-odds of the second of two classes (k = 1) or of labels, or logarithms of the classes' shares.
    scale : (k,) array
        Ones: log-odds have a scale of their own.
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, Y: np.ndarray, weights: np.ndarray, *, centre: bool, exclusive: bool = True) -> ClassScaling:
        """Measure the weighted shares of the classes; all are equal if not centred.

        A class without a row counts as half a row of mean weight, so that its logarithm is finite. Labels
        that are not ``exclusive`` have log-odds each.
        """
        k = Y.shape[1]
        if not centre:
            return cls(np.zeros(k), np.ones(k))
        least = 0.5 / len(Y)
        shares = np.clip(np.average(Y, axis=0, weights=weights), least, 1 - least)
        logs = np.log(shares) if exclusive and k > 1 else np.log(shares / (1 - shares))
        return cls(logs, np.ones(k))

    def apply(self, Y: np.ndarray, dtype) -> np.ndarray:
        """Return the indicators, (n, k)."""
        return np.ascontiguousarray(Y, dtype=dtype)

    @property
    def origin(self) -> np.ndarray:
        """The log-odds of the classes, or the logarithms of their shares."""
        return self.mean

    def shifted(self, shift: np.ndarray | float) -> ClassScaling:
        """Return the scaling itself: log-odds are not moved."""
        return self

    def invert(self, F: np.ndarray) -> np.ndarray:
        """Return log-odds, or logarithms up to a common constant, in the precision of ``F``."""
        return (F + self.mean).astype(F.dtype, copy=False)
