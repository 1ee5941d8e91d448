"""ReLU implicit networks (deep equilibrium models) for scikit-learn."""

from typing import TYPE_CHECKING, Any

from ._version import __version__ as __version__
from .classifier import ImplicitReLUClassifier
from .regressor import ImplicitReLURegressor

if TYPE_CHECKING:
    from .kernel import ImplicitReLUKernel

# All that skops.io.load needs to trust of this package: one type per estimator.
SKOPS_TRUSTED_TYPES = [
    "sk_implicit.regressor.ImplicitReLURegressor",
    "sk_implicit.classifier.ImplicitReLUClassifier",
    "sk_implicit.kernel.ImplicitReLUKernel",
]

__all__ = [
    "SKOPS_TRUSTED_TYPES",
    "ImplicitReLUClassifier",
    "ImplicitReLUKernel",
    "ImplicitReLURegressor",
]


def __getattr__(name: str) -> Any:
    """Import the kernel when it is asked for: it needs all of `sklearn.gaussian_process`."""
    if name == "ImplicitReLUKernel":
        from .kernel import ImplicitReLUKernel

        return ImplicitReLUKernel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
