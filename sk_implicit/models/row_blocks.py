"""Work on blocks of rows: in turn, in threads, or in the processes of joblib's active backend.

Where the blocks are cut never depends on who works on them, so that neither does any result, up
to the rounding of a BLAS with more or fewer threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs

from .._numerics.blas import in_threads
from ..equilibrium import EquilibriumOptions, EquilibriumResult
from ..inputs.scaling import InputScaling, brought_near, taken_back
from ..limit import limit_kernel
from ..network import Network


def map_rows(
    function: Callable[..., Any], X, blocks: Iterable[slice], *shared, n_jobs: int | None, **options
) -> Iterator[tuple[slice, Any]]:
    """Yield each block with ``function(X[block], *shared, **options)``.

    Parameters
    ----------
    function : callable
        Importable by its name, as processes elsewhere know it.
    X : (n, d) array or CSR array
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


def network_outputs(X, inputs: InputScaling, *networks: Network, tol: float, solver: str):
    """Return the outputs of a network, less those of a second one, and which equilibria were missed.

    Parameters
    ----------
    X : (n, d) array or CSR array
        Rows as the user has them.
    inputs : InputScaling
        What the networks see of them.
    *networks : Network
        One or two.
    tol, solver
        Of the equilibria.
    """
    X, exponents = _inputs_of(networks[0], inputs, X)
    outputs, missed = [], np.zeros(X.shape[0], bool)
    for network in networks:
        layers, result = network.forward(X, EquilibriumOptions(solver, tol))
        missed |= missed_rows(result, tol)
        outputs.append(network.output(layers))
    F, *start = outputs
    for F0 in start:
        F -= F0
    return taken_back(F, exponents), missed


def network_equilibria(X, inputs: InputScaling, network: Network, *, tol: float, solver: str):
    """Return the equilibria Z of a network and the rows for which they were missed; as `network_outputs`."""
    X, exponents = _inputs_of(network, inputs, X)
    _, result = network.forward(X, EquilibriumOptions(solver, tol))
    return taken_back(result.solution, exponents), missed_rows(result, tol)


def _inputs_of(network: Network, inputs: InputScaling, X):
    """Return what a network sees of rows, and what far ones are divided by, as `brought_near`.

    At finite depth no row is: those whose layers overflow are warned of.
    """
    X = inputs.apply(X)
    return brought_near(X) if np.isinf(network.depth) else (X, None)


def limit_outputs(
    X, inputs: InputScaling, landmarks: np.ndarray, dual: np.ndarray, *, gamma: float
) -> np.ndarray:
    """Return the outputs of the infinitely wide network, K(X, landmarks) · dual."""
    X, exponents = brought_near(inputs.apply(X))
    F = limit_kernel(X.astype(np.float64), landmarks, gamma=gamma) @ dual
    return taken_back(F, exponents)


def missed_rows(result: EquilibriumResult, tol: float) -> np.ndarray:
    """Mark the rows whose equilibrium was not reached, (n,)."""
    return np.zeros(len(result.residual), bool) if result.converged else ~(result.residual <= tol)
