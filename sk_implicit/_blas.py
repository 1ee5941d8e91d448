"""How many threads BLAS works with: one pool of them at a time, or none where rows have threads of their own.

The wheels of NumPy and of SciPy each bring an OpenBLAS with threads of its own, which wait for more work by
spinning. Code that multiplies with the one and factorises with the other, in turns, keeps twice as many
threads busy as there are cores, and takes several times as long as with one thread (`one_pool`).

Between two products, what works entry by entry has one thread, and the others spin. Threads that each take
whole blocks of rows through everything, each with a BLAS of one thread, share all of the work (`in_threads`).

The limits are those of threadpoolctl, which comes with scikit-learn.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController


class _OneThread(AbstractContextManager):
    """A limit of one thread that several may hold at once: the first sets it, the last one lifts it."""

    def __init__(self, libraries: ThreadpoolController):
        self.libraries = libraries
        self._lock = threading.Lock()
        self._holders = 0

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
    others = [path for path in paths if not path.startswith(np.__path__[0])]
    if len(others) == len(paths):  # NumPy uses one that others may share
        others = []
    own = [path for path in paths if path not in others]
    return _OneThread(blas.select(filepath=own)), _OneThread(blas.select(filepath=others))


@contextmanager
def one_pool() -> Iterator[None]:
    """Leave the threads of every BLAS but NumPy's, which has nearly all the work, asleep inside."""
    with _limits()[1]:
        yield


def in_threads(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
    """Yield ``function(item)`` for every item, in order, computed in as many threads as NumPy's BLAS has.

    Where there are fewer items than threads, one after the other, with all threads for each product. What
    ``function`` computes must not depend on it, and it must let go of Python's lock where it takes time.
    """
    products, _ = _limits()
    n_threads = max((library.num_threads for library in products.libraries.lib_controllers), default=1)
    if n_threads == 1 or len(items) < n_threads:
        yield from map(function, items)
        return
    with products, ThreadPoolExecutor(n_threads) as pool:
        # every thread takes over the context, and with it what NumPy does about overflow
        running = deque(pool.submit(copy_context().run, function, item) for item in items)
        while running:
            yield running.popleft().result()
