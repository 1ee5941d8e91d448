"""Work on blocks of rows: in turn, in threads, or in the processes of joblib's active backend.

Where the blocks are cut never depends on who works on them, so that neither does any result, up
to the rounding of a BLAS with more or fewer threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from joblib import Parallel, delayed, effective_n_jobs

from .._numerics import blocks as _blocks
from .._numerics.blas import in_threads


def map_rows(
    function: Callable[..., Any], X, row_size: int, *shared, n_jobs: int | None, **options
) -> Iterator[tuple[slice, Any]]:
    """Yield blocks of rows with ``function(X[block], *shared, **options)``.

    Parameters
    ----------
    function : callable
        Importable by its name, as processes elsewhere know it.
    X : (n, d) array or CSR array
        Rows.
    row_size : int
        Numbers that the work holds of a row: a block is cut such that an array of them has some tens of MB.
    *shared
        What all blocks need. Backends with processes send each of them once.
    n_jobs : int or None
        joblib's. Threads, unless a ``joblib.parallel_config`` names a backend: the work is done by BLAS,
        which does not hold Python's lock. One job has as many threads as BLAS has.
    **options
        Small values for ``function``.
    """
    blocks = list(_blocks.slices(X.shape[0], max(1, _blocks.BLOCK_ENTRIES // row_size)))
    if len(blocks) < 2 or effective_n_jobs(n_jobs) == 1:
        results = in_threads(lambda rows: function(X[rows], *shared, **options), blocks)
    else:
        parallel = Parallel(n_jobs=n_jobs, prefer="threads")
        results = parallel(delayed(function)(X[rows], *shared, **options) for rows in blocks)
    return zip(blocks, results, strict=True)
