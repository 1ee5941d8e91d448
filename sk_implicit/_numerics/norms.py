"""Norms of rows, whatever the range of their entries."""

from __future__ import annotations

import numpy as np


def row_norms(X: np.ndarray) -> np.ndarray:
    """Euclidean norms of the rows."""
    return np.sqrt(np.einsum("ij,ij->i", X, X))
