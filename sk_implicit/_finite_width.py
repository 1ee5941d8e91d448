"""What ``fit`` does at finite width: start or continue a network, train it, store it, warn."""

from __future__ import annotations

from dataclasses import asdict
from numbers import Integral
from types import SimpleNamespace
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from ._estimator.callbacks import Watched
from ._estimator.saving import FitState
from ._estimator.validate import require_memory
from ._estimator.warn import warn
from ._prediction import PREDICT_TOL, Prediction
from .inputs.rows import DistinctRows
from .models.row_blocks import missed_rows
from .network import Shape, draw_network, units
from .training import SOLVERS, History, Objective, message, train
from .training.penalty import choose_penalty
from .training.tangent_system import by_iteration, precision

# Fitted attributes of a centred start, and of early stopping.
_OF_SOME_FITS = ("A_init_", "W_init_", "U_init_", "V_init_", "validation_scores_", "best_validation_score_")
# Beyond this γ a wide random network has no stable equilibrium (mean-field limit, √2).
_LARGEST_GAMMA = np.sqrt(2)
# Share of the inputs' mean square that varies between rows, below which float32 has too few digits.
_LEAST_VARIATION = 1e-4


class FiniteWidth(Prediction):
    """The part of `BaseImplicitReLU`, whose parameters and methods it reads, that trains networks."""

    solver: str
    relevance: str | None
    init: str
    output_init: str
    max_iter: int
    tol: float
    learning_rate: float | str
    batch_size: int | str
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    warm_start: bool
    random_state: Any
    verbose: int | bool

    def _fit_finite(self, rows: DistinctRows, scores, watch) -> None:
        """Train a network on validated rows of positive weight; as `BaseImplicitReLU._fit_network`."""
        rng = check_random_state(self.random_state)
        previous = getattr(self, "_training", None) if self.warm_start else None
        previous = None if previous is None else previous.copied()  # the estimator's stays if this fit fails
        held_out, split_seed = None, None if previous is None else previous.split_seed
        if self.early_stopping:
            if split_seed is None:
                split_seed = int(rng.randint(2**31 - 1))
            rows, held_out = self._split(rows, split_seed)

        if previous is None:
            training = self._start(rows, rng)
        else:
            training = self._check_continues(previous, rows.X, rows.Y)
        training.split_seed = split_seed
        start, state = training.start, training.state

        objective = self._objective(training, rows)
        self._set_scaling(training.inputs, training.target)
        self._set_limits(rows.X, rows.Y, training.penalty)

        settings = SimpleNamespace(learning_rate=self.learning_rate, batch_size=self.batch_size, rng=rng)
        if state is not None and training.solver != self.solver:
            # another solver starts with a memory, and a patience, of its own
            state.solver_state, state.n_no_change = None, 0
        training.solver = self.solver
        training.state = train(
            objective,
            Watched(SOLVERS[self.solver](settings), watch),
            max_iter=self.max_iter,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            validate=self._validator(held_out, start, scores),
            monitor=self._monitor(watch, start),
            previous=state,
        )
        self._store(training)
        self._keep_network(objective, training)

    def _objective(self, training, rows: DistinctRows) -> Objective:
        """Return what training minimises, with the penalty chosen unless an earlier fit chose it."""
        X, weights = rows.X, rows.weights

        def build(penalty: float, Z0=None) -> Objective:
            dtype = self._training_precision(X, training, penalty, weights)
            objective = Objective(
                training.inputs.apply(X).astype(dtype, copy=False),
                training.target.apply(rows.Y, X.dtype).astype(dtype, copy=False),
                weights,
                training.start.astype(dtype),
                centred=self.output_init == "centred",
                equilibrium_solver=self.equilibrium_solver,
                equilibrium_tol=None if self.equilibrium_tol == "auto" else self.equilibrium_tol,
                loss=self._loss(training.target),
                left_out=rows.left_out,
                Z0=Z0,
            )
            self._check_start(objective.first)
            return objective

        if training.penalty is None:
            # Targets are taken to be noisy until the penalty says that they are not.
            objective = build(np.inf if self.alpha == "loo" else float(self.alpha))
            training.penalty = choose_penalty(objective, self.alpha, self.output_init)
            training.settings["alpha"] = self.alpha
            penalty = training.penalty.relative
            if self._training_precision(X, training, penalty, weights) != objective.Y.dtype:
                objective = build(penalty, objective.first.layers.Z)
                training.penalty = choose_penalty(objective, self.alpha, self.output_init)
        else:
            objective = build(training.penalty.relative)
        objective.penalty = training.penalty.absolute
        if training.penalty.score is not None:
            objective.explained = training.penalty.score
        return objective

    def _training_precision(self, X, training, penalty: float, weights):
        """Return float32 where training needs no more digits, and was not asked for more."""
        digits = 1.0 if self.equilibrium_tol == "auto" else self.equilibrium_tol
        if self.solver != "lm" or digits < PREDICT_TOL[np.dtype(np.float32)]:
            return X.dtype
        relevance = training.inputs.relevance
        if relevance is not None and relevance @ relevance < _LEAST_VARIATION:
            return X.dtype
        n, shape = X.shape[0], training.start.shape
        inexact = by_iteration(n, shape.k, exact=self._loss(training.target).constant_curvature)
        penalty /= float(weights.mean())  # large weights leave less of it
        return precision(n, shape.m, penalty, X.dtype, inexact=inexact)

    def _keep_network(self, objective, training):
        """Keep more of a trained network."""

    def _start(self, rows: DistinctRows, rng):
        """Measure the scales and draw the network, before the first step."""
        X, Y = rows.X, rows.Y
        n, d = X.shape
        m = units(self.width, n)
        require_memory(Shape(m=m, p=d, k=Y.shape[1]), X.dtype, self.width)
        inputs = self._choose_inputs(rows)
        shape = Shape(m=m, p=len(inputs.scale) + self.fit_intercept, k=Y.shape[1])
        target = self._target_scaling(Y, rows.weights)
        start = draw_network(
            shape, self.gamma, rng, init=self.init, output_init=self.output_init, dtype=X.dtype,
            depth=np.inf if np.isinf(self.depth) else int(self.depth),
        )  # fmt: skip
        settings = {name: getattr(self, name) for name in ("width", "init", "output_init", "relevance")}
        return FitState(inputs, target, start, self.solver, settings)

    def _check_continues(self, training, X, Y):
        """Refuse to continue a fit with parameters or data that it cannot be continued with."""
        start = training.start
        wrong = [
            f"{what} was {was} and is now {now}"
            for what, was, now in (
                ("gamma", start.gamma, self.gamma),
                ("depth", start.depth, self.depth),
                *((name, was, getattr(self, name)) for name, was in training.settings.items()),
                ("the number of inputs", training.inputs.n_features, X.shape[1]),
                ("fit_intercept", training.inputs.bias != 0, bool(self.fit_intercept)),
                ("the number of outputs", start.shape.k, Y.shape[1]),
                ("the dtype of X", start.theta.dtype, X.dtype),
            )
            if was != now
        ]
        # the network of a perceptron has a width of its own
        has_its_own = "width" not in training.settings and isinstance(self.width, Integral)
        if has_its_own and start.shape.m != self.width:
            wrong.append(f"width was {start.shape.m} and is now {self.width}")
        self._refuse_to_continue(wrong)
        return training

    @staticmethod
    def _refuse_to_continue(wrong: list[str]) -> None:
        """Raise where something is wrong."""
        if wrong:
            raise ValueError(
                f"warm_start=True cannot continue the previous fit: {'; '.join(wrong)}. Use "
                "warm_start=False, or a new estimator, to start again."
            )

    def _split(self, rows: DistinctRows, seed: int) -> tuple[DistinctRows, DistinctRows]:
        """Hold out rows for early stopping."""
        n = rows.X.shape[0]
        n_held_out = int(np.ceil(self.validation_fraction * n))
        if n - n_held_out < 1 or n_held_out < 2:
            raise ValueError(
                f"early_stopping=True holds out validation_fraction={self.validation_fraction} of the "
                f"{n} samples, which leaves {n - n_held_out} to train and {n_held_out} to validate on; "
                "at least 1 and 2 are needed. Change validation_fraction or set early_stopping=False."
            )
        from sklearn.model_selection import train_test_split  # 10 ms of import that few fits need

        kept, held_out = train_test_split(
            np.arange(n), test_size=n_held_out, random_state=seed, stratify=self._strata(rows.Y)
        )
        return rows.take(kept), rows.take(held_out)

    def _strata(self, Y):
        """Return the classes that a split should balance, or None."""
        return None

    def _validator(self, held_out, start, scores):
        """Return the function that scores a network on the held-out rows, or None."""
        if held_out is None:
            return None
        X, Y, weights, _ = held_out
        offset = self._evaluate(X, start)[0] if self.output_init == "centred" else 0.0

        def validate(network):
            F = self._unscale(self._evaluate(X, network)[0] - offset)
            return scores(Y, F, weights) if np.isfinite(F).all() else -np.inf

        return validate

    def _check_start(self, first):
        """Refuse a start that has no equilibrium, or no last layer, to train from."""
        result = first.layers.result
        if np.isfinite(self.depth):
            missed = int(first.layers.out_of_range().sum())
            if missed == 0:
                return
            raise ValueError(
                f"gamma={self.gamma:g} is too large for depth={self.depth}: the last layer of the random "
                f"start overflows for {missed} of {len(result.residual)} rows (a layer multiplies norms by "
                f"up to ‖sA‖₂ = {first.contraction:.3g}). Use a smaller gamma or a smaller depth."
            )
        if result.converged:
            return
        missed = int(np.count_nonzero(missed_rows(result, self._tolerance(result.solution.dtype))))
        raise ValueError(
            f"gamma={self.gamma:g} is too large: the equilibrium of the random start was not found for "
            f"{missed} of {len(result.residual)} rows (‖sA‖₂ = {first.contraction:.2f}; below 1 there is "
            "exactly one for every input, which a wide network has for gamma < 0.5, and beyond "
            f"gamma = {_LARGEST_GAMMA:.2f} there is no stable one). Use a smaller gamma."
        )

    def _store(self, training):
        """Keep the trained network and what is to be known of it, and word the status."""
        state, history = training.state, training.state.history
        theta = state.best_theta.astype(training.start.theta.dtype, copy=False)
        network = training.start.with_theta(theta)
        self._training = training if self.warm_start else None
        for name in _OF_SOME_FITS:
            self.__dict__.pop(name, None)
        for name, value in self._attributes_of(network, training.start).items():
            setattr(self, name, value)
        self.n_iter_ = history.n_iter
        self.loss_curve_ = history.loss[1:]
        self.history_ = asdict(history)
        self.alpha_ = training.penalty.relative
        if training.penalty.score is not None:
            self.loo_score_ = training.penalty.score
        self.contraction_ = network.contraction()
        self.loss_, self.equilibrium_residual_ = state.best_loss, state.equilibrium_residual
        self._squared_error = state.best_squared_error
        if self.early_stopping:
            self.validation_scores_ = history.validation_score[1:]
            self.best_validation_score_ = state.best_score
        warning = message(
            state, training.penalty, solver=self.solver, max_iter=self.max_iter, tol=self.tol,
            contraction=self.contraction_, warm_start=self.warm_start, learning_rate=self.learning_rate,
            linear_promise=self._loss(training.target).linear_promise,
        )  # fmt: skip
        if warning is not None:
            warn(warning, ConvergenceWarning)

    def _attributes_of(self, network, start) -> dict:
        """Return the fitted attributes that predictions are computed from."""
        attributes = {name: getattr(network, name[0]) for name in ("A_", "W_", "U_", "V_")}
        if self.output_init == "centred":
            attributes |= {f"{name}_init_": getattr(start, name) for name in "AWUV"}
        return attributes | {"width_": network.shape.m, "gamma_": network.gamma, "depth_": network.depth}

    def _adopt(self, network, inputs, target):
        """Become a network that was made elsewhere, as if fitted in no step, ready to be trained on."""
        settings = {"output_init": self.output_init}  # the others were not read
        self._training = FitState(inputs, target, network, self.solver, settings)
        self._set_scaling(inputs, target)
        self.A_, self.W_, self.U_, self.V_ = network.A, network.W, network.U, network.V
        self.width_, self.gamma_, self.depth_ = network.shape.m, network.gamma, network.depth
        self.contraction_ = network.contraction()
        unknown = [np.nan]  # without data
        start = History(unknown, squared_error=unknown, contraction=[self.contraction_], step_size=unknown)
        self.n_iter_, self.loss_curve_, self.history_ = 0, [], asdict(start)
        self.alpha_, self.loss_, self.equilibrium_residual_ = 0.0, np.nan, np.nan

    def _monitor(self, watch, start):
        """Return what is called after each step: it prints, tells the callbacks, and may stop training."""

        def monitor(progress) -> bool:
            if self.verbose:
                self._print_step(progress)

            def attributes():
                steps = {"n_iter_": progress.n_iter, "contraction_": progress.history.contraction[-1]}
                network = progress.network.astype(start.theta.dtype)
                return self._attributes_of(network, start) | steps

            return watch.ends_step(attributes)

        return monitor

    def _print_step(self, progress) -> None:
        """Print one line for the step just taken."""
        history = progress.history
        rest = f"contraction {history.contraction[-1]:.4f}"
        if self.early_stopping:
            rest += f"  validation score {history.validation_score[-1]:.6f}"
        self._print_line(progress.n_iter, history.loss[-1], rest)

    def _print_line(self, step: int, loss: float, rest: str) -> None:
        """Print the line of one step, on the standard output as scikit-learn does."""
        print(f"[{type(self).__name__}] step {step:4d}  loss {loss:.6e}  {rest}", flush=True)
