"""One pool of BLAS threads at a time.

The wheels of NumPy and of SciPy each bring an OpenBLAS with threads of its own, which wait for more work by
spinning. Code that multiplies with the one and factorises with the other, in turns, keeps twice as many
threads busy as there are cores, and takes several times as long as with one thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from sklearn.utils.parallel import _get_threadpool_controller


@contextmanager
def one_pool() -> Iterator[None]:
    """Leave the threads of every BLAS but NumPy's, which has nearly all the work, asleep inside.

    The limit is that of threadpoolctl: from 3.6 on, limits of one thread at a time count.
    """
    controller = _get_threadpool_controller().select(user_api="blas")
    paths = [library.filepath for library in controller.lib_controllers]
    others = [path for path in paths if not path.startswith(np.__path__[0])]
    if len(others) == len(paths):  # NumPy uses one that others may share
        others = []
    with controller.select(filepath=others).limit(limits=1):
        yield
