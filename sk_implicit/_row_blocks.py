"""Work on blocks of rows: in turn, in threads, or in the processes of joblib's active backend.

Where the blocks are cut never depends on who works on them, so that neither does any result, up
to the rounding of a BLAS with more or fewer threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs

from ._blas import in_threads
from .limit import limit_kernel
from .network import Network


def map_rows(
    function: Callable[..., Any], X, blocks: Iterable[slice], *shared, n_jobs: int | None, **options
) -> Iterator[tuple[slice, Any]]:
    """Yield each block with ``function(X[block], *shared, **options)``.

    Parameters
    ----------
    function : callable
        Importable by its name, as processes elsewhere know it.
    X : (n, p) array or CSR array
        Rows.
    blocks : iterable of slice
        Which rows go together.
    *shared
        What all blocks need. Backends with processes send each of them once.
    n_jobs : int or None
        joblib's. Threads, unless a ``joblib.parallel_config`` names a backend: the work is done by BLAS,
        which does not hold Python's lock. One job has as many threads as BLAS has.
    **options
        Small values for ``function``.
    """
    blocks = list(blocks)
    if len(blocks) < 2 or effective_n_jobs(n_jobs) == 1:
        results = in_threads(lambda rows: function(X[rows], *shared, **options), blocks)
    else:
        parallel = Parallel(n_jobs=n_jobs, prefer="threads")
        results = parallel(delayed(function)(X[rows], *shared, **options) for rows in blocks)
    return zip(blocks, results, strict=True)


def network_outputs(X, network: Network, *, tol: float, solver: str):
    """Return the outputs F of a network and the rows whose equilibrium was missed."""
    layers = network.forward(X, tol=tol, solver=solver)
    return network.output(layers), missed_rows(layers.result, tol)


def network_equilibria(X, network: Network, *, tol: float, solver: str):
    """Return the equilibria Z of a network and the rows for which they were missed."""
    result = network.forward(X, tol=tol, solver=solver).result
    return result.solution, missed_rows(result, tol)


def limit_outputs(X, landmarks: np.ndarray, dual: np.ndarray, *, gamma: float) -> np.ndarray:
    """Return the outputs of the infinitely wide network, K(X, landmarks) · dual."""
    return limit_kernel(X.astype(np.float64), landmarks, gamma=gamma) @ dual


def missed_rows(result, tol: float) -> np.ndarray:
    """Mark the rows whose equilibrium was not reached, (n,)."""
    return np.zeros(len(result.residual), bool) if result.converged else ~(result.residual <= tol)
