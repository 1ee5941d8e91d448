"""What ``warm_start`` keeps between two fits, and the form of plain values that fits have in pickles.

A pickle (and a skops file, which trusts no type that it does not know) is to hold arrays, numbers,
strings, lists and dicts only. Records of this package are therefore written as dicts of their fields,
with the name of their class, and made again from them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from importlib import import_module
from typing import Any

from scipy.sparse import csr_array, issparse

from .network import Network, Shape
from .scaling import ClassScaling, InputScaling, TargetScaling
from .training import TrainingState
from .training.penalty import Penalty

_PACKAGE = __name__.partition(".")[0]
_CLASS = "class"
_CSR = "scipy.sparse:csr_array"


@dataclass(slots=True)
class FitState:
    """A fit that can be continued: all that is fixed at its start, and where it got to.

    Attributes
    ----------
    inputs, target : InputScaling, and TargetScaling or ClassScaling
        Scales measured on the first training rows.
    start : Network
        The network before the first step, θ₀.
    penalty : Penalty or None
        The penalty, once it is chosen.
    solver : str
        The training solver that ``state`` belongs to.
    settings : dict
        Parameters of the estimator that only the start reads, as they were.
    split_seed : int or None
        Seed of the rows that are held out, once some are: the same in fits that continue.
    state : TrainingState or None
        Weights, history and the solver's memory; None before the first step.
    """

    inputs: InputScaling
    target: TargetScaling | ClassScaling
    start: Network
    solver: str
    settings: dict[str, Any]
    split_seed: int | None = None
    penalty: Penalty | None = None
    state: TrainingState | None = None

    def copied(self) -> FitState:
        """Return a fit to continue without a trace in this one; arrays are shared, and never written to."""
        state = None if self.state is None else self.state.copied()
        return replace(self, settings=dict(self.settings), state=state)


def to_plain(value: Any) -> Any:
    """Return a record of this package, or a sparse array, as nested dicts of plain values.

    Plain values are left as they are, and so are those of a dict.
    """
    if issparse(value):
        value = csr_array(value)
        parts = {name: getattr(value, name) for name in ("data", "indices", "indptr")}
        return {_CLASS: _CSR, "shape": list(value.shape), **parts}
    if isinstance(value, dict):
        return {name: to_plain(part) for name, part in value.items()}
    if isinstance(value, Network):
        sizes = {"shape": list(value.shape), "gamma": value.gamma, "depth": value.depth}
        return {_CLASS: _name(value), "theta": value.theta} | sizes
    if isinstance(value, Enum):
        return {_CLASS: _name(value), "value": value.value}
    if is_dataclass(value):
        return {_CLASS: _name(value)} | {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    return value


def from_plain(value: Any) -> Any:
    """Return the record that `to_plain` made ``value`` from.

    Raises
    ------
    ValueError
        If the class that is named is not a record of this package.
    """
    if not isinstance(value, dict):
        return value
    parts = {name: from_plain(part) for name, part in value.items() if name != _CLASS}
    if _CLASS not in value:
        return parts
    if value[_CLASS] == _CSR:
        return csr_array((parts["data"], parts["indices"], parts["indptr"]), shape=tuple(parts["shape"]))
    cls = _class(value[_CLASS])
    if cls is Network:
        return Network.from_theta(parts["theta"], Shape(*parts["shape"]), parts["gamma"], parts["depth"])
    try:
        return cls(**parts)
    except TypeError:  # other fields
        raise _unknown(value[_CLASS]) from None


def _name(value) -> str:
    return f"{type(value).__module__}:{type(value).__qualname__}"


def _class(name: str) -> type:
    """Return the class that is named, which must be a record of this package."""
    module, _, qualname = name.partition(":")
    cls = None
    if module.partition(".")[0] == _PACKAGE:
        cls = getattr(import_module(module), qualname, None)
    if not (isinstance(cls, type) and (cls is Network or is_dataclass(cls) or issubclass(cls, Enum))):
        raise _unknown(name)
    return cls


def _unknown(name: str) -> ValueError:
    return ValueError(
        f"The state kept for warm_start names {name!r}, which is no record of this version of "
        f"{_PACKAGE}. Refit the estimator, or load it with the version that saved it."
    )
