"""The network in a pipeline, and rows as the steps before it hand them on."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline

from .base import BaseImplicitReLU


def last_step(estimator) -> Any:
    """Return the estimator itself, or the last step of a pipeline.

    Parameters
    ----------
    estimator : ImplicitReLURegressor, ImplicitReLUClassifier or Pipeline
        Fitted or not.

    Raises
    ------
    TypeError
        If it is neither, or a pipeline that ends in something else.
    """
    found = estimator
    while isinstance(found, Pipeline):
        found = found.steps[-1][1]
    if isinstance(found, BaseImplicitReLU):
        return found
    inside = "" if found is estimator else "a Pipeline that ends in "
    raise TypeError(
        "Expected an ImplicitReLURegressor or ImplicitReLUClassifier, or a Pipeline that ends in one; got "
        f"{inside}{type(found).__name__}. Of a fitted search (GridSearchCV) give .best_estimator_, of "
        "TransformedTargetRegressor .regressor_, of another wrapper the fitted estimator in it."
    )


def taken_apart(estimator, X) -> tuple[Any, Any]:
    """Return the estimator that a pipeline ends in, and X as the steps before it transform it.

    Parameters
    ----------
    estimator : ImplicitReLURegressor, ImplicitReLUClassifier or Pipeline
        An estimator itself comes back with X as it is. The steps before it must be fitted.
    X : array, sparse matrix or data frame of shape (n, d)
        Rows as the pipeline is given them.

    Raises
    ------
    TypeError
        As `last_step`.
    """
    last_step(estimator)
    while isinstance(estimator, Pipeline):
        *before, (_, final) = estimator.steps
        for _, step in before:
            if step is not None and step != "passthrough":
                X = step.transform(X)
        estimator = final
    return estimator, X
