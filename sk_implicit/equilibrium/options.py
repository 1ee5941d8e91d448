"""What is asked of a solve: by the caller for all rows, and by the driver of a solver for one block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class EquilibriumOptions:
    """Which solver, how accurately, and how long at most.

    Parameters
    ----------
    solver : str, default="auto"
        A name that `solver_names` lists. It is looked up when the solve begins.
    tol : float, default=1e-8
        Relative residual ‖F(z) − z‖ / ‖z‖ at which a row is done. Not taken below what the precision can
        reach.
    max_iter : int, default=500
        Largest number of iterations of a row.

    Raises
    ------
    ValueError
        If ``tol`` or ``max_iter`` is no such number.
    """

    solver: str = "auto"
    tol: float = 1e-8
    max_iter: int = 500

    def __post_init__(self) -> None:
        if not (isinstance(self.tol, int | float | np.number) and 0 <= self.tol < np.inf):
            raise ValueError(f"tol must be a finite number >= 0; got {self.tol!r}.")
        if not (isinstance(self.max_iter, int | np.integer) and self.max_iter >= 1):
            raise ValueError(f"max_iter must be an integer >= 1; got {self.max_iter!r}.")


@dataclass(frozen=True, slots=True)
class BlockOptions:
    """What a solver is given with a block of rows.

    Attributes
    ----------
    tol : float
        Relative residual at which a row is done.
    max_iter : int ndarray of shape (b,)
        Largest number of iterations of each row.
    warm : bool
        Whether Z holds a start; otherwise its values mean nothing, and the start is zero.
    """

    tol: float
    max_iter: np.ndarray
    warm: bool = False
