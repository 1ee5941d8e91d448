"""Solvers for the equilibrium equation, its adjoint and its tangent; and its iteration stopped early."""

from .driver import SOLVERS, solve, solve_adjoint, solve_tangent
from .operators import EquilibriumOperator
from .recursion import layer_states, recur
from .result import EquilibriumResult, Status

__all__ = [
    "SOLVERS",
    "EquilibriumOperator",
    "EquilibriumResult",
    "Status",
    "layer_states",
    "recur",
    "solve",
    "solve_adjoint",
    "solve_tangent",
]
