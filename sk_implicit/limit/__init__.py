"""The infinite-width network: its kernels, as functions of one cosine and as matrices."""

from .kernels import (
    KernelDerivatives,
    Kind,
    LimitFunctions,
    limit_diagonal,
    limit_functions,
    limit_kernel,
    limit_kernel_derivatives,
)

__all__ = [
    "KernelDerivatives",
    "Kind",
    "LimitFunctions",
    "limit_diagonal",
    "limit_functions",
    "limit_kernel",
    "limit_kernel_derivatives",
]
