"""Imports run downwards only, and only scikit-learn's face knows scikit-learn or warns."""

import ast
import runpy
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import sk_implicit

PACKAGE = Path(sk_implicit.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
MAP = Path(__file__).parent.parent / "docs" / "images" / "architecture.svg"

# From the ground up, a floor a line; a room imports from the floors below its own only.
FLOORS = [
    ["_version", "_numerics", "limit"],
    ["equilibrium", "kernel"],
    ["function_space", "network"],
    ["inputs", "training"],
    ["models"],
    ["_estimator"],
    ["theory", "regressor", "classifier"],
    ["display", "onnx", "__init__"],
]
# Who knows scikit-learn, and may warn.
SKLEARN = {"kernel", "_estimator", "regressor", "classifier", "display", "onnx"}
# Who is given estimators, and has no business in their private attributes.
GUESTS = {"theory", "display", "onnx"}


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
    placed = [name for floor in FLOORS for name in floor]
    assert len(placed) == len(set(placed))
    assert {unit(name_of(path)) for path in FILES} == set(placed)


def test_the_house_is_small():
    assert len(list(PACKAGE.glob("*.py"))) <= 5
    assert len(FLOORS) <= 9 and sum(map(len, FLOORS)) <= 18


def test_files_can_be_read_in_one_sitting():
    long = {"regressor.py", "classifier.py"}  # half of them docstrings
    lines = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name for name, n in lines.items() if n > 400} <= long


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_downwards(path):
    own = unit(name_of(path))
    level = next(i for i, floor in enumerate(FLOORS) if own in floor)
    below = {name for floor in FLOORS[:level] for name in floor} | {own}
    if own == "__init__":  # the package's face imports a room of its own floor, when it is asked for
        below |= {"kernel"}
    taken = {unit(name) for name in imports(path) if name.startswith("./")}
    assert taken <= below, f"{own} imports {taken - below}, which does not lie below it"


@pytest.mark.parametrize("path", [p for p in FILES if unit(name_of(p)) not in SKLEARN], ids=name_of)
def test_only_the_face_imports_scikit_learn_or_warns(path):
    taken = {name.split(".")[0] for name in imports(path) if not name.startswith("./")}
    assert not taken & {"sklearn", "warnings", "matplotlib", "pandas"}


def private_reads(source):
    """Yield the private attributes that code reads of anything but itself and modules of its own."""
    tree = ast.parse(source)
    modules = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    own = {"self", "cls", *modules}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = node.attr
            if isinstance(node.value, ast.Name) and node.value.id in own:
                continue
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"getattr", "hasattr", "setattr"}:
            name = getattr(node.args[1], "value", "")
        else:
            continue
        if name.startswith("_") and not name.startswith("__"):
            yield name


def test_private_reads_are_seen():
    source = "def f(estimator):\n    getattr(estimator, '_b')\n    return estimator._a, self._c\n"
    assert sorted(private_reads(source)) == ["_a", "_b"]


@pytest.mark.parametrize("path", [p for p in FILES if unit(name_of(p)) in GUESTS], ids=name_of)
def test_guests_read_no_private_attribute_of_an_estimator(path):
    assert not list(private_reads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_dependencies_are_the_declared_ones(path):
    allowed = {"numpy", "scipy", "sklearn", "joblib", "matplotlib"}
    if name_of(path) == "_numerics/blas.py":
        allowed |= {"threadpoolctl"}  # every scikit-learn that is supported requires it
    if unit(name_of(path)) == "onnx":
        allowed |= {"onnx", "skl2onnx"}
    taken = {name.split(".")[0] for name in imports(path) if not name.startswith("./")}
    assert taken <= allowed | set(sys.stdlib_module_names)


def rooms_and_arrows():
    """Return which room imports from which, arrows that others imply left out, and the rooms' floors."""
    taken = {unit(name_of(path)): set() for path in FILES}
    for path in FILES:
        taken[unit(name_of(path))] |= {unit(name) for name in imports(path) if name.startswith("./")}
    for hidden in ("__init__", "_version"):  # the face, and a line that all may read
        del taken[hidden]
    taken = {room: others & set(taken) - {room} for room, others in taken.items()}

    def below(room):
        return set().union(*({other} | below(other) for other in taken[room]))

    implied = {(room, far) for room in taken for other in taken[room] for far in below(other)}
    return set(taken), {(room, other) for room in taken for other in taken[room]} - implied


@pytest.mark.skipif(not MAP.exists(), reason="the source distribution has no documentation")
def test_the_map_shows_the_rooms_and_the_arrows_that_there_are():
    picture = ElementTree.parse(MAP).getroot()
    shapes = [shape for shape in picture if shape.get("class")]
    rooms = {shape.get("id"): float(shape.get("y")) for shape in shapes if shape.get("class") == "room"}
    drawn = {(s.get("data-from"), s.get("data-to")) for s in shapes if s.get("class") == "arrow"}
    expected = rooms_and_arrows()
    assert (set(rooms), drawn) == expected
    assert all(rooms[upper] < rooms[lower] for upper, lower in drawn)  # downwards, to the eye as well


@pytest.mark.skipif(not MAP.exists(), reason="the source distribution has no documentation")
def test_the_map_is_what_its_program_draws():
    program = runpy.run_path(str(MAP.with_suffix(".py")))
    assert MAP.read_text(encoding="utf-8") == program["draw"]()


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
