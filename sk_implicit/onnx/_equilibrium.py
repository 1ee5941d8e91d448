"""A network of finite width as an ONNX graph.

The equilibrium is a ``Loop`` of Picard iterations z ← σ(z sAᵀ + φ). A row leaves it when its step falls below
the tolerance, so that its prediction does not depend on its neighbours. At finite depth the loop has a fixed
number of iterations.
"""

from __future__ import annotations

from math import isfinite, sqrt
from typing import Any

import numpy as np

from ..equilibrium import solve
from ..network import Network
from ._graph import Graph

# A row has reached its equilibrium when a step changes it by less than this, relative to its size.
_TOL = {np.dtype(np.float64): 1e-11, np.dtype(np.float32): 2e-6}
# Most iterations of the loop; rows that need more come out as NaN.
_MAX_ITER = 2000
# Random rows on which the plain iteration is tried before a network is exported.
_TRIALS = 100


def network_outputs(graph: Graph, model, network: Network, X: str) -> str:
    """Return the output Z Uᵀ + Φ Vᵀ of a network, NaN in rows that do not get as far as Z."""
    Phi = graph("Relu", graph("MatMul", X, graph.constant(network.W.T)))
    Phi = graph("Div", Phi, graph.constant(sqrt(network.shape.m)))
    if isfinite(network.depth):
        Z, lost = _last_layer(graph, network, Phi)
    else:
        _require_plain_iteration(model, network)
        Z, lost = _equilibrium(graph, network, Phi)
    F = graph(
        "Add",
        graph("MatMul", Z, graph.constant(network.U.T)),
        graph("MatMul", Phi, graph.constant(network.V.T)),
    )
    return graph("Where", lost, graph.constant(np.nan), F)


def _require_plain_iteration(model, network: Network) -> None:
    """Refuse a network whose equilibria the loop would not find."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((_TRIALS, network.shape.p))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    if model.bias_:
        X[:, -1] = model.bias_
    Phi = network.feature_map(X.astype(network.A.dtype))
    tol = _TOL[network.A.dtype] * 10
    result = solve(network.operator, Phi, gamma=network.gamma, solver="picard", tol=tol, max_iter=_MAX_ITER)
    if not result.converged:
        raise ValueError(
            f"The equilibria of this {type(model).__name__} (‖sA‖₂ = {model.contraction_:.2f}, below 1 is "
            f"certified) are not reached by {_MAX_ITER} plain iterations on random inputs, which is what its "
            "ONNX graph would compute. Fit it with a smaller gamma."
        )


class _Body:
    """The body of a ``Loop`` on Z that begins with z sAᵀ + φ, as "G"; names in it are its own.

    Parameters
    ----------
    graph : Graph
        The graph that the loop will stand in.
    network : Network
        The network.
    Phi : str
        Name of the feature map, outside the loop.
    """

    def __init__(self, graph: Graph, network: Network, Phi: str):
        self._graph, self._Phi, self._prefix = graph, Phi, graph.unique("loop")
        self._shape = [graph.unique("n"), network.shape.m]
        self._constants: list[Any] = []
        self.constant("M", np.ascontiguousarray(network.s * network.A.T), graph.dtype)
        self._nodes = [self._node("MatMul", ["Z", "M"], "ZM"), self._node("Add", ["ZM", Phi], "G")]

    def _named(self, key: str) -> str:
        return key if key == self._Phi else f"{self._prefix}_{key}"

    def _node(self, op, inputs, output, **attributes):
        from onnx import helper

        return helper.make_node(op, [self._named(key) for key in inputs], [self._named(output)], **attributes)

    def _value(self, key, kind, shape):
        from onnx import helper

        return helper.make_tensor_value_info(self._named(key), kind, shape)

    def constant(self, key: str, value, dtype) -> None:
        """Add a constant."""
        from onnx import numpy_helper

        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype), self._named(key)))

    def add(self, op: str, inputs: list[str], output: str, **attributes) -> None:
        """Append a node."""
        self._nodes.append(self._node(op, inputs, output, **attributes))

    def finish(self, *, moving: bool):
        """Return the body; it carries Z to "Z_on", "go" to "go_on" and, where asked for, "moving"."""
        from onnx import TensorProto, helper

        def carried(suffix):
            state = [
                self._value("go" + suffix, TensorProto.BOOL, []),
                self._value("Z" + suffix, self._graph.proto(self._graph.dtype), self._shape),
            ]
            if moving:
                state.append(self._value("moving" + suffix, TensorProto.BOOL, [self._shape[0], 1]))
            return state

        number = self._value("i", TensorProto.INT64, [])
        name = self._graph.unique("layer")
        return helper.make_graph(self._nodes, name, [number, *carried("")], carried("_on"), self._constants)


def _last_layer(graph: Graph, network: Network, Phi: str) -> tuple[str, str]:
    """Return z_L, (n, m), and the mask of rows that are not finite, (n, 1)."""
    Z = Phi
    if network.depth > 1:
        body = _Body(graph, network, Phi)
        body.add("Relu", ["G"], "Z_on")
        body.add("Identity", ["go"], "go_on")
        start = [graph.constant(int(network.depth) - 1, np.int64), graph.constant(True, np.bool_), Phi]
        (Z,) = graph.outputs("Loop", *start, n_outputs=1, body=body.finish(moving=False))
    largest = graph.constant(np.finfo(graph.dtype).max)
    return Z, graph("Not", graph("LessOrEqual", graph.sum_rows(Z), largest))


def _equilibrium(graph: Graph, network: Network, Phi: str) -> tuple[str, str]:
    """Return the equilibrium, (n, m), and the mask of rows that have not reached it, (n, 1)."""
    from onnx import TensorProto

    body = _Body(graph, network, Phi)
    body.constant("tol", _TOL[graph.dtype], graph.dtype)
    body.constant("axis", [1], np.int64)
    body.constant("zero", 0, np.int64)
    body.add("Relu", ["G"], "new")
    body.add("Sub", ["new", "Z"], "move")
    body.add("Abs", ["move"], "distances")
    body.add("ReduceSum", ["distances", "axis"], "distance", keepdims=1)
    body.add("ReduceSum", ["new", "axis"], "size", keepdims=1)
    body.add("Mul", ["size", "tol"], "least")
    # a row that moved by no more than that, or is NaN, stays as it is from now on
    body.add("Greater", ["distance", "least"], "far")
    body.add("And", ["far", "moving"], "moving_on")
    body.add("Where", ["moving", "new", "Z"], "Z_on")
    body.add("Cast", ["moving_on"], "counts", to=TensorProto.INT64)
    body.add("ReduceSum", ["counts"], "count", keepdims=0)
    body.add("Greater", ["count", "zero"], "go_on")
    moving = graph("GreaterOrEqual", graph.sum_rows(Phi), graph.constant(-1.0))  # all of them, (n, 1)
    start = [graph.constant(_MAX_ITER, np.int64), graph.constant(True, np.bool_), Phi, moving]
    Z, moving = graph.outputs("Loop", *start, n_outputs=2, body=body.finish(moving=True))
    return Z, moving
