"""Starts for a sequence of solves whose solutions move little from one to the next."""

from __future__ import annotations

import numpy as np

from .._numerics.blocks import few_rows
from .._numerics.norms import row_norms


class LinearExtrapolation:
    """The point on the line through the last two solutions, while it is closer than the last for most rows.

    A step of gradient descent resembles the step before, and what changes between them is of second order
    in the step size: at small steps the extrapolated start is a solution to many digits, but for rows of
    which a unit has switched.

    Parameters
    ----------
    stride : int, default=8
        Every how manieth row is asked whether the line foretells the next solution better than the last one.
    """

    def __init__(self, stride: int = 8) -> None:
        self.stride = stride
        self._last: np.ndarray | None = None
        self._ahead: np.ndarray | None = None
        self._trusted = False

    def start(self) -> np.ndarray | None:
        """Return the start for the next solve, None before the first solution."""
        return self._ahead if self._trusted else self._last

    def add(self, solution: np.ndarray) -> None:
        """Take in the next solution; it is kept by reference."""
        last, ahead, stride = self._last, self._ahead, self.stride
        self._last = solution
        if last is None:
            return
        if ahead is not None:
            misses = [
                row_norms(
                    (solution[..., ::stride, :] - guess[..., ::stride, :]).reshape(-1, solution.shape[-1])
                )
                for guess in (ahead, last)
            ]
            self._trusted = bool(np.mean(misses[0] < misses[1]) > 0.5)
        self._ahead = np.empty(solution.shape, solution.dtype) if ahead is None else ahead
        width = solution.shape[-1]
        new, old, line = (X.reshape(-1, width) for X in (solution, last, self._ahead))
        for rows in few_rows(new):
            part = np.subtract(new[rows], old[rows], out=line[rows])
            part += new[rows]
