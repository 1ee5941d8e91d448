r"""What is believed of the features' scales before the likelihood is heard (see `sk_implicit.relevance`).

Log scales are normal a priori, t ~ N(0, τ² C), and count from a size that the user's columns set but for
indicators. A column of two values gets the size

    (4 p (1 − p))^¼,        p: the share of one of them,

1 where the two are balanced: standardised to variance 1, an indicator of a rare level would put the few rows
that have it far away from all others. A column that is constant on a sample of the rows counts as an
indicator that is rarer than one row of it.

C holds that what features have in common, their scales have, too. With R the correlations of the features,

    C_jk = κ δ_jk + (1 − κ) R_jk²,        times λ between a feature itself and an encoded one.

C is positive definite, as products of covariance matrices, entry by entry, are. Of several features that say
the same, a likelihood with a scale of its own for each picks one or another by chance; here they rise and
fall together. In t = L u, L Lᵀ = C, the prior is that of independent u ~ N(0, τ²).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky

# Standard deviation τ of log scales.
STD = 0.7
# Share κ of their variance that a feature has to itself, and λ: what it shares with encoded columns.
_OWN, _ENCODED = 0.5, 0.5
# Features beyond which scales are independent: the factorisation would cost more than the likelihood.
_MAX_FEATURES = 512
# Power of 4 p (1 − p).
_RARITY = 0.25


@dataclass(frozen=True, slots=True)
class ScalePrior:
    """The prior of g log scales t = L u.

    Attributes
    ----------
    root : (g, g) array or None
        Lower triangular L; None stands for the identity.
    """

    root: np.ndarray | None = None

    @classmethod
    def of(cls, X: np.ndarray, weights: np.ndarray, encoded: np.ndarray) -> ScalePrior:
        """Measure the correlations of features.

        Parameters
        ----------
        X : (n, d) array
            The features themselves.
        weights : (n,) array
            Positive sample weights.
        encoded : (e,) int array
            Features whose encoded columns have a scale next to the d scales of the features, in their order.
        """
        d = X.shape[1]
        if d > _MAX_FEATURES:
            return cls()
        centred, size = _centred(X, weights)
        centred *= np.sqrt(weights / weights.sum())[:, None]
        centred /= size
        alike = (centred.T @ centred) ** 2
        feature = np.append(np.arange(d), encoded)
        is_encoded = np.arange(len(feature)) >= d
        C = (1 - _OWN) * alike[np.ix_(feature, feature)]
        C *= np.where(is_encoded[:, None] == is_encoded, 1.0, _ENCODED)
        C[np.diag_indices(len(C))] = 1.0
        return cls(cholesky(C, lower=True))

    def log_scales(self, u: np.ndarray) -> np.ndarray:
        """Return t = L u, (g,)."""
        return u if self.root is None else self.root @ u

    def by_u(self, by_log_scales: np.ndarray) -> np.ndarray:
        """Return the derivatives by u of what has the given ones by t, (g,)."""
        return by_log_scales if self.root is None else self.root.T @ by_log_scales


def indicator_sizes(X: np.ndarray, weights: np.ndarray, sampled: bool) -> np.ndarray:
    """Return the size of every column, (d,): 1 but for those of two values.

    Parameters
    ----------
    X : (n, d) array
        The features.
    weights : (n,) array
        Positive sample weights.
    sampled : bool
        Whether there are more rows than these: what is constant here may vary there.
    """
    low, high = X.min(axis=0), X.max(axis=0)
    share = weights @ (high == X) / weights.sum()
    share[low == high] = 0.5 / len(X) if sampled else 0.5
    two = np.all((low == X) | (high == X), axis=0)
    return np.where(two, (4 * share * (1 - share)) ** _RARITY, 1.0)


def _centred(X: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return columns less their means, divided by their largest entries, and their standard deviations.

    Constant columns are 0.
    """
    largest = np.abs(X).max(axis=0)  # squares of 1e200 overflow
    relative = X / np.where(largest > 0, largest, 1.0)
    relative -= np.average(relative, axis=0, weights=weights)
    relative[:, np.ptp(X, axis=0) == 0] = 0
    size = np.sqrt(np.average(relative**2, axis=0, weights=weights))
    return relative, np.where(size > 0, size, 1.0)
