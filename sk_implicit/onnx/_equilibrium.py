"""A network of finite width as an ONNX graph.

The equilibrium is a ``Loop`` of Picard iterations z ← σ(z sAᵀ + φ). A row leaves it when its step falls below
the tolerance, so that its prediction does not depend on its neighbours.
"""

from __future__ import annotations

from math import sqrt
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
    """Return the output Z Uᵀ + Φ Vᵀ of a network, NaN in rows whose equilibrium is not reached."""
    _require_plain_iteration(model, network)
    Phi = graph("Relu", graph("MatMul", X, graph.constant(network.W.T)))
    Phi = graph("Div", Phi, graph.constant(sqrt(network.shape.m)))
    Z, moving = _equilibrium(graph, network, Phi)
    F = graph(
        "Add",
        graph("MatMul", Z, graph.constant(network.U.T)),
        graph("MatMul", Phi, graph.constant(network.V.T)),
    )
    return graph("Where", moving, graph.constant(np.nan), F)


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


def _equilibrium(graph: Graph, network: Network, Phi: str) -> tuple[str, str]:
    """Return the equilibrium, (n, m), and the mask of rows that have not reached it, (n, 1)."""
    from onnx import TensorProto, helper, numpy_helper

    real, rows, m = graph.proto(graph.dtype), graph.unique("n"), network.shape.m
    prefix = graph.unique("loop")

    def named(key):
        return key if key == Phi else f"{prefix}_{key}"

    def node(op, inputs, output, **attributes):
        return helper.make_node(op, [named(key) for key in inputs], [named(output)], **attributes)

    def value(key, kind, shape):
        return helper.make_tensor_value_info(named(key), kind, shape)

    constants: list[tuple[str, Any, Any]] = [
        ("M", np.ascontiguousarray(network.s * network.A.T), graph.dtype),
        ("tol", _TOL[graph.dtype], graph.dtype),
        ("axis", [1], np.int64),
        ("zero", 0, np.int64),
    ]
    body = helper.make_graph(
        [
            node("MatMul", ["Z", "M"], "ZM"),
            node("Add", ["ZM", Phi], "G"),
            node("Relu", ["G"], "new"),
            node("Sub", ["new", "Z"], "move"),
            node("Abs", ["move"], "distances"),
            node("ReduceSum", ["distances", "axis"], "distance", keepdims=1),
            node("ReduceSum", ["new", "axis"], "size", keepdims=1),
            node("Mul", ["size", "tol"], "least"),
            # a row that moved by no more than that, or is NaN, stays as it is from now on
            node("Greater", ["distance", "least"], "far"),
            node("And", ["far", "moving"], "moving_on"),
            node("Where", ["moving", "new", "Z"], "Z_on"),
            node("Cast", ["moving_on"], "counts", to=TensorProto.INT64),
            node("ReduceSum", ["counts"], "count", keepdims=0),
            node("Greater", ["count", "zero"], "go_on"),
        ],
        graph.unique("equilibrium"),
        [
            value("i", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("Z", real, [rows, m]),
            value("moving", TensorProto.BOOL, [rows, 1]),
        ],
        [
            value("go_on", TensorProto.BOOL, []),
            value("Z_on", real, [rows, m]),
            value("moving_on", TensorProto.BOOL, [rows, 1]),
        ],
        [numpy_helper.from_array(np.asarray(array, dtype), named(key)) for key, array, dtype in constants],
    )
    moving = graph("GreaterOrEqual", graph.sum_rows(Phi), graph.constant(-1.0))  # all of them, (n, 1)
    start = [graph.constant(_MAX_ITER, np.int64), graph.constant(True, np.bool_), Phi, moving]
    Z, moving = graph.outputs("Loop", *start, n_outputs=2, body=body)
    return Z, moving
