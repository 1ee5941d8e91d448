"""A network of finite width as an ONNX graph.

The equilibrium is a ``Loop`` of Picard iterations z ← σ(z sAᵀ + φ). A row leaves it when its step falls below
the tolerance, so that its prediction does not depend on its neighbours. At finite depth the loop has a fixed
number of iterations.

Where c = ‖sA‖₂ < 1, the loop is as long as every row may need. A step shrinks by c at least, the first is at
most c‖φ‖, and ‖φ‖ ≤ (1 + c)‖z‖: after k steps it is at most 2 cᵏ‖z‖, and √m times that in the norm of the
test. All further ones together are 1/(1 − c) times as long at most. Elsewhere the loop is tried on random
rows, which have to reach the equilibrium that the estimator finds for them.
"""

from __future__ import annotations

from math import ceil, isfinite, log, sqrt
from typing import Any, NamedTuple

import numpy as np

from ..equilibrium import EquilibriumOptions
from ..models import NetworkModel
from ..models.network_model import missed_rows
from ..network import Network
from ._graph import Graph

# A row has reached its equilibrium when a step changes it by less than this, relative to its size.
_TOL = {np.dtype(np.float64): 1e-11, np.dtype(np.float32): 2e-6}
# Accuracy of the equilibrium where ‖sA‖₂ < 1: a float32 loop whose steps to come may add up to more is one in
# float64, which goes on until they add up to a quarter of it.
_ACCURACY = 1e-4
# Most iterations of a loop that is not known to converge, and of one that is; rows that need more come out
# as NaN.
_MAX_ITER, _MAX_CERTIFIED = 2000, 100_000
# Random rows on which a loop is tried before it is exported, at most and at least, and the entries of A they
# are multiplied by. Few rows have several equilibria, and those mostly in narrow networks.
_TRIALS, _LEAST_TRIALS, _TRIAL_ENTRIES = 1000, 100, 1e8
# Two solutions further apart than this share of their size are two equilibria: rounding leaves 1e-4 or so.
_APART = 1e-2


def network_outputs(graph: Graph, model: NetworkModel, network: Network, X: str) -> str:
    """Return the output Z Uᵀ + Φ Vᵀ of a network, NaN in rows that do not get as far as Z."""
    Phi = graph("Relu", graph("MatMul", X, graph.constant(network.W.T)))
    Phi = graph("Div", Phi, graph.constant(sqrt(network.shape.m)))
    if isfinite(network.depth):
        Z, lost = _last_layer(graph, network, Phi)
    else:
        loop = certified_loop(network, graph.dtype)
        if loop is None:
            loop = Loop(graph.dtype, _TOL[graph.dtype], _MAX_ITER)
            _require_same_equilibria(model, network, loop)
        Z, lost = _equilibrium(graph, network, Phi, loop)
    F = graph(
        "Add",
        graph("MatMul", Z, graph.constant(network.U.T)),
        graph("MatMul", Phi, graph.constant(network.V.T)),
    )
    return graph("Where", lost, graph.constant(np.nan), F)


class Loop(NamedTuple):
    """How a loop iterates.

    Attributes
    ----------
    dtype : numpy dtype
        Its precision.
    tol : float
        The step, relative to the row's size, at which a row leaves it.
    max_iter : int
        Most iterations.
    """

    dtype: np.dtype
    tol: float
    max_iter: int


def certified_loop(network: Network, dtype) -> Loop | None:
    """Return the loop that every row's equilibrium is known to be reached by; None where none is known."""
    contraction = network.contraction()
    if contraction >= 1:
        return None
    dtype = np.dtype(dtype)
    tol = _TOL[dtype]
    if tol > _ACCURACY * (1 - contraction):
        dtype, tol = np.dtype(np.float64), 0.25 * _ACCURACY * (1 - contraction)
    enough = ceil(log(tol / (2 * sqrt(network.shape.m))) / log(max(contraction, 1e-3)))
    return Loop(dtype, tol, enough) if enough <= _MAX_CERTIFIED else None


