r"""What is believed of the features' scales before the likelihood is heard (see `inputs.relevance`).

Log scales are normal a priori, t ~ N(0, τ² C), and count from a size that the user's columns set but for
indicators. A column of two values gets the size

    (4 p (1 − p))^¼,        p: the share of one of them, between 0.001 and 0.999,

1 where the two are balanced: standardised to variance 1, an indicator of a rare level would put the few rows
that have it far away from all others. A column that varies, but not on the sample of rows that is looked at,
is taken for an indicator of the smallest size.

C holds that what features have in common, their scales have, too. Of two scales let one be that of feature f
and the other that of feature g, and R be the correlations of the features: then C is

    (1 − κ) R_fg²,        times λ where one is of the feature itself and the other of its encoded columns,

and 1 on the diagonal. It is positive definite: entry by entry, products of covariance matrices are positive
semi-definite, and κ is added to the diagonal. Of several features that say the same, a likelihood with a
scale of its own for each picks one or another by chance; here they rise and fall together. In t = C^½ u, the
prior is that of independent u ~ N(0, τ²). With the symmetric root, u and bounds on it follow the order of the
features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from .._numerics.ranges import centred


@dataclass(frozen=True, slots=True)
class PriorSettings:
    """The prior's constants; chosen on the development tables where nothing is said.

    Attributes
    ----------
    std : float
        Standard deviation τ of log scales.
    own, encoded : float
        Share κ of its variance that a log scale has to itself, and factor λ between a feature and encoded
        columns.
    features : int
        Features beyond which scales are independent: the factorisation would cost more than the likelihood.
    rarity, rarest : float
        Power of 4 p (1 − p), and the least p: half a row of the 500 that are looked at.
    """

    std: float = 0.7
    own: float = 0.5
    encoded: float = 0.5
    features: int = 512
    rarity: float = 0.25
    rarest: float = 1e-3


SETTINGS = PriorSettings()


@dataclass(frozen=True, slots=True)
class ScalePrior:
    """The prior of g log scales t = C^½ u.

    Attributes
    ----------
    root : (g, g) array or None
        C^½, symmetric; None stands for the identity.
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
        if d > SETTINGS.features:
            return cls()
        features, _, _, size = centred(X, weights)
        features *= np.sqrt(weights / weights.sum())[:, None]
        features /= np.where(size > 0, size, 1.0)
        alike = (features.T @ features) ** 2
        feature = np.append(np.arange(d), encoded)
        is_encoded = np.arange(len(feature)) >= d
        C = (1 - SETTINGS.own) * alike[np.ix_(feature, feature)]
        C *= np.where(is_encoded[:, None] == is_encoded, 1.0, SETTINGS.encoded)
        C[np.diag_indices(len(C))] = 1.0
        values, vectors = eigh(C)
        return cls((vectors * np.sqrt(values)) @ vectors.T)

    def log_scales(self, u: np.ndarray) -> np.ndarray:
        """Return t = C^½ u, (g,)."""
        return u if self.root is None else self.root @ u

    def by_u(self, by_log_scales: np.ndarray) -> np.ndarray:
        """Return the derivatives by u of what has the given ones by t, (g,)."""
        return by_log_scales if self.root is None else self.root @ by_log_scales


def indicator_sizes(X: np.ndarray, weights: np.ndarray, varies: np.ndarray) -> np.ndarray:
    """Return the size of every column, (d,): 1 but for those of two values.

    Parameters
    ----------
    X : (n, d) array
        The features, of all rows or a sample.
    weights : (n,) array
        Positive sample weights.
    varies : (d,) bool array
        Columns that are not constant over all rows.
    """
    low, high = X.min(axis=0), X.max(axis=0)
    is_low, is_high = low == X, high == X
    # each level's own sum: of a weight of 1e-17 nothing is left in one minus the others
    lower, upper = (weights @ level / weights.sum() for level in (is_low, is_high))
    rare = np.clip(np.where(low < high, np.minimum(lower, upper), 0.0), SETTINGS.rarest, 0.5)
    two = varies & np.all(is_low | is_high, axis=0)
    return np.where(two, (4 * rare * (1 - rare)) ** SETTINGS.rarity, 1.0)
