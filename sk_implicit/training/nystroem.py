r"""Systems of the tangent kernel for tens of thousands of rows, by products with J and Jᵀ.

For n rows beyond what can be factorised, (S + t I) v = b with S = LᵀKL (see `tangent_system`) is solved
by conjugate gradients. A product with K is one with Jᵀ and one with J: two matrix products of the size
of an iteration of the equilibrium, in float32, in blocks of rows.

**Preconditioner.** l of the rows, drawn at random, are landmarks: with K_nl their columns of the kernel
and K_ll = Q Λ Qᵀ, Nyström's approximation is K ≈ F Fᵀ, F = K_nl Q Λ^{-1/2} [1]_ [2]_, and (Woodbury)

    (L F FᵀL + t I)⁻¹ = (I − L F (FᵀL²F + t I)⁻¹ FᵀL) / t.

F, n × l, is held in float32, but multiplied in float64: in float32 the difference above would lose the
digits that the largest eigenvalues of K leave, some 1e7 t, and with them the sign.

**Where to stop.** The system is the dual of the linearised, penalised least-squares problem. At a v with
residual ρ = b − (S + t I) v the duality gap is ½‖ρ‖² exactly, and the loss that is left is ½‖ρ + t v‖² =
½‖ρ‖² + ½‖t v‖², since conjugate gradients keep ρ orthogonal to v. So ‖ρ‖ ≤ ε ‖t v‖ means that the step
is within a fraction ε² of the loss of the best one there is, whatever the conditioning of K.

References
----------
.. [1] C. K. I. Williams and M. Seeger, "Using the Nyström method to speed up kernel machines", 2000.
.. [2] Z. Frangella, J. A. Tropp and M. Udell, "Randomized Nyström preconditioning", SIAM J. Matrix
   Anal. Appl. 44, 2023.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import eigh

from .._numerics.blocks import equal_blocks, low_rank_blocks, sample_rows
from ..function_space.losses import Curvature
from ..function_space.precondition import low_rank_preconditioner
from ..network.tangent import TangentFeatures, mean_kernel
from .product_system import ProductSystem


@dataclass(frozen=True, slots=True)
class NystroemSettings:
    """How exact steps are for tens of thousands of rows.

    Attributes
    ----------
    n_landmarks : int
        n × l float32 numbers, 100 MB for 50,000 rows. The factor is computed anew for every linearisation, at
        the price of four iterations: the largest eigenvalues of K, some 1e6 t, move.
    rtol, rtol_of_changing : float
        ε above; the second is for a curvature that will have changed after the step.
    max_iter : int
        The most iterations: an inexact step is still a step.
    least_residual : float
        Residuals this small relative to b are not reduced further, whatever is left of the loss.
    rank : float
        Eigenvalues of K_ll relative to the largest that are taken for rounding errors of float32.
    """

    n_landmarks: int = 500
    rtol: float = 0.1
    rtol_of_changing: float = 0.5
    max_iter: int = 60
    least_residual: float = 1e-3
    rank: float = 1e-6

    def inexact(self) -> NystroemSettings:
        """Return the settings for a curvature that will have changed after the step."""
        return replace(self, rtol=self.rtol_of_changing)


_DEFAULT = NystroemSettings()


class NystroemFactor:
    """F with K ≈ F Fᵀ (see `function_space.precondition.LowRank`).

    Parameters
    ----------
    F : (n, l) float32 array
        The factor.
    """

    def __init__(self, F: np.ndarray):
        self.F = F

    @classmethod
    def of(cls, tangent: TangentFeatures, n_landmarks: int = _DEFAULT.n_landmarks) -> NystroemFactor:
        """Compute the factor from randomly drawn landmarks, the same for every call."""
        _, n = tangent.shape
        rows = sample_rows(n, n_landmarks)
        landmarks = tangent.take(rows)
        values, Q = eigh(mean_kernel(landmarks).astype(np.float64, copy=False), check_finite=False)
        kept = values > _DEFAULT.rank * values[-1]
        root = (Q[:, kept] / np.sqrt(values[kept])).astype(np.float32)
        F = np.empty((n, root.shape[1]), np.float32)
        for part in equal_blocks(n, max(tangent.network.shape.m, len(rows))):
            K = mean_kernel(tangent.take(part), landmarks)
            np.matmul(K.astype(np.float32, copy=False), root, out=F[part])
        return cls(F)

    def gram(self, scale: np.ndarray) -> np.ndarray:
        """Return Fᵀ diag(scale)² F in float64, (l, l)."""
        G = np.zeros((self.F.shape[1],) * 2)
        for rows in low_rank_blocks(len(self.F)):
            F = self.F[rows] * scale[rows, None]
            G += F.T @ F
        return G

    def transposed_times(self, V: np.ndarray) -> np.ndarray:
        """Return Fᵀ V in float64, (l, k)."""
        return sum(self.F[rows].T.astype(np.float64) @ V[rows] for rows in low_rank_blocks(len(self.F)))

    def times(self, U: np.ndarray) -> np.ndarray:
        """Return F U in float64, (n, k)."""
        return np.concatenate([self.F[rows].astype(np.float64) @ U for rows in low_rank_blocks(len(self.F))])


class NystroemSystem(ProductSystem):
    """Conjugate gradients to a relative duality gap, preconditioned by Nyström's approximation.

    Parameters
    ----------
    tangent : TangentFeatures
        The Jacobian's factors.
    factor : NystroemFactor
        Factor of the kernel that stands for those of all outputs in the preconditioner.
    settings : NystroemSettings
        Where to stop.
    """

    weighs_outputs = False

    def __init__(
        self, tangent: TangentFeatures, factor: NystroemFactor, settings: NystroemSettings = _DEFAULT
    ):
        super().__init__(tangent, settings.max_iter)
        self.factor, self.settings = factor, settings

    def preconditioner(self, curvature: Curvature, shift: float, ratio: float = 1.0) -> Callable:
        """Return the map r ↦ M r on (n, k) arrays, M as in the module's head; ratio is 1."""
        assert ratio == 1, "the preconditioner is for weights that all have the same shift"
        return low_rank_preconditioner(self.factor, curvature, shift)

    def accept(self, b: np.ndarray, shift: float) -> Callable:
        """Return whether the duality gap is a fraction ε² of the loss at most."""
        least = self.settings.least_residual * float(np.linalg.norm(b))
        step = self.settings.rtol * shift
        return lambda v, residual: np.linalg.norm(residual) <= max(step * float(np.linalg.norm(v)), least)
