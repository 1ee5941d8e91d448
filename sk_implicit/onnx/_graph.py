"""A graph that grows node by node inside a skl2onnx container."""

from __future__ import annotations

import numpy as np

from ..inputs.scaling import InputScaling
from ..inputs.table import Table

# Least version of ONNX's operators that has all of those in use, for both precisions.
LEAST_OPSET = 12
# From it on, the axes of a sum are an input of it.
_AXES_ARE_INPUTS = 13


class Graph:
    """Nodes and constants of one operator; a call appends a node and returns its output's name.

    Parameters
    ----------
    scope, operator, container
        What skl2onnx hands to a converter.
    dtype : numpy dtype or None
        Precision of real constants; None is that of the operator's input, float32 unless it is float64.

    Raises
    ------
    ValueError
        If the graph is to be of a version of ONNX that lacks what it needs.
    """

    def __init__(self, scope, operator, container, dtype=None):
        from skl2onnx.common.data_types import DoubleTensorType

        self._scope, self._operator, self._container = scope, operator, container
        self.input = operator.inputs[0].full_name
        double = isinstance(operator.inputs[0].type, DoubleTensorType)
        self.dtype = np.dtype(dtype or (np.float64 if double else np.float32))
        if container.target_opset < LEAST_OPSET:
            raise ValueError(
                f"{type(operator.raw_operator).__name__} needs target_opset >= {LEAST_OPSET}; got "
                f"{container.target_opset}, which lacks operators that its graph is made of. Export with "
                f"target_opset={LEAST_OPSET} or more, or leave it out."
            )

    def in_precision(self, dtype) -> Graph:
        """Return the same graph, with real constants of this type."""
        return Graph(self._scope, self._operator, self._container, dtype)

    def __call__(self, op: str, *inputs: str, **attributes) -> str:
        """Append a node with one output."""
        return self.outputs(op, *inputs, n_outputs=1, **attributes)[0]

    def outputs(self, op: str, *inputs: str, n_outputs: int, **attributes) -> list[str]:
        """Append a node and return the names of its outputs."""
        names = [self.unique(op.lower()) for _ in range(n_outputs)]
        name = self._scope.get_unique_operator_name(op)
        self._container.add_node(op, list(inputs), names, name=name, **attributes)
        return names

    def constant(self, value, dtype=None) -> str:
        """Add a constant, real unless said otherwise.

        Raises
        ------
        ValueError
            If finite values become infinite in the precision of the graph.
        """
        from onnx import TensorProto, numpy_helper

        name = self.unique("constant")
        if dtype is str:
            texts = [str(item).encode("utf-8") for item in value]
            self._container.add_initializer(name, TensorProto.STRING, [len(texts)], texts)
            return name
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(value, dtype=dtype or self.dtype)
        if np.any(np.isinf(array)):
            raise ValueError(
                f"The model holds numbers beyond the range of {array.dtype}, the precision of the exported "
                "graph's input. Export it with a float64 input (DoubleTensorType), or fit it to rescaled "
                "data."
            )
        array = array.reshape(np.shape(value))  # a scalar stays one
        self._container.add_initializer(
            name, self.proto(array.dtype), array.shape, numpy_helper.from_array(array)
        )
        return name

    def sum_rows(self, X: str) -> str:
        """Return the sums of the rows, (n, 1)."""
        if self.axes_are_inputs:
            return self("ReduceSum", X, self.constant([1], np.int64), keepdims=1)
        return self("ReduceSum", X, axes=[1], keepdims=1)

    @property
    def axes_are_inputs(self) -> bool:
        """Whether a sum gets its axes as an input, rather than an attribute."""
        return self._container.target_opset >= _AXES_ARE_INPUTS

    def option(self, name: str) -> bool:
        """Whether an option that is off by default was asked for, by the user or by a meta-estimator."""
        return bool(self._container.get_options(self._operator.raw_operator, {name: False})[name])

    def within(self, X: str, limits: np.ndarray | None) -> str:
        """Return columns that are kept within limits, (2, d), where there are some."""
        if limits is None or np.isinf(limits).all():
            return X
        low, high = self._bounds(limits)
        X = self("Where", self("Less", X, low), low, X)  # what is not a number stays so
        return self("Where", self("Greater", X, high), high, X)

    def believed(self, X: str, limits: np.ndarray | None, fill: np.ndarray) -> str:
        """Return columns with ``fill``, (d,), for what lies beyond limits, (2, d), where there are some."""
        if limits is None or np.isinf(limits).all():
            return X
        low, high = self._bounds(limits)
        return self(
            "Where", self("Or", self("Less", X, low), self("Greater", X, high)), self.constant(fill), X
        )

    def _bounds(self, limits: np.ndarray) -> list[str]:
        largest = np.finfo(self.dtype).max
        return [self.constant(limit) for limit in np.clip(limits, -largest, largest)]

    def unique(self, name: str) -> str:
        """Return a name that nothing else in the model has."""
        return self._scope.get_unique_variable_name(name)

    def rename(self, name: str, variable) -> None:
        """Make a name the value of one of the operator's outputs."""
        node = self._scope.get_unique_operator_name("Identity")
        self._container.add_node("Identity", [name], [variable.full_name], name=node)

    @staticmethod
    def proto(dtype) -> int:
        """Return ONNX's number of a type."""
        from onnx import helper

        return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def _standardised(graph: Graph, table: Table, X: str, missing: str) -> str:
    """Return the columns that `Table.apply` makes of those of the user, filled, given where gaps were.

    Raises
    ------
    ValueError
        If there are levels, which a graph of numbers does not know.
    """
    if (table.level >= 0).any():
        raise ValueError(
            "A model with categorical features cannot be exported: its ONNX graph takes numbers. Encode the "
            "categories before it, by a OneHotEncoder in a pipeline that is exported as a whole."
        )
    if table.is_identity:
        return X
    double = graph.in_precision(np.float64)  # as the estimator does
    X = double("Cast", X, to=graph.proto(np.float64))
    counts = np.isfinite(table.unit)
    X = double("Sub", X, double.constant(table.centre))
    X = double("Div", X, double.constant(np.where(counts, table.unit, 1.0)))
    if not counts.all():
        X = double("Mul", X, double.constant(counts))
    X = graph("Cast", X, to=graph.proto(graph.dtype))
    if not len(table.feature):
        return X
    gaps = graph("Cast", missing, to=graph.proto(graph.dtype))
    gaps = graph("Gather", gaps, graph.constant(table.feature, np.int64), axis=1)
    gaps = graph("Mul", graph("Sub", gaps, graph.constant(table.share)), graph.constant(table.factor))
    return graph("Concat", X, gaps, axis=1)


