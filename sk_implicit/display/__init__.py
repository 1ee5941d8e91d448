"""Pictures of training and of the tangent kernel, in scikit-learn's manner; they need matplotlib."""

from .convergence import ConvergenceDisplay
from .spectrum import SpectrumDisplay
from .width import WidthDisplay

__all__ = ["ConvergenceDisplay", "SpectrumDisplay", "WidthDisplay"]
