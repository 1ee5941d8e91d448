"""Imports run downwards only, and only scikit-learn's face knows scikit-learn or warns."""

import ast
import sys
from pathlib import Path

import pytest

import sk_implicit

PACKAGE = Path(sk_implicit.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up; a module or subpackage imports from the lines above its own only.
LAYERS = [
    ["_version", "_numerics"],
    ["limit", "equilibrium"],
    ["function_space", "network"],
    ["inputs"],
    ["training"],
    ["models"],
    ["theory"],
]
# Estimators, their mixins, the kernel and the displays: the only ones to import scikit-learn or warn.
FACE = [
    "_estimator",
    "_infinite_width",
    "_prediction",
    "_finite_width",
    "_predictive",
    "_clip",
    "_base",
    "regressor",
    "classifier",
    "kernel",
    "display",
    "onnx",
    "__init__",
]


def imports(path):
    """Yield the dotted name of every import in a file, the package's own beginning with a dot."""
    package = [".", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
        elif isinstance(node, ast.ImportFrom):
            parts = package[: len(package) - node.level + 1] + (node.module or "").split(".")
            parts = [part for part in parts if part]
            if node.module:
                yield "/".join(parts)
            else:
                yield from ("/".join([*parts, alias.name]) for alias in node.names)


def unit(name):
    """Return the module or subpackage directly below the package that a file or an import is of."""
    return name.removeprefix("./").split("/")[0].removesuffix(".py")


def name_of(path):
    return path.relative_to(PACKAGE).as_posix()


def test_every_module_has_its_place():
    placed = [name for layer in LAYERS for name in layer] + FACE
    assert len(placed) == len(set(placed))
    assert {unit(name_of(path)) for path in FILES} <= set(placed)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_downwards(path):
    own = unit(name_of(path))
    if own in FACE:
        return
    level = next(i for i, layer in enumerate(LAYERS) if own in layer)
    below = {name for layer in LAYERS[:level] for name in layer} | {own}
    taken = {unit(name) for name in imports(path) if name.startswith("./")}
    assert taken <= below, f"{own} imports {taken - below}, which does not lie below it"


@pytest.mark.parametrize("path", [path for path in FILES if unit(name_of(path)) not in FACE], ids=name_of)
def test_only_the_face_imports_scikit_learn_or_warns(path):
    taken = {name.split(".")[0] for name in imports(path) if not name.startswith("./")}
    assert not taken & {"sklearn", "warnings", "matplotlib", "pandas"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_dependencies_are_the_declared_ones(path):
    allowed = {"numpy", "scipy", "sklearn", "joblib", "matplotlib"}
    if name_of(path) == "_numerics/blas.py":
        allowed |= {"threadpoolctl"}  # every scikit-learn that is supported requires it
    if unit(name_of(path)) == "onnx":
        allowed |= {"onnx", "skl2onnx"}
    taken = {name.split(".")[0] for name in imports(path) if not name.startswith("./")}
    assert taken <= allowed | set(sys.stdlib_module_names)


def test_no_cycle_among_files():
    graph = {}
    for path in FILES:
        targets = set()
        for name in imports(path):
            if name.startswith("./"):
                target = PACKAGE / name.removeprefix("./")
                candidates = (
                    target.with_suffix(".py"),
                    target / "__init__.py",
                    target.parent.with_suffix(".py"),
                )
                targets.update(c for c in candidates[:2] if c.exists())
        graph[path] = targets

    done, active = set(), []

    def visit(path):
        assert path not in active, " -> ".join(name_of(p) for p in [*active, path])
        if path in done:
            return
        active.append(path)
        for target in graph[path]:
            visit(target)
        active.pop()
        done.add(path)

    for path in FILES:
        if path.name != "__init__.py":
            visit(path)


def test_import_of_the_package_needs_no_matplotlib():
    source = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    assert "display" not in source


def test_no_two_classes_have_one_name():
    defined = [
        node.name
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    assert sorted(defined) == sorted(set(defined))
