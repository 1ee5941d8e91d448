"""The equation of a correction, δ = activate(δ M + e), and what it is aimed at (see `refinement`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .._numerics.blocks import few_rows
from .problem import FixedPoint

# Far more than any entry of a scaled row, and within the range of float32 for every moderate scale.
_OFF = 1e30
# Relative residual that rounding adds, in units of the precision of the data.
_ROUNDING = 4
# What rounding adds to a product with a correction, relative to that, in units of √m times its precision
# (m random terms, added one by one: 0.2).
_ROUNDING_OF_SUMS = 1 / 4


@dataclass(frozen=True, slots=True)
class Aim:
    """What is asked of one correction.

    Attributes
    ----------
    single, double : float
        Reduction of the residual asked of a correction in float32 and in float64: rounding errors, about
        eps / (1 - rate) relative to the correction, stay below. Two corrections in float32 reach 1e-10; with
        less asked of each, more residuals are measured.
    share : float
        A correction is aimed this far below the tolerance, against errors of the predicted rate. Nearer to
        one, more of them end just short of it; a smaller share costs part of a sweep.
    easiest : float
        Each is asked to reduce the residual to this share at least. A larger one can look like a failure,
        a smaller one asks for more than is needed of rows that are nearly there.
    """

    single: float = 6e-6
    double: float = 1e-13
    share: float = 0.9
    easiest: float = 0.2

    def gain(self, precision: np.dtype) -> float:
        """Return the reduction asked of a correction in that precision."""
        return self.single if precision == np.float32 else self.double


AIM = Aim()


@dataclass(slots=True)
class Correction:
    """The equation of δ for k rows, scaled, stored with **samples as columns**.

    In this layout a block of units is a contiguous slab, which the sweeps rely on.

    Attributes
    ----------
    problem : FixedPoint
        Supplies the matrix M.
    e : ndarray of shape (m, k)
        g − z, scaled.
    low : ndarray of shape (m, k) or None
        −z, scaled, for the ReLU; None where z = 0 and for a mask.
    active : bool ndarray of shape (m, k) or None
        The mask of a linear problem.
    delta : ndarray of shape (m, k)
        Receives the solution.
    first_step : ndarray of shape (k,)
        Norm of the first iterate activate(e), the step F(z) − z.
    target : ndarray of shape (k,)
        Norm of the step at which a row is done, ...
    against_delta : bool
        ... as a multiple of ‖δ‖ when this is set (a start at z = 0).
    budget : ndarray of shape (k,)
        Iterations each row may take.
    least : int
        Iterations each row takes at least, within its budget.
    gave_up : bool ndarray of shape (k,)
        Set by the solver for rows it left because they contract too slowly for it.
    products : float
        Products with one row that the solver has taken.
    """

    problem: FixedPoint
    e: np.ndarray
    low: np.ndarray | None
    active: np.ndarray | None
    delta: np.ndarray
    first_step: np.ndarray
    target: np.ndarray
    against_delta: bool
    budget: np.ndarray
    least: int
    gave_up: np.ndarray
    products: float = 0.0

    @classmethod
    def around(
        cls, problem: FixedPoint, z: np.ndarray | None, g: np.ndarray, step: np.ndarray, scale: np.ndarray,
        precision: np.dtype,
    ) -> Correction:  # fmt: skip
        """Form the correction of the iterate `z` (None for zero); targets are set later.

        Parameters
        ----------
        problem : FixedPoint
            The rows.
        z, g : ndarrays of shape (k, m)
            Iterate, and its preactivation (`c` at zero).
        step : ndarray of shape (k,)
            ‖F(z) − z‖ / scale.
        scale : ndarray of shape (k,)
            What each row is divided by.
        precision : dtype
            Of the correction.
        """
        low = active = None
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            e = _scaled_columns(g, z, 1 / scale, precision)
            if problem.active is not None:
                active = np.ascontiguousarray(problem.active.T)
            elif z is not None:
                low = _scaled_columns(z, None, -1 / scale, precision)
        k = len(scale)
        nothing, no = np.zeros(k), np.zeros(k, bool)
        return cls(problem, e, low, active, np.empty_like(e), step, nothing, z is None, nothing, 0, no)

    def first_iterate(self, columns=slice(None)) -> np.ndarray:
        """Return activate(e), the step F(z) − z, of some columns."""
        e = self.e[:, columns]
        low = None if self.low is None else self.low[:, columns]
        return activate(
            e, low, None if self.active is None else self.active[:, columns], out=np.empty_like(e)
        )

    def set_targets(self, tol: float, aim: Aim) -> None:
        """Set the targets so that a few corrections, sharing the digits evenly, end at `tol`."""
        start = np.ones_like(self.first_step) if self.against_delta else self.first_step
        gain = aim.share * tol / start
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = np.maximum(np.ceil(np.log(gain) / np.log(aim.gain(self.e.dtype))), 1)
        self.target = start * np.minimum(gain ** (1 / parts), aim.easiest)

    def measure(self, columns: np.ndarray) -> np.ndarray:
        """Return bounds of the relative residuals of z + δ, of some columns.

        They are measured by a product in the precision of the correction, with an allowance for its rounding.
        Where a norm of M below one is known, δ moves on to its image, as z does in `Refinement`.
        """
        delta, e, low, active = self.delta, self.e, self.low, self.active
        if len(columns) < e.shape[1]:
            delta, e = np.take(delta, columns, axis=1), np.take(e, columns, axis=1)
            low = None if low is None else np.take(low, columns, axis=1)
            active = None if active is None else np.take(active, columns, axis=1)
        operator = self.problem.operator
        g = operator.scaled(e.dtype, self.problem.adjoint).T @ delta
        self.products += len(columns)
        g += e
        image = activate(g, low, active, out=g)
        size, step = column_norms(delta), column_norms(image - delta)
        unit = float(np.finfo(e.dtype).eps) * _ROUNDING_OF_SUMS * np.sqrt(len(e))
        # ‖z‖ is one, unless z is zero
        whole = size if self.against_delta else np.where(size < 0.5, 1 - size, 0.0)
        dtype = self.problem.c.dtype
        with np.errstate(divide="ignore", invalid="ignore"):
            rounding = unit * max(1.0, operator.relative_norm) * size / whole
            residual = step / whole + rounding + _ROUNDING * float(np.finfo(dtype).eps)
            of_image = image_residual(residual, self.problem.norm_bound, dtype) + rounding
        better = of_image < residual
        self.delta[:, columns[better]] = image[:, better]
        return np.where(better, of_image, residual)

    def applied(self, z: np.ndarray | None, scale: np.ndarray) -> np.ndarray:
        """Return z + δ in the precision of the data, exactly zero where the ReLU is off."""
        if self.low is not None:
            # faster than what writes under a mask
            self.delta -= (self.delta == self.low) * self.delta.dtype.type(_OFF)
        new = np.empty(self.delta.shape[::-1], self.problem.c.dtype)
        for rows in few_rows(new):
            part = np.multiply(self.delta[:, rows].T, scale[rows, None], out=new[rows])
            if z is not None:
                part += z[rows]
            if self.low is not None:
                np.maximum(part, 0, out=part)
        return new


# Writes the solution of a correction to its `delta`; returns the iterations of each of its rows.
Corrector = Callable[[Correction], np.ndarray]


def image_residual(residual: np.ndarray, norm_bound: float, dtype: np.dtype) -> np.ndarray:
    """Return bounds of the relative residuals of F(z), from those of z; infinite where nothing is known.

    Where ‖M‖ ≤ L < 1, ‖F(F(z)) − F(z)‖ ≤ L ‖F(z) − z‖, and the relative residual r becomes L r / (1 − r) at
    most, and rounding.
    """
    if not norm_bound < 1:
        return np.full_like(residual, np.inf)
    small = np.fmin(residual, 0.5)
    bound = norm_bound * small / (1 - small) + _ROUNDING * float(np.finfo(dtype).eps)
    return np.where(residual <= 0.5, bound, np.inf)


def _scaled_columns(
    X: np.ndarray, minus: np.ndarray | None, factor: np.ndarray, precision: np.dtype
) -> np.ndarray:
    """Return (factor ∘ (X − minus))ᵀ, contiguous, in the given precision."""
    out = np.empty(X.shape[::-1], precision)
    for rows in few_rows(X):
        part = X[rows] if minus is None else X[rows] - minus[rows]
        np.copyto(out[:, rows], part.T, casting="same_kind")
    out *= factor.astype(precision)
    return out


def activate(g: np.ndarray, low: np.ndarray | None, active: np.ndarray | None, out: np.ndarray) -> np.ndarray:
    """Write max(g, low), or 1[active] ∘ g, into `out`; `low` None stands for zero."""
    if active is not None:
        return np.multiply(g, active, out=out)
    if low is None:  # NumPy compares an array with a number one by one, arrays several numbers at a time
        low = np.zeros((1, g.shape[1]), g.dtype)
    return np.maximum(g, low, out=out)


def column_norms(X: np.ndarray) -> np.ndarray:
    """Euclidean norms of the columns, in float64."""
    return np.sqrt(np.einsum("ij,ij->j", X, X), dtype=np.float64)
