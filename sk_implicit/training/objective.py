r"""The training objective, evaluated once per point and shared by all solvers.

For weights θ, their start θ₀, sample weights w and penalty a (shapes as in `sk_implicit.network`)::

    Σᵢ wᵢ ℓ(yᵢ, f(xᵢ; θ)) + ½ a ‖θ − θ₀‖²

with a loss ℓ of `function_space.losses`, by default ½ ‖y − f‖². With a centred start f(x; θ) − f(x; θ₀) takes
the place of f. Values are reported divided by Σw, and for the squared error by the number of outputs, so
that they are a mean (half a mean squared error) and do not depend on the number of rows.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..equilibrium import EquilibriumOptions, EquilibriumResult
from ..function_space.leaving_out import LeavingOut
from ..function_space.losses import Curvature, Loss, SquaredError
from ..function_space.penalty import Penalty
from ..network import Layers, Network
from ..network.adjoint import Term, vjp_at
from ..network.tangent import TangentFeatures
from . import tangent_system
from .contraction import Contraction


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How well-posed and how accurate the equilibria of training are.

    Attributes
    ----------
    max_contraction : float
        A certified start (‖sA‖₂ < 1) stays certified: steps beyond this contraction are not taken.
    resolution : float
        Accuracy of the equilibria, relative to the size of the residuals they are to resolve.
    start : float
        That of the start's, which a centred network subtracts for good.
    single, double : float
        What float32 and float64 can do.
    uncertified : float
        What float64 is asked for where no equilibrium is certified: rounding errors may grow there.
    """

    max_contraction: float = 0.999
    resolution: float = 3e-3
    start: float = 1e-8
    single: float = 1e-6
    double: float = 1e-12
    uncertified: float = 1e-10


_DEFAULT = Accuracy()


@dataclass(frozen=True, slots=True)
class Point:
    """The objective and what was computed on the way to it, at one θ.

    Attributes
    ----------
    network : Network
        The weights.
    layers : Layers
        Forward pass on the training rows.
    result : EquilibriumResult
        How their equilibria were reached.
    residual : (n, k) array
        −∂ℓ/∂f of every row: y − f for the squared error, y − p for cross-entropy.
    squared_error : float
        Weighted mean of its squares.
    data_value : float
        The loss, without the penalty, divided by Σw times the loss's number of terms and size.
    value : float
        The objective, divided likewise.
    norm : Contraction
        ‖sA‖₂, computed when it is asked for.
    norm_bound : float
        What it was known to be at most when the equilibria were solved, for the adjoints; infinite where
        they are to be solved without.
    """

    network: Network
    layers: Layers
    result: EquilibriumResult
    residual: np.ndarray
    squared_error: float
    data_value: float
    value: float
    norm: Contraction
    norm_bound: float

    @property
    def contraction(self) -> float:
        """‖sA‖₂ (see `Contraction.value`)."""
        return self.norm.value

    @property
    def usable(self) -> bool:
        """Whether the equilibrium was reached and all is finite."""
        return bool(self.result.converged and np.isfinite(self.value))


class _Solved(NamedTuple):
    """A forward pass on the training rows, how it went, and what is known of ‖sA‖₂."""

    layers: Layers
    result: EquilibriumResult
    norm: Contraction
    norm_bound: float


class _Start(NamedTuple):
    """What stays known of the start: its offset, (n, k), its value, and the contraction it allows."""

    offset: np.ndarray
    value: float
    max_contraction: float


