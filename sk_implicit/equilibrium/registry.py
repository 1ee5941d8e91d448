"""The solvers by name.

A solver is a callable ``solver(problem, Z, options)`` that solves a block of rows; the docstring of
`register` says what it is given and what it must guarantee. `by_sweeps` makes one of a function of one
sweep, as `ByCorrections` and `in_turn` make those of this package, which keep to the same.
"""

from __future__ import annotations

from .anderson import Anderson
from .auto import Auto
from .modulus import Modulus
from .newton_krylov import NewtonKrylov
from .picard import GaussSeidel, Picard, StartSweeps
from .stages import ByCorrections, Solver, in_turn

_BUILT_IN: dict[str, Solver] = {
    "auto": Auto(),
    "picard": ByCorrections("picard", Picard()),
    "gauss_seidel": ByCorrections("gauss_seidel", GaussSeidel()),
    "modulus": ByCorrections("modulus", Modulus()),
    "anderson": ByCorrections("anderson", Anderson()),
    "newton_krylov": in_turn(ByCorrections("gauss_seidel", StartSweeps()), NewtonKrylov()),
}
_solvers = dict(_BUILT_IN)


def register(name: str, solver: Solver) -> None:
    """Make a solver known by a name, for `solve` and for ``equilibrium_solver`` of the estimators.

    Parameters
    ----------
    name : str
        Its name, which no solver has yet.
    solver : callable
        ``solver(problem, Z, options)``, which solves a block of rows, see the notes. `by_sweeps` makes one of
        a function of one sweep.

    Raises
    ------
    ValueError
        If the name is taken, empty or not a string.
    TypeError
        If the solver cannot be called.

    See Also
    --------
    unregister : Forget it again.

    Notes
    -----
    A solver solves b rows of z = F(z). It is given

    * ``problem``, a `FixedPoint`: the right-hand side ``c``, in float32 or float64, and the methods
      ``product``, ``preactivation``, ``activate``, ``image``, which is F, and ``take``. It is left as it is;
    * ``Z``, of shape (b, m) and the type of ``c``: the start if ``options.warm``, and anything otherwise;
    * ``options``, `BlockOptions`: ``tol``, ``max_iter`` of each row, and ``warm``.

    It returns a `BlockResult` with the iterates in ``Z``, and guarantees that

    * rows are independent: what a row gets does not depend, beyond rounding, on which others are in the
      block. Blocks may come in several threads at once;
    * ``residual`` is the undamped ‖F(z) − z‖ / ‖z‖ of the iterate that is returned, or a bound of it; 0 where
      F(z) = z = 0 and inf where z = 0 is not a solution;
    * that iterate is finite, and of those with a residual, the start among them, the best;
    * a unit that F has at zero is exactly zero in it, for adjoints are solved on the pattern Z > 0;
    * ``status`` is CONVERGED where, and only where, ``residual <= options.tol``; MAX_ITER where a row has
      used up its ``options.max_iter``; STALLED where it was left before; DIVERGED where numbers ended.

    Names are looked up when they are used. Other processes know only what they register themselves: where
    ``n_jobs`` starts some, register the solver in the module that defines it.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_implicit.equilibrium import by_sweeps, register, solve, unregister
    >>> register("damped", by_sweeps(lambda problem, Z, image: (Z + image) / 2))
    >>> solve([[-1.0]], [[1.4]], gamma=0.4, solver="damped").solution.round(6)
    array([[1.]])
    >>> unregister("damped")
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f"The name of a solver must be a non-empty str; got {name!r}.")
    if name in _solvers:
        raise ValueError(
            f"A solver named {name!r} is registered already (there are {solver_names()}). Take another name"
            + ("." if name in _BUILT_IN else f", or call unregister({name!r}) first.")
        )
    if not callable(solver):
        raise TypeError(
            f"The solver {name!r} must be callable, as solver(problem, Z, options); got {solver!r}."
        )
    _solvers[name] = solver


def unregister(name: str) -> None:
    """Forget a solver that was registered.

    Parameters
    ----------
    name : str
        Its name.

    Raises
    ------
    ValueError
        If there is none of that name, or it is one of the package's own.
    """
    solver_named(name)
    if name in _BUILT_IN:
        raise ValueError(f"{name!r} is a solver of the package, which stays.")
    del _solvers[name]


def solver_names() -> list[str]:
    """Return the names of all solvers, sorted."""
    return sorted(_solvers)


def solver_named(name: str) -> Solver:
    """Return the solver of a name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if not isinstance(name, str) or name not in _solvers:
        raise ValueError(f"solver must be one of {solver_names()}; got {name!r}.")
    return _solvers[name]
