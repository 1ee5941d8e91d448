"""Converters and shape calculators, in the form that skl2onnx calls them."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..classifier import CLIPPED
from ..inputs.targets import TargetScaling
from ..models import LimitModel, NetworkModel, fitted_model
from ._equilibrium import network_outputs
from ._graph import Graph, augment
from ._limit import limit_outputs


def regressor_shapes(operator) -> None:
    """Tell skl2onnx of an output of shape (n, k) in the input's precision."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    check_is_fitted(operator.raw_operator)
    double = isinstance(operator.inputs[0].type, DoubleTensorType)
    shape = [operator.inputs[0].get_first_dimension(), operator.raw_operator.n_outputs_]
    operator.outputs[0].set_type((DoubleTensorType if double else FloatTensorType)(shape))


def classifier_shapes(operator) -> None:
    """Tell skl2onnx of labels of shape (n,) and probabilities of shape (n, n_classes)."""
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    check_is_fitted(operator.raw_operator)
    calculate_linear_classifier_output_shapes(operator)


def convert_regressor(scope, operator, container) -> None:
    graph = Graph(scope, operator, container)
    graph.rename(_predictions(graph, fitted_model(operator.raw_operator)), operator.outputs[0])


def convert_classifier(scope, operator, container) -> None:
    from skl2onnx.common.utils_classifier import get_label_classes

    classifier = operator.raw_operator
    model = fitted_model(classifier)
    graph = Graph(scope, operator, container)
    F = _predictions(graph, model)
    if getattr(classifier, "multilabel_", False):
        _convert_labels(graph, F, model, operator.outputs)
        return
    two = len(classifier.classes_) == 2
    if two:
        chosen = graph("Greater", F, graph.constant(0.0))
        chosen = graph("Reshape", chosen, graph.constant([-1], np.int64))
        chosen = graph("Cast", chosen, to=graph.proto(np.int64))
        F = graph("Concat", graph("Neg", F), F, axis=1)
    else:
        chosen = graph("ArgMax", F, axis=1, keepdims=0)
    classes = np.asarray(get_label_classes(scope, classifier))
    labels = graph("Gather", graph.constant(classes, _label_type(classes)), chosen)
    graph.rename(labels, operator.outputs[0])

    if graph.option("raw_scores"):  # of two classes, both columns: that of the first is minus the other
        P = F
    elif model.loss == "log_loss":
        P = graph("Sigmoid", F) if two else graph("Softmax", F, axis=1)
    else:
        P = _clipped_probabilities(graph, F)
        P = graph("Div", P, graph.sum_rows(P))
    graph.rename(P, operator.outputs[1])


def _convert_labels(graph: Graph, F: str, model: NetworkModel | LimitModel, outputs) -> None:
    """Make an indicator matrix and a probability for each label of scores, (n, k) both."""
    chosen = graph("Cast", graph("Greater", F, graph.constant(0.0)), to=graph.proto(np.int64))
    graph.rename(chosen, outputs[0])
    if graph.option("raw_scores"):
        P = F
    else:
        P = graph("Sigmoid", F) if model.loss == "log_loss" else _clipped_probabilities(graph, F)
    graph.rename(P, outputs[1])


def _clipped_probabilities(graph: Graph, F: str) -> str:
    """Return (1 + f)/2, away from 0 and 1."""
    P = graph("Div", graph("Add", F, graph.constant(1.0)), graph.constant(2.0))
    return graph("Clip", P, graph.constant(CLIPPED), graph.constant(1 - CLIPPED))


def _label_type(classes: np.ndarray):
    """Return the type of labels in ONNX: strings or int64."""
    return np.int64 if np.issubdtype(classes.dtype, np.number) or classes.dtype == bool else str


def _predictions(graph: Graph, model: NetworkModel | LimitModel) -> str:
    """Return the name of the predictions on the user's scale, (n, k)."""
    X = graph("Cast", graph.input, to=graph.proto(graph.dtype))
    if isinstance(model, LimitModel):
        F = limit_outputs(graph, model, X)
    else:
        X = augment(graph, model.scales.inputs_to_predict, X)
        network, *start = model.networks
        F = network_outputs(graph, model, network, X)
        for other in start:
            F = graph("Sub", F, network_outputs(graph, model, other, X))
    target = model.scales.target
    if isinstance(target, TargetScaling) and target.link == "log":
        F = graph("Exp", graph("Add", F, graph.constant(np.log(target.scale))))
        return graph.within(F, model.scales.y_limits)
    if np.any(target.scale != 1):
        F = graph("Mul", F, graph.constant(target.scale))
    F = graph("Add", F, graph.constant(target.mean))
    if isinstance(target, TargetScaling) and target.ordered:
        k = graph.constant([len(target.mean)], np.int64)
        F, _ = graph.outputs("TopK", F, k, n_outputs=2, axis=1, largest=0, sorted=1)
    return graph.within(F, model.scales.y_limits)
