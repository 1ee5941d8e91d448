"""`ConvergenceDisplay`: the loss of a fit, step by step, beside the linear rate certified for it."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._estimator.pipelines import last_step
from ..models import fitted_model
from ..theory import convergence_certificate
from ._style import axes_or_new, colour, draw_legend, label_once, next_number

# Below this fraction of its start a squared error is rounding.
_FLOOR = 1e-30
_CERTIFIED = "certified for gradient descent"
# What is drawn, by the loss; of others it is the mean square of their derivatives.
_ERRORS = {
    "squared_error": "squared error / variance of y",
    "log_loss": "squared error of the probabilities",
}


class ConvergenceDisplay:
    """Squared error against steps on a logarithmic axis, and the certified linear rate.

    Create it with `ConvergenceDisplay.from_estimator`. Several are drawn into one picture by passing
    ``ax`` on: each takes the next colour.

    Parameters
    ----------
    squared_error : array of shape (n_iter + 1,)
        Squared error at the start and after each step, in units of the targets' variance; of a classifier
        trained on the cross-entropy that of the probabilities, with other losses the mean square of their
        derivatives.
    certified_rate : float or None, default=None
        −ln of the factor by which a step is certified to lower it; None or 0 draws no line.
    name : str or None, default=None
        Name of the curve in the legend.
    certificate : ConvergenceCertificate or None, default=None
        Where the rate is from.
    loss : str or None, default=None
        The loss that was trained, by which the axis is named; None is that of the certificate, or
        "squared_error" without one.

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

    def __init__(self, squared_error, *, certified_rate=None, name=None, certificate=None, loss=None) -> None:
        self.squared_error = squared_error
        self.certified_rate = certified_rate
        self.name = name
        self.certificate = certificate
        self.loss = loss

    @classmethod
    def from_estimator(
        cls, estimator, X=None, y=None, *, sample_weight=None, name=None, ax=None, certificate=None, **line
    ) -> ConvergenceDisplay:
        """Draw the curve of a fit and, given its rows, the rate that is certified for it.

        Parameters
        ----------
        estimator : ImplicitReLURegressor, ImplicitReLUClassifier or a Pipeline that ends in one
            Fitted, at a finite width. The line of a solver other than "gd" is that of gradient descent with
            step 1/λ_max.
        X, y, sample_weight
            What it was fitted to; see `sk_implicit.theory.convergence_certificate`. Without X the observed
            curve is drawn alone.
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
        network = last_step(estimator)
        check_is_fitted(network)
        if certificate is None and X is not None:
            certificate = convergence_certificate(estimator, X, y, sample_weight)
        display = cls(
            np.asarray(network.history_["squared_error"]),
            certified_rate=None if certificate is None else certificate.certified_rate,
            name=f"{network.solver}, m = {network.width_}" if name is None else name,
            certificate=certificate,
            loss=fitted_model(network).loss,
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
        loss = self.loss or getattr(self.certificate, "loss", None) or "squared_error"
        error = _ERRORS.get(loss, f"mean square of the derivative of {loss}")
        ax.set(yscale="log", xlabel="step", ylabel=error)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(True, which="major", linewidth=0.4, alpha=0.6)
        draw_legend(ax, last=_CERTIFIED)
        self.ax_, self.figure_ = ax, ax.figure
        return self
