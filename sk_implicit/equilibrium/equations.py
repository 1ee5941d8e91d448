"""The equations of a solve, checked: matrix, right-hand side, mask and start of all rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .operators import EquilibriumOperator


@dataclass(frozen=True, slots=True)
class Equations:
    """One of the three equations (see `problem`) for n rows; nothing is copied.

    Attributes
    ----------
    operator : EquilibriumOperator
        The matrix.
    name : str
        What the user knows the right-hand side as.
    c : ndarray of shape (n, m)
        The right-hand side.
    active : bool ndarray of shape (n, m) or None
        The fixed activation pattern; None stands for the ReLU.
    adjoint : bool
        Whether M is sA rather than sAᵀ.
    Z0 : ndarray of shape (n, m) or None
        The start; None for zero.
    norm_bound : float
        What the norm of sA is known to be at most; infinite where nothing is known.
    """

    operator: EquilibriumOperator
    name: str
    c: np.ndarray
    active: np.ndarray | None
    adjoint: bool
    Z0: np.ndarray | None
    norm_bound: float

    @classmethod
    def checked(
        cls, name: str, A, c, active=None, *, adjoint: bool = False, gamma=None, Z0=None, norm_bound=None
    ) -> Equations:
        """Check what a user gave, as described in `solve` and `solve_adjoint`.

        Raises
        ------
        ValueError
            If shapes do not match, or an entry is not a number or, where that is cheap to see, not finite.
        """
        operator = _checked_operator(A, gamma)
        c, active, Z0 = _checked_rows(operator.m, c, active, Z0, name)
        bound = operator.norm_bound if norm_bound is None else float(norm_bound)
        return cls(operator, name, c, active, adjoint, Z0, bound)


def _checked_operator(A, gamma) -> EquilibriumOperator:
    if isinstance(A, EquilibriumOperator):
        if gamma is not None and float(gamma) != A.gamma:
            raise ValueError(f"gamma={gamma!r} differs from that of the operator, {A.gamma}.")
        return A
    if gamma is None:
        raise ValueError("gamma must be given when A is an array; got None.")
    return EquilibriumOperator(A, gamma)


def _checked_rows(m: int, c, active, Z0, name: str):
    """Return right-hand side, mask and start as arrays of matching shapes; values are not copied."""
    c = np.asarray(c)
    if c.dtype not in (np.float32, np.float64):
        if c.dtype.kind not in "biuf":
            raise ValueError(f"{name} must hold real numbers; got dtype {c.dtype}.")
        c = c.astype(np.float64)
    if active is not None:
        active = np.asarray(active)
        if active.dtype != bool or active.ndim != 2 or active.shape[1] != m:
            raise ValueError(
                f"active must be a boolean array of shape (n, {m}); got dtype {active.dtype} and "
                f"shape {active.shape}. Pass Z > 0."
            )
        if c.shape == (m,):
            c = np.broadcast_to(c, active.shape)
    if c.ndim != 2 or c.shape[1] != m:
        raise ValueError(f"{name} must have shape (n, {m}) to match A; got shape {c.shape}.")
    if active is not None and active.shape != c.shape:
        raise ValueError(f"active must have the shape of {name}, {c.shape}; got {active.shape}.")
    if Z0 is not None:
        Z0 = np.asarray(Z0)
        if Z0.shape != c.shape:
            raise ValueError(f"Z0 must have the shape of {name}, {c.shape}; got {Z0.shape}.")
        with np.errstate(over="ignore", invalid="ignore"):  # one pass tells, unless the sum overflows
            finite = Z0.dtype.kind in "biuf" and (np.isfinite(np.sum(Z0)) or np.all(np.isfinite(Z0)))
        if not finite:
            raise ValueError("Z0 must hold finite real numbers.")
    return c, active, Z0
