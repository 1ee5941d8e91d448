r"""Losses that are linear far from the target: the absolute error, Huber's and the pinball loss of quantiles.

With the error e = y − f and a quantile τ (½ for the median), the pinball loss is ρ(e) = τ e for e > 0 and
(τ − 1) e below; 2ρ is the absolute error for τ = ½ [1]_. Its kink is rounded off over |e| ≤ h, so that it
has a curvature there::

    2h ρ_h(e) = 2h ρ(e)                              for |e| > h,
              = ½ e² + (2τ − 1) h e + ½ h²           within.

That is the convolution of ρ with a uniform density on [−h, h] [2]_, and Huber's loss [3]_ of δ = h for τ = ½,
up to a constant. The curvature of 2h ρ_h is 1 within and 0 beyond: it has the units of the squared error, and
whatever is relative to that one's curvature (penalty, damping, the accuracy of equilibria) needs no change.
Values are divided by 2h where they are reported.

Newton's method on it ends after finitely many steps, as rows enter the quadratic part or leave it [4]_.
Beyond, a small curvature takes the place of 0: rows that are far away move by a bounded step.

How wide h is follows from the noise (`Loss.at_noise`): the quantile that the rounded loss estimates differs
from the one asked for by about h² p′/(6 p), p the density of the noise there.

References
----------
.. [1] R. Koenker and G. Bassett, "Regression quantiles", Econometrica 46, 1978.
.. [2] M. Fernandes, E. Guerre and E. Horta, "Smoothing quantile regressions", J. Bus. Econ. Stat. 39, 2021.
.. [3] P. J. Huber, "Robust estimation of a location parameter", Ann. Math. Stat. 35, 1964.
.. [4] C. Chen, "A finite smoothing algorithm for quantile regression", J. Comput. Graph. Stat. 16, 2007.
.. [5] Y. Romano, E. Patterson and E. J. Candès, "Conformalized quantile regression", NeurIPS 2019.
.. [6] D. Kivaranovic, K. D. Johnson and H. Leeb, "Adaptive, distribution-free prediction intervals for deep
   networks", AISTATS 2020.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from .._numerics.quantiles import weighted_quantile
from .losses import Curvature, Evaluation, Loss


@dataclass(frozen=True, slots=True, eq=False)
class Pinball(Loss):
    """2h times the pinball loss, rounded off over |y − f| ≤ h, summed over outputs.

    Attributes
    ----------
    quantile : (k,) array
        τ of every output.
    width : (k,) array or float
        h of every output, on the network's scale.
    several : bool
        Whether the outputs are rising quantiles of one target, each less a constant.
    counts : bool
        Whether as many targets are to be below predictions as the quantile says, on rows left out.
    share, wide_share : float
        h over the standard deviation of the noise, for training and while a penalty is chosen: leave-one-out
        by one Newton step needs more rows that have a curvature.
    least_width : float
        h at least: targets without noise are followed to this share of their spread.
    far : float
        Curvature of rows with |y − f| > h. With 0.05 there are twice as many steps.
    shrinking : float
        From a width to the next one, on the way to a narrow one.
    least_distance : float
        Distance of the outermost quantiles at least, over its median: where they all but meet says nothing.
    """

    quantile: np.ndarray
    width: np.ndarray | float = 1.0
    several: bool = False
    counts: bool = False
    share: float = 0.1
    wide_share: float = 0.5
    least_width: float = 1e-2
    far: float = 0.01
    shrinking: float = 8.0
    least_distance: float = 0.1

    needs_noise = True

    def at_noise(self, noise: np.ndarray) -> tuple[Self, Self]:
        """Return the loss for training, and a wider one to choose a penalty by."""
        narrow, wide = (
            np.maximum(share * noise, self.least_width) for share in (self.share, self.wide_share)
        )
        return replace(self, width=narrow), replace(self, width=wide)

    def path(self) -> list[Self]:
        """Return losses with widths from the targets' spread on, each a share of the last."""
        wider, widths = self.shrinking, []
        while wider * np.max(self.width) <= 1:
            widths.append(replace(self, width=wider * self.width))
            wider *= self.shrinking
        return widths[::-1]

    def calibration(self, Y: np.ndarray, F: np.ndarray, weights: np.ndarray) -> np.ndarray | None:
        """Return the quantile of the errors of rows left out, over the distance of the outermost quantiles.

        Fits follow the rows that they know: of others, more lie beyond low and high quantiles [5]_. One
        quantile is moved by what the errors' quantile is, several by a share of the distance between the
        first and the last, which differs between rows [6]_.
        """
        if not self.counts:
            return None
        distance = np.ones((len(Y), 1))
        if self.several:
            distance = (F[:, [-1]] - F[:, [0]]) + (Y[0, 0] - Y[0, -1])
            distance = np.maximum(distance, self.least_distance * np.median(np.maximum(distance, 0)) or 1.0)
        return weighted_quantile((Y - F) / distance, weights, self.quantile)

    def calibrated(self, F: np.ndarray, Y: np.ndarray, calibration: np.ndarray):
        """Return outputs, (p, k) coefficients of them, that are moved, and a constant that is added, (k,)."""
        if not self.several:
            return F, calibration
        return F + (F[:, [-1]] - F[:, [0]]) * calibration, (Y[0, 0] - Y[0, -1]) * calibration

    def of_output(self, c: int) -> Self:
        """Return the loss of one output."""
        widths = np.broadcast_to(self.width, len(self.quantile))
        return replace(self, quantile=self.quantile[[c]], width=widths[[c]])

    @property
    def size(self) -> float:
        """The mean of 2h."""
        return 2.0 * float(np.mean(self.width))

    def _bounds(self, dtype) -> tuple[np.ndarray, np.ndarray]:
        """Return the derivatives of rows far below and far above their predictions, (k,)."""
        low, high = 2 * self.width * (self.quantile - 1), 2 * self.width * self.quantile
        return low.astype(dtype), high.astype(dtype)

    def evaluate(self, Y: np.ndarray, F: np.ndarray) -> Evaluation:
        """Return 2h ρ_h, summed over outputs, and its derivative by e."""
        error = Y - F
        low, high = self._bounds(error.dtype)
        residual = np.clip(error + 0.5 * (low + high), low, high)
        h = np.asarray(self.width, dtype=error.dtype)
        near = 0.5 * error**2 + 0.5 * (low + high) * error + 0.5 * h**2
        value = np.where(np.abs(error) <= h, near, np.where(error > 0, high, low) * error)
        return Evaluation(np.sum(value, axis=1), residual)

    def curvature(self, Y: np.ndarray, residual: np.ndarray, weights: np.ndarray):
        """Return √w near the target, a tenth of it far away, and the residual over it."""
        low, high = self._bounds(residual.dtype)
        root = np.sqrt(weights, dtype=np.float64)[:, None]
        scale = np.where((residual > low) & (residual < high), 1.0, np.sqrt(self.far))
        return Curvature(root * scale), root * residual.astype(np.float64, copy=False) / scale

    def largest_curvature(self, Y: np.ndarray) -> float:
        """Return 1."""
        return 1.0

    def resolved(self, mean_squared_residual: float, dtype) -> bool:
        """Whether every target is met to a few digits of h."""
        return mean_squared_residual <= 1e-8 * float(np.min(self.width)) ** 2


@dataclass(frozen=True, slots=True, eq=False)
class Huber(Pinball):
    """½ e² for |e| ≤ δ, δ |e| − ½ δ² beyond, summed over outputs.

    Attributes
    ----------
    share, wide_share : float
        δ over the standard deviation of the noise: 1.345 has 95 % of the squared error's efficiency, were the
        noise normal.
    """

    share: float = 1.345
    wide_share: float = 1.345

    @property
    def size(self) -> float:
        """1: values are reported as they are."""
        return 1.0

    def evaluate(self, Y: np.ndarray, F: np.ndarray) -> Evaluation:
        """Return Huber's loss, summed over outputs, and its derivative by e."""
        value, residual = super(Huber, self).evaluate(Y, F)
        constant = 0.5 * np.sum(np.broadcast_to(self.width, Y.shape[1]) ** 2)
        return Evaluation(np.maximum(value - constant, 0).astype(value.dtype, copy=False), residual)
