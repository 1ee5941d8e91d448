"""Warnings that point to the user's line, however many frames lie between."""

from __future__ import annotations

import contextlib
import sys
import warnings
from pathlib import Path

import sklearn

# Files of frames that are not the user's.
_INTERNAL = (str(Path(__file__).parent), str(Path(sklearn.__file__).parent), contextlib.__file__)


def warn(text: str, category: type[Warning]) -> None:
    """Warn at the innermost line outside of this package and scikit-learn."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INTERNAL):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)