def _require_same_equilibria(model: NetworkModel, network: Network, loop: Loop) -> None:
    """Refuse a network whose loop finds no equilibria, or others than the estimator does."""
    rng, m, p = np.random.RandomState(0), network.shape.m, network.shape.p
    n = int(np.clip(_TRIAL_ENTRIES / m**2, _LEAST_TRIALS, _TRIALS))
    X = rng.standard_normal((n, p))  # with the bias, of mean square 1, as the rows of the fit
    bias = model.scales.inputs.bias
    X *= sqrt(max(1 - bias**2, 0) / max(p - (bias != 0), 1))
    if bias:
        X[:, -1] = bias
    X = X.astype(network.A.dtype)
    found, moving = plain_iteration(network, network.feature_map(X), loop)
    if moving:
        raise ValueError(
            f"{_equilibria(network)} are not reached by {loop.max_iter} plain iterations on random "
            "inputs, which is what its ONNX graph would compute. Fit it with a smaller gamma."
        )
    tol = model.tolerance(network.A.dtype)
    layers, result = network.forward(X, EquilibriumOptions(model.solver, tol))
    apart = np.linalg.norm(found - layers.Z, axis=1) > _APART * np.linalg.norm(layers.Z, axis=1)
    others = np.count_nonzero(apart & ~missed_rows(result, tol))  # of missed rows, predict warns
    if others:
        raise ValueError(
            f"{_equilibria(network)} are not the only ones: for {others} of {n} random inputs, plain "
            "iterations, which are what its ONNX graph would compute, lead to another one than "
            f"equilibrium_solver={model.solver!r}. Fit it with a smaller gamma, or with "
            "equilibrium_solver='picard'."
        )


def _equilibria(network: Network) -> str:
    contraction = network.contraction()
    return f"The equilibria of this network (‖sA‖₂ = {contraction:.4g}, below 1 is certified)"


def plain_iteration(network: Network, Phi: np.ndarray, loop: Loop) -> tuple[np.ndarray, int]:
    """Return what the rows of Φ end with, as the graph would iterate, and how many of them still move."""
    M, Phi = network.s * network.A.T.astype(loop.dtype), Phi.astype(loop.dtype)
    Z, moving = Phi.copy(), np.arange(len(Phi))
    for _ in range(loop.max_iter):
        new = np.maximum(Z[moving] @ M + Phi[moving], 0)
        step = np.abs(new - Z[moving]).sum(axis=1)
        Z[moving] = new
        moving = moving[~(step <= loop.tol * new.sum(axis=1))]
        if not moving.size:
            break
    return Z, len(moving)


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
        self.constant("M", network.s * network.A.T.astype(graph.dtype, order="C"), graph.dtype)
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

    def sum_rows(self, key: str, output: str) -> None:
        """Append the sums of the rows, (n, 1)."""
        if not self._graph.axes_are_inputs:
            return self.add("ReduceSum", [key], output, axes=[1], keepdims=1)
        self.constant(f"axis_{key}", [1], np.int64)
        self.add("ReduceSum", [key, f"axis_{key}"], output, keepdims=1)

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


def _equilibrium(graph: Graph, network: Network, Phi: str, loop: Loop) -> tuple[str, str]:
    """Return the equilibrium, (n, m), and the mask of rows that have not reached it, (n, 1)."""
    from onnx import TensorProto

    result_type, graph = graph.dtype, graph.in_precision(loop.dtype)
    if loop.dtype != result_type:
        Phi = graph("Cast", Phi, to=graph.proto(loop.dtype))
    body = _Body(graph, network, Phi)
    body.constant("tol", loop.tol, loop.dtype)
    body.constant("zero", 0, np.int64)
    body.add("Relu", ["G"], "new")
    body.add("Sub", ["new", "Z"], "move")
    body.add("Abs", ["move"], "distances")
    body.sum_rows("distances", "distance")
    body.sum_rows("new", "size")
    body.add("Mul", ["size", "tol"], "least")
    # a row that moved by no more than that, or is NaN, stays as it is from now on
    body.add("Greater", ["distance", "least"], "far")
    body.add("And", ["far", "moving"], "moving_on")
    body.add("Where", ["moving", "new", "Z"], "Z_on")
    body.add("Cast", ["moving_on"], "counts", to=TensorProto.INT64)
    body.add("ReduceSum", ["counts"], "count", keepdims=0)
    body.add("Greater", ["count", "zero"], "go_on")
    moving = graph("GreaterOrEqual", graph.sum_rows(Phi), graph.constant(-1.0))  # all of them, (n, 1)
    start = [graph.constant(loop.max_iter, np.int64), graph.constant(True, np.bool_), Phi, moving]
    Z, moving = graph.outputs("Loop", *start, n_outputs=2, body=body.finish(moving=True))
    return (Z if loop.dtype == result_type else graph("Cast", Z, to=graph.proto(result_type))), moving
