r"""A feed-forward ReLU network as an implicit network.

A multilayer perceptron h_l = σ(C_lᵀ h_{l−1} + b_l), l = 1 … L, h_0 = x, y = C_{L+1}ᵀ h_L + b_{L+1} is an
implicit network whose equilibrium holds all its layers at once [1]_. The units are

    z = (c_0,  c_1 h_1,  c_2 h_2,  …,  c_L h_L),

a constant and one block for each layer, scaled by positive factors c_l, for ReLU is positively
homogeneous. With s = γ/√m:

* layer l enters as z_l = σ(φ_l + s A z), where φ_l is its input from outside, raised by t_l ≥ 0, and A takes
  c_l t_l from the constant unit: φ_1 = c_1 σ(C_1ᵀx + b_1 + t_1) for the first layer and the constant
  c_l (b_l + t_l) > 0 for the others. Biases of either sign pass through the ReLU of φ this way, and the first
  layer does too, for σ(σ(u + t) − t) = σ(u) whatever the u. Without t a unit that is off would stand exactly
  on the kink of its ReLU, where no derivative tells what training does to it;
* s A carries layer l − 1 to layer l, (c_l/c_{l−1}) C_lᵀ below its diagonal, so that it is strictly block
  triangular: its Perron-Frobenius radius is 0, and L + 1 iterations solve it;
* U reads the last block; y's centre and scale take the output's bias and size.

The factors are free. c_1 gives W entries of mean square 1, as at a random start; the constant and each
further ratio c_l/c_{l−1} are chosen such that ‖sA‖₂ ≤ 0.9, so that the network also starts inside the set
certified by the operator norm, and training keeps it there.

References
----------
.. [1] L. El Ghaoui, F. Gu, B. Travacca, A. Askari and A. Tsai, "Implicit deep learning", SIAM Journal on
   Mathematics of Data Science 3 (2021), section 3.
"""

from __future__ import annotations

from dataclasses import asdict
from math import sqrt

import numpy as np

from .._numerics.ranges import largest_magnitude
from .._numerics.spectral import operator_norm
from ..inputs.scaling import InputScaling
from ..inputs.targets import TargetScaling
from ..network import Network
from ..training import History
from .network_model import NetworkModel
from .scales import Scales
from .settings import Settings
from .state import FitState, Fitted

# ‖sA‖₂ of the network that is returned, at most.
CONTRACTION = 0.9
# t₁ over the norm of the unit's weights: how many standard deviations of its input, where features are
# standardised, are let through the feature map of a unit that is off.
_REACH = 2.0


def embedded(weights: list[np.ndarray], biases: list[np.ndarray], settings: Settings) -> Fitted:
    """Return a feed-forward ReLU network as a fit that took no step, ready to be trained on.

    Parameters
    ----------
    weights, biases : lists of L + 1 arrays
        As in `embed`.
    settings : Settings
        Those of the estimator that it becomes.
    """
    scales, network = embed(weights, biases, settings.gamma)
    unknown = [np.nan]  # without data
    contraction = network.contraction()
    history = History(
        unknown, squared_error=unknown, contraction=[contraction], step_size=unknown, n_rows=[0]
    )
    facts = {
        "n_iter_": 0,
        "loss_curve_": [],
        "history_": asdict(history),
        "alpha_": 0.0,
        "contraction_": contraction,
        "loss_": np.nan,
        "equilibrium_residual_": np.nan,
    }
    read = {"output_init": settings.output_init}  # the others were not read
    state = FitState(scales.inputs, scales.target, network, settings.solver, read)
    model = NetworkModel(scales, network, network, centred=False)
    return Fitted(model, facts, state)


def embed(weights: list[np.ndarray], biases: list[np.ndarray], gamma: float) -> tuple[Scales, Network]:
    """Return the implicit network with the predictions of a feed-forward ReLU network, and its scales.

    Parameters
    ----------
    weights : list of L + 1 arrays
        C_1 (d, h_1), C_2 (h_1, h_2), …, C_{L+1} (h_L, k); L ≥ 0.
    biases : list of L + 1 arrays
        b_1 (h_1,), …, b_{L+1} (k,).
    gamma : float
        γ of the implicit network; it changes the parametrisation, not the predictions.
    """
    if len(weights) == 1:
        weights, biases = _with_linear_layer(weights[0], biases[0])
    *hidden, output = weights
    d, k = hidden[0].shape[0], output.shape[1]
    sizes = [C.shape[1] for C in hidden]
    m = 1 + sum(sizes)
    s = gamma / sqrt(m)
    ends = 1 + np.cumsum(sizes)
    blocks = [slice(end - size, end) for end, size in zip(ends, sizes)]
    # rows of [x, 1] have this root mean square norm where features are standardised
    input_scale = sqrt(d + 1)

    # every block of rows of sA has at most this norm, and they share the constant's column
    block_norm = CONTRACTION / sqrt(len(hidden))

    dtype = np.result_type(*weights)
    A, W = np.zeros((m, m), dtype), np.zeros((m, d + 1), dtype)
    unit = sqrt(m) * input_scale  # an entry of W in front of the inputs as they come
    first = np.column_stack([hidden[0].T, biases[0]])
    c = _unit_scale(unit * first)
    shift = _REACH * _magnitudes(first)  # t
    constant = c * float(np.linalg.norm(shift)) / block_norm
    W[0, -1] = unit * constant
    W[blocks[0]] = unit * c * first
    W[blocks[0], -1] += unit * c * shift
    A[blocks[0], 0] = -(c / constant / s) * shift
    for C, b, below, block in zip(hidden[1:], biases[1:], blocks, blocks[1:]):
        shift = np.maximum(-b, 0) + _magnitudes(C.T)
        rows = np.column_stack([C.T, -(c / constant) * shift])  # acts on (c h_{l−1}, constant)
        ratio = min(block_norm / operator_norm(_tall(rows), tol=1e-6)[0], 1.0)
        A[block, below] = (ratio / s) * rows[:, :-1]
        A[block, 0] = (ratio / s) * rows[:, -1]
        c *= ratio
        W[block, -1] = unit * c * (b + shift)

    U = np.zeros((k, m), dtype)
    size = np.array([1.0 / _unit_scale(column) for column in output.T]) / c
    U[:, blocks[-1]] = output.T / (c * size[:, None])
    target = TargetScaling(np.asarray(biases[-1], np.float64), size)
    inputs = InputScaling(np.full(d, input_scale), 1 / input_scale)
    return Scales.unlimited(inputs, target), Network(A, W, U, np.zeros_like(U), gamma=gamma)


def _with_linear_layer(C: np.ndarray, b: np.ndarray):
    """Give a linear model a hidden layer: Cᵀx = σ(Cᵀx) − σ(−Cᵀx)."""
    eye = np.eye(C.shape[1], dtype=C.dtype)
    zeros = np.zeros(2 * C.shape[1], dtype=C.dtype)
    return [np.hstack([C, -C]), np.vstack([eye, -eye])], [zeros, b]


def _unit_scale(B: np.ndarray) -> float:
    """Return the factor that gives B entries of mean square 1; 1 where B is zero."""
    largest = largest_magnitude(B)
    return 1.0 if largest == 0 else 1.0 / (largest * sqrt(float(np.mean((B / largest) ** 2))))


def _magnitudes(B: np.ndarray) -> np.ndarray:
    """Return the norms of the rows, 1 for rows of zeros."""
    norms = np.linalg.norm(B, axis=1)
    return np.where(norms > 0, norms, 1.0)


def _tall(B: np.ndarray) -> np.ndarray:
    return B if B.shape[0] >= B.shape[1] else B.T
