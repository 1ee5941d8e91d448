"""The suite itself: which skips it lets pass, and that CI runs what an environment skips."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import refuse

ROOT = Path(__file__).parent.parent
RUN = ROOT / ".ci" / "run"


@pytest.mark.parametrize(
    ("allowed", "outcome"),
    [("", "skipped"), ("import '(mypy|dask)'|other", "skipped"), ("^$", "failed"), ("dask", "failed")],
)
def test_a_skip_fails_where_its_reason_is_not_named(allowed, outcome):
    report = SimpleNamespace(
        skipped=True, outcome="skipped", longrepr=("file", 3, "Skipped: could not import 'mypy'")
    )
    config = SimpleNamespace(getoption={"--may-skip": allowed}.get)
    assert refuse(report, config).outcome == outcome
    assert ("mypy" in report.longrepr) == (outcome == "failed")


@pytest.mark.skipif(not RUN.exists(), reason="the source distribution has no CI")
def test_ci_runs_what_the_tests_skip():
    run = RUN.read_text(encoding="utf-8")
    for environment in ("py", "lint", "types", "quickstart", "interop", "docs"):
        assert f"tox run -e {environment}\n" in run
