"""Settings of the whole suite."""

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
