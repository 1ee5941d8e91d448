"""BLAS pools: one at work during a fit, all as before after it."""

import threading

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from sk_implicit import ImplicitReLURegressor
from sk_implicit._numerics.blas import in_threads, one_pool
from sk_implicit.equilibrium import EquilibriumOptions
from sk_implicit.equilibrium.driver import Driver
from sk_implicit.equilibrium.equations import Equations

# Has blocks solved in threads, however few they are.
IN_THREADS = Driver(threads_from=0.0)


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


def test_threads_take_items_in_order_and_leave_one_thread_each(two_threads):
    """Two items at a time, with the caller's handling of overflow; the pools are as before after it."""
    meet = threading.Barrier(2, timeout=30)

    def function(item):
        meet.wait()
        number = max(number for path, number in threads().items() if path.startswith(np.__path__[0]))
        return item, number, np.geterr()["over"]

    with np.errstate(over="raise"):
        found = list(in_threads(function, [3, 1, 2, 0]))
    assert found == [(item, 1, "raise") for item in (3, 1, 2, 0)]
    assert threads() == two_threads


def test_a_single_item_keeps_all_threads(two_threads):
    assert list(in_threads(lambda item: threads(), [0])) == [two_threads]


def test_errors_in_threads_are_raised_and_pools_restored(two_threads):
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda item: 1 / item, [1, 0]))
    assert threads() == two_threads


def test_an_error_or_a_consumer_that_wants_no_more_ends_it_soon(two_threads):
    seen = []

    def function(item):
        seen.append(item)
        if item == 3:
            raise ValueError("three")
        return item

    results = in_threads(function, range(100))
    assert next(results) == 0
    results.close()
    assert len(seen) < 10
    assert threads() == two_threads
    with pytest.raises(ValueError, match="three"):
        list(in_threads(function, range(100)))
    assert len(seen) < 30
    assert threads() == two_threads


def test_threads_do_not_start_threads(two_threads):
    """Inside, everything is done in turn."""
    numbers = list(
        in_threads(lambda item: {*in_threads(lambda _: threading.get_ident(), range(4))}, range(4))
    )
    assert all(len(number) == 1 for number in numbers)
    assert threads() == two_threads


def test_few_rows_take_the_same_solvers_in_threads(two_threads):
    """Whether the modulus form pays is asked before any block has made what it needs."""
    rng = np.random.default_rng(0)
    A, Phi = rng.standard_normal((520, 520)), rng.standard_normal((60, 520))
    equations, options = Equations.checked("Phi", A, Phi, gamma=1.2), EquilibriumOptions(tol=1e-10)
    in_two = IN_THREADS.solve(equations, options, 20)
    with ThreadpoolController().select(user_api="blas").limit(limits=1):
        in_one = IN_THREADS.solve(Equations.checked("Phi", A, Phi, gamma=1.2), options, 20)
    assert (in_two.n_iter, in_two.solver) == (in_one.n_iter, in_one.solver)
    np.testing.assert_allclose(in_two.solution, in_one.solution, rtol=0, atol=1e-8)


def test_limits_nest_in_any_order(two_threads):
    """A limit that two hold is lifted by the last, whichever that is."""
    first, second = one_pool(), one_pool()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    inside = threads()
    second.__exit__(None, None, None)
    assert len(inside) == 1 or min(inside.values()) == 1
    assert threads() == two_threads


def test_long_equilibria_are_the_same_in_threads(two_threads):
    """Blocks are cut alike with and without threads, so that solutions are equal to the bit."""
    rng = np.random.default_rng(0)
    A, Phi = rng.standard_normal((50, 50)), rng.standard_normal((4000, 50))
    equations = Equations.checked("Phi", A, Phi, gamma=0.4)
    in_two = IN_THREADS.solve(equations, EquilibriumOptions())
    with ThreadpoolController().select(user_api="blas").limit(limits=1):
        in_one = IN_THREADS.solve(equations, EquilibriumOptions())
    np.testing.assert_array_equal(in_two.solution, in_one.solution)
    np.testing.assert_array_equal(in_two.residual, in_one.residual)
    assert (in_two.n_iter, in_two.n_products) == (in_one.n_iter, in_one.n_products)
