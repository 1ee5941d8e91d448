"""The noise that losses measure their widths by."""

import numpy as np
import pytest
from problems import rows

from sk_implicit.function_space.noise import noise_deviation
from sk_implicit.limit import limit_kernel


@pytest.mark.parametrize("outliers", [0, 10])
def test_noise_is_found_beside_a_function_and_outliers(outliers):
    rng = np.random.RandomState(0)
    X = rows(200, 4, seed=1)
    f = 3 * np.column_stack([X[:, 0], X[:, 1] * X[:, 2]])
    Y = f + [0.2, 0.4] * rng.standard_normal((200, 2))
    Y[:outliers] += 1e6
    noise = noise_deviation(limit_kernel(X, gamma=0.4), Y, np.ones(200))
    # cut outliers still cost the fit something
    assert (noise > [0.15, 0.3]).all() and (noise < (3 if outliers else 1.3) * np.array([0.2, 0.4])).all()
