"""Settings of the whole suite."""

import re

import pytest
from hypothesis import settings

from sk_implicit.equilibrium import by_sweeps, register, unregister

# Machines are shared and slow at times; a failure must come back in the next run.
settings.register_profile("suite", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("suite")


@pytest.fixture(scope="module")
def outside_solver():
    """Register an equilibrium solver as a user would, half of the way to F(z) in every sweep: its name."""
    register("outside", by_sweeps(lambda problem, Z, image: (Z + image) / 2))
    yield "outside"
    unregister("outside")


def pytest_addoption(parser):
    parser.addoption(
        "--may-skip", default="", metavar="REGEX",
        help="the reasons for which tests may be skipped, searched; any other skip fails (default: all may)",
    )  # fmt: skip


def refuse(report, config):
    """Turn a skip into a failure where its reason is none of those expected."""
    if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        if not re.search(config.getoption("--may-skip"), reason):
            report.outcome = "failed"
            report.longrepr = (
                f"{reason}; not a reason that --may-skip names: install what is missing, or name it"
            )
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    return refuse((yield), item.config)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return refuse((yield), collector.config)
