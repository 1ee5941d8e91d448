"""Why a fitted estimator has no attribute of some name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_VALIDATION = {"validation_scores_", "best_validation_score_"}
_START = {f"{name}_init_" for name in "AWUV"}
# What the limit has none of: weights, and what is known of steps.
_NOT_OF_THE_LIMIT = {f"{name}_" for name in "AWUV"} | _START | _VALIDATION
# What is known of the steps of a fit to rows that stay.
_STEPS = {"history_", "equilibrium_residual_"} | _VALIDATION
_NOT_OF_THE_LIMIT |= {"history_", "contraction_", "equilibrium_residual_"}
_OF_THE_LIMIT = {"X_fit_", "dual_coef_"}


def reason_of_absence(name: str, attributes: Mapping[str, Any]) -> str | None:
    """Return why a fit has not set an attribute, and what fit would; None where there is nothing to say.

    Parameters
    ----------
    name : str
        Its name.
    attributes : mapping
        Parameters and attributes of the estimator, fitted or not.
    """
    width = attributes.get("width_")
    if width is None:
        return None
    if name in _NOT_OF_THE_LIMIT and width == np.inf:
        return (
            "it was fitted with width=inf, which has no weights and takes no training steps. Fit it with a "
            "finite width (an int)"
        )
    if name in _OF_THE_LIMIT and width != np.inf:
        return (
            f"it was fitted with a finite width ({width}), and predictions are made from its weights (A_, "
            "W_, U_, V_). Fit it with width=numpy.inf"
        )
    if name in _STEPS and "_stream" in attributes:
        return (
            "it was fitted by partial_fit, which takes a step for each batch of rows. Use loss_curve_, or fit"
        )
    if name in _VALIDATION:
        return "it was fitted without early stopping. Fit it with early_stopping=True"
    if name in _START:
        return "the start of its fit is not subtracted from predictions. Fit it with output_init='centred'"
    if name == "loo_score_":
        return "its penalty was given (alpha), not chosen by leave-one-out. Fit it with alpha='loo'"
    if name == "noise_std_" and "uncertainty" in attributes:
        return "it was fitted without what standard deviations need. Fit it with uncertainty=True"
    return None
