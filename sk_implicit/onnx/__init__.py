"""Fitted estimators as ONNX graphs, by converters for skl2onnx.

Importing this package makes ``skl2onnx.to_onnx`` know the estimators, alone and as steps of pipelines, where
skl2onnx is installed.
"""

from __future__ import annotations

from contextlib import suppress

from ..classifier import ImplicitReLUClassifier
from ..regressor import ImplicitReLURegressor
from ._converters import classifier_shapes, convert_classifier, convert_regressor, regressor_shapes

__all__ = ["register"]

_CLASSIFIER_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "output_class_labels": [True, False],
    "nocl": [True, False],
    "raw_scores": [True, False],
}


def register() -> None:
    """Register converters for `ImplicitReLURegressor` and `ImplicitReLUClassifier` with skl2onnx.

    Importing `sk_implicit.onnx` does so by itself. A second call changes nothing, and tells whether skl2onnx
    is there.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    Notes
    -----
    Exported graphs compute in the precision of their input, float64 or float32. They hold predictions, and
    classes with probabilities (options ``zipmap``, ``output_class_labels`` and ``nocl``) or, with the option
    ``raw_scores``, with the decision function (for two classes, of both signs); predictive standard
    deviations stay in Python. A network of finite depth is a loop over its layers, whatever its weights. The
    least ``target_opset`` is 12.

    Equilibria are found by plain iterations. Where ``contraction_`` is below 1 (up to some 0.9997), every row
    gets as many as it needs. Elsewhere a row has 2000, and comes out as NaN if they are not enough; the class
    of such a row is the first, and says nothing. There may also be several equilibria. Exporting a network
    raises ``ValueError`` if random rows are not done in time, or end at another equilibrium than the
    estimator finds for them; other rows still may.

    Examples
    --------
    >>> import sk_implicit.onnx
    >>> sk_implicit.onnx.register()  # doctest: +SKIP
    """
    try:
        from skl2onnx import update_registered_converter
    except ImportError as error:
        raise ImportError(
            'sk_implicit.onnx needs skl2onnx and onnx: install them with pip install "sk-implicit[onnx]".'
        ) from error

    update_registered_converter(
        ImplicitReLURegressor, "SkImplicitRegressor", regressor_shapes, convert_regressor
    )
    update_registered_converter(
        ImplicitReLUClassifier,
        "SkImplicitClassifier",
        classifier_shapes,
        convert_classifier,
        options=_CLASSIFIER_OPTIONS,
    )


with suppress(ImportError):  # `register` says what is missing
    register()
