"""BLAS pools: one at work during a fit, all as before after it."""

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from sk_implicit import ImplicitReLURegressor
from sk_implicit._blas import one_pool


def threads():
    controller = ThreadpoolController().select(user_api="blas")
    return {library.filepath: library.num_threads for library in controller.lib_controllers}


@pytest.fixture
def two_threads():
    """BLAS libraries with two threads each, whatever the environment gave them."""
    with ThreadpoolController().select(user_api="blas").limit(limits=2):
        yield threads()


def test_only_numpys_pool_is_at_work(two_threads):
    with one_pool():
        inside = threads()
    if len(two_threads) == 1:
        assert inside == two_threads
    else:
        assert sorted(inside.values()) == [1] * (len(inside) - 1) + [max(two_threads.values())]
        (busy,) = [path for path, number in inside.items() if number > 1]
        assert busy.startswith(np.__path__[0])
    assert threads() == two_threads


def test_restored_after_an_error(two_threads):
    with pytest.raises(ValueError, match="inside"), one_pool():
        raise ValueError("inside")
    assert threads() == two_threads


def test_fit_restores(two_threads):
    X = np.random.default_rng(0).standard_normal((20, 3))
    ImplicitReLURegressor(width=8, random_state=0).fit(X, X[:, 0])
    assert threads() == two_threads
