"""Warnings that point to the user's line, however many frames lie between."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from pathlib import Path

import joblib
import sklearn

# Files of frames that are not the user's.
_INTERNAL = (
    *(
        str(Path(str(module.__file__)).parent) + os.sep
        for module in (sys.modules[__name__.partition(".")[0]], sklearn, joblib)
    ),
    contextlib.__file__,
)


def warn(text: str, category: type[Warning]) -> None:
    """Warn at the innermost line outside of this package, scikit-learn and joblib."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INTERNAL):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)
