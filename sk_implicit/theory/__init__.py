"""The theory made checkable: certificates, Gram matrices, rates, margins, and advice on the width."""

from ._certificate import ConvergenceCertificate
from ._convergence import convergence_certificate
from ._inputs import ClosestPair, closest_pair, lambda_0, limit_gram
from ._margin import tangent_margin
from ._rates import certified_rate, linearised_rate, observed_rate
from ._states import network_inputs, tangent_kernel
from ._well_posedness import WellPosedness, well_posedness
from ._width import WidthAdvice, recommend_width

__all__ = [
    "ClosestPair",
    "ConvergenceCertificate",
    "WellPosedness",
    "WidthAdvice",
    "certified_rate",
    "closest_pair",
    "convergence_certificate",
    "lambda_0",
    "limit_gram",
    "linearised_rate",
    "network_inputs",
    "observed_rate",
    "recommend_width",
    "tangent_kernel",
    "tangent_margin",
    "well_posedness",
]
