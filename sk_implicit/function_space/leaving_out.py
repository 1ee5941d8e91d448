r"""What leave-one-out takes away at a time: a row, part of its weight, or a group of rows.

Rows with equal inputs, and those that a user says belong together, tell of each other what they tell of no
new row: they are left out together. With the ridge fit's residual e and hat matrix H (in the coordinates
√w ∘ y, where H is symmetric), leaving the rows G out changes their residuals to [1]_

    e_G⁻ = (I − H_GG)⁻¹ e_G,

one small system for each group. A single row may lose part of its weight only: weight u_i of w_i changes its
residual to e_i / (1 − u_i h_i/w_i).

Rows of next to no weight say next to nothing, and nothing may depend on whether they are there: they are in
no sample, set no limits, and the number of observations is the effective one [2]_,

    N = (Σ v)² / Σ v²,        v: the weight of an observation,

n where all weights are equal.

References
----------
.. [1] R. D. Cook and S. Weisberg, "Residuals and influence in regression", Chapman and Hall 1982, section
   3.6 (deletion of several cases).
.. [2] L. Kish, "Survey sampling", Wiley 1965, section 11.7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._numerics.blocks import sample_rows


@dataclass(frozen=True, slots=True)
class LeavingOut:
    """What each of n rows loses, and with which others.

    Attributes
    ----------
    weights : (n,) array
        u: how much of its weight a row loses. In a group of several, it is all of it.
    groups : (n,) int array or None
        Rows of equal number are left out together; None for each by itself.
    units : (n,) array or None
        v: the weight of one of the equal observations that a row stands for; None for u.
    counted : (n,) bool array or None
        Rows of more than next to no weight; None for all.
    """

    weights: np.ndarray
    groups: np.ndarray | None = None
    units: np.ndarray | None = None
    counted: np.ndarray | None = None

    def __getitem__(self, rows: np.ndarray) -> LeavingOut:
        """Return that of some of the rows."""
        others = (self.groups, self.units, self.counted)
        return LeavingOut(self.weights[rows], *(None if part is None else part[rows] for part in others))

    def observations(self, weights: np.ndarray) -> float:
        """Return the effective number of observations N, for the rows' weights."""
        return self._effective(weights / self.weights)

    def effective_rows(self) -> int:
        """Return the effective number of rows, however many observations each stands for."""
        return round(self._effective(np.ones(len(self.weights))))

    def mean_weight(self, weights: np.ndarray) -> float:
        """Return the weight that an observation has in the mean, Σ w over their number."""
        return float(weights.sum()) / self._effective(np.ones(len(self.weights)))

    def _effective(self, times: np.ndarray) -> float:
        units = self.weights if self.units is None else self.units
        units = units / units.max()
        return float((times @ units) ** 2 / (times @ units**2))

    def measured(self) -> np.ndarray:
        """Return the numbers of the rows that count, sorted."""
        return np.arange(len(self.weights)) if self.counted is None else np.flatnonzero(self.counted)

    def sample(self, most: int) -> np.ndarray:
        """Return all rows; where there are more than ``most``, a fixed random sample of those that count."""
        if len(self.weights) <= most:
            return np.arange(len(self.weights))
        measured = self.measured()
        return measured[sample_rows(len(measured), most)]

    def numbers(self) -> np.ndarray:
        """Return for every row the number of its group, from 0 without a gap, (n,)."""
        if self.groups is None:
            return np.arange(len(self.weights))
        return np.ravel(np.unique(self.groups, return_inverse=True)[1])

    def several(self) -> list[np.ndarray]:
        """Return the rows of each group that has more than one."""
        if self.groups is None:
            return []
        numbers = self.numbers()
        order = np.argsort(numbers, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)
        return [rows for rows in groups if len(rows) > 1]


def kept_share(
    unexplained: np.ndarray, share: np.ndarray | float, one: np.ndarray | float = 1.0
) -> np.ndarray:
    """Return 1 − u h/w, by which a row's residual is divided when it is left out.

    Written so that it keeps its digits where h is close to 1, and at least ε.

    Parameters
    ----------
    unexplained : array
        1 − h, of any shape; or the matrices I − H of k coupled outputs, (n, k, k).
    share : array or float
        u/w, that of its weight which a row loses.
    one : array or float
        1; I for matrices, of which only the diagonal is kept from 0.
    """
    kept = (1.0 - share) * one + share * unexplained
    return np.maximum(kept, np.finfo(np.float64).eps, out=kept, where=np.asarray(one, bool))


def without_group(unexplained: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Return (I − H_GG)⁻¹ e_G for stacks of matrices, (…, g, g), and residuals, (…, g, k)."""
    kept = kept_share(unexplained, 1.0, np.eye(unexplained.shape[-1]))
    kept = kept + np.finfo(np.float64).eps * np.eye(unexplained.shape[-1])  # never singular to the last bit
    return np.linalg.solve(kept, residual)
