"""How many threads BLAS works with: one pool of them at a time, or none where rows have threads of their own.

The wheels of NumPy and of SciPy each bring an OpenBLAS with threads of its own, which wait for more work by
spinning. Code that multiplies with the one and factorises with the other, in turns, keeps twice as many
threads busy as there are cores, and takes several times as long as with one thread (`one_pool`).

Between two products, what works entry by entry has one thread, and the others spin. Threads that each take
whole blocks of rows through everything, each with a BLAS of one thread, share all of the work (`in_threads`).

The limits are those of threadpoolctl, which comes with scikit-learn.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from itertools import islice
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController


class _OneThread(AbstractContextManager):
    """A limit of one thread that several may hold at once: the first sets it, the last one lifts it."""

    def __init__(self, libraries: ThreadpoolController):
        self.libraries = libraries
        self._lock = threading.Lock()
        self._holders = 0

    @property
    def held(self) -> bool:
        """Whether it is in force."""
        return self._holders > 0

    def __enter__(self):
        with self._lock:
            if self._holders == 0:
                self._limiter = self.libraries.limit(limits=1)
            self._holders += 1

    def __exit__(self, *error):
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                self._limiter.restore_original_limits()


@cache
def _limits() -> tuple[_OneThread, _OneThread]:
    """Return the limits of the BLAS that NumPy uses, and of all others."""
    blas = ThreadpoolController().select(user_api="blas")
    paths = [library.filepath for library in blas.lib_controllers]
    home = os.path.realpath(np.__path__[0])  # the libraries of a wheel lie beside it
    own = [path for path in paths if os.path.realpath(path).startswith(home)]
    if not own and _blas_of_numpy() != "accelerate":  # one that others may share
        own = paths
    others = [path for path in paths if path not in own]
    return _OneThread(blas.select(filepath=own)), _OneThread(blas.select(filepath=others))


def _blas_of_numpy() -> str:
    """Return the name of the BLAS that NumPy was built with, in lower case."""
    built_with = np.show_config(mode="dicts") or {}
    return str(built_with.get("Build Dependencies", {}).get("blas", {}).get("name", "")).lower()


if hasattr(os, "register_at_fork"):  # a lock that another thread held would stay locked in the child
    os.register_at_fork(after_in_child=_limits.cache_clear)


@contextmanager
def one_pool() -> Iterator[None]:
    """Leave the threads of every BLAS but NumPy's, which has nearly all the work, asleep inside."""
    with _limits()[1]:
        yield


def in_threads(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
    """Yield ``function(item)`` for every item, in order, computed in as many threads as NumPy's BLAS has.

    Where there are fewer items than threads, or rows have threads already, one after the other. What
    ``function`` computes must not depend on it beyond rounding, and it must let go of Python's lock where it
    takes time.
    """
    products, others = _limits()
    libraries = products.libraries
    n_threads = max((library.num_threads for library in libraries.lib_controllers), default=1)
    if n_threads == 1 or len(items) < n_threads or products.held:
        yield from map(function, items)
        return
    errors = np.geterr()

    def call(item):
        with np.errstate(**errors):  # as the caller has it: before NumPy 2 threads do not take it over
            return function(item)

    # each thread sets the limit as well: a BLAS on OpenMP counts threads for each thread that calls it
    pool = ThreadPoolExecutor(n_threads, initializer=partial(libraries.limit, limits=1))
    with products, others, pool:
        # only a few wait, so that an error, or a consumer that wants no more, ends it soon
        tasks = (pool.submit(call, item) for item in items)
        waiting = deque(islice(tasks, 2 * n_threads))
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(islice(tasks, 1))
                yield result
        finally:
            for task in waiting:
                task.cancel()
