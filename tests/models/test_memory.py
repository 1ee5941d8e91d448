"""How much memory a fit of many rows takes, by what each further row adds."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import make_friedman1

from sk_implicit import ImplicitReLURegressor
from sk_implicit._numerics import blocks
from sk_implicit.equilibrium import functions
from sk_implicit.inputs.encoding import PiecewiseLinear
from sk_implicit.inputs.scaling import InputScaling
from sk_implicit.inputs.table import Table
from sk_implicit.training import tangent_system

WIDTH, LANDMARKS = 100, 500


@pytest.fixture
def small_blocks(monkeypatch):
    """Make everything that does not grow with the rows small, and take some thousand rows for many."""
    monkeypatch.setattr(blocks, "BLOCK_ENTRIES", 20_000)
    monkeypatch.setattr(blocks, "SIZES", blocks.BlockSizes(2**14, 100, 200, 100, 100))
    monkeypatch.setattr(
        functions, "DRIVER", replace(functions.DRIVER, block_bytes=2**16, warm_block_bytes=2**16)
    )
    monkeypatch.setattr(
        tangent_system, "LIMITS", replace(tangent_system.LIMITS, dense=1000, factored_rows=1000)
    )


def traced(function):
    """Return the most bytes that a call holds at a time, and what it returns."""
    tracemalloc.start()
    try:
        returned = function()
        return tracemalloc.get_traced_memory()[1], returned
    finally:
        tracemalloc.stop()


@pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("k", "d"), [(1, 20), (4, 20), (1, 300)])
def test_a_row_takes_what_the_documentation_promises(k, d, small_blocks):
    X, y = make_friedman1(4500, n_features=d, noise=1.0, random_state=0)
    Y = np.column_stack([y, *X.T[: k - 1]])
    model = ImplicitReLURegressor(width=WIDTH, relevance=None, alpha=0.01, max_iter=2, tol=0, random_state=0)
    # both with all the landmarks that steps may have, whose factors do not grow with the rows
    few, many = (traced(lambda n=n: model.fit(X[:n], Y[:n]))[0] for n in (3000, 4500))
    per_row = (many - few) / 1500 / 4  # numbers in float32
    training, reading = (6 + k) * WIDTH + model.W_.shape[1] + LANDMARKS, 6 * 2 * d
    assert per_row <= max(training, reading)


def test_encoded_rows_are_held_once():
    X, _ = make_friedman1(20_000, n_features=20, random_state=0)
    table = Table.of(X, np.ones(len(X)), standardize=True, categorical=None)
    encoding = PiecewiseLinear.of(table.apply(X), np.ones(len(X)))
    columns = np.ones(20 + len(encoding.feature))
    inputs = InputScaling.of(
        table.apply(X), np.ones(len(X)), columns=columns, bias=1.0, encoding=encoding, table=table
    )
    held, encoded = traced(lambda: inputs.applied(X, np.float32))
    assert held < encoded.nbytes + 4 * 8 * blocks.SIZES.encoded_rows * encoded.shape[1]
    np.testing.assert_array_equal(encoded, inputs.apply(X).astype(np.float32))
