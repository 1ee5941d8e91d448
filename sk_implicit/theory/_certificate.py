"""What `convergence_certificate` finds, as a record that says what follows from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._numerics.spectral import Extremes
from ._inputs import ClosestPair
from ._rates import worst
from ._report import Report
from ._well_posedness import WellPosedness


@dataclass(frozen=True, slots=True)
class ConvergenceCertificate(Report):
    """What the theory guarantees of a fit, and what was observed.

    Attributes
    ----------
    n_samples, n_outputs, width, depth, solver
        Rows, outputs k, width m, depth L, and the solver that trained.
    start, end : Extremes
        Smallest and largest eigenvalue of the (weighted) tangent kernel before and after training.
    kernel_drift : float
        ‖K_end − K_start‖₂.
    lambda_0 : float
        λ_min(G^∞) of the inputs, as the network sees them.
    closest : ClosestPair
        The two inputs closest to being parallel.
    step : float
        The step η the certified rate is for: that of "gd", otherwise 1/λ_max at the start, the step that
        "gd" would take; inf where the kernel is 0.
    certified_rate : float
        −ln(1 − η λ_min (2 − η λ_max)), the least decrease of ln L in a step of gradient descent; 0 where
        nothing is guaranteed.
    linearised_rate : float
        −2 ln(1 − η λ_min), the same for the network linearised at one of the ends.
    flow_rate : float
        2 λ_min, the least decrease of ln L in a unit of time of gradient flow.
    observed_rate : float
        The mean decrease of ln L in a step, by this solver, until the loss is down to rounding; NaN
        without steps, with a penalty, which keeps the loss above 0, or with another loss.
    final_rate : float
        The same over the last quarter of the steps, when the large eigenvalues have done their work.
    decrease : float
        Squared error of the weights that were kept over that of the start (of a classifier trained on
        "log_loss": Brier score; with other losses, of the mean squares of their derivatives); NaN where there
        was none to begin with.
    drift_A, drift_W : float
        ‖A − A₀‖₂/‖A₀‖₂ and ‖W − W₀‖₂/‖W₀‖₂.
    contraction : tuple of float
        ‖sA‖₂ at the start, of the weights that were kept, and the largest of all steps.
    well_posed : WellPosedness
        The certificate of the fitted network's equilibrium. A finite depth needs none.
    penalty : float
        ``alpha_``.
    loss : str
        The loss that was trained.
    reproduced : bool or None
        Whether X and y give the squared error of the step whose weights were kept; None without y, of a
        classifier, and with another loss.
    """

    n_samples: int
    n_outputs: int
    width: int
    depth: float
    solver: str
    start: Extremes
    end: Extremes
    kernel_drift: float
    lambda_0: float
    closest: ClosestPair
    step: float
    certified_rate: float
    linearised_rate: float
    flow_rate: float
    observed_rate: float
    final_rate: float
    decrease: float
    drift_A: float
    drift_W: float
    contraction: tuple[float, float, float]
    well_posed: WellPosedness
    penalty: float
    loss: str
    reproduced: bool | None

    title = "Convergence certificate"

    @property
    def certified(self) -> bool:
        """Whether a positive linear rate is guaranteed for this fit.

        That takes training that the theorem covers, and a finite depth or a certified equilibrium.
        """
        well_posed = self._finite or self.well_posed.certified
        return bool(self.covered and self.certified_rate > 0 and well_posed)

    @property
    def covered(self) -> bool:
        """Whether the theorem covers the training: gradient descent, the squared error, no penalty."""
        return self.loss == "squared_error" and self.solver == "gd" and self.penalty == 0

    @property
    def _finite(self) -> bool:
        return bool(np.isfinite(self.depth))

    @property
    def _nothing_to_learn(self) -> bool:
        """Whether the start left nothing to learn."""
        return bool(np.isnan(self.decrease))

    def rows(self) -> list[tuple[str, str]]:
        """Return what the record says, as (label, value) pairs."""
        i, j = self.closest.rows
        first, last, largest = self.contraction
        certified = self.well_posed.criterion or "not certified"
        return [
            ("samples, outputs, width", f"{self.n_samples}, {self.n_outputs}, {self.width}"),
            ("layers", str(self.depth) if self._finite else "∞"),
            ("kernel at the start, λ_min to λ_max", f"{self.start.smallest:.4g} to {self.start.largest:.4g}"),
            ("kernel at the end, λ_min to λ_max", f"{self.end.smallest:.4g} to {self.end.largest:.4g}"),
            ("kernel drift ‖K − K₀‖₂", f"{self.kernel_drift:.4g}"),
            ("λ₀ of the limit Gram matrix", f"{self.lambda_0:.4g}"),
            ("smallest angle between two inputs", f"{self.closest.angle:.3g} rad (rows {i} and {j})"),
            ("certified rate of gradient flow", f"{self.flow_rate:.4g} per unit of time"),
            ("certified rate of gradient descent", f"{self.certified_rate:.4g} per step of {self.step:.3g}"),
            ("the same, of the linearised network", f"{self.linearised_rate:.4g} per step"),
            (
                f"observed rate ({self.solver})",
                f"{self.observed_rate:.4g} per step, {self.final_rate:.4g} in the last quarter",
            ),
            (
                "squared error, end over start",
                "0 at the start" if self._nothing_to_learn else f"{self.decrease:.3g}",
            ),
            ("drift of A, of W (operator norm)", f"{self.drift_A:.3g}, {self.drift_W:.3g} of the start"),
            ("contraction: start, end, largest", f"{first:.4f}, {last:.4f}, {largest:.4f}"),
            ("well-posedness", "nothing to certify" if self._finite else certified),
        ]

    @property
    def verdict(self) -> str:
        """What follows from it, in words."""
        layers = (
            f"The network has {self.depth} layer{'s' if self.depth > 1 else ''}, whose output is defined for "
            "all weights: nothing has to be well-posed."
        )
        on_layers = layers if self._finite else self.well_posed.verdict
        return "\n".join([self._on_rate(), self._on_drift(), on_layers, *self._remarks()])

    def _on_rate(self) -> str:
        if worst(self.start, self.end).largest == 0:
            return (
                "No linear rate is guaranteed: the tangent kernel is 0, and no step changes the predictions. "
                "Probably all inputs are 0."
            )
        if self.flow_rate == 0:
            reason = (
                "two inputs are (nearly) parallel" if self.closest.parallel else "the network is too narrow"
            )
            return (
                "No linear rate is guaranteed: the smallest eigenvalue of the tangent kernel is 0 at one of "
                f"the ends. Probably {reason}."
            )
        if self.certified_rate == 0:
            return (
                f"Gradient flow converges linearly, but the step {self.step:.3g} is too large to guarantee "
                f"it for gradient descent: it must be below 2/λ_max = {self.largest_step:.3g}."
            )
        text = (
            "The tangent kernel is positive definite at both ends of training: while it stays so in "
            "between, gradient descent multiplies the loss by at most "
            f"{np.exp(-self.certified_rate):.6g} in each step."
        )
        if np.isfinite(self.observed_rate):
            text += f" Observed with {self.solver}: {np.exp(-self.observed_rate):.4g}."
        return text

    def _on_drift(self) -> str:
        if self.kernel_drift == 0:
            return "The kernel did not move."
        if self.kernel_drift < self.start.smallest:
            return (
                "The kernel moved by less than its smallest eigenvalue at the start, so that it stayed "
                "positive definite all along if it never was further away (Weyl): the regime of the theorem."
            )
        return (
            "The kernel moved by more than its smallest eigenvalue at the start: features were learned, and "
            "positive definiteness in between is likely but not implied by the two ends."
        )

    def _remarks(self) -> list[str]:
        remarks = []
        if self._nothing_to_learn:
            remarks.append("The squared error was 0 at the start: there was nothing to learn.")
        if self._finite:
            remarks.append(
                "The theorem is one about equilibria. What is certified here are the same inequalities for "
                "the tangent kernel of the layers."
            )
        if self.solver != "gd":
            remarks.append(
                f"The rates are those of gradient flow and gradient descent; {self.solver} is not covered by "
                "the theorem."
            )
        if self.solver == "gd" and self.final_rate < self.certified_rate:
            remarks.append(
                "In the last quarter of training a step multiplied the loss by "
                f"{np.exp(-self.final_rate):.6g}, less of a decrease than certified for a smooth loss. "
                "Probably it slides along kinks of ReLU, which the rates neglect."
            )
        if self.loss != "squared_error":
            remarks.append(
                f"The rates are those of the squared error. Trained was {self.loss!r}, which the theorem "
                "does not cover: see loss='squared_error'."
            )
        if self.penalty > 0:
            remarks.append(
                f"The penalty (alpha_ = {self.penalty:.3g}) keeps the loss above 0: the rates are those of "
                "the unpenalised loss. Use alpha=0 to observe them."
            )
        if self.closest.parallel:
            i, j = self.closest.rows
            remarks.append(f"Inputs {i} and {j} are (nearly) parallel, which the theorem excludes.")
        if self.reproduced is False:
            remarks.append(
                "X and y do not give the squared error that training ended with: are they the rows (and the "
                "sample weights) the estimator was fitted to?"
            )
        return remarks

    @property
    def largest_step(self) -> float:
        """2/λ_max: smaller steps are certified to lower the loss."""
        largest = worst(self.start, self.end).largest
        return 2.0 / largest if largest > 0 else np.inf
