"""Searches in two processes: do processes and BLAS threads compete for the cores?

    python docs/benchmarks/searches.py

The eight fits of a search, as `GridSearchCV` hands them to joblib, in a fresh interpreter each time: with
``n_jobs=1`` and one BLAS thread, and with ``n_jobs=2`` and nothing said about threads, as most users will run
it. The ideal of the second is half the time of the first on the clock, and the same processor time, which
competing threads waste by spinning. Writes results/searches.md.
"""

from __future__ import annotations

import datetime
import os
import pathlib
import platform
import subprocess
import sys

RESULTS = pathlib.Path(__file__).parent / "results"
REPEATS = 3
SEARCH = """
import sys, time
import numpy as np
from joblib import Parallel, delayed
from sklearn.datasets import make_friedman1
from sk_implicit import ImplicitReLURegressor

n_jobs = int(sys.argv[1])
X, y = make_friedman1(800, n_features=10, noise=1.0, random_state=0)

def fit(gamma, alpha, fold, rows):
    start = time.process_time()
    model = ImplicitReLURegressor(300, gamma=gamma, alpha=alpha, relevance=None, max_iter=20, random_state=0)
    model.fit(X[fold:rows:2], y[fold:rows:2]).score(X[1 - fold:rows:2], y[1 - fold:rows:2])
    return time.process_time() - start

def search(rows):
    tasks = [(gamma, alpha, fold, rows) for gamma in (0.2, 0.4) for alpha in (0.03, 0.1) for fold in (0, 1)]
    return sum(Parallel(n_jobs=n_jobs)(delayed(fit)(*task) for task in tasks))

search(100)  # starts the workers and imports
start = time.perf_counter()
processor = search(800)
print(time.perf_counter() - start, processor)
"""


def seconds(n_jobs: int, threads: int | None) -> tuple[float, float]:
    """Return the seconds on the clock and of processor time of one search."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    if threads:
        environment |= {f"{name}_NUM_THREADS": str(threads) for name in ("OPENBLAS", "MKL", "OMP")}
    command = [sys.executable, "-W", "ignore", "-c", SEARCH, str(n_jobs)]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    clock, processor = map(float, output.split())
    return clock, processor


def main() -> None:
    """Measure, in turns, and write the best of each."""
    runs = [(seconds(1, 1), seconds(2, None)) for _ in range(REPEATS)]
    (one, one_cpu), (two, two_cpu) = (map(min, zip(*part)) for part in zip(*runs))
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    text = f"""# Searches in two processes

Eight fits of width 300 on 400 rows, the best of {REPEATS} runs; {os.cpu_count()} cores at a load of {load},
{platform.machine()}, Python {platform.python_version()}, {datetime.date.today()}. Written by `searches.py`;
do not edit. Time on the clock is that of an idle machine only at a load below 1.

| search | clock, s | times the ideal | processor time, s | times the ideal |
|---|--:|--:|--:|--:|
| `n_jobs=1`, one BLAS thread | {one:.2f} | | {one_cpu:.2f} | |
| `n_jobs=2` | {two:.2f} | {2 * two / one:.2f} | {two_cpu:.2f} | {two_cpu / one_cpu:.2f} |
"""
    (RESULTS / "searches.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
