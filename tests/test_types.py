"""Types, as a user's own checker sees them."""

import subprocess
import sys
from pathlib import Path

import pytest

SETTINGS = """
[mypy]
strict = True
[mypy-sklearn.*,scipy.*,joblib.*,matplotlib.*,onnx.*,skl2onnx.*]
ignore_missing_imports = True
[mypy-sk_implicit.*]
follow_imports = silent
"""


def check(code: Path, folder: Path) -> str:
    """Run mypy as strictly as it can be on a user's module, with the settings of a user."""
    (folder / "mypy.ini").write_text(SETTINGS)
    command = [sys.executable, "-m", "mypy", "--config-file", str(folder / "mypy.ini"), str(code)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    pytest.importorskip("mypy")
    monkeypatch.setenv("MYPYPATH", str(Path(__file__).parent.parent))
    monkeypatch.setenv("MYPY_CACHE_DIR", str(tmp_path))


def test_user_code_is_accepted(tmp_path):
    assert check(Path(__file__).parent / "user_code.py", tmp_path).startswith("Success")


def test_wrong_user_code_is_not(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from sk_implicit import ImplicitReLURegressor\n"
        "model = ImplicitReLURegressor(hidden=3)\n"
        "text: str = model.predict([[1.0]])\n"
        "mean, std = model.predict([[1.0]], return_std=True)\n"
        "number: int = std\n"
    )
    report = check(wrong, tmp_path)
    assert 'Unexpected keyword argument "hidden"' in report
    assert "Found 3 errors" in report
