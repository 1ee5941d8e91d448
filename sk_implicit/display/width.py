"""`WidthDisplay`: what becomes of a fit as the network grows wider, over several seeds."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss

from .._estimator.pipelines import last_step
from ..theory import observed_rate
from ._style import axes_row, band, colour, draw_legend, label_widths, marker, next_number


@dataclass(frozen=True, slots=True)
class WidthCurves:
    """Quantities of fits at several widths and seeds, (n_widths, n_seeds) each.

    Attributes
    ----------
    train_loss, test_loss : ndarray
        Mean squared error on the targets' scale, or the log-loss of a classifier (test_loss: NaN
        without test rows).
    rate : ndarray
        Mean decrease of ln L in a step, while training.
    norm_start, norm_end : ndarray
        ‖A‖₂/√m at the start and at the end.
    """

    train_loss: np.ndarray
    test_loss: np.ndarray
    rate: np.ndarray
    norm_start: np.ndarray
    norm_end: np.ndarray


class WidthDisplay:
    """Loss, rate of training and ‖A‖/√m against the width: medians and 10 % to 90 % bands over seeds.

    Create it with `WidthDisplay.from_estimator`. Several are drawn into one picture by passing the three
    axes on: each takes the next colour.

    Parameters
    ----------
    widths : array of shape (n_widths,)
        The widths m.
    curves : WidthCurves
        What was measured at them.
    name : str or None, default=None
        Name in the legend.
    loss : str, default="mean squared error"
        What the losses are, on the axis.

    Attributes
    ----------
    axes_ : ndarray of 3 matplotlib Axes
        Losses, rate, norm.
    figure_ : matplotlib Figure
        Their figure.
    """

    def __init__(self, widths, curves: WidthCurves, *, name=None, loss="mean squared error") -> None:
        self.widths = widths
        self.curves = curves
        self.name = name
        self.loss = loss

    @classmethod
    def from_estimator(
        cls, estimator, X, y, *, widths=(50, 100, 200, 400, 800), X_test=None, y_test=None,
        random_states=(0, 1, 2), n_jobs=None, name=None, ax=None,
    ) -> WidthDisplay:  # fmt: skip
        """Fit clones of an estimator at each width and seed, and draw what became of them.

        Parameters
        ----------
        estimator : ImplicitReLURegressor, ImplicitReLUClassifier or a Pipeline that ends in one
            Not fitted here; clones of it are, all steps of a pipeline included, with the network's ``width``
            and ``random_state`` set.
        X, y : arrays
            Training rows.
        widths : sequence of int, default=(50, 100, 200, 400, 800)
            Widths to fit.
        X_test, y_test : arrays or None, default=None
            Rows for the test loss.
        random_states : sequence of int, default=(0, 1, 2)
            Seeds to fit.
        n_jobs : int or None, default=None
            Fits run in parallel, as in scikit-learn.
        name : str or None, default=None
            Name in the legend.
        ax : array of 3 matplotlib Axes or None, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : WidthDisplay

        Notes
        -----
        Warnings that training stopped at ``max_iter`` are silenced: a fixed number of steps is what
        makes the widths comparable.
        """
        last_step(estimator)
        jobs = [(width, seed) for width in widths for seed in random_states]
        measured = Parallel(n_jobs=n_jobs)(
            delayed(_measure)(clone(estimator), width, seed, X, y, X_test, y_test) for width, seed in jobs
        )
        shape = (len(widths), len(random_states))
        curves = WidthCurves(*(np.reshape(column, shape) for column in zip(*measured)))
        loss = "log-loss" if is_classifier(estimator) else "mean squared error"
        return cls(np.asarray(widths), curves, name=name, loss=loss).plot(ax)

    def plot(self, ax=None, *, name=None) -> WidthDisplay:
        """Draw the three panels.

        Parameters
        ----------
        ax : array of 3 matplotlib Axes or None, default=None
            Where to draw; None makes a figure.
        name : str or None, default=None
            Name in the legend; None is that of the display.

        Returns
        -------
        self : WidthDisplay
        """
        axes = axes_row(ax, 3, figsize=(12.0, 3.8))
        name = self.name if name is None else name
        prefix = "" if name is None else f"{name}: "
        losses, rates, norms = axes
        number = next_number(losses)
        curves = self.curves
        self._line(losses, curves.train_loss, f"{prefix}train", number)
        if np.isfinite(curves.test_loss).any():
            self._line(losses, curves.test_loss, f"{prefix}test", number, dashed=True)
        self._line(rates, curves.rate, name, number)
        self._line(norms, curves.norm_end, f"{prefix}end", number)
        self._line(norms, curves.norm_start, f"{prefix}start", number, dashed=True)
        losses.set(ylabel=self.loss)
        low, high = losses.dataLim.intervaly
        if high > 10 * low > 0:  # within a decade a logarithmic axis has hardly a tick
            losses.set_yscale("log")
        rates.set(ylabel="−ln(loss ratio) per step")
        norms.set(ylabel="‖A‖₂ / √m")
        low, high = norms.get_ylim()
        middle = (low + high) / 2  # a change of less than a few per cent should look like one
        norms.set_ylim(min(low, 0.9 * middle), max(high, 1.1 * middle))
        rates.set_ylim(bottom=min(0.0, rates.get_ylim()[0]))
        for panel in axes:
            panel.set(xscale="log", xlabel="width m")
            label_widths(panel, self.widths)
            panel.grid(True, which="major", linewidth=0.4, alpha=0.6)
            draw_legend(panel)
        self.axes_, self.figure_ = axes, losses.figure
        return self

    def _line(self, ax, values, label, number, *, dashed=False):
        """Draw medians over the seeds, and a band where there are several."""
        middle, low, high = band(values)
        ax.plot(
            self.widths, middle, "--" if dashed else "-", color=colour(number), marker=marker(number),
            markersize=5, markerfacecolor="white" if dashed else None, label=label,
        )  # fmt: skip
        if np.shape(values)[-1] > 1:
            ax.fill_between(self.widths, low, high, color=colour(number), alpha=0.2, linewidth=0)


def _measure(estimator, width, seed, X, y, X_test, y_test):
    """Fit one network and return its five numbers, in the order of `WidthCurves`."""
    network = last_step(estimator).set_params(width=int(width), random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(X, y)
    contraction = network.history_["contraction"]
    return (
        _mean_loss(estimator, X, y),
        np.nan if X_test is None else _mean_loss(estimator, X_test, y_test),
        observed_rate(network.history_["squared_error"]),
        contraction[0] / network.gamma_,
        contraction[-1] / network.gamma_,
    )


def _mean_loss(estimator, X, y) -> float:
    """Return the mean squared error, or the log-loss of a classifier (of labels, their mean)."""
    if is_classifier(estimator):
        P = estimator.predict_proba(X)
        if np.ndim(y) == 2:
            return float(
                np.mean([log_loss(labels, p, labels=[0, 1]) for labels, p in zip(np.transpose(y), P.T)])
            )
        return float(log_loss(y, P, labels=estimator.classes_))
    return float(np.mean((np.asarray(y) - estimator.predict(X)) ** 2))
