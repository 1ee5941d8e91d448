"""The network of infinite width as an ONNX graph, in double precision.

The table of the limit kernel is read as `sk_implicit.limit._table` reads it; octaves and cells are found by
logarithms, since ONNX has no access to the bits of a number.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import issparse

from ..limit._matrix import rounding_offset
from ..limit._table import CELL_BITS, OCTAVES, limit_table
from ..models import LimitModel
from ._graph import Graph, augment


def limit_outputs(graph: Graph, model: LimitModel, X: str) -> str:
    """Return the predictions of infinite width, ‖x̃‖ ‖x̃'‖ k(ρ) C, (n, k)."""
    result_type, graph = graph.dtype, graph.in_precision(np.float64)
    inputs, dtype = model.scales.inputs_to_predict, model.dtype
    X = _rounded(graph, augment(graph, inputs, _rounded(graph, X, dtype)), dtype)
    landmarks = model.landmarks.toarray() if issparse(model.landmarks) else model.landmarks
    landmarks = landmarks.astype(np.float64)
    lengths = np.linalg.norm(landmarks, axis=1, keepdims=True)
    landmarks /= np.where(lengths > 0, lengths, 1)

    norm = graph("Sqrt", graph.sum_rows(graph("Mul", X, X)))
    nonzero = graph("Where", graph("Greater", norm, graph.constant(0.0)), norm, graph.constant(1.0))
    rho = graph("MatMul", graph("Div", X, nonzero), graph.constant(landmarks.T))
    # rounded as in `limit_kernel`: equal rows have the cosine 1
    offset = graph.constant(rounding_offset(landmarks.shape[1]))
    rho = graph("Sub", graph("Add", rho, offset), offset)
    K = _limit_function(graph, model.gamma, rho)
    F = graph("Mul", norm, graph("MatMul", K, graph.constant(lengths * model.dual)))
    return graph("Cast", F, to=graph.proto(result_type))


def _rounded(graph: Graph, X: str, dtype) -> str:
    """Round to the precision of the fit, so that a training row equals itself."""
    return graph("Cast", graph("Cast", X, to=graph.proto(dtype)), to=graph.proto(np.float64))


def _limit_function(graph: Graph, gamma: float, rho: str) -> str:
    """Return the tangent kernel's function of the cosine: a quartic in u = √(1 − |ρ|) for each cell."""
    one, largest = graph.constant(1.0), graph.constant(float(OCTAVES - 1))
    u = graph("Sqrt", graph("Relu", graph("Sub", one, graph("Abs", rho))))
    # octave [2^(j - 31), 2^(j - 30)), and the cell within it
    least = graph.constant(2.0 ** (1 - OCTAVES))
    log = graph("Div", graph("Log", graph("Max", u, least)), graph.constant(np.log(2.0)))
    octave = graph("Cast", graph("Add", log, largest), to=graph.proto(np.int64))
    power = graph("Sub", largest, graph("Cast", octave, to=graph.proto(np.float64)))
    mantissa = graph("Mul", u, graph("Pow", graph.constant(2.0), power))
    n_cells = 2**CELL_BITS
    cell = graph("Mul", graph("Sub", mantissa, one), graph.constant(float(n_cells)))
    cell = graph("Clip", cell, graph.constant(0.0), graph.constant(float(n_cells - 1)))
    cell = graph("Cast", cell, to=graph.proto(np.int64))
    negative = graph("Cast", graph("Less", rho, graph.constant(0.0)), to=graph.proto(np.int64))
    for part, size in ((octave, n_cells), (negative, OCTAVES * n_cells)):
        cell = graph("Add", cell, graph("Mul", part, graph.constant(size, np.int64)))

    *lower, highest = limit_table(gamma, "ntk")
    value = graph("Gather", graph.constant(highest), cell)
    for coefficients in lower[::-1]:
        value = graph("Mul", value, u)
        value = graph("Add", value, graph("Gather", graph.constant(coefficients), cell))
    return value
