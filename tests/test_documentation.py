"""What the docstrings say is so: defaults, parameters, attributes."""

import ast
import importlib
import inspect
import pkgutil
import re

import numpy as np
import pandas as pd
import pytest
from problems import regression

import sk_implicit
from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor

MODULES = [
    importlib.import_module(info.name) for info in pkgutil.walk_packages(sk_implicit.__path__, "sk_implicit.")
] + [sk_implicit]
ENTRY = re.compile(r"^(?P<names>\*{0,2}\w+(?:, \*{0,2}\w+)*) : (?P<text>.*)$")


def documented():
    """Yield every function, class and method of the package that has a section of parameters."""
    for module in MODULES:
        for name, thing in vars(module).items():
            if getattr(thing, "__module__", None) != module.__name__:
                continue
            yield f"{module.__name__}.{name}", thing
            if inspect.isclass(thing):
                for method, function in vars(thing).items():
                    function = getattr(function, "__func__", function)
                    if inspect.isfunction(function):
                        yield f"{module.__name__}.{name}.{method}", function


def section(thing, title):
    """Return the (name, text) entries of a section of a numpydoc docstring."""
    lines = inspect.cleandoc(thing.__doc__ or "").splitlines()
    entries, inside = [], False
    for line, following in zip(lines, [*lines[1:], ""]):
        if following and set(following) == {"-"} and line:
            inside = line == title
        elif inside and (match := ENTRY.match(line)):
            entries += [(name.strip("* "), match["text"]) for name in match["names"].split(",")]
    return entries


WITH_PARAMETERS = {
    name: thing for name, thing in documented() if callable(thing) and section(thing, "Parameters")
}


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_documented_parameters_and_defaults_are_those_of_the_signature(name):
    thing = WITH_PARAMETERS[name]
    parameters = dict(inspect.signature(thing).parameters)
    for parameter, text in section(thing, "Parameters"):
        assert parameter in parameters, f"{parameter} is documented but not taken"
        default = parameters[parameter].default
        said = re.search(r"default=(.*)$", text)
        if said is None:
            continue
        try:
            value = ast.literal_eval(said[1].rstrip("."))
        except (ValueError, SyntaxError):
            value = said[1]
        if isinstance(value, str) and callable(default):
            default = getattr(default, "__name__", default)
        assert value == default or str(value) == str(default), f"{parameter}: {said[1]} and {default}"


def test_enough_is_documented_for_this_test_to_mean_something():
    assert len(WITH_PARAMETERS) > 40


@pytest.mark.parametrize("cls", [ImplicitReLURegressor, ImplicitReLUClassifier])
def test_estimator_documents_every_parameter_with_its_default_in_order(cls):
    entries = section(cls, "Parameters")
    assert [name for name, _ in entries] == list(inspect.signature(cls).parameters)
    assert all("default=" in text for _, text in entries)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("cls", [ImplicitReLURegressor, ImplicitReLUClassifier])
def test_estimator_documents_every_fitted_attribute_and_no_other(cls):
    X, y = regression(k=2)
    X = pd.DataFrame(X, columns=list("abcd"))
    kinds = [{"early_stopping": True}, {"uncertainty": True}, {"width": np.inf}]
    if cls is ImplicitReLUClassifier:
        y, kinds = y[:, 0] > 0, [{"early_stopping": True}, {"loss": "squared_error"}, {"width": np.inf}]
        kinds.append({"relevance": "auto"})
    present = set()
    for settings in kinds:
        model = cls(**({"width": 20, "max_iter": 2} | settings)).fit(X, y)
        present |= {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}
    assert present == {name for name, _ in section(cls, "Attributes")}
