"""What is shipped: the wheel, the source distribution, and how long importing takes."""

import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

built = pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="no source tree to build from")


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """Build both distributions with the backend itself: no environment, no network."""
    pytest.importorskip("hatchling")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


@built
def test_wheel_is_small_and_holds_the_package_only(distributions):
    wheel, _ = distributions
    assert wheel.stat().st_size < 400 * 1024
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"sk_implicit"}
    assert "sk_implicit/py.typed" in names
    assert not [name for name in names if "test" in Path(name).parts[-1] and name.endswith(".py")]
    shipped = {name for name in names if name.endswith(".py")}
    assert shipped == {str(path.relative_to(ROOT)) for path in (ROOT / "sk_implicit").rglob("*.py")}


@built
def test_twine_accepts_both(distributions):
    pytest.importorskip("twine")
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, distributions)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert result.stdout.count("PASSED") == 2


@built
def test_wheel_runs_in_a_fresh_directory(distributions, tmp_path):
    wheel, _ = distributions
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import numpy as np, sk_implicit\n"
        "X = np.random.RandomState(0).standard_normal((20, 2))\n"
        "model = sk_implicit.ImplicitReLURegressor(width=10, random_state=0).fit(X, X[:, 0])\n"
        "assert model.score(X, X[:, 0]) > 0.9\n"
        "print(sk_implicit.__file__)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-c", code]
    output = subprocess.run(
        command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert Path(output.stdout.strip()).is_relative_to(tmp_path)


def test_it_needs_four_packages():
    needed = {re.match(r"[\w-]+", line)[0] for line in requires("sk-implicit") if "extra ==" not in line}
    assert needed == {"numpy", "scipy", "scikit-learn", "joblib"}


# scikit-learn's base, and from 1.9 on its callbacks, which draw in rich where it is installed
BASE = (
    "import contextlib, sys, time, sklearn.base\n"
    "with contextlib.suppress(ImportError): import sklearn.callback\n"
)


def run(code: str, tmp_path: Path) -> str:
    """Run code in a new interpreter that keeps its bytecode in ``tmp_path``."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(tmp_path)
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def test_importing_is_quick(tmp_path):
    """Beside what scikit-learn's base takes in the same process, so that slow and busy machines agree."""
    code = (
        "import time\nstart = time.process_time()\n"
        f"{BASE}between = time.process_time()\n"
        "import sk_implicit\n"
        "print((time.process_time() - between) / (between - start))\n"
    )
    run(code, tmp_path)  # compiles
    assert min(float(run(code, tmp_path)) for _ in range(5)) < 0.15


def test_importing_draws_nothing_heavy_in(tmp_path):
    code = (
        f"{BASE}before = set(sys.modules)\n"
        "import sk_implicit\n"
        "heavy = ('matplotlib', 'pandas', 'polars', 'skops', 'onnx', 'skl2onnx', 'sklearn.metrics', 'rich')\n"
        "print([name for name in heavy if name in set(sys.modules) - before])\n"
    )
    assert run(code, tmp_path).strip() == "[]"
