r"""Linear systems in function space, on the tangent kernel K and the loss's weighted curvature B = L Lᵀ.

Every Levenberg-Marquardt step solves, for a shift t = a + μ and a right-hand side in the coordinates of
the root L (see `function_space.losses`),

    (S + t I) v = b,     S = Lᵀ K L,

which stays well scaled for any positive weights, and where the curvature vanishes. For the squared error
L is √W. Where U and V may move more than A and W, in the ratio ϱ of their shifts, K stands for J D Jᵀ with
D = ϱ for U and V and 1 for the others: K plus (ϱ − 1)(ΦΦᵀ + ZZᵀ) in every output's block.

Up to a limit (`SystemLimits`) S is formed and factorised; beyond, conjugate gradients multiply by it through
J and Jᵀ (three matrix products, whatever the number of outputs). For many rows, and for a loss whose
curvature changes, they go as far as a duality gap and as `training.nystroem` says: a curvature that will have
changed after the step is not worth more. For several outputs of the squared error they go as follows.

Their preconditioner rests on two facts. At the random start the outputs' kernels are equal and the blocks
between outputs 0, both up to O(1/√m), and training moves them little: one n × n kernel stands for all.
And the projection may stand around the inverse (see `function_space.precondition`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from ..function_space.cg import below
from ..function_space.losses import Curvature
from ..function_space.precondition import congruent, raise_diagonal, shared_kernel_preconditioner
from ..network.tangent import TangentFeatures, joint_kernel, kernel_block, output_kernel
from .nystroem import NystroemFactor, NystroemSettings, NystroemSystem
from .product_system import Key, ProductSystem


@dataclass(frozen=True, slots=True)
class SystemLimits:
    """Which systems are solved how.

    Attributes
    ----------
    dense : int
        Largest order of a matrix that is formed and factorised: 4000² float64 numbers are 128 MB.
    factored_rows : int
        Most rows whose n × n kernel is factorised, for one output or as a preconditioner for several.
    few_landmarks : int
        Landmarks of a preconditioner that is not for tens of thousands of rows: on digits, ten classes of 144
        rows, 500 save no iterations.
    small : int
        Entries of Z up to which a problem is so small that it is solved to rounding, which costs nothing.
    single_penalty : float
        float32 serves from this penalty on (relative; rounding errors are about 6e-8 n).
    rtol, max_iter : float and int
        Relative residual and most iterations of conjugate gradients where the curvature stays.
    """

    dense: int = 4000
    factored_rows: int = 4000
    few_landmarks: int = 200
    small: int = 20_000
    single_penalty: float = 1e-3
    rtol: float = 1e-6
    max_iter: int = 500


# In use; read in every call, so that a test may replace it.
LIMITS = SystemLimits()


class TangentSystem(Protocol):
    """The systems of one linearisation, for any right-hand side, curvature and shift.

    Attributes
    ----------
    weighs_outputs : bool
        Whether ``ratio`` may be other than 1.
    """

    weighs_outputs: bool

    def solve(self, b: np.ndarray, curvature: Curvature, shift: float, ratio: float = 1.0) -> np.ndarray:
        """Return v = (LᵀKL + shift I)⁻¹ b, (n, k), K = J D Jᵀ; raise LinAlgError if singular."""


class WeighsOutputs:
    """A system in which U and V may move more than A and W."""

    weighs_outputs = True
    tangent: TangentFeatures

    @cached_property
    def of_outputs(self) -> np.ndarray:
        """ΦΦᵀ + ZZᵀ, (n, n), formed when it is first needed."""
        return output_kernel(self.tangent)


class DenseSystem(WeighsOutputs):
    """S formed and factorised once for each curvature and shift.

    A kernel in float32 is factorised so where the shift lifts its spectrum far above rounding errors.

    Parameters
    ----------
    tangent : TangentFeatures
        The Jacobian's factors.
    """

    def __init__(self, tangent: TangentFeatures):
        self.tangent = tangent
        self.K = joint_kernel(tangent)
        self._least_single = LIMITS.single_penalty * float(np.mean(self.K.diagonal(), dtype=np.float64))
        self._factor: tuple | None = None
        self._of: Key | None = None

    def _weighted(self, ratio: float, dtype) -> np.ndarray:
        """Return J D Jᵀ, (k n, k n), in the given precision if it is not K."""
        if ratio == 1:
            return self.K
        k, n = self.tangent.shape
        K, added = self.K.astype(dtype), (ratio - 1) * self.of_outputs.astype(dtype)
        for c in range(k):
            K[c * n : (c + 1) * n, c * n : (c + 1) * n] += added
        return K

    def solve(self, b: np.ndarray, curvature: Curvature, shift: float, ratio: float = 1.0) -> np.ndarray:
        """Return v = (LᵀKL + shift I)⁻¹ b, (n, k), with K = J D Jᵀ."""
        key = Key(curvature, shift, ratio)
        if self._factor is None or not key.is_that_of(self._of):
            least = self._least_single * ratio * max(1.0, float(np.mean(curvature.scale**2)))
            single = self.K.dtype == np.float32 and shift >= least
            dtype = np.float32 if single else np.float64
            S = _weighted_by_curvature(self._weighted(ratio, dtype), curvature, dtype)
            self._factor = cho_factor(
                raise_diagonal(S, shift), lower=True, overwrite_a=True, check_finite=False
            )
            self._of = key
        right = b.ravel(order="F").astype(self._factor[0].dtype, copy=False)
        v = cho_solve(self._factor, right, check_finite=False)
        return v.astype(b.dtype, copy=False).reshape(b.shape, order="F")


class IterativeSystem(WeighsOutputs, ProductSystem):
    """Conjugate gradients to a relative residual, preconditioned by one kernel for all outputs.

    Parameters
    ----------
    tangent : TangentFeatures
        The Jacobian's factors.
    kernel : (n, n) float64 array
        The kernel that stands for those of all outputs in the preconditioner.
    rtol : float or None
        Relative residual of solutions; None for `SystemLimits.rtol`.
    """

    def __init__(self, tangent: TangentFeatures, kernel: np.ndarray, rtol: float | None = None):
        super().__init__(tangent, LIMITS.max_iter)
        self.kernel, self.rtol = kernel, LIMITS.rtol if rtol is None else rtol

    def preconditioner(self, curvature: Curvature, shift: float, ratio: float = 1.0) -> Callable:
        """Return Π (Λ + shift I)⁻¹ Π as a function of (n, k) arrays."""
        kernel = self.kernel if ratio == 1 else self.kernel + (ratio - 1) * self.of_outputs
        return shared_kernel_preconditioner(kernel, curvature, shift)

    def accept(self, b: np.ndarray, shift: float) -> Callable:
        """Return whether the residual is small beside b."""
        return below(self.rtol, b)


def tangent_system(
    tangent: TangentFeatures, kernel: np.ndarray | None = None, *, exact: bool = True
) -> TangentSystem:
    """Choose how the systems of a linearisation are solved, by their order k n.

    Parameters
    ----------
    tangent : TangentFeatures
        The Jacobian's factors.
    kernel : (n, n) float64 array or None, default=None
        That of an `IterativeSystem` nearby, which serves again in the preconditioner.
    exact : bool, default=True
        Whether the solution is worth many digits: with a curvature that stays, that of the squared error.
    """
    n_outputs, n = tangent.shape
    if n_outputs * n <= LIMITS.dense:
        return DenseSystem(tangent)
    if by_iteration(n, n_outputs, exact):
        settings = NystroemSettings()
        n_landmarks = settings.n_landmarks if n > LIMITS.factored_rows else LIMITS.few_landmarks
        factor = NystroemFactor.of(tangent, n_landmarks)
        return NystroemSystem(tangent, factor, settings if exact else settings.inexact())
    if kernel is None:
        kernel = kernel_block(tangent).astype(np.float64, copy=False)
    return IterativeSystem(tangent, kernel)


def by_iteration(n: int, k: int, exact: bool) -> bool:
    """Whether the systems of n rows and k outputs are solved to a few digits only, by `NystroemSystem`."""
    return n > LIMITS.factored_rows or (not exact and k * n > LIMITS.dense)


def precision(n: int, m: int, penalty: float, dtype, *, inexact: bool) -> np.dtype:
    """Return the precision that Levenberg-Marquardt steps are computed in.

    float32 halves time and memory where it has the digits: where the systems are solved to a few digits
    only, and where the penalty lifts the kernel's spectrum far above rounding errors, and the residuals
    with it. Small problems are solved to rounding, of float64.

    Parameters
    ----------
    n, m : int
        Rows and width.
    penalty : float
        Relative to the mean of diag K.
    dtype : dtype
        That of the data.
    inexact : bool
        `by_iteration`.
    """
    noisy = penalty >= LIMITS.single_penalty and n * m > LIMITS.small
    return np.dtype(np.float32 if inexact or noisy else dtype)


def _weighted_by_curvature(K: np.ndarray, curvature: Curvature, dtype) -> np.ndarray:
    """Return LᵀKL, (k n, k n)."""
    scale = curvature.scale.ravel(order="F").astype(dtype)
    S = congruent(K, scale)
    if curvature.direction is not None:
        n, k = curvature.scale.shape
        direction = curvature.direction.T.astype(dtype)
        for blocks in (S.reshape(k, n, k * n), S.T.reshape(k, n, k * n)):  # views of rows, of columns
            along = np.einsum("cn,cnj->nj", direction, blocks)
            for c in range(k):
                blocks[c] -= direction[c][:, None] * along
    return S
