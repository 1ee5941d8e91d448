r"""How fast training is guaranteed to converge, how fast it did, and whether the theorem's picture held.

With loss L = ½ Σ wᵢ ‖yᵢ − fᵢ‖² and S = √W K √W, K the tangent kernel:

* along **gradient flow** dL/dt = −(√w∘r)ᵀ S (√w∘r) ≤ −2 λ_min(S) L, hence L(t) ≤ L(0) exp(−2 ∫ λ_min dt);
* a **gradient step** η lowers L by at least η (1 − ηC/2) ‖∇L‖² where C bounds the curvature along the step
  (descent lemma), and ‖∇L‖² ≥ 2 λ_min(S) L (Polyak-Łojasiewicz inequality), so that it multiplies L by at
  most 1 − η λ_min (2 − ηC) [1]_. C is λ_max(S), but for the curvature Σ wᵢ rᵢ ∇²fᵢ of the predictions,
  which is of order 1/√m and vanishes with the residual: it is neglected;
* on the network **linearised** at one point a step multiplies the residual by I − ηS, and L by at most
  (1 − η λ_min)² for η ≤ 2/(λ_min + λ_max). This faster rate is reached at the end of training, when S
  stands still; far from it, and at small widths, it can be missed.

All are statements about S along the way. Here S is computed at the two ends, and the smaller of the two
λ_min, the larger of the two λ_max are used: the rate is guaranteed if λ_min stays above and λ_max below
these values in between, and as long as training does not slide along kinks of ReLU, where one step switches
units on that the next one switches off, and neither side's S says how fast the loss falls. By Weyl's
inequality λ_min(S) differs from its value at the start by at most ‖S − S₀‖₂, the kernel drift.

A rate is −ln(L_{t+1}/L_t), the exponent of the loss's decrease: larger is faster.

References
----------
.. [1] H. Karimi, J. Nutini and M. Schmidt, "Linear convergence of gradient and proximal-gradient methods
   under the Polyak-Łojasiewicz condition", ECML PKDD 2016.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import aslinearoperator, eigsh

from ..spectral import Extremes, extreme_eigenvalues, operator_norm
from ..tangent import joint_kernel
from ._inputs import ClosestPair, closest_pair, lambda_0
from ._report import Report
from ._states import fitted_states, tangent_features
from ._well_posedness import WellPosedness, well_posedness

# Accuracy of equilibria and adjoints: λ_min then has 7 digits at a condition number of 1e5, for the errors
# of different rows hardly add up.
_TOL = 1e-6
# Joint kernels are formed up to this order: two of them, and a factor, are alive at a time.
_MAX_ORDER = 20_000
# Below this fraction of its start the squared error is rounding, and its slope says nothing.
_ROUNDING = 1e-22
# Squared error that predictions at accuracy _TOL may have, relative to the variance of y.
_ROUNDING_OF_F = 1e-8
# Share of the steps that final_rate looks at.
_FINAL = 0.25


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
        "gd" would take.
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
        Final over initial squared error (of a classifier trained on "log_loss": Brier score).
    drift_A, drift_W : float
        ‖A − A₀‖₂/‖A₀‖₂ and ‖W − W₀‖₂/‖W₀‖₂.
    contraction : tuple of float
        ‖sA‖₂ at the start, at the end, and the largest of all steps.
    well_posed : WellPosedness
        The certificate of the fitted network's equilibrium. A finite depth needs none.
    penalty : float
        ``alpha_``.
    loss : str
        The loss that was trained: "squared_error", or that of a classifier.
    reproduced : bool or None
        Whether X and y give the squared error that training ended with; None without y.
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
        """Whether a positive linear rate is guaranteed, at a finite depth or a certified equilibrium."""
        return self.certified_rate > 0 and (self._finite or self.well_posed.certified)

    @property
    def _finite(self) -> bool:
        return bool(np.isfinite(self.depth))

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
            ("squared error, end over start", f"{self.decrease:.3g}"),
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
        largest = _worst(self.start, self.end).largest
        return 2.0 / largest if largest > 0 else np.inf


def convergence_certificate(estimator, X, y=None, sample_weight=None) -> ConvergenceCertificate:
    """Compare a fit with what the theory guarantees for it.

    Parameters
    ----------
    estimator : ImplicitReLURegressor or ImplicitReLUClassifier
        Fitted. Its start must be stored (``output_init="centred"`` or ``warm_start=True``) or be
        drawn again from an int ``random_state``.
    X : array or sparse matrix of shape (n, d)
        The training inputs.
    y : array of shape (n,) or (n, k), default=None
        The training targets of a regressor, to check that these are the rows of the fit.
    sample_weight : array of shape (n,), default=None
        The weights of the fit.

    Returns
    -------
    certificate : ConvergenceCertificate
        A record that prints as text and shows as a table in a notebook.

    Raises
    ------
    ValueError
        If the estimator is not fitted, its start is not to be had, an equilibrium is not reached, or the
        kernel would have more than 20000 rows.

    Notes
    -----
    Two forward passes and adjoints, two tangent kernels (four products each), and for each of them
    Lanczos iterations and two Cholesky factorisations: about a Levenberg-Marquardt step, and no
    eigendecomposition.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_implicit import ImplicitReLURegressor
    >>> from sk_implicit.theory import convergence_certificate
    >>> X = np.random.RandomState(0).standard_normal((30, 5))
    >>> model = ImplicitReLURegressor(400, solver="gd", alpha=0, max_iter=200, tol=0, random_state=0)
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # more than 200 steps would lower the loss further
    ...     model = model.fit(X, X[:, 0])
    >>> certificate = convergence_certificate(model, X, X[:, 0])
    >>> certificate.certified, certificate.observed_rate > certificate.certified_rate > 0
    (True, True)
    """
    states = fitted_states(estimator, X)
    start, end = states.start, states.end
    n, k = states.X.shape[0], end.shape.k
    if n * k > _MAX_ORDER:
        raise ValueError(
            f"The tangent kernel of {n} rows and {k} outputs has order {n * k}; up to {_MAX_ORDER} is "
            "certified. Fit and certify fewer rows."
        )
    weights = np.ones(n) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (n,) or not (weights >= 0).all():
        raise ValueError(f"sample_weight must be {n} non-negative numbers, a row's weight each.")
    inputs, kept = states.X, weights > 0
    if not kept.all():
        inputs, weights = inputs[kept], weights[kept]
    root = np.tile(np.sqrt(weights), k)

    tangent_start = tangent_features(start, inputs, tol=_TOL)
    tangent_end = tangent_features(end, inputs, tol=_TOL, near=tangent_start)
    reproduced = _reproduces(estimator, tangent_start, tangent_end, y, kept, weights)
    S = _weighted(joint_kernel(tangent_start), root)
    del tangent_start
    S_end = _weighted(joint_kernel(tangent_end), root)
    del tangent_end
    at_start, at_end = extreme_eigenvalues(S), extreme_eigenvalues(S_end)
    S_end -= S
    kernel_drift = _symmetric_norm(S_end)
    del S, S_end

    history, loss = estimator.history_, getattr(estimator, "loss", "squared_error")
    observable = estimator.alpha_ == 0 and loss == "squared_error"
    smallest, largest = _worst(at_start, at_end)
    step = (
        history["step_size"][-1] if estimator.solver == "gd" and estimator.n_iter_ else 1 / at_start.largest
    )
    contraction = np.array(history["contraction"])
    return ConvergenceCertificate(
        n_samples=n,
        n_outputs=k,
        width=end.shape.m,
        depth=end.depth,
        solver=estimator.solver,
        start=at_start,
        end=at_end,
        kernel_drift=kernel_drift,
        lambda_0=lambda_0(inputs),
        closest=closest_pair(inputs),
        step=float(step),
        certified_rate=certified_rate(smallest, largest, step),
        linearised_rate=linearised_rate(smallest, largest, step),
        flow_rate=2 * smallest,
        observed_rate=observed_rate(history["squared_error"]) if observable else np.nan,
        final_rate=observed_rate(history["squared_error"], share=_FINAL) if observable else np.nan,
        decrease=history["squared_error"][-1] / history["squared_error"][0],
        drift_A=_relative_drift(end.A, start.A),
        drift_W=_relative_drift(end.W, start.W),
        contraction=(float(contraction[0]), float(contraction[-1]), float(contraction.max())),
        well_posed=well_posedness(end.A, end.gamma),
        penalty=float(estimator.alpha_),
        loss=loss,
        reproduced=reproduced,
    )


def certified_rate(smallest: float, largest: float, step: float) -> float:
    """Return −ln(1 − η λ_min (2 − η λ_max)), guaranteed for steps η < 2/λ_max; 0 beyond.

    Parameters
    ----------
    smallest, largest : float
        Bounds on the eigenvalues of the (weighted) tangent kernel.
    step : float
        η, on the summed loss.
    """
    if smallest <= 0 or step * largest >= 2:
        return 0.0
    # at most 1, and 1 only where all eigenvalues are equal and one step of 1/λ reaches the minimum
    gain = step * smallest * (2 - step * largest)
    return float(-np.log1p(-gain)) if gain < 1 else np.inf


def linearised_rate(smallest: float, largest: float, step: float) -> float:
    """Return −2 ln max|1 − ηλ| over λ_min ≤ λ ≤ λ_max, the rate at constant kernel; 0 where it diverges.

    Parameters
    ----------
    smallest, largest, step : float
        As in `certified_rate`.
    """
    factor = max(abs(1 - step * smallest), abs(1 - step * largest))
    if smallest <= 0 or factor >= 1:
        return 0.0
    return float(-2 * np.log(factor)) if factor > 0 else np.inf


def observed_rate(squared_error, *, share: float = 1.0) -> float:
    """Return the mean decrease of ln L in a step, until the loss is down to rounding.

    Parameters
    ----------
    squared_error : sequence of float
        Squared error at the start and after each step.
    share : float, default=1.0
        Of these steps, the share to look at, counted from the end; one at least.
    """
    errors = np.asarray(squared_error, dtype=np.float64)
    if len(errors) < 2 or errors[0] <= 0:
        return np.nan
    rounding = np.flatnonzero(errors <= _ROUNDING * errors[0])
    last = int(rounding[0]) if len(rounding) else len(errors) - 1
    first = last - max(1, round(share * last))
    return float(np.log(errors[first] / max(errors[last], np.finfo(np.float64).tiny)) / (last - first))


def _worst(first: Extremes, second: Extremes) -> Extremes:
    return Extremes(min(first.smallest, second.smallest), max(first.largest, second.largest))


def _weighted(K: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Return √W K √W in float64, in place where it is."""
    K = K.astype(np.float64, copy=False)
    if not (root == 1).all():
        K *= root[:, None]
        K *= root
    return K


