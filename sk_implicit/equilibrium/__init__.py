"""Solvers for the equilibrium equation, its adjoint and its tangent."""

from .driver import SOLVERS, solve, solve_adjoint, solve_tangent
from .operators import EquilibriumOperator
from .result import EquilibriumResult, Status

__all__ = [
    "SOLVERS",
    "EquilibriumOperator",
    "EquilibriumResult",
    "Status",
    "solve",
    "solve_adjoint",
    "solve_tangent",
]
