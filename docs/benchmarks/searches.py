"""Searches in two processes: do processes and BLAS threads compete for the cores?

    python docs/benchmarks/searches.py

One `GridSearchCV` of eight fits, in a fresh interpreter each time: with ``n_jobs=1`` and one BLAS thread, and
with ``n_jobs=2`` and nothing said about threads, as most users will run it. The ideal of the second is half
the time of the first. Time on the clock wants an idle machine; processor time, which competing threads waste
by spinning, is compared with the same amount of it. Writes results/searches.md.
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
import os, sys, time
import numpy as np
from joblib.externals.loky import get_reusable_executor
from sklearn.datasets import make_friedman1
from sklearn.model_selection import GridSearchCV
from sk_implicit import ImplicitReLURegressor

n_jobs = int(sys.argv[1])
X, y = make_friedman1(800, n_features=10, noise=1.0, random_state=0)
model = ImplicitReLURegressor(width=300, relevance=None, max_iter=20, random_state=0)
grid = {"gamma": [0.2, 0.4], "alpha": [0.03, 0.1]}

def search(n_jobs, X, y):
    return GridSearchCV(model, grid, cv=2, n_jobs=n_jobs, refit=False).fit(X, y)

search(n_jobs, X[:50], y[:50])  # starts the workers and imports
before, start = os.times(), time.perf_counter()
search(n_jobs, X, y)
clock = time.perf_counter() - start
if n_jobs > 1:
    get_reusable_executor().shutdown(wait=True)  # so that the workers' time is known
after = os.times()
print(clock, sum(after[:4]) - sum(before[:4]))
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
do not edit.

| search | clock, s | times the ideal | processor time, s | times the ideal |
|---|--:|--:|--:|--:|
| `n_jobs=1`, one BLAS thread | {one:.2f} | | {one_cpu:.2f} | |
| `n_jobs=2` | {two:.2f} | {2 * two / one:.2f} | {two_cpu:.2f} | {two_cpu / one_cpu:.2f} |
"""
    (RESULTS / "searches.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
