"""`ConvergenceDisplay`: the loss of a fit, step by step, beside the linear rate certified for it."""

from __future__ import annotations

import numpy as np

from ..theory import convergence_certificate
from ._style import axes_or_new, colour, draw_legend, label_once, next_number

# Below this fraction of its start a squared error is rounding.
_FLOOR = 1e-30
_CERTIFIED = "certified for gradient descent"


class ConvergenceDisplay:
    """Squared error against steps on a logarithmic axis, and the certified linear rate.

    Create it with `ConvergenceDisplay.from_estimator`. Several are drawn into one picture by passing
    ``ax`` on: each takes the next colour.

    Parameters
    ----------
    squared_error : array of shape (n_iter + 1,)
        Squared error at the start and after each step, in units of the targets' variance, or of the
        probabilities of a classifier trained on the cross-entropy.
    certified_rate : float or None, default=None
        −ln of the factor by which a step is certified to lower it; None or 0 draws no line.
    name : str or None, default=None
        Name of the curve in the legend.
    certificate : ConvergenceCertificate or None, default=None
        Where the rate is from.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curve.
    figure_ : matplotlib Figure
        Its figure.
    line_ : matplotlib Line2D
        The observed curve.
    certified_line_ : matplotlib Line2D or None
        The certified one.
    """

    def __init__(self, squared_error, *, certified_rate=None, name=None, certificate=None) -> None:
        self.squared_error = squared_error
        self.certified_rate = certified_rate
        self.name = name
        self.certificate = certificate

    @classmethod
    def from_estimator(
        cls, estimator, X, y=None, *, sample_weight=None, name=None, ax=None, certificate=None, **line
    ) -> ConvergenceDisplay:
        """Compute the certificate of a fit and draw it.

        Parameters
        ----------
        estimator : ImplicitReLURegressor or ImplicitReLUClassifier
            Fitted. The line of a solver other than "gd" is that of gradient descent with step 1/λ_max.
        X, y, sample_weight
            What it was fitted to; see `sk_implicit.theory.convergence_certificate`.
        name : str or None, default=None
            Name in the legend; None is the solver and the width.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        certificate : ConvergenceCertificate or None, default=None
            If it was computed before.
        **line
            Passed on to ``Axes.plot`` for the observed curve.

        Returns
        -------
        display : ConvergenceDisplay
        """
        if certificate is None:
            certificate = convergence_certificate(estimator, X, y, sample_weight)
        display = cls(
            np.asarray(estimator.history_["squared_error"]),
            certified_rate=certificate.certified_rate,
            name=f"{estimator.solver}, m = {estimator.width_}" if name is None else name,
            certificate=certificate,
        )
        return display.plot(ax, **line)

    def plot(self, ax=None, *, name=None, **line) -> ConvergenceDisplay:
        """Draw the curve and its certified line.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        name : str or None, default=None
            Name in the legend; None is that of the display.
        **line
            Passed on to ``Axes.plot`` for the observed curve.

        Returns
        -------
        self : ConvergenceDisplay
        """
        ax = axes_or_new(ax)
        name = self.name if name is None else name
        errors = np.asarray(self.squared_error, dtype=float)
        steps = np.arange(len(errors))
        shown = errors > _FLOOR * errors[0]
        line.setdefault("color", colour(next_number(ax)))
        if len(errors) <= 40:
            line.setdefault("marker", "o")
            line.setdefault("markersize", 4)
        (self.line_,) = ax.plot(steps[shown], errors[shown], label=name, **line)
        self.certified_line_ = None
        if self.certified_rate and np.isfinite(self.certified_rate):
            guaranteed = errors[0] * np.exp(-self.certified_rate * steps)
            (self.certified_line_,) = ax.plot(
                steps, guaranteed, linestyle="--", linewidth=1.2, color=self.line_.get_color()
            )
            label_once(ax, _CERTIFIED, linestyle="--", linewidth=1.2)
        of_classes = self.certificate is not None and self.certificate.loss == "log_loss"
        error = "squared error of the probabilities" if of_classes else "squared error / variance of y"
        ax.set(yscale="log", xlabel="step", ylabel=error)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(True, which="major", linewidth=0.4, alpha=0.6)
        draw_legend(ax, last=_CERTIFIED)
        self.ax_, self.figure_ = ax, ax.figure
        return self
