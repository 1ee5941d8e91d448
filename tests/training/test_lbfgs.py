"""The line search of L-BFGS."""

from types import SimpleNamespace

import numpy as np
import pytest

from sk_implicit.training.lbfgs import LBFGS, LBFGSState


@pytest.mark.parametrize(("decrease", "length"), [(1.2e-4, 1.0), (0.9e-4, 0.5), (0.4e-4, 0.25)])
def test_a_step_has_to_gain_a_ten_thousandth_of_what_the_slope_promises(decrease, length):
    """Armijo's condition with a slope of -1: every step gains as much, shorter ones are asked for less."""

    def point(theta, value):
        return SimpleNamespace(network=SimpleNamespace(theta=theta), value=value)

    objective = SimpleNamespace(
        gradient=lambda point, near: (np.array([1.0, 0.0]), ()),
        evaluate=lambda theta, near: point(theta, 3.0 - decrease),
        admits=lambda point: True,
    )
    none = np.empty((0, 2))
    new, _, taken = LBFGS().step(objective, point(np.zeros(2), 3.0), LBFGSState(none, none, 1.0))
    assert taken == length
    np.testing.assert_array_equal(new.network.theta, [-length, 0])
