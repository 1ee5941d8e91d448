"""Solvers for the equilibrium equation, its adjoint and its tangent."""

from .functions import solve, solve_adjoint, solve_tangent
from .operators import EquilibriumOperator
from .options import BlockOptions, EquilibriumOptions
from .plain_sweeps import by_sweeps
from .problem import FixedPoint
from .registry import register, solver_names, unregister
from .result import BlockResult, EquilibriumResult, Status

__all__ = [
    "BlockOptions",
    "BlockResult",
    "EquilibriumOperator",
    "EquilibriumOptions",
    "EquilibriumResult",
    "FixedPoint",
    "Status",
    "by_sweeps",
    "register",
    "solve",
    "solve_adjoint",
    "solve_tangent",
    "solver_names",
    "unregister",
]
