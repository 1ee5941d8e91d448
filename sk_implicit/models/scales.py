"""What lies between a user's table and a model: the inputs' and the targets' scales, and their limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..inputs.limits import LIMITS, limits_of_inputs, no_limits
from ..inputs.scaling import InputScaling
from ..inputs.targets import Targets, TargetScaling


@dataclass(frozen=True, slots=True)
class Scales:
    """From rows to a network's inputs, and from its outputs to predictions.

    Attributes
    ----------
    inputs : InputScaling
        What the network sees of a row.
    target : Targets
        Between the targets and the network's outputs.
    x_limits, y_limits : (2, d) and (2, k) arrays, or None
        Least and largest value that a feature counts as and that a prediction has; None where the task knows
        of no limits.
    x_believed : (2, d) array or None
        Least and largest value that is taken for one of a feature; None for any.
    """

    inputs: InputScaling
    target: Targets
    x_limits: np.ndarray | None = None
    y_limits: np.ndarray | None = None
    x_believed: np.ndarray | None = None

    @classmethod
    def unlimited(cls, inputs: InputScaling, target: TargetScaling) -> Scales:
        """Leave predictions, and what they are made from, as they are."""
        return cls(inputs, target, no_limits(inputs.n_features), no_limits(len(target.mean)))

    def limited(
        self,
        X,
        Y: np.ndarray,
        clip: bool | str | tuple[float, float],
        in_range: np.ndarray | None,
        standardize: bool,
    ) -> Scales:
        """Set the limits to those of the training rows, for the outputs that are kept within them.

        With "auto", features of a unit of their own are not followed anywhere, outputs kept or not.

        Parameters
        ----------
        X : (n, d) array or CSR array
            Inputs.
        Y : (n, k) array
            Targets.
        clip : bool, "auto" or pair of floats
            Whether outputs are kept within the range of their targets, or the bounds of all of them.
        in_range : (k,) bool array or None
            What "auto" says of each; None where no row was left out, and none is kept.
        standardize : bool
            Whether each feature has a unit of its own; where not, all are followed anywhere.
        """
        k = Y.shape[1]
        if isinstance(clip, tuple | list):
            bounds = np.repeat(np.array(clip, dtype=np.float64)[:, None], k, axis=1)
            return replace(self, x_limits=no_limits(X.shape[1]), y_limits=bounds)
        kept = in_range if clip == "auto" else np.full(k, clip)
        if kept is None:
            kept = np.zeros(k, bool)
        if getattr(self.target, "ordered", False):  # quantiles of one target stay in order
            kept = np.full(k, kept.all())
        y_limits = np.where(kept, [Y.min(axis=0), Y.max(axis=0)], no_limits(k))
        counts = np.isfinite(self.inputs.units()[1])
        x_limits, believed = no_limits(X.shape[1]), None
        if kept.all():
            x_limits = limits_of_inputs(X, counts, LIMITS.kept)
        if clip == "auto" and standardize:
            x_limits = x_limits if kept.all() else limits_of_inputs(X, counts, LIMITS.followed)
            believed = limits_of_inputs(X, counts, LIMITS.believed)
        return replace(self, x_limits=x_limits, y_limits=y_limits, x_believed=believed)

    def widened(self, X, Y: np.ndarray, clip: bool | str | tuple[float, float] | None) -> Scales:
        """Return limits within which further training rows are as well; bounds that were given stay.

        Parameters
        ----------
        X, Y, clip
            As in `limited`; None for a task without limits.
        """
        if self.x_limits is None or self.y_limits is None or isinstance(clip, tuple | list):
            return self
        counts = np.isfinite(self.inputs.units()[1])
        ranges = LIMITS.kept if np.isfinite(self.y_limits).all() else LIMITS.followed
        believed = self.x_believed
        if believed is not None:
            believed = _united(believed, limits_of_inputs(X, counts, LIMITS.believed))
        return replace(
            self,
            x_limits=_united(self.x_limits, limits_of_inputs(X, counts, ranges)),
            y_limits=_united(self.y_limits, np.array([Y.min(axis=0), Y.max(axis=0)])),
            x_believed=believed,
        )

    @property
    def inputs_to_predict(self) -> InputScaling:
        """What predictions are made from: the inputs within their limits."""
        if self.x_limits is None:
            return self.inputs
        return replace(self.inputs, limits=self.x_limits, believed=self.x_believed)

    def predictions(self, F: np.ndarray) -> np.ndarray:
        """Return outputs on the user's scale, within their limits, (n, k)."""
        predictions = self.target.invert(F)
        if self.y_limits is None:
            return predictions
        return np.clip(predictions, *self.y_limits.astype(predictions.dtype))

    def attributes(self) -> dict[str, Any]:
        """Return what an estimator publishes of them."""
        inputs, target = self.inputs, self.target
        attributes = {
            "_inputs": inputs,
            "_targets": target,
            "x_mean_": inputs.units()[0],
            "x_scale_": inputs.units()[1],
            "input_scale_": inputs.scale,
            "bias_": inputs.bias,
            "knots_": inputs.knots(),
            "encoded_mean_": inputs.encoded_mean(),
            "y_mean_": target.mean,
            "y_scale_": target.scale,
        }
        if inputs.relevance is not None:
            attributes["relevance_"] = inputs.relevance
        if self.y_limits is not None:
            attributes |= {"x_limits_": self.x_limits, "y_limits_": self.y_limits}
        if self.x_believed is not None:
            attributes["x_believed_"] = self.x_believed
        return attributes

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> Scales:
        """Return what `attributes` was made from."""
        target = attributes.get("_targets")
        if target is None:  # saved by 0.1, where classes counted as targets of scale 1
            target = TargetScaling(attributes["y_mean_"], attributes["y_scale_"])
        limits = (attributes.get(name) for name in ("x_limits_", "y_limits_", "x_believed_"))
        return cls(attributes["_inputs"], target, *limits)


def _united(limits: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return limits that both are within, (2, d); none where there were none."""
    both = [np.minimum(limits[0], others[0]), np.maximum(limits[1], others[1])]
    return np.where(np.isfinite(limits), both, limits)
