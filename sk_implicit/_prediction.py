"""What a fitted estimator computes for new rows, block by block: outputs and equilibria."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from ._estimator.warn import warn
from ._infinite_width import InfiniteWidth
from ._numerics.blocks import BLOCK_ENTRIES, slices
from .inputs.scaling import InputScaling
from .inputs.targets import TargetScaling
from .models.row_blocks import map_rows, network_equilibria, network_outputs
from .network import Network

# Accuracy of equilibria with equilibrium_tol="auto".
PREDICT_TOL = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-6}


class Prediction(InfiniteWidth):
    """The part of `BaseImplicitReLU`, whose attributes it reads, that works on new rows."""

    equilibrium_solver: str
    equilibrium_tol: Any
    y_mean_: np.ndarray
    y_scale_: np.ndarray
    _inputs: InputScaling
    width_: float
    gamma_: float
    depth_: float
    contraction_: float
    A_: np.ndarray
    W_: np.ndarray
    U_: np.ndarray
    V_: np.ndarray
    A_init_: np.ndarray
    W_init_: np.ndarray
    U_init_: np.ndarray
    V_init_: np.ndarray

    def _augment(self, X):
        """Return what the network sees of X."""
        return self._inputs.apply(X)

    def _unscale(self, F):
        """Return predictions on the user's scale."""
        return TargetScaling(self.y_mean_, self.y_scale_).invert(F)

    def _inputs_to_predict(self) -> InputScaling:
        """Return what predictions are made from."""
        return self._inputs

    def _tolerance(self, dtype) -> float:
        """Return the tolerance of predicted equilibria."""
        if self.equilibrium_tol == "auto":
            return PREDICT_TOL[np.dtype(dtype)]
        return self.equilibrium_tol

    def _validate_X(self, X):
        """Check X against what was fitted and return it as floats, CSR where sparse."""
        check_is_fitted(self)
        fitted = self.X_fit_ if self.width_ == np.inf else self.A_
        with np.errstate(over="ignore", invalid="ignore"):  # sums of large numbers, and rounding them
            X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
            rounded = X.astype(fitted.dtype, copy=False)
        if rounded is not X and not np.isfinite(rounded.data if issparse(X) else rounded).all():
            raise ValueError(
                f"X reaches {float(abs(X).max()):.3g}, but {fitted.dtype}, the precision that this "
                f"{type(self).__name__} was fitted in, ends at {np.finfo(fitted.dtype).max:.3g}. Rescale X, "
                "or fit on float64 input."
            )
        return rounded

    def _networks(self) -> list[Network]:
        """Return the fitted network and, with a centred start, the start."""
        networks = [Network(self.A_, self.W_, self.U_, self.V_, gamma=self.gamma_, depth=self.depth_)]
        if hasattr(self, "A_init_"):
            weights = (self.A_init_, self.W_init_, self.U_init_, self.V_init_)
            networks.append(Network(*weights, gamma=self.gamma_, depth=self.depth_))
        return networks

    def _raw_predict(self, X) -> np.ndarray:
        """Return f(x; θ), less f(x; θ₀) with a centred start, on the scaled targets, (n, k)."""
        if self.width_ == np.inf:
            return self._predict_limit(X)
        F, missed = self._evaluate(X, *self._networks())
        self._warn_missed(missed)
        return F

    def _evaluate(self, X, *networks: Network) -> tuple[np.ndarray, np.ndarray]:
        """Return the outputs of a network, less those of a second one, and which rows were missed."""
        return self._gather(network_outputs, X, self._inputs_to_predict(), networks, networks[0].shape.k)

    def _gather(
        self, function, X, inputs: InputScaling, networks, n_columns: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what a function of `_row_blocks` makes of the rows, and the rows that were missed."""
        out = np.empty((X.shape[0], n_columns), dtype=networks[0].A.dtype)
        missed = np.zeros(X.shape[0], dtype=bool)
        results = map_rows(
            function, X, self._blocks(networks[0], X.shape[0]), inputs, *networks,
            n_jobs=self.n_jobs, tol=self._tolerance(X.dtype), solver=self.equilibrium_solver,
        )  # fmt: skip
        for rows, block in results:
            out[rows], missed[rows] = block
        return out, missed

    def _blocks(self, network: Network, n: int):
        """Cut n rows into blocks, so that memory does not grow with their number."""
        return slices(n, max(1, BLOCK_ENTRIES // max(network.shape.m, network.shape.p)))

    def _warn_missed(self, rows: np.ndarray):
        """Warn of rows, as a mask, whose equilibrium or last layer is not what was asked for."""
        missed = int(np.count_nonzero(rows))
        if missed and np.isfinite(self.depth_):
            warn(
                f"The last of {self.depth_} layers overflows for {missed} rows, whose predictions are NaN: a "
                f"layer multiplies norms by up to ‖sA‖₂ = {self.contraction_:.3g}. If the rows are on the "
                "scale of those of the fit, refit with a smaller gamma or depth.",
                ConvergenceWarning,
            )
        elif missed:
            warn(
                f"The equilibrium of {missed} rows was not reached (equilibrium_tol="
                f"{self.equilibrium_tol!r}); their predictions are those of the best iterate. The "
                f"network's contraction is {self.contraction_:.3f} (below 1 is certified): refit with a "
                "smaller gamma, or use equilibrium_solver='newton_krylov'.",
                ConvergenceWarning,
            )

    def equilibrium(self, X) -> np.ndarray:
        """Return the equilibrium z of each row; at finite depth, the last layer z_L.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        Z : ndarray of shape (n_samples, width_)
            The solution of z = σ(γ/√m · A z + φ(x)), to ``equilibrium_tol``; with ``depth=L``, z_L of
            the recursion z_l = σ(γ/√m · A z_{l−1} + φ(x)) from z_0 = 0.
        """
        X = self._validate_X(X)
        self._require_finite("equilibrium(X)")
        network = self._networks()[0]
        Z, missed = self._gather(network_equilibria, X, self._inputs, [network], network.shape.m)
        self._warn_missed(missed)
        return Z