class Objective:
    """A loss plus the distance to the start, on fixed training rows.

    Parameters
    ----------
    X : (n, p) array or CSR array
        Augmented inputs.
    Y : (n, k) array
        Targets: centred and scaled, or indicators of the classes.
    weights : (n,) array
        Positive sample weights.
    start : Network
        θ₀.
    penalty : float
        The penalty a, absolute.
    centred : bool
        Whether f(·; θ₀) is subtracted from the predictions.
    equilibrium_solver : str
        Name of the solver for equilibria and adjoints.
    equilibrium_tol : float or None
        Their tolerance; None for as tight as the residuals need.
    loss : Loss, default=SquaredError()
        The loss ℓ.
    left_out : LeavingOut or None
        What is left out at a time, None for every row by itself.
    accuracy : Accuracy
        That of the equilibria.

    Attributes
    ----------
    explained : float
        Share of the start's loss that the network linearised at its start explains on rows left out; 1
        where it is not known.
    """

    def __init__(
        self, X, Y, weights, start: Network, *, penalty: float = 0.0, centred: bool = True,
        equilibrium_solver: str = "auto", equilibrium_tol: float | None = None,
        loss: Loss = SquaredError(),  # noqa: B008 — a value without state
        left_out: LeavingOut | None = None, accuracy: Accuracy = _DEFAULT,
    ):  # fmt: skip
        self.X, self.Y, self.weights = X, Y, weights
        self.start, self.penalty, self.centred = start, penalty, centred
        self.equilibrium_solver, self.equilibrium_tol = equilibrium_solver, equilibrium_tol
        self.accuracy = accuracy
        self.loss, self.left_out = loss, LeavingOut(weights) if left_out is None else left_out
        self.total_weight = self._total_weight()
        self.explained = 1.0
        self._first: Point | None = None
        self._known: _Start | None = None

    def begin(self, Z0: np.ndarray | None = None) -> Point:
        """Solve for the start, from equilibria ``Z0``, and return it; all of it follows when it is needed."""
        network = self.start.with_theta(self.start.theta)  # what it makes of A goes with it
        solved = self._solved(network, Z0=Z0)
        offset = np.zeros_like(self.Y)
        if self.centred:
            offset = network.output(solved.layers)
            solved = solved._replace(norm_bound=np.inf)  # adjoints at the start are solved without
        first = self._assemble(network, solved, offset)
        # a network of finite depth is defined for every A
        certified = first.contraction < self.accuracy.max_contraction and np.isinf(self.start.depth)
        self._known = _Start(offset, first.value, self.accuracy.max_contraction if certified else np.inf)
        self._first = first
        return first

    def _total_weight(self) -> float:
        """Return what values are divided by."""
        return float(self.weights.sum()) * self.loss.n_terms(self.Y.shape[1]) * self.loss.size

    def penalised(self, penalty: Penalty) -> Objective:
        """Return the objective with a penalty, and what leave-one-out says with it; the start is shared."""
        other = copy(self)
        other.penalty = penalty.absolute
        if penalty.noise is not None:
            first, offset = self.first, self.offset
            other.loss, _ = self.loss.at_noise(penalty.noise)
            other.total_weight = other._total_weight()
            solved = _Solved(first.layers, first.result, first.norm, first.norm_bound)
            other._first = other._assemble(first.network, solved, offset)
            other._known = self._at_start._replace(value=other._first.value)
        if penalty.score is not None:
            other.explained = penalty.score
        return other

    def sample(self, rows: np.ndarray) -> Objective:
        """Return the objective on some of the rows, its start solved for from that of all."""
        near = self.first.layers.Z[rows]
        other = copy(self)
        other.X, other.Y = self.X[rows], self.Y[rows]
        other.weights, other.left_out = self.weights[rows], self.left_out[rows]
        other.total_weight = self.total_weight * float(other.weights.sum() / self.weights.sum())
        other.begin(near)
        return other

    @property
    def first(self) -> Point:
        """The start, evaluated again if it was let go of."""
        if self._first is None:
            self._first = self.begin() if self._known is None else self.evaluate(self.start.theta)
        return self._first

    def leave_first(self) -> None:
        """Let go of the start's layers, (n, m), which training has left behind."""
        self._first = None

    @property
    def _at_start(self) -> _Start:
        if self._known is None:
            self.begin()
        assert self._known is not None
        return self._known

    @property
    def offset(self) -> np.ndarray:
        """What is subtracted from predictions, (n, k): those of the start where it is centred."""
        return self._at_start.offset

    @property
    def first_value(self) -> float:
        """The objective at the start."""
        return self._at_start.value

    @property
    def max_contraction(self) -> float:
        """What ‖sA‖₂ may be along the way."""
        return self._at_start.max_contraction

    @property
    def _is_small(self) -> bool:
        return len(self.Y) * self.start.shape.m <= tangent_system.LIMITS.small

    def tolerance(self, near: Point | None, certified: bool = True) -> float:
        """Return the tolerance for equilibria near a point.

        Small problems are solved to rounding, which costs nothing and makes a row of weight 2 equal
        to the same row twice through any number of steps; large ones to far below the residuals.
        """
        if self.equilibrium_tol is not None:
            return self.equilibrium_tol
        accuracy = self.accuracy
        in_double = accuracy.double if certified else accuracy.uncertified
        finest = accuracy.single if self.Y.dtype == np.float32 else in_double
        if self._is_small:
            return finest
        if near is None:
            return max(accuracy.start, finest)
        needed = accuracy.resolution * np.sqrt(near.squared_error)
        return float(np.clip(needed, finest, accuracy.resolution))

    def options(self, tol: float) -> EquilibriumOptions:
        """Return what equilibria and adjoints are solved by, to a tolerance."""
        return EquilibriumOptions(self.equilibrium_solver, tol)

    def evaluate(self, theta: np.ndarray, near: Point | None = None, Z0: np.ndarray | None = None) -> Point:
        """Compute the objective at θ.

        Where the equilibrium is certified to be the only one, its solution starts from that of a point
        nearby or from ``Z0``.
        """
        theta = theta.astype(self.start.theta.dtype, copy=False)
        network = self.start.with_theta(theta)
        return self._assemble(network, self._solved(network, near, Z0), self.offset)

    def _solved(self, network: Network, near: Point | None = None, Z0: np.ndarray | None = None) -> _Solved:
        """Solve for the layers of a network, given a point nearby or a start as `evaluate` is."""
        norm = Contraction(network, None if near is None else near.norm)
        if not norm.upper < 1:  # a bound that says nothing
            norm.measure()
        bound = norm.bound
        certified = bound < 1
        if not certified:
            Z0 = None  # there may be several equilibria: the one that predictions find, too
        elif Z0 is None and near is not None:
            Z0 = near.layers.Z
        options = self.options(self.tolerance(near, certified))
        layers, result = network.forward(self.X, options, Z0=Z0, norm_bound=bound)
        return _Solved(layers, result, norm, bound)

    def predictions(self, point: Point) -> np.ndarray:
        """Return the predictions of the training rows, less the start's where it is centred, (n, k)."""
        return point.network.output(point.layers) - self.offset

    def _assemble(self, network: Network, solved: _Solved, offset: np.ndarray) -> Point:
        with np.errstate(over="ignore", invalid="ignore"):  # such a point is not usable
            losses, residual = self.loss.evaluate(self.Y, network.output(solved.layers) - offset)
            squares = float(self.weights @ np.einsum("nk,nk->n", residual, residual))
            data_value = float(self.weights @ losses) / self.total_weight
        pull = self.pull(network.theta - self.start.theta) if self.penalty > 0 else 0.0
        return Point(
            network=network,
            layers=solved.layers,
            result=solved.result,
            residual=residual,
            squared_error=squares / (self.total_weight / self.loss.size),
            data_value=data_value,
            value=data_value + pull,
            norm=solved.norm,
            norm_bound=solved.norm_bound,
        )

    def pull(self, drift: np.ndarray) -> float:
        """Return the penalty's part of ``value`` at a distance d = θ − θ₀."""
        return 0.5 * self.penalty * float(drift @ drift) / self.total_weight

    def unit(self, value: float) -> float:
        """Return what a change of ``value`` is measured by (see `Loss.unit`)."""
        return self.loss.unit(value, self.first_value, self.explained)

    def admits(self, point: Point) -> bool:
        """Whether a point is usable and stays within the well-posed set."""
        return point.usable and point.norm.is_below(self.max_contraction)

    def resolved(self, point: Point) -> bool:
        """Whether the residuals leave nothing to train on."""
        return self.penalty == 0 and self.loss.resolved(point.squared_error, self.Y.dtype)

    def curvature(self, point: Point) -> tuple[Curvature, np.ndarray]:
        """Return the weighted curvature of the loss at a point, and the residual in its coordinates."""
        return self.loss.curvature(self.Y, point.residual, self.weights)

    def tangent(
        self, point: Point, near: tuple[Term, ...] | None = None, tol: float = 0.0
    ) -> TangentFeatures:
        """Return the Jacobian's factors at a point, to ``tol`` at best where that is a choice.

        ``near`` is the adjoint of a point nearby, as a warm start.
        """
        tolerance = self.tolerance(point)
        if self.equilibrium_tol is None and not self._is_small:
            tolerance = max(tolerance, tol)
        return TangentFeatures.at(
            point.network, point.layers, self.options(tolerance), start=near, norm_bound=point.norm_bound
        )

    def vjp(self, point: Point, C: np.ndarray, near: tuple[Term, ...] | None = None):
        """Return JᵀC at a point, (n_weights,), and the adjoint it took: one solve.

        Parameters
        ----------
        point : Point
            Where.
        C : (n, k) array
            Coefficients of the outputs.
        near : tuple of Term or None
            The adjoint of a point nearby, as a warm start.
        """
        return vjp_at(
            point.network, point.layers, C.astype(self.Y.dtype, copy=False),
            self.options(self.tolerance(point)), start=near, norm_bound=point.norm_bound,
        )  # fmt: skip

    def gradient(self, point: Point, near: tuple[Term, ...] | None = None):
        """Return the gradient of ``value`` at a point and the adjoint it took, one solve.

        Parameters
        ----------
        point : Point
            Where.
        near : tuple of Term or None
            The adjoint of a point nearby, as a warm start.

        Returns
        -------
        gradient : (n_weights,) array
            Derivative with respect to θ.
        terms : tuple of Term
            The adjoint.
        """
        C = point.residual * (-self.weights / self.total_weight)[:, None].astype(self.Y.dtype)
        gradient, terms = self.vjp(point, C, near)
        if self.penalty > 0:
            gradient += (self.penalty / self.total_weight) * (point.network.theta - self.start.theta)
        return gradient, terms
