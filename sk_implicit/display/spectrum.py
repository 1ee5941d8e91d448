"""`SpectrumDisplay`: eigenvalues of the tangent kernel before and after training, and in the limit."""

from __future__ import annotations

import numpy as np

from .._estimator.pipelines import taken_apart
from .._numerics.blocks import sample_rows
from .._numerics.spectral import Extremes
from ..limit import limit_kernel
from ..network.tangent import mean_kernel
from ..theory._states import fitted_states, tangent_features
from ._style import axes_or_new, colour, draw_legend, next_number, plain_ticks

# All eigenvalues are computed: beyond, a random sample of this many rows stands for all.
_MAX_ROWS = 2000
_LIMIT = "limit m → ∞"


class SpectrumDisplay:
    """Eigenvalues of the tangent kernel at the start, at the end, and in the limit of infinite width.

    Create it with `SpectrumDisplay.from_estimator`. Several are drawn into one picture by passing ``ax``
    on: each takes the next colour.

    Parameters
    ----------
    start, end : arrays of shape (n,)
        Eigenvalues before and after training, in descending order.
    limit : array of shape (n,) or None, default=None
        Those of the limit kernel; None where there is none (γ ≥ √2, U = V = 0 at the start, or a finite
        depth).
    name : str or None, default=None
        Name in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Its figure.
    lines_ : list of matplotlib Line2D
        Start, end and, where there is one, limit.
    """

    def __init__(self, start, end, limit=None, *, name=None) -> None:
        self.start = start
        self.end = end
        self.limit = limit
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, X, *, name=None, ax=None) -> SpectrumDisplay:
        """Compute the eigenvalues for a fitted estimator and draw them.

        Parameters
        ----------
        estimator : ImplicitReLURegressor, ImplicitReLUClassifier or a Pipeline that ends in one
            Fitted; its start stored, or to be drawn again (see
            `sk_implicit.theory.convergence_certificate`). Of several outputs the mean kernel is taken.
        X : array or sparse matrix of shape (n, d)
            The training inputs, of the whole pipeline where it is one; of more than 2000 a random sample.
        name : str or None, default=None
            Name in the legend; None is the width.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : SpectrumDisplay
        """
        estimator, X = taken_apart(estimator, X)
        n = X.shape[0] if hasattr(X, "shape") else len(X)
        states = fitted_states(estimator, X)
        inputs = states.X[sample_rows(n, _MAX_ROWS)]
        start, end = (
            _eigenvalues(mean_kernel(tangent_features(network, inputs)))
            for network in (states.start, states.end)
        )
        limit = None
        start_network = states.start
        if start_network.gamma < np.sqrt(2) and start_network.U.any() and np.isinf(start_network.depth):
            dense = inputs.toarray() if hasattr(inputs, "toarray") else inputs
            limit = _eigenvalues(limit_kernel(dense, gamma=start_network.gamma))
        name = f"m = {states.end.shape.m}" if name is None else name
        return cls(start, end, limit, name=name).plot(ax)

    @property
    def extremes(self) -> dict[str, Extremes]:
        """Smallest and largest eigenvalue of each spectrum."""
        spectra = {"start": self.start, "end": self.end, "limit": self.limit}
        return {
            key: Extremes(float(np.min(values)), float(np.max(values)))
            for key, values in spectra.items()
            if values is not None
        }

    def plot(self, ax=None, *, name=None) -> SpectrumDisplay:
        """Draw the eigenvalues, largest first, on logarithmic axes.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        name : str or None, default=None
            Name in the legend; None is that of the display.

        Returns
        -------
        self : SpectrumDisplay
        """
        ax = axes_or_new(ax)
        name = self.name if name is None else name
        prefix = "" if name is None else f"{name}: "
        number = next_number(ax)
        index = np.arange(1, len(self.start) + 1)
        shade = colour(number)
        self.lines_ = [
            *ax.plot(index, _positive(self.start), color=shade, linestyle="--", label=f"{prefix}start"),
            *ax.plot(index, _positive(self.end), color=shade, linestyle="-", label=f"{prefix}end"),
        ]
        if self.limit is not None and _LIMIT not in ax.get_legend_handles_labels()[1]:
            self.lines_ += ax.plot(
                index,
                _positive(self.limit),
                color="0.35",
                linestyle=":",
                linewidth=2,
                label=_LIMIT,
                zorder=3,
            )
        ax.set(xscale="log", yscale="log", xlabel="number of the eigenvalue", ylabel="eigenvalue of K")
        ax.grid(True, which="major", linewidth=0.4, alpha=0.6)
        plain_ticks(ax.xaxis)
        draw_legend(ax, last=_LIMIT)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _eigenvalues(K: np.ndarray) -> np.ndarray:
    """Return the eigenvalues, largest first."""
    return np.linalg.eigvalsh(K.astype(np.float64, copy=False))[::-1]


def _positive(values) -> np.ndarray:
    """Hide what is not positive, which a logarithmic axis cannot show."""
    values = np.asarray(values, dtype=float)
    return np.where(values > 0, values, np.nan)
