r"""The infinite-width network's kernels as a scikit-learn Gaussian process kernel.

With x̃ = [x / ℓ, √b] (ℓ the length scale, b the bias variance), r = ‖x̃‖ and ρ = cos θ the cosine of two
rows, the kernel is r r' k(ρ), k the NTK or the NNGP of :mod:`sk_implicit.limit`. Multiplying a group G
of the coordinates of x̃ by eᵗ changes it, with n = x̃/r, by

    d(r r' k)/dt = r r' k (|n_G|² + |n'_G|²) + r r' (dk/dθ) (dθ/dt),
    sin θ dθ/dt  = |n_G − n'_G|² − (1 − ρ) (|n_G|² + |n'_G|²).

log ℓ_j acts on coordinate j with t = −log ℓ_j, and log b on the last one with t = ½ log b. Because the
kernel is homogeneous of degree two, all coordinates together give twice the kernel, which spares
a common length scale its own evaluation. dk/dθ is bounded; dk/dρ is not.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel

from .limit import limit_diagonal, limit_kernel, limit_kernel_derivatives


class ImplicitReLUKernel(Kernel):
    """Kernel of the ReLU implicit network of infinite width.

    ``kind="nngp"`` is the covariance of the random network's output. ``kind="ntk"`` is the tangent kernel:
    a Gaussian process with it predicts what the network trained by gradient descent to
    convergence predicts. Both are ‖x̃‖ ‖x̃'‖ k(cos(x̃, x̃')) on x̃ = [x / length_scale, √bias]: not stationary,
    and not normalised. Multiply by a ``ConstantKernel`` for a free amplitude, and then fix ``bias`` or
    ``length_scale``: scaling both only scales the kernel.

    Parameters
    ----------
    gamma : float, default=0.4
        Scale of the recurrent weights, 0 < gamma < √2. Zero would be a network of one hidden
        layer; larger values mix more layers.
    kind : {"ntk", "nngp"}, default="ntk"
        Tangent kernel or covariance of the random network.
    bias : float, default=1.0
        Variance of the bias, in units of the squared scaled inputs.
    length_scale : float or ndarray of shape (n_features,), default=1.0
        Divides the inputs; an array gives every feature its own.
    gamma_bounds : pair of floats or "fixed", default=(1e-2, 1.2)
        Bounds of the optimiser, which works on log gamma. The upper one must stay below √2.
    bias_bounds : pair of floats or "fixed", default=(1e-4, 1e4)
        Bounds of ``bias``.
    length_scale_bounds : pair of floats or "fixed", default=(1e-2, 1e2)
        Bounds of ``length_scale``. They are narrower than those of scikit-learn's stationary kernels
        because this kernel grows as length_scale⁻²: at 1e-5 it outgrows the noise by more than double
        precision holds, and an optimiser that tries it stops there.

    See Also
    --------
    sk_implicit.limit.limit_kernel : The same kernels on augmented inputs.

    Notes
    -----
    The first evaluation at a new gamma takes about 20 ms for its table, 35 ms with the gradient.

    References
    ----------
    .. [1] T. Gao, H. Liu, J. Liu, H. Rajan and H. Gao, "A global convergence theory for deep ReLU
       implicit networks via over-parameterization", ICLR 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from sklearn.gaussian_process.kernels import ConstantKernel, WhiteKernel
    >>> from sk_implicit.kernel import ImplicitReLUKernel
    >>> X, y = load_diabetes(return_X_y=True, scaled=False)
    >>> X = (X - X.mean(axis=0)) / X.std(axis=0)
    >>> network = ImplicitReLUKernel(gamma_bounds="fixed", bias_bounds="fixed", length_scale=3.0)
    >>> kernel = ConstantKernel(0.1) * network + WhiteKernel()
    >>> gpr = GaussianProcessRegressor(kernel, normalize_y=True).fit(X[:300], y[:300])
    >>> round(gpr.score(X[300:], y[300:]), 2)
    0.52
    """

    def __init__(
        self,
        gamma=0.4,
        kind="ntk",
        bias=1.0,
        length_scale=1.0,
        gamma_bounds=(1e-2, 1.2),
        bias_bounds=(1e-4, 1e4),
        length_scale_bounds=(1e-2, 1e2),
    ) -> None:
        self.gamma = gamma
        self.kind = kind
        self.bias = bias
        self.length_scale = length_scale
        self.gamma_bounds = gamma_bounds
        self.bias_bounds = bias_bounds
        self.length_scale_bounds = length_scale_bounds

    @property
    def anisotropic(self) -> bool:
        """Whether every feature has its own length scale."""
        return bool(np.iterable(self.length_scale)) and len(self.length_scale) > 1

    @property
    def hyperparameter_gamma(self) -> Hyperparameter:
        """Specification of ``gamma``."""
        return Hyperparameter("gamma", "numeric", self.gamma_bounds)

    @property
    def hyperparameter_bias(self) -> Hyperparameter:
        """Specification of ``bias``."""
        return Hyperparameter("bias", "numeric", self.bias_bounds)

    @property
    def hyperparameter_length_scale(self) -> Hyperparameter:
        """Specification of ``length_scale``."""
        n_elements = len(self.length_scale) if self.anisotropic else 1
        return Hyperparameter("length_scale", "numeric", self.length_scale_bounds, n_elements)

    def __call__(self, X: ArrayLike, Y: ArrayLike | None = None, eval_gradient: bool = False):
        """Return the kernel k(X, Y), and optionally its gradient.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples_X, n_features)
            Left argument.
        Y : array-like or sparse matrix of shape (n_samples_Y, n_features), default=None
            Right argument; ``None`` means X.
        eval_gradient : bool, default=False
            Whether to return the gradient with respect to the logarithms of the free
            hyperparameters; only for ``Y=None``.

        Returns
        -------
        K : ndarray of shape (n_samples_X, n_samples_Y)
            Kernel matrix, float64.
        K_gradient : ndarray of shape (n_samples_X, n_samples_X, n_dims)
            Only with ``eval_gradient=True``.

        Raises
        ------
        ValueError
            If a hyperparameter is out of range, the gradient of k(X, Y) is asked for, or the kernel has no
            number for some rows.
        """
        if Y is not None and eval_gradient:
            raise ValueError("Gradient can only be evaluated when Y is None.")
        X_aug = self._augmented(X)
        Y_aug = None if Y is None else self._augmented(Y)
        if eval_gradient:
            return self._with_gradient(X_aug)
        return limit_kernel(X_aug, Y_aug, gamma=self.gamma, kind=self.kind)

    def diag(self, X: ArrayLike) -> np.ndarray:
        """Return the diagonal of k(X, X), (n_samples,), without the matrix."""
        return limit_diagonal(self._augmented(X), gamma=self.gamma, kind=self.kind)

    def is_stationary(self) -> bool:
        """Return False: the kernel depends on norms and angles, not on differences."""
        return False

    def __repr__(self) -> str:
        scales = ", ".join(f"{scale:.3g}" for scale in np.ravel(self.length_scale))
        return (
            f"{type(self).__name__}(gamma={self.gamma:.3g}, kind={self.kind!r}, bias={self.bias:.3g}, "
            f"length_scale={f'[{scales}]' if self.anisotropic else scales})"
        )

    def _augmented(self, X: Any) -> np.ndarray:
        """Check the hyperparameters and return x̃ = [x / length_scale, √bias], (n, n_features + 1)."""
        X = np.atleast_2d(np.asarray(X.toarray() if issparse(X) else X, dtype=np.float64))
        length_scale = np.squeeze(np.asarray(self.length_scale, dtype=np.float64))
        if length_scale.ndim > 1 or (length_scale.ndim == 1 and len(length_scale) != X.shape[1]):
            raise ValueError(
                f"length_scale must be a number or hold one value per feature, {X.shape[1]} of them; "
                f"its shape is {length_scale.shape}."
            )
        if not np.all(length_scale > 0.0):
            raise ValueError(f"length_scale must be positive; got {self.length_scale!r}.")
        if not 0.0 <= self.bias < np.inf:
            raise ValueError(f"bias is a variance, at least 0 and finite; got {self.bias!r}.")
        if not isinstance(self.gamma_bounds, str) and not np.max(self.gamma_bounds) < sqrt(2):
            raise ValueError(
                f"gamma_bounds must end below √2 = {sqrt(2):.4f}, where the kernel ceases to exist; got "
                f"{self.gamma_bounds!r}. The default is (0.01, 1.2)."
            )
        if self.kind not in ("ntk", "nngp"):
            raise ValueError(f"kind must be 'ntk' or 'nngp'; got {self.kind!r}.")
        return np.column_stack([X / length_scale, np.full(len(X), np.sqrt(self.bias))])

    def _with_gradient(self, X_aug: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the kernel, and its gradient by the free entries of theta, (n, n, n_dims)."""
        K, rho, by_angle, by_gamma = limit_kernel_derivatives(
            X_aug, gamma=self.gamma, kind=self.kind, by_gamma=not self.hyperparameter_gamma.fixed
        )
        norms = np.linalg.norm(X_aug, axis=1)
        N = X_aug / np.where(norms > 0.0, norms, 1.0)[:, None]
        rho = np.clip(rho, -1.0, 1.0)
        sin = np.sqrt((1.0 - rho) * (1.0 + rho))
        # Equal rows stay equal and opposite rows opposite; rounding must not make an angle of it.
        by_sin_angle = np.divide(by_angle, sin, out=np.zeros_like(K), where=sin > 5e-8)

        def by_log_scale(column: int) -> np.ndarray:
            """Derivative with respect to t, coordinate ``column`` of x̃ being multiplied by eᵗ."""
            n = N[:, column]
            sum_of_squares = np.add.outer(n**2, n**2)
            angle = np.subtract.outer(n, n) ** 2 - (1.0 - rho) * sum_of_squares
            return K * sum_of_squares + by_sin_angle * angle

        def length_scale_gradient() -> np.ndarray:
            if self.anisotropic:
                return -np.stack([by_log_scale(j) for j in range(X_aug.shape[1] - 1)], axis=2)
            return (by_log_scale(-1) - 2.0 * K)[:, :, None]

        gradients = {
            "bias": lambda: 0.5 * by_log_scale(-1)[:, :, None],
            "gamma": lambda: self.gamma * by_gamma[:, :, None],  # type: ignore[index]  # there where it is free
            "length_scale": length_scale_gradient,
        }
        free = [gradients[h.name]() for h in self.hyperparameters if not h.fixed]
        return K, np.concatenate(free, axis=2) if free else np.empty((*K.shape, 0))
