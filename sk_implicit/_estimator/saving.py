"""The form of plain values that fits have in pickles.

A pickle (and a skops file, which trusts no type that it does not know) is to hold arrays, numbers,
strings, lists and dicts only. Records of this package are therefore written as dicts of their fields and
a short tag, and made again from them. Only what has a tag is made: a file cannot ask for anything else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from enum import Enum
from typing import Any

from scipy.sparse import csr_array, issparse

from ..function_space.penalty import Optimism, Penalty
from ..inputs.encoding import PiecewiseLinear
from ..inputs.scaling import InputScaling
from ..inputs.table import Table
from ..inputs.targets import ClassScaling, TargetScaling
from ..models import FitState, Stream
from ..network import Network, Shape
from ..training import History, TrainingState, TrainingStatus
from ..training.adam import AdamState
from ..training.gradient_descent import GDState
from ..training.lbfgs import LBFGSState
from ..training.lm import LMState
from ..training.recursive import Information

# Key of a record's tag, and the tag of sparse arrays.
_CLASS, _CSR = "class", "csr"


# What stands for the class of a record in a pickle: wherever a record is moved, its tag stays.
_RECORDS: dict[str, type] = {
    "fit": FitState,
    "inputs": InputScaling,
    "encoding": PiecewiseLinear,
    "table": Table,
    "targets": TargetScaling,
    "classes": ClassScaling,
    "network": Network,
    "penalty": Penalty,
    "optimism": Optimism,
    "training": TrainingState,
    "history": History,
    "status": TrainingStatus,
    "lm": LMState,
    "gd": GDState,
    "adam": AdamState,
    "lbfgs": LBFGSState,
    "stream": Stream,
    "information": Information,
}
_TAGS = {cls: tag for tag, cls in _RECORDS.items()}
# What 0.1 wrote before there were tags, for one release.
_BEFORE_TAGS = {
    "sk_implicit._fit_state:FitState": "fit",
    "sk_implicit.scaling:InputScaling": "inputs",
    "sk_implicit.encoding:PiecewiseLinear": "encoding",
    "sk_implicit.scaling:TargetScaling": "targets",
    "sk_implicit.scaling:ClassScaling": "classes",
    "sk_implicit.network:Network": "network",
    "sk_implicit.training.penalty:Penalty": "penalty",
    "sk_implicit.training.records:TrainingState": "training",
    "sk_implicit.training.records:History": "history",
    "sk_implicit.training.records:Status": "status",
    "sk_implicit.training.lm:LMState": "lm",
    "sk_implicit.training.gradient_descent:GDState": "gd",
    "sk_implicit.training.adam:AdamState": "adam",
    "sk_implicit.training.lbfgs:LBFGSState": "lbfgs",
    "scipy.sparse:csr_array": "csr",
}
# Parameters that 0.1 did not have, as it worked.
AS_IT_WAS = {
    "standardize": False,
    "categorical_features": None,
    "loss": "squared_error",
    "quantile": 0.5,
}


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
    if type(value) not in _TAGS:
        return value
    tag = {_CLASS: _TAGS[type(value)]}
    if isinstance(value, Network):
        sizes = {"shape": list(value.shape), "gamma": value.gamma, "depth": value.depth}
        return tag | {"theta": value.theta} | sizes
    if isinstance(value, Enum):
        return tag | {"value": value.value}
    return tag | {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}


def from_plain(value: Any) -> Any:
    """Return the record that `to_plain` made ``value`` from.

    Raises
    ------
    ValueError
        If a tag is not that of a record, or its fields are others than the record has.
    """
    if not isinstance(value, dict):
        return value
    parts = {name: from_plain(part) for name, part in value.items() if name != _CLASS}
    if _CLASS not in value:
        return parts
    name = value[_CLASS]
    tag = _BEFORE_TAGS.get(name, name) if isinstance(name, str) else name
    if tag != _CSR and (not isinstance(tag, str) or tag not in _RECORDS):
        raise _unreadable(f"names {name!r}, which is no record of this version of sk_implicit")
    try:
        return _csr(**parts) if tag == _CSR else _made(_RECORDS[tag], parts)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise _unreadable(f"has a {tag!r} that this version of sk_implicit cannot read ({error})") from error


def _made(cls: type, parts: dict[str, Any]) -> Any:
    """Return a record of its fields."""
    if cls is Network:
        shape = Shape(*parts.pop("shape"))
        return Network.from_theta(parts.pop("theta"), shape, **parts)
    return cls(**parts)


def _csr(data, indices, indptr, shape) -> csr_array:
    """Return a sparse array whose indices lie within it."""
    array = csr_array((data, indices, indptr), shape=tuple(shape))
    array.check_format(full_check=True)
    return array


def _unreadable(what: str) -> ValueError:
    return ValueError(
        f"The state that was saved {what}. Refit the estimator, or load it with the version that saved it."
    )


def published_names(state: Iterable[str]) -> tuple[str, ...]:
    """Return which attributes of an estimator that 0.1 saved a fit had published; later ones say so."""
    of_validation = ("n_features_in_", "feature_names_in_", "n_outputs_", "classes_")
    records = ("_training", "_posterior", "_inputs", "_squared_error")
    return tuple(
        name for name in state if name in records or (name.endswith("_") and name not in of_validation)
    )