def _symmetric_norm(D: np.ndarray) -> float:
    """Return ‖D‖₂ of a symmetric matrix, by Lanczos."""
    if len(D) <= 64 or not D.any():
        return float(np.linalg.norm(D, 2)) if len(D) else 0.0
    v0 = np.random.RandomState(0).standard_normal(len(D))
    value = eigsh(aslinearoperator(D), k=1, which="LM", v0=v0, tol=1e-6, return_eigenvectors=False)
    return float(abs(value[0]))


def _relative_drift(now: np.ndarray, start: np.ndarray) -> float:
    """Return ‖A − A₀‖₂/‖A₀‖₂."""
    reference = _norm(start)
    drift = _norm(now - start)
    return drift / reference if reference > 0 else (np.inf if drift > 0 else 0.0)


def _norm(B: np.ndarray) -> float:
    if B.shape[0] < B.shape[1]:
        B = B.T
    return operator_norm(B)[0]


def _reproduces(estimator, at_start, at_end, y, kept, weights) -> bool | None:
    """Whether the squared error at these rows is that of the end of training."""
    if y is None or hasattr(estimator, "classes_"):
        return None
    y = np.asarray(y, dtype=np.float64)
    if y.shape[0] != len(kept):
        raise ValueError(f"y has {y.shape[0]} rows and X has {len(kept)}.")
    scaled = (y.reshape(len(y), -1)[kept] - estimator.y_mean_) / estimator.y_scale_
    F = at_end.network.output(at_end.layers)
    if estimator.output_init == "centred":
        F -= at_start.network.output(at_start.layers)
    squares = np.einsum("nk,nk->n", scaled - F, scaled - F)
    error = float(weights @ squares / (weights.sum() * scaled.shape[1]))
    errors = np.array(estimator.history_["squared_error"])
    return bool(np.any(np.abs(error - errors) <= 1e-3 * errors + _ROUNDING_OF_F))