def augment(graph: Graph, inputs: InputScaling, X: str) -> str:
    """Return [(X, e(X)) / scale, bias], as `InputScaling.apply` does."""
    encoding, table, missing = inputs.encoding, inputs.table, ""
    if table is not None:
        missing = graph("IsNaN", X)
        X = graph("Where", missing, graph.constant(table.fill), X)
    inside = X if table is None else graph.believed(X, inputs.believed, table.fill)
    inside = graph.within(inside, inputs.limits)
    if inside != X:
        X = graph("Add", inside, graph("Sub", X, X))  # infinite entries make no prediction here, either
    if table is not None:
        X = _standardised(graph, table, X, missing)
    if encoding is not None:
        columns = graph("Gather", X, graph.constant(encoding.feature, np.int64), axis=1)
        columns = graph("Sub", columns, graph.constant(encoding.lower))
        columns = graph("Div", columns, graph.constant(encoding.span))
        columns = graph("Clip", columns, graph.constant(0.0), graph.constant(1.0))
        columns = graph("Sub", columns, graph.constant(encoding.mean))
        X = graph("Concat", X, columns, axis=1)
    X = graph("Div", X, graph.constant(inputs.scale))
    if inputs.bias == 0:
        return X
    # padding appends the constant whatever the number of rows
    return graph("Pad", X, graph.constant([0, 0, 0, 1], np.int64), graph.constant(inputs.bias))
